"""The way of the data: collect, prepare, fit, score, decide, report. The page to read first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from anomaly.baseline.correlogram import Correlogram
from anomaly.baseline.exclusions import left_out_within
from anomaly.baseline.sides import Sides, sides_of
from anomaly.collectors.collect import Progress, collect_window
from anomaly.contracts import Collected
from anomaly.decision.draft import MIN_HISTORY
from anomaly.decision.findings import unanswered, unjudged
from anomaly.decision.incidents import incidents
from anomaly.decision.judge import Judge, Settings, testify
from anomaly.decision.judge import correlograms as residual_correlograms
from anomaly.decision.progress import WatchProgress
from anomaly.decision.release import cut_short, verdict, without_exclusions
from anomaly.decision.stages import by_stages
from anomaly.errors import AnomalyError, CollectError
from anomaly.model import Calendar, Finding, Kpi, Release, Window, dated, select_kpis
from anomaly.panel import (
    TOTAL,
    block,
    extended,
    in_calendar,
    judged_panel,
    keys_of,
    long_form,
    times,
    usage_weights,
)
from anomaly.reporting.report import EXPECTED_COLUMNS, POINT_COLUMNS, TIMEZONE, Report
from anomaly.steps import CalendarStep, later
from anomaly.timing.spans import Plan, plan
from anomaly.timing.special_days import library

if TYPE_CHECKING:
    from anomaly.checklist.checklist import Checklist

log = logging.getLogger(__name__)


def collect(
    checklist: Checklist,
    release: Release,
    *,
    now: datetime | None = None,
    until: datetime | None = None,
    only: Sequence[str] = (),
    progress: Progress | None = None,
) -> Collected:
    """Everything that a look at a release needs; see `collect_window`."""
    spans = plan(release, checklist.windows, now=now or datetime.now(UTC), until=until)
    return collect_window(checklist, spans.span, only, progress)


def check_release(
    checklist: Checklist,
    release: Release,
    *,
    now: datetime | None = None,
    until: datetime | None = None,
    only: Sequence[str] = (),
    collected: Collected | None = None,
    progress: Progress | None = None,
    others: Sequence[Release] = (),
) -> Report:
    """Judge a release by a checklist, as `anomaly check` does.

    `now` (default: the clock) decides how far data reach and whether the watch is over; `until`
    ends it there. `only` names the KPIs to judge; `collected` is judged instead of querying the
    sources. Of the `others`, further releases, those that began during the watch are confounders.
    Raises UsageError for times that make no sense.
    """
    now = now or datetime.now(UTC)
    spans = plan(release, checklist.windows, now=now, until=until)
    if collected is None:
        collected = collect(checklist, release, now=now, until=until, only=only, progress=progress)
    report = judge(
        collected,
        select_kpis(checklist.kpis, only),
        release if release.service else _of_service(checklist, release),
        spans,
        checklist.windows.step,
        Settings(checklist.calendar, checklist.false_alarms, checklist.correction),
        {
            "anomaly": version("release-anomaly"),
            "checklist": checklist.digest,
            "now": now.isoformat(),
            **library(checklist.calendar),
        },
    )
    watch = Window(
        release.started_at, max(spans.watch_end, release.finished + timedelta.resolution)
    )
    return replace(
        report,
        confounders=tuple(each for each in others if watch.start <= each.started_at < watch.end),
    )


def _of_service(checklist: Checklist, release: Release) -> Release:
    environment = release.environment or checklist.environment
    return replace(release, service=checklist.service, environment=environment)


def correlograms(
    checklist: Checklist,
    release: Release,
    *,
    now: datetime,
    until: datetime | None = None,
    only: Sequence[str] = (),
    collected: Collected,
) -> Mapping[tuple[str, str], Correlogram]:
    """What `check_release` leaves of the autocorrelation of each series, by KPI and segment."""
    spans = plan(release, checklist.windows, now=now, until=until)
    kpis, step = select_kpis(checklist.kpis, only), checklist.windows.step
    panel = extended(judged_panel(collected.panel, kpis, step), step, spans.horizon)
    sides = sides_of(pd.DatetimeIndex(panel.index), spans, step, checklist.calendar)
    if not _is_judgeable(panel, sides):
        return {}
    return residual_correlograms(panel, sides, kpis, checklist.calendar)


def judge(
    collected: Collected,
    kpis: Sequence[Kpi],
    release: Release,
    spans: Plan,
    step: timedelta,
    settings: Settings,
    made: Mapping[str, str],
) -> Report:
    """The report about what was collected. A KPI that makes the judgement crash is an error of its
    own and hides no other."""

    def report_on(part: Collected) -> Report:
        return _report(part, kpis, release, spans, step, settings, made)

    try:
        return report_on(collected)
    except AnomalyError:
        raise
    except Exception:
        crashes = _crashes(collected, kpis, report_on)
        if not crashes:
            raise
        log.exception("judging crashed; judging again without %s", ", ".join(crashes))
        return report_on(
            replace(
                collected,
                panel=collected.panel.loc[:, ~_columns_of(collected.panel, *crashes)],
                errors={**collected.errors, **crashes},
            )
        )


def _crashes(
    collected: Collected, kpis: Sequence[Kpi], report_on: Callable[[Collected], Report]
) -> dict[str, CollectError]:
    """The KPIs that make the judgement crash when judged alone, each with the error to report."""
    crashes = {}
    for kpi in kpis:
        alone = collected.panel.loc[:, _columns_of(collected.panel, kpi.name)]
        try:
            report_on(replace(collected, panel=alone))
        except Exception as error:  # noqa: BLE001  whatever it is, it is this KPI's
            crashes[kpi.name] = CollectError(f"judging it crashed: {type(error).__name__}")
    return crashes


def _columns_of(panel: pd.DataFrame, *names: str) -> np.ndarray:
    """Which columns hold these KPIs or their totals."""
    every = [*names, *(TOTAL + name for name in names)]
    return np.asarray(panel.columns.get_level_values("kpi").isin(every))


def _report(
    collected: Collected,
    kpis: Sequence[Kpi],
    release: Release,
    spans: Plan,
    step: timedelta,
    settings: Settings,
    made: Mapping[str, str],
) -> Report:
    """Prepare the panel, fit a baseline to the history, score and decide, and report."""
    usage = usage_weights(collected.panel, kpis, spans.baseline, step)
    panel = extended(judged_panel(collected.panel, kpis, step), step, spans.horizon)
    sides = sides_of(pd.DatetimeIndex(panel.index), spans, step, settings.calendar)
    progress = WatchProgress(release, sides.starts, step, sides.planned_steps, spans.final)
    findings: tuple[Finding, ...] = ()
    points, before = pd.DataFrame({name: [] for name in POINT_COLUMNS}), None
    verifiable = None
    if _is_judgeable(panel, sides):
        testimonies = testify(panel, sides, kpis, settings)
        judge_ = Judge(kpis, usage, settings)
        findings = by_stages(judge_, testimonies, sides, spans, progress)
        points, before = testimonies[0].scored.points, testimonies[0].scored.before
        verifiable = 1 / (1 + int(sides.history.sum()) // sides.planned_steps)
    findings = _of_every_kpi(findings, kpis, panel, usage, progress, collected)
    findings = without_exclusions(findings, sides.exclusions, progress)
    findings = tuple(dated(each, step) for each in cut_short(findings, spans, progress))
    return Report(
        release=release,
        verdict=verdict(findings, final=spans.final),
        final=spans.final,
        findings=findings,
        points=in_calendar(points, step),
        baseline=spans.baseline,
        observation=spans.observation,
        step=step,
        false_alarms=settings.false_alarms,
        verifiable=verifiable,
        made={**made, **_zone(settings.calendar)},
        left_out=left_out_within(settings.calendar, spans.span),
        incidents=incidents(findings, points, step),
        data=_extent(collected.panel, step),
        around=in_calendar(_around(panel, sides, before), step),
        earlier=_earlier(panel, sides, step, settings.calendar),
    )


def _extent(panel: pd.DataFrame, step: timedelta) -> Window | None:
    """From the first step with a value to the end of the last; None without any."""
    stamps = times(panel[panel.notna().any(axis=1)])
    return Window(stamps[0], later(stamps[-1], step, 1)) if stamps else None


def _zone(calendar: Calendar) -> Mapping[str, str]:
    return {} if calendar.timezone == "UTC" else {TIMEZONE: calendar.timezone}


def _around(panel: pd.DataFrame, sides: Sides, before: pd.DataFrame | None) -> pd.DataFrame:
    """The steps shown that are not judged, in long form, series after series. `before` says what
    was expected of the last ones before the release."""
    series, index = block(panel[sides.context]), sides.index[sides.context]
    shape = len(series.keys), len(index)
    expected = {name: np.full(shape, np.nan) for name in EXPECTED_COLUMNS}
    if before is not None:
        times_of_one = pd.DatetimeIndex(before["time"].iloc[: len(before) // len(series.keys)])
        place = index.get_indexer(times_of_one)
        for name, values in expected.items():
            of_series = before[name].to_numpy().reshape(len(series.keys), -1)
            values[:, place[place >= 0]] = of_series[:, place >= 0]
    return long_form(series.keys, index, {"observed": series.value, **expected})


def _earlier(
    panel: pd.DataFrame, sides: Sides, step: timedelta, calendar: Calendar
) -> pd.DataFrame | None:
    """What was observed at the same hour of the day before and of the week before, for the steps
    that a report shows; None where steps are days or longer."""
    shown = sides.index[sides.context | sides.observation]
    if isinstance(step, CalendarStep) or not len(shown):
        return None
    clock = shown.tz_convert(calendar.timezone).tz_localize(None)

    def before(days: int) -> np.ndarray:
        """The rows of these times; -1 where there is none."""
        moments = (clock - pd.Timedelta(days=days)).tz_localize(
            calendar.timezone, ambiguous="NaT", nonexistent="NaT"
        )
        return sides.index.get_indexer(moments.tz_convert("UTC"))

    rows = {"day": before(1), "week": before(7)}
    taken = np.unique(np.concatenate([*rows.values()]))
    taken = taken[taken >= 0]
    series = block(panel.iloc[taken])
    values = {
        name: np.where(each >= 0, series.value[:, np.searchsorted(taken, each)], np.nan)
        if len(taken)
        else np.full((len(series.keys), len(shown)), np.nan)
        for name, each in rows.items()
    }
    return long_form(series.keys, shown, values)


def _is_judgeable(panel: pd.DataFrame, sides: Sides) -> bool:
    has_steps = sides.history.sum() >= MIN_HISTORY and sides.observation.any()
    return bool(has_steps and panel.shape[1])


def _of_every_kpi(
    findings: Sequence[Finding],
    kpis: Sequence[Kpi],
    panel: pd.DataFrame,
    usage: Mapping[str, float],
    progress: WatchProgress,
    collected: Collected,
) -> tuple[Finding, ...]:
    """One finding at least per KPI, and per total that has a query, in their order: a query that
    failed or has no series gets one that says so. Each finding has its query and its notes."""
    out: list[Finding] = []
    for kpi in kpis:
        for is_total in (True, False) if kpi.total is not None else (False,):
            query = TOTAL + kpi.name if is_total else kpi.name
            own: Sequence[Finding] = [
                finding
                for finding in findings
                if finding.kpi == kpi.name and (kpi.total is None or finding.total is is_total)
            ]
            if query in collected.errors:
                own = [
                    unanswered(
                        kpi, usage[kpi.name], progress, collected.errors[query], is_total=is_total
                    )
                ]
            elif not own:
                steps = _steps_with_data(panel, kpi, is_total=is_total)
                own = [unjudged(kpi, usage[kpi.name], progress, steps, is_total=is_total)]
            out += _with_provenance(own, query, collected)
    return tuple(out)


def _steps_with_data(panel: pd.DataFrame, kpi: Kpi, *, is_total: bool) -> int:
    columns = [
        name == kpi.name and (kpi.total is None or (segment == "") is is_total)
        for name, segment, _ in keys_of(panel)
    ]
    return int(panel.loc[:, columns].notna().any(axis=1).sum())


def _with_provenance(
    findings: Sequence[Finding], query: str, collected: Collected
) -> Sequence[Finding]:
    """The findings with the query as it was sent, a link to it, and the collector's notes."""
    provenance = collected.provenance.get(query)
    if provenance is None:
        return findings
    return [
        replace(
            finding,
            query=provenance.query,
            denominator=provenance.denominator,
            link=provenance.link,
            notes=(*provenance.notes, *finding.notes),
        )
        for finding in findings
    ]
