"""The way of the data: collect, learn a baseline, score, decide. The page to read first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from anomaly.baseline.seasonal import SeasonalBaseline
from anomaly.contracts import Collected
from anomaly.decision import MIN_HISTORY, Look, decide, unanswered, unjudged, verdict
from anomaly.errors import CollectError, UsageError
from anomaly.model import Calendar, Correction, Direction, Finding, Kpi, NoData, Release, Report, Window, Windows, utc
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE, assemble, grid, prepare
from anomaly.redaction import Redactor
from anomaly.scoring.score import score

if TYPE_CHECKING:
    from anomaly.checklist import Checklist

Progress = Callable[[int, int], None]  # how many of how many queries are answered
W = TypeVar("W", bound=StrEnum)
log = logging.getLogger(__name__)
MOST_ROWS = 2_000_000
USAGE = "usage of "
POINTS = ("kpi", "segment", "time", "observed", "expected", "lower", "upper", "z", "flagged")


@dataclass(frozen=True, slots=True)
class Plan:
    """The spans of one look, all on the grid: what is learned from, what is left out, what is watched, and how far data reach."""

    baseline: Window
    transition_end: datetime
    watch_end: datetime
    horizon: datetime
    final: bool

    @property
    def span(self) -> Window:
        """Everything that has to be collected."""
        return Window(self.baseline.start, max(self.horizon, self.baseline.end))


def plan(release: Release, windows: Windows, *, now: datetime, until: datetime | None = None) -> Plan:
    """The spans of a look at `now`; raises UsageError for a release or an `until` in the future, or an `until` before the watch."""
    now = utc(now, "now")
    if release.started_at > now:
        raise UsageError(f"the release starts {release.started_at.isoformat()}, in the future (now is {now.isoformat()})")
    transition_end = release.finished + windows.warmup
    watch_end = transition_end + windows.watch
    if until is not None:
        until = utc(until, "until")
        if until > now:
            raise UsageError(f"until is {until.isoformat()}, in the future (now is {now.isoformat()}); a look can't be final before its time")
        if until <= transition_end:
            raise UsageError(f"until is {until.isoformat()}, before the watch begins at {transition_end.isoformat()} (release end and warm-up)")
        watch_end = until
    final = until is not None or now - windows.lag >= watch_end
    return Plan(Window(release.started_at - windows.history, release.started_at), transition_end, watch_end, min(now - windows.lag, watch_end), final)


def collect(
    checklist: Checklist,
    release: Release,
    *,
    now: datetime | None = None,
    until: datetime | None = None,
    only: Sequence[str] = (),
    progress: Progress | None = None,
) -> Collected:
    """Everything that a look needs, one source after the other; a KPI that can't be read is in `errors`.

    A usage given as a query is collected beside its KPI, under the name `usage of <KPI>`.
    """
    spans = plan(release, checklist.windows, now=now or datetime.now(UTC), until=until)
    kpis = _chosen(checklist.kpis, only)
    step = checklist.windows.step
    wanted = [*kpis, *(Kpi(USAGE + kpi.name, kpi.source, kpi.usage) for kpi in kpis if isinstance(kpi.usage, str))]
    parts, done = [], 0
    for source in dict.fromkeys(kpi.source for kpi in wanted):
        mine = [kpi for kpi in wanted if kpi.source == source]
        if progress is not None:
            progress(done, len(wanted))
        parts.append(_from_source(checklist, source, mine, spans.span))
        done += len(mine)
    if progress is not None:
        progress(done, len(wanted))
    return Collected(
        pd.concat([part.panel.reindex(grid(spans.span, step)) for part in parts], axis=1),
        {name: each for part in parts for name, each in part.provenance.items()},
        {name: each for part in parts for name, each in part.errors.items()},
    )


def _from_source(checklist: Checklist, source: str, kpis: Sequence[Kpi], window: Window) -> Collected:
    """What one source answers; whatever it does wrong is the error of its KPIs alone."""
    from anomaly import registry  # noqa: PLC0415  collectors are loaded when something is collected

    try:
        collected = registry.collector(checklist.sources[source]).collect(kpis, window, checklist.windows.step)
    except CollectError as error:
        failure = error
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001  a collector that crashes must not hide the KPIs of other sources
        log.exception("the collector of source %s crashed", source)
        failure = CollectError(f"the collector of source {source} crashed: {type(error).__name__}")
    else:
        mask = Redactor(checklist.secrets).text
        return replace(collected, errors={name: CollectError(mask(str(error))) for name, error in collected.errors.items()})
    return Collected(assemble({}, grid(window, checklist.windows.step)), {}, dict.fromkeys((kpi.name for kpi in kpis), failure))


def check_release(
    checklist: Checklist,
    release: Release,
    *,
    now: datetime | None = None,
    until: datetime | None = None,
    only: Sequence[str] = (),
    collected: Collected | None = None,
    progress: Progress | None = None,
) -> Report:
    """Judge a release by a checklist: what `anomaly check` does.

    `now` (default: the clock) decides how far data reach and whether the watch is over; `until` ends it there. `only` names
    KPIs to judge alone; `collected` is judged instead of asking the sources. Raises UsageError for times that make no sense.
    """
    now = now or datetime.now(UTC)
    spans = plan(release, checklist.windows, now=now, until=until)
    if collected is None:
        collected = collect(checklist, release, now=now, until=until, only=only, progress=progress)
    if not release.service:
        release = replace(release, service=checklist.service, environment=release.environment or checklist.environment)
    made = {"anomaly": version("release-anomaly"), "checklist": checklist.digest, "now": now.isoformat()}
    return judge(
        collected, _chosen(checklist.kpis, only), release, spans, checklist.windows.step,
        calendar=checklist.calendar, false_alarms=checklist.false_alarms, correction=checklist.correction, made=made,
    )  # fmt: skip


def judge(
    collected: Collected,
    kpis: Sequence[Kpi],
    release: Release,
    spans: Plan,
    step: timedelta,
    *,
    calendar: Calendar,
    false_alarms: float,
    correction: Correction,
    made: Mapping[str, str],
) -> Report:
    """The report about what was collected."""
    if not 0 < false_alarms < 1:
        raise UsageError(f"false_alarms is {false_alarms}; use a share between 0 and 1, such as 0.01")
    usage = _usage(kpis, collected)
    names = [kpi.name for kpi in kpis]
    panel = collected.panel.loc[:, collected.panel.columns.get_level_values("kpi").isin(names)]
    panel = _settled(prepare(panel, kpis, step), step, spans)
    stamps = panel.index
    history = panel[(stamps >= spans.baseline.start) & (stamps + step <= release.started_at)]
    observation = panel[stamps >= spans.transition_end]
    first = observation.index[0].to_pydatetime() if len(observation) else spans.transition_end
    look = Look(release, first, step, len(observation), _planned(spans, first, step), spans.final)
    findings: tuple[Finding, ...] = ()
    points = pd.DataFrame({name: [] for name in POINTS})
    if len(history) >= MIN_HISTORY and len(observation) and panel.shape[1]:
        gap = len(panel) - len(panel[stamps < spans.baseline.start]) - len(history) - len(observation)
        baseline = SeasonalBaseline().fit(history, kpis, calendar)
        scored = score(baseline, history, observation, kpis, gap)
        findings, points = decide(scored, kpis, usage, look, false_alarms=false_alarms, correction=correction), scored.points
    findings = _complete(findings, panel, kpis, usage, look, collected)
    return Report(
        release=release, verdict=verdict(findings), final=spans.final, findings=findings, points=points,
        baseline=spans.baseline, observation=Window(spans.transition_end, spans.watch_end), step=step,
        false_alarms=false_alarms, made=dict(made),
    )  # fmt: skip


def _settled(panel: pd.DataFrame, step: timedelta, spans: Plan) -> pd.DataFrame:
    """The steps that lie wholly before the horizon, present or not: a source that died is missing data, not an early look."""
    if len(panel) == 0:
        return panel
    last = panel.index[-1].to_pydatetime()
    missing = max(0, (spans.horizon - last) // step - 1)
    index = panel.index.append(pd.date_range(last + step, periods=missing, freq=step, unit="ns")) if missing else panel.index
    return panel.reindex(index[index + step <= spans.horizon])


def _planned(spans: Plan, first: datetime, step: timedelta) -> int:
    """Steps of the whole watch."""
    return max(1, (spans.watch_end - first) // step)


def _complete(findings: Sequence[Finding], panel: pd.DataFrame, kpis: Sequence[Kpi], usage: Mapping[str, float], look: Look, collected: Collected) -> tuple[Finding, ...]:
    """One finding at least per KPI, in their order, each with its query and notes."""
    out = []
    for kpi in kpis:
        mine = [finding for finding in findings if finding.kpi == kpi.name]
        if kpi.name in collected.errors:
            mine = [unanswered(kpi, usage[kpi.name], look, collected.errors[kpi.name])]
        elif not mine:
            seen = panel.loc[:, panel.columns.get_level_values("kpi") == kpi.name].notna().to_numpy()
            mine = [unjudged(kpi, usage[kpi.name], look, int(seen.any(axis=1).sum()))]
        asked = collected.provenance.get(kpi.name)
        if asked is not None:
            mine = [replace(finding, query=asked.query, denominator=asked.denominator, notes=(*asked.notes, *finding.notes)) for finding in mine]
        out += mine
    return tuple(out)


def _chosen(kpis: Sequence[Kpi], only: Sequence[str]) -> tuple[Kpi, ...]:
    """The KPIs named by `only`, or all; raises UsageError for a name that none has."""
    known = {kpi.name for kpi in kpis}
    for name in only:
        if name not in known:
            raise UsageError(f"{name!r} is no KPI; use one of {', '.join(sorted(known))}")
    return tuple(kpi for kpi in kpis if not only or kpi.name in only)


def _usage(kpis: Sequence[Kpi], collected: Collected) -> dict[str, float]:
    """Weights; a query's is its total over what was collected, 0 where it has no answer."""
    out = {}
    for kpi in kpis:
        if isinstance(kpi.usage, str):
            mine = collected.panel.loc[:, collected.panel.columns.get_level_values("kpi") == USAGE + kpi.name]
            out[kpi.name] = float(np.nansum(mine.to_numpy()))
        else:
            out[kpi.name] = kpi.usage
    return out


