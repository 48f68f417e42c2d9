"""Two steps are as good as one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from tests.support.draws import Limit


def test_two_steps_accept_what_they_say() -> None:
    rule, rate = Limit(6, of=60, first=27, early=1), 0.08
    rng = np.random.default_rng(1)

    accepted = [
        rule.excess(lambda some, drawn=drawn: int(drawn[some].sum())) == 0  # type: ignore[misc]
        for drawn in rng.random((4000, 60)) < rate
    ]

    assert np.mean(accepted) == pytest.approx(rule.accepts(np.array(rate)), abs=0.02)
    assert np.mean(accepted) < binom.cdf(6, 60, rate)


def test_few_events_are_evidence_enough_and_more_are_counted_to_the_end() -> None:
    rule = Limit(6, of=60, first=27, early=1)
    asked: list[slice] = []

    def events(some: slice) -> int:
        asked.append(some)
        return counts[len(asked) - 1]

    counts = [1]
    assert rule.excess(events) == 0
    assert asked == [slice(27)]
    asked, counts = [], [2, 3]
    assert rule.excess(events) == 0
    assert asked == [slice(27), slice(27, 60)]
    asked, counts = [], [2, 5]
    assert rule.excess(events) == 2


@pytest.mark.parametrize(("first", "early"), [(26, 1), (27, 2)])
def test_steps_that_would_accept_more_are_refused(first: int, early: int) -> None:
    with pytest.raises(ValueError, match="accepts more than 6 of 60 would"):
        Limit(6, of=60, first=first, early=early)
