"""A series after the release as lines of blocks: observed and expected values on one scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anomaly.model import Finding
from anomaly.reporting.report import Report

if TYPE_CHECKING:
    import pandas as pd

BLOCKS = "▁▂▃▄▅▆▇█"
GAP = " "
FEWEST_STEPS = 2  # a line of one block says nothing
FARTHEST = 1e100  # values beyond it are drawn there, because differences would overflow


@dataclass(frozen=True, slots=True)
class Sparkline:
    """Two lines of equal length, a block for each part of the watch; a blank for missing data."""

    observed: str
    expected: str


def points_of(report: Report, finding: Finding) -> pd.DataFrame:
    """The points of one series with the gaps between them; none if nothing was observed."""
    from anomaly.panel import segment_text
    from anomaly.reporting.long_frame import of_series

    mine = of_series(report.points, (finding.kpi, segment_text(finding.segment)))
    return mine if mine["observed"].notna().any() else mine.iloc[:0]


def sparkline(report: Report, finding: Finding, width: int) -> Sparkline | None:
    """At most `width` blocks of a series; None if too little was observed.

    A block is the mean of its steps. The scale spans the observed values and the 99 % band, so that
    scatter within the band looks small.
    """
    import numpy as np

    points = points_of(report, finding)
    if len(points) < FEWEST_STEPS:
        return None
    together = -(-len(points) // width)
    part = np.arange(len(points)) // together
    columns = ["observed", "expected", "lower", "upper"]
    means = points[columns].clip(-FARTHEST, FARTHEST).groupby(part).mean()
    finite = means.to_numpy()[np.isfinite(means.to_numpy())]
    low, high = float(finite.min()), float(finite.max())
    return Sparkline(
        observed="".join(_block(value, low, high) for value in means["observed"]),
        expected="".join(_block(value, low, high) for value in means["expected"]),
    )


def _block(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return GAP
    share = (value - low) / (high - low) if high > low else 0.0
    return BLOCKS[min(int(share * len(BLOCKS)), len(BLOCKS) - 1)]
