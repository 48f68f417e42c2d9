"""What a cell means: a moment with its time zone, a number, or nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from anomaly.collectors import written_numbers
from anomaly.collectors.written_dates import Dates
from anomaly.collectors.written_numbers import Decimal
from anomaly.wording import plain

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
SmallIntegers = npt.NDArray[np.int32]

NO_STAMP = np.iinfo(np.int64).min  # what NaT is inside
EARLIEST = int(datetime(1970, 1, 1, tzinfo=UTC).timestamp()) * 10**9
LATEST = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp()) * 10**9
LOST = NO_STAMP + 1  # a moment that can't be told from another
ALWAYS = np.array([EARLIEST, LATEST])
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
MOMENT = re.compile(
    (
        r"(\d{4}-\d\d-\d\d(?:[T "
        r"](?!24)\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?)?)\s*(Z|z|UTC|[+-]\d\d(?::?\d\d)?)?"
    ),
    re.ASCII,
)
PLAIN_MOMENT = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d(:?\d\d)?)"
WITH_SEPARATORS = re.compile(r"[+-]?\d[\d.,'’\s]*")
INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
MISSING = frozenset(
    {
        "",
        "nan",
        "null",
        "none",
        "na",
        "n/a",
        "<na>",
        "#n/a",
        "#na",
        "#nv",
        "\\n",
        "(null)",
        "<null>",
    }
)
SHOWN = 40


class TimeUnit(StrEnum):
    """What a stamp that is a number counts since 1970."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    NANOSECONDS = "ns"


