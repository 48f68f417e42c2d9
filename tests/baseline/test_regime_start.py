"""Only the part of the history that is like the present teaches the baseline."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import anomaly
from anomaly.baseline.regime_start import regime_starts, since_regime_start, switched_on
from anomaly.baseline.seasonal import SeasonalBaseline
from anomaly.model import Calendar, Kpi, Verdict
from anomaly.panel import DENOMINATOR, NUMERATOR, assemble
from anomaly.scoring.timeline import timeline
from tests.support.simulations import Floats, frame, noise, only, stamps

BEFORE, WATCH, NEW = 14 * 96, 24, 2 * 96  # steps of a quarter of an hour
ROWS = BEFORE + WATCH
INDEX = stamps(ROWS, "15min")


def usual(seed: int) -> Floats:
    return 100 + 20 * np.sin(2 * np.pi * np.arange(ROWS) / 96) + 3 * noise(seed, ROWS)


def changed(how: str, seed: int) -> Floats:
    """A series that is another one since two days before the release."""
    values, old = usual(seed), np.arange(ROWS) < BEFORE - NEW
    return np.where(
        old,
        {
            "off": np.zeros(ROWS),
            "scaled": values / 1000,
            "lower": values / 8,
            "absent": np.full(ROWS, np.nan),
        }[how],
        values,
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", ["off", "scaled", "lower", "absent"])
def test_a_series_that_is_new_since_two_days_passes_and_still_shows_a_loss(how: str) -> None:
    quiet = np.column_stack([changed(how, seed) for seed in range(20)])
    lost = quiet.copy()
    lost[BEFORE:] *= 0.4

    verdicts = [
        [f.verdict for f in anomaly.check(frame(v, INDEX), released_at=INDEX[BEFORE]).findings]
        for v in (quiet, lost)
    ]

    assert verdicts[0].count(Verdict.OK) >= 19
    assert verdicts[1].count(Verdict.REGRESSED) >= 18


@pytest.mark.parametrize(("hours", "cuts"), [(24, False), (60, True)])
def test_a_move_is_a_new_regime_once_it_has_lasted_a_night_and_a_day(
    hours: int, cuts: bool
) -> None:
    values = 100 + noise(3, 28 * 288)
    values[-hours * 12 :] *= 5
    index = stamps(28 * 288 + 24, "5min")
    values = np.append(values, values[-24:])

    finding = only(anomaly.check(frame(values[:, None], index), released_at=index[-24]))

    assert (finding.evidence.history_since is not None) == cuts
    assert finding.verdict is (Verdict.OK if cuts else Verdict.INCONCLUSIVE)


def test_the_verdict_says_since_when_the_history_counts() -> None:
    report = anomaly.check(frame(changed("off", 1)[:, None], INDEX), released_at=INDEX[BEFORE])

    since = only(report).evidence.history_since
    assert since is not None
    assert INDEX[BEFORE - NEW].date() <= since.date() <= INDEX[BEFORE - NEW + 96].date()


def test_an_incident_of_the_last_hours_is_not_taken_for_normal() -> None:
    values = usual(3)
    values[BEFORE - 12 :] *= 10

    assert (
        only(anomaly.check(frame(values[:, None], INDEX), released_at=INDEX[BEFORE])).verdict
        is Verdict.INCONCLUSIVE
    )


@pytest.mark.slow
@given(st.integers(0, 10_000), st.sampled_from([1e-9, 1.0, 1e12]), st.integers(64, 400))
def test_a_series_that_goes_on_as_it_was_keeps_its_history(
    seed: int, unit: float, least: int
) -> None:
    assert regime_starts(unit * usual(seed)[None, :BEFORE], least)[0] == 0


def on(*stretches: tuple[int, float]) -> Floats:
    """Stretches of so many steps of a value, one after the other."""
    return np.concatenate([np.full(steps, value) for steps, value in stretches])[None, :]


@pytest.mark.parametrize(
    ("values", "first"),
    [
        (on((1000, 0.0), (30, 7.0)), 1000),
        (on((500, np.nan), (500, 0.0), (30, 7.0)), 1000),
        (on((500, 0.0), (2, 7.0), (498, 0.0), (30, 7.0)), 1000),  # it was tried out before
        (on((1000, 0.0), (10, 7.0), (2, 0.0), (18, 7.0)), 1000),  # with a short break
        (on((1000, 0.0), (4, 7.0)), 0),  # too short to be a state
        (on((1000, 0.0), (30, 7.0), (10, 0.0)), 0),  # over
        (on((500, 0.0), (20, 7.0), (480, 0.0), (30, 7.0)), 0),  # a job that runs now and then
        (on((1000, 0.0)), 0),
        (on((1000, 7.0)), 0),
        (on((1000, np.nan), (30, 7.0)), 0),  # nothing was measured, which is not nothing
    ],
)
def test_a_series_is_switched_on_where_it_was_nothing_until_a_short_time_ago(
    values: Floats, first: int
) -> None:
    assert switched_on(values).tolist() == [first]


def test_a_new_series_is_judged_alike_beside_old_ones_and_alone() -> None:
    new = changed("absent", 1)
    new[: BEFORE - 30] = np.nan
    fallen = np.where(np.arange(ROWS) < BEFORE, new, 0.3 * new)
    beside = np.column_stack([usual(2), fallen, usual(3)])

    alone = only(anomaly.check(frame(fallen[:, None], INDEX), released_at=INDEX[BEFORE]))
    findings = anomaly.check(frame(beside, INDEX), released_at=INDEX[BEFORE]).findings

    assert [each.verdict for each in findings] == [Verdict.OK, Verdict.REGRESSED, Verdict.OK]
    assert alone.verdict is Verdict.REGRESSED
    assert findings[1].effect == pytest.approx(alone.effect, rel=0.02)


def test_how_many_new_series_there_are_changes_nothing_about_one() -> None:
    new = [np.where(np.arange(ROWS) < BEFORE - age, np.nan, usual(age)) for age in (30, 37)]
    few = np.column_stack([usual(2), new[0]])
    more = np.column_stack([few, new[1], usual(3)])

    one, another = (
        anomaly.check(frame(values, INDEX), released_at=INDEX[BEFORE]).findings[1]
        for values in (few, more)
    )

    assert (one.effect, one.effect_interval) == (another.effect, another.effect_interval)
    assert one.evidence.answers == another.evidence.answers


def test_a_short_history_of_something_has_not_just_begun() -> None:
    index = stamps(60, "1min")
    values = 100 + noise(4, 60)

    finding = only(anomaly.check(frame(values[:, None], index), released_at=index[50]))

    assert finding.verdict is Verdict.OK


@pytest.mark.parametrize("idle", [0.0, 0.6, 0.9])
def test_a_ratio_without_traffic_is_as_old_as_its_samples(idle: float) -> None:
    visits = np.where(np.arange(ROWS) < idle * BEFORE, 0.0, np.round(usual(4)))
    panel = assemble(
        {("k", "", NUMERATOR): np.round(visits / 10), ("k", "", DENOMINATOR): visits}, INDEX
    )
    history, observation = panel.iloc[:BEFORE], panel.iloc[BEFORE:]
    base = SeasonalBaseline().fit(history, [Kpi("k")], Calendar())

    first = timeline(base, history, observation, 0).origins[0]

    assert since_regime_start(history, WATCH).ages.tolist() == [0]
    assert first < BEFORE // 8
