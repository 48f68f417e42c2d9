"""Series that break simple judges: quiet releases pass, and a large change is still found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import anomaly
from tests.support.draws import Limit
from tests.support.simulations import Floats, frame, remembering, stamps

BEFORE, WATCH, SERIES = 21 * 48, 24, 200
ROWS = BEFORE + WATCH
INDEX = stamps(ROWS, "30min")
LEVEL = 0.01
# 2 alarms are expected, more than 6 come by chance once in 200 times
FEW_ALARMS = Limit(6, of=SERIES, first=66, early=0)
FEW_MISSES = Limit(20, of=SERIES, first=30, early=0)


def heavy_tails() -> Floats:
    return 100 + 3 * np.random.default_rng(1).standard_t(3, (ROWS, SERIES))


def mostly_zero() -> Floats:
    """Purchases in one step of twenty, of one to three each."""
    rng = np.random.default_rng(2)
    return np.where(
        rng.random((ROWS, SERIES)) < 0.05, rng.integers(1, 4, (ROWS, SERIES)), 0
    ).astype(float)


def quantised() -> Floats:
    """Whole numbers, about three of them."""
    return np.round(20 + remembering(0.5, 3, ROWS, SERIES))


def reset() -> Floats:
    """Increments of a counter that starts anew every other day, also in the watch: the step in
    which it does loses a part."""
    rng = np.random.default_rng(4)
    counts = rng.poisson(400, (ROWS, SERIES)).astype(float)
    resets = slice((BEFORE + 10) % 96, None, 96)
    counts[resets] *= rng.random((len(counts[resets]), SERIES))
    return counts


MADE: dict[str, Callable[[], Floats]] = {
    "heavy tails": heavy_tails,
    "95 % zeros": mostly_zero,
    "quantised": quantised,
    "counter resets": reset,
}
MOVED: dict[str, Callable[[Floats], Floats]] = {
    "heavy tails": lambda later: later + 6,  # two standard deviations of its middle
    "95 % zeros": lambda later: (
        later + (np.arange(WATCH) % 2 == 0)[:, None]
    ),  # ten times as many steps with a purchase
    "quantised": lambda later: later + 3,
    "counter resets": lambda later: np.round(1.1 * later),
}


def alarms(values: Floats) -> int:
    """How many of the series would have failed a release of their own."""
    findings = anomaly.check(frame(values, INDEX), released_at=INDEX[BEFORE]).findings
    return sum(finding.p_value is not None and finding.p_value < LEVEL for finding in findings)


def misses(values: Floats) -> int:
    """How many would not."""
    return len(values.T) - alarms(values)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MADE)
def test_an_odd_series_is_quiet_where_nothing_happened(kind: str) -> None:
    values = MADE[kind]()

    assert FEW_ALARMS.excess(lambda some: alarms(values[:, some])) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", MADE)
def test_a_large_change_of_an_odd_series_is_found(kind: str) -> None:
    values = MADE[kind]()
    values[BEFORE:] = MOVED[kind](values[BEFORE:])

    assert FEW_MISSES.excess(lambda some: misses(values[:, some])) == 0
