"""What looking often costs: quiet series of many kinds, judged once at the end of the watch and at
24 looks on the way.

python -m benchmarks.looks [SERIES]
"""

from __future__ import annotations

import sys
from datetime import timedelta

import numpy as np
import pandas as pd

import anomaly
from benchmarks.quiet import KINDS

RELEASE = pd.Timestamp("2025-06-07T10:00Z")  # a Saturday
STEP, BEFORE, WATCH, LOOKS = timedelta(minutes=15), 21 * 96, 48, 24
LEVELS = (0.05, 0.01)


def main(count: int) -> None:
    """Print the share of series with a p-value under each level at the last look, and at any
    look."""
    index = pd.DatetimeIndex(
        pd.date_range(RELEASE - BEFORE * STEP, periods=BEFORE + WATCH, freq=STEP, unit="ns")
    )
    sys.stdout.write(f"{count} quiet series of each kind, {LOOKS} looks\n{'kind':16s}")
    sys.stdout.write(
        "".join(f"{f'last ≤ {level}':>14s}{f'any ≤ {level}':>14s}" for level in LEVELS) + "\n"
    )
    found = []
    for kind, make in KINDS.items():
        values = make(np.random.default_rng([7, *kind.encode()]), index, (len(index), count))
        p = np.array(
            [_p_values(values, index, look * WATCH // LOOKS) for look in range(1, LOOKS + 1)]
        )
        found.append(
            [
                share
                for level in LEVELS
                for share in ((p[-1] <= level).mean(), (p.min(axis=0) <= level).mean())
            ]
        )
        _write(kind, found[-1])
    _write("all", np.mean(found, axis=0))


def _p_values(values: np.ndarray, index: pd.DatetimeIndex, steps: int) -> list[float]:
    frame = pd.DataFrame(values[: BEFORE + steps], index[: BEFORE + steps]).add_prefix("kpi ")
    report = anomaly.check(frame, released_at=RELEASE, watch=WATCH * STEP)
    return [1.0 if finding.p_value is None else finding.p_value for finding in report.findings]


def _write(kind: str, shares: list[float] | np.ndarray) -> None:
    sys.stdout.write(f"{kind:16s}" + "".join(f"{share:14.3f}" for share in shares) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
