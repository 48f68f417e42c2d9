"""No series is too short, too sparse, too large or too small to be judged, and no effect lies
outside its own interval."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import anomaly
from anomaly.baseline.seasonal import SeasonalBaseline
from anomaly.baseline.transform import Scale
from anomaly.model import Calendar, Direction, Kpi, KpiKind, Verdict
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE, assemble, block
from anomaly.scoring.controlled import score_beside_controls
from anomaly.scoring.effect import Effect
from anomaly.scoring.scored import Score
from anomaly.scoring.sizes import sizes_of
from tests.support.simulations import Floats, finding_of, noise, only, stamps

HISTORY, LONGEST_WATCH = 20, 12
EXTREME = (0.0, 1.0, -1.0, 0.1, 7.0, 1e300, -1e300, 1.7e308, 1e-300, 5e-324, np.nan, np.inf)
NUMBERS = st.one_of(
    st.sampled_from(EXTREME),
    st.integers(0, 9).map(float),
    st.floats(-100, 100),
    st.floats(allow_nan=False),
)
ROLES = {False: (VALUE,), True: (NUMERATOR, DENOMINATOR)}
KINDS = [None, *(kind for kind in KpiKind if kind is not KpiKind.RATIO)]


def series(rows: int) -> st.SearchStrategy[Floats]:
    """Values of any kind, many of them often the same."""
    return arrays(np.float64, rows, elements=NUMBERS, fill=NUMBERS)


@st.composite
def panels(draw: st.DrawFn) -> tuple[pd.DataFrame, list[Kpi]]:
    """A KPI and maybe its control, plain or ratios, as a panel without infinities."""
    rows = HISTORY + draw(st.integers(1, LONGEST_WATCH))
    names = ["kpi", "control"][: draw(st.integers(1, 2))]
    ratio = draw(st.booleans())
    columns = {(name, "", role): draw(series(rows)) for name in names for role in ROLES[ratio]}
    below = "below" if ratio else None
    direction, kind = draw(st.sampled_from(Direction)), draw(st.sampled_from(KINDS))
    kpis = [Kpi("kpi", denominator=below, direction=direction, kind=kind)]
    kpis += [Kpi(name, denominator=below, control_for=("kpi",)) for name in names[1:]]
    return assemble(columns, stamps(rows)), kpis


@pytest.mark.slow
@given(panels())
@settings(max_examples=60, derandomize=True, deadline=None)
def test_whatever_a_series_holds_it_is_scored(case: tuple[pd.DataFrame, list[Kpi]]) -> None:
    panel, kpis = case
    history, later = panel.iloc[:HISTORY], panel.iloc[HISTORY:]
    baseline = SeasonalBaseline().fit(history, kpis, Calendar())

    scored = score_beside_controls(baseline, history, later, kpis, 0)

    for score in scored.scores:
        if score is not None:
            assert_sound(score)


def assert_sound(score: Score) -> None:
    for p in (score.p_bad, score.p_good, score.p_other):
        assert 0 <= p <= 1
    if score.sizes is None:
        return
    low, high = score.sizes.absolute_interval
    assert np.isfinite([low, high, score.sizes.observed, score.sizes.expected]).all()
    assert low <= score.sizes.absolute <= high
    if score.sizes.relative_interval is not None and score.sizes.relative is not None:
        low, high = score.sizes.relative_interval
        assert low <= score.sizes.relative <= high


@pytest.mark.slow
@given(panels(), st.booleans(), st.integers(1, LONGEST_WATCH))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_no_series_fails_the_judgement(
    case: tuple[pd.DataFrame, list[Kpi]], staged: bool, watch: int
) -> None:
    panel, kpis = case
    index = pd.DatetimeIndex(panel.index)
    released, half = index[HISTORY], index[HISTORY + (len(index) - HISTORY) // 2]

    def frame(role: str) -> pd.DataFrame:
        return pd.DataFrame({kpi.name: panel[kpi.name, "", role] for kpi in kpis})

    report = anomaly.check(
        frame(VALUE if kpis[0].denominator is None else NUMERATOR),
        denominators=None if kpis[0].denominator is None else frame(DENOMINATOR),
        released_at=released,
        watch=timedelta(hours=watch),
        direction=kpis[0].direction,
        kind=kpis[0].kind,
        controls=[kpi.name for kpi in kpis[1:]],
        stages=[(released, 0.1), (half, 1.0)] if staged and half > released else (),
    )

    assert Verdict.ERROR not in [finding.verdict for finding in report.findings]


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "seed"), [(1, 30), (2, 14), (3, 28), (4, 17)])
def test_a_canary_of_few_steps_whose_errors_rise_is_judged(steps: int, seed: int) -> None:
    index = stamps(3 * 288 + steps, "5min")
    released, rng = index[3 * 288], np.random.default_rng(seed)
    requests = rng.poisson(3, len(index))
    errors = rng.binomial(requests, np.where(index >= released, 0.25, 0.002))

    report = anomaly.check(
        pd.Series(errors.astype(float), index, name="errors"),
        denominators=pd.Series(requests.astype(float), index, name="errors"),
        released_at=released,
        direction="up",
    )

    assert only(report).verdict is not Verdict.ERROR


@pytest.mark.slow
@pytest.mark.parametrize("value", [0.1, 0.3, 1 / 3, 7.0, 1e15 + 0.3])
@pytest.mark.parametrize("after", [1, 3, 7, 40])
def test_the_effect_of_a_constant_that_stays_is_nothing(value: float, after: int) -> None:
    index = stamps(30 + after)

    finding = only(anomaly.check(pd.Series(value, index), released_at=index[30]))

    assert (finding.observed, finding.expected) == (value, value)
    assert (finding.effect_absolute, finding.effect_absolute_interval) == (0.0, (0.0, 0.0))


@pytest.mark.parametrize("volume", [1.0, 30.0, 1e6])
def test_the_effect_of_a_constant_ratio_counts_each_step_by_its_volume(volume: float) -> None:
    index = stamps(44)
    below = np.full(44, 1e3)
    below[40] = volume
    above = np.where(np.arange(44) == 40, 0.5, 0.0) * below

    finding = only(
        anomaly.check(
            pd.Series(above, index, name="share"),
            denominators=pd.Series(below, index, name="share"),
            released_at=index[40],
        )
    )

    effect, interval = finding.effect_absolute, finding.effect_absolute_interval
    assert effect == pytest.approx(above[40:].sum() / below[40:].sum())
    assert effect is not None
    assert interval is not None
    assert interval[0] <= effect <= interval[1]


def test_an_effect_that_is_too_large_for_a_number_has_no_size() -> None:
    effect = Effect(1e300, 1e-300, Scale.ROOT, 1.0, 1e200, 1.0, 9.0)

    assert sizes_of(effect) is None
    assert effect.relative(1e300) is None


def test_a_ratio_that_is_too_large_for_a_number_is_missing() -> None:
    columns = {
        ("kpi", "", NUMERATOR): np.array([1e300, 1.0]),
        ("kpi", "", DENOMINATOR): np.array([1e-300, 2.0]),
    }

    series = block(assemble(columns, stamps(2)))

    assert np.array_equal(series.value, [[np.nan, 0.5]], equal_nan=True)


def test_a_distance_that_is_too_large_for_a_number_is_the_largest_there_is() -> None:
    index = stamps(64)
    values = np.where(np.arange(64) < 40, 1e-200 * noise(1, 64), 1e200)

    finding = only(anomaly.check(pd.Series(values, index), released_at=index[40]))

    assert finding.flagged is not None
    assert finding.flagged.worst_z == np.finfo(float).max


def test_a_control_that_moved_in_one_stretch_alone_is_no_crash() -> None:
    index = stamps(212)
    frame = pd.DataFrame({"kpi": noise(1, 212), "control": 0.0}, index)
    frame.iloc[190, 1] = 1.0

    report = anomaly.check(frame, released_at=index[200], controls=["control"])

    assert Verdict.ERROR not in [finding.verdict for finding in report.findings]


def test_an_effect_of_any_size_is_held_against_a_control_that_moved() -> None:
    index = stamps(64)
    frame = pd.DataFrame({"kpi": np.exp(noise(1, 64)), "control": np.exp(noise(2, 64))}, index)
    frame.iloc[40:] *= [1e200, 100.0]

    report = anomaly.check(frame, released_at=index[40], controls=["control"])

    assert Verdict.ERROR not in [finding.verdict for finding in report.findings]


def test_a_kpi_below_zero_is_held_against_a_control_that_moved() -> None:
    index = stamps(64)
    frame = pd.DataFrame({"kpi": -10 + noise(1, 64), "control": 10 + noise(2, 64)}, index)
    frame.iloc[40:] -= [3.0, 9.0]

    report = anomaly.check(frame, released_at=index[40], controls=["control"])

    low, high = finding_of(report, "kpi").effect_absolute_interval or (np.nan, np.nan)
    assert low < high


def test_a_kpi_that_hardly_answers_is_held_against_a_control_that_does() -> None:
    index = stamps(402)
    frame = pd.DataFrame({"kpi": noise(1, 402)}, index)
    frame["control"] = frame["kpi"] + 0.1 * noise(2, 402)
    frame.loc[np.arange(402) % 5 > 1, "kpi"] = np.nan
    frame.loc[index[400:], "kpi"] = np.nan

    report = anomaly.check(frame, released_at=index[400], controls=["control"])

    assert Verdict.ERROR not in [finding.verdict for finding in report.findings]
