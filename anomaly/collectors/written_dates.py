"""Dates as people write them, brought into the form of ISO-8601: `03.06.2025 9:00`, `6/3/25 9:00
AM`, `3 Jun 2025`, `20250603`, `06/2025`, `2025-W23`. `24:00` is the midnight at the end of a day.

Whether the day or the month comes first is told by the dates themselves where it can be: `25/06`
has the day first. With points the day comes first everywhere; `03/06/2025` may be either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from anomaly.errors import UsageError

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH_NAMES = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
NAME = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
CLOCK = (
    r"(?:(?:,?\s+|T)(?P<hour>\d{1,2})(?::(?P<minute>\d\d)(?::(?P<second>\d\d(?:[.,]\d{1,9})?))?)?"
    r"(?:\s*(?P<half>[ap])\.?m\.?)?)?\s*(?P<zone>Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?"
)
FORMS = tuple(
    re.compile(form + end, re.ASCII | re.IGNORECASE)
    for form, end in (
        (r"(?P<first>\d{1,2})(?P<sign>[./-])(?P<next>\d{1,2})(?P=sign)(?P<year>\d{4}|\d\d)", CLOCK),
        (r"(?P<year>\d{4})(?P<sign>[./-])(?P<month>\d{1,2})(?P=sign)(?P<day>\d{1,2})", CLOCK),
        (r"(?P<day>\d{1,2})(?:st|nd|rd|th|\.)?[\s-]*" + NAME + r"[\s,-]*(?P<year>\d{4})", CLOCK),
        (NAME + r"\s*(?P<day>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<year>\d{4})", CLOCK),
        (r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)(?P<hour>\d\d)?", ""),
        (r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)T(?P<hour>\d\d):?(?P<minute>\d\d)"
         r"(?::?(?P<second>\d\d(?:[.,]\d{1,9})?))?(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?", ""),
        (r"(?P<year>\d{4})[-./](?P<month>\d{1,2})", ""),
        (r"(?P<month>\d{1,2})[-./](?P<year>\d{4})", ""),
        (NAME + r"[\s-]+(?P<year>\d{4})", ""),
        (r"(?P<year>\d{4})-?W(?P<week>\d\d)", ""),
    )
)  # fmt: skip
NOON = 12
MIDNIGHT = re.compile(r"T24:00:00(\.0+)?")  # at the end of a day
AS_UTC = re.compile(r"(?<!%)(?:Z|UTC|GMT)\s*$")  # at the end of a format: a zone in plain letters
LONGEST = 60  # characters of a date; what is longer is none
TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", ", %H:%M", ", %H:%M:%S", "T%H:%M", "T%H:%M:%S",
         " %I:%M %p", " %I:%M:%S %p")  # fmt: skip


class Order(StrEnum):
    """What comes first in a date like `03/06/2025`."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Dates:
    """How dates are written that are not ISO-8601: by a format of `strptime`, or with the day or
    the month first; `example` is one of them."""

    order: Order | None = None
    format: str = ""
    example: str = field(default="", compare=False)

    def iso(self, text: str) -> str | None:
        """The moment in `text` as ISO-8601, or None if it is none in this form."""
        if self.format:
            return _formatted(text, self.format)
        match = _match(text)
        return None if match is None else _iso(match, self.order)


@dataclass(slots=True)
class Evidence:
    """What dates say about what comes first in them: per order a date that only it can read, and
    one that both read differently; each with its record. `met` tells whether there was any date
    that is not ISO-8601, and `sign` what parts those that begin with a day or a month."""

    only: dict[Order, tuple[int, str]] = field(default_factory=dict)
    either: tuple[int, str] | None = None
    met: str = ""
    sign: str = ""

    def add(self, texts: Iterable[tuple[int, str]]) -> None:
        """Learns from some dates with their records."""
        for record, text in texts:
            match = _match(text)
            if match is None:
                continue
            readings = {order: _iso(match, order) for order in Order}
            able = [order for order, reading in readings.items() if reading is not None]
            if not able:
                continue
            self.met = self.met or text
            self.sign = self.sign or match.groupdict().get("sign", "") or ""
            if len(able) == 1:
                self.only.setdefault(able[0], (record, text))
            elif len({*readings.values()}) > 1 and self.either is None:
                self.either = (record, text)


def is_date(text: str) -> bool:
    """Whether `text` is a date in one of the forms that are known here."""
    match = _match(text)
    return match is not None and any(_iso(match, order) is not None for order in Order)