MICROSECONDS = {
    TimeUnit.SECONDS: 1_000_000,
    TimeUnit.MILLISECONDS: 1_000,
    TimeUnit.MICROSECONDS: 1,
    TimeUnit.NANOSECONDS: 0.001,
}
LIKELY = (  # microseconds since 1970: 1990 to 2100, in which numbers of one unit fit no other
    datetime(1990, 1, 1, tzinfo=UTC).timestamp() * 1e6,
    datetime(2100, 1, 1, tzinfo=UTC).timestamp() * 1e6,
)
SPREADSHEET_DAYS = range(25_569, 73_051)  # 1970 to 2100, in days since 1899
CLOCK_DIGITS = {12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}  # by how many digits there are
NAMED_ZONE = re.compile(r".*\d\s*([A-Z]{3,5})", re.ASCII)
WITH_UNIT = re.compile(r"[+-]?\d[\d.,]*\s*[A-Za-zµ°/]+", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Bad:
    """The first cell that means nothing: how many cells precede it, and why it means nothing."""

    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class Clock:
    """How stamps are read: naive ones in `timezone` (None: refused), numbers as `unit` (s, ms)
    since 1970 (None: refused), those that are not ISO-8601 as `dates` (None: refused)."""

    timezone: ZoneInfo | None = None
    unit: TimeUnit | None = None
    dates: Dates | None = None


def decoded(cells: pd.Series) -> pd.Series:
    """The cells as they are, not as numbers of what is there once."""
    if isinstance(cells.dtype, pd.CategoricalDtype):
        return cells.astype(cells.dtype.categories.dtype)
    return cells


def numbered(cells: pd.Series) -> tuple[Integers, pd.Series]:
    """The number of each cell among the distinct ones, and these."""
    if not isinstance(cells.dtype, pd.CategoricalDtype) or cells.hasnans:
        numbers, distinct = pd.factorize(decoded(cells), use_na_sentinel=False)
        return np.asarray(numbers, dtype=np.int64), pd.Series(distinct)
    codes = cells.cat.codes.to_numpy()
    present = np.zeros(len(cells.dtype.categories), dtype=bool)
    present[codes] = True
    places = np.cumsum(present) - 1
    return places[codes], pd.Series(cells.dtype.categories[present])


def texts(cells: pd.Series) -> pd.Series:
    """The cells as stripped text, empty where there is nothing."""
    cells = decoded(cells)
    if isinstance(cells.dtype, pd.StringDtype) and not cells.hasnans:
        return cells.str.strip()
    return cells.astype(object).where(cells.notna(), "").astype(str).str.strip()


def empty(cells: pd.Series) -> npt.NDArray[np.bool_]:
    """Which cells hold nothing."""
    if isinstance(cells.dtype, pd.CategoricalDtype):
        nothing = empty(pd.Series(cells.dtype.categories))
        return np.append(nothing, True)[cells.cat.codes.to_numpy()]
    if pd.api.types.is_string_dtype(cells.dtype):
        return (texts(cells) == "").to_numpy()
    return cells.isna().to_numpy()


def stamps(
    cells: pd.Series,
    clock: Clock,
    labels: Sequence[pd.Series] = (),
    edges: Integers = ALWAYS,
) -> tuple[Integers, Bad | None]:
    """Nanoseconds since 1970 per cell, `NO_STAMP` where it is no moment between 1970 and 2200; and
    the first of those.

    A local time that clocks show twice is told by the order of the rows of its series, which has
    the same `labels`. One that can't be told matters only between the `edges` of the asked steps,
    and where its two moments lie in different ones: it is `LOST`.
    """
    cells = decoded(cells)
    written = cells
    if clock.dates is not None and not pd.api.types.is_datetime64_any_dtype(cells.dtype):
        cells = _as_iso(cells, clock.dates, clock.unit)
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        out = _of_datetimes(pd.DatetimeIndex(cells), clock)
    else:
        codes, distinct = pd.factorize(texts(cells))
        out = (
            _of_plain_texts(distinct)
            if _all_plain(distinct)
            else _of_texts(distinct.tolist(), clock)
        )[codes]
    unread = np.flatnonzero(out == NO_STAMP)
    if len(unread) and clock.timezone is not None:
        others = out[out != NO_STAMP]
        backwards = len(others) > 1 and others[0] > others[-1]
        rows = unread[::-1] if backwards else unread
        names = [texts(label.iloc[rows]).tolist() for label in labels] or [[""] * len(rows)]
        series = pd.factorize(pd.Series([*zip(*names, strict=True)]))[0]
        out[rows] = _around_changes(_walls(cells.iloc[rows]), clock.timezone, series, edges)
    in_range = (out >= EARLIEST) & (out < LATEST)
    if in_range.all():
        return out, None
    out = np.where(in_range | (out == LOST), out, NO_STAMP)
    at = int((out == NO_STAMP).argmax())
    if out[at] != NO_STAMP:
        return out, None
    iso = str(texts(cells.iloc[at : at + 1]).iloc[0])
    shown = str(texts(written.iloc[at : at + 1]).iloc[0])
    return out, Bad(at, _why_no_moment(iso, shown, clock))


def is_moment(text: str) -> bool:
    """Whether a text has the form of ISO-8601."""
    return MOMENT.fullmatch(text) is not None


def days(cells: pd.Series, clock: Clock) -> Integers:
    """Per cell the day that it names if it is the start of one where it was written: nanoseconds
    from 1970 to its midnight, as if that were in UTC. NO_STAMP for other times."""
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        walls = pd.DatetimeIndex(cells).tz_localize(None)
    else:
        iso = texts(cells) if clock.dates is None else _as_iso(cells, clock.dates, clock.unit)
        matches = [MOMENT.fullmatch(text) for text in iso]
        written = [None if match is None else match[1].replace(",", ".") for match in matches]
        walls = pd.DatetimeIndex(
            pd.to_datetime(pd.Series(written, dtype=object), format="ISO8601", errors="coerce")
        )
    walls = pd.DatetimeIndex(walls.where(walls == walls.normalize())).as_unit("ns")
    return np.asarray(walls.asi8)


def any_naive(cells: pd.Series, clock: Clock) -> bool:
    """Whether the first of the times, all of which are read, has no zone of its own."""
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        return pd.DatetimeIndex(cells).tz is None
    first = cells.iloc[:1]
    if clock.dates is not None:
        first = _as_iso(first, clock.dates, clock.unit)
    return any((match := MOMENT.fullmatch(text)) and not match[2] for text in texts(first))


def any_percent(cells: pd.Series) -> bool:
    """Whether any of the cells has a percent sign."""
    return bool(texts(cells).str.contains("%", regex=False).any())


def _as_iso(cells: pd.Series, dates: Dates, unit: TimeUnit | None) -> pd.Series:
    """The cells with dates in other forms as ISO-8601."""
    codes, distinct = pd.factorize(texts(cells))

    def written(text: str) -> str:
        if unit is not None and NUMBER.fullmatch(text):
            return text
        iso = dates.iso(text) if dates.format or not is_moment(text) else None
        return text if iso is None else iso

    return pd.Series(np.array([*map(written, distinct)], dtype=object)[codes], index=cells.index)


def _of_datetimes(moments: pd.DatetimeIndex, clock: Clock) -> Integers:
    """Typed moments (Parquet); naive ones need the clock's time zone."""
    if moments.tz is None:
        if clock.timezone is None:
            return np.full(len(moments), NO_STAMP)
        moments = _localized(moments, clock.timezone)
    return _nanoseconds(moments)


def _localized(walls: pd.DatetimeIndex, timezone: ZoneInfo) -> pd.DatetimeIndex:
    """Local times as moments; NaT where clocks change, and where they are far from 1970 to 2200:
    beyond the year 9999 there is no local time."""
    day = pd.Timedelta(days=1)
    near = (walls > pd.Timestamp(EARLIEST) - day) & (walls < pd.Timestamp(LATEST) + day)
    return pd.DatetimeIndex(walls.where(near)).tz_localize(
        timezone, ambiguous="NaT", nonexistent="NaT"
    )


def _walls(cells: pd.Series) -> pd.DatetimeIndex:
    """The cells as local times, NaT where they are none between 1970 and 2200."""
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        walls = pd.DatetimeIndex(cells)
        if walls.tz is not None:  # what has a zone is no local time
            walls = pd.DatetimeIndex([pd.NaT] * len(walls))
    else:
        matches = [MOMENT.fullmatch(text) for text in texts(cells)]
        written = [
            None if match is None or match[2] else match[1].replace(",", ".") for match in matches
        ]
        walls = pd.DatetimeIndex(
            pd.to_datetime(pd.Series(written, dtype=object), format="ISO8601", errors="coerce")
        )
    within = (walls >= pd.Timestamp(EARLIEST)) & (walls < pd.Timestamp(LATEST))
    return pd.DatetimeIndex(walls.where(within)).as_unit("ns")


def _around_changes(
    walls: pd.DatetimeIndex, timezone: ZoneInfo, series: Integers, edges: Integers
) -> Integers:
    """Nanoseconds since 1970 of local times, in order of time, that clocks show twice or never.

    A midnight is the start of its day. Other times that are there twice are told by their order,
    night by night; LOST where that says nothing. NO_STAMP where clocks skip a time that is asked
    for.
    """
    first, second = (
        _placed(walls, timezone, is_first=True),
        _placed(walls, timezone, is_first=False),
    )
    nights = walls.normalize()
    out = np.where(walls == nights, first, NO_STAMP)
    twice = np.flatnonzero(first != second)
    for night in dict.fromkeys(
        zip(series[twice].tolist(), nights.asi8[twice].tolist(), strict=True)
    ):
        rows = twice[(series[twice] == night[0]) & (nights.asi8[twice] == night[1])]
        again = _second_time(walls.asi8[rows])
        if again is not None:
            out[rows] = np.where(again, second[rows], first[rows])
    start, end = (edges[0], edges[-1]) if len(edges) else (LATEST, LATEST)
    steps = [np.searchsorted(edges, moments, "right") for moments in (first, second)]
    needless = (second < start) | (first >= end) | ((first != second) & (steps[0] == steps[1]))
    out = np.where((out == NO_STAMP) & needless, first, out)
    return np.where((out == NO_STAMP) & (first != second), LOST, out)


def _placed(walls: pd.DatetimeIndex, timezone: ZoneInfo, *, is_first: bool) -> Integers:
    """Local times as nanoseconds: the first or the second time that clocks show them, and the next
    moment of those that clocks skip."""
    choice = np.full(len(walls), is_first)
    return _nanoseconds(walls.tz_localize(timezone, ambiguous=choice, nonexistent="shift_forward"))


def _second_time(walls: Integers) -> npt.NDArray[np.bool_] | None:
    """Which rows of a night show their local time for the second time: those after clocks went
    back, or every other one of pairs. None if the order does not tell."""
    falls = np.flatnonzero(np.diff(walls) < 0)
    rows = np.arange(len(walls))
    if len(falls) == 1:
        return np.asarray(rows > falls[0])
    in_pairs = len(walls) % 2 == 0 and np.array_equal(walls[::2], walls[1::2])
    if not len(falls) and in_pairs and len(np.unique(walls)) == len(walls) // 2:
        return np.asarray(rows % 2 == 1)
    return None


def _all_plain(distinct: pd.Index) -> bool:
    """Whether every text is a moment with an offset in the form that is read many at a time."""
    return bool(len(distinct)) and bool(distinct.str.fullmatch(PLAIN_MOMENT).all())


def _of_plain_texts(distinct: pd.Index) -> Integers:
    return _nanoseconds(
        pd.DatetimeIndex(pd.to_datetime(distinct, format="ISO8601", errors="coerce", utc=True))
    )


def _of_texts(distinct: list[str], clock: Clock) -> Integers:
    out = np.full(len(distinct), NO_STAMP)
    zoned: dict[int, str] = {}
    naive: dict[int, str] = {}
    for at, text in enumerate(distinct):
        if match := MOMENT.fullmatch(text):
            moment, zone = match[1].replace(",", "."), match[2]
            if zone:
                zoned[at] = moment + ("Z" if zone in {"Z", "z", "UTC"} else zone)
            elif clock.timezone is not None:
                naive[at] = moment
        elif clock.unit is not None and NUMBER.fullmatch(text):
            microseconds = float(text) * MICROSECONDS[clock.unit]
            if 0 <= microseconds < LATEST / 1000:
                out[at] = round(microseconds) * 1000
    if zoned:
        out[[*zoned]] = _parsed([*zoned.values()], None)
    if naive:
        out[[*naive]] = _parsed([*naive.values()], clock.timezone)
    return out


def _parsed(moments: list[str], timezone: ZoneInfo | None) -> Integers:
    """ISO-8601 as nanoseconds; without an offset they are local times of `timezone`."""
    stamps = pd.DatetimeIndex(
        pd.to_datetime(moments, format="ISO8601", errors="coerce", utc=timezone is None)
    )
    if timezone is not None:
        stamps = _localized(stamps, timezone)
    return _nanoseconds(stamps)


def _nanoseconds(moments: pd.DatetimeIndex) -> Integers:
    """Zoned moments since 1970; NO_STAMP for those that nanoseconds can't hold."""
    within = (moments >= pd.Timestamp(EARLIEST, tz="UTC")) & (
        moments < pd.Timestamp(LATEST, tz="UTC")
    )
    if not within.all():
        moments = pd.DatetimeIndex(moments.where(within))
    return np.asarray(moments.as_unit("ns").asi8)


def _why_no_moment(text: str, shown: str, clock: Clock) -> str:
    """Why a text, brought into the form of ISO-8601 if it could be, is no moment."""
    excerpt = repr(plain(shown, SHOWN))
    if not text:
        return "the time is empty; remove the row if it holds totals"
    if NUMBER.fullmatch(text):
        if clock.unit is None:
            return f"the time {excerpt} is a number; {_number_advice(text)}"
        likely = likely_unit(float(text))
        advice = f"; set time_unit to {likely}" if likely else ""
        return f"the time {excerpt} is not between 1970 and 2200 as time_unit {clock.unit}{advice}"
    match = MOMENT.fullmatch(text)
    if match is None or pd.isna(
        pd.to_datetime(match[1].replace(",", "."), format="ISO8601", errors="coerce")
    ):
        return _why_not_read(text, excerpt, clock)
    return f"the time {excerpt} {_why_not_here(match[1], match[2], clock)}"


def _why_not_read(text: str, excerpt: str, clock: Clock) -> str:
    """Why a text is no moment in any form."""
    if clock.dates is not None and clock.dates.format:
        return f"the time {excerpt} is not in the date_format {clock.dates.format}"
    if named := NAMED_ZONE.fullmatch(text):
        return (
            f"the time {excerpt} has the name of a time zone, which may mean several; write an "
            f"offset, or leave {named[1]} out and set timezone"
        )
    return f"{excerpt} is not a time; write 2025-06-03T10:00Z, or set date_format"


def likely_unit(number: float) -> TimeUnit | None:
    """The unit in which a number since 1970 is a time of our days, None if there is none."""
    first, last = LIKELY
    units = (unit for unit in TimeUnit if first <= number * MICROSECONDS[unit] < last)
    return next(units, None)


def _number_advice(text: str) -> str:
    """What to set for a time that is a number."""
    if int(float(text)) in SPREADSHEET_DAYS:
        return (
            "it seems to count the days of a spreadsheet; give its column a date format, and "
            "export it again"
        )
    if (pattern := CLOCK_DIGITS.get(len(text))) and text[:2] in {"19", "20"}:
        return f'set date_format to "{pattern}" if these are the digits of a date'
    unit = likely_unit(float(text)) or "s, ms, us or ns"
    return f"set time_unit to {unit} if it counts from 1970, or write 2025-06-03T10:00Z"


def _why_not_here(moment: str, zone: str | None, clock: Clock) -> str:
    """Why a well-written moment can't be placed."""
    if zone is None and clock.timezone is None:
        return "has no time zone; set timezone (UTC, Europe/Berlin) or write an offset"
    if zone is None and "1970" < moment < "2200":
        return f"does not exist in {clock.timezone}, where clocks skip it; write it with an offset"
    return "is not between 1970 and 2200"


def numbers(cells: pd.Series, decimal: Decimal | None = None) -> tuple[Floats, Bad | None]:
    """The cells as numbers, NaN where there is nothing, infinities as they are; and the first cell
    that is something else.

    Without a `decimal` sign only numbers as programs write them are read. With one, those of people
    too, of which all must be in one unit.
    """
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return cells.to_numpy(dtype=np.float64, na_value=np.nan), None
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        cells = texts(cells)
    cells = decoded(cells)
    if decimal is not None:
        return _of_people(cells, decimal)
    out = np.asarray(pd.to_numeric(cells, errors="coerce"), dtype=np.float64)
    unread = np.flatnonzero(np.isnan(out))
    words = texts(cells.iloc[unread])
    bad = ~words.str.lower().isin(MISSING).to_numpy()
    if not bad.any():
        return out, None
    at = int(bad.argmax())
    return out, Bad(int(unread[at]), _why_no_number(str(words.iloc[at])))


def _of_people(cells: pd.Series, decimal: Decimal) -> tuple[Floats, Bad | None]:
    """Texts as numbers with this decimal sign; numbers stay."""
    if cells.dtype == object:
        typed = cells.map(lambda cell: isinstance(cell, int | float)).to_numpy(dtype=bool)
        if typed.any():
            read, bad_text = _of_people(cells.where(~typed, "").astype("string"), decimal)
            read[typed] = cells[typed].to_numpy(dtype=np.float64)
            return read, bad_text
    codes, distinct = pd.factorize(texts(cells))
    values = np.full(len(distinct), np.nan)
    bad = np.zeros(len(distinct), dtype=bool)
    units: dict[str, int] = {}
    for number, text in enumerate(distinct.tolist()):
        reading = written_numbers.read(text, decimal)
        if reading is not None:
            values[number] = reading.value
            if reading.unit or reading.value:
                units.setdefault(reading.unit, number)
        elif INFINITE.fullmatch(text):
            values[number] = float(text)
        else:
            bad[number] = text.lower() not in MISSING
    if bad.any():
        at = int(bad[codes].argmax())
        return values[codes], Bad(at, _why_no_number(distinct[codes[at]], decimal))
    if len({*units} - {""}) > 1 or {"", "%"} <= {*units}:
        one, other = sorted([*units.values()][-2:])
        return values[codes], Bad(
            int((codes == other).argmax()),
            f"{plain(distinct[other], SHOWN)!r} is in another unit than "
            f"{plain(distinct[one], SHOWN)!r}; write one unit into the column",
        )
    return values[codes], None


def marks(cells: pd.Series) -> Floats:
    """1 for each cell that holds something, NaN for the others."""
    if pd.api.types.is_numeric_dtype(cells.dtype) or pd.api.types.is_datetime64_any_dtype(
        cells.dtype
    ):
        present = cells.notna()
    else:
        present = ~texts(cells).str.lower().isin(MISSING)
    return np.where(present, 1.0, np.nan)


def _why_no_number(text: str, decimal: Decimal | None = None) -> str:
    excerpt = repr(plain(text, SHOWN))
    if text.startswith("="):
        return f"{excerpt} is a formula, not a number; export the values"
    if decimal is not None and WITH_SEPARATORS.fullmatch(text):
        return f"{excerpt} is not a number with a {written_numbers.NAMES[decimal]}; set decimal"
    if text.startswith("#"):
        return f"{excerpt} is an error of a spreadsheet, not a number; leave it empty"
    if WITH_UNIT.fullmatch(text):
        return f"{excerpt} is not a number; write it as a plain number, in one unit for all rows"
    return f"{excerpt} is not a number; leave it empty if nothing was measured"
