"""Seeded series with known answers, and the shortest way from arrays to a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from anomaly.partials.conclusion import conclusion
from anomaly.partials.hearing import Hearings, divided
from anomaly.partials.inquiry import Inquiry, shards
from anomaly.partials.partial import Partial
from anomaly.pipeline import judge
from anomaly.reporting.report import Report
from anomaly.timing.spans import plan

Floats = NDArray[np.float64]
Columns = Mapping[tuple[str, str, str], Floats]
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
    columns: Columns | Floats,
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
    if not isinstance(columns, Mapping):
        columns = {("kpi", "", VALUE): columns}
    settings = Settings(Calendar(), false_alarms, correction)
    collected, inquiry = _asked(columns, kpis, release, windows, settings, now, until, rows)
    return judge(
        collected,
        inquiry.kpis,
        inquiry.release,
        inquiry.spans,
        inquiry.step,
        inquiry.settings,
        {},
        workers=workers,
    )


def look_at_each(
    several: Sequence[Columns],
    kpi: Kpi,
    *,
    now: datetime,
    windows: Windows = WINDOWS,
    false_alarms: float = 0.01,
) -> list[Report]:
    """What `look` says of one KPI whose series are these: a report for each of several panels.

    All series are scored together, which is much faster, and each KPI is decided about alone.
    """
    kpis = [replace(kpi, name=f"{kpi.name} {number}") for number in range(len(several))]
    columns = {
        (name.replace(kpi.name, each.name), segment, role): values
        for each, panel in zip(kpis, several, strict=True)
        for (name, segment, role), values in panel.items()
    }
    heard = hear(columns, kpis, now=now, windows=windows, false_alarms=false_alarms)
    return [heard.report([each]) for each in kpis]


@dataclass(frozen=True, slots=True)
class Heard:
    """Series that are scored, about which a decision may be made in several ways."""

    inquiry: Inquiry
    partial: Partial

    def report(self, kpis: Sequence[Kpi], *, false_alarms: float | None = None) -> Report:
        """What `look` says of some of the KPIs, with another share of false alarms if given."""
        settings = self.inquiry.settings
        if false_alarms is not None:
            settings = replace(settings, false_alarms=false_alarms)
        inquiry = replace(self.inquiry, kpis=tuple(kpis), settings=settings)
        return conclusion(inquiry, [self.partial.of([kpi.name for kpi in kpis])], {})


def hear(
    columns: Columns,
    kpis: Sequence[Kpi],
    *,
    now: datetime,
    windows: Windows = WINDOWS,
    false_alarms: float = 0.01,
) -> Heard:
    """Score what collectors would have found at `now`, see `look`; onsets are computed of changes
    with a p-value below `false_alarms`."""
    settings = Settings(Calendar(), false_alarms, Correction.HOLM)
    collected, inquiry = _asked(columns, kpis, None, windows, settings, now)
    data = divided(collected, shards(kpis), is_whole=True)
    return Heard(inquiry, Partial.together([*Hearings(inquiry, ALONE, None).partials(data)]))


def _asked(
    columns: Columns,
    kpis: Sequence[Kpi],
    release: Release | None,
    windows: Windows,
    settings: Settings,
    now: datetime,
    until: datetime | None = None,
    rows: int | None = None,
) -> tuple[Collected, Inquiry]:
    """What was collected for a look, and what is asked."""
    release = release or Release(STARTED)
    spans = plan(release, windows, now=now, until=until)
    index = grid(spans.span, windows.step)[:rows]
    panel = assemble({key: padded(values, len(index)) for key, values in columns.items()}, index)
    return Collected(panel), Inquiry(tuple(kpis), release, spans, windows.step, settings)


def padded(values: Floats, count: int) -> Floats:
    """The first `count` values, NaN where there are fewer."""
    return np.concatenate([values[:count], np.full(max(0, count - len(values)), np.nan)])
