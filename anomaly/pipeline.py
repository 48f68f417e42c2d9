"""The way of the data: collect, learn a baseline, score, decide. The page to read first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from anomaly.baseline.exclusions import left_out_within, occasions
from anomaly.baseline.relevance import relevant
from anomaly.baseline.seasonal import SeasonalBaseline
from anomaly.contracts import Collected
from anomaly.decision.decide import (
    MIN_HISTORY,
    Look,
    decide,
    unanswered,
    unjudged,
    verdict,
    without_occasions,
)
from anomaly.decision.mix import makeups, usual_shares
from anomaly.decision.stages import by_stages, cut_short
from anomaly.errors import AnomalyError, CollectError, UsageError
from anomaly.model import (
    Calendar,
    Correction,
    Finding,
    Kpi,
    Release,
    Window,
    control_problem,
)
from anomaly.panel import assemble, block, grid, keys_of, long_form, prepare, times, with_totals
from anomaly.redaction import Redactor
from anomaly.reporting.report import Report
from anomaly.scoring.controlled import score_beside_controls
from anomaly.scoring.score import Scored
from anomaly.timing.spans import Plan, plan
from anomaly.timing.special_days import library

if TYPE_CHECKING:
    from anomaly.checklist.checklist import Checklist

Progress = Callable[[int, int], None]  # how many of how many queries are answered
log = logging.getLogger(__name__)
USAGE, TOTAL = "usage of ", "total of "
STEPS_BEFORE = 72  # that a report shows of the time before a release
POINTS = ("kpi", "segment", "time", "observed", "expected", "lower", "upper", "z", "flagged")


def collect(
    checklist: Checklist,
    release: Release,
    *,
    now: datetime | None = None,
    until: datetime | None = None,
    only: Sequence[str] = (),
    progress: Progress | None = None,
) -> Collected:
    """Everything that a look needs, one source after the other; a KPI that can't be read is in
    `errors`.

    A usage or a total given as a query is collected beside its KPI, under the name `usage of
    <KPI>`, `total of <KPI>`.
    """
    return collect_window(
        checklist,
        plan(release, checklist.windows, now=now or datetime.now(UTC), until=until).span,
        only,
        progress,
    )


def collect_window(
    checklist: Checklist, window: Window, only: Sequence[str] = (), progress: Progress | None = None
) -> Collected:
    """Everything that the sources say about the steps of a window; see `collect`."""
    kpis = chosen(checklist.kpis, only)
    step = checklist.windows.step
    beside = [
        (prefix, kpi, query)
        for kpi in kpis
        for prefix, query in ((USAGE, kpi.usage), (TOTAL, kpi.total))
        if isinstance(query, str)
    ]
    wanted = [*kpis, *(Kpi(prefix + kpi.name, kpi.source, query) for prefix, kpi, query in beside)]
    parts, done = [], 0
    for source in dict.fromkeys(kpi.source for kpi in wanted):
        mine = [kpi for kpi in wanted if kpi.source == source]
        if progress is not None:
            progress(done, len(wanted))
        parts.append(_from_source(checklist, source, mine, window))
        done += len(mine)
    if progress is not None:
        progress(done, len(wanted))
    return Collected(
        pd.concat([part.panel.reindex(grid(window, step)) for part in parts], axis=1),
        {name: each for part in parts for name, each in part.provenance.items()},
        {name: each for part in parts for name, each in part.errors.items()},
    )


def _from_source(
    checklist: Checklist, source: str, kpis: Sequence[Kpi], window: Window
) -> Collected:
    """What one source answers; whatever it does wrong is the error of its KPIs alone."""
    from anomaly.checklist import registry

    try:
        collected = registry.collector(checklist.sources[source]).collect(
            kpis, window, checklist.windows.step
        )
    except CollectError as error:
        failure = error
    except UsageError:
        raise
    except Exception as error:
        log.exception("the collector of source %s crashed", source)
        failure = CollectError(f"the collector of source {source} crashed: {type(error).__name__}")
    else:
        if not collected.errors:
            return collected
        mask = Redactor(checklist.secrets).text
        return replace(
            collected,
            errors={
                name: CollectError(mask(str(error))) for name, error in collected.errors.items()
            },
        )
    return Collected(
        assemble({}, grid(window, checklist.windows.step)),
        {},
        dict.fromkeys((kpi.name for kpi in kpis), failure),
    )


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
    """Judge a release by a checklist: what `anomaly check` does.

    `now` (default: the clock) decides how far data reach and whether the watch is over; `until`
    ends it there. `only` names KPIs to judge alone; `collected` is judged instead of asking the
    sources. Of `others`, releases known besides this one, those that began within its watch are
    confounders. Raises UsageError for times that make no sense.
    """
    now = now or datetime.now(UTC)
    spans = plan(release, checklist.windows, now=now, until=until)
    if collected is None:
        collected = collect(checklist, release, now=now, until=until, only=only, progress=progress)
    if not release.service:
        release = replace(
            release,
            service=checklist.service,
            environment=release.environment or checklist.environment,
        )
    made = {
        "anomaly": version("release-anomaly"),
        "checklist": checklist.digest,
        "now": now.isoformat(),
    }
    made |= library(checklist.calendar)
    settings = Settings(checklist.calendar, checklist.false_alarms, checklist.correction)
    report = judge(
        collected,
        chosen(checklist.kpis, only),
        release,
        spans,
        checklist.windows.step,
        settings,
        made,
    )
    watched = Window(
        release.started_at, max(spans.watch_end, release.finished + timedelta.resolution)
    )
    return replace(
        report,
        confounders=tuple(
            each for each in others if watched.start <= each.started_at < watched.end
        ),
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """What a verdict depends on besides the data and the KPIs; raises UsageError for an impossible
    share of false alarms."""

    calendar: Calendar
    false_alarms: float
    correction: Correction

    def __post_init__(self) -> None:
        if not 0 < self.false_alarms < 1:
            raise UsageError(
                f"false_alarms is {self.false_alarms}; use a share between 0 and 1, such as 0.01"
            )


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
    own, and hides no other."""

    def judged(these: Collected) -> Report:
        return _judged(these, kpis, release, spans, step, settings, made)

    try:
        return judged(collected)
    except AnomalyError:
        raise
    except Exception:
        crashed = _crashed(collected, kpis, judged)
        if not crashed:
            raise
        log.exception("the judgement crashed; it is made again without %s", ", ".join(crashed))
        rest = ~collected.panel.columns.get_level_values("kpi").isin(
            [*crashed, *(TOTAL + name for name in crashed)]
        )
        return judged(
            replace(
                collected,
                panel=collected.panel.loc[:, rest],
                errors={**collected.errors, **crashed},
            )
        )


