"""Ratios of what is timed in turns: they hold on a busy machine, and noise is no change."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.ratios import Ratio, cpu_of, in_turns, output_of


def test_a_ratio_is_that_of_the_medians_and_its_spread_that_of_the_rounds() -> None:
    ratio = Ratio((2.0, 4.0, 90.0), (1.0, 2.0, 3.0))

    assert ratio.value == 2.0
    assert ratio.spread == (2.0, 16.0)


def test_both_sides_take_turns_and_are_first_equally_often() -> None:
    calls = ""

    def side(name: str) -> float:
        nonlocal calls
        calls += name
        return float(len(calls))

    ratio = in_turns(lambda: side("a"), lambda: side("b"), 4)

    assert calls == "abbaabba"
    assert (ratio.one, ratio.other) == ((1, 4, 5, 8), (2, 3, 6, 7))


@pytest.mark.parametrize(("factor", "differs"), [(1.0, False), (1.2, True), (0.8, True)])
def test_the_interval_tells_a_change_from_noise(factor: float, *, differs: bool) -> None:
    rng = np.random.default_rng(2)
    busy = 1 + rng.exponential(0.5, 10) * (rng.random(10) < 0.3)  # both sides are slowed down
    one, other = (tuple(busy * rng.normal(1, 0.02, 10)) for _ in range(2))
    low, high = Ratio(tuple(np.multiply(one, factor)), other).interval()

    assert (low > 1 or high < 1) is differs
    assert low < factor * 1.05 < high * 1.1


def test_a_process_that_fails_is_an_error_and_costs_nothing(tmp_path: Path) -> None:
    failing = [sys.executable, "-c", "raise SystemExit('no such thing')"]

    with pytest.raises(RuntimeError, match=r"ended with 1$"):
        cpu_of(failing, tmp_path)
    with pytest.raises(RuntimeError, match=r"ended with 1: no such thing$"):
        output_of(failing, tmp_path)
    assert 0 < cpu_of([sys.executable, "-c", "pass"], tmp_path) < 10