def check(
    series: pd.Series | pd.DataFrame,
    *,
    released_at: datetime,
    finished_at: datetime | None = None,
    watch: timedelta | None = None,
    warmup: timedelta = timedelta(0),
    direction: Direction | str = Direction.EITHER,
    tolerance: float = 0.0,
    floor: float = 0.0,
    no_data: NoData | str = NoData.INCONCLUSIVE,
    false_alarms: float = 0.01,
    until: datetime | None = None,
    denominators: pd.Series | pd.DataFrame | None = None,
    timezone: str = "UTC",
    correction: Correction | str = Correction.HOLM,
) -> Report:
    """Judge a release by series at hand: a Series, or a DataFrame with a column per KPI, on one regular, time-zone-aware index.

    The rows before `released_at` are the history; those from `finished_at` (default: at once) plus `warmup` on are watched,
    for `watch` (default: to the last row). A watch that is not over by the last row is an early look. `until` ends the watch
    there. `denominators` (same columns) makes the KPIs ratios; both are then counts. `direction` is the bad one; a change
    matters beyond `tolerance` (relative) and `floor` (in the KPI's unit).

    Raises UsageError for an index that is naive, irregular or has duplicates, for values that are not numbers, unknown words
    and times that make no sense.

    >>> import numpy as np, pandas as pd
    >>> index = pd.date_range("2025-03-01", periods=1000, freq="5min", tz="UTC")
    >>> noise = np.random.default_rng(1).normal(200, 5, 1000)
    >>> latency = pd.Series(noise, index, name="latency")
    >>> latency.iloc[928:] += 40
    >>> report = check(latency, released_at=index[928], direction="up")
    >>> print(report.verdict, report.findings[0].verdict, report.findings[0].onset == index[928])
    fail regressed True
    """
    release = Release(_moment(released_at, "released_at"), None if finished_at is None else _moment(finished_at, "finished_at"))
    values, below = _frame(series, "series"), None if denominators is None else _frame(denominators, "denominators")
    columns = {(name, "", VALUE if below is None else NUMERATOR): values[name].to_numpy() for name in values}
    if below is not None:
        if list(below) != list(values) and len(below.columns) != 1:
            raise UsageError(f"denominators has columns {list(below)}, series has {list(values)}; name them alike, or give one")
        aligned = below.reindex(values.index)
        columns |= {(name, "", DENOMINATOR): aligned[name if name in aligned else aligned.columns[0]].to_numpy() for name in values}
    index, step = _regular(values.index)
    panel = assemble(columns, values.index).reindex(index)
    kpis = [
        Kpi(name, direction=_word(Direction, direction, "direction"), tolerance=tolerance, floor=floor, no_data=_word(NoData, no_data, "no_data"),
            denominator=None if below is None else name, query=name)
        for name in values
    ]  # fmt: skip
    end = index[-1].to_pydatetime() + step
    begins = release.finished + warmup
    over = end if watch is None else begins + watch
    if until is not None:
        over = min(_moment(until, "until"), over if watch is not None else end)
    if release.started_at >= end:
        raise UsageError(f"released_at {release.started_at.isoformat()} is after the last row {index[-1].isoformat()}: there is nothing to judge")
    if over <= begins:
        raise UsageError(f"nothing is left to watch: the transition ends {begins.isoformat()}, the watch {over.isoformat()}")
    first = index[0].to_pydatetime()
    start = first if first < release.started_at else release.started_at - step
    spans = Plan(Window(start, release.started_at), begins, over, min(end, over), until is not None or end >= over)
    return judge(
        Collected(panel), kpis, release, spans, step,
        calendar=Calendar(timezone), false_alarms=false_alarms, correction=_word(Correction, correction, "correction"), made={"anomaly": version("release-anomaly")},
    )  # fmt: skip


