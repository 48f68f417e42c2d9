"""A declared kind decides the scale, and what a KPI cannot be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

import anomaly
from anomaly.errors import UsageError
from anomaly.model import Direction, Kpi, KpiKind, Verdict
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE
from anomaly.scoring.scored import Score
from tests.support.draws import Limit
from tests.support.simulations import (
    STARTED,
    WINDOWS,
    Floats,
    frame,
    hear,
    noise,
    only,
    remembering,
    stamps,
)

BEFORE, WATCH, SERIES = 14 * 48, 24, 150  # half-hourly steps
ROWS = BEFORE + WATCH
INDEX = stamps(ROWS, "30min")
DAY = np.sin(2 * np.pi * np.arange(ROWS) / 48)[:, None]
HALF_HOURLY = replace(
    WINDOWS,
    history=timedelta(days=14),
    warmup=timedelta(0),
    watch=timedelta(hours=12),
    step=timedelta(minutes=30),
)
HOURLY = replace(
    HALF_HOURLY, history=timedelta(days=28), watch=timedelta(days=2), step=timedelta(hours=1)
)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


KINDS: dict[KpiKind, Callable[[], Floats]] = {
    KpiKind.LATENCY: lambda: np.exp(5 + 0.2 * DAY + 0.4 * remembering(0.3, 1, ROWS, SERIES)),
    KpiKind.COUNTS: lambda: rng(2).poisson(3 * (1 + 0.3 * DAY), (ROWS, SERIES)).astype(float),
    KpiKind.RATE: lambda: rng(3).poisson(300 * (1 + 0.3 * DAY), (ROWS, SERIES)) / 60.0,
    KpiKind.SHARE: lambda: rng(4).beta(200, 2, (ROWS, SERIES)),
    KpiKind.GAUGE: lambda: 3 * noise(5, ROWS, SERIES) - 1,
}


def scored(
    values: Floats,
    *,
    kind: KpiKind | None = None,
    denominators: Floats | None = None,
    direction: Direction = Direction.EITHER,
) -> list[Score]:
    """The score of every column, whose last steps are watched."""
    below = None if denominators is None else "below"
    kpis = [
        Kpi(f"k{i}", kind=kind, denominator=below, direction=direction)
        for i in range(values.shape[1])
    ]
    roles = {VALUE: values}
    if denominators is not None:
        roles = {NUMERATOR: values, DENOMINATOR: denominators}
    columns = {
        (kpi.name, "", role): column
        for role, matrix in roles.items()
        for kpi, column in zip(kpis, matrix.T, strict=True)
    }
    windows = HALF_HOURLY if len(values) == ROWS else HOURLY
    heard = hear(columns, kpis, now=STARTED + timedelta(days=3), windows=windows)
    out = [score for score in heard.partial.testimonies[0].scored.scores if score is not None]
    assert len(out) == len(kpis)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_interval_of_the_effect_holds_in_95_of_100(kind: KpiKind) -> None:
    sizes = [score.sizes for score in scored(KINDS[kind](), kind=kind)]

    held = [each.absolute_interval[0] <= 0 <= each.absolute_interval[1] for each in sizes if each]

    assert len(held) == SERIES
    assert 0.92 <= np.mean(held) <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize(("unit", "most"), [("", 1.0), ("%", 100.0)])
def test_the_band_of_a_share_ends_at_its_borders(unit: str, most: float) -> None:
    kpi = Kpi("share", kind=KpiKind.SHARE, unit=unit)
    assert kpi.limits == (0.0, most)

    points = anomaly.check(
        frame(KINDS[KpiKind.SHARE]()[:, :20], INDEX), released_at=INDEX[BEFORE], kind="share"
    ).points

    assert points["upper"].max() <= 1.0
    assert points["lower"].min() >= 0.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("counts", -3.0, "a value of -3 is impossible for kind counts (at least 0)"),
        ("latency", -1.0, "impossible for kind latency (at least 0)"),
        ("share", 1.7, "a value of 1.7 is impossible for kind share (from 0 to 1)"),
    ],
)
@pytest.mark.parametrize("row", [10, ROWS - 1])
def test_an_impossible_value_is_told_and_not_judged(
    kind: str, value: float, said: str, row: int
) -> None:
    values: Floats = rng(6).uniform(0.2, 0.8, (ROWS, 1))
    values[row] = value

    finding = only(anomaly.check(frame(values, INDEX), released_at=INDEX[BEFORE], kind=kind))

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert said in finding.reason


@pytest.mark.slow
def test_a_declared_scale_is_the_one_that_is_used() -> None:
    scales = {
        kind: only(
            anomaly.check(frame(make()[:, :1], INDEX), released_at=INDEX[BEFORE], kind=kind)
        ).evidence.scale
        for kind, make in KINDS.items()
    }

    assert scales == {
        KpiKind.LATENCY: "logarithm",
        KpiKind.COUNTS: "as it is",  # three a step: few events have no middle but their mean
        KpiKind.RATE: "square root",
        KpiKind.SHARE: "as it is",
        KpiKind.GAUGE: "as it is",
    }


def test_a_ratio_needs_a_denominator() -> None:
    with pytest.raises(UsageError, match="it has no denominator"):
        Kpi("errors", kind=KpiKind.RATIO)


def often_zero(rate_later: float, *, seed: int, count: int = 100) -> Floats:
    """Hourly counts of four weeks and two days: nothing in three hours of five, else ten on
    average, with bursts."""
    generator, rows = rng(seed), 30 * 24
    rate = (
        10
        * (1 + 0.6 * np.sin(2 * np.pi * np.arange(rows) / 24))
        * np.where(np.arange(rows) < 28 * 24, 1, rate_later)
    )
    bursts = generator.poisson(generator.gamma(1, rate[:, None], (rows, count)))
    return np.asarray(np.where(generator.random((rows, count)) < 0.4, bursts, 0), dtype=float)


def p_values(values: Floats) -> Floats:
    return np.array([score.p_bad for score in scored(values, kind=KpiKind.COUNTS)])


@pytest.mark.slow
def test_counts_that_are_often_zero_show_three_times_as_many() -> None:
    assert (p_values(often_zero(3.0, seed=6)) < 0.01).mean() >= 0.5


@pytest.mark.slow
def test_counts_that_are_often_zero_raise_no_more_alarms_than_said() -> None:
    """At 1 %, and twice its error."""
    values, few = often_zero(1.0, seed=7, count=300), Limit(6, of=300, first=204, early=3)

    assert few.excess(lambda some: int((p_values(values[:, some]) < 0.01).sum())) == 0


@pytest.mark.slow
def test_the_numerator_of_a_ratio_that_is_often_zero_is_counted_by_its_volume() -> None:
    """Errors that only grow with the traffic are no news; the same number at the usual traffic
    is."""
    generator, later = rng(8), np.arange(30 * 24) >= 28 * 24
    requests = generator.poisson(400, (len(later), 60)) * np.where(later, 4, 1)[:, None]
    errors = {
        name: generator.poisson(requests * share / 400).astype(float)
        for name, share in (("same", 0.7), ("worse", 2.1))
    }

    def found(count: Floats, volume: Floats) -> float:
        scores = scored(count, denominators=volume, direction=Direction.UP)
        return float(np.mean([score.p_bad < 0.01 for score in scores]))

    assert found(errors["same"], requests.astype(float)) <= 0.05
    assert (
        found(np.where(later[:, None], errors["worse"], errors["same"]), requests.astype(float))
        >= 0.9
    )
