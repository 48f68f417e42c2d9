"""Series at hand: a pandas Series or DataFrame as a panel, or an error that says what is wrong with
it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from anomaly.errors import UsageError
from anomaly.model import Calendar, LeftOut, SpecialDay, Window, utc
from anomaly.panel import DENOMINATOR, LENGTHS, NUMERATOR, VALUE, assemble, index_of, step_of
from anomaly.steps import DAY, MONTH, CalendarStep
from anomaly.wording import plain

W = TypeVar("W", bound=StrEnum)
T = TypeVar("T")
TRY = re.compile(r"[.,] try", re.IGNORECASE)  # advice of pandas, which is not for our users
YEARS = range(1678, 2262)  # what a nanosecond time stamp can hold
MOST_ROWS = 2_000_000
LONGEST = timedelta(days=36_500)
SHOWN = 60  # characters of an argument
COMMON_ZONES = (  # that rows of days in UTC are tried with, to say what helps
    "Europe/Berlin", "Europe/London", "Europe/Athens", "America/New_York", "America/Chicago",
    "America/Denver", "America/Los_Angeles", "America/Sao_Paulo", "Asia/Tokyo", "Asia/Shanghai",
    "Asia/Kolkata", "Australia/Sydney", "Pacific/Auckland",
)  # fmt: skip
LAST_DAY = 28  # that every month has
Day = date | str
Days = Mapping[Day, str] | Iterable[Day] | Day  # special days with their names, or without
Spans = Iterable[
    tuple[datetime, datetime] | tuple[datetime, datetime, str]
]  # start, end and, if given, what was there


def panel_of(
    series: pd.Series | pd.DataFrame,
    denominators: pd.Series | pd.DataFrame | None,
    timezone: str | None = None,
) -> tuple[pd.DataFrame, timedelta]:
    """The panel of a column per KPI, ratios where `denominators` are given, and its step. Days,
    weeks and months are those of `timezone`, or of the index, or of UTC.

    Raises UsageError for an index that is naive, irregular or has duplicates, and for values that
    are not numbers.
    """
    zones = [timezone or "", _zone_name(getattr(series, "index", None))]
    values = _by_first_days(frame_of(series, "series"), zones)
    index, step = regular(pd.DatetimeIndex(values.index), zones)
    role = VALUE if denominators is None else NUMERATOR
    columns = {(str(name), "", role): values[name].to_numpy() for name in values}
    if denominators is not None:
        below = _by_first_days(frame_of(denominators, "denominators"), zones)
        if list(below) != list(values) and len(below.columns) != 1:
            raise UsageError(
                f"denominators has columns {list(below)}, series has {list(values)}; name them "
                "alike, or give one"
            )
        below = below.reindex(values.index)
        columns |= {
            (str(name), "", DENOMINATOR): below[
                name if name in below else below.columns[0]
            ].to_numpy()
            for name in values
        }
    whole = values.index.equals(index)
    return assemble(columns, index) if whole else assemble(
        columns, pd.DatetimeIndex(values.index)
    ).reindex(index), step


def at_hand(
    series: pd.Series | pd.DataFrame,
    denominators: pd.Series | pd.DataFrame | None = None,
    *,
    timezone: str,
) -> tuple[pd.DataFrame, timedelta]:
    """A panel as it is, or the one of a column per KPI (see `panel_of`), and its step."""
    if isinstance(series, pd.DataFrame) and isinstance(series.columns, pd.MultiIndex):
        step = step_of(series)
        return series, _calendar_step(pd.DatetimeIndex(series.index), step, [timezone]) or step
    return panel_of(series, denominators, timezone)


def zone_of(step: timedelta, timezone: str) -> str:
    """The time zone of the users' calendar: that of the steps, if these are of a calendar."""
    return step.zone if isinstance(step, CalendarStep) else timezone


