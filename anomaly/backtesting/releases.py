"""A file of past releases: `started_at`, `finished_at`, `version` and `label`, as CSV, or as a list
in YAML or JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from anomaly.backtesting.result import Label, PastRelease
from anomaly.checklist import strict_yaml
from anomaly.checklist.strict_yaml import Problem, shown
from anomaly.errors import ChecklistError, UsageError
from anomaly.model import Release
from anomaly.timing.durations import parse_moment
from anomaly.wording import did_you_mean

FIELDS = ("started_at", "finished_at", "version", "label")
MOST_BYTES = 1 << 20
READERS = (".csv", ".yaml", ".yml", ".json")

Row = tuple[int, Mapping[str, Any]]  # the line and what stands there


def load(path: Path, *, now: datetime) -> tuple[PastRelease, ...]:
    """The releases in the file, in order of time; a label left out is `unknown`.

    Raises UsageError with `file:line: text` for everything that is wrong with it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror or error}") from None
    if len(data) > MOST_BYTES:
        raise UsageError(f"{path} is larger than 1 MiB, the limit for a file of releases")
    if path.suffix.lower() not in READERS:
        raise UsageError(f"{path}: the file name must end in one of {', '.join(READERS)}")
    problems: list[Problem] = []
    rows = _csv(data, problems) if path.suffix.lower() == ".csv" else _yaml(data, problems)
    releases = [past for line, row in rows if (past := _past(line, row, now, problems)) is not None]
    if not releases and not problems:
        problems.append(Problem(1, f"holds no release; give each its {', '.join(FIELDS)}"))
    try:
        strict_yaml.refuse(str(path), problems)
    except ChecklistError as error:
        raise UsageError(str(error)) from None
    return tuple(sorted(releases, key=lambda past: past.release.started_at))


def _csv(data: bytes, problems: list[Problem]) -> Iterator[Row]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems.append(
            Problem(data.count(b"\n", 0, error.start) + 1, "not UTF-8; save the file as UTF-8")
        )
        return
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        if reader.fieldnames is None or "started_at" not in reader.fieldnames:
            problems.append(
                Problem(1, f"the first line must name the columns: {', '.join(FIELDS)}")
            )
            return
        if unknown := _unknown(reader.fieldnames, 1):
            problems += unknown
            return
        for row in reader:
            if None in row or None in row.values():
                problems.append(
                    Problem(
                        reader.line_num,
                        f"does not have the {len(reader.fieldnames)} cells of the first line",
                    )
                )
                continue
            yield reader.line_num, {name: cell for name, cell in row.items() if cell.strip()}
    except csv.Error as error:
        problems.append(Problem(reader.line_num, f"not valid CSV: {error}"))


def _yaml(data: bytes, problems: list[Problem]) -> Iterator[Row]:
    """YAML, and JSON, which is YAML."""
    document = strict_yaml.parse(data)
    problems += document.problems
    if problems:
        return
    if not isinstance(document.data, list):
        problems.append(
            Problem(1, f"is {strict_yaml.kind_of(document.data)}; write a list of releases")
        )
        return
    for number, entry in enumerate(document.data):
        line = document.line((number,))
        if isinstance(entry, Mapping):
            yield line, entry
        else:
            problems.append(
                Problem(
                    line, f"a release is {shown(entry)}; write a mapping of {', '.join(FIELDS)}"
                )
            )


def _unknown(names: Iterable[str], line: int) -> list[Problem]:
    """A problem for each name that means nothing here."""
    return [
        Problem(
            line,
            f"{shown(name)} means nothing; use {', '.join(FIELDS)}{did_you_mean(name, FIELDS)}",
        )
        for name in names
        if name not in FIELDS
    ]


def _past(
    line: int, row: Mapping[str, Any], now: datetime, problems: list[Problem]
) -> PastRelease | None:
    """The release of a row; None if something is wrong with it, which is then in `problems`."""
    before = len(problems)
    problems += _unknown(row, line)
    if "started_at" not in row:
        problems.append(Problem(line, "started_at is missing"))
    moments: dict[str, datetime] = {}
    for name in ("started_at", "finished_at"):
        if name in row:
            try:
                moments[name] = parse_moment(str(row[name]).strip(), now=now)
            except UsageError as error:
                problems.append(Problem(line, f"{name}: {error}"))
    label = str(row.get("label", Label.UNKNOWN)).strip()
    if label not in set(Label):
        problems.append(
            Problem(
                line,
                (
                    f"label is {shown(label)}; use one of "
                    f"{', '.join(Label)}{did_you_mean(label, tuple(Label))}"
                ),
            )
        )
    if len(problems) > before:
        return None
    try:
        release = Release(
            moments["started_at"], moments.get("finished_at"), version=str(row.get("version", ""))
        )
    except UsageError as error:
        problems.append(Problem(line, str(error)))
        return None
    return PastRelease(release, Label(label))
