"""Steps of the calendar: the days, weeks and months of a time zone.

A day has 23, 24 or 25 hours where clocks change, a month 28 to 31 days. So such a step has a usual
length, and the calendar says where each one starts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

DAY, WEEK = timedelta(days=1), timedelta(weeks=1)
MONTH = timedelta(seconds=2_629_746)  # on average: 400 years of the Gregorian calendar / 4,800
NAMES = {DAY: "1d", WEEK: "1w", MONTH: "1M"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ORIGIN = datetime(2001, 1, 1)  # noqa: DTZ001  a wall clock: the first of a month, and a Monday


class CalendarZone(ZoneInfo):
    """The zone of a calendar: a moment in it is the start of a day, a week or a month, and is shown
    by its date."""


class CalendarStep(timedelta):
    """A day, a week or a month of `zone`, an IANA name; as a timedelta it is its usual length
    (DAY, WEEK, MONTH).

    Days start at the time of `origin`, a wall clock of the zone, weeks on its weekday, months on
    its day of the month, which is at most the 28th. A day that the calendar of the zone skips is no
    step. Arithmetic gives a plain timedelta.
    """

    __slots__ = ("origin", "zone")

    zone: str
    origin: datetime

    def __new__(cls, usual: timedelta, zone: str, origin: datetime = ORIGIN) -> CalendarStep:
        out = super().__new__(cls, days=usual.days, seconds=usual.seconds)
        out.zone, out.origin = zone, origin
        return out

    def __reduce__(self) -> tuple[Any, ...]:
        usual = timedelta(days=self.days, seconds=self.seconds)
        return type(self), (usual, self.zone, self.origin)

    def __str__(self) -> str:
        return NAMES[self]

    def start(self, moment: datetime) -> datetime:
        """When the step that holds `moment` starts, in UTC."""
        return self._starts(self._number(moment))

    def later(self, moment: datetime, count: int) -> datetime:
        """When the step starts that is `count` after the one that holds `moment` (before it, if
        negative), in UTC."""
        number, sign = self._number(moment), 1 if count > 0 else -1
        while count:
            number += sign
            if self._starts(number) < self._starts(number + 1):
                count -= sign
        return self._starts(number)

    def edges(self, start: datetime, end: datetime) -> list[datetime]:
        """When the whole steps between two moments start, and the end of the last; in UTC."""
        number, out = self._number(start), list[datetime]()
        while (edge := self._starts(number)) <= end:
            if edge >= start and edge not in out[-1:]:
                out.append(edge)
            number += 1
        return out

    def shifted(self, moment: datetime, by: timedelta) -> datetime:
        """`moment` moved on the wall clock by the whole days of `by`, and then by the rest."""
        wall = moment.astimezone(ZoneInfo(self.zone))
        return (wall + timedelta(days=by.days)).astimezone(UTC) + (by - timedelta(days=by.days))

    def _number(self, moment: datetime) -> int:
        """Which step holds `moment`: the last that starts by then."""
        wall = moment.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)
        if self == MONTH:
            wall -= self.origin - self.origin.replace(day=1, hour=0, minute=0, second=0)
            number = 12 * wall.year + wall.month - 1
        else:
            number = (wall - self.origin) // self
        while self._starts(number + 1) <= moment:  # a wall clock that is set back is there twice
            number += 1
        while self._starts(number) > moment:
            number -= 1
        return number

    def _starts(self, number: int) -> datetime:
        if self == MONTH:
            month = self.origin.replace(year=number // 12, month=number % 12 + 1)
            return month.replace(tzinfo=ZoneInfo(self.zone)).astimezone(UTC)
        wall = self.origin + number * self
        return wall.replace(tzinfo=ZoneInfo(self.zone)).astimezone(UTC)


def align(moment: datetime, step: timedelta) -> datetime:
    """The start of the step that `moment` lies in; steps count from the Unix epoch, or by the
    calendar."""
    if isinstance(step, CalendarStep):
        return step.start(moment)
    return moment - (moment - EPOCH) % step


def later(start: datetime, step: timedelta, count: int = 1) -> datetime:
    """The start of the step that is `count` after the one that begins at `start`; before it, if
    negative."""
    return step.later(start, count) if isinstance(step, CalendarStep) else start + count * step


def shifted(moment: datetime, by: timedelta, step: timedelta) -> datetime:
    """`moment` moved by a length of time: on the wall clock where steps are those of the
    calendar."""
    return step.shifted(moment, by) if isinstance(step, CalendarStep) else moment + by


def local(moment: datetime, step: timedelta) -> datetime:
    """When a step starts, in the zone of its calendar, so that it is shown under its own date; as
    it is for other steps."""
    return moment.astimezone(CalendarZone(step.zone)) if isinstance(step, CalendarStep) else moment


def of_calendar(step: timedelta, zone: str) -> timedelta:
    """A day, a week or a month as the step of the calendar in `zone`; any other step, and a step
    of the calendar, as it is."""
    if isinstance(step, CalendarStep) or step not in NAMES:
        return step
    return CalendarStep(step, zone)
