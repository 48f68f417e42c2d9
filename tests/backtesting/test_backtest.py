"""A backtest keeps its word: placebos judged as releases are, few false alarms, injected effects
found, poor KPIs named."""

from __future__ import annotations

import doctest
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

import anomaly
from anomaly.backtesting.injection import inject
from anomaly.backtesting.judging import Bench
from anomaly.backtesting.placebos import LEAST_HISTORY, evenly, length, origins
from anomaly.backtesting.result import Backtest, Label, PastRelease, SeriesResult, Share
from anomaly.baseline.seasonal import Baseline, SeasonalBaseline
from anomaly.checklist.checklist import Checklist
from anomaly.contracts import Collected
from anomaly.errors import UsageError
from anomaly.model import Direction, Kpi, Release, ReleaseVerdict, Windows
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE, assemble
from tests.support.simulations import Floats, noise, remembering, stamps

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WEEKS = 6
ROWS = WEEKS * 7 * 24
WINDOWS = Windows(history=28 * DAY, warmup=HOUR, watch=12 * HOUR, step=HOUR, lag=timedelta(0))
START = datetime(2025, 3, 3, tzinfo=UTC)


def series_of(result: Backtest, kpi: str) -> SeriesResult:
    (series,) = [series for series in result.series if series.kpi == kpi]
    return series


def latency(seed: int, rows: int = ROWS) -> Floats:
    """A KPI with a rhythm and a memory that moves by 5 %."""
    return 200 * (
        1 + 0.1 * np.sin(np.arange(rows) * 2 * np.pi / 24) + 0.05 * remembering(0.4, seed, rows)
    )


def collected(columns: Mapping[tuple[str, str, str], Floats]) -> Collected:
    return Collected(assemble(columns, stamps(len(next(iter(columns.values()))))))


def asked(*kpis: Kpi) -> Checklist:
    return Checklist("shop", {}, kpis, windows=WINDOWS)


@pytest.mark.slow
def test_segments_are_backtested_with_their_total() -> None:
    rng = np.random.default_rng(3)
    visits = rng.poisson(2000, (2, ROWS)).astype(float)
    counts = (
        (NUMERATOR, rng.binomial(visits.astype(int), 0.1).astype(float)),
        (DENOMINATOR, visits),
    )
    panel = collected(
        {("conversion", f"device={i}", role): part[i] for i in range(2) for role, part in counts}
    ).panel
    kpi = Kpi("conversion", denominator="visits", by=("device",), direction=Direction.DOWN)

    result = anomaly.backtest(panel, kpis=[kpi], watch=6 * HOUR, history=28 * DAY, placebos=3)

    assert [series.name for series in result.series] == [
        "conversion (all)",
        "conversion (device=0)",
        "conversion (device=1)",
    ]
    total, *devices = result.series
    assert [series.found.of for series in result.series] == [3, 3, 3]
    assert total.found.hits >= 2
    assert sum(series.found.hits for series in result.series) >= 6
    assert (total.time_to_detect or timedelta.max) <= 6 * HOUR
    assert all(
        (total.detectable_effect or 1.0) < (series.detectable_effect or 0.0) for series in devices
    )


@pytest.mark.slow
def test_a_control_is_used_and_neither_judged_nor_moved() -> None:
    shared = latency(7)
    frame = pd.DataFrame(
        {
            "here": shared * (1 + 0.01 * noise(1, ROWS)),
            "there": shared * (1 + 0.01 * noise(2, ROWS)),
        },
        stamps(ROWS),
    )
    frame["elsewhere"] = frame["here"]
    kpis = [Kpi("here"), Kpi("elsewhere"), Kpi("there", control_for=("here",))]

    result = anomaly.backtest(frame, kpis=kpis, watch=12 * HOUR, history=28 * DAY, placebos=3)
    beside, alone = result.series

    assert (beside.kpi, alone.kpi) == ("here", "elsewhere")
    assert (beside.detectable_effect or 1.0) < 0.5 * (alone.detectable_effect or 0.0)
    assert beside.found.hits >= 2
    assert beside.found.hits + alone.found.hits >= 4


