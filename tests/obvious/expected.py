"""B. The expected value: what anybody would expect is what is expected."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.obvious.catalogue import (
    TUESDAY,
    Case,
    Floats,
    Rng,
    day,
    grid,
    hour,
    kind,
    noisy,
    quiet_within,
    regressed,
    regressed_by,
    weekend,
)

GROUP = "expected values"


def _lunch(rng: Rng, left: float) -> Case:
    at = pd.Timestamp("2025-06-03T11:30Z")
    index, after = grid(at, 28, 3)
    peak = np.exp(-0.5 * ((hour(index) - 12.5) / 0.5) ** 2)
    level = rng.uniform(300, 900) * (1 + rng.uniform(3, 6) * peak)
    values = rng.poisson(level * np.where(after, left, 1.0)).astype(float)
    return Case(values, index, at, {"direction": "down"})


kind("a lunch peak, released before it", GROUP, quiet_within(0.05), lambda rng: _lunch(rng, 1.0))
kind(
    "a lunch peak, and a fall by 15 to 20 %",
    GROUP,
    regressed,
    lambda rng: _lunch(rng, rng.uniform(0.8, 0.85)),
    harmful=True,
)


def _daily(rng: Rng, first: str, watched: int, left: float) -> Case:
    days = int(rng.integers(42, 200))
    at = pd.Timestamp(first)
    index = pd.date_range(at - pd.Timedelta(days=days), periods=days + watched, freq="D")
    level = 1000 * weekend(index, rng.uniform(0.3, 0.7)) * np.where(index >= at, left, 1.0)
    return Case(noisy(rng, level, 0.02), index, at, {"direction": "down"})


kind(
    "daily values, Friday to Sunday",
    GROUP,
    quiet_within(0.06),
    lambda rng: _daily(rng, "2025-06-06T00:00Z", 3, 1.0),
)
kind(
    "daily values, a weekend alone",
    GROUP,
    quiet_within(0.06),
    lambda rng: _daily(rng, "2025-06-07T00:00Z", 2, 1.0),
)
kind(
    "daily values, a week",
    GROUP,
    quiet_within(0.06),
    lambda rng: _daily(rng, "2025-06-02T00:00Z", 7, 1.0),
)
kind(
    "daily values, 20 % less on three to five weekdays",
    GROUP,
    regressed_by(-0.2, 0.08),
    lambda rng: _daily(rng, "2025-06-02T00:00Z", int(rng.integers(3, 6)), 0.8),
    harmful=True,
)


def _two_weeks(rng: Rng, step: str, at: pd.Timestamp, left: float) -> Case:
    index, after = grid(at, int(rng.integers(14, 16)), 24 if step == "1h" else 6, step)
    level = 400 * weekend(index, rng.uniform(0.4, 0.6)) * day(index, 0.4)
    values = rng.poisson(level * np.where(after, left, 1.0)).astype(float)
    return Case(values, index, at, {"direction": "down"})


for _step in ("1h", "5min"):
    for _when, _at in (("Tuesday", TUESDAY), ("Saturday", pd.Timestamp("2025-06-07T09:00Z"))):
        kind(
            f"two weeks with a weekend, steps of {_step}, {_when}",
            GROUP,
            quiet_within(0.12),
            lambda rng, step=_step, at=_at: _two_weeks(rng, step, at, 1.0),
        )
        kind(
            f"two weeks with a weekend, steps of {_step}, {_when}, and a fall by 20 to 30 %",
            GROUP,
            regressed,
            lambda rng, step=_step, at=_at: _two_weeks(rng, step, at, rng.uniform(0.7, 0.8)),
            harmful=True,
        )


def _one_extreme(rng: Rng) -> Case:
    index, after = grid(TUESDAY, 28, 6)
    values = noisy(rng, 100 * day(index), 0.03)
    values[int(rng.choice(np.flatnonzero(after)))] *= rng.uniform(4, 8)
    return Case(values, index, TUESDAY, {"direction": "down"})


def _step_a_day_earlier(rng: Rng) -> Case:
    index, _ = grid(TUESDAY, 28, 6)
    earlier = index >= TUESDAY - pd.Timedelta("1D")
    values = noisy(rng, 100 * day(index) * np.where(earlier, 1.4, 1.0), 0.03)
    return Case(values, index, TUESDAY, {"direction": "down"})


def _batch(rng: Rng) -> Floats | Case:
    at = pd.Timestamp("2025-06-03T22:00Z")
    index, _ = grid(at, 28, 8)
    job = (hour(index) >= 1) & (hour(index) < 3)
    values = noisy(rng, 100 * np.where(job, rng.uniform(3, 6), 1.0), 0.03)
    return Case(values, index, at, {"direction": "either"})


kind("one extreme step", GROUP, quiet_within(0.02), _one_extreme)
kind("a step a day earlier", GROUP, quiet_within(0.05), _step_a_day_earlier)
kind("a batch every night", GROUP, quiet_within(0.03), _batch)