def moment(
    value: datetime | np.datetime64 | str, what: str, timezone: str | None = None
) -> datetime:
    """`value` (a pandas Timestamp and ISO-8601 text are fine) in UTC; without a zone it is in
    `timezone`. Raises UsageError for anything but a time, and without any zone."""
    parsed: Any = None
    with suppress(TypeError, ValueError, OverflowError):
        if isinstance(value, str):
            parsed = datetime.fromisoformat(value)
        elif isinstance(value, datetime):
            parsed = value
        elif isinstance(value, np.datetime64):
            parsed = pd.Timestamp(value)
    if parsed is None or pd.isna(parsed):
        raise UsageError(f"{what} is {shown(value)}; give a datetime with a time zone")
    if parsed.year not in YEARS:
        raise UsageError(
            f"{what} {parsed.isoformat()} is outside of the years {YEARS[0]} to {YEARS[-1]}"
        )
    try:
        at = pd.Timestamp(parsed)
        if at.tzinfo is None and isinstance(timezone, str):
            at = at.tz_localize(zone_info(timezone))
        return utc(at.to_pydatetime(warn=False), what)
    except (ValueError, OverflowError):
        raise UsageError(f"{what} is {shown(value)}; give a time that Python has") from None


def real(value: Any, what: str) -> float:
    """`value`; raises UsageError for anything but a number that is one."""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        with suppress(TypeError, OverflowError):  # a NumPy timedelta counts as a number, too
            number = float(value)
            return value if isinstance(value, int) else number
    raise UsageError(f"{what} is {shown(value)}; give a number, such as 0.05")


def length(value: timedelta, what: str) -> timedelta:
    """`value`; raises UsageError for anything but a length of time that fits into a history."""
    if not isinstance(value, timedelta) or pd.isna(value):
        raise UsageError(f"{what} is {shown(value)}; give a timedelta, such as timedelta(hours=6)")
    if abs(value) > LONGEST:
        raise UsageError(f"{what} is {shown(value)}; give at most {LONGEST.days:,} days")
    return value


def listed(value: Iterable[T], what: str, form: str) -> list[T]:
    """The items of `value`; raises UsageError for text and for what has no items."""
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | pd.DataFrame):
        return [*value]
    raise UsageError(f"{what} is {shown(value)}; give {form}")


def shown(value: object) -> str:
    """The type and the value of an argument, on one short line."""
    try:
        text = "" if isinstance(value, pd.Series | pd.DataFrame) else repr(value)
    except ValueError:  # a number with more digits than Python writes
        text = ""
    return plain(f"{type(value).__name__} {text}".strip(), SHOWN)


def zone_info(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises UsageError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"timezone is {shown(name)}; use an IANA name like Europe/Berlin"
        ) from None


def localized(series: Any, timezone: str | None) -> Any:
    """Series in memory with their times in `timezone`, where these have no zone; as they are
    without a `timezone`. Raises UsageError for times that clocks there skip, or show twice in an
    order that does not tell them apart."""
    index = getattr(series, "index", None)
    if not isinstance(timezone, str) or not isinstance(series, pd.Series | pd.DataFrame):
        return series
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    if not isinstance(index, pd.DatetimeIndex) or index.tz is not None:
        return series
    days, zone = index == index.normalize(), zone_info(timezone)
    try:
        if days.all():  # where clocks change at midnight, a day begins at its first moment
            first = np.ones(len(index), dtype=bool)
            zoned = index.tz_localize(zone, ambiguous=first, nonexistent="shift_forward")
        else:
            backwards = slice(None, None, -1 if index.is_monotonic_decreasing else 1)
            zoned = index[backwards].tz_localize(zone, ambiguous="infer")[backwards]
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"the times without a zone are no times of timezone {timezone!r}: "
            f"{re.split(TRY, str(error))[0]}; give them with a time zone"
        ) from None
    return series.set_axis(zoned)


def calendar_of(timezone: str | None, special_days: Days, leave_out: Spans) -> Calendar:
    """The calendar that arguments of Python functions describe; raises UsageError for what is not
    a zone, a day or a span."""
    if not isinstance(timezone, str | None):
        raise UsageError(f"timezone is {shown(timezone)}; give an IANA name like Europe/Berlin")
    if isinstance(special_days, str | date):
        special_days = [special_days]
    named: list[tuple[Any, ...]] = (
        [*special_days.items()]
        if isinstance(special_days, Mapping)
        else [(day,) for day in listed(special_days, "special_days", "a list of dates")]
    )
    days = tuple(SpecialDay(_day(day), *map(str, name)) for day, *name in named)
    spans = listed(leave_out, "leave_out", "a list of (start, end) or (start, end, reason)")
    return Calendar(timezone or "UTC", days, tuple(_left_out(span) for span in spans))


