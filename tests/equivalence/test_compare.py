"""Rhythm, spread and level of two environments: what is alike is not called different, and what is
not shown is not called alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import cache

import numpy as np
import pandas as pd
import pytest

import anomaly
from anomaly.baseline.robust import Floats
from anomaly.equivalence.result import Likeness, Parity, SeriesParity
from anomaly.model import Direction, Kpi, KpiKind, NoData
from anomaly.panel import assemble
from tests.support.simulations import remembering

SEEDS = 100
MOST_WRONG = 5
SHARE = 0.01
Columns = dict[tuple[str, str, str], Floats]


def index(days: int = 28, step: str = "1h") -> pd.DatetimeIndex:
    """From a Monday on, in UTC."""
    return pd.DatetimeIndex(
        pd.date_range(
            "2025-05-05",
            periods=days * (timedelta(days=1) // pd.Timedelta(step)),
            freq=step,
            tz="UTC",
        )
    )


def rhythm(at: pd.DatetimeIndex, strength: float = 0.6, weekend: float = 0.6) -> Floats:
    """Day and week around 1."""
    day = 1 + strength * np.sin(
        2 * np.pi * (at.hour.to_numpy() + at.minute.to_numpy() / 60 - 8) / 24
    )
    return np.asarray(day * np.where(at.day_of_week.to_numpy() >= 5, weekend, 1.0))


def counts(seed: int, share: float, at: pd.DatetimeIndex, shape: Floats | float = 1.0) -> Columns:
    mean = 3000 * share * shape * np.exp(0.1 * remembering(0.8, seed, len(at)))
    return {("kpi", "", "value"): np.random.default_rng(seed).poisson(mean).astype(float)}


def ratio(
    seed: int, share: float, at: pd.DatetimeIndex, shape: Floats | float = 1.0, level: float = 0.2
) -> Columns:
    rng = np.random.default_rng(seed)
    below = rng.poisson(3000 * share * rhythm(at))
    above = rng.binomial(
        below, np.clip(level * shape * np.exp(0.05 * remembering(0.8, seed, len(at))), 0, 1)
    )
    return {
        ("kpi", "", "numerator"): above.astype(float),
        ("kpi", "", "denominator"): below.astype(float),
    }


def latency(
    seed: int, share: float, at: pd.DatetimeIndex, shape: Floats | float = 1.0, spread: float = 0.08
) -> Columns:
    rng = np.random.default_rng(seed)
    return {
        ("kpi", "", "value"): 180
        * shape
        * np.exp(spread * rng.normal(size=len(at)) + 0.05 * remembering(0.8, seed, len(at)))
    }


def compared(
    staging: Columns,
    production: Columns,
    kpi: Kpi | None = None,
    at: pd.DatetimeIndex | None = None,
) -> SeriesParity:
    at = index() if at is None else at
    (only,) = anomaly.parity(
        assemble(staging, at), assemble(production, at), kpis=[] if kpi is None else [kpi]
    ).series
    return only


def over_seeds(
    staging: Callable[[int], Columns], production: Callable[[int], Columns]
) -> tuple[SeriesParity, ...]:
    """The comparison of each of the seeds, a KPI for each."""
    panels = (
        assemble(
            {
                (f"{seed}", segment, role): values
                for seed in range(SEEDS)
                for (_, segment, role), values in make(first + seed).items()
            },
            index(),
        )
        for make, first in ((staging, 0), (production, 1000))
    )
    return anomaly.parity(*panels, kpis=[]).series


def tally(staging: Callable[[int], Columns], production: Callable[[int], Columns]) -> Counter[str]:
    """How often each aspect got which verdict over the seeds."""
    out: Counter[str] = Counter()
    for series in over_seeds(staging, production):
        out.update({f"{name} {aspect.verdict}": 1 for name, aspect in series.aspects.items()})
        out[str(series.verdict)] += 1
    return out


@pytest.mark.slow
@pytest.mark.parametrize("draw", [counts, ratio], ids=["counts", "ratio"])
def test_the_same_process_at_one_percent_of_the_traffic_is_not_called_different(
    draw: Callable[..., Columns],
) -> None:
    at = index()
    shape = rhythm(at) if draw is counts else rhythm(at, 0.3, 1.0)

    seen = tally(lambda seed: draw(seed, SHARE, at, shape), lambda seed: draw(seed, 1.0, at, shape))

    assert seen["differs"] <= MOST_WRONG
    assert seen["rhythm alike"] >= SEEDS - MOST_WRONG
    assert seen["spread alike"] >= SEEDS - MOST_WRONG
    assert draw is counts or seen["level alike"] >= SEEDS - MOST_WRONG


@pytest.mark.slow
def test_staging_without_a_rhythm_differs_in_rhythm() -> None:
    at = index()

    seen = tally(
        lambda seed: counts(seed, SHARE, at), lambda seed: counts(seed, 1.0, at, rhythm(at))
    )

    assert seen["rhythm differs"] == SEEDS
    assert seen["spread differs"] <= MOST_WRONG


@pytest.mark.slow
def test_a_rhythm_that_production_has_not_differs_too() -> None:
    at = index()

    seen = tally(
        lambda seed: counts(seed, SHARE, at, rhythm(at)), lambda seed: counts(seed, 1.0, at)
    )

    assert seen["rhythm differs"] == SEEDS


def test_the_same_day_some_hours_later_is_another_rhythm() -> None:
    at = index()

    series = compared(counts(1, SHARE, at, np.roll(rhythm(at), 6)), counts(2, 1.0, at, rhythm(at)))

    assert series.aspects["rhythm"].verdict is Likeness.DIFFERS


def test_a_week_without_a_weekend_is_another_rhythm() -> None:
    at = index()

    series = compared(
        counts(1, SHARE, at, rhythm(at, 0.0, 1.0)), counts(2, 1.0, at, rhythm(at, 0.0, 0.4))
    )

    assert series.aspects["rhythm"].verdict is Likeness.DIFFERS
    assert series.reason == "differs in rhythm"


def test_a_synthetic_constant_load_differs_in_rhythm_and_spread() -> None:
    at = index()

    series = compared(
        {("kpi", "", "value"): np.full(len(at), 30.0)}, counts(2, 1.0, at, rhythm(at))
    )

    assert series.verdict is Likeness.DIFFERS
    assert series.reason == "differs in rhythm and spread"
    assert series.aspects["spread"].reason == "constant on one side alone"


def test_counts_as_noisy_as_their_volume_says_are_alike_and_noisier_ones_not() -> None:
    at = index()
    rng = np.random.default_rng(3)
    wild = {
        ("kpi", "", "value"): rng.poisson(30 * rhythm(at) * rng.gamma(0.5, 2.0, len(at))).astype(
            float
        )
    }

    thin = compared(counts(1, SHARE, at, rhythm(at)), counts(2, 1.0, at, rhythm(at))).aspects[
        "spread"
    ]
    noisy = compared(wild, counts(2, 1.0, at, rhythm(at))).aspects["spread"]

    assert thin.verdict is Likeness.ALIKE
    assert thin.value is not None
    assert thin.value > 1.5
    assert noisy.verdict is Likeness.DIFFERS


@pytest.mark.slow
def test_a_noisier_latency_differs_in_spread_alone() -> None:
    at = index()

    seen = tally(
        lambda seed: latency(seed, 1.0, at, spread=0.3), lambda seed: latency(seed, 1.0, at)
    )

    assert seen["spread differs"] >= SEEDS - MOST_WRONG
    assert seen["rhythm differs"] + seen["level differs"] <= MOST_WRONG


@pytest.mark.slow
def test_another_level_differs_and_its_interval_holds() -> None:
    at = index()
    within = 0

    for series in over_seeds(
        lambda seed: ratio(seed, 0.1, at, level=0.1), lambda seed: ratio(seed, 1.0, at, level=0.2)
    ):
        aspect = series.aspects["level"]
        assert aspect.verdict is Likeness.DIFFERS
        assert aspect.interval is not None
        within += aspect.interval[0] <= 0.5 <= aspect.interval[1]

    assert within >= SEEDS - 2 * MOST_WRONG  # 95 % intervals, at least 90 % of the seeds


def test_what_grows_with_traffic_has_no_level_to_differ_in() -> None:
    at = index()

    assert "level" not in compared(counts(1, SHARE, at), counts(2, 1.0, at)).aspects
    euros = (
        {key: values * 1.7 for key, values in counts(1, SHARE, at).items()},
        {k: v * 1.7 for k, v in counts(2, 1.0, at).items()},
    )
    assert (
        compared(*euros).aspects["level"].reason
        == "if it grows with traffic, say so by kind: counts or rate"
    )
    assert compared(*euros, Kpi("kpi", kind=KpiKind.RATE)).verdict is Likeness.ALIKE


@pytest.mark.parametrize("draw", [latency, ratio], ids=["latency", "ratio"])
@pytest.mark.parametrize("size", [3, 60])
def test_an_incident_on_one_side_makes_no_difference(
    draw: Callable[..., Columns], size: float
) -> None:
    at = index()
    staging, production = (
        draw(1, 1.0, at, rhythm(at, 0.3, 1.0)),
        draw(2, 1.0, at, rhythm(at, 0.3, 1.0)),
    )
    staging[next(iter(staging))][200:203] *= size

    assert compared(staging, production).verdict is Likeness.ALIKE


def test_a_common_shock_on_the_same_days_is_no_rhythm() -> None:
    at = index()
    shock = np.exp(0.4 * np.repeat(np.random.default_rng(5).normal(size=28 * 4), 6))

    series = compared(latency(1, 1.0, at, shock), latency(2, 1.0, at, shock))

    assert series.aspects["rhythm"].verdict is not Likeness.DIFFERS
    assert series.aspects["rhythm"].value is None  # none was taken for one


@pytest.mark.parametrize(("days", "alike"), [(6, False), (28, True)])
def test_too_few_days_are_never_alike(days: int, *, alike: bool) -> None:
    at = index(days)

    series = compared(counts(1, SHARE, at, rhythm(at)), counts(2, 1.0, at, rhythm(at)), at=at)

    assert (series.verdict is Likeness.ALIKE) is alike
    assert alike or series.reason == "not enough data: 6 days in staging, need 7"


def test_too_few_events_are_never_alike() -> None:
    at = index()
    rare = ratio(1, 0.002, at, level=0.02), ratio(2, 1.0, at, level=0.02)

    series = compared(*rare)

    assert series.verdict is Likeness.UNCLEAR
    assert series.reason.startswith("not enough data: rhythm")


def test_none_where_many_were_to_be_expected_is_a_difference_and_none_where_few_were_is_not() -> (
    None
):
    at = index()
    none = {
        ("kpi", "", "numerator"): np.zeros(len(at)),
        ("kpi", "", "denominator"): np.full(len(at), 30.0),
    }
    one = {**none, ("kpi", "", "denominator"): np.where(np.arange(len(at)) % 24 < 13, 1.0, np.nan)}

    assert compared(none, ratio(2, 1.0, at, level=0.02)).reason == "differs in level"
    assert (
        compared(one, ratio(2, 1.0, at, level=0.001)).reason == "not enough data: level and rhythm"
    )
    assert compared(none, none).verdict is Likeness.UNCLEAR


def test_values_of_two_signs_are_not_compared() -> None:
    at = index()
    series = compared({("kpi", "", "value"): np.sin(np.arange(len(at)))}, latency(2, 1.0, at))

    assert series.verdict is Likeness.UNCLEAR
    assert series.reason == "values below 0 in staging: relative sizes mean nothing"


def test_a_missing_kpi_is_named_on_the_side_where_it_is_missing() -> None:
    at = index()
    both = {("both", "", "value"): np.ones(len(at))}
    staging = both | {
        ("staged", "", "value"): np.ones(len(at)),
        ("gone", "", "value"): np.full(len(at), np.nan),
    }
    production = both | {
        ("sold", "country=DE", "value"): np.ones(len(at)),
        ("gone", "", "value"): np.full(len(at), np.nan),
    }

    result = anomaly.parity(assemble(staging, at), assemble(production, at))

    assert {
        each.name: (each.verdict, each.reason) for each in result.series if each.kpi != "both"
    } == {
        "staged": (Likeness.MISSING, "missing in production"),
        "sold (country=DE)": (Likeness.MISSING, "missing in staging"),
        "gone": (Likeness.UNCLEAR, "no samples in staging or production"),
    }
    assert result.verdict is Likeness.DIFFERS


def test_what_has_no_say_does_not_make_environments_differ() -> None:
    at = index()
    staging = assemble({("kpi", "", "value"): latency(1, 1.0, at)["kpi", "", "value"]}, at)
    production = assemble(
        {
            ("kpi", "", "value"): latency(2, 1.0, at)["kpi", "", "value"],
            ("tried", "", "value"): np.ones(len(at)),
            ("may go", "", "value"): np.ones(len(at)),
        },
        at,
    )
    kpis = [Kpi("kpi"), Kpi("tried", dry_run=True), Kpi("may go", no_data=NoData.IGNORE)]

    result = anomaly.parity(staging, production, kpis=kpis)

    assert [each.verdict for each in result.series] == [
        Likeness.ALIKE,
        Likeness.MISSING,
        Likeness.MISSING,
    ]
    assert result.verdict is Likeness.ALIKE


def watched(staging: pd.DataFrame, production: pd.DataFrame) -> Parity:
    """The comparison of a ratio, with what a watch would detect in it."""
    kpi = Kpi("kpi", denominator="d", direction=Direction.DOWN)
    return anomaly.parity(staging, production, kpis=[kpi], watch=timedelta(hours=6))


def one_percent() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The panels of staging and production."""
    at = index()
    return assemble(ratio(1, SHARE, at), at), assemble(ratio(2, 1.0, at), at)


