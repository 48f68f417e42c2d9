"""What could have been detected of few events: a change that the report calls detectable is found
in four of five releases."""

from __future__ import annotations

import numpy as np
import pytest

import anomaly
from anomaly import Finding, Verdict
from tests.obvious.catalogue import TUESDAY, grid
from tests.support.simulations import Floats, frame

LEAST, MOST = 0.7, 0.95  # four of five are promised
SEEDS = 20
LEVEL = 0.01  # of a release of its own
INDEX, _ = grid(TUESDAY, 21, 6)
AFTER = np.asarray(INDEX >= TUESDAY)


def judged(values: Floats) -> tuple[Finding, ...]:
    """The findings about series beside each other, each at the level that it has alone."""
    return anomaly.check(
        frame(values, INDEX),
        released_at=TUESDAY,
        direction="up",
        false_alarms=LEVEL * len(values.T),
    ).findings


@pytest.mark.slow
def test_what_is_detectable_of_few_events_is_detected_in_four_of_five() -> None:
    """Steps hold 0.05 to 0.2 events in one half of the series, up to 0.6 in the other; more events
    come one by one, as all others do."""
    rng = np.random.default_rng(5)
    level = np.hstack([rng.uniform(*few, SEEDS) for few in ((0.05, 0.2), (0.2, 0.6))])
    values = rng.poisson(level, (len(INDEX), len(level))).astype(float)

    detectable = np.array([each.detectable_effect for each in judged(values)], float)
    more = rng.poisson(level * detectable, (len(INDEX), len(level)))
    found = judged(values + np.where(AFTER[:, None], more, 0))

    hits = [each.verdict is Verdict.REGRESSED and (each.p_value or 0.0) < LEVEL for each in found]
    assert LEAST <= np.mean(hits) <= MOST
