"""What is over stays over, but for a relapse: people are called once."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

import anomaly
from anomaly.model import Verdict
from tests.support.simulations import noise

HISTORY, WATCH = 480, 24
INDEX = pd.date_range("2025-01-01", periods=HISTORY + WATCH, freq="5s", tz="UTC")
SEEDS = range(12)


def looks(seed: int, *bad: tuple[int, int]) -> list[Verdict]:
    """The verdicts of all looks at an error share of 10 %, of 40 % in the steps of `bad`."""
    rng = np.random.default_rng(seed)
    errors, requests = (
        rng.poisson(10, len(INDEX)).astype(float),
        rng.poisson(100, len(INDEX)).astype(float),
    )
    for first, last in bad:
        errors[HISTORY + first : HISTORY + last] = rng.poisson(40, last - first)
    out = []
    for upto in range(HISTORY + 1, len(INDEX) + 1):
        part = slice(0, upto)
        report = anomaly.check(
            pd.Series(errors[part], INDEX[part], name="errors"),
            denominators=pd.Series(requests[part], INDEX[part], name="errors"),
            released_at=INDEX[HISTORY],
            watch=timedelta(seconds=5 * WATCH),
            direction="up",
            tolerance=0.1,
        )
        out.append(report.findings[0].verdict)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_noise_does_not_call_back_what_is_over(seed: int) -> None:
    seen = looks(seed, (1, 8))

    first = seen.index(Verdict.RECOVERED)
    assert Verdict.REGRESSED in seen[:first]
    assert set(seen[first:]) == {Verdict.RECOVERED}


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS[:4])
def test_a_relapse_is_a_regression_again(seed: int) -> None:
    seen = looks(seed, (1, 8), (16, 24))

    assert Verdict.RECOVERED in seen
    assert seen[-1] is Verdict.REGRESSED


@pytest.mark.slow
@pytest.mark.parametrize(("after", "least"), [(48, 0.8), (72, 0.85), (288, 0.85)])
def test_a_spread_that_stays_wide_is_not_over_though_its_mean_never_moved(
    after: int, least: float
) -> None:
    seen = wide(after, after)

    assert seen.count(Verdict.REGRESSED) >= least * len(seen)


@pytest.mark.slow
@pytest.mark.parametrize("after", [72, 288])
def test_a_spread_that_was_wide_for_a_while_is_over(after: int) -> None:
    seen = wide(after, after // 2)

    assert seen.count(Verdict.RECOVERED) >= 0.7 * len(seen)


def wide(after: int, until: int) -> list[Verdict]:
    """The verdicts on 40 series whose spread is twice as wide in the first steps after the
    release."""
    before = 14 * 288
    index = pd.date_range("2025-03-01", periods=before + after, freq="5min", tz="UTC")
    values = noise(7, len(index), 40)
    values[before : before + until] *= 2
    return [
        anomaly.check(pd.Series(100 + each, index), released_at=index[before], direction="up")
        .findings[0]
        .verdict
        for each in values.T
    ]
