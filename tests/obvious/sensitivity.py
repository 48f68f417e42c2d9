"""A change that the report calls detectable is found in four of five releases.

Each case is judged twice: first as it is, which says what is detectable; then with exactly that
change in its observation.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from tests.obvious.catalogue import (
    DOWN,
    TUESDAY,
    UP,
    Case,
    Maker,
    Rng,
    counted,
    day,
    grid,
    kind,
    noisy,
    only,
    ratio,
    regresses,
    weekend,
)

GROUP = "sensitivity"
LEAST, MOST = 0.7, 0.95  # four of five are promised


def changed(case: Case, relative: float) -> Case:
    """The case with all that is after the release higher by a share of it, in the bad direction."""
    sign = -1 if case.options.get("direction") == "down" else 1
    return replace(case, values=case.values * np.where(case.after, 1 + sign * relative, 1.0))


def _with_detectable_effect(rng: Rng, quiet: Maker) -> Case:
    case = quiet(rng)
    detectable = only(case.report()).detectable_effect
    return case if detectable is None else changed(case, detectable)


def _falling_ratio(rng: Rng) -> Case:
    index, _ = grid(TUESDAY, 21, 6)
    visits = rng.uniform(300, 3000) * day(index)
    orders, total = ratio(rng, index, visits, np.full(len(index), rng.uniform(0.02, 0.2)))
    return Case(orders, index, TUESDAY, DOWN | {"denominators": total})


def _sparse_ratio(rng: Rng) -> Case:
    index, _ = grid(TUESDAY, 21, 6)
    errors, total = ratio(
        rng, index, 300 * day(index), np.full(len(index), rng.uniform(0.001, 0.003))
    )
    return Case(errors, index, TUESDAY, UP | {"denominators": total})


def _rhythmic_counts(rng: Rng) -> Case:
    index, _ = grid(TUESDAY, 28, 6)
    level = rng.uniform(50, 500) * day(index, rng.uniform(0.3, 0.6)) * weekend(index, 0.7)
    return Case(counted(rng, level), index, TUESDAY, DOWN)


def _gauge(rng: Rng) -> Case:
    """A gauge that remembers: each step keeps most of the last one's deviation."""
    index, _ = grid(TUESDAY, 14, 6)
    memory, noise = rng.uniform(0.3, 0.7), rng.normal(size=len(index))
    for at in range(1, len(noise)):
        noise[at] += memory * noise[at - 1]
    return Case(50 + 2 * noise, index, TUESDAY, UP | {"kind": "gauge"})


def _latency(rng: Rng) -> Case:
    index, _ = grid(TUESDAY, 21, 6)
    spread = rng.uniform(0.05, 0.15)
    values = 200 * day(index, 0.1) * np.exp(spread * rng.normal(size=len(index)))
    return Case(values, index, TUESDAY, UP | {"kind": "latency"})


def _days(rng: Rng) -> Case:
    at = pd.Timestamp("2025-06-02T00:00Z")
    index, _ = grid(at, int(rng.integers(70, 150)), 24 * 7, "1D")
    values = noisy(rng, 1000 * weekend(index, rng.uniform(0.5, 0.8)), rng.uniform(0.02, 0.04))
    return Case(values, index, at, DOWN)


def _counts(rng: Rng) -> Case:
    index, _ = grid(TUESDAY, 14, 6)
    return Case(counted(rng, np.full(len(index), rng.uniform(20, 200))), index, TUESDAY, DOWN)


for _name, _quiet in (
    ("a falling ratio", _falling_ratio),
    ("a sparse ratio", _sparse_ratio),
    ("counts with a rhythm", _rhythmic_counts),
    ("a gauge", _gauge),
    ("a latency", _latency),
    ("daily values", _days),
    ("plain counts", _counts),
):
    kind(
        f"the detectable effect in {_name}",
        GROUP,
        regresses,
        partial(_with_detectable_effect, quiet=_quiet),
        harmful=True,
        at_least=LEAST,
        at_most=MOST,
    )