def _day(value: Day) -> date:
    """A date; its text, and midnight without a time zone, as pandas has days, are dates too."""
    if isinstance(value, str):
        with suppress(ValueError):
            return date.fromisoformat(value)
    if (
        isinstance(value, datetime)
        and value.tzinfo is None
        and value == datetime.combine(value.date(), time())
    ):
        return value.date()
    if not isinstance(value, date) or isinstance(value, datetime):
        raise UsageError(
            f"special_days has {shown(value)}; give dates in the time zone of the users, like "
            "datetime.date(2025, 12, 25)"
        )
    return value


def _left_out(span: Sequence[Any]) -> LeftOut:
    try:
        start, end, *reason = span
    except (TypeError, ValueError):
        start, end, reason = None, None, [None]
    if len(reason) > 1 or not all(isinstance(each, str) for each in reason):
        raise UsageError(f"leave_out has {shown(span)}; give (start, end) or (start, end, reason)")
    return LeftOut(Window(moment(start, "leave_out"), moment(end, "leave_out")), *reason)


def frame_of(series: pd.Series | pd.DataFrame, what: str) -> pd.DataFrame:
    """A frame of floats with text columns, a UTC index, sorted."""
    for name in [series.name] if isinstance(series, pd.Series) else getattr(series, "columns", ()):
        if any("\ud800" <= sign <= "\udfff" for sign in str(name)):
            raise UsageError(f"{what} has a column {shown(name)} with a lone surrogate; rename it")
    frame = (
        series.to_frame("kpi" if series.name is None else series.name)
        if isinstance(series, pd.Series)
        else series
    )
    if not isinstance(frame, pd.DataFrame):
        raise UsageError(f"{what} is a {type(series).__name__}; give a pandas Series or DataFrame")
    if pd.api.types.is_string_dtype(frame.index.dtype):
        raise UsageError(
            f"{what} needs a time-zone-aware DatetimeIndex, its times are text; use "
            f"{what}.set_axis(pd.to_datetime({what}.index, utc=True))"
        )
    if not isinstance(frame.index, pd.DatetimeIndex) or frame.index.tz is None:
        raise UsageError(
            f"{what} needs a time-zone-aware DatetimeIndex; for times in UTC use "
            f"{what}.tz_localize('UTC')"
        )
    if frame.index.hasnans:
        raise UsageError(f"{what} has rows without a time (NaT)")
    if frame.index.has_duplicates:
        raise UsageError(
            f"{what} has more than one row at "
            f"{frame.index[frame.index.duplicated()][0].isoformat()}; keep or add them up first"
        )
    names = pd.Index([str(name) for name in frame.columns])
    if names.has_duplicates:
        raise UsageError(f"{what} has more than one column {names[names.duplicated()][0]!r}")
    if frame.shape[1] == 0:
        raise UsageError(f"{what} has no columns")
    try:
        if any(np.iscomplexobj(frame[name]) for name in frame):
            raise TypeError("complex numbers")  # noqa: TRY301  said below, with the others
        numbers = frame.astype("float64")
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(
            f"{what} has values that are not numbers: {plain(str(error), 2 * SHOWN)}"
        ) from None
    numbers.columns = names
    try:
        numbers.index = frame.index.tz_convert("UTC").as_unit("ns")
    except pd.errors.OutOfBoundsDatetime:
        raise UsageError(
            f"{what} has times outside of the years {YEARS[0]} to {YEARS[-1]}"
        ) from None
    return numbers.sort_index()