# --- which moments ------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=60)
@given(
    days=st.integers(1, 90),
    history=st.integers(1, 40),
    watch=st.integers(1, 60),
    warmup=st.integers(0, 90),
    most=st.integers(1, 80),
)
def test_placebos_have_half_a_history_before_and_a_watch_of_their_own_after(
    days: int, history: int, watch: int, warmup: int, most: int
) -> None:
    windows = Windows(history * DAY, timedelta(minutes=warmup), watch * HOUR, timedelta(minutes=5))
    end = START + days * DAY

    moments = origins(START, end, windows, most)

    assert len(moments) <= most
    assert all(later - earlier >= length(windows) for earlier, later in pairwise(moments))
    assert all(
        moment >= START + LEAST_HISTORY * windows.history and moment + length(windows) <= end
        for moment in moments
    )
    assert all((moment - START) % windows.step == timedelta(0) for moment in moments)
    assert bool(moments) == (end - START >= LEAST_HISTORY * windows.history + length(windows))


def test_placebos_fall_on_different_hours_and_weekdays() -> None:
    moments = origins(START, START + 42 * DAY, Windows(), 50)

    assert len(moments) == 50
    assert len({moment.hour for moment in moments}) >= 12
    assert {moment.weekday() for moment in moments} == set(range(7))


def test_placebos_keep_off_real_releases() -> None:
    every = origins(START, START + 42 * DAY, WINDOWS, 30)
    release = Release(every[4] + 2 * HOUR, every[4] + 3 * HOUR)

    left = origins(START, START + 42 * DAY, WINDOWS, 30, [release])

    assert every[4] not in left
    assert set(left) < set(every)
    assert all(
        moment + length(WINDOWS) <= release.started_at
        or moment >= release.finished + length(WINDOWS)
        for moment in left
    )


@pytest.mark.slow
@given(count=st.integers(0, 40), most=st.integers(1, 12))
def test_some_of_many_are_spread_from_first_to_last(count: int, most: int) -> None:
    moments = [START + number * HOUR for number in range(count)]

    some = evenly(moments, most)

    assert len(some) == len(set(some)) == min(count, most)
    assert list(some) == sorted(some)
    assert most < 2 or not some or (some[0], some[-1]) == (moments[0], moments[-1])


@pytest.mark.parametrize(("hits", "of"), [(0, 44), (1, 50), (5, 10), (10, 10)])
def test_the_interval_of_a_share_is_wilsons(hits: int, of: int) -> None:
    expected = binomtest(hits, of).proportion_ci(method="wilson")

    assert Share(hits, of).interval == pytest.approx((expected.low, expected.high))
    assert Share(0, 0).interval is None


# --- effects put in -----------------------------------------------------------------------------


def injected(
    columns: Mapping[tuple[str, str, str], Floats], kpi: Kpi, effect: float, seed: int = 0
) -> tuple[Collected, Collected]:
    """What was collected until the end of the watch of a placebo release, and the same with the
    effect in it."""
    bench = Bench(asked(kpi), collected(columns), START + ROWS * HOUR)
    at = START + 30 * DAY
    data, quiet = bench.placebo(at)
    before = data.panel.copy()
    after = inject(
        data,
        {(kpi.name, ""): effect},
        quiet,
        np.random.default_rng(seed),
        rates={kpi.name} if kpi.per else (),
    )
    pd.testing.assert_frame_equal(data.panel, before)  # nothing is changed in place
    history = before.index < at
    pd.testing.assert_frame_equal(after.panel[history], before[history])
    return replace(data, panel=before[~history]), replace(after, panel=after.panel[~history])


def test_values_are_multiplied() -> None:
    before, after = injected({("kpi", "", VALUE): latency(1)}, Kpi("kpi"), 0.25)

    np.testing.assert_allclose(after.panel.to_numpy(), 1.25 * before.panel.to_numpy())


@pytest.mark.slow
@pytest.mark.parametrize("effect", [-1.0, -0.4, 0.5, 2.0])
def test_counts_stay_counts(effect: float) -> None:
    counts = np.random.default_rng(2).poisson(400.0, ROWS).astype(float)

    before, after = injected({("kpi", "", VALUE): counts}, Kpi("kpi"), effect)

    values = after.panel.to_numpy()
    assert (values == np.rint(values)).all()
    assert values.sum() / before.panel.to_numpy().sum() == pytest.approx(1 + effect, abs=0.06)


