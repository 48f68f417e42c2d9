"""How often the interval of the onset holds the true one, and how wide it is: seeded level shifts
in generated series.

    python benchmarks/onset.py [series per kind]

72 steps of 5 minutes are watched after a warm-up of two steps; a shift begins with the release, or
20 steps into the watch. Then how often the release is blamed for a drift that had made 3 standard
deviations by then, and goes on at the same pace.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import median

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import lfilter

import anomaly
from anomaly.model import Finding, Verdict

STEP, BEFORE, GAP, WATCHED = timedelta(minutes=5), 14 * 288, 2, 72
START = datetime(2025, 3, 3, tzinfo=UTC)


INDEX = pd.date_range(START, periods=BEFORE + GAP + WATCHED, freq=STEP)
MEMORIES = (0.0, 0.6)
ALARMS = {Verdict.REGRESSED, Verdict.RECOVERED}

Floats = NDArray[np.float64]


def main(count: int) -> None:
    quiet = {phi: series(phi, count) for phi in MEMORIES}
    sys.stdout.write(
        "memory  sigma  onset     judged moved  interval holds it  median width in steps  left "
        "open\n"
    )
    for phi in MEMORIES:
        for sigma in (2, 3, 5):
            for name, first in (("release", BEFORE), ("20 later", BEFORE + GAP + 20)):
                values = quiet[phi].copy()
                values[first:] += sigma
                findings = judged(values)
                moved = [
                    finding
                    for finding in findings
                    if finding.onset_interval and finding.verdict is not Verdict.INCONCLUSIVE
                ]
                left = sum(finding.verdict is Verdict.INCONCLUSIVE for finding in findings)
                ends = [finding.onset_interval for finding in moved if finding.onset_interval]
                holds = sum(low <= INDEX[first] <= high for low, high in ends) / max(len(ends), 1)
                width = median((high - low) / STEP for low, high in ends) if ends else float("nan")
                sys.stdout.write(
                    f"{phi:<7} {sigma:<6} {name:<9} {len(moved):>12}  {holds:>17.1%}  "
                    f"{width:>21.0f}  {left:>9}\n"
                )
    sys.stdout.write("\nmemory  drifted by  in steps before  blamed  left open  ok\n")
    for phi in MEMORIES:
        for steps in (12, 36, 72, 144, 288, 864):
            values = quiet[phi].copy()
            values[BEFORE - steps :] += (
                3 / steps * np.arange(1.0, steps + GAP + WATCHED + 1)[:, None]
            )
            verdicts = [finding.verdict for finding in judged(values)]
            shares = [
                sum(each in kinds for each in verdicts) / count
                for kinds in (ALARMS, {Verdict.INCONCLUSIVE}, {Verdict.OK})
            ]
            sys.stdout.write(
                f"{phi:<7} {3:<11} {steps:<16} {shares[0]:>6.1%}  {shares[1]:>9.1%}  "
                f"{shares[2]:>5.1%}\n"
            )


def series(phi: float, count: int) -> Floats:
    noise = np.random.default_rng(1).normal(size=(len(INDEX) + 300, count)) * np.sqrt(1 - phi**2)
    return np.asarray(100 + lfilter([1.0], [1.0, -phi], noise, axis=0)[300:])


def judged(values: Floats) -> Sequence[Finding]:
    frame = pd.DataFrame(values, INDEX).add_prefix("k")
    return anomaly.check(
        frame, released_at=INDEX[BEFORE], warmup=GAP * STEP, correction="benjamini-hochberg"
    ).findings


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
