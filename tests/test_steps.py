"""The days, weeks and months of a calendar: none is dropped or doubled, whatever clocks do."""

from __future__ import annotations

import copy
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.collectors.steps import Resample, Samples, to_steps
from anomaly.errors import UsageError
from anomaly.frames import regular
from anomaly.model import Window, Windows
from anomaly.panel import assemble, edges, ended, extended, grid, has_step, step_of
from anomaly.steps import DAY, MONTH, WEEK, CalendarStep, align, later, shifted

# Lord Howe moves its clocks by half an hour, Apia skipped a day, Havana and Beirut skip midnight
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/Havana",
    "Asia/Beirut",
    "UTC",
)
HALF_HOUR = timedelta(minutes=30)
APIA = datetime(2011, 12, 20, tzinfo=UTC)

zones = st.sampled_from(ZONES)
units = st.sampled_from([DAY, WEEK, MONTH])
moments = st.integers(365 * 41, 365 * 56).map(
    lambda days: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=days, hours=days % 24)
) | st.sampled_from([APIA, datetime(2025, 3, 20, tzinfo=UTC), datetime(2025, 10, 20, tzinfo=UTC)])
spans = st.integers(0, 24 * 100).map(lambda hours: timedelta(hours=hours))


def name_of(moment: datetime, unit: timedelta, zone: str) -> tuple[int, ...]:
    """Which day, week or month of a zone a moment lies in."""
    day = moment.astimezone(ZoneInfo(zone)).date()
    week = day.isocalendar()[:2]
    return {DAY: (day.toordinal(),), WEEK: week, MONTH: (day.year, day.month)}[unit]


