"""The schedule of looks holds its promises for all settings and releases: bounds, shape, count,
and no difference by how it is asked."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.errors import UsageError
from anomaly.model import Window
from anomaly.timing.schedule import Schedule, due, interval, looks, planned

T = datetime(2025, 6, 3, 10, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
DAILY = Schedule(usual=HOUR, peak=5 * MINUTE, climb=24 * HOUR, fall=6 * HOUR)

lengths = st.integers(60, 2 * 86_400).map(lambda seconds: timedelta(seconds=seconds))
schedules = st.tuples(lengths, lengths, lengths, lengths).map(
    lambda four: Schedule(max(four[:2]), min(four[:2]), four[2], four[3])
)
moments = st.integers(-3 * 86_400, 3 * 86_400).map(lambda seconds: T + timedelta(seconds=seconds))
releases = st.lists(moments, max_size=4)
windows = st.tuples(moments, st.integers(1, 86_400)).map(
    lambda pair: Window(pair[0], pair[0] + timedelta(seconds=pair[1]))
)


def test_looks_climb_to_the_release_and_fall_after_it() -> None:
    made = looks(DAILY, [T], Window(T - 26 * HOUR, T + 9 * HOUR))
    pauses = [(after - before).total_seconds() for before, after in pairwise(made)]
    middle = made.index(T)

    assert pauses[:middle] == sorted(pauses[:middle], reverse=True)
    assert pauses[middle:] == sorted(pauses[middle:])
    assert pauses[0] == pauses[-1] == 3600
    assert pauses[middle] == pytest.approx(300, abs=5)
    assert sum(T - HOUR <= moment < T for moment in made) == pytest.approx(12, abs=1)


def test_the_frequency_is_linear_and_of_two_releases_the_higher_holds() -> None:
    def per_hour(*starts: datetime, at: datetime) -> float:
        return HOUR / interval(DAILY, starts, at)

    assert per_hour(T, at=T - 12 * HOUR) == pytest.approx((1 + 12) / 2)
    assert per_hour(T, at=T + 3 * HOUR) == pytest.approx((1 + 12) / 2)
    assert per_hour(T, at=T + 6 * HOUR) == per_hour(T, at=T - 24 * HOUR) == pytest.approx(1)
    later = T + 10 * HOUR
    for hours in range(-30, 30):
        at = T + timedelta(hours=hours)
        assert per_hour(T, later, at=at) == pytest.approx(
            max(per_hour(T, at=at), per_hour(later, at=at))
        )


@pytest.mark.slow
@given(schedules, releases, moments)
def test_the_frequency_stays_between_usual_and_peak(
    schedule: Schedule, starts: list[datetime], at: datetime
) -> None:
    assert schedule.peak - SECOND <= interval(schedule, starts, at) <= schedule.usual + SECOND


@pytest.mark.slow
@given(schedules, moments, st.lists(moments, min_size=2, max_size=8))
def test_the_frequency_rises_up_to_a_release_and_falls_from_there(
    schedule: Schedule, start: datetime, at: list[datetime]
) -> None:
    for before, after in pairwise(sorted(at)):
        if after <= start:
            assert interval(schedule, [start], before) >= interval(schedule, [start], after)
        if before >= start:
            assert interval(schedule, [start], before) <= interval(schedule, [start], after)


@pytest.mark.slow
@given(schedules, releases, windows)
def test_there_are_as_many_looks_as_the_integral_of_the_frequency(
    schedule: Schedule, starts: list[datetime], window: Window
) -> None:
    steps = 2000
    width = window.length / steps
    integral = math.fsum(
        width / interval(schedule, starts, window.start + (number + 0.5) * width)
        for number in range(steps)
    )

    assert planned(schedule, starts, window) == pytest.approx(integral, abs=0.01, rel=1e-3)
    assert abs(len(looks(schedule, starts, window)) - integral) <= 1.02


@pytest.mark.slow
@given(schedules, releases, st.lists(moments, min_size=3, max_size=5, unique=True))
def test_looks_are_the_same_however_the_window_is_cut(
    schedule: Schedule, starts: list[datetime], cuts: list[datetime]
) -> None:
    cuts = sorted(cuts)
    whole = looks(schedule, starts, Window(cuts[0], cuts[-1]))
    parts = [
        moment
        for begin, end in pairwise(cuts)
        for moment in looks(schedule, starts, Window(begin, end))
    ]

    assert parts == whole
    assert len(set(whole)) == len(whole)
    assert whole == looks(schedule, [*reversed(starts), *starts], Window(cuts[0], cuts[-1]))


@pytest.mark.slow
@given(schedules, releases, windows)
def test_a_look_is_due_if_one_was_planned_since_the_last(
    schedule: Schedule, starts: list[datetime], window: Window
) -> None:
    since = Window(window.start + timedelta.resolution, window.end + timedelta.resolution)
    assert due(schedule, starts, last=window.start, now=window.end) == bool(
        looks(schedule, starts, since)
    )


def test_a_tick_every_five_minutes_makes_each_look_of_a_schedule_that_is_no_faster_once() -> None:
    window = Window(T, T + 8 * HOUR)
    last, made = None, 0
    for number in range(8 * 12):
        now = (
            T + number * 5 * MINUTE + (number * 7 % 11) * SECOND
        )  # cron is a little late, now more, now less
        if due(DAILY, [T], last=last, now=now):
            last, made = now, made + 1
    assert made == pytest.approx(planned(DAILY, [T], window), abs=1)


def test_the_first_look_is_due_at_once_and_a_night_that_was_missed_is_one_look() -> None:
    assert due(DAILY, [T], last=None, now=T + SECOND)
    assert due(DAILY, [T], last=T, now=T + 12 * HOUR)
    assert not due(DAILY, [T], last=T + 12 * HOUR, now=T + 12 * HOUR + 5 * MINUTE)


def test_without_a_release_looks_are_even() -> None:
    assert looks(DAILY, [], Window(T, T + 3 * HOUR)) == [T, T + HOUR, T + 2 * HOUR]


@pytest.mark.parametrize(
    ("lengths", "problem"),
    [
        ((5 * MINUTE, HOUR, HOUR, HOUR), r"rhythm.peak is 1h, longer than usual \(5m\)"),
        ((HOUR, timedelta(0), HOUR, HOUR), "rhythm.peak is 0s; it must be 1s at least"),
        ((HOUR, MINUTE, -HOUR, HOUR), "rhythm.climb is -1h; it must be 1s at least"),
    ],
)
def test_an_impossible_schedule_is_refused(lengths: tuple[timedelta, ...], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Schedule(*lengths)
