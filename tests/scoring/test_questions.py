"""Changes that a mean does not show: a rhythm that flattens, a few spikes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import maximum_filter1d

import anomaly
from anomaly.model import ChangeKind, Direction, Finding, Verdict
from anomaly.scoring.questions import fullest
from tests.support.draws import Limit
from tests.support.simulations import Floats, frame, noise, stamps

SERIES = 60
DAYS, WATCH = 28, 24  # of hourly steps
CALLED = (Verdict.REGRESSED, Verdict.RECOVERED)
LEVEL = 0.01  # of a series that is judged alone
FEW = 30  # series that are judged together; many share the false alarms in another way
SIX = Limit(6, of=SERIES, first=FEW, early=1)


def rhythmic(height_after: float) -> Floats:
    """Hourly series of four weeks whose day is so many times as high in the watch as before; the
    mean stays."""
    rows = DAYS * 24 + WATCH
    height = np.where(np.arange(rows) < DAYS * 24, 1.0, height_after)
    return (
        200
        + (30 * height * np.sin(2 * np.pi * np.arange(rows) / 24))[:, None]
        + 8 * noise(1, rows, SERIES)
    )


def spiky(seed: int, count: int) -> tuple[Floats, int]:
    """Steps of five minutes of noise, with `count` spikes of 5 standard deviations in the day after
    the release."""
    before, after = 14 * 288, 288
    values = 100 + noise(seed, before + after, SERIES)
    for column in values.T:
        column[
            before
            + np.random.default_rng([seed, int(column[0] * 1e6)]).choice(
                after, count, replace=False
            )
        ] += 5
    return values, before


def strongest(finding: Finding) -> list[tuple[str, int]]:
    """The questions with the strongest answers, each with its steps."""
    return [(answer.question, answer.steps) for answer in finding.evidence.answers]


def judged(values: Floats, before: int, step: str, direction: Direction) -> list[Finding]:
    """The finding of each series, judged with a few others; see `is_called`."""
    index = stamps(len(values), step)
    return [
        finding
        for first in range(0, values.shape[1], FEW)
        for finding in anomaly.check(
            frame(values[:, first : first + FEW], index),
            released_at=index[before],
            direction=direction,
            false_alarms=LEVEL * FEW,
        ).findings
    ]


def is_called(finding: Finding) -> bool:
    """Whether the series would have been called if it had been judged alone."""
    return finding.verdict in CALLED and (finding.p_value or 0.0) < LEVEL


@pytest.mark.parametrize("span", [1, 2, 3, 12, 100])
@pytest.mark.parametrize("steps", [1, 7, 300])
def test_the_fullest_stretch_is_the_maximum_filter_from_each_step_on(span: int, steps: int) -> None:
    counts = np.random.default_rng(1).normal(size=(3, steps))

    np.testing.assert_array_equal(
        fullest(counts, span),
        maximum_filter1d(counts, size=span, axis=1, origin=-(span // 2)),
    )


@pytest.mark.slow
def test_a_rhythm_that_flattens_is_found_though_the_mean_stays() -> None:
    values = rhythmic(0.3)

    def missed(some: slice) -> int:
        findings = judged(values[:, some], DAYS * 24, "1h", Direction.EITHER)
        return sum(
            not is_called(each) or ("flatter rhythm", 24) not in strongest(each)
            for each in findings
        )

    assert SIX.excess(missed) == 0


@pytest.mark.slow
def test_a_rhythm_that_goes_on_is_none_that_flattens() -> None:
    findings = judged(rhythmic(1.0), DAYS * 24, "1h", Direction.EITHER)

    assert [finding.verdict for finding in findings] == [Verdict.OK] * SERIES


@pytest.mark.slow
def test_a_few_spikes_among_many_steps_are_found_in_the_bad_direction_only() -> None:
    values, before = spiky(2, 8)

    up, down = (
        judged(values, before, "5min", direction) for direction in (Direction.UP, Direction.DOWN)
    )

    assert sum(map(is_called, up)) >= 0.9 * SERIES
    assert sum(finding.kind is ChangeKind.SPIKES for finding in up) >= 0.75 * SERIES
    assert sum(("highest values", 288) in strongest(finding) for finding in up) >= 0.9 * SERIES
    assert sum(map(is_called, down)) <= 0.1 * SERIES
    assert sum(finding.kind is ChangeKind.SPIKES for finding in down) == 0


@pytest.mark.slow
def test_after_a_night_that_is_shut_noise_is_no_larger_than_on_other_mornings() -> None:
    hours = np.arange(DAYS * 24 + 8 + 8) % 24  # released at 8:00, as it opens
    level = np.where((hours >= 8) & (hours < 18), 400.0, 0.0)[:, None]
    values = np.random.default_rng(3).poisson(level, (len(hours), 3 * SERIES)).astype(float)

    findings = judged(values, DAYS * 24 + 8, "1h", Direction.DOWN)

    assert np.mean([(finding.p_value or 0.0) < 0.05 for finding in findings]) <= 0.08
