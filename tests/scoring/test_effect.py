"""The size of a change: what it is measured by, and what it is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import anomaly
from anomaly.model import Finding, Verdict
from tests.support.simulations import Floats, frame, noise, only, stamps

BEFORE, AFTER = 14 * 288, 72
INDEX = stamps(BEFORE + AFTER, "5min")


def judged(values: Floats, direction: str = "either", tolerance: float = 0.0) -> Finding:
    series = pd.Series(values, INDEX)
    released_at = INDEX[BEFORE].to_pydatetime()
    return only(
        anomaly.check(series, released_at=released_at, direction=direction, tolerance=tolerance)
    )


def test_a_single_step_does_not_move_the_mean() -> None:
    values = 100 + noise(1, len(INDEX))
    values[BEFORE + 30] = 900

    finding = judged(values)

    assert finding.effect == pytest.approx(0, abs=0.005)
    assert finding.effect_interval is not None
    assert finding.effect_interval[0] < 0 < finding.effect_interval[1]


@pytest.mark.slow
@pytest.mark.parametrize("times", [0.0, 0.5, 3.0, 1000.0])
def test_the_mean_of_what_changed_for_good_is_the_plain_one(times: float) -> None:
    values = 100 + noise(2, len(INDEX))
    values[BEFORE:] *= times

    assert judged(values).observed == pytest.approx(values[BEFORE:].mean())


def test_a_change_of_sign_has_a_size_and_no_share() -> None:
    values = noise(3, len(INDEX)) + np.where(np.arange(len(INDEX)) < BEFORE, 50, -30)

    finding = judged(values, "down")

    assert finding.verdict is Verdict.REGRESSED
    assert finding.effect is None
    assert finding.effect_absolute == pytest.approx(-80, abs=1)


@pytest.mark.slow
def test_a_larger_fall_is_never_less_surprising() -> None:
    values = 100 + noise(4, len(INDEX))
    p = []
    for left in (0.97, 0.9, 0.5, 0.1, 0.01, 0.0):
        later = np.where(np.arange(len(INDEX)) < BEFORE, 1.0, left)
        finding = judged(values * later, "down")
        assert finding.p_value is not None
        p.append(finding.p_value)

    assert p == sorted(p, reverse=True)
    assert p[-1] < p[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("times", "verdict"),
    [
        (1000.0, Verdict.INCONCLUSIVE),
        (1 / 1000, Verdict.INCONCLUSIVE),
        (60.0, Verdict.IMPROVED),
        (1 / 100, Verdict.IMPROVED),  # errors may well fall by 99 %
    ],
)
def test_a_factor_between_units_is_named_and_from_a_thousand_on_no_improvement(
    times: float, verdict: Verdict
) -> None:
    values = 100 + noise(5, len(INDEX))
    values[BEFORE:] *= times

    finding = judged(values, "up" if times < 1 else "down")

    assert finding.verdict is verdict
    assert "looks like a change of unit" in finding.reason


def test_a_change_of_unit_for_the_worse_is_a_regression_all_the_same() -> None:
    values = 100 + noise(6, len(INDEX))
    values[BEFORE:] *= 1000

    finding = judged(values, "up")

    assert finding.verdict is Verdict.REGRESSED
    assert "× 1,000 looks like a change of unit" in finding.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("left", "verdict", "said"),
    [(0.99, Verdict.OK, "within tolerance 5 %"), (0.9, Verdict.REGRESSED, "tolerance 5 %")],
)
def test_within_the_tolerance_is_said_only_of_what_is(
    left: float, verdict: Verdict, said: str
) -> None:
    values = 100 + noise(7, len(INDEX))
    values[BEFORE:] *= left

    finding = judged(values, "down", tolerance=0.05)

    assert finding.verdict is verdict
    assert finding.reason.endswith(said) or said in finding.reason.split("; ")[0]


def test_nights_without_anything_do_not_widen_the_interval_of_a_day() -> None:
    hours = INDEX.hour
    counts = np.random.default_rng(5).poisson(np.where((hours >= 8) & (hours < 20), 900.0, 0.0))
    released_at = INDEX[BEFORE - 12 * 12].to_pydatetime()  # at noon

    finding = only(anomaly.check(pd.Series(counts[:-144], INDEX[:-144]), released_at=released_at))

    assert finding.effect_interval is not None
    low, high = finding.effect_interval
    assert -0.05 < low < 0 < high < 0.05


def test_missing_steps_make_a_constant_no_less_sure() -> None:
    missing = np.random.default_rng(6).random(len(INDEX)) < 0.15

    finding = judged(np.where(missing, np.nan, 0.3))

    assert finding.verdict is Verdict.OK
    assert finding.effect_interval == (0.0, 0.0)


def test_after_an_earlier_step_the_level_is_that_of_the_steps_since() -> None:
    values = 100 + noise(6, len(INDEX))
    values[BEFORE - 2 * 288 :] += 40

    finding = judged(values)

    assert finding.verdict is Verdict.OK
    assert finding.expected == pytest.approx(140, abs=0.5)
    assert finding.effect == pytest.approx(0, abs=0.005)


def test_what_falls_below_zero_has_a_size_and_no_share() -> None:
    values = np.exp(4.6 + 0.2 * noise(7, len(INDEX)))
    values[BEFORE:] -= 300

    finding = judged(values, "down")

    assert finding.verdict is Verdict.REGRESSED
    assert finding.effect is None
    assert finding.effect_absolute == pytest.approx(-300, rel=0.02)


def test_an_interval_is_as_wide_as_what_is_observed_is_noisy() -> None:
    calm = 100 + noise(8, len(INDEX))
    wild = np.where(np.arange(len(INDEX)) < BEFORE, calm, 100 + 5 * (calm - 100))

    narrow, wide = judged(calm).effect_interval, judged(wild).effect_interval

    assert narrow is not None
    assert wide is not None
    assert 3 < (wide[1] - wide[0]) / (narrow[1] - narrow[0]) < 7


@pytest.mark.slow
def test_the_size_of_a_fall_to_few_events_is_as_sure_as_their_number() -> None:
    rng, series = np.random.default_rng(9), 40
    values = rng.poisson(300, (BEFORE + 4, series)).astype(float)
    values[BEFORE:] = rng.poisson(300 * 0.05, (4, series))

    report = anomaly.check(
        frame(values, INDEX[: BEFORE + 4]), released_at=INDEX[BEFORE], direction="down"
    )

    intervals = [finding.effect_interval for finding in report.findings]
    hits = [each is not None and each[0] <= -0.95 <= each[1] for each in intervals]
    assert sum(hits) >= 0.85 * series
