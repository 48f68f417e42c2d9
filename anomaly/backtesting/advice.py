"""What placebo releases advise: which series can't carry a verdict, and which settings would do
better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from anomaly.backtesting.result import Alternative, SeriesResult, Setting
from anomaly.model import ChangeKind, Direction, Finding, Kpi, Windows
from anomaly.panel import Block
from anomaly.timing.durations import duration_text
from anomaly.wording import number, percent

NOISY = 0.5  # a minimum detectable effect beyond this
NEARLY_ALL = 0.95  # of a KPI whose fall is bad
LEAST_POWER = (
    0.7  # share of injected minimum detectable effects found; 0.8 is what they are computed for
)
MANY = 5.0  # a minimum detectable effect beyond so many tolerances
FEW_EVENTS = (
    30  # in a watch: their number alone scatters by 18 %, which hides every change below some 75 %
)
MOSTLY_MISSING = 0.5  # of the steps since the first value
SHORT = 0.5  # of the configured history
BETTER = 0.9  # times the minimum detectable effect of now
AS_GOOD = 1.1
MOST_NAMES = 3
LEVEL_KINDS = frozenset({ChangeKind.LEVEL, ChangeKind.RAMP})


@dataclass(frozen=True, slots=True)
class Record:
    """What there is of a series: values `since`, the share of steps `missing` from then on,
    `events` in a watch (None: no count)."""

    since: datetime | None
    missing: float
    events: float | None


def record(series: Block, row: int, stamps: Sequence[datetime], planned: int) -> Record:
    """The record of one row of all series, with stamps per step."""
    present = series.present[row]
    if not present.any():
        return Record(None, 1.0, None)
    first = int(present.argmax())
    amounts = series.amount[row][present]
    counts = bool((amounts >= 0).all() and (amounts == np.rint(amounts)).all())
    return Record(
        stamps[first],
        float(1 - present[first:].mean()),
        float(amounts.mean() * planned) if counts else None,
    )


def warnings(
    result: SeriesResult,
    kpi: Kpi,
    data: Record,
    windows: Windows,
    end: datetime,
    false_alarms: float,
) -> tuple[str, ...]:
    """Why the series can't carry a verdict, as far as the numbers say so."""
    out = []
    interval = result.alarms.interval
    if interval is not None and interval[0] > false_alarms:
        out.append(
            f"false alarms at {result.alarms.hits} of {result.alarms.of} placebo releases, "
            f"clearly more than {percent(false_alarms)}"
        )
    if data.since is None:
        return (*out, f"no values at all: {result.why}")
    span = end - data.since
    if span < SHORT * windows.history:
        out.append(
            f"short: values for {_days(span)}, since {data.since:%Y-%m-%d %H:%M} UTC; history "
            f"is {duration_text(windows.history)}"
        )
    if data.missing > MOSTLY_MISSING:
        out.append(
            f"mostly missing: {percent(data.missing)} of the steps since its first value have none"
        )
    if data.events is not None and data.events < FEW_EVENTS:
        out.append(
            f"sparse: about {number(data.events)} events in a watch of "
            f"{duration_text(windows.watch)}"
        )
    size = result.detectable_effect
    if size is not None and size > NEARLY_ALL and kpi.direction is Direction.DOWN:
        out.append("too noisy: hardly even a total loss can be detected")
    elif size is not None and size > NOISY:
        out.append(f"too noisy: the smallest detectable change is {percent(size)}")
    elif size is not None and 0 < kpi.tolerance * MANY < size:
        out.append(
            f"too noisy for its tolerance: the smallest detectable change is {percent(size)}, the "
            f"tolerance {percent(kpi.tolerance)}"
        )
    if result.found.interval is not None and result.found.interval[1] < LEAST_POWER:
        out.append(
            f"less power than computed: its smallest detectable change was found at "
            f"{result.found.hits} of {result.found.of} placebo releases, not at 80 %"
        )
    if result.unanswered:
        out.append(
            f"no answer at {result.unanswered} of {result.unanswered + result.alarms.of} placebo "
            f"releases, last: {result.why}"
        )
    return tuple(out)


def suggestions(results: Sequence[SeriesResult], windows: Windows) -> tuple[str, ...]:
    """What another watch or history would do, in measured numbers."""
    out = []
    by_setting: dict[tuple[Setting, timedelta], list[tuple[SeriesResult, Alternative]]] = {}
    for result in results:
        for each in result.alternatives:
            by_setting.setdefault((each.setting, each.length), []).append((result, each))
    for (setting, length), pairs in by_setting.items():
        text = f"{setting} {duration_text(length)}"
        ratios = [each.detectable_effect / each.instead_of for _, each in pairs]
        longer = setting is Setting.WATCH and length > windows.watch
        better = [pair for pair, ratio in zip(pairs, ratios, strict=True) if ratio < BETTER]
        worse = [pair for pair, ratio in zip(pairs, ratios, strict=True) if ratio > AS_GOOD]
        if longer and better:
            out.append(f"{text}: {_examples(better)}")
        elif not longer and not worse:
            out.append(f"{text} is enough: {_examples(sorted(pairs, key=_ratio, reverse=True))}")
        elif setting is Setting.HISTORY:
            current = duration_text(windows.history)
            out.append(
                f"history {current} is worth it: with {duration_text(length)} "
                f"{_examples(sorted(worse, key=_ratio, reverse=True))}"
            )
    return tuple(out)


def _examples(pairs: Sequence[tuple[SeriesResult, Alternative]]) -> str:
    """The first few in words."""
    words = [
        (
            f"{result.name} would detect {percent(each.detectable_effect)} instead of "
            f"{percent(each.instead_of)}"
        )
        for result, each in pairs[:MOST_NAMES]
    ]
    more = len(pairs) - len(words)
    return "; ".join([*words, f"{more} more"] if more else words)


def _ratio(pair: tuple[SeriesResult, Alternative]) -> float:
    return pair[1].detectable_effect / pair[1].instead_of


def needed_tolerance(alarms: Sequence[Finding]) -> float | None:
    """The least whole percent of tolerance that covers the near ends of the alarms' effects; None
    if none is a change of level."""
    near = [
        min(abs(end) for end in finding.effect_interval)
        for finding in alarms
        if finding.kind in LEVEL_KINDS and finding.effect_interval is not None
    ]
    return math.floor(100 * max(near) + 1) / 100 if near else None


def _days(span: timedelta) -> str:
    return duration_text(timedelta(hours=max(1, span // timedelta(hours=1))))
