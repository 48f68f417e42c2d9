"""The search for the smallest jump of a level that gives more than a goal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anomaly.baseline.robust import Floats, Ints

JUMPS = np.geomspace(0.02, 100.0, 513)  # standard deviations, between which the search chooses
# G, what a jump gives: from one jump to the next, log G + G / `BENT` grows by about `GROWTH`.
BENT, GROWTH = 8.0, 0.06
GUESSES = 8  # tries until the search goes on by halves


@dataclass(slots=True)
class Search:
    """The search for the smallest of the `JUMPS` of each series that gives more than a `goal`, by
    their places: one is `too_small`, another `enough`, and what they give is `below` and `above`,
    NaN until it is tried. Mutable, for it closes in."""

    goal: Floats
    too_small: Ints
    enough: Ints
    below: Floats
    above: Floats
    tries: int = 0

    @classmethod
    def of(cls, goal: Floats) -> Search:
        return cls(
            goal,
            too_small=np.zeros(len(goal), int),
            enough=np.full(len(goal), len(JUMPS)),
            below=np.full(len(goal), np.nan),
            above=np.full(len(goal), np.nan),
        )

    def open(self) -> Ints:
        """The series of which one jump at least is neither too small nor enough."""
        return np.flatnonzero(self.enough - self.too_small > 1)

    def next(self, series: Ints) -> Ints:
        """The places to be tried: where the goal should be by what was given so far; after a few
        tries, or if that says nothing, in the middle."""
        low, high = self.too_small[series], self.enough[series]
        middle = (low + high) // 2
        if not 0 < self.tries < GUESSES:
            return middle
        goal, below, above = (
            np.log(g[series]) + g[series] / BENT for g in (self.goal, self.below, self.above)
        )
        between = low + (goal - below) / (above - below) * (high - low)
        from_below, from_above = low + (goal - below) / GROWTH, high - (above - goal) / GROWTH
        place = np.where(
            np.isnan(above), from_below, np.where(np.isnan(below), from_above, between)
        )
        place = np.where(np.isfinite(place), place, middle)
        place = np.where(place - low < high - place, np.ceil(place), np.floor(place))
        return np.clip(place, low + 1, high - 1).astype(int)

    def learn(self, series: Ints, tried: Ints, given: Floats) -> None:
        """Close in by what the places tried gave."""
        hit = given > self.goal[series]
        self.enough[series[hit]], self.above[series[hit]] = tried[hit], given[hit]
        self.too_small[series[~hit]], self.below[series[~hit]] = tried[~hit], given[~hit]
        self.tries += 1
