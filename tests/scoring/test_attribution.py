"""How long a change lasted, and whether it is over."""

from __future__ import annotations

import numpy as np
import pytest

from anomaly.scoring.attribution import has_ended, stretch_end, stretch_off
from tests.support.simulations import noise

AFTER = 72
USUAL = noise(1, 500, AFTER // 4).mean(axis=1)


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (20, 24), (10, 50), (60, 72), (0, 72)])
def test_a_stretch_is_as_long_as_the_change(start: int, stop: int) -> None:
    off = noise(2, AFTER)
    off[start:stop] += 5

    assert stretch_off(off) == (start, stop)


def test_what_lasts_has_not_ended() -> None:
    sizes = np.linspace(0.3, 3, 200)
    ended = [
        has_ended(off + size, np.full(AFTER, size), USUAL)
        for off, size in zip(noise(3, 200, AFTER), sizes, strict=True)
    ]

    assert np.mean(ended) <= 0.02


def test_what_lasted_for_half_of_the_watch_has_ended() -> None:
    changed = np.where(np.arange(AFTER) < AFTER // 2, 1.5, 0.0)
    ended = [has_ended(off + changed, np.full(AFTER, 1.5), USUAL) for off in noise(4, 200, AFTER)]

    assert np.mean(ended) >= 0.95


def test_at_night_nothing_shows_that_an_outage_is_over() -> None:
    by_day = np.where(np.arange(AFTER) < AFTER // 2, 4.0, 0.0)  # at night nothing is expected

    ended = [has_ended(off + by_day, by_day, USUAL) for off in noise(5, 200, AFTER)]

    assert np.mean(ended) <= 0.02


@pytest.mark.parametrize(
    ("marks", "end"),
    [
        ("xx..........", 2),
        (".xx.........", 3),
        ("xxx...", None),  # not for twice as long
        ("x.x.........", None),  # it comes and goes
        ("..........xx", None),
        ("............", None),
    ],
)
def test_what_is_marked_in_one_stretch_is_over_after_twice_as_long(
    marks: str, end: int | None
) -> None:
    assert stretch_end(np.array([mark == "x" for mark in marks])) == end