@pytest.mark.slow
@pytest.mark.parametrize("effect", [-0.5, 1.0, 50.0])
def test_a_share_stays_a_share(effect: float) -> None:
    rng = np.random.default_rng(3)
    visits = rng.poisson(1000.0, ROWS).astype(float)
    orders = rng.binomial(visits.astype(int), 0.05).astype(float)
    columns = {("kpi", "", NUMERATOR): orders, ("kpi", "", DENOMINATOR): visits}

    before, after = injected(columns, Kpi("kpi", denominator="visits"), effect)

    top, below = after.panel.to_numpy().T
    np.testing.assert_array_equal(below, before.panel.to_numpy()[:, 1])
    assert (top <= below).all()
    assert top.sum() / before.panel.to_numpy()[:, 0].sum() == pytest.approx(
        min(1 + effect, 20), rel=0.15
    )


def test_a_rate_is_multiplied_though_its_numbers_are_whole() -> None:
    counts = np.random.default_rng(2).poisson(40.0, ROWS).astype(float)

    before, after = injected(
        {("kpi", "", VALUE): counts}, Kpi("kpi", per=timedelta(seconds=1)), 0.01
    )

    np.testing.assert_allclose(after.panel.to_numpy(), 1.01 * before.panel.to_numpy())


@pytest.mark.slow
def test_the_seed_decides_the_injected_counts() -> None:
    counts = {("kpi", "", VALUE): np.random.default_rng(2).poisson(40.0, ROWS).astype(float)}
    once, again, other = (injected(counts, Kpi("kpi"), 0.5, seed)[1].panel for seed in (0, 0, 1))

    pd.testing.assert_frame_equal(once, again)
    assert not once.equals(other)


# --- what is measured ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quiet() -> Backtest:
    """Three KPIs that nothing ever happens to."""
    frame = pd.DataFrame({f"k{seed}": latency(seed) for seed in range(3)}, stamps(ROWS))
    return anomaly.backtest(frame, watch=12 * HOUR, warmup=HOUR, history=28 * DAY, placebos=30)


@pytest.mark.slow
def test_a_quiet_history_raises_few_false_alarms(quiet: Backtest) -> None:
    assert quiet.alarms.of == len(quiet.placebos) == 30
    assert quiet.alarms.hits <= 2  # of 30 at 1 %, more has a chance below 0.4 %
    assert quiet.undecided <= 2


@pytest.mark.slow
def test_injected_effects_are_found(quiet: Backtest) -> None:
    for series in quiet.series:
        assert series.detectable_effect is not None
        assert 0.02 < series.detectable_effect < 0.15
        assert series.found.of >= 28
        assert (series.found.value or 0) >= 0.6
        assert series.detected.hits >= 7
        assert series.time_to_detect is not None
        assert HOUR < series.time_to_detect <= 13 * HOUR
        assert series.warnings == ()


@pytest.mark.slow
def test_the_same_history_gives_the_same_answer() -> None:
    counts = pd.DataFrame(
        {"orders": np.random.default_rng(2).poisson(40.0, ROWS).astype(float)}, stamps(ROWS)
    )
    once, again, other = (
        anomaly.backtest(counts, watch=12 * HOUR, history=28 * DAY, placebos=1, seed=seed).to_dict()
        for seed in (0, 0, 1)
    )

    assert once == again
    assert once["placebos"] == other["placebos"]


