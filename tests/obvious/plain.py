"""Plain releases: what every judge should get right, in units and shapes of every kind."""

from __future__ import annotations

from functools import partial

import numpy as np

from tests.obvious.catalogue import (
    CERTAIN,
    DOWN,
    EITHER,
    TUESDAY,
    UP,
    Case,
    Rng,
    counted,
    day,
    does_not_fail,
    does_not_pass,
    grid,
    kind,
    noisy,
    passes,
    ratio,
    regresses,
    weekend,
)

GROUP = "plain releases"
STEP = 1 / 12  # hours


def _noise(rng: Rng, times: float, hours: float = 6) -> Case:
    index, after = grid(TUESDAY, 14, hours)
    return Case(noisy(rng, np.where(after, times, 1.0) * 100, 0.05), index, TUESDAY, UP)


def _units(rng: Rng, times: float) -> Case:
    """A unit so small or so large that the values are near 1e-9 or 1e15."""
    case = _noise(rng, times)
    return Case(case.values / 100 * rng.choice([1e-9, 1e15]), case.index, TUESDAY, UP)


def _shop(rng: Rng, times: float) -> Case:
    index, after = grid(TUESDAY, 28, 6)
    level = 300 * day(index) * weekend(index, 0.7) * np.where(after, times, 1.0)
    return Case(counted(rng, level), index, TUESDAY, DOWN)


def _ratio(rng: Rng, times: float) -> Case:
    index, after = grid(TUESDAY, 21, 6)
    errors, requests = ratio(rng, index, 800 * day(index), 0.01 * np.where(after, times, 1.0))
    return Case(errors, index, TUESDAY, UP | {"denominators": requests})


def _near_all(rng: Rng, lost: float) -> Case:
    """A share of requests that succeed, of which usually one in a thousand does not."""
    index, after = grid(TUESDAY, 21, 6)
    failures, requests = ratio(rng, index, 3000 * day(index), np.where(after, lost, 0.001))
    return Case(1 - failures / requests.to_numpy(), index, TUESDAY, DOWN | {"kind": "share"})


def _few(rng: Rng, times: float) -> Case:
    """A gauge of whole numbers that is nearly always 3, such as a number of workers at work."""
    index, after = grid(TUESDAY, 14, 6)
    values = 3 + rng.choice([-1, 0, 1], len(index), p=[0.05, 0.9, 0.05])
    return Case(values * np.where(after, times, 1.0), index, TUESDAY, UP | {"kind": "gauge"})


def _slide(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 21, 24)
    slide = np.where(after, 1 - 0.3 * np.cumsum(after) / after.sum(), 1.0)
    return Case(counted(rng, 300 * day(index) * slide), index, TUESDAY, DOWN)


def _outage(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 21, 6)
    return Case(counted(rng, np.where(after, 0.0, 300 * day(index))), index, TUESDAY, DOWN)


def _wider(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 21, 12)
    values = 100 + np.where(after, 15.0, 5.0) * rng.normal(size=len(index))
    return Case(values, index, TUESDAY, EITHER)


for _quiet, _make, _broken, _times in (
    ("white noise", _noise, "doubled", 2.0),
    ("values of 1e-9 or 1e15", _units, "doubled", 2.0),
    ("a shop", _shop, "a fifth less", 0.8),
    ("an error ratio", _ratio, "times five", 5.0),
    ("a few workers", _few, "tripled", 3.0),
):
    kind(_quiet, GROUP, passes, partial(_make, times=1.0))
    kind(
        f"{_quiet}, {_broken}",
        GROUP,
        regresses,
        partial(_make, times=_times),
        harmful=True,
        at_least=CERTAIN,
    )
kind("a share near all", GROUP, passes, lambda rng: _near_all(rng, 0.001))
kind(
    "a share near all, 2 % lost",
    GROUP,
    regresses,
    lambda rng: _near_all(rng, 0.02),
    harmful=True,
    at_least=CERTAIN,
)
kind("a slow slide", GROUP, regresses, _slide, harmful=True)
kind("a canary of three steps", GROUP, passes, lambda rng: _noise(rng, 1.0, hours=0.25))
for _word, _times in (("doubled", 2.0), ("× 10", 10.0)):
    kind(
        f"a canary of three steps, {_word}",
        GROUP,
        regresses,
        partial(_noise, times=_times, hours=0.25),
        harmful=True,
        at_least=CERTAIN,
    )
kind("a single step", GROUP, does_not_fail, lambda rng: _noise(rng, 1.0, hours=STEP))
kind(
    "a single step, × 10",
    GROUP,
    does_not_pass,
    lambda rng: _noise(rng, 10.0, hours=STEP),
    harmful=True,
)
kind("nothing more comes", GROUP, regresses, _outage, harmful=True, at_least=CERTAIN)
kind("three times the spread", GROUP, regresses, _wider, harmful=True)
