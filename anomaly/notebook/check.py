"""`anomaly.check`: judge a release by series at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar

import pandas as pd

from anomaly.contracts import Collected, Provenance
from anomaly.decision.judge import Settings
from anomaly.engine.processes import processes
from anomaly.errors import UsageError
from anomaly.frames import (
    Days,
    Spans,
    calendar_of,
    listed,
    localized,
    member,
    moment,
    panel_of,
    real,
    shown,
    zone_of,
)
from anomaly.model import Correction, Direction, Kpi, KpiKind, NoData, Release, Stage, Window
from anomaly.notebook.arguments import duration, of_each, share, with_controls, word
from anomaly.partials.errand import own_version
from anomaly.pipeline import judge
from anomaly.reporting.report import Report
from anomaly.steps import later, shifted
from anomaly.timing.spans import Plan, ended, plateaus
from anomaly.wording import stamp

T = TypeVar("T")
STAGES = "a list of (time, share of users)"
OfEach: TypeAlias = T | Mapping[str, T]
Controls: TypeAlias = str | pd.Series | pd.DataFrame | Sequence[str | pd.Series | pd.DataFrame]


def check(
    series: pd.Series | pd.DataFrame,
    *,
    released_at: datetime | str,
    finished_at: datetime | str | None = None,
    watch: timedelta | str | None = None,
    warmup: timedelta | str = timedelta(0),
    direction: OfEach[Direction | str] = Direction.EITHER,
    kind: OfEach[KpiKind | str | None] = None,
    tolerance: OfEach[float | str] = 0.0,
    floor: OfEach[float] = 0.0,
    no_data: OfEach[NoData | str] = NoData.INCONCLUSIVE,
    false_alarms: float | str = 0.01,
    until: datetime | str | None = None,
    denominators: pd.Series | pd.DataFrame | None = None,
    timezone: str | None = None,
    special_days: Days = (),
    leave_out: Spans = (),
    correction: Correction | str = Correction.HOLM,
    controls: Controls = (),
    stages: Sequence[Stage | tuple[datetime | str, float | str]] = (),
    next_release: datetime | str | Release | None = None,
    jobs: int = 1,
) -> Report:
    """Judge a release by series in memory: a Series, or a DataFrame with a column per KPI, on one
    regular index. Days, weeks and months are those of `timezone`, or of the index. Times without a
    zone are in `timezone`, if it is given.

    The rows before `released_at` are the history. Those from `finished_at` (default: at once) plus
    `warmup` on are watched, for `watch` (default: to the last row). A watch that is not over by the
    last row is an early look; `until` ends the watch there. Steps on `special_days` (dates in
    `timezone`, or a mapping of these to names) and in spans to `leave_out`, (start, end) or (start,
    end, reason), are neither learned from nor judged. `denominators` (same columns) makes the KPIs
    ratios; both are then counts. `kind` is their nature, `direction` the bad direction. A change
    matters if it exceeds `tolerance` (relative) and `floor` (in the KPI's unit). Each of these may
    be a mapping by KPI. `controls` are names of columns, or series, that the release cannot have
    touched: they are not judged, and a change that they share with the others is not due to the
    release. `stages` of a staged release are (time, share of users); each is watched from the end
    of its warm-up on. `next_release` ends the watch when it begins. Lengths of time may be text
    like `6h`, shares text like `5%`. The series are judged in so many processes as `jobs` says; the
    answer is the same.

    Raises UsageError for an index that is irregular, has duplicates, or no zone where `timezone`
    gives none, for values that are not numbers, unknown words and times that make no sense.

    >>> import numpy as np, pandas as pd
    >>> index = pd.date_range("2025-03-01", periods=1000, freq="5min", tz="UTC")
    >>> noise = np.random.default_rng(1).normal(200, 5, 1000)
    >>> latency = pd.Series(noise, index, name="latency")
    >>> latency.iloc[928:] += 40
    >>> report = check(latency, released_at=index[928], direction="up")
    >>> print(report.verdict, report.findings[0].verdict, report.findings[0].onset == index[928])
    fail regressed True
    """
    share_of_alarms = share(false_alarms, "false_alarms")
    watch = None if watch is None else duration(watch, "watch")
    warmup = duration(warmup, "warmup")
    release = _release(released_at, finished_at, stages, next_release, timezone)
    calendar = calendar_of(timezone, special_days, leave_out)
    series, controls = with_controls(localized(series, timezone), controls, denominators)
    panel, step, infinite = panel_of(series, localized(denominators, timezone), timezone)
    settings = Settings(
        replace(calendar, timezone=zone_of(step, calendar.timezone)),
        share_of_alarms,
        member(Correction, correction, "correction"),
    )
    names = [*panel.columns.get_level_values("kpi").unique()]
    below = {name: None if denominators is None else name for name in names}
    kpis = _kpis(
        below,
        controls,
        direction=direction,
        kind=kind,
        tolerance=tolerance,
        floor=floor,
        no_data=no_data,
    )
    provenance = {name: Provenance(name, below[name], (note,)) for name, note in infinite.items()}
    if warmup < timedelta(0):
        raise UsageError(f"warmup is {warmup}; it must not be negative")
    spans = _plan(
        release,
        Window(panel.index[0].to_pydatetime(), later(panel.index[-1].to_pydatetime(), step)),
        step,
        watch=watch,
        warmup=warmup,
        until=None if until is None else moment(until, "until", timezone),
    )
    with processes(jobs) as workers:
        return judge(
            Collected(panel, provenance),
            kpis,
            release,
            spans,
            step,
            settings,
            {"anomaly": own_version()},
            workers=workers,
        )


def _release(
    released_at: datetime | str,
    finished_at: datetime | str | None,
    stages: Sequence[Stage | tuple[datetime | str, float | str]],
    next_release: datetime | str | Release | None,
    timezone: str | None,
) -> Release:
    """The release that these arguments of `check` describe."""

    def at(value: Any, what: str) -> datetime:
        return moment(value, what, timezone)

    def stage_of(value: Any) -> Stage:
        try:
            when, part = value
        except (TypeError, ValueError):
            raise UsageError(f"stages has {shown(value)}; give {STAGES}") from None
        return at(when, "stage"), share(part, "the share of a stage")

    return Release(
        at(released_at, "released_at"),
        None if finished_at is None else at(finished_at, "finished_at"),
        stages=tuple(stage_of(stage) for stage in listed(stages, "stages", STAGES)),
        followed_by=next_release
        if isinstance(next_release, Release | None)
        else Release(at(next_release, "next_release")),
    )


def _kpis(
    below: Mapping[str, str | None], controls: Sequence[str], *, kind: Any, **arguments: Any
) -> list[Kpi]:
    """The KPIs of the columns, each with the denominator `below` it, the `controls` last. `kind`
    and the other `arguments` of `check` are for all that are judged, or a mapping by name."""
    for name in controls:
        if name not in below:
            raise UsageError(
                f"controls names {name!r}, which is not a column; use some of {', '.join(below)}"
            )
    own = tuple(name for name in below if name not in controls)
    if not own:
        raise UsageError("controls names every column; at least one must be a KPI to be judged")
    default = Kpi("", query="")

    def each(what: str, read: Callable[[Any, str], T], left_out: T) -> dict[str, T]:
        return of_each(arguments[what], what, own, read, left_out)

    directions = each("direction", word(Direction), default.direction)
    tolerances = each("tolerance", share, default.tolerance)
    floors = each("floor", real, default.floor)
    answers = each("no_data", word(NoData), default.no_data)
    kinds: Mapping[str, KpiKind | None] = (
        dict.fromkeys(own) if kind is None else of_each(kind, "kind", own, word(KpiKind), None)
    )
    kpis = [
        Kpi(
            name,
            query=name,
            denominator=below[name],
            direction=directions[name],
            tolerance=tolerances[name],
            floor=floors[name],
            no_data=answers[name],
            kind=kinds[name],
        )
        for name in own
    ]
    kpis += [
        Kpi(name, query=name, denominator=below[name], control_for=own)
        for name in below
        if name in controls
    ]
    return kpis


def _plan(
    release: Release,
    rows: Window,
    step: timedelta,
    *,
    watch: timedelta | None,
    warmup: timedelta,
    until: datetime | None,
) -> Plan:
    """What of the `rows` is history and what is watched. Raises UsageError if nothing is."""
    over = until
    if over is None:
        over = rows.end if watch is None else shifted(release.finished + warmup, watch, step)
    if release.started_at >= rows.end:
        raise UsageError(
            f"released_at {stamp(release.started_at)} is not before the end of the series, "
            f"{stamp(rows.end)}: there is nothing to judge"
        )
    parts = plateaus(release, warmup, over)
    if not parts:
        begins = release.exposed_at + warmup
        raise UsageError(
            f"nothing is left to watch: the watch would begin at {stamp(begins)} and end at "
            f"{stamp(over)}"
        )
    over = ended(release, over)
    return Plan(
        Window(min(rows.start, release.started_at - step), release.started_at),
        parts,
        over,
        over if until is not None else min(rows.end, over),
        until is not None or rows.end >= over,
    )