def test_a_placebo_is_judged_by_nothing_that_came_later() -> None:
    values = latency(5)
    at = START + 25 * DAY
    changed = values.copy()
    changed[(at - START) // HOUR + 13 :] *= 3
    kpi = Kpi("kpi")

    first, second = (
        Bench(asked(kpi), collected({("kpi", "", VALUE): each}), START + ROWS * HOUR).placebo(at)[1]
        for each in (values, changed)
    )

    assert first.findings == second.findings


def test_a_history_is_learned_once_for_all_effects_in_one_release(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learned = []

    def fit(_: SeasonalBaseline, history: pd.DataFrame, *more: Any) -> Baseline:
        learned.append(history.index[-1])
        return fitted(SeasonalBaseline(), history, *more)

    fitted = SeasonalBaseline.fit
    monkeypatch.setattr(SeasonalBaseline, "fit", fit)
    bench = Bench(asked(Kpi("kpi")), collected({("kpi", "", VALUE): latency(5)}), START + 30 * DAY)

    once = bench.trial(START + 25 * DAY, is_timed=True)
    again = bench.trial(START + 26 * DAY, is_timed=False)

    assert once.times
    assert again.detections
    assert learned == [START + 25 * DAY - HOUR, START + 26 * DAY - HOUR]


@pytest.mark.slow
def test_alarms_of_a_history_with_changes_are_counted() -> None:
    windows = Windows(28 * DAY, timedelta(0), 12 * HOUR, HOUR)
    values = 100 + noise(8, ROWS)
    for at in origins(START, START + ROWS * HOUR, windows, 5)[1::2]:
        hour = (at - START) // HOUR
        values[hour : hour + 12] *= 1.3
    frame = pd.DataFrame({"busy": values}, stamps(ROWS))

    result = anomaly.backtest(frame, watch=12 * HOUR, history=28 * DAY, placebos=5)
    busy = series_of(result, "busy")

    assert result.alarms.hits == busy.alarms.hits == 2
    assert any(
        text.startswith(f"false alarms at {busy.alarms.hits} of {busy.alarms.of}")
        for text in busy.warnings
    )
    assert any(
        text.startswith("tolerance") and "would have been avoided" in text
        for text in result.suggestions
    )


@pytest.mark.slow
def test_kpis_that_carry_no_verdict_are_named() -> None:
    rng = np.random.default_rng(9)
    late, gappy = latency(2), latency(3)
    late[: ROWS - 10 * 24] = np.nan
    gappy[rng.random(ROWS) < 0.6] = np.nan
    frame = pd.DataFrame(
        {
            "sound": latency(1),
            "noisy": 100 * np.exp(1.5 * noise(4, ROWS)),
            "sparse": rng.poisson(0.5, ROWS).astype(float),
            "late": late,
            "gappy": gappy,
            "picky": latency(6),
            "silent": np.full(ROWS, np.nan),
        },
        stamps(ROWS),
    )
    kpis = [
        Kpi(name, direction=Direction.DOWN, tolerance=0.005 if name == "picky" else 0.0)
        for name in map(str, frame)
    ]

    result = anomaly.backtest(frame, kpis=kpis, watch=12 * HOUR, history=28 * DAY, placebos=2)
    said = {series.kpi: "; ".join(series.warnings) for series in result.series}

    assert said["sound"] == ""
    assert "too noisy: " in said["noisy"]
    assert "sparse: about " in said["sparse"]
    assert "short: values for 10d, since 2025-04-04 00:00 UTC; history is 28d" in said["late"]
    assert "no answer at" in said["late"]
    assert "mostly missing: 59.7 %" in said["gappy"]
    assert "too noisy for its tolerance: " in said["picky"]
    assert "the tolerance 0.5 %" in said["picky"]
    assert said["silent"] == "no values at all: no samples before or after the release"


@pytest.mark.slow
def test_a_longer_watch_is_suggested_with_what_it_would_see(quiet: Backtest) -> None:
    for series in quiet.series:
        (longer,) = [each for each in series.alternatives if each.length == 24 * HOUR]
        assert longer.detectable_effect < 0.9 * longer.instead_of

    assert any(text.startswith("watch 1d: k0 would detect ") for text in quiet.suggestions)


@pytest.mark.slow
def test_a_segment_counts_from_where_it_is_known() -> None:
    late = latency(2)
    late[: ROWS - 12 * 24] = np.nan
    panel = assemble(
        {("latency", "country=DE", VALUE): latency(1), ("latency", "country=FR", VALUE): late},
        stamps(ROWS),
    )

    result = anomaly.backtest(panel, watch=12 * HOUR, history=28 * DAY, placebos=3)
    germany, france = result.series

    assert (germany.name, france.name) == ("latency (country=DE)", "latency (country=FR)")
    assert germany.alarms.of == 3
    assert 0 < france.alarms.of + france.unanswered < 3
    assert any(text.startswith("short: values for 12d") for text in france.warnings)


# --- past releases ------------------------------------------------------------------------------


@pytest.mark.slow
def test_past_releases_are_judged_and_counted() -> None:
    values = latency(1)
    moments = [START + timedelta(days=day, hours=10) for day in (25, 27, 29, 31, 33)]
    labels = [Label.GOOD, Label.BAD, Label.BAD, Label.UNKNOWN, Label.GOOD]
    for moment in (
        moments[1],
        moments[4],
    ):  # one bad release shows, one does not; one good one fails
        hour = (moment - START) // HOUR
        values[hour : hour + 14] *= 1.5
    past = [
        PastRelease(Release(moment, version=str(number)), label)
        for number, (moment, label) in enumerate(zip(moments, labels, strict=True))
    ]
    beyond = PastRelease(Release(START + 60 * DAY), Label.GOOD)

    result = anomaly.backtest(
        pd.DataFrame({"latency": values}, stamps(ROWS)),
        watch=12 * HOUR,
        history=28 * DAY,
        placebos=5,
        releases=[*past, beyond],
    )
    told = result.to_dict()

    assert [each.verdict for each in result.releases] == [
        "pass",
        "fail",
        "pass",
        "pass",
        "fail",
        "inconclusive",
    ]
    assert [finding.kpi for finding in result.releases[1].moved] == ["latency"]
    assert result.releases[5].why == "the data do not reach it"
    assert (told["precision"]["hits"], told["precision"]["of"]) == (1, 2)
    assert (told["recall"]["hits"], told["recall"]["of"]) == (1, 2)
    assert not any(
        moment - length(replace(WINDOWS, warmup=timedelta(0))) < at < moment + 12 * HOUR
        for at in result.placebos
        for moment in moments
    )


@pytest.mark.slow
def test_a_release_whose_watch_is_not_over_is_an_early_look() -> None:
    frame = pd.DataFrame({"latency": latency(1)}, stamps(ROWS))
    past = PastRelease(Release(START + ROWS * HOUR - 4 * HOUR), Label.GOOD)

    result = anomaly.backtest(frame, watch=12 * HOUR, history=28 * DAY, placebos=1, releases=[past])

    assert result.releases[0].verdict is ReleaseVerdict.INCONCLUSIVE
    assert result.releases[0].why == "latency: nothing so far, 4 of 12 steps"


# --- what can't be ------------------------------------------------------------------------------


def test_a_history_that_is_too_short_replays_nothing() -> None:
    result = anomaly.backtest(
        pd.DataFrame({"latency": latency(1)[:240]}, stamps(240)), watch=12 * HOUR, history=28 * DAY
    )

    assert result.placebos == ()
    assert not result.answered


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"placebos": 0}, "placebos is 0"),
        ({"kpis": [Kpi("latencie")]}, "did you mean latency?"),
        ({"watch": timedelta(0)}, "windows.watch is 0:00:00"),
        ({"correction": "bonferroni"}, "correction is 'bonferroni'"),
    ],
)
def test_impossible_calls_say_what_to_change(change: Mapping[str, object], said: str) -> None:
    frame = pd.DataFrame({"latency": latency(1)}, stamps(ROWS))
    arguments = {"watch": 12 * HOUR} | dict(change)

    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        anomaly.backtest(frame, **arguments)  # type: ignore[arg-type]


