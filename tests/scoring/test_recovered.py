"""What is over stays over, but for a relapse: people are called once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

import anomaly
from anomaly.model import Verdict
from tests.support.draws import Limit
from tests.support.simulations import frame, noise

HISTORY, WATCH = 480, 24
INDEX = pd.date_range("2025-01-01", periods=HISTORY + WATCH, freq="1min", tz="UTC")
SEEDS = 12


LEVEL = 0.01  # of a release of its own


def looks(
    seeds: int, *bad: tuple[int, int], steps: Iterable[int], false_alarms: float
) -> list[list[Verdict]]:
    """The verdicts of looks after so many `steps` at error shares of 10 %, of 40 % in the steps of
    `bad`; a list for each seed, all of which are judged together."""
    errors, requests = {}, {}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        errors[f"{seed}"] = rng.poisson(10, len(INDEX)).astype(float)
        requests[f"{seed}"] = rng.poisson(100, len(INDEX)).astype(float)
        for first, last in bad:
            errors[f"{seed}"][HISTORY + first : HISTORY + last] = rng.poisson(40, last - first)
    out = []
    for count in steps:
        report = anomaly.check(
            pd.DataFrame(errors, INDEX).iloc[: HISTORY + count],
            denominators=pd.DataFrame(requests, INDEX).iloc[: HISTORY + count],
            released_at=INDEX[HISTORY],
            watch=timedelta(minutes=WATCH),
            direction="up",
            tolerance=0.1,
            false_alarms=false_alarms,
        )
        out.append([each.verdict for each in report.findings])
    return [list(each) for each in zip(*out, strict=True)]


@pytest.mark.slow
def test_noise_does_not_call_back_what_is_over() -> None:
    """Together they may raise as many alarms as that many releases: each is called back more easily
    than by itself."""
    steps = (4, *range(8, WATCH + 1))
    for seen in looks(SEEDS, (1, 8), steps=steps, false_alarms=SEEDS * LEVEL):
        first = seen.index(Verdict.RECOVERED)
        assert Verdict.REGRESSED in seen[:first]
        assert set(seen[first:]) == {Verdict.RECOVERED}


@pytest.mark.slow
def test_a_relapse_is_a_regression_again() -> None:
    for seen in looks(4, (1, 8), (16, 24), steps=(16, 24), false_alarms=LEVEL):
        assert seen == [Verdict.RECOVERED, Verdict.REGRESSED]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("after", "few"),
    [
        (48, Limit(8, of=40, first=19, early=2)),
        (72, Limit(6, of=40, first=18, early=1)),
        (288, Limit(6, of=40, first=18, early=1)),
    ],
    ids=["48", "72", "288"],
)
def test_a_spread_that_stays_wide_is_not_over_though_its_mean_never_moved(
    after: int, few: Limit
) -> None:
    """Each at the level that it has among 40."""

    def misses(some: slice) -> int:
        seen = wide(after, after, LEVEL / 40, some)
        return len(seen) - seen.count(Verdict.REGRESSED)

    assert few.excess(misses) == 0


@pytest.mark.slow
@pytest.mark.parametrize("after", [72, 288])
def test_a_spread_that_was_wide_for_a_while_is_over(after: int) -> None:
    few = Limit(12, of=40, first=20, early=4)

    def misses(some: slice) -> int:
        seen = wide(after, after // 2, LEVEL, some)
        return len(seen) - seen.count(Verdict.RECOVERED)

    assert few.excess(misses) == 0


def wide(after: int, until: int, level: float, some: slice) -> list[Verdict]:
    """The verdicts on some of 40 series whose spread is twice as wide in the first steps after the
    release, judged together, each at the level."""
    before = 14 * 288
    index = pd.date_range("2025-03-01", periods=before + after, freq="5min", tz="UTC")
    values = noise(7, len(index), 40)[:, some]
    values[before : before + until] *= 2
    report = anomaly.check(
        frame(100 + values, index),
        released_at=index[before],
        direction="up",
        false_alarms=level * len(values.T),
    )
    return [each.verdict for each in report.findings]
