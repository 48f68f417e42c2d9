"""The reasons of verdicts in words, each with its numbers."""

from __future__ import annotations

import math

from anomaly.decision.case import Case, OnsetTime
from anomaly.model import ChangeKind, Kpi
from anomaly.scoring.recurrence import Period, Recurrence
from anomaly.scoring.scored import Already, Beside
from anomaly.scoring.sizes import Sizes
from anomaly.wording import clock, number, onset, p_value, percent, quantity, relative

FASTER = " more than it usually does in such a time"


def size(sizes: Sizes, unit: str) -> str:
    """The size of a change: `+12.4 % [8.1, 16.9] vs expected 0.81`."""
    if sizes.relative is not None:
        effect = relative(sizes.relative, sizes.relative_interval)
    else:
        low, high = sizes.absolute_interval
        effect = f"{number(sizes.absolute)} [{number(low)}, {number(high)}] {unit}".rstrip()
    return f"{effect} vs expected {quantity(sizes.expected, unit)}"


def size_and_p(case: Case) -> str:
    return f"{size(case.sizes, case.kpi.unit)}, {p_value(case.p_value)}"


def tolerance(kpi: Kpi) -> str:
    """What a change must exceed to matter: `tolerance 5 % and floor 20 ms`."""
    parts = [f"tolerance {percent(kpi.tolerance)}"] if kpi.tolerance else []
    parts += [f"floor {quantity(kpi.floor, kpi.unit)}"] if kpi.floor else []
    return " and ".join(parts) or "the uncertainty of its size"


def change(case: Case, kind: ChangeKind | None, began: OnsetTime | None, *, with_p: bool) -> str:
    """A change: kind, size, p-value, onset, tolerance."""
    kpi = case.kpi
    return (
        ("" if kind in (ChangeKind.LEVEL, None) else f"{kind}: ")
        + size(case.sizes, kpi.unit)
        + (f", {p_value(case.p_value)}" if with_p else "")
        + ("" if began is None else f", since {_when(case, began)}")
        + (f", {tolerance(kpi)}" if kpi.tolerance or kpi.floor else "")
    )


def rise(case: Case) -> str:
    """By how much it grew faster than usual, in the KPI's unit."""
    more = case.score.rise
    if more is None:
        return ""
    way = "rose" if more.absolute > 0 else "fell"
    amount = quantity(abs(more.absolute), case.kpi.unit)
    return f"; since the release it {way} by {amount}{FASTER}"


def recovered_at(case: Case, step: int) -> str:
    return f", back to normal since {clock(case.progress.at(step), case.progress.day)}"


def unit(factor: float) -> str:
    """A change that is as large as that between two units."""
    times = f"{factor:,.0f}" if factor > 1 else f"1/{1 / factor:,.0f}"
    return f"; × {times} looks like a change of unit, check the query"


def began_earlier(case: Case, began: OnsetTime | None) -> str:
    when = "" if began is None else _when(case, began)
    return (
        f"{size(case.sizes, case.kpi.unit)}, but it began at about {when}, before the release, "
        "which made it no worse"
    )


def recurred(case: Case, before: Recurrence) -> str:
    longer = "" if before.period is Period.FORTNIGHT else "; a longer history can"
    return (
        f"{size_and_p(case)}, but it moved likewise on {before.day:%Y-%m-%d}: what comes "
        f"{before.period} can't be told from the release{longer}"
    )


def first_weekend(case: Case) -> str:
    return (
        f"{size_and_p(case)}, but it began on the first weekend in the data: a weekend can't be "
        "told from the release; two weeks of history can"
    )


def was_already(case: Case, already: Already, began: OnsetTime) -> str:
    if math.isinf(already.times):
        return f"{size_and_p(case)}; but it was 0 until about {_when(case, began)}"
    return (
        f"{size_and_p(case)}; but it has been at {number(already.times)} times its usual level "
        f"since about {_when(case, began)}, before the release"
    )


def gaps(case: Case) -> str:
    steps, present = case.progress.steps, case.steps
    return (
        f"{steps - present} of {steps} steps missing since the release, more than usual, "
        f"{p_value(case.p_value)}"
    )


def controls_alone(case: Case, beside: Beside) -> str:
    """The controls moved and the KPI did not."""
    return (
        f"{size(case.sizes, case.kpi.unit)}, by its own past alone; but {moved_controls(beside)}, "
        "and the two used to move together"
    )


def controls_likewise(case: Case, beside: Beside) -> str:
    """The controls moved as the KPI did, by what does not compare."""
    kind = "" if case.kind is None else f"{case.kind}: "
    return (
        f"{kind}{size(case.sizes, case.kpi.unit)}; but {moved_controls(beside)} too, so the part "
        "of the release can't be told apart"
    )


def moved_controls(beside: Beside) -> str:
    """Which controls moved: `control orders_us moved -37.2 %`."""
    move = "" if beside.move is None else f" {relative(beside.move, None)}"
    return (
        f"{'control' if len(beside.controls) == 1 else 'controls'} "
        f"{', '.join(beside.controls)} moved{move}"
    )


def _when(case: Case, began: OnsetTime) -> str:
    return onset(began.at, began.interval, case.progress.day)