def test_data_of_another_step_are_refused() -> None:
    with pytest.raises(UsageError, match=r"the data have a step of 1h, windows.step is 5m"):
        anomaly.backtest_checklist(
            Checklist("shop", {}, (Kpi("kpi"),)), collected({("kpi", "", VALUE): latency(1)})
        )


def test_a_panel_without_values_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to replay"):
        anomaly.backtest(
            pd.DataFrame({"latency": np.full(50, np.nan)}, stamps(50)), watch=12 * HOUR
        )


@pytest.mark.slow
def test_the_example_of_the_docstring_runs() -> None:
    from anomaly.backtesting import run

    assert doctest.testmod(run) == (0, 6)


@pytest.mark.slow
def test_no_placebo_release_meets_what_is_left_out() -> None:
    """After one of five placebo releases there is a fair, after another an incident."""
    windows = Windows(28 * DAY, timedelta(0), 12 * HOUR, HOUR)
    _, fair, _, incident, _ = origins(START, START + ROWS * HOUR, windows, 5)
    values = pd.Series(latency(30), stamps(ROWS), name="latency")
    for at in (fair, incident):
        values[(values.index >= at) & (values.index < at + 12 * HOUR)] *= 1.5
    replayed = partial(anomaly.backtest, values, watch=12 * HOUR, history=28 * DAY, placebos=5)

    met = replayed()
    spared = replayed(
        special_days={fair.date(): "fair", fair.date() + DAY: "fair"},
        leave_out=[(incident, incident + 12 * HOUR, "incident 4711")],
    )

    assert (met.alarms.hits, spared.alarms.hits) == (2, 0)
