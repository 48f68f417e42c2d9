"""Placebo releases and past releases replayed, and what that amounts to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from statistics import median
from typing import TypeVar

import pandas as pd

from anomaly.backtesting.advice import Record, needed_tolerance, record, suggestions, warnings
from anomaly.backtesting.injection import Key
from anomaly.backtesting.judging import Bench, Findings, Trial, alarmed, by_key, detectable
from anomaly.backtesting.placebos import evenly, origins
from anomaly.backtesting.result import (
    Alternative,
    Backtest,
    PastRelease,
    SeriesResult,
    Setting,
    Share,
)
from anomaly.checklist.checklist import Checklist
from anomaly.collectors.collect import Progress
from anomaly.contracts import Collected
from anomaly.engine.workers import ALONE, Workers
from anomaly.errors import UsageError
from anomaly.frames import Days, Spans, at_hand, calendar_of, member, zone_of
from anomaly.model import ALARMS, UNJUDGED, Correction, Kpi, ReleaseVerdict, Windows
from anomaly.panel import block, has_step, judged_panel, segment_labels, segment_text, step_of
from anomaly.steps import later
from anomaly.timing.durations import duration_text
from anomaly.timing.special_days import library
from anomaly.wording import did_you_mean, percent

PLACEBOS = 50
TIMED = 8  # placebo releases at which early looks are taken at a large shift
FALSE_ALARMS = 2  # of a series, before another tolerance is tried
T = TypeVar("T")
Trials = tuple[
    Setting, Windows, list[tuple[Findings, Findings]]
]  # at each placebo release as it is, and tried


def backtest_checklist(
    checklist: Checklist,
    collected: Collected,
    *,
    placebos: int = PLACEBOS,
    seed: int = 0,
    releases: Sequence[PastRelease] = (),
    progress: Progress | None = None,
    workers: Workers = ALONE,
) -> Backtest:
    """Judge placebo releases, injected effects and past `releases` in the `collected` data, as
    `check_release` would have done then.

    The same input gives the same answer, whoever the `workers` are. `progress` is called with the
    number of finished parts and of all parts. Raises UsageError for fewer than one placebo release,
    and for data without values or with another step than the checklist's.
    """
    if placebos < 1:
        raise UsageError(f"placebos is {placebos}; it must be at least 1")
    has_value = collected.panel.notna().any(axis=1).to_numpy()
    if has_value.sum() < 2:  # noqa: PLR2004  one row has no step
        raise UsageError(
            "the data hold fewer than two steps with a value: there is nothing to replay"
        )
    windows = checklist.windows
    if not has_step(collected.panel, windows.step):
        raise UsageError(
            f"the data have a step of {duration_text(step_of(collected.panel))}, windows.step is "
            f"{duration_text(windows.step)}"
        )
    start = collected.panel.index[int(has_value.argmax())].to_pydatetime()
    end = later(collected.panel.index[-1].to_pydatetime(), windows.step)
    # a worker needs no sources, and is told no secrets
    alone = replace(checklist, sources={}, sinks=(), releases=(), secrets=frozenset())
    bench = Bench(alone, collected, end, seed)
    moments = origins(start, end, windows, placebos, [past.release for past in releases])
    timed_moments, variants = set(evenly(moments, TIMED)), bench.variants(moments)
    count = _Counter(progress, len(moments) + sum(len(at) for _, _, at in variants) + len(releases))
    outcomes = count.each(workers.answers(partial(_trial, bench, timed_moments), moments))
    trials = dict(zip(moments, outcomes, strict=True))
    by_setting: list[Trials] = []
    for setting, changed, ats in variants:
        candidate_findings = count.each(workers.answers(partial(_findings, bench, changed), ats))
        pairs = [
            (trials[at].findings, candidates)
            for at, candidates in zip(ats, candidate_findings, strict=True)
        ]
        by_setting.append((setting, changed.windows, pairs))
    rejudged = tuple(count.each(workers.answers(bench.rejudged, releases)))
    results = _results(bench, tuple(trials.values()), by_setting)
    return Backtest(
        placebos=moments,
        asked=placebos,
        data=(start, end),
        history=windows.history,
        watch=windows.watch,
        step=windows.step,
        least_history=min(windows.history, moments[0] - start) if moments else timedelta(0),
        most_history=min(windows.history, moments[-1] - start) if moments else timedelta(0),
        false_alarms=checklist.false_alarms,
        alarms=Share(sum(trial.verdict in ALARMS for trial in trials.values()), len(moments)),
        undecided=sum(
            trial.verdict in (ReleaseVerdict.INCONCLUSIVE, ReleaseVerdict.ERROR)
            for trial in trials.values()
        ),
        series=results,
        releases=rejudged,
        suggestions=(
            *suggestions(results, windows),
            *_tolerances(bench, tuple(trials.values()), results),
        ),
        made={"checklist": checklist.digest, "seed": str(seed), **library(checklist.calendar)},
    )


def backtest(
    series: pd.Series | pd.DataFrame,
    *,
    watch: timedelta,
    kpis: Sequence[Kpi] = (),
    denominators: pd.Series | pd.DataFrame | None = None,
    history: timedelta | None = None,
    warmup: timedelta = timedelta(0),
    false_alarms: float = 0.01,
    correction: Correction | str = Correction.HOLM,
    timezone: str = "UTC",
    special_days: Days = (),
    leave_out: Spans = (),
    placebos: int = PLACEBOS,
    seed: int = 0,
    releases: Sequence[PastRelease] = (),
) -> Backtest:
    """Judge placebo releases in series in memory, given as to `check`, or in a panel (see
    `anomaly.panel`).

    `kpis` says by column name which direction is bad and what is tolerated. Without it every column
    is a KPI and any change is bad. `history` (default: half of the rows) is the past by which each
    release is judged. Raises UsageError as `check` does.

    >>> import numpy as np, pandas as pd
    >>> from datetime import timedelta
    >>> index = pd.date_range("2025-03-01", periods=1200, freq="5min", tz="UTC")
    >>> latency = pd.Series(np.random.default_rng(1).normal(200, 5, 1200), index, name="latency")
    >>> result = backtest(latency, watch=timedelta(hours=2), placebos=5)
    >>> print(result.alarms.hits, result.alarms.of, result.series[0].detectable_effect < 0.05)
    0 5 True
    """
    calendar = calendar_of(timezone, special_days, leave_out)
    panel, step = at_hand(series, denominators, timezone=timezone)
    names = tuple(map(str, panel.columns.get_level_values("kpi").unique()))
    for kpi in kpis:
        if kpi.name not in names:
            raise UsageError(
                f"{kpi.name!r} is not a column; use one of "
                f"{', '.join(names)}{did_you_mean(kpi.name, names)}"
            )
    columns = tuple(kpis) or tuple(Kpi(name) for name in names)
    before = len(panel) // 2 * step if history is None else history
    windows = Windows(
        history=pd.Timedelta(before).to_pytimedelta(),
        warmup=pd.Timedelta(warmup).to_pytimedelta(),
        watch=pd.Timedelta(watch).to_pytimedelta(),
        step=step,
        lag=timedelta(0),
    )
    checklist = Checklist(
        service="",
        sources={},
        kpis=columns,
        windows=windows,
        calendar=replace(calendar, timezone=zone_of(step, timezone)),
        false_alarms=false_alarms,
        correction=member(Correction, correction, "correction"),
    )
    return backtest_checklist(
        checklist, Collected(panel), placebos=placebos, seed=seed, releases=releases
    )


def _trial(bench: Bench, timed_moments: Collection[datetime], at: datetime) -> Trial:
    return bench.trial(at, is_timed=at in timed_moments)


def _findings(bench: Bench, checklist: Checklist, at: datetime) -> Findings:
    """The findings about a placebo release by another checklist."""
    return by_key(bench.placebo(at, checklist)[1])


class _Counter:
    """Reports how far the work is."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.count, self.total = progress, 0, total

    def each(self, items: Iterable[T]) -> Iterator[T]:
        for item in items:
            yield item
            self.count += 1
            if self.progress is not None:
                self.progress(self.count, self.total)


