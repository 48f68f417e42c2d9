"""How often the interval of the onset holds the true one, and how wide it is: seeded level shifts in generated series.

    python benchmarks/onset.py [series per kind]

72 steps of 5 minutes are watched after a warm-up of two steps; a shift begins with the release, or 20 steps into the watch.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from statistics import median

import numpy as np
import pandas as pd
from scipy.signal import lfilter

import anomaly
from anomaly.model import Verdict

STEP, BEFORE, GAP, WATCHED = timedelta(minutes=5), 14 * 288, 2, 72
START = datetime(2025, 3, 3, tzinfo=UTC)


def main(count: int) -> None:
    index = pd.date_range(START, periods=BEFORE + GAP + WATCHED, freq=STEP)
    sys.stdout.write("memory  sigma  onset     judged moved  interval holds it  median width in steps  left open\n")
    for phi in (0.0, 0.6):
        noise = np.random.default_rng(1).normal(size=(len(index) + 300, count)) * np.sqrt(1 - phi**2)
        noise = lfilter([1.0], [1.0, -phi], noise, axis=0)[300:]
        for sigma in (2, 3, 5):
            for name, first in (("release", BEFORE), ("20 later", BEFORE + GAP + 20)):
                values = 100 + noise
                values[first:] += sigma
                report = anomaly.check(
                    pd.DataFrame(values, index).add_prefix("k"),
                    released_at=index[BEFORE],
                    warmup=GAP * STEP,
                    correction="benjamini-hochberg",
                )
                moved = [finding for finding in report.findings if finding.onset_interval and finding.verdict is not Verdict.INCONCLUSIVE]
                left = sum(finding.verdict is Verdict.INCONCLUSIVE for finding in report.findings)
                ends = [finding.onset_interval for finding in moved if finding.onset_interval]
                holds = sum(low <= index[first] <= high for low, high in ends) / max(len(ends), 1)
                width = median((high - low) / STEP for low, high in ends) if ends else float("nan")
                sys.stdout.write(f"{phi:<7} {sigma:<6} {name:<9} {len(moved):>12}  {holds:>17.1%}  {width:>21.0f}  {left:>9}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
