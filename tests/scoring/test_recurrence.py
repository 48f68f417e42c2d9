"""What may be a matter of the calendar is not blamed on the release."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

import anomaly
from anomaly.model import Finding, Verdict
from tests.support.simulations import Floats, noise, only

MIDNIGHT = pd.Timestamp("2025-06-07T00:00Z")  # a Saturday


def judged(
    days: int, factor: dict[int, float], *, released: pd.Timestamp = MIDNIGHT, now: float
) -> Finding:
    """The finding about an hourly KPI that is `now` times its usual level after the release, and
    was so many times that all of the day so many days before."""
    index = pd.date_range(
        released - pd.Timedelta(days=days),
        released + pd.Timedelta(days=1),
        freq="h",
        inclusive="left",
    )
    values: Floats = 100 + noise(days, len(index))
    for ago, times in factor.items():
        values[index.normalize() == released.normalize() - pd.Timedelta(days=ago)] *= times
    values[index >= released] *= now
    series = pd.Series(values, index)
    return only(anomaly.check(series, released_at=released, watch=timedelta(days=1)))


def test_the_first_weekend_there_is_can_be_told_from_no_change() -> None:
    finding = judged(5, {}, now=0.6)

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "the first weekend in the data" in finding.reason


def test_no_weekend_makes_more_than_three_times_as_much() -> None:
    assert judged(5, {}, now=5.0).verdict is Verdict.REGRESSED


def hourly(start: str, released: str, factor: dict[str, float]) -> Finding:
    """The finding about an hourly KPI, watched for a day, that is so many times its usual level
    from each of some moments on."""
    at = pd.Timestamp(released)
    index = pd.date_range(start, at + pd.Timedelta(days=1), freq="h", inclusive="left")
    values: Floats = 100 + noise(7, len(index))
    for moment, times in factor.items():
        since = index >= pd.Timestamp(moment)
        values[since] = times * (100 + noise(8, int(since.sum())))
    return only(anomaly.check(pd.Series(values, index), released_at=at, watch=timedelta(days=1)))


def test_the_last_hours_of_a_weekend_say_nothing_of_the_next() -> None:
    finding = hourly("2025-06-01T20:00Z", "2025-06-06T20:00Z", {"2025-06-07T00:00Z": 0.6})

    assert finding.verdict is Verdict.INCONCLUSIVE


def test_a_fall_in_the_middle_of_the_first_weekend_is_no_matter_of_the_week() -> None:
    finding = hourly(
        "2025-06-02T00:00Z",
        "2025-06-07T16:00Z",
        {"2025-06-07T00:00Z": 0.9, "2025-06-07T16:00Z": 0.4},
    )

    assert finding.verdict is Verdict.REGRESSED


def test_a_first_weekend_does_not_end_what_began_before_it() -> None:
    finding = hourly(
        "2025-06-02T00:00Z",
        "2025-06-06T12:00Z",
        {"2025-06-06T12:00Z": 1.8, "2025-06-07T00:00Z": 1.0},
    )

    assert finding.verdict is Verdict.REGRESSED


def test_the_first_weekend_but_one_is_compared_with_it() -> None:
    finding = judged(10, {7: 0.6, 6: 0.6}, now=0.6)

    assert finding.verdict is not Verdict.REGRESSED


def test_a_fall_on_a_weekday_is_no_matter_of_the_week() -> None:
    tuesday = pd.Timestamp("2025-06-03T00:00Z")

    assert judged(10, {7: 0.6}, released=tuesday, now=0.6).verdict is Verdict.REGRESSED


@pytest.mark.parametrize(
    ("before", "verdict"),
    [
        ({14: 1.5, 28: 1.5}, Verdict.INCONCLUSIVE),
        ({14: 1.5}, Verdict.REGRESSED),  # the release before may have failed, too
        ({13: 1.5, 28: 1.5}, Verdict.REGRESSED),
        ({}, Verdict.REGRESSED),
    ],
)
def test_what_came_twice_every_two_weeks_may_come_again(
    before: dict[int, float], verdict: Verdict
) -> None:
    released = pd.Timestamp("2025-06-10T00:00Z")

    finding = judged(56, before, released=released, now=1.5)

    assert finding.verdict is verdict
    assert ("every two weeks" in finding.reason) == (verdict is Verdict.INCONCLUSIVE)


def test_what_came_on_the_same_day_of_the_month_may_come_again() -> None:
    finding = judged(50, {31: 1.5}, released=pd.Timestamp("2025-06-10T00:00Z"), now=1.5)

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "moved likewise on 2025-05-10: what comes with the day of the month" in finding.reason
    assert np.isfinite(finding.p_value or np.nan)