def _results(
    bench: Bench, trials: Sequence[Trial], by_setting: Sequence[Trials]
) -> tuple[SeriesResult, ...]:
    """A result per series that any placebo release met, in the order of the checklist."""
    kpis = {kpi.name: kpi for kpi in bench.checklist.kpis}
    order = {name: number for number, name in enumerate(kpis)}
    records = _records(bench)
    out = []
    for key in sorted(_keys(trials), key=lambda key: (order[key[0]], key[1])):
        result = _result(kpis[key[0]], key, trials, by_setting)
        data = records.get(key, Record(None, 1.0, None))
        texts = warnings(
            result,
            kpis[key[0]],
            data,
            bench.checklist.windows,
            bench.end,
            bench.checklist.false_alarms,
        )
        out.append(replace(result, warnings=texts))
    return tuple(out)


def _keys(trials: Sequence[Trial]) -> set[Key]:
    """All judged series, but what stood for a KPI before it had any segment."""
    judged_keys = {
        key
        for trial in trials
        for key, finding in trial.findings.items()
        if finding.verdict not in UNJUDGED
    }
    every = {
        key
        for trial in trials
        for key, finding in trial.findings.items()
        if not finding.control_for
    }
    segmented = {name for name, segment in every if segment}
    return {
        (name, segment)
        for name, segment in every
        if segment or name not in segmented or (name, segment) in judged_keys
    }


