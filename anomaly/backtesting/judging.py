"""Past moments, judged as if each had been the present, by exactly the code that judges releases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from anomaly.backtesting.injection import Key, inject
from anomaly.backtesting.placebos import evenly
from anomaly.backtesting.result import PastRelease, Rejudged, Setting
from anomaly.checklist import Checklist
from anomaly.contracts import Collected
from anomaly.model import Direction, Finding, NoData, Release, ReleaseVerdict, Report, Verdict
from anomaly.panel import segment_text
from anomaly.pipeline import check_release

LOOKS = 8  # at an injected shift, each at twice the share of the watch of the one before
TRIED = 8  # placebo releases at which another watch or history is tried
LARGE = 2.0  # times the detectable effect
TOTAL_LOSS = 1.0


@dataclass(frozen=True, slots=True)
class Placebo:
    """A placebo release, the data it was judged by, and the report."""

    at: datetime
    collected: Collected
    report: Report

    def findings(self) -> dict[Key, Finding]:
        return by_key(self.report)

    def effects(self, times: float = 1.0) -> dict[Key, float]:
        """Of each `ok` series its detectable effect in the bad direction, as often; a fall ends at a total loss."""
        out = {}
        for key, finding in self.findings().items():
            size = finding.detectable_effect
            if finding.verdict is not Verdict.OK or size is None:
                continue
            if finding.direction is not Direction.DOWN:
                out[key] = times * size
            elif size <= TOTAL_LOSS:
                out[key] = -min(times * size, TOTAL_LOSS)
        return out

    def alarms(self, report: Report) -> set[Key]:
        """The series that `report` on changed data calls regressed, each at the level that it had by itself."""
        before = self.findings()
        return {
            key
            for key, finding in by_key(report).items()
            if finding.verdict is Verdict.REGRESSED and (finding.p_value or 0.0) < (before[key].level or 0.0)
        }


def by_key(report: Report) -> dict[Key, Finding]:
    return {(finding.kpi, segment_text(finding.segment)): finding for finding in report.findings}


def alarmed(finding: Finding) -> bool:
    """Whether the finding is an alarm, were it a dry run or not."""
    return finding.verdict is Verdict.REGRESSED or (finding.verdict is Verdict.NO_DATA and finding.no_data is NoData.FAIL)


@dataclass(frozen=True, slots=True)
class Bench:
    """A checklist and data that reach to `end`; judges as if each asked moment had been the present."""

    checklist: Checklist
    collected: Collected
    end: datetime

    def placebo(self, at: datetime, checklist: Checklist | None = None) -> Placebo:
        checklist = checklist or self.checklist
        data = self.until(at, at + checklist.windows.warmup + checklist.windows.watch, checklist)
        return Placebo(at, data, self.judge(Release(at), data, checklist=checklist))

    def until(self, started_at: datetime, horizon: datetime, checklist: Checklist) -> Collected:
        """What collecting would have found at `horizon`: not what came later, nor series that came later."""
        panel = self.collected.panel
        panel = panel[(panel.index >= started_at - checklist.windows.history) & (panel.index < horizon)]
        series = [tuple(column[:2]) for column in panel.columns]
        seen = {key for key, present in zip(series, panel.notna().any(axis=0), strict=True) if present}
        return replace(self.collected, panel=panel.loc[:, [key in seen for key in series]])

    def judge(self, release: Release, data: Collected, *, horizon: datetime | None = None, checklist: Checklist | None = None) -> Report:
        checklist = checklist or self.checklist
        windows = checklist.windows
        over = min(horizon or self.end, release.finished + windows.warmup + windows.watch)
        return check_release(checklist, release, now=over + windows.lag, collected=data)

    def injected(self, placebo: Placebo, effects: Mapping[Key, float], seed: int) -> Collected:
        kpis = {kpi.name: kpi for kpi in self.checklist.kpis}
        rng = np.random.default_rng([seed, int(placebo.at.timestamp())])
        return inject(placebo.collected, kpis, effects, placebo.report, rng)

    def found(self, placebo: Placebo, seed: int) -> dict[Key, bool]:
        """Of each series that can lose or gain its detectable effect, whether that shift is found."""
        effects = placebo.effects()
        report = self.judge(Release(placebo.at), self.injected(placebo, effects, seed))
        alarms = placebo.alarms(report)
        return {key: key in alarms for key in effects}

    def times(self, placebo: Placebo, seed: int) -> dict[Key, timedelta]:
        """Of each series the time from a large shift to the first look that alarms; infinite (`timedelta.max`) if none does."""
        windows = self.checklist.windows
        effects = placebo.effects(LARGE)
        data = self.injected(placebo, effects, seed)
        planned = max(1, windows.watch // windows.step)
        times: dict[Key, timedelta] = {}
        for steps in sorted({math.ceil(planned / 2**look) for look in range(LOOKS)}):
            horizon = placebo.at + windows.warmup + steps * windows.step
            cut = replace(data, panel=data.panel[data.panel.index < horizon])
            for key in placebo.alarms(self.judge(Release(placebo.at), cut, horizon=horizon)):
                times.setdefault(key, horizon - placebo.at)
            if effects.keys() <= times.keys():
                break
        return {key: times.get(key, timedelta.max) for key in effects}

    def variants(self, moments: Sequence[datetime]) -> list[tuple[Setting, Checklist, tuple[datetime, ...]]]:
        """The checklist with half and twice the watch, and with half the history, and where that can be tried."""
        windows = self.checklist.windows
        half = windows.watch / 2 // windows.step * windows.step
        out = []
        if half >= windows.step:
            out.append((Setting.WATCH, replace(windows, watch=half), moments))
        longer = replace(windows, watch=2 * windows.watch)
        out.append((Setting.WATCH, longer, [at for at in moments if at + longer.warmup + longer.watch <= self.end]))
        shorter = replace(windows, history=max(windows.step, windows.history / 2))
        out.append((Setting.HISTORY, shorter, moments[-TRIED:]))
        return [(setting, replace(self.checklist, windows=changed), evenly(at, TRIED)) for setting, changed, at in out]

    def rejudged(self, past: PastRelease) -> Rejudged:
        """A past release as it would be judged by all data that there are, up to the end of its watch."""
        release, windows = past.release, self.checklist.windows
        began = release.finished + windows.warmup
        data = self.until(release.started_at, min(self.end, began + windows.watch), self.checklist)
        if began >= self.end or not len(data.panel) or data.panel.index[0] >= release.started_at:
            return Rejudged(past, ReleaseVerdict.INCONCLUSIVE, why="the data do not hold it")
        report = self.judge(release, data)
        undecided = [f"{finding.kpi}: {finding.reason}" for finding in report.findings if finding.is_open]
        moved = tuple(finding for finding in report.findings if alarmed(finding))
        answered = report.verdict in (ReleaseVerdict.PASS, ReleaseVerdict.FAIL)
        return Rejudged(past, report.verdict, moved, "" if answered or not undecided else undecided[0])
