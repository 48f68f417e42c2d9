"""False alarms on quiet series of many kinds: the share of p-values at or under each level, which
should be at most the level.

python -m benchmarks.false_alarms [SERIES]
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

import anomaly
from benchmarks.quiet import KINDS

RELEASE = pd.Timestamp("2025-06-07T10:00Z")  # a Saturday
SHAPES = {
    "28 days at 5 min, 6 h": ("5min", 28 * 288, 72),
    "40 days at 1 h, 1 day": ("1h", 40 * 24, 24),
}
LEVELS = (0.1, 0.05, 0.01)


def main(count: int) -> None:
    """Print a row per kind of series and shape of data."""
    sys.stdout.write(
        f"{count} quiet series of each kind, a release on a Saturday\n{'kind':16s}{'data':26s}"
    )
    sys.stdout.write(
        "".join(f"{f'p ≤ {level}':>10s}" for level in LEVELS) + f"{'95 % holds':>12s}\n"
    )
    for seed, (shape, (step, before, after)) in enumerate(SHAPES.items()):
        index = pd.DatetimeIndex(
            pd.date_range(
                RELEASE - before * pd.Timedelta(step), periods=before + after, freq=step, unit="ns"
            )
        )
        for kind, make in KINDS.items():
            values = make(np.random.default_rng([seed, *kind.encode()]), index, (len(index), count))
            report = anomaly.check(
                pd.DataFrame(values, index).add_prefix("kpi "), released_at=RELEASE
            )
            p = np.array([finding.p_value for finding in report.findings], dtype=float)
            held = [
                low <= 0 <= high
                for low, high in (
                    f.effect_interval for f in report.findings if f.effect_interval is not None
                )
            ]
            shares = "".join(f"{(p <= level).mean():10.3f}" for level in LEVELS)
            sys.stdout.write(f"{kind:16s}{shape:26s}{shares}{np.mean(held):12.3f}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
