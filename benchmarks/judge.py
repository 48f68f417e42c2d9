"""How long a verdict takes: `anomaly.check` on 28 days at 5 minutes, by the number of series.
Prints a table; see `make bench`."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

import anomaly

RELEASED = datetime(2025, 6, 3, 9, tzinfo=UTC)
HISTORY, WATCH, STEP = timedelta(days=28), timedelta(hours=6), timedelta(minutes=5)
SIZES = (1, 10, 50)
TIMES = 3


def shop(series: int, seed: int) -> pd.DataFrame:
    """Seeded counts with a day and noise that remembers, a column per KPI; nothing happens at the
    release."""
    rng = np.random.default_rng(seed)
    index = pd.date_range(RELEASED - HISTORY, RELEASED + WATCH, freq=STEP, inclusive="left")
    day = 1 + 0.3 * np.sin(np.arange(len(index)) * 2 * np.pi * (STEP / timedelta(days=1)))
    noise = rng.normal(0, 0.05, (len(index), series))
    for row in range(1, len(index)):
        noise[row] += 0.5 * noise[row - 1]
    return pd.DataFrame(
        rng.poisson(500 * day[:, None] * np.exp(noise)).astype(float),
        index,
        [f"kpi {n}" for n in range(series)],
    )


def seconds(frame: pd.DataFrame) -> float:
    started = time.perf_counter()
    anomaly.check(frame, released_at=RELEASED, watch=WATCH)
    return time.perf_counter() - started


def main() -> None:
    seconds(shop(1, 0))  # imports and caches
    print(f"{'series':>6} {'steps':>6} {'best of ' + str(TIMES):>10}")
    for size in SIZES:
        frame = shop(size, size)
        print(f"{size:>6} {len(frame):>6} {min(seconds(frame) for _ in range(TIMES)):>8.2f} s")


if __name__ == "__main__":
    main()
