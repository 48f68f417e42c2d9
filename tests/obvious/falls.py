"""C. A catastrophe never passes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from anomaly import Report, Verdict
from tests.obvious.catalogue import (
    TUESDAY,
    Case,
    Rng,
    day,
    grid,
    hour,
    kind,
    noisy,
    not_a_pass,
    only,
    quiet,
    regressed,
    weekend,
)

GROUP = "catastrophes"
DOWN = {"direction": "down"}


def _after_earlier_step(rng: Rng, left: float) -> Case:
    index, after = grid(TUESDAY, 28, 6)
    earlier = index >= TUESDAY - pd.Timedelta(days=float(rng.uniform(1, 5)))
    level = (
        1e4
        * day(index, 0.5)
        * np.where(earlier, 1 + rng.choice([-1, 1]) * rng.uniform(0.05, 0.2), 1)
    )
    values = rng.poisson(level * np.where(after, left, 1.0)).astype(float)
    return Case(values, index, TUESDAY, {"direction": "either"})


for _left in (0.4, 0.01, 2.0):
    kind(
        f"after an earlier step, × {_left}",
        GROUP,
        regressed,
        lambda rng, left=_left: _after_earlier_step(rng, left),
        harmful=True,
        at_least=0.95,
    )


def _into_the_night(rng: Rng, left: float) -> Case:
    at = pd.Timestamp("2025-06-03T18:00Z")
    index, after = grid(at, 28, 6)
    usual = rng.uniform(15, 40) * (
        0.02 + 0.98 * np.maximum(np.cos((hour(index) - 15) / 24 * 2 * np.pi), 0) ** 0.7
    )
    values = rng.poisson(usual * np.where(after, left, 1.0)).astype(float)
    return Case(values, index, at, {"direction": "down", "tolerance": 0.05})


kind("into a quiet night", GROUP, quiet, lambda rng: _into_the_night(rng, 1.0))
kind(
    "an outage into the night",
    GROUP,
    regressed,
    lambda rng: _into_the_night(rng, 0.0),
    harmful=True,
    at_least=0.95,
)
kind("half into the night", GROUP, regressed, lambda rng: _into_the_night(rng, 0.5), harmful=True)


def _lasting(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 21, 6)
    level = 50 * day(index) * np.where(after, rng.uniform(0.89, 0.92), 1.0)
    return Case(rng.poisson(level).astype(float), index, TUESDAY, DOWN)


def _not_recovered(report: Report) -> bool:
    return only(report).verdict is not Verdict.RECOVERED


kind("a fall by 10 % that lasts is not over", GROUP, _not_recovered, _lasting, at_least=0.95)


def _outliers(rng: Rng, times: float) -> Case:
    index, after = grid(TUESDAY, 28, 6)
    values = 300 * np.exp(0.05 * rng.normal(size=len(index)))
    values *= np.where(rng.random(len(index)) < 0.02, rng.uniform(5, 30, len(index)), 1.0)
    return Case(
        values * np.where(after, times, 1.0), index, TUESDAY, {"direction": "up", "tolerance": 0.05}
    )


kind("a p99 with outliers", GROUP, quiet, lambda rng: _outliers(rng, 1.0))
kind(
    "a p99 with outliers, 50 % up",
    GROUP,
    regressed,
    lambda rng: _outliers(rng, 1.5),
    harmful=True,
    at_least=0.95,
)


def _failing_before(rng: Rng) -> Case:
    index, _ = grid(TUESDAY, 28, float(rng.uniform(1, 6)))
    failing = index >= TUESDAY - pd.Timedelta(hours=float(rng.uniform(4, 10)))
    values = rng.poisson(10 * np.where(failing, 5.0, 1.0)).astype(float)
    return Case(values, index, TUESDAY, {"direction": "up"})


kind(
    "already failing before the release",
    GROUP,
    not_a_pass,
    _failing_before,
    harmful=True,
    at_least=0.95,
)


def _precise_weekend(rng: Rng, step: str, left: float) -> Case:
    at = pd.Timestamp("2025-06-07T10:00Z") + pd.Timedelta(days=int(rng.integers(2)))
    at = at.floor("D") if step == "1D" else at
    hours = {"5min": 6, "1h": 12, "1D": 48}[step]
    index, after = grid(at, 28 if step != "1D" else 84, hours, step)
    level = 1e5 * weekend(index, 0.7) * (day(index) if step != "1D" else 1.0)
    return Case(
        noisy(rng, level * np.where(after, left, 1.0), rng.uniform(0.01, 0.02)), index, at, DOWN
    )


for _step in ("5min", "1h", "1D"):
    kind(
        f"a precise KPI on a weekend, steps of {_step}",
        GROUP,
        quiet,
        lambda rng, step=_step: _precise_weekend(rng, step, 1.0),
    )
    kind(
        f"a precise KPI on a weekend, steps of {_step}, halved",
        GROUP,
        regressed,
        lambda rng, step=_step: _precise_weekend(rng, step, 0.5),
        harmful=True,
        at_least=0.95,
    )


def _sparse(rng: Rng, left: float) -> Case:
    index, after = grid(TUESDAY, 28, 72)
    values = rng.poisson(0.1 * np.where(after, left, 1.0) * np.ones(len(index))).astype(float)
    return Case(values, index, TUESDAY, DOWN)


kind("sparse counts", GROUP, quiet, lambda rng: _sparse(rng, 1.0))
kind("sparse counts stop", GROUP, regressed, lambda rng: _sparse(rng, 0.0), harmful=True)


def _growth(rng: Rng, left: float) -> Case:
    index, after = grid(TUESDAY, 35, 6)
    weeks = np.arange(len(index)) / (7 * 288)
    level = 300 * 1.05**weeks * weekend(index, 0.7) * day(index)
    return Case(rng.poisson(level * np.where(after, left, 1.0)).astype(float), index, TUESDAY, DOWN)


kind("growth and weekends", GROUP, quiet, lambda rng: _growth(rng, 1.0))
kind(
    "growth and weekends, 30 % less", GROUP, regressed, lambda rng: _growth(rng, 0.7), harmful=True
)


def _old_step(rng: Rng, left: float) -> Case:
    index, after = grid(TUESDAY, 35, 6)
    old = index >= TUESDAY - pd.Timedelta(days=14)
    level = 300 * np.where(old, rng.uniform(0.75, 1.35), 1.0) * weekend(index, 0.7) * day(index)
    return Case(rng.poisson(level * np.where(after, left, 1.0)).astype(float), index, TUESDAY, DOWN)


kind("a step two weeks ago", GROUP, quiet, lambda rng: _old_step(rng, 1.0))
kind(
    "a step two weeks ago, 30 % less",
    GROUP,
    regressed,
    lambda rng: _old_step(rng, 0.7),
    harmful=True,
)
