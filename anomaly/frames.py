"""Series at hand: a pandas Series or DataFrame as a panel, or an error that says what is wrong with
it."""

from __future__ import annotations

import re
from collections import Counter
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
THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
TIME_COLUMNS = frozenset({"time", "timestamp", "datetime", "date", "ts", "at"})
HOUR_COLUMNS = frozenset({"hour", "hours", "hr", "hh", "stunde"})
AT_HOUR = "pd.to_datetime({}, utc=True) + pd.to_timedelta({}, unit='h')"
DAY_H = 24
EPOCHS = {"s": 10**8, "ms": 10**11, "us": 10**14, "ns": 10**17}  # 1973, in units since 1970
Day = date | str
Days = Mapping[Day, str] | Iterable[Day] | Day  # special days with their names, or without
Spans = Iterable[
    tuple[datetime, datetime] | tuple[datetime, datetime, str]
]  # start, end and, if given, what was there


def panel_of(
    series: pd.Series | pd.DataFrame,
    denominators: pd.Series | pd.DataFrame | None,
    timezone: str | None = None,
) -> tuple[pd.DataFrame, timedelta, dict[str, str]]:
    """The panel of a column per KPI, ratios where `denominators` are given, its step, and a note
    for each KPI with infinite values. Days, weeks and months are those of `timezone`, or of the
    index, or of UTC.

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
        _expect_same_rows(pd.DatetimeIndex(below.index), index)
        below = below.reindex(values.index)
        columns |= {
            (str(name), "", DENOMINATOR): below[
                name if name in below else below.columns[0]
            ].to_numpy()
            for name in values
        }
    panel = assemble(columns, pd.DatetimeIndex(values.index))
    if not values.index.equals(index):
        panel = panel.reindex(index)
    return panel, step, _infinite(columns)


def _infinite(columns: Mapping[tuple[str, str, str], np.ndarray]) -> dict[str, str]:
    """A note for each KPI with infinite values, in its series or its denominators."""
    counts = Counter[str]()
    for (name, _, _), values in columns.items():
        counts[name] += int(np.isinf(values).sum())
    return {
        name: f"{count:,} infinite values count as missing"
        for name, count in counts.items()
        if count
    }


def _expect_same_rows(below: pd.DatetimeIndex, index: pd.DatetimeIndex) -> None:
    """Raises UsageError unless denominators have the steps of the series, within its time."""
    within = below[(below >= index[0]) & (below <= index[-1])]
    between = within[~within.isin(index)]
    if len(between):
        raise UsageError(
            f"denominators has a row at {between[0].isoformat()}, between two rows of series; "
            "resample them to the same steps"
        )
    if not len(within):
        raise UsageError("denominators has no row at the times of series")


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
    panel, step, _ = panel_of(series, denominators, timezone)
    return panel, step


def zone_of(step: timedelta, timezone: str) -> str:
    """The time zone of the users' calendar: that of the steps, if these are of a calendar."""
    return step.zone if isinstance(step, CalendarStep) else timezone


def moment(value: date | np.datetime64 | str, what: str, timezone: str | None = None) -> datetime:
    """`value` (a pandas Timestamp and ISO-8601 text are fine) in UTC; without a zone it is in
    `timezone`. Raises UsageError for anything but a time, and without any zone."""
    parsed: Any = None
    with suppress(TypeError, ValueError, OverflowError):
        if isinstance(value, str):
            parsed = datetime.fromisoformat(value)
        elif isinstance(value, datetime):
            parsed = value
        elif isinstance(value, date):
            parsed = datetime.combine(value, time())
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
            at = _in_zone(at, zone_info(timezone), what)
        return utc(at.to_pydatetime(warn=False), what)
    except (ValueError, OverflowError):
        raise UsageError(f"{what} is {shown(value)}; give a time that Python has") from None


