"""Growth over the observation: what falls at the release, and then grows faster than ever."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

import anomaly
from anomaly.model import ChangeKind, Finding, Verdict
from anomaly.reporting.words import change_words
from tests.support.simulations import Floats, frame, noise, stamps

BEFORE, WATCHED, RESTARTS = 21 * 48, 24, 9  # half hours
INDEX = stamps(BEFORE + WATCHED, "30min")
MEMORY = 1e9  # bytes at a start of the process


def memory(faster: float, *seeds: int) -> Floats:
    """Memory that grows by 2 % an hour from each start on, `faster` times as fast from the release
    on, which is such a start; a column per seed."""
    out = []
    for seed in seeds:
        starts = np.sort(np.random.default_rng(seed).integers(0, BEFORE - 8, RESTARTS))
        starts = np.array([0, *starts, BEFORE])
        steps = np.arange(len(INDEX))
        age = steps - starts[np.searchsorted(starts, steps, "right") - 1]
        speed = np.where(steps >= BEFORE, faster, 1.0)
        out.append(MEMORY * (1 + 0.01 * age * speed) * (1 + 0.01 * noise(seed, len(steps))))
    return np.stack(out, axis=1)


def judged(values: Floats, tolerance: float | str = 0.0) -> tuple[Finding, ...]:
    return anomaly.check(
        frame(values, INDEX),
        released_at=INDEX[BEFORE],
        watch=timedelta(hours=WATCHED // 2),
        direction="up",
        tolerance=tolerance,
        correction="benjamini-hochberg",
    ).findings


@pytest.mark.slow
def test_a_restart_is_no_regression_and_a_leak_ten_times_as_fast_is_one() -> None:
    quiet, leaking = judged(memory(1.0, *range(30))), judged(memory(10.0, *range(30)))

    assert sum(each.verdict is Verdict.REGRESSED for each in quiet) == 0
    assert sum(each.verdict is Verdict.REGRESSED for each in leaking) >= 27


def test_what_is_not_higher_yet_is_a_ramp_and_the_reason_says_how_it_grew() -> None:
    (finding,) = judged(memory(4.0, 2))

    assert finding.verdict is Verdict.REGRESSED
    assert finding.kind is ChangeKind.RAMP
    assert "since the release it rose by" in finding.reason
    assert "more than it usually does in such a time" in finding.reason
    assert change_words(finding).startswith("grows faster, -")


def test_growth_within_tolerance_is_no_regression() -> None:
    assert judged(memory(10.0, 4), tolerance="500%")[0].verdict is not Verdict.REGRESSED
