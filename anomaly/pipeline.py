"""The way of the data: collect, prepare, fit, score, decide, report. The page to read first."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from anomaly.baseline.correlogram import Correlogram
from anomaly.baseline.kept import Learner
from anomaly.baseline.sides import sides_of
from anomaly.collectors.collect import Progress, collect_window
from anomaly.contracts import Collected
from anomaly.decision.judge import LEARNER, Settings
from anomaly.decision.judge import correlograms as residual_correlograms
from anomaly.engine.workers import ALONE, Workers
from anomaly.model import Kpi, Release, Window, select_kpis
from anomaly.panel import columns_at, extended, judged_panel, keys_of
from anomaly.partials import errand
from anomaly.partials.conclusion import conclusion
from anomaly.partials.gathering import gathered
from anomaly.partials.hearing import Hearings, divided, is_judgeable
from anomaly.partials.inquiry import Inquiry, Shard, shards
from anomaly.partials.partial import Partial
from anomaly.reporting.report import Report
from anomaly.timing.spans import Plan, plan
from anomaly.timing.special_days import library

if TYPE_CHECKING:
    from anomaly.checklist.checklist import Checklist
    from anomaly.collectors.answers import Answers


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
    answers: Answers | None = None,
    workers: Workers = ALONE,
    judging: Progress | None = None,
    learner: Learner = LEARNER,
) -> Report:
    """Judge a release by a checklist, as `anomaly check` does.

    `now` (default: the clock) decides how far data reach and whether the watch is over; `until`
    ends it there. `only` names the KPIs to judge; `collected` is judged instead of querying the
    sources, and what is known of `answers` is not asked again. Of the `others`, further releases,
    those that began during the watch are confounders. The `workers` judge; `progress` is told how
    many queries are answered, `judging` how many series are judged. Baselines are those of the
    `learner`. Raises UsageError for times that make no sense.
    """
    now = now or datetime.now(UTC)
    inquiry = inquiry_of(checklist, release, now=now, until=until, only=only)
    partials = partials_of(
        checklist,
        inquiry,
        [*shards(inquiry.kpis)],
        collected=collected,
        answers=answers,
        workers=workers,
        progress=progress,
        judging=judging,
        is_whole=True,
        learner=learner,
    )
    return concluded(checklist, inquiry, [*partials], now=now, others=others, workers=workers)


def partials_of(
    checklist: Checklist,
    inquiry: Inquiry,
    divisions: Sequence[Shard],
    *,
    collected: Collected | None = None,
    answers: Answers | None = None,
    workers: Workers = ALONE,
    progress: Progress | None = None,
    judging: Progress | None = None,
    is_whole: bool = False,
    learner: Learner = LEARNER,
) -> Iterator[Partial]:
    """What each of some shards contributes, in their order; see `check_release`. Where they are
    all of the inquiry's (`is_whole`), small ones may contribute together."""
    if collected is None and not workers.at_home:
        return errand.run(checklist, inquiry, divisions, workers, judging)
    data = (
        gathered(checklist, inquiry, divisions, progress, answers, is_whole=is_whole)
        if collected is None
        else divided(collected, divisions, is_whole=is_whole)
    )
    return Hearings(inquiry, workers, judging, learner).partials(data)


def inquiry_of(
    checklist: Checklist,
    release: Release,
    *,
    now: datetime,
    until: datetime | None = None,
    only: Sequence[str] = (),
) -> Inquiry:
    """What a checklist asks about a release. Raises UsageError for times that make no sense."""
    return inquiry_about(
        checklist,
        release if release.service else _of_service(checklist, release),
        plan(release, checklist.windows, now=now, until=until),
        select_kpis(checklist.kpis, only),
    )


def inquiry_about(
    checklist: Checklist, release: Release, spans: Plan, kpis: Sequence[Kpi]
) -> Inquiry:
    """What a checklist asks about these KPIs, release and spans."""
    settings = Settings(checklist.calendar, checklist.false_alarms, checklist.correction)
    return Inquiry(tuple(kpis), release, spans, checklist.windows.step, settings)


def concluded(
    checklist: Checklist,
    inquiry: Inquiry,
    partials: Sequence[Partial],
    *,
    now: datetime,
    others: Sequence[Release] = (),
    workers: Workers = ALONE,
) -> Report:
    """The report that the partials of all KPIs make, with the help of workers."""
    report = conclusion(
        inquiry,
        partials,
        {
            "anomaly": errand.own_version(),
            "checklist": checklist.digest,
            "now": now.isoformat(),
            **library(checklist.calendar),
        },
        workers,
    )
    release = inquiry.release
    watch = Window(
        release.started_at, max(inquiry.spans.watch_end, release.finished + timedelta.resolution)
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
    series: Collection[tuple[str, str]],
    collected: Collected,
) -> Mapping[tuple[str, str], Correlogram]:
    """What `check_release` leaves of the autocorrelation of some series, by KPI and segment."""
    spans = plan(release, checklist.windows, now=now, until=until)
    kpis, step = select_kpis(checklist.kpis, [*{kpi for kpi, _ in series}]), checklist.windows.step
    panel = judged_panel(collected.panel, kpis, step, release.started_at)
    mine = [place for place, key in enumerate(keys_of(panel)) if key[:2] in series]
    panel = extended(columns_at(panel, mine), step, spans.horizon)
    sides = sides_of(pd.DatetimeIndex(panel.index), spans, step, checklist.calendar)
    if not is_judgeable(panel, sides):
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
    *,
    workers: Workers = ALONE,
    progress: Progress | None = None,
) -> Report:
    """The report about what was collected. A KPI that makes the judgement crash is an error of its
    own and hides no other. `progress` is told how many series were judged."""
    inquiry = Inquiry(tuple(kpis), release, spans, step, settings)
    hearings = Hearings(inquiry, workers, progress)
    partials = [*hearings.partials(divided(collected, shards(kpis), is_whole=True))]
    return conclusion(inquiry, partials, made, workers)