def _in_zone(wall: pd.Timestamp, zone: ZoneInfo, what: str) -> pd.Timestamp:
    """A local time as a moment. Raises UsageError where clocks skip it or show it twice."""
    moments = [wall.replace(tzinfo=zone, fold=fold).tz_convert("UTC") for fold in (0, 1)]
    if moments[0] == moments[1]:
        return moments[0]
    there = moments[0] < moments[1]
    raise UsageError(
        f"{what} {wall.isoformat()} "
        f"{'is there twice' if there else 'does not exist'} in {zone}, where clocks "
        f"{'go back' if there else 'skip it'}; give it with an offset"
    )


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
    entries: list[tuple[Any, ...]] = (
        [*special_days.items()]
        if isinstance(special_days, Mapping)
        else [(day,) for day in listed(special_days, "special_days", "a list of dates")]
    )
    days = tuple(SpecialDay(_day(day), *map(str, name)) for day, *name in entries)
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
        raise UsageError(f"{what} is a {_origin(series)}; give a pandas Series or DataFrame")
    if not len(frame):
        raise UsageError(f"{what} has no rows")
    if not isinstance(frame.index, pd.DatetimeIndex) or frame.index.tz is None:
        raise UsageError(
            f"{what} needs a time-zone-aware DatetimeIndex{_index_advice(series, what)}"
        )
    if frame.index.hasnans:
        raise UsageError(f"{what} has rows without a time (NaT)")
    if frame.index.has_duplicates:
        raise UsageError(
            f"{what} has more than one row at "
            f"{frame.index[frame.index.duplicated()][0].isoformat()}; keep or add them up first"
        )
    names = pd.Index([str(name) for name in frame.columns], dtype=object)
    if names.has_duplicates:
        raise UsageError(f"{what} has more than one column {names[names.duplicated()][0]!r}")
    if frame.shape[1] == 0:
        raise UsageError(f"{what} has no columns")
    numbers = _floats(frame, series, what)
    numbers.columns = names
    try:
        numbers.index = frame.index.tz_convert("UTC").as_unit("ns")
    except pd.errors.OutOfBoundsDatetime:
        raise UsageError(
            f"{what} has times outside of the years {YEARS[0]} to {YEARS[-1]}"
        ) from None
    return numbers.sort_index()


def _origin(value: object) -> str:
    """The type of what is no pandas object, and how it becomes one, where it says so itself."""
    kind = type(value)
    if not hasattr(value, "to_pandas"):
        return kind.__name__
    return f"{kind.__name__} of {kind.__module__.split('.')[0]}: use .to_pandas()"


def _index_advice(series: pd.Series | pd.DataFrame, what: str) -> str:
    """What there is instead of times with a zone, and what makes these of it."""
    index = series.index
    if isinstance(index, pd.DatetimeIndex):
        return f"; for times in UTC use {what}.tz_localize('UTC')"
    if isinstance(index, pd.PeriodIndex):
        return (
            f", its index is of periods; for times in UTC use {what}.to_timestamp()"
            ".tz_localize('UTC')"
        )
    if isinstance(index, pd.MultiIndex):
        return _levels_advice(index, series, what)
    if not pd.api.types.is_numeric_dtype(index.dtype):
        return _texts_advice(index, what)
    return _rows_advice(series, what)


def _texts_advice(index: pd.Index, what: str) -> str:
    """What makes times of texts, or of other objects."""
    if index.astype(str).str.contains(r"[T ]24:00", regex=True).any():
        return (
            ", its times are text with 24:00, which pandas does not read; use "
            f"{what}.set_axis(pd.to_datetime({what}.index.str[:10], utc=True) + "
            f"pd.to_timedelta({what}.index.str[11:16] + ':00'))"
        )
    return (
        f"{', its times are text' if pd.api.types.is_string_dtype(index.dtype) else ''}; use "
        f"{what}.set_axis(pd.to_datetime({what}.index, utc=True))"
    )


def _levels_advice(index: pd.MultiIndex, series: pd.Series | pd.DataFrame, what: str) -> str:
    """What makes times of several levels."""
    if hours := _hours(index):
        date = f"{what}.index.get_level_values({hours[0]!r})"
        hour = f"{what}.index.get_level_values({hours[1]!r})"
        return (
            ", its index has the date and the hour apart; use "
            f"{what}.set_axis({AT_HOUR.format(date, hour)})"
        )
    others = [
        index.names[at] or at
        for at, level in enumerate(index.levels)
        if not isinstance(level, pd.DatetimeIndex)
    ]
    whole = what if isinstance(series, pd.Series) else f"{what}[{series.columns[0]!r}]"
    return (
        f", its index has {index.nlevels} levels; make columns of all but the times, as "
        f"{whole}.unstack({others if len(others) > 1 else (others or [0])[0]!r}) does"
    )