def every_half_hour(start: datetime, end: datetime) -> list[datetime]:
    first = align(start, HALF_HOUR)
    return [first + i * HALF_HOUR for i in range((end - first) // HALF_HOUR + 2)]


@pytest.mark.slow
@given(zones, units, moments, spans)
def test_the_grid_has_every_day_week_or_month_of_the_zone_once(
    zone: str, unit: timedelta, start: datetime, span: timedelta
) -> None:
    window = Window(start, start + span + HALF_HOUR)
    changes = [
        moment
        for before, moment in pairwise(every_half_hour(start - HALF_HOUR, window.end))
        if name_of(before, unit, zone) != name_of(moment, unit, zone)
    ]
    bounds = [moment for moment in changes if window.start <= moment <= window.end]

    index = grid(window, CalendarStep(unit, zone))

    assert [stamp.to_pydatetime() for stamp in index] == bounds[:-1]


@pytest.mark.slow
@pytest.mark.slow
@given(zones, units, moments, st.lists(spans, min_size=1, max_size=20))
def test_each_row_falls_into_one_step_and_their_order_is_kept(
    zone: str, unit: timedelta, start: datetime, after: list[timedelta]
) -> None:
    step = CalendarStep(unit, zone)
    rows = [start + each for each in sorted(after)]

    starts = [align(row, step) for row in rows]

    assert starts == sorted(starts)
    for row, begin in zip(rows, starts, strict=True):
        assert begin <= row < later(begin, step)
        assert align(begin, step) == begin
        assert name_of(begin, unit, zone) == name_of(row, unit, zone)


@pytest.mark.slow
@pytest.mark.slow
@given(zones, units, moments, st.integers(0, 40))
def test_so_many_steps_later_and_back(
    zone: str, unit: timedelta, moment: datetime, count: int
) -> None:
    step = CalendarStep(unit, zone)
    start = align(moment, step)

    end = later(start, step, count)

    assert later(end, step, -count) == start
    assert len(step.edges(start, end)) == count + 1


@pytest.mark.slow
@given(
    zones,
    st.sampled_from([DAY, WEEK, MONTH]),
    st.dates(date(2011, 11, 1), date(2025, 6, 1)),
    st.sampled_from([0, 6, 12, 23]),
    st.data(),
)
def test_rows_at_one_local_time_are_on_a_grid_of_one_row_each(
    zone: str, unit: timedelta, day: date, hour: int, data: st.DataObject
) -> None:
    first = day.replace(day=1 + day.day % 28)
    days = {
        DAY: [first + timedelta(days=i) for i in range(200)],
        WEEK: [first + timedelta(weeks=i) for i in range(60)],
        MONTH: [date(first.year + i // 12, i % 12 + 1, first.day) for i in range(30)],
    }[unit]
    walls = [datetime.combine(each, time(hour)) for each in days]
    stamps = dict.fromkeys(wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for wall in walls)
    whole = pd.DatetimeIndex([*stamps]).as_unit("ns")
    gaps = data.draw(st.sets(st.integers(1, len(whole) - 2), max_size=5))

    index, step = regular(pd.DatetimeIndex(whole.delete([*gaps])), [zone])

    assert index.equals(whole)
    assert isinstance(step, CalendarStep)
    assert step == unit
    assert has_step(pd.DataFrame(index=index), step)


@pytest.mark.parametrize(
    ("zone", "stamps"),
    [
        ("UTC", pd.date_range("2025-01-01", periods=100, freq="D", tz="UTC")),
        ("America/New_York", pd.date_range("2025-01-01", periods=100, freq="D", tz="UTC")),
    ],
)
def test_midnights_of_utc_are_days_of_utc(zone: str, stamps: pd.DatetimeIndex) -> None:
    index, step = regular(stamps, [zone])

    assert index.equals(stamps)
    assert isinstance(step, CalendarStep)
    assert step.zone == "UTC"


@pytest.mark.parametrize(
    ("frequency", "advice"),
    [("ME", "by its first day"), ("QS", "days, weeks or months"), ("YS", "days, weeks or months")],
)
def test_rows_that_are_no_steps_of_a_calendar_are_refused_with_advice(
    frequency: str, advice: str
) -> None:
    stamps = pd.date_range("2020-01-01", periods=30, freq=frequency, tz="Europe/Berlin")

    with pytest.raises(UsageError, match=advice):
        regular(stamps.tz_convert("UTC"), ["Europe/Berlin"])


def test_local_days_without_their_zone_are_refused_with_advice() -> None:
    stamps = pd.date_range("2025-01-01", periods=200, freq="D", tz="Europe/Berlin")

    with pytest.raises(UsageError, match="timezone='Europe/Berlin'"):
        regular(stamps.tz_convert("UTC"), ["UTC"])


def test_a_step_survives_copies() -> None:
    step = CalendarStep(WEEK, "Europe/Berlin", datetime.combine(date(2025, 6, 4), time(6)))

    for again in (copy.copy(step), copy.deepcopy(step)):
        assert again == step
        assert (again.zone, again.origin, str(again)) == (step.zone, step.origin, "1w")


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    moment = datetime(2025, 4, 2, 12, tzinfo=UTC)

    week = align(moment, CalendarStep(WEEK, "Europe/Berlin"))
    month = align(moment, CalendarStep(MONTH, "Europe/Berlin"))

    assert week == datetime(2025, 3, 31, tzinfo=berlin)
    assert month == datetime(2025, 4, 1, tzinfo=berlin)


def test_days_are_added_on_the_wall_clock() -> None:
    berlin, day = ZoneInfo("Europe/Berlin"), CalendarStep(DAY, "Europe/Berlin")
    start = datetime(2025, 10, 25, tzinfo=berlin).astimezone(UTC)

    assert shifted(start, timedelta(days=7), day) == datetime(2025, 11, 1, tzinfo=berlin)
    assert shifted(start, timedelta(days=7), DAY) != datetime(2025, 11, 1, tzinfo=berlin)
    windows = Windows(timedelta(days=28), timedelta(0), timedelta(days=7), day)
    assert windows.watched_until(start) == datetime(2025, 11, 1, tzinfo=berlin)
    assert windows.history_since(start) == datetime(2025, 9, 27, tzinfo=berlin)


def test_a_panel_of_days_is_extended_cut_and_measured_by_its_days() -> None:
    berlin, day = ZoneInfo("Europe/Berlin"), CalendarStep(DAY, "Europe/Berlin")
    index = grid(
        Window(datetime(2025, 10, 20, tzinfo=berlin), datetime(2025, 10, 27, tzinfo=berlin)), day
    )
    panel = assemble({("k", "", "value"): np.ones(len(index))}, index)

    assert step_of(panel) == DAY
    assert len(index) == len(extended(panel, day, datetime(2025, 10, 27, tzinfo=berlin))) == 7
    assert len(extended(panel, day, datetime(2025, 10, 30, 12, tzinfo=berlin))) == 10
    hours = np.diff(edges(index, day)) / 3_600_000_000_000
    assert hours.tolist() == [24, 24, 24, 24, 24, 24, 25]
    # the day of the hour change is over at its own midnight, not an hour before
    assert not ended(index, datetime(2025, 10, 26, 23, 30, tzinfo=berlin), day)[-1]
    assert ended(index, datetime(2025, 10, 27, tzinfo=berlin), day)[-1]


@pytest.mark.slow
@given(zones, units, moments, st.lists(st.integers(0, 100 * 48), min_size=1, max_size=50))
def test_events_of_a_file_are_counted_once_each_in_the_step_they_lie_in(
    zone: str, unit: timedelta, start: datetime, after: list[int]
) -> None:
    step = CalendarStep(unit, zone)
    end = align(start + 101 * timedelta(days=1), step)
    index = grid(Window(align(start, step), end), step)
    events = [moment for each in after if (moment := start + each * HALF_HOUR) < end]
    stamps = np.array([int(each.timestamp()) * 10**9 for each in events], dtype=np.int64)
    numbers = np.arange(len(events), dtype=np.int32)  # no two at one moment in a series
    samples = Samples(
        stamps, np.ones(len(events)), numbers, numbers, [(str(n),) for n in range(len(events))]
    )

    placed = to_steps(samples, index, Resample.SUM, str)

    assert placed.present.sum() == len(events)
    for row, event in zip(placed.present, events, strict=True):
        assert index[row].tolist() == [pd.Timestamp(align(event, step))]
