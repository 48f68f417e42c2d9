"""What could have been detected of few events: a change that the report calls detectable is found
in four of five releases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from anomaly import Verdict
from tests.obvious.catalogue import TUESDAY, UP, Case, grid, only

LEAST, MOST = 0.7, 0.95  # four of five are promised
SEEDS = 20


def found(seed: int, least: float, most: float) -> bool:
    """Whether as many more events as are detectable are found, where a step holds between `least`
    and `most`; they come one by one, as all others do."""
    rng = np.random.default_rng([seed, 5])
    index, _ = grid(TUESDAY, 21, 6)
    level = np.full(len(index), rng.uniform(least, most))
    quiet = Case(rng.poisson(level).astype(float), index, TUESDAY, UP)
    detectable = only(quiet.report()).detectable_effect
    assert detectable is not None
    more = np.where(quiet.after, rng.poisson(level * detectable), 0)
    finding = only(replace(quiet, values=quiet.values + more).report())
    return finding.verdict is Verdict.REGRESSED


@pytest.mark.slow
def test_what_is_detectable_of_few_events_is_detected_in_four_of_five() -> None:
    hits = [found(seed, *events) for events in ((0.05, 0.2), (0.2, 0.6)) for seed in range(SEEDS)]

    assert LEAST <= np.mean(hits) <= MOST
