"""Segments and their total: what is missing is no fall, a shifted mix is no regression, and the
parts add up to the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly.cli.explanation import explanation
from anomaly.decision.multiplicity import TOTAL_SHARE
from anomaly.model import ChangeKind, Direction, Empty, Finding, Kpi, KpiKind, Release, Verdict
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE, assemble, block, grid, keys_of, with_totals
from anomaly.reporting.report import Report
from anomaly.timing.spans import plan
from tests.support.draws import Limit
from tests.support.simulations import STARTED, WINDOWS, Floats, look, look_at_each, stamps

HALF_HOURLY = replace(
    WINDOWS,
    history=timedelta(days=14),
    step=timedelta(minutes=30),
    watch=timedelta(hours=12),
    warmup=timedelta(0),
)
NOW = STARTED + timedelta(hours=13)
INDEX = grid(plan(Release(STARTED), HALF_HOURLY, now=NOW, until=None).span, HALF_HOURLY.step)
RELEASED = np.asarray(pd.Timestamp(STARTED) <= INDEX)
HOUR = np.asarray(INDEX.hour + INDEX.minute / 60)
VISITS = 2000.0
CONVERSION = Kpi("conversion", denominator="visits", by=("device",), direction=Direction.DOWN)
MOBILE, DESKTOP = "device=0", "device=1"
Columns = dict[tuple[str, str, str], Floats]


def shop(
    seed: int,
    *,
    rates: Sequence[float] = (0.05, 0.10),
    shares: Sequence[float] = (0.4, 0.6),
    later: Sequence[float] | None = None,
    factors: Sequence[float] | None = None,
    rhythm: float = 0.3,
) -> Columns:
    """Visits and orders of several devices: rates and shares of each, shares `later` and `factors`
    on the rates after the release.

    The visits have a day, a spread of 10 % that devices share and one of 5 % of their own; in the
    evening the mix is another.
    """
    rng = np.random.default_rng(seed)
    share = np.where(RELEASED, np.array(later or shares)[:, None], np.array(shares)[:, None])
    share = share * np.exp(
        rhythm * np.linspace(1, -1, len(rates))[:, None] * np.sin(2 * np.pi * HOUR / 24)
    )
    everyone = (
        VISITS
        * (1 + 0.4 * np.sin(2 * np.pi * (HOUR - 9) / 24))
        * np.exp(0.1 * rng.normal(size=len(INDEX)))
    )
    visits = rng.poisson(
        everyone * share / share.sum(axis=0) * np.exp(0.05 * rng.normal(size=share.shape))
    )
    rate = (
        np.where(RELEASED, np.array(factors or [1.0] * len(rates))[:, None], 1.0)
        * np.array(rates)[:, None]
    )
    orders = rng.binomial(visits, rate)
    counts = ((NUMERATOR, orders), (DENOMINATOR, visits))
    return {
        ("conversion", f"device={i}", role): part[i].astype(float)
        for i in range(len(rates))
        for role, part in counts
    }


def judged(columns: Columns, kpi: Kpi = CONVERSION, *, false_alarms: float = 0.01) -> Report:
    return look(columns, [kpi], now=NOW, windows=HALF_HOURLY, false_alarms=false_alarms)


def judged_each(
    several: Sequence[Columns], kpi: Kpi = CONVERSION, *, false_alarms: float = 0.01
) -> list[Report]:
    return look_at_each(several, kpi, now=NOW, windows=HALF_HOURLY, false_alarms=false_alarms)


def total_of(report: Report) -> Finding:
    (total,) = [finding for finding in report.findings if finding.total]
    return total


def segments_of(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if not finding.total]


def of(report: Report, device: int) -> Finding:
    (finding,) = [
        finding for finding in report.findings if finding.segment == {"device": str(device)}
    ]
    return finding


def test_shops_that_are_scored_together_are_judged_as_if_alone() -> None:
    shops = [shop(seed, later=(0.6, 0.4)) for seed in range(2)]

    for columns, report in zip(shops, judged_each(shops), strict=True):
        findings = [replace(finding, kpi=CONVERSION.name) for finding in report.findings]
        assert findings == [*judged(columns).findings]


# --- Simpson ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_pure_shift_of_the_population_regresses_nothing() -> None:
    reports = judged_each([shop(seed, later=(0.6, 0.4)) for seed in range(40)])

    totals = [total_of(report) for report in reports]
    assert all(
        total.effect is not None and total.effect < -0.05 for total in totals
    )  # it did fall, for all to see
    assert sum(finding.fails for report in reports for finding in report.findings) <= 1
    assert sum(total.kind is ChangeKind.MIX for total in totals) >= 38


def test_the_reason_and_a_note_name_the_mix() -> None:
    total = total_of(judged(shop(1, later=(0.6, 0.4))))

    assert total.verdict is Verdict.OK
    assert "the mix accounts for -10.5 % (device=0 50.2 % instead of 31.2 %)" in total.reason
    assert total.reason.endswith("at the usual mix, no segment moved")
    assert total.notes[-1].startswith(
        "-12.2 % in all: -10.5 % mix (device=0 50.2 % instead of 31.2 %), "
    )


@pytest.mark.slow
def test_a_shift_for_the_better_is_no_improvement() -> None:
    reports = judged_each([shop(seed, later=(0.2, 0.8)) for seed in range(10)])

    assert [total_of(report).verdict for report in reports] == [Verdict.OK] * 10


def test_a_mix_that_makes_up_for_a_fall_hides_it_from_no_segment() -> None:
    report = judged(shop(1, later=(0.1, 0.9), factors=(0.85, 0.85)))

    total = total_of(report)
    assert total.effect is not None
    assert abs(total.effect) < 0.1
    assert total.verdict is Verdict.OK
    assert of(report, 1).verdict is Verdict.REGRESSED
    assert total.mix_effect is not None
    assert total.mix_effect > 0.1 * (total.expected or 0.0)


@pytest.mark.slow
def test_a_fall_of_every_segment_under_a_shifted_mix_regresses_the_total() -> None:
    shops = [shop(seed, later=(0.5, 0.5), factors=(0.8, 0.8)) for seed in range(10)]

    totals = [total_of(report) for report in judged_each(shops)]

    assert [total.verdict for total in totals] == [Verdict.REGRESSED] * 10


@pytest.mark.slow
def test_the_rhythm_of_the_mix_is_no_mix_effect() -> None:
    """The shares swing by half within a day, and the watch sees the second half of it alone."""
    reports = judged_each([shop(seed, rhythm=0.5) for seed in range(10)])

    totals = [total_of(report) for report in reports]
    mixes = [(total.mix_effect or 0.0) / (total.expected or 1.0) for total in totals]
    assert np.abs(mixes).max() < 0.01


# --- the parts and the whole --------------------------------------------------------------------


@pytest.mark.slow
def test_what_moves_every_segment_a_little_is_seen_in_the_total() -> None:
    devices = 6
    kpi = replace(CONVERSION, tolerance=0.01)
    shops = [
        shop(seed, rates=[0.08] * devices, shares=[1.0] * devices, factors=[0.87] * devices)
        for seed in range(10)
    ]

    reports = judged_each(shops, kpi)

    assert [total_of(report).verdict for report in reports] == [Verdict.REGRESSED] * 10
    assert np.mean([finding.fails for report in reports for finding in segments_of(report)]) < 0.5


@pytest.mark.slow
def test_segments_are_ranked_by_what_they_contribute() -> None:
    report = judged(
        shop(2, rates=(0.1,) * 4, shares=(0.1, 0.2, 0.5, 0.2), factors=(0.5, 1.0, 0.8, 0.95))
    )

    total, *segments = report.findings
    assert total.total
    contributed = [abs(finding.contribution or 0.0) for finding in segments]
    assert contributed == sorted(contributed, reverse=True)
    assert [finding.segment["device"] for finding in segments[:2]] == ["2", "0"]


shares_of = st.lists(st.floats(0.05, 1.0), min_size=3, max_size=3)


factors_of = st.lists(st.floats(0.5, 1.5), min_size=3, max_size=3)
kinds_of = st.sampled_from(["", "new", "gone"])
Drawn = tuple[int, list[float], list[float], list[float], str]


@pytest.mark.slow
@settings(max_examples=4)  # of many shops each
@given(
    st.lists(
        st.tuples(st.integers(0, 1000), shares_of, shares_of, factors_of, kinds_of),
        min_size=6,
        max_size=6,
    )
)
def test_contributions_and_mix_add_up_to_the_change_of_the_total(drawn: list[Drawn]) -> None:
    shops = []
    for seed, shares, later, factors, special in drawn:
        columns = shop(seed, rates=(0.05, 0.1, 0.2), shares=shares, later=later, factors=factors)
        absent = {"": ~(RELEASED | ~RELEASED), "new": ~RELEASED, "gone": RELEASED}[special]
        for role in (NUMERATOR, DENOMINATOR):
            columns["conversion", MOBILE, role][absent] = np.nan
        shops.append(columns)

    for report in judged_each(shops):
        total = total_of(report)
        assert total.mix_effect is not None
        parts = sum(segment.contribution or 0.0 for segment in segments_of(report))
        assert parts + total.mix_effect == pytest.approx(total.effect_absolute, abs=1e-12)


@pytest.mark.slow
@settings(max_examples=2)  # of several shops each
@given(st.lists(st.tuples(st.integers(0, 1000), factors_of), min_size=5, max_size=5))
def test_contributions_of_amounts_add_up_to_the_change_of_their_total(
    drawn: list[tuple[int, list[float]]],
) -> None:
    orders = [amounts(seed, factors) for seed, factors in drawn]
    kpi = Kpi("orders", by=("country",), total="all orders", direction=Direction.DOWN)

    for report in judged_each(orders, kpi):
        total = total_of(report)
        assert total.mix_effect is None
        parts = sum(segment.contribution or 0.0 for segment in segments_of(report))
        assert parts == pytest.approx(total.effect_absolute)


def amounts(seed: int, factors: Sequence[float]) -> Columns:
    """Orders of several countries, and of all as the pipeline collects them beside."""
    rng = np.random.default_rng(seed)
    counts = [
        rng.poisson(np.where(RELEASED, factor, 1.0) * 100.0 * (i + 1)).astype(float)
        for i, factor in enumerate(factors)
    ]
    columns = {("orders", f"country={i}", VALUE): each for i, each in enumerate(counts)}
    return {**columns, ("total of orders", "", VALUE): np.sum(counts, axis=0)}


def test_a_new_segment_counts_with_what_it_differs_and_is_no_mix() -> None:
    columns = shop(3, rates=(0.02, 0.1), shares=(0.5, 0.5), rhythm=0.0)
    for role in (NUMERATOR, DENOMINATOR):
        columns["conversion", MOBILE, role][~RELEASED] = np.nan

    report = judged(columns)

    total = total_of(report)
    assert total.verdict is Verdict.REGRESSED
    assert abs(total.mix_effect or 0.0) < 1e-9
    assert of(report, 0).verdict is Verdict.INCONCLUSIVE
    assert (of(report, 0).contribution or 0.0) < 0.9 * (total.effect_absolute or 0.0) < 0


def test_percentiles_are_judged_in_total_and_not_broken_down() -> None:
    rng = np.random.default_rng(4)
    columns = {("latency", f"country={i}", VALUE): rng.normal(200, 5, len(INDEX)) for i in range(2)}
    everyone = rng.normal(200, 4, len(INDEX)) + 20 * RELEASED

    report = judged(
        {**columns, ("total of latency", "", VALUE): everyone},
        Kpi("latency", by=("country",), total="p95", direction=Direction.UP),
    )

    assert total_of(report).verdict is Verdict.REGRESSED
    assert [finding.contribution for finding in report.findings] == [None] * 3


def test_what_is_nearly_too_large_to_compute_with_has_parts_that_add_up() -> None:
    windows = replace(HALF_HOURLY, history=timedelta(hours=38), watch=timedelta(hours=30))
    rng, step = np.random.default_rng(1), np.arange(76 + 60)
    columns = {
        ("conversion", DESKTOP, NUMERATOR): np.where(step > 40, 1e300 * rng.random(136), 0.0),
        ("conversion", DESKTOP, DENOMINATOR): np.full(136, 1e300),
        ("conversion", MOBILE, NUMERATOR): np.where(step < 76, 2.0, 0.0),
        ("conversion", MOBILE, DENOMINATOR): np.full(136, 2.0),
    }

    report = look(columns, [CONVERSION], now=STARTED + timedelta(hours=31), windows=windows)

    parts = [each.contribution or 0.0 for each in report.findings]
    assert sum(parts) == pytest.approx(total_of(report).effect_absolute)


def test_amounts_whose_sum_is_too_large_for_a_number_are_not_broken_down() -> None:
    rng = np.random.default_rng(1)
    large = 1e308 * (1 + 0.01 * rng.random((2, len(INDEX))))
    columns = {("orders", f"country={i}", VALUE): row for i, row in enumerate(large)}
    columns["orders", "", VALUE] = large[0]

    report = judged(columns, Kpi("orders", by=("country",), total="all orders"))

    assert Verdict.ERROR not in {finding.verdict for finding in report.findings}
    assert all(finding.contribution is None for finding in report.findings)


def test_no_total_is_claimed_of_what_has_none() -> None:
    columns = amounts(5, (1.0, 1.0))
    del columns["total of orders", "", VALUE]

    assert [
        finding.total for finding in judged(columns, Kpi("orders", by=("country",))).findings
    ] == [False, False]
    one = {key: values for key, values in shop(5).items() if key[1] == MOBILE}
    assert [finding.total for finding in judged(one).findings] == [False]


# --- what is missing ----------------------------------------------------------------------------


def totalled(**counts: list[float]) -> tuple[Floats, Floats]:
    """Numerator and denominator of the total of segments whose numerators are half of these
    counts."""
    index = stamps(len(next(iter(counts.values()))))
    columns = {}
    for name, values in counts.items():
        columns["k", f"s={name}", NUMERATOR], columns["k", f"s={name}", DENOMINATOR] = (
            np.array(values) / 2,
            np.array(values),
        )
    panel = with_totals(assemble(columns, index), [Kpi("k", denominator="d", by=("s",))])
    total = block(panel.loc[:, panel.columns.get_level_values("segment") == ""])
    return total.amount[0], total.volume[0]


GAP = np.nan


@pytest.mark.parametrize(
    ("how", "total"),
    [
        ({"kind": KpiKind.COUNTS}, [100, GAP, 100]),
        ({"empty": Empty.ZERO}, [100, GAP, 100]),
        ({"kind": KpiKind.LATENCY, "empty": Empty.ZERO}, None),
        ({"kind": KpiKind.COUNTS, "total": "all orders"}, None),
        ({}, None),
    ],
)
def test_counts_have_a_total_by_themselves(how: Any, total: list[float] | None) -> None:
    columns = {
        ("k", "s=a", VALUE): np.array([60.0, GAP, 60.0]),
        ("k", "s=b", VALUE): np.array([40.0, 40.0, 40.0]),
    }

    panel = with_totals(assemble(columns, stamps(3)), [Kpi("k", by=("s",), **how)])

    assert (("k", "", VALUE) in panel) == (total is not None)
    if total is not None:
        np.testing.assert_equal(panel["k", "", VALUE].to_numpy(), total)


@pytest.mark.parametrize(
    ("one", "two", "volume"),
    [
        ([60, 60, 60, 60], [40, 40, 40, 40], [100, 100, 100, 100]),
        ([60, GAP, 60, 60], [40, 40, 40, 40], [100, GAP, 100, 100]),  # who is left is not everyone
        ([GAP, GAP, 60, 60], [40, 40, 40, 40], [40, 40, 100, 100]),  # not there yet
        ([60, 60, GAP, GAP], [40, 40, 40, 40], [100, 100, 40, 40]),  # gone
        ([600, 600, 600, 600], [4, GAP, 4, 4], [604, 600, 604, 604]),  # too few to matter
        ([60, GAP, 60, 60], [40, GAP, 40, 40], [100, GAP, 100, 100]),
        ([60, 0, 60, 60], [40, 40, 40, 40], [100, 40, 100, 100]),  # nobody came, as was measured
    ],
)
def test_a_step_has_a_total_if_everyone_who_matters_is_there(
    one: list[float], two: list[float], volume: list[float]
) -> None:
    above, below = totalled(one=one, two=two)

    np.testing.assert_array_equal(below, volume)
    np.testing.assert_array_equal(above, np.array(volume) / 2)


def test_half_a_ratio_is_left_out_of_the_total() -> None:
    """A segment whose orders are missing while its visits are there must not look like a fall of
    the total."""
    columns = shop(6)
    columns["conversion", DESKTOP, NUMERATOR][np.flatnonzero(RELEASED)[::3]] = np.nan

    total = total_of(judged(columns))

    assert total.steps == 16  # of 24
    assert total.effect is not None
    assert abs(total.effect) < 0.05


def test_a_segment_that_vanishes_is_no_data_and_no_fall_of_the_total() -> None:
    columns = shop(7)
    for role in (NUMERATOR, DENOMINATOR):
        columns["conversion", DESKTOP, role][RELEASED] = np.nan

    report = judged(columns)

    assert of(report, 1).verdict is Verdict.NO_DATA
    assert not total_of(report).fails
    assert total_of(report).kind is ChangeKind.MIX


def test_a_segment_that_vanishes_is_what_its_total_lost() -> None:
    columns = amounts(11, (1.0, 1.0, 0.0))  # what nobody orders any more
    columns["orders", "country=2", VALUE][RELEASED] = np.nan

    report = judged(
        columns, Kpi("orders", by=("country",), total="all orders", direction=Direction.DOWN)
    )

    total = total_of(report)
    assert total.verdict is Verdict.REGRESSED
    assert report.findings[1].segment == {"country": "2"}
    assert report.findings[1].contribution == pytest.approx(total.effect_absolute, rel=0.1)


def test_totals_leave_the_panel_alone() -> None:
    panel = assemble(shop(8), INDEX)
    before = panel.copy()

    after = with_totals(panel, [CONVERSION])

    pd.testing.assert_frame_equal(panel, before)
    pd.testing.assert_frame_equal(after[panel.columns], before)


def test_a_total_follows_its_segments() -> None:
    keys = [(name, each, VALUE) for name in ("b", "a") for each in ("s=1", "s=2")]
    panel = assemble(dict.fromkeys(keys, np.ones(3)), stamps(3))

    whole = with_totals(panel, [Kpi(name, by=("s",), kind=KpiKind.COUNTS) for name in ("a", "b")])

    assert [key[:2] for key in keys_of(whole)] == [
        (name, each) for name in ("b", "a") for each in ("s=1", "s=2", "")
    ]


# --- the family ---------------------------------------------------------------------------------


def test_the_total_gets_half_of_the_share_of_its_kpi() -> None:
    report = judged(shop(9, rates=[0.05] * 4, shares=[1.0] * 4), false_alarms=0.04)

    total, *segments = [finding.level or 0.0 for finding in report.findings]
    assert segments == pytest.approx([total * (1 - TOTAL_SHARE) / TOTAL_SHARE / 4] * 4)
    assert (
        0.04 * TOTAL_SHARE <= total < 1.1 * 0.04 * TOTAL_SHARE
    )  # the total moves a little with its segments


@pytest.mark.slow
def test_quiet_releases_with_ten_segments_and_their_total_fail_as_rarely_as_promised() -> None:
    """At 5 %; more than 9 of 60 would happen by chance in one of a thousand runs."""
    few = Limit(9, of=60, first=21, early=1)
    rates, shares = np.linspace(0.03, 0.12, 10).tolist(), np.geomspace(1, 8, 10).tolist()

    def failed(some: slice) -> int:
        shops = [shop(seed, rates=rates, shares=shares) for seed in range(few.of)[some]]
        return sum(report.verdict == "fail" for report in judged_each(shops, false_alarms=0.05))

    assert few.excess(failed) == 0


# --- in words -----------------------------------------------------------------------------------


def test_explain_says_that_the_mix_broke_nothing_and_how_the_share_is_divided() -> None:
    report = judged(shop(1, later=(0.6, 0.4)))

    text = " ".join(explanation(total_of(report), report).split())

    assert (
        "conversion (all): ok The mix of its segments changed, not the segments themselves" in text
    )
    assert "half of this KPI's share is for the total, half for its segments" in text
    assert "find out which segments grew or shrank" in text
