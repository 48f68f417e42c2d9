"""The options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from anomaly.cli.exit_codes import ExitCodes
from anomaly.cli.session import LogFormat, Session
from anomaly.errors import UsageError

PAGE_ENDINGS = (".html", ".htm")


class Output(StrEnum):
    """The format of the answer."""

    TABLE = "table"
    JSON = "json"


def _log_format(context: typer.Context, value: LogFormat) -> LogFormat:
    session: Session = context.obj
    if value is not LogFormat.TEXT:
        session.log_format = value
    return value


def _page(value: Path | None) -> Path | None:
    if value is not None and value.suffix.lower() not in PAGE_ENDINGS:
        raise UsageError(
            f"--report {value} must end in .html: the report is a page, which a browser prints as "
            "PDF; show, check and watch write pictures by --pictures DIR, text by --markdown FILE"
        )
    return value


ChecklistPath = Annotated[Path, typer.Argument(metavar="CHECKLIST", help="Checklist file (YAML).")]
NewFile = Annotated[
    Path,
    typer.Argument(metavar="[PATH]", help="File to write; it must not exist.", show_default=True),
]
ReleasedAt = Annotated[
    str | None,
    typer.Option(
        metavar="T",
        help="Start of the release: ISO-8601 with a zone, a date, -2h, or now. Default: that of "
        "the latest release that is known.",
    ),
]
FinishedAt = Annotated[
    str | None,
    typer.Option(metavar="T", help="When all users had it. Default: the last stage, or the start."),
]
Stages = Annotated[
    list[str] | None,
    typer.Option(
        "--stage",
        metavar="T=SHARE",
        help="A stage: time and share of users, such as 2025-06-03T10:00Z=5%; repeatable.",
    ),
]
NextRelease = Annotated[
    str | None,
    typer.Option(
        metavar="T[=VERSION]",
        help="Start of the next release of the service, and its version; it ends the watch.",
    ),
]
Version = Annotated[
    str,
    typer.Option(
        "--release",
        metavar="VERSION",
        help="Version of the release; shown, and part of the report's identity.",
    ),
]
Environment = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Environment of the checklist to use."),
]
Until = Annotated[
    str | None, typer.Option(metavar="T", help="End the watch here, so that this look is final.")
]
From = Annotated[
    Path | None,
    typer.Option(
        "--from", metavar="FILE", help="Judge data saved by --save instead of querying the sources."
    ),
]
Jobs = Annotated[
    int,
    typer.Option(metavar="N", min=1, help="Judge in so many processes; the answer is the same."),
]
Engine = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="Collect and judge on a cluster: dask://HOST:8786 (needs that extra)."
    ),
]
Verbose = Annotated[
    bool,
    typer.Option("-v", "--verbose", help="Show more on stderr, including tracebacks."),
]
OfCodes = Annotated[
    ExitCodes,
    typer.Option(
        "--exit-codes",
        help="job exits with 0 unless the release failed or judging did, for callers that roll "
        "back at any other code.",
    ),
]
Logs = Annotated[
    LogFormat,
    typer.Option(
        "--log-format",
        callback=_log_format,
        is_eager=True,
        help="Format of log lines on stderr.",
    ),
]
ReportTo = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        callback=_page,
        help="Write the report as an HTML page; {version} and {id} in the name are filled in.",
    ),
]
StoreAt = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="WHERE",
        envvar="ANOMALY_STORE",
        help="History: a file or a postgresql:// URL. Default: the checklist's store.",
    ),
]
OfChecklist = Annotated[
    Path | None,
    typer.Option(
        "--checklist",
        metavar="FILE",
        help="Use the history and the service of this checklist.",
    ),
]