def _result(
    kpi: Kpi, key: Key, trials: Sequence[Trial], by_setting: Sequence[Trials]
) -> SeriesResult:
    findings = [trial.findings[key] for trial in trials if key in trial.findings]
    silent = [
        finding for finding in findings if finding.verdict in UNJUDGED and not alarmed(finding)
    ]
    sizes = [size for finding in findings if (size := detectable(finding)) is not None]
    hits = [trial.detections[key] for trial in trials if key in trial.detections]
    times = sorted(trial.times[key] for trial in trials if key in trial.times)
    middle = times[len(times) // 2] if times else timedelta.max
    return SeriesResult(
        kpi=kpi.name,
        segment=segment_labels(key[1]),
        tolerance=kpi.tolerance,
        alarms=Share(sum(map(alarmed, findings)), len(findings) - len(silent)),
        unanswered=len(silent),
        why=silent[-1].reason if silent else "",
        detectable_effect=median(sizes) if sizes else None,
        found=Share(sum(hits), len(hits)),
        detected=Share(sum(time < timedelta.max for time in times), len(times)),
        time_to_detect=None if middle == timedelta.max else middle,
        alternatives=tuple(
            each for setting in by_setting if (each := _alternative(key, setting)) is not None
        ),
        total=any(finding.total for finding in findings),
    )


def _alternative(key: Key, variant: Trials) -> Alternative | None:
    """The medians over the placebo releases at which both have one."""
    setting, windows, pairs = variant
    sizes = [(detectable(before.get(key)), detectable(after.get(key))) for before, after in pairs]
    both = [(now, then) for now, then in sizes if now is not None and then is not None]
    if not both:
        return None
    length = windows.watch if setting is Setting.WATCH else windows.history
    return Alternative(
        setting, length, median(then for _, then in both), median(now for now, _ in both)
    )


def _records(bench: Bench) -> dict[Key, Record]:
    windows = bench.checklist.windows
    panel = judged_panel(bench.collected.panel, bench.checklist.kpis, windows.step)
    data = block(panel)
    stamps = [each.to_pydatetime() for each in pd.DatetimeIndex(panel.index)]
    planned = max(1, windows.watch // windows.step)
    return {key: record(data, i, stamps, planned) for i, key in enumerate(data.keys)}


def _tolerances(
    bench: Bench, trials: Sequence[Trial], results: Sequence[SeriesResult]
) -> Iterator[str]:
    """For series with false alarms, the tolerance that would have kept them silent, judged again
    with it."""
    for result in results:
        key = (result.kpi, segment_text(result.segment))
        alarms = [
            trial for trial in trials if key in trial.findings and alarmed(trial.findings[key])
        ]
        tolerance = needed_tolerance([trial.findings[key] for trial in alarms])
        if len(alarms) < FALSE_ALARMS or tolerance is None:
            continue
        kpis = tuple(
            replace(kpi, tolerance=tolerance) if kpi.name == result.kpi else kpi
            for kpi in bench.checklist.kpis
        )
        changed = replace(bench.checklist, kpis=kpis)
        silent = sum(
            not alarmed(by_key(bench.placebo(trial.at, changed)[1])[key]) for trial in alarms
        )
        if silent:
            yield (
                f"tolerance {percent(tolerance)} instead of {percent(result.tolerance)} for "
                f"{result.name}: "
                f"{silent} of {len(alarms)} false alarms would have been avoided"
            )
