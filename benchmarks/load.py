"""A release to judge with as many series as wanted, in memory.

`python -m benchmarks.load SERIES` judges one, and prints the peak of its memory in bytes.
"""

from __future__ import annotations

import re
import resource
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from anomaly.checklist.checklist import Checklist
from anomaly.contracts import Collected
from anomaly.model import Kpi, Release, ReleaseVerdict, Windows
from anomaly.panel import LEVELS, VALUE, index_of
from anomaly.pipeline import check_release
from anomaly.reporting.report import Report
from benchmarks.quiet import KINDS, Floats

RELEASED = datetime(2025, 6, 3, tzinfo=UTC)
STEP, WATCH, WEEK = timedelta(minutes=5), timedelta(days=1), timedelta(weeks=1)
WEEKS = 4
SHAPES = ("weekly", "daily", "counts of 20", "skewed")  # of `KINDS`, in turns
TOGETHER = 40  # series made at once, so that making them is not what takes most memory
STATUS = Path("/proc/self/status")
MOVED, BY = 100, 1.3  # one series of so many is moved, by this factor


@dataclass(frozen=True, slots=True)
class Load:
    """What is judged: a KPI per series, its steps of 5 minutes over `weeks` and the day after the
    release."""

    checklist: Checklist
    collected: Collected

    def report(self) -> Report:
        """The verdict; RuntimeError where judging crashed, for that costs something else."""
        report = check_release(
            self.checklist, Release(RELEASED), now=RELEASED + 2 * WATCH, collected=self.collected
        )
        if report.verdict is ReleaseVerdict.ERROR:
            raise RuntimeError(f"nothing to measure: {report.findings[0].reason}")
        return report

    @property
    def values(self) -> Floats:
        """The series as a matrix `(series, time)` of its own."""
        return np.ascontiguousarray(self.collected.panel.to_numpy().T)


def load_of(series: int, weeks: int = WEEKS) -> Load:
    """Seeded series with a day and mostly a week; the release moved one of a hundred."""
    history = weeks * WEEK
    steps = (history + WATCH) // STEP
    index = index_of([RELEASED - history + STEP * number for number in range(steps)])
    values = np.empty((series, steps))
    for first in range(0, series, TOGETHER):
        part = range(first, min(first + TOGETHER, series))
        for place, shape in enumerate(SHAPES):
            rows = [*part][place :: len(SHAPES)]
            rng = np.random.default_rng([first, place])
            values[rows] = KINDS[shape](rng, index, (steps, len(rows))).T
    values[MOVED // 2 :: MOVED, history // STEP :] *= BY
    names = [f"kpi {number:04}" for number in range(series)]
    columns = pd.MultiIndex.from_tuples([(name, "", VALUE) for name in names], names=LEVELS)
    checklist = Checklist(
        service="shop",
        sources={},
        kpis=tuple(Kpi(name, query=name) for name in names),
        windows=Windows(history=history, watch=WATCH, step=STEP),
    )
    return Load(checklist, Collected(pd.DataFrame(values.T, index, columns)))


def peak_bytes() -> int:
    """The most memory that this process had, resident."""
    if STATUS.exists():  # the other number begins with that of the process that started this one
        peak = re.search(r"^VmHWM:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
        return int(peak[1]) * 1024 if peak else 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    load_of(int(sys.argv[1])).report()
    print(peak_bytes())
