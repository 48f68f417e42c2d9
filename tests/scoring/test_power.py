"""What could have been detected: the search for it, and, of few events, that a change which the
report calls detectable is found in four of five releases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import anomaly
from anomaly import Finding, Verdict
from anomaly.scoring.power import GUESSES, JUMPS, Search
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


GIVEN = st.floats(0.0, 1e6) | st.sampled_from([np.inf, -np.inf])


@given(st.lists(st.tuples(GIVEN, st.lists(GIVEN, min_size=1, max_size=9)), min_size=1, max_size=4))
def test_the_search_finds_the_first_jump_that_gives_more_than_the_goal(
    series: list[tuple[float, list[float]]],
) -> None:
    """Whatever jumps give, if larger ones give no less; in no more tries than halves would take,
    but for the guesses."""
    given_by = np.array([np.sort(np.resize(steps, len(JUMPS))) for _, steps in series])
    goal = np.array([each for each, _ in series])
    search = Search.of(goal)

    with np.errstate(all="ignore"):
        while len(is_open := search.open()):
            tried = search.next(is_open)
            search.learn(is_open, tried, given_by[is_open, tried])

    is_more = given_by[:, 1:] > goal[:, None]  # the first counts as too small
    first = np.where(is_more.any(axis=1), 1 + is_more.argmax(axis=1), len(JUMPS))
    np.testing.assert_array_equal(search.enough, first)
    assert search.tries <= GUESSES + np.log2(len(JUMPS)) + 1


def test_a_few_guesses_are_enough_where_answers_grow_as_they_do() -> None:
    goal = np.geomspace(0.5, 20.0, 50)
    search = Search.of(goal)
    while len(is_open := search.open()):
        tried = search.next(is_open)
        search.learn(is_open, tried, np.log1p(np.exp(JUMPS[tried] ** 2) / 10))
    assert search.tries < np.log2(len(JUMPS)) - 1
