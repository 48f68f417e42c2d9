"""How the history keeps the reports of a release: the findings of every look, and the points of the
newest alone.

Most of a report is the same at every look. So that of a look has its numbers to five digits, and
the text of the first look's is the dictionary of its compression. The newest report is kept once
more, whole: its findings in full, its points to a hundredth of the band. An earlier look shows
those points up to its own time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from anomaly.errors import UsageError
from anomaly.reporting import archive
from anomaly.reporting.data import to_dict
from anomaly.reporting.report import Report
from anomaly.wording import plain

if TYPE_CHECKING:
    from anomaly.history.whole_numbers import Series

DIGITS = 5  # significant digits of the numbers of an earlier look, and all before the point
POINTS = "points"  # in `made`: where the points of an earlier look come from
NOT_SAVED = "not saved: a later look observed other values"
LONGEST_SAID = 200
DAMAGE = (TypeError, ValueError, LookupError, ArithmeticError)  # what reading odd data raises


def look_bytes(report: Report, first: bytes) -> bytes:
    """The report of a look without its points; `first` is the text of the first look, empty at that
    look itself."""
    return archive.compressed({"report": _rounded(to_dict(report))}, first)


def newest_bytes(report: Report, series: Sequence[Series]) -> bytes:
    """The report with its points, `series` (see `archive.series_data`)."""
    from anomaly.history.whole_numbers import whole

    return archive.compressed(
        {"report": to_dict(report), "points": [whole(each) for each in series]}
    )


def first_text(packed: bytes) -> bytes:
    """The text of the first look; empty where that can't be read."""
    try:
        return archive.text_of(packed)
    except UsageError:
        return b""


def newest_report(packed: bytes) -> Report:
    """What `newest_bytes` packed. Raises UsageError for anything else."""
    data = archive.parsed(archive.text_of(packed))
    return archive.report_of({"report": data.get("report"), "series": _points(data)})


def look_report(
    packed: bytes, first: bytes, *, newest: bytes, number: int, end: datetime | None
) -> Report:
    """What `look_bytes` packed, with the points of the `newest` report, that of look `number`, up
    to `end` (None: without points). Raises UsageError for anything else.

    What an earlier version kept has points of its own.
    """
    data = archive.parsed(archive.text_of(packed, first))
    if "series" in data:
        return archive.report_of(data)
    points: list[Series] = []
    if end is not None:
        from anomaly.history.whole_numbers import until

        points = _points(archive.parsed(archive.text_of(newest)))
        points = [until(each, end.timestamp()) for each in points]
    report = archive.report_of({"report": data.get("report"), "series": points})
    source = NOT_SAVED if end is None else f"those of look {number}, up to the time of this look"
    return replace(report, made={**report.made, POINTS: source})


def end_of(series: Sequence[Series]) -> datetime | None:
    """The last time of the points; None without any."""
    last = max((moment for each in series for moment in each["time"]), default=None)
    return None if last is None else datetime.fromtimestamp(last, UTC)


def is_continued(newest: bytes, series: Sequence[Series]) -> bool:
    """Whether what the `newest` report so far observed is the same in `series`, the points of a
    later look; each may have series that the other does not keep."""
    from anomaly.history.whole_numbers import is_observed

    later = {(each["kpi"], each["segment"]): each for each in series}
    try:
        before = archive.parsed(archive.text_of(newest))["points"]
        pairs = [(each, later.get((each["kpi"], each["segment"]))) for each in before]
        return all(is_observed(each, now) for each, now in pairs if now is not None)
    except (UsageError, *DAMAGE):
        return False


def _points(data: dict[str, Any]) -> list[Series]:
    """The points of a newest report. Raises UsageError."""
    from anomaly.history.whole_numbers import restored

    try:
        return [restored(each) for each in data["points"]]
    except DAMAGE as error:
        raise UsageError(
            f"its points: {type(error).__name__}: {plain(str(error), LONGEST_SAID)}"
        ) from None


def _rounded(value: Any) -> Any:
    """The data with its numbers to `DIGITS` significant digits, or to whole ones."""
    if isinstance(value, float):
        return round(value, 0) if abs(value) >= 10**DIGITS else float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value
