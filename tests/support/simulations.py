"""Seeded series with known answers, and the shortest way from arrays to a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import lfilter

from anomaly.contracts import Collected
from anomaly.decision.judge import Settings
from anomaly.engine.workers import ALONE, Workers
from anomaly.model import Calendar, Correction, Finding, Kpi, Release, Windows
from anomaly.panel import VALUE, assemble, grid
from anomaly.pipeline import judge
from anomaly.reporting.report import Report
from anomaly.timing.spans import plan

Floats = NDArray[np.float64]
BURN_IN = 300
STARTED = datetime(2025, 3, 5, 12, tzinfo=UTC)  # a Wednesday
WINDOWS = Windows(
    history=timedelta(days=3),
    warmup=timedelta(minutes=10),
    watch=timedelta(hours=6),
    step=timedelta(minutes=5),
)


def stamps(count: int, step: str = "1h", start: str = "2025-03-03") -> pd.DatetimeIndex:
    """`count` stamps from `start` (a Monday unless told otherwise) in UTC."""
    return pd.date_range(start, periods=count, freq=step, tz="UTC")


def noise(seed: int, *shape: int) -> Floats:
    """Standard normal noise."""
    return np.random.default_rng(seed).normal(size=shape)


def remembering(phi: float, seed: int, *shape: int) -> Floats:
    """AR(1) noise along axis 0 with a marginal standard deviation of 1."""
    innovations = noise(seed, BURN_IN + shape[0], *shape[1:]) * np.sqrt(1 - phi**2)
    return np.asarray(lfilter([1.0], [1.0, -phi], innovations, axis=0)[BURN_IN:])


def frame(values: Floats, index: pd.DatetimeIndex) -> pd.DataFrame:
    """A column per KPI, named k0, k1 …"""
    return pd.DataFrame(values, index, columns=[f"k{i}" for i in range(values.shape[1])])


def only(report: Report) -> Finding:
    """The one finding of a report about one series."""
    (finding,) = report.findings
    return finding


def finding_of(report: Report, kpi: str) -> Finding:
    """The one finding about a KPI."""
    (finding,) = [finding for finding in report.findings if finding.kpi == kpi]
    return finding


def look(
    columns: Mapping[tuple[str, str, str], Floats] | Floats,
    kpis: Sequence[Kpi] = (Kpi("kpi"),),
    *,
    now: datetime,
    release: Release | None = None,
    windows: Windows = WINDOWS,
    until: datetime | None = None,
    rows: int | None = None,
    false_alarms: float = 0.01,
    correction: Correction = Correction.HOLM,
    workers: Workers = ALONE,
) -> Report:
    """Judge what collectors would have found at `now`: arrays on the grid from the start of the
    history, cut at the present.

    An array alone is the KPI `kpi`; `rows` cuts the panel shorter than that, as a source that died
    would.
    """
    release = release or Release(STARTED)
    spans = plan(release, windows, now=now, until=until)
    index = grid(spans.span, windows.step)[:rows]
    if not isinstance(columns, Mapping):
        columns = {("kpi", "", VALUE): columns}
    panel = assemble({key: padded(values, len(index)) for key, values in columns.items()}, index)
    return judge(
        Collected(panel),
        kpis,
        release,
        spans,
        windows.step,
        Settings(Calendar(), false_alarms, correction),
        {},
        workers=workers,
    )


def padded(values: Floats, count: int) -> Floats:
    """The first `count` values, NaN where there are fewer."""
    return np.concatenate([values[:count], np.full(max(0, count - len(values)), np.nan)])