def regular(index: pd.DatetimeIndex, zones: Sequence[str]) -> tuple[pd.DatetimeIndex, timedelta]:
    """The whole grid that the rows lie on, and its step: one of the calendar in one of the `zones`,
    or of fixed length. Raises UsageError if they lie on none."""
    if len(index) < 2:  # noqa: PLR2004  one row has no step
        raise UsageError("the series needs at least two rows")
    stamps = index.as_unit("ns").asi8
    gaps, counts = np.unique(np.diff(stamps), return_counts=True)
    step = int(gaps[counts.argmax()])
    usual = timedelta(microseconds=step // 1000)
    of_calendar = _calendar_step(index, usual, zones)
    if of_calendar is not None:
        starts = of_calendar.edges(index[0].to_pydatetime(), index[-1].to_pydatetime())
        return index_of(starts), of_calendar
    off = (stamps - stamps[0]) % step != 0
    if off.any():
        raise UsageError(
            f"the rows are not on a regular grid: most are {pd.Timedelta(step)} apart, "
            f"{index[off][0].isoformat()} lies in between; {_advice(index, usual)}"
        )
    count = int(stamps[-1] - stamps[0]) // step + 1
    if count > MOST_ROWS:
        raise UsageError(
            f"the rows span {count:,} steps of {pd.Timedelta(step)}, more than {MOST_ROWS:,}; "
            "choose a wider step"
        )
    return pd.DatetimeIndex(
        pd.date_range(index[0], periods=count, freq=pd.Timedelta(step), unit="ns")
    ), pd.Timedelta(step).to_pytimedelta()


def _calendar_step(
    index: pd.DatetimeIndex, usual: timedelta, zones: Sequence[str]
) -> CalendarStep | None:
    """The step of the calendar on which all rows start; with midnights, if there is a choice of
    zones. None if there is none."""
    unit = next((unit for unit, (least, most) in LENGTHS.items() if least <= usual <= most), None)
    if unit is None:
        return None
    out = []
    for zone in dict.fromkeys([*filter(None, zones), "UTC"]):
        wall = index.tz_convert(zone).tz_localize(None)
        times = wall - wall.normalize()
        first = wall[times == times.value_counts().index[0]][0]  # clocks may change at midnight
        step = CalendarStep(unit, zone, first.to_pydatetime())
        if first.day <= LAST_DAY or unit != MONTH:
            edges = step.edges(index[0].to_pydatetime(), index[-1].to_pydatetime())
            if index.isin(index_of(edges)).all():
                out.append(step)
    return min(out, key=lambda step: step.origin.time() != time(), default=None)


def _by_first_days(frame: pd.DataFrame, zones: Sequence[str]) -> pd.DataFrame:
    """The frame with months that are stamped by their last days stamped by their first ones."""
    zone = next(filter(None, zones), "UTC")
    local = pd.DatetimeIndex(frame.index).tz_convert(zone).tz_localize(None)
    if len(local) < 2 or not ((local == local.normalize()) & local.is_month_end).all():  # noqa: PLR2004  one row has no step
        return frame
    by_starts: pd.DataFrame = localized(frame.set_axis(local.to_period("M").to_timestamp()), zone)
    return by_starts.tz_convert("UTC")


def _zone_name(index: pd.Index | None) -> str:
    """The IANA name of the time zone of an index, empty if it has none."""
    zone = getattr(index, "tz", None)
    return str(getattr(zone, "key", None) or getattr(zone, "zone", None) or "")


def _advice(index: pd.DatetimeIndex, usual: timedelta) -> str:
    """What to do about rows that are usually so far apart, but not always."""
    for zone in COMMON_ZONES:
        step = _calendar_step(index, usual, [zone])
        if step is not None and step.zone == zone and step.origin.time() == time():
            return f"they are days of the calendar of {zone}: use timezone={zone!r}"
    if LENGTHS[MONTH][1] < usual:
        return "steps are at most a month: give days, weeks or months"
    if LENGTHS[MONTH][0] <= usual:
        return "stamp each month by its first day, as resample('MS') does"
    if LENGTHS[DAY][0] <= usual:
        return (
            "if they are local days, name their zone, such as timezone='Europe/Berlin'; else "
            "resample them"
        )
    return "resample them"


def member(words: type[W], text: str, what: str) -> W:
    """The member of `words` that `text` names; raises UsageError that lists them."""
    if isinstance(text, str) and text in [*words]:
        return words(text)
    excerpt = plain(repr(text), SHOWN) if isinstance(text, str) else shown(text)
    raise UsageError(f"{what} is {excerpt}; use one of {', '.join(words)}")
