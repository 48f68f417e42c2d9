"""The other forms of a report as files: a page, figures, Markdown, points.

A file that can't be written does not hide the answer: the error is logged, and a pass exits with 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomaly.cli.session import log
from anomaly.errors import SinkError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anomaly.contracts import Receipt
    from anomaly.reporting.report import Report

Pictures = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Draw an overview and each KPI as PNG into this folder; needs the extra plot.",
    ),
]
Markdown = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Write the report as Markdown, such as for a pull-request comment."
    ),
]
Points = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write every step after the release as .csv, or as .parquet (needs that extra).",
    ),
]
ENDINGS = (".csv", ".parquet")


@dataclass(frozen=True, slots=True)
class Forms:
    """The paths of the other forms, or None. Raises UsageError for impossible ones before any work
    is done."""

    pictures: Path | None
    markdown: Path | None
    points: Path | None

    def __post_init__(self) -> None:
        if self.points is not None and self.points.suffix not in ENDINGS:
            raise UsageError(f"--points {self.points} must end in {' or '.join(ENDINGS)}")
        if self.pictures is not None and self.pictures.exists() and not self.pictures.is_dir():
            raise UsageError(f"--pictures {self.pictures} is not a folder")
        for is_used, module, extra in (
            (self.pictures is not None, "matplotlib", "plot"),
            (self.points is not None and self.points.suffix == ".parquet", "pyarrow", "parquet"),
        ):
            if is_used and find_spec(module) is None:
                option = "--pictures" if extra == "plot" else f"--points {self.points}"
                raise UsageError(f"{option} needs {module}: pip install 'release-anomaly[{extra}]'")

    def write(self, report: Report) -> bool:
        """Write all forms, each file completely or not at all; whether all were written."""
        from anomaly.sinks.files import replace_file

        complete = True
        for path, content in self._files(report):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                replace_file(path, content)
            except OSError as error:
                log.error("%s: can't be written: %s", path, error.strerror or error)
                complete = False
            except SinkError as error:
                log.error("%s", error)
                complete = False
        return complete

    def _files(self, report: Report) -> Iterator[tuple[Path, bytes | str]]:
        if self.points is not None:
            from anomaly.reporting.points_file import csv_bytes, parquet_bytes

            yield (
                self.points,
                (csv_bytes if self.points.suffix == ".csv" else parquet_bytes)(report.points),
            )
        if self.markdown is not None:
            from anomaly.contracts import Action, Message
            from anomaly.history.records import release_id
            from anomaly.sinks.markdown import markdown

            yield (
                self.markdown,
                markdown(Message(release_id(report.release), report, Action.of(report))),
            )
        if self.pictures is not None:
            from anomaly.reporting.figures import pictures

            for name, png in pictures(report):
                yield self.pictures / name, png


def written(
    path: Path | None, report: Report, key: str, deliveries: Sequence[Receipt] = ()
) -> bool:
    """Write the HTML page, if wanted; False if that failed."""
    if path is None:
        return True
    from anomaly.sinks.html import write

    try:
        log.info("report written to %s", write(path, report, key, deliveries))
    except SinkError as error:
        log.error("report not written: %s", error)
        return False
    return True
