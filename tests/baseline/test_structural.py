"""Structural models of daily series: used where they foresee more, and nowhere else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import anomaly
from anomaly.baseline.seasonal import Baseline, SeasonalBaseline
from anomaly.baseline.structural import with_structure
from anomaly.baseline.transform import back
from anomaly.model import Calendar, Direction, Finding, Kpi, Verdict
from anomaly.panel import VALUE, assemble
from anomaly.scoring.score import score
from anomaly.scoring.scored import Score
from tests.support.draws import Limit
from tests.support.simulations import Floats, frame, noise, remembering, stamps

DAYS, WATCH = 180, 5
HISTORIES, FUTURES = 24, 8
LOSS = 0.85


def weekend(days: int) -> Floats:
    return np.where(np.arange(days) % 7 >= 5, 0.6, 1.0)[:, None]


def growing(seed: int, count: int, days: int = DAYS + WATCH, spread: float = 0.04) -> Floats:
    """Daily orders of many shops that grow by 2 % a week, with 60 % of them on weekends."""
    growth = np.exp(0.003 * np.arange(days))[:, None]
    return np.asarray(1000 * growth * weekend(days) * np.exp(spread * noise(seed, days, count)))


def kpis(count: int) -> list[Kpi]:
    return [Kpi(f"k{i}", direction=Direction.DOWN) for i in range(count)]


def panel(values: Floats, step: str = "1D") -> pd.DataFrame:
    columns = {(f"k{i}", "", VALUE): column for i, column in enumerate(values.T)}
    return assemble(columns, stamps(len(values), step))


def fitted(data: pd.DataFrame, watch: int = WATCH) -> tuple[Baseline, Baseline]:
    """The baselines by season and level, and with structural models."""
    history = data.iloc[:-watch]
    count = data.shape[1]
    plain = SeasonalBaseline().fit(history, kpis(count), Calendar())
    return plain, with_structure(plain, history, pd.DatetimeIndex(data.index[-watch:]))


def models(base: Baseline) -> list[str | None]:
    return [base.structural_model(i) for i in range(len(base.keys))]


def scores(base: Baseline, data: pd.DataFrame, watch: int = WATCH) -> list[Score]:
    scored = score(base, data.iloc[:-watch], data.iloc[-watch:], kpis(data.shape[1]), 0)
    return [each for each in scored.scores if each is not None]


def intervals(all_scores: list[Score]) -> Floats:
    """Ends of the intervals of the relative effects, `(series, 2)`."""
    return np.array([each.sizes.relative_interval for each in all_scores if each.sizes])


@pytest.mark.slow
def test_growth_and_a_week_are_foreseen_by_a_trend() -> None:
    values = growing(4, 1)
    values[-WATCH:] *= LOSS
    index = stamps(DAYS + WATCH, "1D")

    (finding,) = anomaly.check(
        frame(values, index), released_at=index[DAYS], direction="down"
    ).findings

    assert finding.verdict is Verdict.REGRESSED
    assert finding.effect_interval is not None
    assert finding.effect_interval[0] < LOSS - 1 < finding.effect_interval[1]
    assert finding.evidence.structural_model == "trend and week"
    assert finding.evidence.season is None


@pytest.mark.slow
def test_intervals_are_narrower_hold_the_truth_and_raise_no_more_alarms_than_promised() -> None:
    """To learn a history takes ten times as long as to judge what follows it, so eight futures
    follow each. Whether the interval of one holds says next to nothing of the others: their
    correlation is 0.03, so that they are worth as much as 160 histories with one each."""
    histories = growing(2, HISTORIES, DAYS)
    data, *others = (
        panel(np.vstack([histories, growing(seed, HISTORIES)[DAYS:]]))
        for seed in range(100, 100 + FUTURES)
    )
    plain, structural = fitted(data)
    better = [each for future in (data, *others) for each in scores(structural, future)]
    lost = [future.copy() for future in (data, others[0])]
    for future in lost:
        future.iloc[-WATCH:] *= LOSS

    low, high = intervals(better).T
    p_values = np.array([each.p_bad for each in better])
    found, found_plainly = (
        np.array([each.p_bad < 0.01 for future in lost for each in scores(base, future)])
        for base in (structural, plain)
    )

    assert len(better) == HISTORIES * FUTURES
    assert None not in models(structural)
    assert np.median(high - low) < 0.5 * np.median(np.diff(intervals(scores(plain, data))))
    assert 0.92 <= np.mean((low <= 0) & (high >= 0)) <= 0.98
    assert np.mean(p_values < 0.01) <= 0.02
    assert np.mean(p_values < 0.05) <= 0.08
    assert sum(~found) <= 1
    assert found.mean() >= 0.6 + found_plainly.mean()


@pytest.mark.slow
@pytest.mark.parametrize("memory", [0.0, 0.6])
def test_what_season_and_level_foresee_keeps_them(memory: float) -> None:
    days = DAYS + WATCH
    values = 1000 * weekend(days) * (1 + 0.04 * remembering(memory, 3, days, 60))
    few = Limit(2, of=60, first=32, early=0)

    def modelled(some: slice) -> int:
        return sum(each is not None for each in models(fitted(panel(values[:, some]))[1]))

    assert few.excess(modelled) == 0


@pytest.mark.slow
def test_each_past_step_is_foreseen_without_those_after_it() -> None:
    values = growing(4, 1)
    changed = values.copy()
    at = DAYS - WATCH - 2  # in the last watch but one
    changed[at] *= 1.03
    expected = []
    for each in (values, changed):
        structural = fitted(panel(each))[1]
        assert models(structural) == ["trend and week"]
        expected.append(structural.seasonal[0])
    moved = np.abs(expected[1] - expected[0])

    assert moved[DAYS - 2 * WATCH : DAYS - WATCH].max() < 1e-6
    assert moved[DAYS - WATCH :].max() > 1e-3


@pytest.mark.slow
def test_an_outlier_and_a_missing_day_before_the_release_do_not_move_what_is_expected() -> None:
    values = growing(5, 2)
    values[:, 1] = values[:, 0]
    values[DAYS - 2, 1] *= 20
    values[DAYS - 10, 1] = np.nan
    structural = fitted(panel(values))[1]
    later = pd.DatetimeIndex(stamps(DAYS + WATCH, "1D")[-WATCH:])

    clean, odd = back(structural.location(later), structural.scale)

    assert models(structural) == ["trend and week"] * 2
    assert odd == pytest.approx(clean, rel=0.02)


@pytest.mark.parametrize(
    ("days", "step"), [(DAYS, "1h"), (35, "1D")], ids=["hours", "five weeks of days"]
)
def test_fast_steps_and_short_histories_are_not_modelled(days: int, step: str) -> None:
    plain, same = fitted(panel(growing(6, 1, days), step))

    assert same is plain


@pytest.mark.slow
def test_days_of_the_users_are_foreseen_across_a_change_of_their_clocks() -> None:
    index = pd.date_range("2025-05-05", periods=DAYS + WATCH, freq="1D", tz="Europe/Berlin")

    (finding,) = anomaly.check(
        frame(growing(4, 1), index), released_at=index[DAYS], timezone="Europe/Berlin"
    ).findings

    assert finding.evidence.structural_model == "trend and week"
    assert finding.verdict is Verdict.OK


@pytest.mark.slow
def test_a_control_explains_what_the_model_leaves() -> None:
    shared = 0.04 * noise(7, DAYS + WATCH, 1)
    values = growing(8, 1, spread=0.01) * np.exp(shared)
    control = 500 * np.exp(shared + 0.01 * noise(9, DAYS + WATCH, 1))
    index = stamps(DAYS + WATCH, "1D")
    data = pd.DataFrame(np.hstack([values, control]), index, columns=["orders", "visits"])

    alone = anomaly.check(data[["orders"]], released_at=index[DAYS])
    beside = anomaly.check(data, released_at=index[DAYS], controls=["visits"])

    ends = [each.findings[0].effect_interval for each in (alone, beside)]
    assert ends[0] is not None
    assert ends[1] is not None
    assert ends[1][1] - ends[1][0] < 0.7 * (ends[0][1] - ends[0][0])
    assert beside.findings[0].evidence.structural_model == "trend and week"
    assert ends[1][0] < 0 < ends[1][1]


def wandering(seed: int, days: int, effect: float) -> pd.DataFrame:
    """Daily orders that follow two causes, each of which wanders, and a control for each; the
    orders of the last days are changed by `effect`."""
    causes = np.cumsum(0.02 * noise(seed, days, 2), axis=0)
    own = np.exp(0.01 * noise(seed + 1000, days, 3))
    orders = 1000 * weekend(days)[:, 0] * np.exp(causes @ [0.5, 0.7]) * own[:, 0]
    orders[-WATCH:] *= 1 + effect
    controls = [500, 300] * np.exp(causes) * own[:, 1:]
    names = ["orders", "visits", "searches"]
    return pd.DataFrame(np.column_stack([orders, controls]), stamps(days, "1D"), names)


def beside(seed: int, effect: float = 0.0, days: int = 120) -> Finding:
    data = wandering(seed, days + WATCH, effect)
    at = data.index[days]
    report = anomaly.check(data, released_at=at, direction="down", controls=["visits", "searches"])
    return report.findings[0]


@pytest.mark.slow
def test_controls_that_wander_with_a_kpi_are_part_of_its_model() -> None:
    quiet = [beside(seed) for seed in range(12)]
    lost = [beside(seed, effect=-0.06) for seed in range(6)]

    ends = np.array([each.effect_interval for each in quiet])
    effects = np.array([each.effect for each in quiet])
    assert np.median(ends[:, 1] - ends[:, 0]) < 0.05  # 0.08 by a regression on their moves
    assert np.sqrt((effects**2).mean()) < 0.02  # 0.03
    assert ((ends[:, 0] <= 0) & (ends[:, 1] >= 0)).sum() >= 10
    assert sum(each.verdict is Verdict.REGRESSED for each in quiet) <= 1
    assert all(each.verdict is Verdict.REGRESSED for each in lost)


@pytest.mark.slow
def test_a_control_that_is_missing_on_some_days_is_left_to_the_regression() -> None:
    data = wandering(3, 120 + WATCH, 0.0)
    data.iloc[40:43, 1] = np.nan

    report = anomaly.check(data, released_at=data.index[120], controls=["visits", "searches"])

    assert report.findings[0].verdict is Verdict.OK
    used = report.findings[0].evidence.controls
    assert used is not None
    assert used.used == ("visits", "searches")
