"""What a backtest measures on quiet series of many kinds: false alarms, and how often a detectable
effect that was put in is found.

python -m benchmarks.backtest [SERIES]
"""

from __future__ import annotations

import sys
from datetime import timedelta

import numpy as np
import pandas as pd

import anomaly
from anomaly.backtesting.result import Share
from benchmarks.quiet import KINDS

INDEX = pd.DatetimeIndex(
    pd.date_range("2025-03-03", periods=42 * 24, freq="1h", tz="UTC", unit="ns")
)
WATCH, HISTORY = timedelta(hours=12), timedelta(days=28)
PLACEBOS = 30


def main(count: int) -> None:
    """Print a row per kind of series."""
    sys.stdout.write(
        f"{count} quiet series of each kind in one checklist, {PLACEBOS} placebo releases; found "
        "should be 0.8\n"
    )
    sys.stdout.write(
        f"{'kind':16s}{'false alarms':>14s}{'undecided':>11s}{'detectable':>12s}"
        f"{'found':>16s}{'seen after':>12s}\n"
    )
    for kind, make in KINDS.items():
        values = make(np.random.default_rng([7, *kind.encode()]), INDEX, (len(INDEX), count))
        result = anomaly.backtest(
            pd.DataFrame(values, INDEX).add_prefix("kpi "),
            watch=WATCH,
            history=HISTORY,
            placebos=PLACEBOS,
        )
        sizes = [
            series.detectable_effect
            for series in result.series
            if series.detectable_effect is not None
        ]
        found = Share(
            sum(each.found.hits for each in result.series),
            sum(each.found.of for each in result.series),
        )
        times = sorted(each.time_to_detect or timedelta.max for each in result.series)
        seen = times[len(times) // 2]
        sys.stdout.write(
            f"{kind:16s}{f'{result.alarms.hits} of {result.alarms.of}':>14s}{result.undecided:11d}"
            f"{np.median(sizes) if sizes else np.nan:12.3f}"
            f"{f'{found.hits} of {found.of}':>13s}{found.value or 0:6.2f}"
            f"{'never' if seen == timedelta.max else f'{seen / timedelta(hours=1):.0f} h':>9s}\n"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
