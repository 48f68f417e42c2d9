"""Plain releases: what every judge should get right."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.obvious.catalogue import (
    TUESDAY,
    Case,
    Rng,
    day,
    grid,
    kind,
    noisy,
    quiet,
    regressed,
    weekend,
)

GROUP = "plain releases"


def _noise(rng: Rng, times: float) -> Case:
    index, after = grid(TUESDAY, 14, 6)
    return Case(
        noisy(rng, np.where(after, times, 1.0) * 100, 0.05), index, TUESDAY, {"direction": "up"}
    )


def _shop(rng: Rng, times: float) -> Case:
    index, after = grid(TUESDAY, 28, 6)
    level = 300 * day(index) * weekend(index, 0.7) * np.where(after, times, 1.0)
    return Case(rng.poisson(level).astype(float), index, TUESDAY, {"direction": "down"})


def _ratio(rng: Rng, times: float) -> Case:
    index, after = grid(TUESDAY, 21, 6)
    total = rng.poisson(800 * day(index))
    errors = rng.binomial(total, 0.01 * np.where(after, times, 1.0))
    options = {"direction": "up", "denominators": pd.Series(total.astype(float), index)}
    return Case(errors.astype(float), index, TUESDAY, options)


def _slide(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 21, 24)
    slide = np.where(after, 1 - 0.3 * np.cumsum(after) / after.sum(), 1.0)
    return Case(
        rng.poisson(300 * day(index) * slide).astype(float), index, TUESDAY, {"direction": "down"}
    )


def _canary(rng: Rng, times: float) -> Case:
    index, after = grid(TUESDAY, 14, 0.25)
    return Case(
        noisy(rng, np.where(after, times, 1.0) * 100, 0.05), index, TUESDAY, {"direction": "up"}
    )


def _outage(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 21, 6)
    level = 300 * day(index)
    return Case(
        rng.poisson(np.where(after, 0.0, level)).astype(float),
        index,
        TUESDAY,
        {"direction": "down"},
    )


def _wider(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 21, 12)
    values = 100 + np.where(after, 15.0, 5.0) * rng.normal(size=len(index))
    return Case(values, index, TUESDAY, {"direction": "either"})


kind("white noise", GROUP, quiet, lambda rng: _noise(rng, 1.0))
kind(
    "white noise, doubled",
    GROUP,
    regressed,
    lambda rng: _noise(rng, 2.0),
    harmful=True,
    at_least=0.95,
)
kind("a shop", GROUP, quiet, lambda rng: _shop(rng, 1.0))
kind(
    "a shop, a fifth less",
    GROUP,
    regressed,
    lambda rng: _shop(rng, 0.8),
    harmful=True,
    at_least=0.95,
)
kind("an error ratio", GROUP, quiet, lambda rng: _ratio(rng, 1.0))
kind(
    "an error ratio, times five",
    GROUP,
    regressed,
    lambda rng: _ratio(rng, 5.0),
    harmful=True,
    at_least=0.95,
)
kind("a slow slide", GROUP, regressed, _slide, harmful=True)
kind("a canary of three steps", GROUP, quiet, lambda rng: _canary(rng, 1.0))
kind(
    "a canary of three steps, doubled",
    GROUP,
    regressed,
    lambda rng: _canary(rng, 2.0),
    harmful=True,
    at_least=0.95,
)
kind("nothing more comes", GROUP, regressed, _outage, harmful=True, at_least=0.95)
kind("three times the spread", GROUP, regressed, _wider, harmful=True)
