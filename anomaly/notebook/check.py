"""`anomaly.check`: judge a release by series at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from importlib.metadata import version

import pandas as pd

from anomaly.contracts import Collected
from anomaly.decision.judge import Settings
from anomaly.errors import UsageError
from anomaly.frames import (
    Days,
    Spans,
    calendar_of,
    length,
    listed,
    member,
    moment,
    panel_of,
    real,
    shown,
    zone_of,
)
from anomaly.model import Correction, Direction, Kpi, KpiKind, NoData, Release, Stage, Window
from anomaly.pipeline import judge
from anomaly.reporting.report import Report
from anomaly.steps import later, shifted
from anomaly.timing.spans import Plan, ended, plateaus
from anomaly.wording import stamp

STAGES = "a list of (time, share of users)"


def check(
    series: pd.Series | pd.DataFrame,
    *,
    released_at: datetime,
    finished_at: datetime | None = None,
    watch: timedelta | None = None,
    warmup: timedelta = timedelta(0),
    direction: Direction | str = Direction.EITHER,
    kind: KpiKind | str | None = None,
    tolerance: float = 0.0,
    floor: float = 0.0,
    no_data: NoData | str = NoData.INCONCLUSIVE,
    false_alarms: float = 0.01,
    until: datetime | None = None,
    denominators: pd.Series | pd.DataFrame | None = None,
    timezone: str = "UTC",
    special_days: Days = (),
    leave_out: Spans = (),
    correction: Correction | str = Correction.HOLM,
    controls: Sequence[str] = (),
    stages: Sequence[Stage] = (),
    next_release: datetime | Release | None = None,
) -> Report:
    """Judge a release by series in memory: a Series, or a DataFrame with a column per KPI, on one
    regular index with a time zone. Days, weeks and months are those of `timezone`, or of the
    index.

    The rows before `released_at` are the history. Those from `finished_at` (default: at once) plus
    `warmup` on are watched, for `watch` (default: to the last row). A watch that is not over by the
    last row is an early look; `until` ends the watch there. Steps on `special_days` (dates in
    `timezone`, or a mapping of these to names) and in spans to `leave_out`, (start, end) or (start,
    end, reason), are neither learned from nor judged. `denominators` (same columns) makes the KPIs
    ratios; both are then counts. `kind` is their nature, `direction` the bad direction. A change
    matters if it exceeds `tolerance` (relative) and `floor` (in the KPI's unit). `controls` names
    columns that the release cannot have touched: they are not judged, and a change that they share
    with the others is not due to the release. `stages` of a staged release are (time, share of
    users); each is watched from the end of its warm-up on. `next_release` ends the watch when it
    begins.

    Raises UsageError for an index that is naive, irregular or has duplicates, for values that are
    not numbers, unknown words and times that make no sense.

    >>> import numpy as np, pandas as pd
    >>> index = pd.date_range("2025-03-01", periods=1000, freq="5min", tz="UTC")
    >>> noise = np.random.default_rng(1).normal(200, 5, 1000)
    >>> latency = pd.Series(noise, index, name="latency")
    >>> latency.iloc[928:] += 40
    >>> report = check(latency, released_at=index[928], direction="up")
    >>> print(report.verdict, report.findings[0].verdict, report.findings[0].onset == index[928])
    fail regressed True
    """
    tolerance, floor = real(tolerance, "tolerance"), real(floor, "floor")
    warmup = length(warmup, "warmup")
    watch = None if watch is None else length(watch, "watch")
    controls = listed(controls, "controls", "a list of the names of columns")
    for number, name in enumerate(controls):
        if not isinstance(name, str):
            raise UsageError(f"controls[{number}] is {shown(name)}; give the name of a column")
    release = Release(
        moment(released_at, "released_at"),
        None if finished_at is None else moment(finished_at, "finished_at"),
        stages=tuple(_stage(stage) for stage in listed(stages, "stages", STAGES)),
        followed_by=next_release
        if isinstance(next_release, Release | None)
        else Release(moment(next_release, "next_release")),
    )
    calendar = calendar_of(timezone, special_days, leave_out)
    panel, step = panel_of(series, denominators, timezone)
    settings = Settings(
        replace(calendar, timezone=zone_of(step, timezone)),
        real(false_alarms, "false_alarms"),
        member(Correction, correction, "correction"),
    )
    names = [*panel.columns.get_level_values("kpi").unique()]
    for name in controls:
        if name not in names:
            raise UsageError(
                f"controls names {name!r}, which is not a column; use some of {', '.join(names)}"
            )
    judged_kpis = tuple(name for name in names if name not in controls)
    if not judged_kpis:
        raise UsageError("controls names every column; at least one must be a KPI to be judged")
    below = {name: None if denominators is None else name for name in names}
    kpis = [
        Kpi(
            name,
            query=name,
            denominator=below[name],
            direction=member(Direction, direction, "direction"),
            tolerance=tolerance,
            floor=floor,
            no_data=member(NoData, no_data, "no_data"),
            kind=None if kind is None else member(KpiKind, kind, "kind"),
        )
        for name in judged_kpis
    ]
    kpis += [
        Kpi(name, query=name, denominator=below[name], control_for=judged_kpis)
        for name in names
        if name in controls
    ]
    first = panel.index[0].to_pydatetime()
    end = later(panel.index[-1].to_pydatetime(), step)
    if warmup < timedelta(0):
        raise UsageError(f"warmup is {warmup}; it must not be negative")
    over = (
        moment(until, "until")
        if until is not None
        else end
        if watch is None
        else shifted(release.finished + warmup, watch, step)
    )
    if release.started_at >= end:
        raise UsageError(
            f"released_at {stamp(release.started_at)} is not before the end of the series, "
            f"{stamp(end)}: there is nothing to judge"
        )
    parts = plateaus(release, warmup, over)
    if not parts:
        begins = release.exposed_at + warmup
        raise UsageError(
            f"nothing is left to watch: the watch would begin at {stamp(begins)} and end at "
            f"{stamp(over)}"
        )
    baseline = Window(min(first, release.started_at - step), release.started_at)
    over = ended(release, over)
    spans = Plan(
        baseline,
        parts,
        over,
        over if until is not None else min(end, over),
        until is not None or end >= over,
    )
    return judge(
        Collected(panel),
        kpis,
        release,
        spans,
        step,
        settings,
        {"anomaly": version("release-anomaly")},
    )


def _stage(stage: Stage) -> Stage:
    try:
        at, share = stage
    except (TypeError, ValueError):
        raise UsageError(f"stages has {shown(stage)}; give {STAGES}") from None
    return moment(at, "stage"), real(share, "the share of a stage")
