"""The search finds what trying all of the jumps would."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from anomaly.scoring.jump_search import GUESSES, JUMPS, Search

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