def _hours(index: pd.MultiIndex) -> tuple[Any, Any] | None:
    """The names of two levels that are a date and an hour; None if they are something else."""
    if index.nlevels != 2 or None in index.names:  # noqa: PLR2004  date and hour
        return None
    date, hour = index.levels
    hours = pd.api.types.is_numeric_dtype(hour.dtype) and hour.min() >= 0 and hour.max() <= DAY_H
    texts = pd.api.types.is_string_dtype(date.dtype) or isinstance(date, pd.DatetimeIndex)
    return (index.names[0], index.names[1]) if hours and texts else None


def _rows_advice(series: pd.Series | pd.DataFrame, what: str) -> str:
    """Where the times of numbered rows are, and what makes an index of them."""
    names = series.columns if isinstance(series, pd.DataFrame) else ()
    hour = next((each for each in names if str(each).casefold() in HOUR_COLUMNS), None)
    for column in names:
        if pd.api.types.is_datetime64_any_dtype(series[column].dtype) or (
            str(column).casefold() in TIME_COLUMNS
        ):
            if hour is not None:
                at = AT_HOUR.format(f"{what}[{column!r}]", f"{what}[{hour!r}]")
                return (
                    f", its date and hour are columns; use {what}.set_index({at})"
                    f".drop(columns={[column, hour]!r})"
                )
            return (
                f", its times are a column; use {what}.set_index(pd.to_datetime("
                f"{what}[{column!r}], utc=True)).drop(columns={column!r})"
            )
    unit = next(
        (unit for unit, since in EPOCHS.items() if since <= series.index[0] < 1000 * since), None
    )
    if unit is not None:
        return (
            f", its times are numbers; use {what}.set_axis(pd.to_datetime({what}.index, "
            f"unit={unit!r}, utc=True))"
        )
    return (
        f", its rows have no times; use {what}.set_axis(pd.date_range('2025-06-03', "
        f"periods=len({what}), freq='5min', tz='UTC')) with the time of the first row and the step"
    )


def _floats(frame: pd.DataFrame, series: object, what: str) -> pd.DataFrame:
    """The frame as floats, what is missing as NaN. Raises UsageError with the first cell that is no
    number."""
    with suppress(TypeError, ValueError, OverflowError):
        if not any(np.iscomplexobj(frame[name]) for name in frame):
            return frame.astype("float64")
    columns = {}
    for name in frame:
        cells = frame[name].astype(object)
        cells = cells.where(cells.notna(), np.nan)
        whole = what if isinstance(series, pd.Series) else f"{what}[{name!r}]"
        try:
            if np.iscomplexobj(frame[name]):
                raise UsageError(f"{whole} has values that are not numbers: complex numbers")
            columns[name] = cells.astype("float64")
        except (TypeError, ValueError, OverflowError):
            raise UsageError(_no_numbers(cells, frame[name], whole, what)) from None
    return pd.DataFrame(columns, index=frame.index)


def _no_numbers(cells: pd.Series, column: pd.Series, whole: str, what: str) -> str:
    """The first cell that is no number, and what helps."""
    wrong = ~cells.map(_is_number).to_numpy(dtype=bool)
    at = int(wrong.argmax())
    value = cells.iloc[at]
    text = (
        f"{whole} has values that are not numbers: {plain(repr(value), SHOWN)} at "
        f"{cells.index[at].isoformat()}"
    )
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return f"{text}; use {whole}.dt.total_seconds()"
    if isinstance(value, str) and THOUSANDS.fullmatch(value):
        return f"{text}; use {whole}.str.replace(',', '').astype(float)"
    if not wrong.all():
        return f"{text}; pd.to_numeric({whole}, errors='coerce') makes such cells missing"
    if whole == what:
        return text
    return f"{text}; leave the column out, as {what}.drop(columns={column.name!r}) does"


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]  # that is asked here
    except (TypeError, ValueError, OverflowError):
        return False
    return True


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
    index, zone = pd.DatetimeIndex(frame.index), next(filter(None, zones), "UTC")
    # most rows are too near to each other to be months
    if len(index) < 2 or index[-1] - index[0] < (len(index) - 1) * LENGTHS[MONTH][0]:  # noqa: PLR2004  one row has no step
        return frame
    local = index.tz_convert(zone).tz_localize(None)
    if not ((local == local.normalize()) & local.is_month_end).all():
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
