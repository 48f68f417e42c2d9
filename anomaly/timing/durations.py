"""Durations and moments as people write them: `5m`, `1h30m`, `now`, `-2h`, `2025-06-03T10:00Z`."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from anomaly.errors import UsageError
from anomaly.model import utc
from anomaly.steps import DAY, MONTH, NAMES, CalendarStep

UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
DURATION_PATTERN = "(?=[0-9])" + "".join(rf"([0-9]+{unit})?" for unit in UNITS)
DURATION = re.compile(DURATION_PATTERN)
DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
LONG_STEPS = "a step of a day or longer is 1d, 1w (from Monday) or 1M (a month)"
STEP_PATTERN = f"1M|{DURATION_PATTERN}"
DIGITS_AT_MOST = 12  # a longer number overflows a timedelta in any unit that matters
SHOWN = 60  # characters of a value in an error
YEARS = range(1970, 2200)  # what a nanosecond time stamp can hold, with room for windows around it


def parse_duration(text: str) -> timedelta:
    """The duration in `text`: whole numbers with w, d, h, m, s, ms, the largest first.
    Raises UsageError."""
    match = DURATION.fullmatch(text)
    if match is None:
        raise UsageError(f"{_shown(text)} is not a duration; write one like 30s, 5m, 1h30m or 28d")
    total = timedelta(0)
    for part, (unit, length) in zip(match.groups(), UNITS.items(), strict=True):
        if part is not None:
            total += _times(part.removesuffix(unit), length, text)
    return total


def parse_step(text: str) -> timedelta:
    """The step in `text`: a duration below a day, or `1d`, `1w`, `1M` (a month). Raises
    UsageError."""
    if text == NAMES[MONTH]:
        return MONTH
    step = parse_duration(text)
    if step >= DAY and step not in NAMES:
        raise UsageError(f"{_shown(text)} is not a step; {LONG_STEPS}")
    return step


def duration_text(duration: timedelta) -> str:
    """The shortest text of `duration` in d, h, m, s, ms (`5m`, `1h30m`, `0s`), rounded to the
    millisecond; that of a step of the calendar is its name."""
    if isinstance(duration, CalendarStep):
        return str(duration)
    if duration < timedelta(0):
        return f"-{duration_text(-duration)}"
    left = round(duration / UNITS["ms"])
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, UNITS[unit] // UNITS["ms"])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_moment(text: str, *, now: datetime, zone: str | None = None) -> datetime:
    """The moment in `text`, in UTC: `now`, `-2h` (before now), or ISO-8601 with a zone. A date
    alone is the midnight at which its day starts in `zone`, if there is one. Raises UsageError."""
    try:
        if text == "now":
            return utc(now, "now")
        if text.startswith("-") and DURATION.fullmatch(text[1:]):
            moment = utc(now, "now") - parse_duration(text[1:])
        elif zone is not None and DATE.fullmatch(text):
            day = date.fromisoformat(text)
            moment = datetime.combine(day, time(), ZoneInfo(zone))
        else:
            moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{_shown(text)} is not a time; write now, -2h or 2025-06-03T10:00Z"
        ) from None
    if moment.year not in YEARS:
        raise UsageError(f"{_shown(text)} is outside the years {YEARS.start} to {YEARS.stop - 1}")
    return utc(moment, "time")


def _times(count: str, length: timedelta, text: str) -> timedelta:
    if len(count) > DIGITS_AT_MOST:
        raise UsageError(f"{_shown(text)} is too long a duration")
    try:
        return int(count) * length
    except OverflowError:
        raise UsageError(f"{_shown(text)} is too long a duration") from None


def _shown(text: str) -> str:
    return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r}…"
