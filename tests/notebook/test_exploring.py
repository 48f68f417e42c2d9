"""Each step of a verdict alone: the same numbers as in the report, and the parts add up."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

import anomaly
from anomaly.baseline.transform import forward
from anomaly.checklist.checklist import Checklist
from anomaly.model import Release, Window
from anomaly.notebook.exploring import FittedBaseline
from anomaly.reporting.report import Report
from tests.support.places import ROOT

RELEASE = Release(datetime(2025, 6, 3, 9, tzinfo=UTC), datetime(2025, 6, 3, 9, 10, tzinfo=UTC))
FRANCE = {"country": "FR"}
INDEX = pd.DatetimeIndex(pd.date_range("2025-03-03", periods=21 * 96, freq="15min", tz="UTC"))


@pytest.fixture(scope="module")
def checklist() -> Checklist:
    return anomaly.load_checklist(ROOT / "sample_data" / "credential" / "checklist.yaml")


@pytest.fixture(scope="module")
def report(checklist: Checklist) -> Report:
    return anomaly.check_release(checklist, RELEASE)


@pytest.fixture(scope="module")
def history(checklist: Checklist, report: Report) -> pd.DataFrame:
    return anomaly.collect(checklist, report.baseline)


@pytest.fixture(scope="module")
def after(checklist: Checklist, report: Report) -> pd.DataFrame:
    return anomaly.collect(checklist, report.observation)


@pytest.fixture(scope="module")
def baseline(checklist: Checklist, history: pd.DataFrame) -> FittedBaseline:
    return anomaly.fit(history, checklist=checklist)


def waves(seed: int = 1) -> pd.Series:
    """Three weeks of a day that is known: a sine of 100 around 500, with noise of 10."""
    noise = np.random.default_rng(seed).normal(0, 10, len(INDEX))
    return pd.Series(
        500 + 100 * np.sin(np.arange(len(INDEX)) * 2 * np.pi / 96) + noise, INDEX, name="waves"
    )


@pytest.mark.slow
def test_a_window_gives_the_panel_of_its_steps(
    checklist: Checklist, history: pd.DataFrame, report: Report
) -> None:
    assert history.index[0] == report.baseline.start
    assert history.index[-1] == report.baseline.end - timedelta(minutes=5)
    assert ("request errors", "", "numerator") in history.columns  # the total of its segments
    assert ("request errors", "country=FR", "denominator") in history.columns
    only = anomaly.collect(checklist, report.baseline, only=["revenue"])
    assert set(only.columns.get_level_values("kpi")) == {"revenue"}


@pytest.mark.slow
def test_a_kpi_that_can_not_be_read_is_warned_of_and_left_out(checklist: Checklist) -> None:
    window = Window(RELEASE.started_at, RELEASE.started_at + timedelta(hours=1))
    lost = tuple(
        replace(kpi, query="nowhere") if kpi.name == "revenue" else kpi for kpi in checklist.kpis
    )
    with pytest.warns(UserWarning, match="revenue is not in the panel: .*nowhere"):
        panel = anomaly.collect(replace(checklist, kpis=lost), window)
    assert "revenue" not in panel.columns.get_level_values("kpi")
    assert "engagement" in panel.columns.get_level_values("kpi")
    with pytest.raises(anomaly.CollectError, match="nowhere"):
        anomaly.collect(replace(checklist, kpis=lost), window, only=["revenue"])


@pytest.mark.slow
def test_the_replay_has_the_p_value_of_the_report(
    baseline: FittedBaseline, after: pd.DataFrame, report: Report
) -> None:
    for kpi, segment in (
        ("request errors", FRANCE),
        ("requests", {"country": "DE"}),
        ("engagement", {}),
        ("p95 latency", {}),
    ):
        p = report[kpi, segment].p_value
        assert p is not None
        assert math.isclose(baseline.replay(after, kpi, segment).p_value, p, rel_tol=1e-6)


@pytest.mark.slow
def test_a_replay_knows_the_placebo_releases_and_what_each_answered(
    baseline: FittedBaseline, after: pd.DataFrame
) -> None:
    seen = baseline.replay(after, "request errors", FRANCE)
    assert seen.at == after.index[0]
    assert list(seen.placebo_scores.index) == list(seen.placebo_p_values.index)
    assert list(seen.placebo_scores.columns) == list(seen.scores.index)
    assert seen.placebo_scores.index.max() < after.index[0]
    assert (
        seen.placebo_p_values <= seen.p_value
    ).mean() < 0.01  # the history holds one burst as rare
    assert (seen.placebo_p_values < 0.05).mean() < 0.1
    assert seen.scores["level over 72 steps"] > 10


def test_a_replay_of_any_move_asks_both_ways() -> None:
    series = waves()
    series.iloc[1800:] -= 60
    seen = anomaly.fit(series.iloc[:1800]).replay(series.iloc[1800:1850], "waves")
    assert {"level over 50 steps", "level over 50 steps, falling"} <= set(seen.scores.index)
    assert seen.scores["level over 50 steps, falling"] > 4
    assert seen.scores["level over 50 steps"] < 0


@pytest.mark.slow
def test_the_parts_of_a_known_series_are_found() -> None:
    fitted = anomaly.fit(waves())
    parts = fitted.parts("waves")
    sine = 100 * np.sin(np.arange(len(INDEX)) * 2 * np.pi / 96)
    assert abs(parts["level"].iloc[0] - 500) < 10
    assert np.abs(parts["day"] - sine).max() < 15
    assert not parts["week"].any()
    assert fitted.scale("waves") == "as it is"
    assert abs(fitted.autocorrelation("waves")["residual"].iloc[0]) < 0.1


@pytest.mark.slow
def test_the_parts_are_those_of_the_learned_numbers(baseline: FittedBaseline) -> None:
    parts = baseline.parts("request errors", FRANCE)
    i = baseline.learned.keys.index(("request errors", "country=FR"))
    y = forward(
        parts["observed"].to_numpy()[None],
        baseline.learned.scale[i : i + 1],
        baseline.learned.floor[i : i + 1],
    )[0]
    assert np.nanmax(np.abs(y - parts["observed"])) == 0  # judged as it is
    assert parts["observed"].notna().equals(parts["residual"].notna())
    off = (parts["observed"] - parts["expected"]).dropna()
    assert (np.sign(off) == np.sign(parts["residual"].dropna())).mean() > 0.99


def test_memory_that_is_there_is_shown_and_taken_away() -> None:
    rng, values = np.random.default_rng(2), np.zeros(len(INDEX))
    for step in range(1, len(values)):
        values[step] = 0.8 * values[step - 1] + rng.normal(0, 6)
    fitted = anomaly.fit(pd.Series(500 + values, INDEX, name="slow"))
    found, tests = fitted.autocorrelation("slow", lags=20), fitted.ljung_box("slow")
    assert list(found.index) == list(range(1, 21))
    assert 0.7 < found["residual"].iloc[0] < 0.9
    assert found["surprise"].abs().max() < 0.1
    assert tests["p_value"]["residual"] < 1e-6
    assert tests["p_value"]["surprise"] > 0.01


def test_a_prediction_holds_what_comes_and_marks_what_does_not_fit() -> None:
    series = waves()
    fitted = anomaly.fit(series.iloc[:1800])
    calm = fitted.predict(series.iloc[1800:])
    assert list(calm.columns) == [
        "kpi",
        "segment",
        "time",
        "observed",
        "expected",
        "lower",
        "upper",
        "z",
        "flagged",
    ]
    assert calm["flagged"].mean() < 0.05
    assert fitted.predict(series.iloc[1800:] + 80)["flagged"].mean() > 0.95


def test_a_window_is_foreseen_without_data() -> None:
    series = waves()
    fitted = anomaly.fit(series.iloc[:1800])
    coming = fitted.predict(Window(INDEX[1800].to_pydatetime(), INDEX[1900].to_pydatetime()))
    assert len(coming) == 100
    assert coming["observed"].isna().all()
    assert not coming["flagged"].any()
    assert np.abs(coming["expected"].to_numpy() - series.iloc[1800:1900].to_numpy()).mean() < 20


def test_a_ratio_at_hand_is_foreseen_with_its_denominators() -> None:
    rng = np.random.default_rng(3)
    visits = pd.Series(rng.poisson(400, len(INDEX)), INDEX, name="orders")
    orders = pd.Series(rng.binomial(visits, 0.1), INDEX, name="orders")
    fitted = anomaly.fit(orders.iloc[:1800], denominators=visits.iloc[:1800])
    later = fitted.predict(orders.iloc[1800:], denominators=visits.iloc[1800:])
    assert abs(later["expected"].mean() - 0.1) < 0.01
    assert (
        fitted.replay(orders.iloc[1800:1900], "orders", denominators=visits.iloc[1800:1900]).p_value
        > 0.01
    )


@pytest.mark.slow
def test_the_order_of_columns_does_not_matter(
    baseline: FittedBaseline, after: pd.DataFrame
) -> None:
    turned = after.iloc[:, ::-1]
    pd.testing.assert_frame_equal(baseline.predict(turned), baseline.predict(after))
    assert (
        baseline.replay(turned, "engagement").p_value
        == baseline.replay(after, "engagement").p_value
    )


def test_what_does_not_fit_together_is_said() -> None:
    series = waves()
    fitted = anomaly.fit(series.iloc[:1800])
    with pytest.raises(
        anomaly.UsageError, match="predict is given series other, the baseline knows waves"
    ):
        fitted.predict(series.iloc[1800:].rename("other"))
    with pytest.raises(
        anomaly.UsageError, match="replay is given series other, the baseline knows waves"
    ):
        fitted.replay(series.iloc[1800:].rename("other"), "waves")
    with pytest.raises(anomaly.UsageError, match="within the history, which ends"):
        fitted.replay(series.iloc[1700:], "waves")


@pytest.mark.slow
def test_a_name_that_is_not_there_is_a_key_error_that_says_which_are(
    baseline: FittedBaseline,
) -> None:
    with pytest.raises(KeyError, match=r"no KPI 'request'; there are .*did you mean requests"):
        baseline.parts("request")
    with pytest.raises(
        KeyError, match=r"'requests' has no segment \{\}; there are \{'country': 'DE'\}"
    ):
        baseline.plot("requests")


@pytest.mark.slow
def test_special_days_of_a_checklist_teach_nothing(
    checklist: Checklist, history: pd.DataFrame
) -> None:
    from anomaly.model import SpecialDay

    day = datetime(2025, 5, 20, tzinfo=UTC).date()
    calendar = replace(checklist.calendar, special_days=(SpecialDay(day),))
    residual = anomaly.fit(history, checklist=replace(checklist, calendar=calendar)).parts(
        "engagement"
    )["residual"]
    assert (
        residual[pd.Timestamp("2025-05-20T12:00Z") : pd.Timestamp("2025-05-20T13:00Z")].isna().all()
    )
    assert (
        residual[pd.Timestamp("2025-05-21T12:00Z") : pd.Timestamp("2025-05-21T13:00Z")]
        .notna()
        .all()
    )


@pytest.mark.slow
def test_every_series_of_the_shop_can_be_looked_at(
    baseline: FittedBaseline, after: pd.DataFrame
) -> None:
    for kpi, segment in (("request errors", {}), ("sign-ups", FRANCE), ("p95 latency", {})):
        whole = baseline.plot(kpi, segment)
        assert len(whole.axes) == 6
        assert whole._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
        beside = baseline.replay(after, kpi, segment).plot()._repr_png_()  # type: ignore[attr-defined]
        assert beside.startswith(b"\x89PNG")
    assert beside == baseline.replay(after, kpi, segment).plot()._repr_png_()  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize("values", ["constant", "missing", "few", "huge"])
def test_any_series_can_be_looked_at(values: str) -> None:
    series = {
        "constant": waves() * 0 + 5,
        "missing": waves() * np.nan,
        "few": pd.Series(np.random.default_rng(1).poisson(0.1, len(INDEX)), INDEX, name="waves"),
        "huge": waves() * 1e300,
    }[values]
    fitted = anomaly.fit(series.iloc[:1800])
    fitted.plot()._repr_png_()  # type: ignore[attr-defined]
    if values == "missing":
        with pytest.raises(
            anomaly.UsageError, match="nothing can be asked of waves: too little data"
        ):
            fitted.replay(series.iloc[1800:], "waves")
    else:
        fitted.replay(series.iloc[1800:], "waves").plot()._repr_png_()  # type: ignore[attr-defined]
    assert len(fitted.predict(series.iloc[1800:])) == len(INDEX) - 1800
    assert "1 series" in repr(fitted)
