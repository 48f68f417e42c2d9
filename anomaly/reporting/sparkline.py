"""A series after the release as a line of blocks: what was observed, and what was expected, on one
scale."""

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
FARTHEST = 1e100  # what is further out is drawn there, for beyond it differences overflow


@dataclass(frozen=True, slots=True)
class Sparkline:
    """Two lines of one length, a block for each part of the watch; a blank where nothing is
    known."""

    observed: str
    expected: str


def points_of(report: Report, finding: Finding) -> pd.DataFrame:
    """The points of one series that hold something to be drawn, gaps between them too; none if
    nothing was observed."""
    from anomaly.panel import segment_text

    points = report.points
    kpis, segments = (
        points[name].astype(object) for name in ("kpi", "segment")
    )  # any text can be compared
    mine = points[(kpis == finding.kpi) & (segments == segment_text(finding.segment))]
    return mine if mine["observed"].notna().any() else mine.iloc[:0]


def sparkline(report: Report, finding: Finding, width: int) -> Sparkline | None:
    """At most `width` blocks of a series; None if too little was observed.

    A block stands for the mean of its steps. The lowest is that of the least of observed values and
    the 99 % band, the highest that of the greatest: what scatters within the band looks as small as
    it is.
    """
    import numpy as np

    points = points_of(report, finding)
    if len(points) < FEWEST_STEPS:
        return None
    together = -(-len(points) // width)
    part = np.arange(len(points)) // together
    columns = ["observed", "expected", "lower", "upper"]
    means = points[columns].clip(-FARTHEST, FARTHEST).groupby(part).mean()
    known = means.to_numpy()[np.isfinite(means.to_numpy())]
    low, high = float(known.min()), float(known.max())
    return Sparkline(
        *(
            "".join(_block(value, low, high) for value in means[name])
            for name in ("observed", "expected")
        )
    )


def _block(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return GAP
    share = (value - low) / (high - low) if high > low else 0.0
    return BLOCKS[min(int(share * len(BLOCKS)), len(BLOCKS) - 1)]