def spoken(text: str, order: Order) -> str:
    """A date in words: `3 June 2025`."""
    match = _match(text)
    day = date.fromisoformat((_iso(match, order) or "")[:10]) if match else None
    return f"{day.day} {MONTH_NAMES[day.month - 1]} {day.year}" if day else text


def format_of(text: str, order: Order) -> str:
    """The format of `strptime` that reads a date whose order is not clear."""
    match = _match(text)
    if match is None or "first" not in match.groupdict():
        return "%Y-%m-%d"
    sign, year = match["sign"], "%Y" if len(match["year"]) > 2 else "%y"  # noqa: PLR2004  digits
    parts = ("%d", "%m", year) if order is Order.DAY else ("%m", "%d", year)
    return sign.join(parts)


def checked_format(text: str) -> str:
    """A format of `strptime` that can say a date. Raises UsageError."""
    moment = datetime(2025, 11, 23, 0, 0, tzinfo=UTC)
    if "%Z" in text:
        raise UsageError(
            f"date_format is {text!r}; names of time zones may mean several: write %z and offsets, "
            "or leave the names out and set timezone"
        )
    try:
        read = datetime.strptime(moment.strftime(text), text)  # noqa: DTZ007  maybe without zone
    except ValueError:
        read = None
    if read is None or (read.year, read.month) != (moment.year, moment.month):
        raise UsageError(
            f"date_format is {text!r}; write it with %Y, %m and %d, like %d/%m/%Y or %d.%m.%Y %H:%M"
        )
    return text


def _match(text: str) -> re.Match[str] | None:
    if len(text) > LONGEST:
        return None
    return next((match for form in FORMS if (match := form.fullmatch(text))), None)


def _iso(match: re.Match[str], order: Order | None) -> str | None:
    parts = match.groupdict()
    year = int(parts["year"])
    year += 2000 if len(parts["year"]) <= 2 else 0  # noqa: PLR2004  digits
    try:
        if parts.get("week"):
            day = date.fromisocalendar(year, int(parts["week"]), 1)
        else:
            day = date(year, *_month_and_day(parts, order))
        clock = _clock(parts)
        if clock is not None and MIDNIGHT.fullmatch(clock):
            day, clock = day + timedelta(days=1), "T00:00:00"
    except (ValueError, OverflowError):
        return None
    return None if clock is None else f"{day.isoformat()}{clock}{_zone(parts.get('zone'))}"


def _month_and_day(parts: dict[str, str | None], order: Order | None) -> tuple[int, int]:
    """The numbers of month and day. Raises ValueError where the order is needed and not known."""
    if parts.get("first"):
        first, second = int(parts["first"] or 0), int(parts["next"] or 0)
        if order is None:
            raise ValueError("no order")
        return (second, first) if order is Order.DAY else (first, second)
    name = parts.get("name")
    month = MONTHS.index(name[:3].lower()) + 1 if name else int(parts["month"] or 0)
    return month, int(parts.get("day") or 1)


def _clock(parts: dict[str, str | None]) -> str | None:
    """The time of day as ISO-8601 writes it, empty without one, None for one that is wrong."""
    hour = parts.get("hour")
    half = parts.get("half")
    if hour is None:
        return "" if half is None else None
    if parts.get("minute") is None and half is None and "minute" in parts:
        return None  # `03.06.2025 9` says no time
    number = int(hour)
    if half is not None:
        if not 1 <= number <= NOON:
            return None
        number = number % NOON + (NOON if half.lower() == "p" else 0)
    second = (parts.get("second") or "00").replace(",", ".")
    return f"T{number:02}:{parts.get('minute') or '00'}:{second}"


def _zone(zone: str | None) -> str:
    return "" if zone is None else "Z" if zone.upper() in {"Z", "UTC", "GMT"} else zone


def _formatted(text: str, written: str) -> str | None:
    """`text` by a format of `strptime`; a time may follow where the format has none."""
    has_hours = "%H" in written or "%I" in written
    for end in ("",) if has_hours else TIMES:
        try:
            moment = datetime.strptime(text, written + end)  # noqa: DTZ007  a wall clock, or zoned
        except ValueError:
            continue
        zone = "Z" if moment.tzinfo is None and AS_UTC.search(written) else ""
        if moment.tzinfo is None and not zone and not end and not has_hours:
            return moment.date().isoformat()
        return f"{moment.isoformat()}{zone}"
    return None