def _crashed(
    collected: Collected, kpis: Sequence[Kpi], judged: Callable[[Collected], Report]
) -> dict[str, CollectError]:
    """The KPIs whose data make the judgement crash when there are no others, each with what it is
    told to be wrong with it."""
    found = {}
    for kpi in kpis:
        own = collected.panel.columns.get_level_values("kpi").isin([kpi.name, TOTAL + kpi.name])
        try:
            judged(replace(collected, panel=collected.panel.loc[:, own]))
        except Exception as error:  # noqa: BLE001  whatever it is, it is this KPI's
            found[kpi.name] = CollectError(f"it made the judgement crash: {type(error).__name__}")
    return found


def _judged(
    collected: Collected,
    kpis: Sequence[Kpi],
    release: Release,
    spans: Plan,
    step: timedelta,
    settings: Settings,
    made: Mapping[str, str],
) -> Report:
    usage = _usage(kpis, collected.panel, spans.baseline, step)
    panel = _continued(judged_panel(collected.panel, kpis, step), step, spans.horizon)
    why = occasions(pd.DatetimeIndex(panel.index), step, settings.calendar)
    before, ordinary = _between(panel, spans.baseline.start, spans.baseline.end, step), why == ""
    history = panel[before]
    if not ordinary[before].all():
        history = history.where(np.broadcast_to(ordinary[before, None], history.shape))
    within = [_between(panel, each.window.start, each.window.end, step) for each in spans.reached]
    watched = np.logical_or.reduce([np.zeros(len(panel), bool), *within])
    left_out, judged = why[watched & ~ordinary], watched & ordinary
    observation = panel[judged]
    planned = spans.steps(panel.index[0].to_pydatetime(), step) - len(left_out) if len(panel) else 0
    look = Look(release, times(observation), step, max(1, planned), spans.final)
    findings: tuple[Finding, ...] = ()
    points, verifiable = None, None
    if len(history) >= MIN_HISTORY and len(observation) and panel.shape[1]:
        history = relevant(history, len(observation))
        verifiable = 1 / (1 + len(history) // look.planned)
        baseline = SeasonalBaseline().fit(history, kpis, settings.calendar)

        def gap(part: pd.DataFrame) -> int:
            return int((part.index[0] - history.index[-1]) // step - 1)

        def scored(part: pd.DataFrame) -> Scored:
            return score_beside_controls(
                baseline, history, part, kpis, gap(part), told=settings.false_alarms
            )

        def decided(
            result: Scored, part: pd.DataFrame, look: Look, spend: float
        ) -> tuple[Finding, ...]:
            made_of = makeups(
                result, usual_shares(history, part, kpis, settings.calendar, gap(part))
            )
            alarms, correction = settings.false_alarms, settings.correction
            return decide(
                result,
                kpis,
                usage,
                look,
                false_alarms=alarms,
                correction=correction,
                spend=spend,
                makeups=made_of,
            )

        parts = (
            (each, panel[inside & ordinary])
            for each, inside in zip(spans.reached, within, strict=True)
        )
        findings, points = by_stages(observation, parts, spans, look, scored, decided)
    findings = without_occasions(
        _complete(findings, panel, kpis, usage, look, collected), left_out, look
    )
    findings = cut_short(findings, spans, look)
    return Report(
        release=release,
        verdict=verdict(findings, final=spans.final),
        final=spans.final,
        findings=findings,
        points=pd.DataFrame({name: [] for name in POINTS}) if points is None else points,
        baseline=spans.baseline,
        observation=spans.observation,
        step=step,
        false_alarms=settings.false_alarms,
        verifiable=verifiable,
        made=dict(made),
        left_out=left_out_within(settings.calendar, spans.span),
        around=beside(panel, judged, spans, step),
    )


def beside(panel: pd.DataFrame, judged: np.ndarray, spans: Plan, step: timedelta) -> pd.DataFrame:
    """The steps that were not `judged` in long form, series after series: the last ones before the
    release, and those during it."""
    shown = panel[(panel.index >= spans.baseline.end - STEPS_BEFORE * step) & ~judged]
    series = block(shown)
    return long_form(series.keys, pd.DatetimeIndex(shown.index), {"observed": series.value})


def judged_panel(panel: pd.DataFrame, kpis: Sequence[Kpi], step: timedelta) -> pd.DataFrame:
    """What was collected of the KPIs as the mathematics wants it, with the totals of their
    segments."""
    panel = _totals_beside_segments(panel, kpis)
    names = {kpi.name for kpi in kpis}
    asked = [name in names for name, _, _ in keys_of(panel)]
    panel = panel if all(asked) else panel.loc[:, asked]
    return with_totals(prepare(panel, kpis, step), kpis)


def _totals_beside_segments(panel: pd.DataFrame, kpis: Sequence[Kpi]) -> pd.DataFrame:
    """The panel with each total that was asked for as its KPI's empty segment."""
    names = {TOTAL + kpi.name: kpi.name for kpi in kpis if kpi.total is not None}
    return panel.rename(columns=names, level="kpi") if names else panel


def _between(panel: pd.DataFrame, start: datetime, end: datetime, step: timedelta) -> np.ndarray:
    """Which steps lie wholly in `[start, end)`."""
    stamps = pd.DatetimeIndex(panel.index)
    return np.asarray((stamps >= pd.Timestamp(start)) & (stamps <= pd.Timestamp(end - step)))


def _continued(panel: pd.DataFrame, step: timedelta, horizon: datetime) -> pd.DataFrame:
    """The panel with a row for every step up to the horizon: a source that died is missing data,
    not an early look."""
    if len(panel) == 0:
        return panel
    last = panel.index[-1].to_pydatetime()
    missing = (horizon - last) // step - 1
    if missing <= 0:
        return panel
    more = pd.DatetimeIndex(pd.date_range(last + step, periods=missing, freq=step, unit="ns"))
    return panel.reindex(panel.index.append(more))


def _complete(
    findings: Sequence[Finding],
    panel: pd.DataFrame,
    kpis: Sequence[Kpi],
    usage: Mapping[str, float],
    look: Look,
    collected: Collected,
) -> tuple[Finding, ...]:
    """One finding at least per KPI, and per total that was asked for, in their order, each with its
    query and notes."""
    out = []
    for kpi in kpis:
        mine = [finding for finding in findings if finding.kpi == kpi.name]
        if kpi.total is not None:
            whole, mine = (
                [finding for finding in mine if finding.total is of_all] for of_all in (True, False)
            )
            told = _told(TOTAL + kpi.name, whole, panel, kpi, usage, look, collected)
            out += [replace(finding, total=True) for finding in told]
        out += _told(kpi.name, mine, panel, kpi, usage, look, collected)
    return tuple(out)


def _told(
    asked: str,
    findings: Sequence[Finding],
    panel: pd.DataFrame,
    kpi: Kpi,
    usage: Mapping[str, float],
    look: Look,
    collected: Collected,
) -> Sequence[Finding]:
    """What is said of one query's series: its findings, or one that says why there are none."""
    if asked in collected.errors:
        findings = [unanswered(kpi, usage[kpi.name], look, collected.errors[asked])]
    elif not findings:
        of_all = asked != kpi.name
        columns = [
            name == kpi.name and (kpi.total is None or (segment == "") is of_all)
            for name, segment, _ in keys_of(panel)
        ]
        findings = [
            unjudged(
                kpi, usage[kpi.name], look, int(panel.loc[:, columns].notna().any(axis=1).sum())
            )
        ]
    about = collected.provenance.get(asked)
    if about is None:
        return findings
    return [
        replace(
            each,
            query=about.query,
            denominator=about.denominator,
            link=about.link,
            notes=(*about.notes, *each.notes),
        )
        for each in findings
    ]


def chosen(kpis: Sequence[Kpi], only: Sequence[str]) -> tuple[Kpi, ...]:
    """The KPIs named by `only` and their controls, or all; raises UsageError for a name that none
    has, and for impossible controls."""
    known = {kpi.name for kpi in kpis}
    for name in only:
        if name not in known:
            raise UsageError(f"{name!r} is no KPI; use one of {', '.join(sorted(known))}")
    judged = {kpi.name for kpi in kpis if not kpi.control_for}
    for kpi in kpis:
        for name in kpi.control_for:
            if problem := control_problem(kpi.name, name, known, judged):
                raise UsageError(f"control_for of {kpi.name!r} names {name!r}, which {problem}")
    return tuple(
        kpi
        for kpi in kpis
        if not only or kpi.name in only or not set(only).isdisjoint(kpi.control_for)
    )


def _usage(
    kpis: Sequence[Kpi], panel: pd.DataFrame, baseline: Window, step: timedelta
) -> dict[str, float]:
    """Weights; a query's is its total over the baseline window, 0 where it has no answer."""
    if not any(isinstance(kpi.usage, str) for kpi in kpis):
        return {kpi.name: float(kpi.usage) for kpi in kpis}
    history = panel[_between(panel, baseline.start, baseline.end, step)]
    names = history.columns.get_level_values("kpi")
    return {
        kpi.name: float(np.nansum(history.loc[:, names == USAGE + kpi.name].to_numpy()))
        if isinstance(kpi.usage, str)
        else kpi.usage
        for kpi in kpis
    }
