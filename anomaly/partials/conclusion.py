"""The report that partials make: one decision about all series."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from anomaly.baseline.exclusions import left_out_within
from anomaly.baseline.sides import sides_of
from anomaly.contracts import Provenance
from anomaly.decision.findings import unanswered, unjudged
from anomaly.decision.incidents import incidents
from anomaly.decision.judge import Judge
from anomaly.decision.progress import WatchProgress
from anomaly.decision.release import cut_short, verdict, without_exclusions
from anomaly.decision.stages import by_stages
from anomaly.engine.workers import ALONE, Workers
from anomaly.errors import AnomalyError
from anomaly.model import Calendar, Finding, dated
from anomaly.panel import TOTAL, in_calendar
from anomaly.partials.hearing import crash
from anomaly.partials.inquiry import Inquiry
from anomaly.partials.partial import Partial
from anomaly.reporting.report import POINT_COLUMNS, TIMEZONE, Report
from anomaly.scoring.power import Doer, Result, Task, one_by_one


def conclusion(
    inquiry: Inquiry, partials: Sequence[Partial], made: Mapping[str, str], workers: Workers = ALONE
) -> Report:
    """The report about all that the partials of an inquiry say, with the help of workers. A KPI
    that makes the decision crash is an error of its own and hides no other."""
    whole = Partial.together(partials)
    try:
        return _report(inquiry, whole, made, _doer(workers))
    except AnomalyError:
        raise
    except Exception:
        crashes = {}
        for kpi in inquiry.kpis:
            try:
                _report(inquiry, whole.of([kpi.name]), made, one_by_one)
            except Exception as error:  # noqa: BLE001  whatever it is, it is this KPI's
                crashes[kpi.name] = crash(kpi.name, error)
        if not crashes:
            raise
        rest = whole.of([kpi.name for kpi in inquiry.kpis if kpi.name not in crashes])
        rest = replace(rest, errors={**whole.errors, **crashes})
        return _report(inquiry, rest, made, one_by_one)


def _doer(workers: Workers) -> Doer:
    """Workers that share this machine, and this process for what they could not do."""

    def done(function: Callable[[Task], Result], tasks: Sequence[Task], /) -> Iterable[Result]:
        for task, outcome in zip(tasks, workers.outcomes(function, tasks), strict=True):
            yield function(task) if isinstance(outcome, Exception) else outcome

    return done if workers.at_home else one_by_one


def _report(inquiry: Inquiry, partial: Partial, made: Mapping[str, str], doer: Doer) -> Report:
    spans, step, settings = inquiry.spans, inquiry.step, inquiry.settings
    sides = sides_of(partial.index, spans, step, settings.calendar)
    progress = WatchProgress(inquiry.release, sides.starts, step, sides.planned_steps, spans.final)
    findings: tuple[Finding, ...] = ()
    if partial.testimonies:
        judge = Judge(inquiry.kpis, partial.usage, settings, doer)
        findings = by_stages(judge, partial.testimonies, sides, spans, progress)
        points = partial.testimonies[0].scored.points.frame()
        verifiable = 1 / (1 + int(sides.history.sum()) // sides.planned_steps)
    else:
        points, verifiable = pd.DataFrame({name: [] for name in POINT_COLUMNS}), None
    findings = _of_every_kpi(findings, inquiry, partial, progress)
    findings = without_exclusions(findings, sides.exclusions, progress)
    findings = tuple(dated(each, step) for each in cut_short(findings, spans, progress))
    return Report(
        release=inquiry.release,
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
        data=partial.data,
        around=None if partial.around is None else in_calendar(partial.around.frame(), step),
        earlier=None if partial.earlier is None else partial.earlier.frame(),
    )


def _zone(calendar: Calendar) -> Mapping[str, str]:
    return {} if calendar.timezone == "UTC" else {TIMEZONE: calendar.timezone}


def _of_every_kpi(
    findings: Sequence[Finding], inquiry: Inquiry, partial: Partial, progress: WatchProgress
) -> tuple[Finding, ...]:
    """One finding at least per KPI, and per total that has a query, in their order: a query that
    failed or has no series gets one that says so. Each finding has its query and its notes."""
    by_query: dict[str, list[Finding]] = {}
    with_total = {kpi.name for kpi in inquiry.kpis if kpi.total is not None}
    for each in findings:
        is_queried = each.total and each.kpi in with_total
        by_query.setdefault(TOTAL + each.kpi if is_queried else each.kpi, []).append(each)
    out: list[Finding] = []
    for kpi in inquiry.kpis:
        weight = partial.usage[kpi.name]
        for is_total in (True, False) if kpi.total is not None else (False,):
            query = TOTAL + kpi.name if is_total else kpi.name
            own: Sequence[Finding] = by_query.get(query, ())
            if query in partial.errors:
                error = partial.errors[query]
                own = [unanswered(kpi, weight, progress, error, is_total=is_total)]
            elif not own:
                steps = partial.steps.get(query, 0)
                own = [unjudged(kpi, weight, progress, steps, is_total=is_total)]
            out += _with_provenance(own, partial.provenance.get(query))
    return tuple(out)


def _with_provenance(
    findings: Sequence[Finding], provenance: Provenance | None
) -> Sequence[Finding]:
    """The findings with the query as it was sent, a link to it, and the collector's notes."""
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
