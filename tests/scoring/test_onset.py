"""When a change began, how sure that is, and whether it can be the release's: seeded simulations
with stated bounds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import anomaly
from anomaly.baseline.noise import ORDER
from anomaly.model import ChangeKind, Finding, ReleaseVerdict, Verdict
from anomaly.reporting.report import Report
from anomaly.scoring.onset import _filtered, _sums_from
from tests.support.draws import Limit
from tests.support.simulations import Floats, frame, noise, remembering, stamps

BEFORE, WATCHED, GAP, COLUMNS = 7 * 288, 72, 2, 40  # steps of five minutes
ROWS = BEFORE + GAP + WATCHED
STEP = timedelta(minutes=5)
INDEX = stamps(ROWS, "5min")
TWO = Limit(2, of=COLUMNS, first=22, early=0)
FOUR = Limit(4, of=COLUMNS, first=16, early=0)


def reported(values: Floats, rows: int = ROWS) -> Report:
    """The report on series around 100 with a standard deviation of 1; two steps of warm-up after a
    release at once."""
    return anomaly.check(
        frame(100 + values[:rows], INDEX[:rows]),
        released_at=INDEX[BEFORE],
        warmup=GAP * STEP,
        correction="benjamini-hochberg",
    )


def judged(values: Floats, rows: int = ROWS) -> tuple[Finding, ...]:
    """The findings of such series."""
    return reported(values, rows).findings


def share(findings: tuple[Finding, ...], *verdicts: Verdict) -> float:
    return sum(finding.verdict in verdicts for finding in findings) / len(findings)


def having(values: Floats, *verdicts: Verdict) -> Callable[[slice], int]:
    """Counts the series with one of the verdicts among some of them. Fewer quiet series beside each
    other are each called more easily than many."""
    return lambda some: sum(each.verdict in verdicts for each in judged(values[:, some]))


def without(values: Floats, *verdicts: Verdict) -> Callable[[slice], int]:
    """Counts those with none of them. Where nearly all moved, each has the level that it has alone,
    however many there are."""
    return lambda some: sum(each.verdict not in verdicts for each in judged(values[:, some]))


@pytest.mark.slow
@pytest.mark.parametrize("first", [BEFORE, BEFORE + GAP + 20])
@pytest.mark.parametrize("sigma", [2, 3, 5])
@pytest.mark.parametrize("memory", [0.0, 0.6])
def test_the_interval_holds_the_true_onset(memory: float, sigma: float, first: int) -> None:
    values = remembering(memory, 1, ROWS, COLUMNS)
    values[first:] += sigma

    ends = [
        finding.onset_interval for finding in judged(values) if finding.verdict is Verdict.REGRESSED
    ]

    assert len(ends) >= 0.6 * COLUMNS
    assert sum(end is not None and end[0] <= INDEX[first] <= end[1] for end in ends) >= 0.925 * len(
        ends
    )


@pytest.mark.slow
@pytest.mark.parametrize(("memory", "widest"), [(0.0, 2), (0.6, 2)])
def test_a_large_shift_is_dated_to_its_step(memory: float, widest: int) -> None:
    values = remembering(memory, 2, ROWS, COLUMNS)
    values[BEFORE + GAP + 20 :] += 5

    def wider(some: slice) -> int:
        ends = [finding.onset_interval for finding in judged(values[:, some])]
        return sum(end is None or end[1] - end[0] > widest * STEP for end in ends)

    assert FOUR.excess(wider) == 0


@pytest.mark.slow
def test_the_onset_is_within_its_interval() -> None:
    values = remembering(0.6, 3, ROWS, COLUMNS)
    values[BEFORE + 10 :] += 2.5

    for finding in judged(values):
        if finding.onset is not None:
            assert finding.onset_interval is not None
            assert finding.onset_interval[0] <= finding.onset <= finding.onset_interval[1]


@pytest.mark.slow
def test_what_is_not_a_finding_has_no_onset() -> None:
    assert {
        finding.onset_interval
        for finding in judged(noise(4, ROWS, COLUMNS))
        if finding.verdict is Verdict.OK
    } == {None}


def test_a_factor_on_a_rhythm_is_dated_to_its_step_and_is_no_ramp() -> None:
    index = stamps(29 * 96, "15min")
    rhythm = 1 - 0.7 * np.cos(2 * np.pi * np.arange(len(index)) / 96)
    values = 5000 * rhythm + 50 * np.sqrt(rhythm) * noise(13, len(index))
    night = 28 * 96  # least happens
    values[night:] *= 0.6

    finding = anomaly.check(
        pd.Series(values, index), released_at=index[night - 48], direction="down"
    ).findings[0]

    assert finding.kind is ChangeKind.LEVEL
    assert finding.onset is not None
    assert abs(finding.onset - index[night]) <= timedelta(minutes=30)


# --- whose change it is -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("memory", [0.0, 0.6])
@pytest.mark.parametrize("earlier", [12, 40])
def test_a_release_inside_an_earlier_incident_is_left_open(memory: float, earlier: int) -> None:
    values = remembering(memory, 5, ROWS, COLUMNS)
    values[BEFORE - earlier :] += 4

    findings = judged(values)

    assert share(findings, Verdict.INCONCLUSIVE) >= 0.95
    assert share(findings, Verdict.OK) == 0
    left = next(finding for finding in findings if finding.verdict is Verdict.INCONCLUSIVE)
    assert left.onset_interval is not None
    assert left.onset_interval[1] < INDEX[BEFORE]
    assert "before the release, which made it no worse" in left.reason


@pytest.mark.slow
@pytest.mark.parametrize("memory", [0.0, 0.6])
def test_a_release_that_makes_an_incident_worse_is_blamed(memory: float) -> None:
    values = remembering(memory, 6, ROWS, COLUMNS)
    values[BEFORE - 20 :] += 4
    values[BEFORE:] += 5

    assert TWO.excess(without(values, Verdict.REGRESSED)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("memory", [0.0, 0.6])
def test_a_change_the_other_way_does_not_take_the_blame(memory: float) -> None:
    values = remembering(memory, 7, ROWS, COLUMNS)
    values[BEFORE - 400 :] += 5
    values[BEFORE:] -= 8

    def wrong(some: slice) -> int:
        """Those that are not blamed, or dated to the change before."""
        return sum(
            finding.verdict is not Verdict.REGRESSED
            or finding.onset_interval is None
            or finding.onset_interval[0] < INDEX[BEFORE - 2]
            for finding in judged(values[:, some])
        )

    assert TWO.excess(wrong) == 0


@pytest.mark.slow
def test_a_jump_in_a_short_transition_shows_under_a_strong_autocorrelation() -> None:
    values = remembering(0.95, 8, ROWS, COLUMNS)
    values[BEFORE - 400 :] += 4
    values[BEFORE:] += 6

    assert TWO.excess(without(values, Verdict.REGRESSED)) == 0


@pytest.mark.slow
def test_an_outage_that_began_before_the_release_is_left_open() -> None:
    values = noise(7, ROWS, COLUMNS)
    values[BEFORE - 12 :] = -100  # nothing at all

    findings = judged(values)

    assert share(findings, Verdict.INCONCLUSIVE) == 1
    assert {finding.onset for finding in findings} == {INDEX[BEFORE - 12].to_pydatetime()}


def drifting(memory: float, steps: int, sigma: float) -> Floats:
    """Series that drifted by so many standard deviations in the last steps before the release, and
    drift on."""
    values = remembering(memory, 2, ROWS, COLUMNS)
    values[BEFORE - steps :] += sigma / steps * np.arange(1.0, steps + GAP + WATCHED + 1)[:, None]
    return values


@pytest.mark.slow
@pytest.mark.parametrize("memory", [0.0, 0.6])
@pytest.mark.parametrize(
    ("steps", "sigma"), [(144, 3), (150, 4), (288, 3), (288, 6), (864, 3), (864, 6)]
)
def test_a_drift_already_under_way_is_not_blamed_on_the_release(
    memory: float, steps: int, sigma: float
) -> None:
    values = drifting(memory, steps, sigma)

    assert TWO.excess(having(values, Verdict.REGRESSED, Verdict.RECOVERED)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("memory", [0.0, 0.6])
def test_a_release_that_adds_a_step_to_a_drift_is_blamed(memory: float) -> None:
    values = drifting(memory, 288, 3)
    values[BEFORE:] += 4

    assert TWO.excess(without(values, Verdict.REGRESSED)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("memory", [0.0, 0.6])
def test_a_drift_that_the_release_began_is(memory: float) -> None:
    values = remembering(memory, 5, ROWS, COLUMNS)
    values[BEFORE:] += np.linspace(0, 6, GAP + WATCHED)[:, None]

    assert FOUR.excess(without(values, Verdict.REGRESSED)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["random walk", "two regimes"])
def test_a_level_that_always_wandered_is_blamed_on_no_release(kind: str) -> None:
    values = noise(10, ROWS, COLUMNS)
    if kind == "random walk":
        values += np.cumsum(0.3 * noise(9, ROWS, COLUMNS), axis=0)
    else:
        values += 4 * (np.sin(np.arange(ROWS) / 40) > 0)[:, None]

    assert TWO.excess(having(values, Verdict.REGRESSED)) == 0


@pytest.mark.slow
def test_one_point_after_the_release_is_dated_to_itself() -> None:
    values = noise(6, ROWS, COLUMNS)
    values[BEFORE + GAP] += 8

    findings = judged(values, BEFORE + GAP + 1)

    assert share(findings, Verdict.REGRESSED) >= 0.95
    assert {finding.onset for finding in findings if finding.onset} == {
        INDEX[BEFORE + GAP].to_pydatetime()
    }


@pytest.mark.parametrize(
    ("options", "verdict"),
    [
        ({"direction": "up"}, Verdict.INCONCLUSIVE),
        ({"direction": "up", "floor": 500}, Verdict.OK),
        ({"direction": "up", "tolerance": "500%"}, Verdict.OK),
        ({"direction": "down"}, Verdict.OK),
    ],
)
def test_what_was_bad_for_a_day_before_the_release_is_not_ok(
    options: dict[str, Any], verdict: Verdict
) -> None:
    index = stamps(28 * 24 + 24, "1h")
    values = 100 + 3 * noise(12, len(index))
    values[28 * 24 - 34 :] *= 5

    finding = anomaly.check(
        pd.Series(values, index), released_at=index[28 * 24], **options
    ).findings[0]

    assert finding.verdict is verdict
    if verdict is Verdict.INCONCLUSIVE:
        assert finding.onset == index[28 * 24 - 34]
        assert "times its usual level since about" in finding.reason


# --- whether it is over -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("memory", "sigma", "least"), [(0.0, 3, 0.95), (0.0, 5, 0.95), (0.6, 3, 0.85), (0.6, 5, 0.95)]
)
def test_what_recovers_at_half_the_watch_has_recovered_and_is_never_silently_ok(
    memory: float, sigma: float, least: float
) -> None:
    values = remembering(memory, 4, ROWS, COLUMNS)
    values[BEFORE : BEFORE + GAP + WATCHED // 2] += sigma

    findings = judged(values)

    assert share(findings, Verdict.RECOVERED) >= least
    assert share(findings, Verdict.OK, Verdict.INCONCLUSIVE) == 0


@pytest.mark.slow
def test_the_calm_after_a_change_does_not_hide_that_it_was_over_the_line() -> None:
    values = 100 + 3 * noise(12, ROWS, COLUMNS)
    values[BEFORE : BEFORE + GAP + 27] += 15  # 15 % until then, 5.6 % over the watch

    report = anomaly.check(
        frame(values, INDEX),
        released_at=INDEX[BEFORE],
        warmup=GAP * STEP,
        direction="up",
        tolerance=0.06,
    )

    assert share(report.findings, Verdict.RECOVERED) >= 0.95
    assert "back to normal since 02:" in report.findings[0].reason


@pytest.mark.slow
def test_what_lasts_to_the_end_has_not_recovered() -> None:
    values = noise(8, ROWS, COLUMNS)
    values[BEFORE + 20 :] += 3

    report = reported(values)

    assert share(report.findings, Verdict.RECOVERED) == 0
    assert report.verdict is ReleaseVerdict.FAIL


@pytest.mark.slow
def test_spikes_are_dated_by_themselves() -> None:
    """A step in ten is far above, from an hour after the transition on; none before."""
    values = noise(11, ROWS, 10)
    first = BEFORE + GAP + 12
    values[first::10] += 25

    findings = judged(values)

    assert {finding.kind for finding in findings} == {ChangeKind.SPIKES}
    assert [finding.onset == INDEX[first] for finding in findings].count(True) >= 9


@pytest.mark.slow
@pytest.mark.parametrize("slide", [1, 500])
def test_a_long_watch_is_dated_as_a_short_one(monkeypatch: pytest.MonkeyPatch, slide: int) -> None:
    index = stamps(3000, "1min")
    values = noise(5, 3000)
    values[1000:] += 3 * np.minimum(np.arange(1, 2001) / slide, 1)
    series = pd.Series(100 + values, index)

    monkeypatch.setattr("anomaly.scoring.onset.ONE_BY_ONE", len(index))
    one_by_one = anomaly.check(series, released_at=index[900]).findings[0]
    monkeypatch.setattr("anomaly.scoring.onset.ONE_BY_ONE", 0)
    from_each_other = anomaly.check(series, released_at=index[900]).findings[0]

    assert one_by_one.onset is not None
    assert one_by_one == from_each_other


@pytest.mark.parametrize("is_squared", [False, True])
@given(st.integers(ORDER + 2, 900), st.floats(-0.9, 0.9), st.booleans())
def test_sums_over_a_shape_are_the_same_one_by_one_and_from_each_other(
    is_squared: bool, length: int, phi: float, is_ramp: bool
) -> None:
    values, autoregression = noise(length, length), phi / 2 ** np.arange(1.0, ORDER + 1)
    shape = _filtered(
        np.arange(1.0, length + 1) / 7 if is_ramp else np.ones(length), autoregression
    )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("anomaly.scoring.onset.ONE_BY_ONE", length)
        one_by_one = _sums_from(values, shape, is_squared=is_squared)
        patch.setattr("anomaly.scoring.onset.ONE_BY_ONE", 0)
        from_each_other = _sums_from(values, shape, is_squared=is_squared)

    scale = np.abs(shape).max() ** (2 if is_squared else 1) * np.abs(values).sum()
    assert np.abs(one_by_one - from_each_other).max() < 1e-9 * scale


@pytest.mark.slow
def test_a_watch_of_many_steps_is_judged_in_seconds() -> None:
    index = stamps(101_000, "1min")  # with the square of the steps it takes minutes
    values = noise(6, len(index))
    values[1000:] += 3

    finding = anomaly.check(pd.Series(100 + values, index), released_at=index[1000]).findings[0]

    assert finding.onset == index[1000]
