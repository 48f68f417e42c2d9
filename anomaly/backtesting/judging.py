"""Past moments, judged as if each had been the present, by exactly the code that judges
releases."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from anomaly.backtesting.injection import Key, inject
from anomaly.backtesting.placebos import evenly
from anomaly.backtesting.result import PastRelease, Rejudged, Setting
from anomaly.baseline.kept import KeptBaselines, Learner
from anomaly.checklist.checklist import Checklist
from anomaly.contracts import Collected
from anomaly.decision.judge import LEARNER
from anomaly.engine.shelf import Memory
from anomaly.model import ALARMS, Direction, Finding, NoData, Release, ReleaseVerdict, Verdict
from anomaly.panel import TOTAL, segment_text
from anomaly.pipeline import check_release
from anomaly.reporting.report import Report
from anomaly.steps import shifted

LOOKS = 8  # at an injected shift, each at twice the share of the watch of the one before
TRIED = 8  # placebo releases at which another watch or history is tried
LARGE = 2.0  # times the minimum detectable effect
TOTAL_LOSS = 1.0

Findings = Mapping[Key, Finding]


@dataclass(frozen=True, slots=True)
class Trial:
    """A placebo release: its verdict and findings.

    `detections` says of each series whether its minimum detectable effect was found when injected,
    `times` after what time a large shift was (`timedelta.max`: not within the watch; empty where
    that was not tried).
    """

    at: datetime
    verdict: ReleaseVerdict
    findings: Findings
    detections: Mapping[Key, bool]
    times: Mapping[Key, timedelta]


def by_key(report: Report) -> dict[Key, Finding]:
    return {(finding.kpi, segment_text(finding.segment)): finding for finding in report.findings}


def alarmed(finding: Finding) -> bool:
    """Whether the finding is an alarm, were it a dry run or not."""
    return finding.verdict is Verdict.REGRESSED or (
        finding.verdict is Verdict.NO_DATA and finding.no_data is NoData.FAIL
    )


def detectable(finding: Finding | None) -> float | None:
    """The minimum detectable effect, relative; None unless the series was `ok`."""
    return (
        None if finding is None or finding.verdict is not Verdict.OK else finding.detectable_effect
    )


@dataclass(frozen=True, slots=True)
class Bench:
    """A checklist and data that reach to `end`; judges moments of the past as if each
    were the present. `seed` is that of injected counts; baselines are those of the `learner`."""

    checklist: Checklist
    collected: Collected
    end: datetime
    seed: int = 0
    learner: Learner = LEARNER

    def trial(self, at: datetime, *, is_timed: bool) -> Trial:
        """Judge a placebo release, as it is and with effects in it; the times to detect only where
        `is_timed`."""
        bench = replace(self, learner=KeptBaselines(Memory()))  # its history stays the same
        data, quiet = bench.placebo(at)
        return Trial(
            at,
            quiet.verdict,
            by_key(quiet),
            bench._detections(data, quiet),
            bench._times(data, quiet) if is_timed else {},
        )

    def placebo(self, at: datetime, checklist: Checklist | None = None) -> tuple[Collected, Report]:
        """What would have been collected at the end of the watch, and the report on it."""
        checklist = checklist or self.checklist
        data = self._until(at, checklist.windows.watched_until(at), checklist)
        return data, self._judge(Release(at), data, checklist=checklist)

    def _until(self, started_at: datetime, horizon: datetime, checklist: Checklist) -> Collected:
        """Not what came later, nor series that came later."""
        stamps = self.collected.panel.index
        first, last = stamps.searchsorted([checklist.windows.history_since(started_at), horizon])
        panel = self.collected.panel.iloc[first:last]
        series = [tuple(column[:2]) for column in panel.columns]
        present_keys = {
            key for key, present in zip(series, panel.notna().any(axis=0), strict=True) if present
        }
        return replace(self.collected, panel=panel.loc[:, [key in present_keys for key in series]])

    def _judge(
        self,
        release: Release,
        data: Collected,
        *,
        horizon: datetime | None = None,
        checklist: Checklist | None = None,
    ) -> Report:
        checklist = checklist or self.checklist
        windows = checklist.windows
        over = min(horizon or self.end, windows.watched_until(release.finished))
        return check_release(
            checklist, release, now=over + windows.lag, collected=data, learner=self.learner
        )

    def injected(self, data: Collected, quiet: Report, effects: Mapping[Key, float]) -> Collected:
        """The data with the effects in it, which depend on the seed and the moment alone."""
        rates = {
            name
            for kpi in self.checklist.kpis
            if kpi.per is not None
            for name in (kpi.name, TOTAL + kpi.name)
        }
        rng = np.random.default_rng([self.seed, int(quiet.release.started_at.timestamp())])
        return inject(data, effects, quiet, rng, rates=rates)

    def _detections(self, data: Collected, quiet: Report) -> dict[Key, bool]:
        """Whether each series alarms at a shift of its minimum detectable effect."""
        alarmed_keys: dict[Key, bool] = {}
        for keys, effects in _rounds(data, quiet, 1.0):
            alarms = _alarms(self._judge(quiet.release, self.injected(data, quiet, effects)), quiet)
            alarmed_keys |= {key: key in alarms for key in keys}
        return alarmed_keys

    def _times(self, data: Collected, quiet: Report) -> dict[Key, timedelta]:
        """After what time each series alarms at a large shift."""
        times: dict[Key, timedelta] = {}
        for keys, effects in _rounds(data, quiet, LARGE):
            first = self._first_alarms(self.injected(data, quiet, effects), quiet, keys)
            times |= {key: first.get(key, timedelta.max) for key in keys}
        return times

    def _first_alarms(self, data: Collected, quiet: Report, keys: set[Key]) -> dict[Key, timedelta]:
        """After what time the first of some looks alarms; the looks end when all of the
        series have."""
        windows, at = self.checklist.windows, quiet.release.started_at
        planned = max(1, windows.watch // windows.step)
        times: dict[Key, timedelta] = {}
        for steps in sorted({math.ceil(planned / 2**look) for look in range(LOOKS)}):
            if keys <= times.keys():
                break
            horizon = shifted(at + windows.warmup, steps * windows.step, windows.step)
            cut = replace(data, panel=data.panel[data.panel.index < horizon])
            for key in _alarms(self._judge(quiet.release, cut, horizon=horizon), quiet):
                times.setdefault(key, horizon - at)
        return times

    def variants(
        self, moments: Sequence[datetime]
    ) -> list[tuple[Setting, Checklist, tuple[datetime, ...]]]:
        """The checklist with half and twice the watch, and with half the history, and where that
        can be tried."""
        windows = self.checklist.windows
        half = windows.watch / 2 // windows.step * windows.step
        out = []
        if half >= windows.step:
            out.append((Setting.WATCH, replace(windows, watch=half), moments))
        longer = replace(windows, watch=2 * windows.watch)
        out.append(
            (
                Setting.WATCH,
                longer,
                [at for at in moments if longer.watched_until(at) <= self.end],
            )
        )
        shorter = replace(windows, history=max(windows.step, windows.history / 2))
        out.append((Setting.HISTORY, shorter, moments[-TRIED:]))
        return [
            (setting, replace(self.checklist, windows=changed), evenly(at, TRIED))
            for setting, changed, at in out
        ]

    def rejudged(self, past: PastRelease) -> Rejudged:
        """A past release as it would be judged by all data that there are, up to the end of its
        watch."""
        release, windows = past.release, self.checklist.windows
        began = release.finished + windows.warmup
        data = self._until(
            release.started_at,
            min(self.end, windows.watched_until(release.finished)),
            self.checklist,
        )
        if began >= self.end or not len(data.panel) or data.panel.index[0] >= release.started_at:
            return Rejudged(past, ReleaseVerdict.INCONCLUSIVE, why="the data do not reach it")
        report = self._judge(release, data)
        undecided = [
            f"{finding.kpi}: {finding.reason}" for finding in report.findings if finding.is_open
        ]
        alarms = tuple(finding for finding in report.findings if alarmed(finding))
        has_answer = report.verdict in {ReleaseVerdict.PASS, *ALARMS}
        return Rejudged(
            past, report.verdict, alarms, "" if has_answer or not undecided else undecided[0]
        )


def _rounds(
    data: Collected, quiet: Report, times: float
) -> Iterator[tuple[set[Key], dict[Key, float]]]:
    """Which series are to be found by which effects, `times` their minimum detectable ones: first
    each series by its own; then the totals, each by its own in all of its segments.
    """
    sizes = {
        key: size
        for key, finding in by_key(quiet).items()
        if (size := _shift(finding, times)) is not None
    }
    totals = {(finding.kpi, "") for finding in quiet.findings if finding.total}
    alone = {key: size for key, size in sizes.items() if key not in totals}
    if alone:
        yield set(alone), alone
    together = {key: size for key, size in sizes.items() if key in totals}
    if together:
        series = {(str(column[0]), str(column[1])) for column in data.panel.columns}
        yield (
            set(together),
            {
                key: together[whole]
                for key in series
                if (whole := (key[0].removeprefix(TOTAL), "")) in together
            },
        )


def _shift(finding: Finding, times: float) -> float | None:
    """The minimum detectable effect in the bad direction, so many times; a fall ends at a total
    loss. None if there is none, or beyond that, and for a control, which no release moves.
    """
    size = None if finding.control_for else detectable(finding)
    if size is None or finding.direction is not Direction.DOWN:
        return None if size is None else times * size
    return -min(times * size, TOTAL_LOSS) if size <= TOTAL_LOSS else None


def _alarms(report: Report, quiet: Report) -> set[Key]:
    """The series that the report on changed data calls regressed, each at the alpha that it had by
    itself."""
    before = by_key(quiet)
    return {
        key
        for key, finding in by_key(report).items()
        if finding.verdict is Verdict.REGRESSED
        and (finding.p_value or 0.0) < (before[key].level or 0.0)
    }