@cache
def watched_one_percent() -> Parity:
    return watched(*one_percent())


@pytest.mark.slow
def test_staging_sees_less_of_the_same_process_than_production() -> None:
    staging, production = watched_one_percent().series[0].detectable
    assert staging is not None
    assert production is not None
    assert staging > 2 * production


@pytest.mark.slow
def test_the_same_data_give_the_same_answer_and_are_not_changed() -> None:
    panels = one_percent()
    before = [panel.copy() for panel in panels]

    assert watched(*panels).to_dict() == watched_one_percent().to_dict()
    for panel, kept in zip(panels, before, strict=True):
        pd.testing.assert_frame_equal(panel, kept)


@pytest.mark.parametrize("scale", [1e-9, 1e12])
def test_the_unit_does_not_matter(scale: float) -> None:
    at = index()
    sides = latency(1, 1.0, at), latency(2, 1.0, at)
    scaled = [{key: values * scale for key, values in side.items()} for side in sides]

    plain, other = compared(*sides), compared(scaled[0], scaled[1])

    assert other.reason == plain.reason
    for name, aspect in plain.aspects.items():
        assert other.aspects[name].value == (
            None if aspect.value is None else pytest.approx(aspect.value)
        )


def test_steps_that_differ_and_unknown_kpis_are_refused() -> None:
    at = index()
    frame = pd.DataFrame({"orders": np.ones(len(at))}, at)

    with pytest.raises(
        anomaly.UsageError, match="the steps differ: 2h in staging, 1h in production"
    ):
        anomaly.parity(frame.iloc[::2], frame)
    with pytest.raises(
        anomaly.UsageError,
        match=r"'order' is not a column; use one of orders \(did you mean orders\?\)",
    ):
        anomaly.parity(frame, frame, kpis=[Kpi("order")])


def test_days_and_spans_that_are_left_out_are_not_compared() -> None:
    at = index()
    staging = pd.DataFrame({"orders": counts(5, 0.1, at, rhythm(at))["kpi", "", "value"]}, at)
    production = pd.DataFrame({"orders": counts(6, 1.0, at, rhythm(at))["kpi", "", "value"]}, at)
    staging.iloc[5 * 24 : 12 * 24] = 0.5 * staging.iloc[5 * 24 : 12 * 24].mean()
    days = {day.date(): "load test" for day in at[5 * 24 : 12 * 24 : 24]}

    verdicts = [
        anomaly.parity(staging, production).verdict,
        anomaly.parity(staging, production, special_days=days).verdict,
        anomaly.parity(staging, production, leave_out=[(at[5 * 24], at[12 * 24])]).verdict,
    ]

    assert verdicts == [Likeness.DIFFERS, Likeness.ALIKE, Likeness.ALIKE]
