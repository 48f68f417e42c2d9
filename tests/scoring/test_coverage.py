"""The band says what it is worth: how many past steps it would have held, judged from before, is
how many later ones it holds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import anomaly
from anomaly.cli.explanation import explanation
from anomaly.reporting.report import Report
from tests.support.simulations import Floats, frame, noise, remembering, stamps

STEPS = 48  # a day
SERIES, WATCH = 40, 2 * STEPS
AGREES = 0.01  # mean of 40 series, after the release against before
TOO_NARROW = "read its flags with care"


def daily(rows: int) -> Floats:
    return 20 * np.sin(2 * np.pi * np.arange(rows) / STEPS)


def weekly(rows: int) -> Floats:
    return np.where(np.arange(rows) // STEPS % 7 >= 5, 0.7, 1.0)


QUIET: dict[str, Callable[[int, int], Floats]] = {
    "white": lambda seed, rows: 100 + 3 * noise(seed, rows),
    "remembering": lambda seed, rows: 100 + 3 * remembering(0.6, seed, rows),
    "daily": lambda seed, rows: 100 + daily(rows) + 3 * noise(seed, rows),
    "heavy tails": lambda seed, rows: 100 + 3 * np.random.default_rng(seed).standard_t(3, rows),
    "skewed": lambda seed, rows: 100 * np.exp(0.5 * noise(seed, rows)),
    "counts": lambda seed, rows: (
        np.random.default_rng(seed).poisson(20 + 0.8 * daily(rows)).astype(float)
    ),
}


def judged(make: Callable[[int, int], Floats], days: int, watch: int = WATCH) -> Report:
    rows = days * STEPS + watch
    values = np.column_stack([make(seed, rows) for seed in range(SERIES)])
    index = stamps(rows, "30min")
    return anomaly.check(frame(values, index), released_at=index[days * STEPS])


def shares(report: Report) -> list[float]:
    return [each.coverage.share for each in report.findings if each.coverage is not None]


@pytest.mark.slow
@pytest.mark.parametrize("days", [14, 35])
@pytest.mark.parametrize("name", QUIET)
def test_the_band_holds_as_many_later_steps_as_it_says(name: str, days: int) -> None:
    report = judged(QUIET[name], days)

    said = shares(report)
    assert len(said) == SERIES
    assert {each.coverage.steps for each in report.findings if each.coverage} == {days * STEPS // 4}
    assert abs(np.mean(said) - (1 - report.points["flagged"].mean())) < AGREES
    assert sum(TOO_NARROW in " ".join(each.notes) for each in report.findings) <= SERIES * 0.05


@pytest.mark.slow
def test_a_week_that_is_known_is_part_of_it() -> None:
    report = judged(
        lambda seed, rows: (100 + daily(rows)) * weekly(rows) + 3 * noise(seed, rows), 35, 7 * STEPS
    )

    assert abs(np.mean(shares(report)) - (1 - report.points["flagged"].mean())) < AGREES


@pytest.mark.slow
def test_steps_do_not_vouch_for_themselves() -> None:
    def restless(seed: int, rows: int) -> Floats:
        """Three times as wide in the last quarter before the release, and after it."""
        return np.asarray(
            100 + noise(seed, rows) * np.where(np.arange(rows) < 21 * STEPS, 1.0, 3.0)
        )

    report = judged(restless, 28)

    assert np.mean(shares(report)) == pytest.approx(0.61, abs=0.02)  # |N| < 2.576 / 3
    notes = [" ".join(each.notes) for each in report.findings]
    assert all(
        "% of the last 336 steps before the release fell inside the 99 % band; "
        "read its flags with care" in each
        for each in notes
    )


@pytest.mark.slow
def test_rare_events_at_the_bound_of_the_band_are_inside_of_it() -> None:
    report = judged(
        lambda seed, rows: np.random.default_rng(seed).poisson(0.05, rows).astype(float), 28
    )

    lone = report.points[report.points["observed"] == 1.0]
    assert len(lone) > 100
    assert lone["flagged"].mean() < 0.1


@pytest.mark.slow
def test_a_history_too_short_to_say_says_nothing() -> None:
    assert shares(judged(QUIET["white"], 8)) == []


@pytest.mark.slow
def test_the_explanation_says_it_in_a_sentence() -> None:
    report = judged(QUIET["white"], 28)
    finding = report.findings[0]
    assert finding.coverage is not None

    words = " ".join(explanation(finding, report).split())

    share = f"{100 * finding.coverage.share:.3g} %"
    sentence = f"{share} of the last 336 steps before the release fell inside the 99 % band"
    assert sentence in words
