"""The contract of a baseline model, and what the default one learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from statsmodels.regression.linear_model import yule_walker

from anomaly.baseline import season
from anomaly.baseline.noise import ORDER, autoregression, innovations
from anomaly.baseline.season import clock as clock_of
from anomaly.baseline.season import learn
from anomaly.baseline.seasonal import Baseline, SeasonalBaseline
from anomaly.baseline.transform import back
from anomaly.model import Calendar, Kpi, KpiKind
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE, assemble
from tests.support.simulations import Floats, noise, remembering, stamps

DAY, WEEK = 24, 7 * 24
ROWS = 28 * DAY
MODELS: list[Callable[[], SeasonalBaseline]] = [SeasonalBaseline]


def panel(*series: Floats, start: str = "2025-03-03", step: str = "1h") -> pd.DataFrame:
    """A panel of plain values, named k0, k1 …"""
    index = stamps(len(series[0]), step, start)
    return assemble({(f"k{i}", "", VALUE): values for i, values in enumerate(series)}, index)


def fit(
    *series: Floats,
    start: str = "2025-03-03",
    step: str = "1h",
    timezone: str = "UTC",
    kind: KpiKind | None = None,
) -> Baseline:
    kpis = [Kpi(f"k{i}", kind=kind) for i in range(len(series))]
    return SeasonalBaseline().fit(panel(*series, start=start, step=step), kpis, Calendar(timezone))


def daily(rows: int = ROWS, size: float = 30.0) -> Floats:
    return 100 + size * np.sin(2 * np.pi * np.arange(rows) / DAY)


def gappy(values: Floats) -> Floats:
    return np.where(np.arange(len(values)) % 5 == 2, np.nan, values)


SERIES: dict[str, Floats] = {
    "noise": 100 + noise(1, ROWS),
    "daily": daily() + noise(2, ROWS),
    "memory": 100 + 5 * remembering(0.9, 3, ROWS),
    "logarithmic": np.exp(noise(4, ROWS)),
    "counts": np.random.default_rng(5).poisson(3, ROWS).astype(float),
    "rare": (noise(6, ROWS) > 2.5).astype(float),
    "zeros": np.zeros(ROWS),
    "constant": np.full(ROWS, 7.0),
    "one point": np.where(np.arange(ROWS) == 99, 5.0, np.nan),
    "empty": np.full(ROWS, np.nan),
    "gappy": gappy(daily() + noise(7, ROWS)),
    "first half": np.where(np.arange(ROWS) < ROWS // 2, 100 + noise(8, ROWS), np.nan),
}


def same(left: Baseline, right: Baseline) -> bool:
    """Equal to the last bit, NaN included."""
    return all(
        repr(getattr(left, f.name)) == repr(getattr(right, f.name)) for f in fields(Baseline)
    ) and all(
        np.array_equal(getattr(left, name), getattr(right, name), equal_nan=True)
        for name in ("level", "spread", "phi", "residual", "seasonal")
    )


# --- the contract -------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_the_history_is_left_alone(model: Callable[[], SeasonalBaseline]) -> None:
    history = panel(*SERIES.values())
    before = history.copy(deep=True)

    model().fit(history, [Kpi(f"k{i}") for i in range(len(SERIES))], Calendar())

    pd.testing.assert_frame_equal(history, before, check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [2, 3, 16, 49, ROWS])
def test_the_same_history_gives_the_same_baseline(rows: int) -> None:
    cut = [values[:rows] for values in SERIES.values()]

    assert same(fit(*cut), fit(*cut))


@pytest.mark.parametrize("rows", [2, 3, 16, 49, ROWS])
@pytest.mark.parametrize("kind", SERIES)
def test_a_baseline_says_something_of_whatever_it_has_seen(kind: str, rows: int) -> None:
    values = SERIES[kind][:rows]
    later = stamps(48, start="2025-06-02")

    base = fit(values)  # a warning would be an error

    location, width = base.location(later), base.width(later, np.ones((1, 48)))
    assert location.shape == width.shape == (1, 48)
    if np.isfinite(values).any():
        assert np.isfinite(location).all()
        assert np.isfinite(width).all()
        assert (width > 0).all()
    else:
        assert np.isnan(location).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", SERIES)
def test_a_series_is_learned_the_same_alone_and_among_others(kind: str) -> None:
    alone, beside = fit(SERIES[kind]), fit(SERIES[kind], 50 + noise(9, ROWS), np.zeros(ROWS))

    later = stamps(WEEK, start="2025-06-02")
    np.testing.assert_array_equal(beside.location(later)[:1], alone.location(later))
    np.testing.assert_array_equal(beside.residual[:1], alone.residual)


def test_a_series_is_learned_the_same_beside_an_empty_one() -> None:
    alone, beside = fit(SERIES["daily"]), fit(SERIES["daily"], SERIES["empty"])

    np.testing.assert_array_equal(beside.residual[:1], alone.residual)


def test_residuals_of_noise_are_standard_normal() -> None:
    base = fit(*(100 + 3 * noise(seed, ROWS) for seed in range(20)))

    assert base.residual.mean() == pytest.approx(0, abs=0.05)
    assert base.residual.std() == pytest.approx(1, abs=0.05)


def test_a_ratio_with_ten_times_the_volume_is_less_noisy() -> None:
    random = np.random.default_rng(10)
    requests = np.where(np.arange(ROWS) % DAY < 12, 100, 5000)
    failed = random.binomial(requests, 0.05)
    history = assemble(
        {
            ("r", "", NUMERATOR): failed.astype(float),
            ("r", "", DENOMINATOR): requests.astype(float),
        },
        stamps(ROWS),
    )

    base = SeasonalBaseline().fit(history, [Kpi("r", denominator="requests")], Calendar())

    night, noon = stamps(1, start="2025-06-02T03:00"), stamps(1, start="2025-06-02T15:00")
    thin, thick = (
        base.width(night, np.full((1, 1), 100.0)),
        base.width(noon, np.full((1, 1), 5000.0)),
    )
    assert thin[0, 0] > 2.5 * thick[0, 0]


# --- the season ---------------------------------------------------------------------------------


def leave_one_out(values: Floats, period: int) -> Floats:
    """The centred median of the other periods at each step, the slow way."""
    table = values.reshape(-1, period)
    out = np.empty_like(table)
    for i in range(len(table)):
        others = np.nanmedian(np.delete(table, i, axis=0), axis=0)
        out[i] = others - np.median(others)
    return out.ravel()


@pytest.mark.slow
@given(arrays(float, (8, 6), elements=st.floats(-1, 1)))
def test_each_day_is_predicted_from_the_median_of_the_others(wiggle: Floats) -> None:
    values = (np.array([0.0, 100, 300, 50, 20, 200]) + wiggle).ravel()
    when = clock_of(stamps(48, "4h"), 4 * 3600, "UTC")

    season, seasonal = learn(
        values[None], np.ones((1, 48)), np.full(1, np.inf), np.zeros(1, bool), when
    )

    np.testing.assert_allclose(seasonal[0], leave_one_out(values, 6), atol=1e-9)
    full = np.median(values.reshape(-1, 6), axis=0)
    np.testing.assert_allclose(season.day[0], full - np.median(full), atol=1e-9)


@pytest.mark.parametrize("rows", [5 * DAY, ROWS])
def test_a_day_is_found_where_there_is_one(rows: int) -> None:
    base = fit(daily(rows) + noise(11, rows))

    later = stamps(DAY, start="2025-06-02")
    assert base.season.has_day.tolist() == [True]
    assert base.location(later)[0] == pytest.approx(daily(DAY), abs=3)


def test_a_week_is_found_where_there_is_one() -> None:
    rows = 35 * DAY
    weekend = np.where(np.arange(rows) // DAY % 7 >= 5, 0.6, 1.0)

    base = fit(daily(rows) * weekend + noise(12, rows))

    assert base.season.has_week.tolist() == [True]
    saturday = stamps(DAY, start="2025-06-07")
    assert base.location(saturday)[0].mean() == pytest.approx(60, abs=4)


def test_a_shop_that_opens_at_nine_opens_at_nine() -> None:
    rows = 21 * 288
    is_open = np.arange(rows) % 288 >= 108

    base = fit(np.where(is_open, 100.0, 20.0) + noise(14, rows), step="5min")

    opening = stamps(10, "5min", "2025-06-03T08:35")
    assert base.location(opening)[0] == pytest.approx([20] * 5 + [100] * 5, abs=3)


@pytest.mark.parametrize("closed", [{5, 6}, {6}, {2}])
def test_two_weeks_are_enough_to_tell_kinds_of_day_apart(closed: set[int]) -> None:
    rows = 14 * DAY + 12
    is_closed = np.isin(np.arange(rows) // DAY % 7, [*closed])

    base = fit(np.where(is_closed, 0.5, 1.0) * daily(rows) + noise(15, rows))

    later = stamps(7 * DAY, start="2025-06-02")
    expected = np.where(np.isin(np.arange(7 * DAY) // DAY, [*closed]), 0.5, 1.0) * daily(7 * DAY)
    assert base.location(later)[0] == pytest.approx(expected, abs=8)


def test_a_coarse_look_hides_no_week(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = 28 * DAY
    hour, weekday = np.arange(rows) % DAY, np.arange(rows) // DAY % 7
    weeks = [
        np.where(np.isin(weekday, days) & (hour >= begin) & (hour < end), factor, 1.0)
        for factor in (0.5, 0.93, 1.3)
        for days in ((5, 6), (6,), (2,), (0, 1, 2, 3, 4))
        for begin, end in ((0, DAY), (9, 17), (12, 14))
    ]
    calm = [week * daily(rows) + noise(seed, rows) for seed, week in enumerate(weeks)]
    wild = [
        gappy(week * daily(rows) + 10 * remembering(0.6, seed, rows))
        for seed, week in enumerate(weeks)
    ]

    shut = [
        np.where((week == 1) & (hour > 7), values, 0.0)
        for week, values in zip(weeks, calm, strict=True)
    ]
    usual = fit(*calm, *wild, *shut).season
    monkeypatch.setattr(season, "COARSE_GAIN", np.inf)
    closer = fit(*calm, *wild, *shut).season

    assert closer.has_week.sum() > len(weeks)
    np.testing.assert_array_equal(usual.has_week, closer.has_week)
    np.testing.assert_array_equal(usual.week, closer.week)


def test_daily_values_learn_a_week() -> None:
    usual = np.where(np.arange(84) % 7 >= 5, 400.0, 1000.0)

    base = fit(usual + 10 * noise(16, 84), step="1D")

    later = stamps(7, "1D", "2025-06-02")
    assert base.location(later)[0] == pytest.approx(usual[:7], abs=30)


def test_a_day_of_the_month_is_learned_once_it_stood_out_twice() -> None:
    def first_of_june(days: int) -> float:
        index = stamps(days * DAY, start=str(pd.Timestamp("2025-05-31") - pd.Timedelta(days, "D")))
        base = fit(
            np.where(index.day == 1, 150.0, 100.0) + noise(17, len(index)), start=str(index[0])
        )
        location = base.location(stamps(DAY, start="2025-06-01"))
        return float(back(location, base.scale).mean())

    assert first_of_june(65) == pytest.approx(150, abs=3)
    assert first_of_june(35) == pytest.approx(100, abs=3)


@pytest.mark.parametrize("kind", [None, KpiKind.LATENCY])
def test_a_day_of_the_month_is_a_share_of_what_day_and_week_let_expect(
    kind: KpiKind | None,
) -> None:
    index = stamps(67 * DAY, start="2025-03-27")  # one first is a Tuesday, one a Thursday
    usual = daily(len(index)) * np.where(index.day_of_week >= 5, 0.6, 1.0)
    busy = np.where(index.day == 1, 1.5, 1.0)

    base = fit(usual * busy * (1 + 0.01 * noise(19, len(index))), start=str(index[0]), kind=kind)

    first = stamps(DAY, start="2025-06-01")  # a Sunday
    expected = back(base.location(first), base.scale)[0]
    assert expected == pytest.approx(daily(DAY) * 0.6 * 1.5, rel=0.05)
    assert (base.width(first, np.ones((1, DAY))) > base.spread).all()


@pytest.mark.parametrize("days", [45, 90])
@pytest.mark.parametrize("mean", [0.1, 0.4, 1.5])
def test_no_day_of_the_month_is_kept_in_few_events(mean: float, days: int) -> None:
    rng = np.random.default_rng(18)
    base = fit(*rng.poisson(mean, (100, days)).astype(float), step="1D")

    assert base.season.has_month.mean() <= 0.05


@pytest.mark.parametrize("days", [42, 90])
def test_no_week_is_kept_in_daily_noise(days: int) -> None:
    base = fit(*(100 + noise(seed, days) for seed in range(100)), step="1D")

    assert base.season.has_week.mean() <= 0.03


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_no_season_is_kept_in_noise(phi: float) -> None:
    base = fit(*(100 + remembering(phi, seed, ROWS) for seed in range(40)))

    assert base.season.has_day.mean() <= 0.1
    assert base.season.has_week.mean() <= 0.1


def test_two_days_are_no_evidence_of_a_day() -> None:
    assert not fit(daily(2 * DAY) + noise(13, 2 * DAY)).season.has_day.any()


def test_a_step_that_does_not_divide_the_day_has_no_season() -> None:
    rows = 2000
    base = fit(100 + noise(14, rows), step="7min")

    assert not base.season.has_day.any()


BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("start", "later"),
    [("2025-03-02", "2025-03-30"), ("2025-09-28", "2025-10-26")],
    ids=["spring", "autumn"],
)
def test_expected_values_follow_local_time_across_a_change_of_the_clocks(
    start: str, later: str
) -> None:
    first = pd.Timestamp(start, tz=BERLIN).tz_convert("UTC")
    change = pd.Timestamp(later, tz=BERLIN).tz_convert("UTC")
    hours = pd.date_range(first, change, freq="1h", inclusive="left")
    values = (
        100
        + 30 * np.sin(2 * np.pi * hours.tz_convert(BERLIN).hour.to_numpy() / DAY)
        + noise(15, len(hours))
    )

    base = SeasonalBaseline().fit(
        assemble({("k0", "", VALUE): values}, hours), [Kpi("k0")], Calendar(BERLIN)
    )

    after = pd.date_range(change + timedelta(hours=6), periods=48, freq="1h")
    expected = 100 + 30 * np.sin(2 * np.pi * after.tz_convert(BERLIN).hour.to_numpy() / DAY)
    assert base.location(after)[0] == pytest.approx(expected, abs=3)


# --- the memory ---------------------------------------------------------------------------------


NEWER_RESULT = pytest.mark.filterwarnings(
    "ignore:yule_walker currently returns:FutureWarning"
)  # the tuple is what is wanted


@NEWER_RESULT
@pytest.mark.parametrize("phi", [0.3, 0.5, 0.8, 0.95])
def test_the_memory_is_that_of_yule_and_walker(phi: float) -> None:
    x = remembering(phi, 16, 4000)

    found = autoregression(x[None], np.ones((1, 4000), bool))

    reference, _ = yule_walker(x, order=1, method="mle")
    assert found[0, 0] == pytest.approx(reference[0], abs=0.03)
    assert found[0, 1:] == pytest.approx(np.zeros(ORDER - 1), abs=0.1)


@NEWER_RESULT
def test_a_memory_of_two_steps_is_found() -> None:
    e = noise(17, 6000)
    x = np.zeros(6000)
    for t in range(2, 6000):
        x[t] = 0.5 * x[t - 1] + 0.3 * x[t - 2] + e[t]
    x = (x / x.std())[1000:]

    found = autoregression(x[None], np.ones((1, 5000), bool))

    reference, _ = yule_walker(x, order=2, method="mle")
    assert found[0, :2] == pytest.approx(reference, abs=0.05)


def test_noise_has_no_memory() -> None:
    x = noise(18, 50, 1000)

    found = autoregression(x, np.ones(x.shape, bool))

    assert (found != 0).any(axis=1).mean() <= 0.04


@pytest.mark.parametrize("phi", [0.5, 0.9])
def test_gaps_do_not_hide_the_memory(phi: float) -> None:
    x = remembering(phi, 19, 6000)
    present = np.random.default_rng(20).random(6000) > 0.2

    found = autoregression(np.where(present, x, 0.0)[None], present[None])

    assert found[0].sum() == pytest.approx(phi, abs=0.07)


def test_innovations_are_what_the_memory_did_not_foresee() -> None:
    x = remembering(0.8, 21, 500)
    present = np.ones((1, 500), bool)
    present[0, 100] = False

    z, known = innovations(np.where(present, x, 0.0), present, np.array([[0.8, 0.0, 0.0, 0.0]]))

    assert np.flatnonzero(~known[0]).tolist() == [0, 100, 101]
    np.testing.assert_allclose(z[0, 102:], x[102:] - 0.8 * x[101:-1])


@pytest.mark.parametrize("level", [30.0, 1000.0])
def test_zeros_at_the_same_hours_every_day_are_a_rhythm_and_no_rareness(level: float) -> None:
    hours = np.arange(ROWS) % DAY
    is_open = (hours >= 8) & (hours < 18)
    counts = np.random.default_rng(7).poisson(level * is_open).astype(float)

    base = fit(counts, np.random.default_rng(7).permutation(counts))

    assert base.few.tolist() == [False, True]
    assert base.season.has_day.tolist() == [True, False]


def test_a_few_events_in_the_hours_that_have_some_are_few() -> None:
    hours = np.arange(ROWS) % DAY
    is_open = (hours >= 8) & (hours < 18)

    base = fit(np.random.default_rng(8).poisson(3.0 * is_open).astype(float))

    assert base.few.tolist() == [True]


def job_of_a_week(weeks: int) -> Floats:
    at_job = np.arange(weeks * WEEK) % WEEK == 6 * DAY + 2
    return np.asarray(100 + 5 * noise(9, weeks * WEEK) + 200 * at_job)


def test_an_hour_that_stands_out_every_week_is_expected_in_the_next() -> None:
    base = fit(job_of_a_week(3))

    next_week = stamps(WEEK, "1h", "2025-03-24")
    expected = back(base.location(next_week), base.scale)[0]
    assert expected[6 * DAY + 2] == pytest.approx(300, abs=15)
    assert np.delete(expected, 6 * DAY + 2) == pytest.approx(100, abs=5)


def test_an_hour_that_stood_out_in_two_weeks_of_four_is_not_expected() -> None:
    values = job_of_a_week(4)
    values[[6 * DAY + 2, 6 * DAY + 2 + WEEK]] = 100

    assert not fit(values).season.has_week.any()