def _moment(moment: datetime, what: str) -> datetime:
    return utc(pd.Timestamp(moment).to_pydatetime(), what)


def _word(words: type[W], text: str, what: str) -> W:
    try:
        return words(text)
    except ValueError:
        raise UsageError(f"{what} is {text!r}; use one of {', '.join(words)}") from None


def _frame(series: pd.Series | pd.DataFrame, what: str) -> pd.DataFrame:
    """A frame of floats with text columns, a UTC index, sorted."""
    frame = series.to_frame("kpi" if series.name is None else series.name) if isinstance(series, pd.Series) else series
    if not isinstance(frame, pd.DataFrame):
        raise UsageError(f"{what} is a {type(series).__name__}; give a pandas Series or DataFrame")
    if not isinstance(frame.index, pd.DatetimeIndex) or frame.index.tz is None:
        raise UsageError(f"{what} needs a time-zone-aware DatetimeIndex; for times in UTC use {what}.tz_localize('UTC')")
    if frame.index.hasnans:
        raise UsageError(f"{what} has rows without a time (NaT)")
    if frame.index.has_duplicates:
        raise UsageError(f"{what} has more than one row at {frame.index[frame.index.duplicated()][0].isoformat()}; keep or add them up first")
    if frame.columns.has_duplicates:
        raise UsageError(f"{what} has more than one column {frame.columns[frame.columns.duplicated()][0]!r}")
    if frame.shape[1] == 0:
        raise UsageError(f"{what} has no columns")
    try:
        numbers = frame.astype("float64")
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what} has values that are not numbers: {error}") from None
    numbers.columns = [str(name) for name in frame.columns]
    numbers.index = frame.index.tz_convert("UTC").as_unit("ns")
    return numbers.sort_index()


def _regular(index: pd.DatetimeIndex) -> tuple[pd.DatetimeIndex, timedelta]:
    """The whole grid that the rows lie on, and its step; raises UsageError if they lie on none."""
    if len(index) < 2:  # noqa: PLR2004  one row has no step
        raise UsageError("the series needs at least two rows")
    stamps = index.as_unit("ns").asi8
    gaps, counts = np.unique(np.diff(stamps), return_counts=True)
    step = int(gaps[counts.argmax()])
    off = (stamps - stamps[0]) % step != 0
    if off.any():
        raise UsageError(f"rows are not on one regular grid: most are {pd.Timedelta(step)} apart, {index[off][0].isoformat()} is between; resample them first")
    whole = pd.date_range(index[0], index[-1], freq=pd.Timedelta(step), unit="ns")
    if len(whole) > MOST_ROWS:
        raise UsageError(f"the rows span {len(whole):,} steps of {pd.Timedelta(step)}, more than {MOST_ROWS:,}; choose a wider step")
    return whole, pd.Timedelta(step).to_pytimedelta()
