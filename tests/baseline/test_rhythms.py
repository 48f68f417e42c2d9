"""The users' clock: weeks, midnights, daylight saving, and effects that are exactly what is
tolerated."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import anomaly
from anomaly.model import Verdict
from tests.support.draws import Limit
from tests.support.simulations import Floats, frame, noise, remembering

SERIES = 60
FEW_ALARMS = Limit(2, of=SERIES, first=32, early=0)
FEW_MISSES = Limit(6, of=SERIES, first=19, early=0)
BERLIN = "Europe/Berlin"


def local_rhythm(index: pd.DatetimeIndex, timezone: str) -> Floats:
    """A sharp day (a fifth of the traffic until eight in the morning) and a week whose weekends are
    at 60 %."""
    local = index.tz_convert(timezone)
    return 1000 * np.where(local.hour < 8, 0.2, 1.0) * np.where(local.day_of_week >= 5, 0.6, 1.0)


def shop(
    weeks: int, released_at: str, watch: int, timezone: str = "UTC"
) -> tuple[Floats, pd.DatetimeIndex, int]:
    """Half-hourly traffic of many shops around a release, its rhythm on the users' clock."""
    release, before = pd.Timestamp(released_at), weeks * 7 * 48
    index = pd.date_range(
        release - before * pd.Timedelta("30min"), periods=before + watch, freq="30min"
    )
    noisy = 1 + 0.05 * remembering(0.4, weeks, len(index), SERIES)
    return local_rhythm(index, timezone)[:, None] * noisy, index, before


def regressed(
    values: Floats,
    index: pd.DatetimeIndex,
    before: int,
    timezone: str = "UTC",
    tolerance: float = 0.0,
    of: int = SERIES,
) -> int:
    """How many of the series regress, each at the level that it has among `of`."""
    report = anomaly.check(
        frame(values, index),
        released_at=index[before],
        timezone=timezone,
        direction="down",
        tolerance=tolerance,
        false_alarms=0.01 * len(values.T) / of,
    )
    return [finding.verdict for finding in report.findings].count(Verdict.REGRESSED)


def others(values: Floats, index: pd.DatetimeIndex, before: int, timezone: str = "UTC") -> int:
    """How many do not."""
    return len(values.T) - regressed(values, index, before, timezone)


@pytest.mark.slow
@pytest.mark.parametrize(
    "released_at", ["2025-06-07T10:00Z", "2025-06-09T00:00Z"], ids=["Saturday", "Monday 00:00"]
)
@pytest.mark.parametrize("weeks", [5, 4])
def test_a_weekend_and_a_monday_morning_raise_no_alarm_and_hide_no_loss(
    weeks: int, released_at: str
) -> None:
    values, index, before = shop(weeks, released_at, watch=24)
    lost = values.copy()
    lost[before:] *= 0.75

    assert FEW_ALARMS.excess(lambda some: regressed(values[:, some], index, before)) == 0
    assert FEW_MISSES.excess(lambda some: others(lost[:, some], index, before)) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "released_at",
    ["2025-03-30T03:00Z", "2025-10-26T03:00Z"],
    ids=["clocks go forward", "clocks go back"],
)
def test_the_day_is_that_of_the_users_when_their_clocks_change(released_at: str) -> None:
    values, index, before = shop(4, released_at, watch=24, timezone=BERLIN)
    lost = values.copy()
    lost[before:] *= 0.75

    assert FEW_ALARMS.excess(lambda some: regressed(values[:, some], index, before, BERLIN)) == 0
    assert FEW_MISSES.excess(lambda some: others(lost[:, some], index, before, BERLIN)) == 0


@pytest.mark.slow
def test_the_band_follows_the_users_clock() -> None:
    values, index, before = shop(4, "2025-10-26T03:00Z", watch=24, timezone=BERLIN)

    outside = {
        zone: anomaly.check(frame(values, index), released_at=index[before], timezone=zone)
        .points["flagged"]
        .sum()
        for zone in (BERLIN, "UTC")
    }

    assert outside["UTC"] > outside[BERLIN] + SERIES


@pytest.mark.slow
def test_an_effect_exactly_at_tolerance_is_no_regression_in_95_of_100() -> None:
    index = pd.date_range("2025-03-03", periods=14 * 48 + 24, freq="30min", tz="UTC")
    values = 100 + 2 * noise(9, len(index), 300)
    values[14 * 48 :] -= 10

    def found(some: slice, tolerance: float = 0.1) -> int:
        return regressed(values[:, some], index, 14 * 48, tolerance=tolerance, of=300)

    assert Limit(15, of=300, first=79, early=1).excess(found) == 0
    assert found(slice(100), tolerance=0.05) == 100


@pytest.mark.slow
@pytest.mark.parametrize("how", ["at random", "in blocks"])
def test_a_third_of_the_steps_missing_costs_no_false_alarm_and_hides_no_loss(how: str) -> None:
    index = pd.date_range("2025-03-03", periods=14 * 48 + 24, freq="30min", tz="UTC")
    values = 100 + 3 * remembering(0.5, 4, len(index), SERIES)
    rng = np.random.default_rng(2)
    holes = rng.random((len(index), SERIES)) < 1 / 3
    if how == "in blocks":
        holes = np.repeat(rng.random((len(index) // 6 + 1, SERIES)) < 1 / 3, 6, axis=0)[
            : len(index)
        ]
    values[holes] = np.nan
    lost = values.copy()
    lost[14 * 48 :] -= 15

    misses = Limit(12, of=SERIES, first=12, early=0)
    assert FEW_ALARMS.excess(lambda some: regressed(values[:, some], index, 14 * 48)) == 0
    assert misses.excess(lambda some: others(lost[:, some], index, 14 * 48)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("border", [0.0, 1.0])
def test_shares_at_a_border_are_quiet_there_and_seen_when_they_leave_it(border: float) -> None:
    index = pd.date_range("2025-03-03", periods=14 * 48 + 24, freq="30min", tz="UTC")
    rng = np.random.default_rng(3)
    share = rng.binomial(400, 0.002, (len(index), SERIES)) / 400
    gone = share.copy()
    gone[14 * 48 :] = rng.binomial(400, 0.03, (24, SERIES)) / 400

    def seen(values: Floats) -> int:
        report = anomaly.check(
            frame(abs(border - values), index),
            released_at=index[14 * 48],
            direction="up" if border == 0 else "down",
            kind="share",
            false_alarms=0.01 * len(values.T) / SERIES,
        )
        return [finding.verdict for finding in report.findings].count(Verdict.REGRESSED)

    misses = Limit(3, of=SERIES, first=28, early=0)
    assert FEW_ALARMS.excess(lambda some: seen(share[:, some])) == 0
    assert misses.excess(lambda some: len(gone[:, some].T) - seen(gone[:, some])) == 0
