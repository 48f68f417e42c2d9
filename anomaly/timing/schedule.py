"""The schedule of looks: most often at a release, rarer before and after. Pure: the same input
gives the same moments.

The frequency of looks is 1 / `usual` far from a release, climbs linearly over `climb` to 1 / `peak`
at the release, and falls linearly back over `fall`. With several releases the highest frequency
holds. Its integral from the first release on counts the looks: a look is due wherever the integral
passes a whole number, the zeroth at the release itself. Without a release it counts from the epoch.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise, takewhile

from anomaly.errors import UsageError
from anomaly.model import Window, utc
from anomaly.timing.durations import duration_text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Intervals between looks, `usual` and at the release (`peak`), and how long they change before
    it (`climb`) and after (`fall`). See the module.

    Raises UsageError unless all are at least a second, and `peak` is no longer than `usual`.
    """

    usual: timedelta
    peak: timedelta
    climb: timedelta
    fall: timedelta

    def __post_init__(self) -> None:
        for name in ("usual", "peak", "climb", "fall"):
            length = getattr(self, name)
            if length < SECOND:
                raise UsageError(
                    f"rhythm.{name} is {duration_text(length)}; it must be 1s at least"
                )
        if self.peak > self.usual:
            usual, peak = duration_text(self.usual), duration_text(self.peak)
            raise UsageError(
                f"rhythm.peak is {peak}, longer than usual ({usual}); both are intervals between "
                "looks, and at the release it is shortest"
            )


def looks(schedule: Schedule, releases: Iterable[datetime], window: Window) -> list[datetime]:
    """The moments to look at in the window, to the second, in order of time."""
    return list(
        takewhile(
            lambda moment: moment < window.end,
            _Frequency.of(schedule, releases).looks(window.start),
        )
    )


def due(
    schedule: Schedule, releases: Iterable[datetime], *, last: datetime | None, now: datetime
) -> bool:
    """Whether to look now, after a look at `last`: the first look is due at once, and one look
    makes up for all that were missed."""
    if last is None:
        return True
    return next(_Frequency.of(schedule, releases).looks(last + timedelta.resolution)) <= now


def following(schedule: Schedule, releases: Iterable[datetime], after: datetime) -> datetime:
    """The first moment to look at, at `after` or later."""
    return next(_Frequency.of(schedule, releases).looks(after))


def interval(schedule: Schedule, releases: Iterable[datetime], at: datetime) -> timedelta:
    """The time between two looks at this moment."""
    return timedelta(seconds=1 / _Frequency.of(schedule, releases).at(at))


def planned(schedule: Schedule, releases: Iterable[datetime], window: Window) -> float:
    """The number of looks in the window: the integral of the frequency."""
    frequency = _Frequency.of(schedule, releases)
    return frequency.count(window.end) - frequency.count(window.start)


@dataclass(frozen=True, slots=True)
class _Frequency:
    """The frequency per second as lines between knots: `times` in seconds from `origin`, `counts`
    its integral from there.

    It is constant before the first knot and after the last.
    """

    origin: datetime
    times: tuple[float, ...]
    frequencies: tuple[float, ...]
    counts: tuple[float, ...]

    @classmethod
    def of(cls, schedule: Schedule, releases: Iterable[datetime]) -> _Frequency:
        moments = sorted({utc(each, "release") for each in releases})
        usual, peak = 1 / schedule.usual.total_seconds(), 1 / schedule.peak.total_seconds()
        if not moments:
            return cls(EPOCH, (0.0,), (usual,), (0.0,))
        climb, fall = schedule.climb.total_seconds(), schedule.fall.total_seconds()
        starts = [(each - moments[0]).total_seconds() for each in moments]
        knots = [(-climb, usual), (0.0, peak)]
        for before, after in pairwise(starts):
            if after - before >= climb + fall:
                knots += [(before + fall, usual), (after - climb, usual)]
            else:  # the climb meets the fall
                part = (after - before) / (climb + fall)
                knots.append((before + part * fall, peak - part * (peak - usual)))
            knots.append((after, peak))
        knots.append((starts[-1] + fall, usual))
        counts = [-climb * (usual + peak) / 2]
        for (begin, first), (end, last) in pairwise(knots):
            counts.append(counts[-1] + (end - begin) * (first + last) / 2)
        return cls(
            moments[0],
            tuple(at for at, _ in knots),
            tuple(each for _, each in knots),
            tuple(counts),
        )

    def at(self, moment: datetime) -> float:
        at = self._seconds(moment)
        piece = self._piece(self.times, at)
        since = at - self.times[piece]
        return self.frequencies[piece] + since * self._slope(piece, since)

    def count(self, moment: datetime) -> float:
        """The integral of the frequency from the origin to the moment."""
        at = self._seconds(moment)
        piece = self._piece(self.times, at)
        since = at - self.times[piece]
        return self.counts[piece] + since * (
            self.frequencies[piece] + since * self._slope(piece, since) / 2
        )

    def looks(self, start: datetime) -> Iterator[datetime]:
        """The looks from `start` on, endless."""
        for number in count(math.floor(self.count(start)) - 1):
            moment = self._moment(number)
            if moment >= start:
                yield moment

    def _moment(self, number: int) -> datetime:
        """When the integral is `number`, to the second: the root of a quadratic in its piece."""
        piece = self._piece(self.counts, number)
        missing, frequency = number - self.counts[piece], self.frequencies[piece]
        root = math.sqrt(max(0.0, frequency**2 + 2 * missing * self._slope(piece, missing)))
        return self.origin + timedelta(
            seconds=math.floor(self.times[piece] + 2 * missing / (frequency + root) + 0.5)
        )

    def _seconds(self, moment: datetime) -> float:
        return (moment - self.origin).total_seconds()

    @staticmethod
    def _piece(knots: tuple[float, ...], value: float) -> int:
        """The last knot at or before `value`; the first if there is none."""
        return max(0, bisect_right(knots, value) - 1)

    def _slope(self, piece: int, since: float) -> float:
        """The change of the frequency per second, `since` seconds after the knot `piece`; 0 before
        the first knot and after the last."""
        if since < 0 or piece + 1 == len(self.times):
            return 0.0
        return (self.frequencies[piece + 1] - self.frequencies[piece]) / (
            self.times[piece + 1] - self.times[piece]
        )
