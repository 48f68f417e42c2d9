"""Two environments under one checklist: how alike they are, which changes each can detect, and what
a release moved in which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib.metadata import version
from statistics import median

import numpy as np
import pandas as pd

from anomaly.backtesting.injection import Key
from anomaly.backtesting.judging import Bench, by_key, detectable
from anomaly.backtesting.placebos import origins
from anomaly.baseline.exclusions import exclusion_reasons
from anomaly.checklist.checklist import Checklist
from anomaly.contracts import Collected
from anomaly.equivalence.compare import compare
from anomaly.equivalence.movements import movements
from anomaly.equivalence.result import Parity
from anomaly.errors import UsageError
from anomaly.frames import Days, Spans, at_hand, calendar_of, zone_of
from anomaly.model import Kpi, Window, Windows
from anomaly.panel import grid, has_step, judged_panel, segment_text, step_of
from anomaly.reporting.report import Report
from anomaly.steps import later
from anomaly.timing.durations import duration_text
from anomaly.timing.special_days import library
from anomaly.wording import did_you_mean

PLACEBOS = 8  # past moments at which the minimum detectable effect is computed


@dataclass(frozen=True, slots=True)
class Environment:
    """One side: its checklist and the collected data. `end` is the end of the compared past,
    `report` that of its release."""

    name: str
    checklist: Checklist
    collected: Collected
    end: datetime
    report: Report | None = None

    @property
    def history(self) -> Window:
        return Window(self.checklist.windows.history_since(self.end), self.end)

    def panel(self) -> pd.DataFrame:
        """The history as the baseline wants it; steps that teach nothing are missing."""
        step = self.checklist.windows.step
        panel = judged_panel(self.collected.panel, self.checklist.kpis, step).reindex(
            grid(self.history, step)
        )
        ordinary = (
            exclusion_reasons(pd.DatetimeIndex(panel.index), step, self.checklist.calendar) == ""
        )
        return panel.where(np.broadcast_to(ordinary[:, None], panel.shape))

    def detectable(self) -> Mapping[Key, float]:
        """The minimum detectable effect (80 % power), relative: at this release, or the median over
        past moments without one."""
        reports = [self.report] if self.report is not None else self._placebos()
        sizes: dict[Key, list[float]] = {}
        for report in reports:
            for key, finding in by_key(report).items():
                if (size := detectable(finding)) is not None:
                    sizes.setdefault(key, []).append(size)
        return {key: median(each) for key, each in sizes.items()}

    def _placebos(self) -> list[Report]:
        past = self.collected.panel[self.collected.panel.index < self.end]
        has_value = past.notna().any(axis=1).to_numpy()
        if not has_value.any():
            return []
        bench = Bench(self.checklist, replace(self.collected, panel=past), self.end)
        start = past.index[int(has_value.argmax())].to_pydatetime()
        return [
            bench.placebo(moment)[1]
            for moment in origins(start, self.end, self.checklist.windows, PLACEBOS)
        ]


def parity_checklist(first: Environment, second: Environment, *, detect: bool = True) -> Parity:
    """Say how alike two environments are, the first of which should predict the second; with
    `detect`, also which changes each can detect.

    Both have the same KPIs. A KPI whose source failed, or that both read from the same source,
    can't be compared, so its result is unclear. Raises UsageError for data with another step than
    the checklist's.
    """
    sides = first, second
    windows, kpis = second.checklist.windows, second.checklist.kpis
    for side in sides:
        if len(side.collected.panel) > 1 and not has_step(side.collected.panel, windows.step):
            step = duration_text(step_of(side.collected.panel))
            raise UsageError(
                f"the data of {side.name} have a step of {step}, windows.step is "
                f"{duration_text(windows.step)}"
            )
    between = first.name, second.name
    series = compare(
        (first.panel(), second.panel()),
        kpis,
        between=between,
        timezone=second.checklist.calendar.timezone,
        unknown=_unknown(first, second),
    )
    detectable_changes = [side.detectable() if detect else {} for side in sides]
    keys = [(each.kpi, segment_text(each.segment)) for each in series]
    series = tuple(
        replace(each, detectable=(detectable_changes[0].get(key), detectable_changes[1].get(key)))
        for each, key in zip(series, keys, strict=True)
    )
    reports = (
        None if first.report is None or second.report is None else (first.report, second.report)
    )
    return Parity(
        between=between,
        service=second.checklist.service,
        histories=(first.history, second.history),
        watch=windows.watch if detect else None,
        series=series,
        reports=reports,
        movements=() if reports is None else movements(reports, between),
        made={
            "anomaly": version("release-anomaly"),
            **{name: side.checklist.digest for name, side in zip(between, sides, strict=True)},
            **library(second.checklist.calendar),
        },
    )


def parity(
    staging: pd.Series | pd.DataFrame,
    production: pd.Series | pd.DataFrame,
    *,
    kpis: Sequence[Kpi] = (),
    watch: timedelta | None = None,
    timezone: str = "UTC",
    special_days: Days = (),
    leave_out: Spans = (),
    between: tuple[str, str] = ("staging", "production"),
) -> Parity:
    """Say how alike series in memory are in two environments: frames with a column per KPI as for
    `check`, or panels (see `anomaly.panel`).

    `kpis` names the columns to compare, by default all of either side. `watch` adds the smallest
    change that each side can detect within that time. Raises UsageError for series as `check` does,
    for steps that differ, and for a KPI that neither side has.

    >>> import numpy as np, pandas as pd
    >>> index = pd.date_range("2025-03-03", periods=28 * 24, freq="1h", tz="UTC")
    >>> rate = 1000 * (1 + np.sin(index.hour.to_numpy() * np.pi / 12) / 2)
    >>> draw = np.random.default_rng(1).poisson
    >>> production = pd.DataFrame({"orders": draw(rate), "sign-ups": draw(rate / 5)}, index)
    >>> staging = pd.DataFrame({"orders": draw(rate / 100), "sign-ups": draw(2, len(rate))}, index)
    >>> for each in parity(staging, production).series:
    ...     print(each.name, each.reason)
    orders alike
    sign-ups differs in rhythm
    """
    calendar = calendar_of(timezone, special_days, leave_out)
    first_panel, step = at_hand(staging, timezone=timezone)
    second_panel, second_step = at_hand(production, timezone=timezone)
    panels = first_panel, second_panel
    if step != second_step:
        raise UsageError(
            f"the steps differ: {duration_text(step)} in {between[0]}, "
            f"{duration_text(second_step)} in {between[1]}; resample one"
        )
    names = tuple(
        dict.fromkeys(
            str(name)
            for panel in reversed(panels)
            for name in panel.columns.get_level_values("kpi")
        )
    )
    for kpi in kpis:
        if kpi.name not in names:
            raise UsageError(
                f"{kpi.name!r} is not a column; use one of "
                f"{', '.join(names)}{did_you_mean(kpi.name, names)}"
            )
    compared = tuple(kpis) or tuple(Kpi(name) for name in names)
    calendar = replace(calendar, timezone=zone_of(step, timezone))

    def side(name: str, panel: pd.DataFrame) -> Environment:
        windows = Windows(
            len(panel) * step,
            timedelta(0),
            pd.Timedelta(watch or step).to_pytimedelta(),
            step,
            lag=timedelta(0),
        )
        checklist = Checklist(
            service="", sources={}, kpis=compared, windows=windows, calendar=calendar
        )
        return Environment(
            name, checklist, Collected(panel), later(panel.index[-1].to_pydatetime(), step)
        )

    first = side(between[0], panels[0])
    second = side(between[1], panels[1])
    return parity_checklist(first, second, detect=watch is not None)


def same_source(kpi: Kpi, first: Checklist, second: Checklist) -> bool:
    """Whether both checklists ask the same source for a KPI."""
    one, other = first.sources.get(kpi.source), second.sources.get(kpi.source)
    return (
        one is not None
        and other is not None
        and (one.type, one.settings, one.folder) == (other.type, other.settings, other.folder)
    )


def _unknown(first: Environment, second: Environment) -> dict[str, str]:
    """Why a KPI can't be compared, by its name."""
    out: dict[str, str] = {}
    for kpi in second.checklist.kpis:
        if same_source(kpi, first.checklist, second.checklist):
            out[kpi.name] = (
                f"read from the same source in {first.name} and {second.name}: {kpi.source}"
            )
        for side in (first, second):
            if kpi.name in side.collected.errors:
                out[kpi.name] = f"error in {side.name}: {side.collected.errors[kpi.name]}"
    return out
