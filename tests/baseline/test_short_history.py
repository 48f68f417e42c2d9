"""A short history is no reason to be sure: bounds are wider, larger changes hide, and it is
said."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

import anomaly
from anomaly.cli.explanation import explanation
from anomaly.model import ReleaseVerdict
from anomaly.reporting.report import Report
from tests.support.simulations import frame, noise, stamps

STEPS, WATCH, DAYS, SERIES = 48, 24, 28, 40
ROWS = DAYS * STEPS + WATCH
INDEX = stamps(ROWS, "30min")
RELEASED = INDEX[DAYS * STEPS]
VALUES = frame(
    np.column_stack(
        [
            100 + 20 * np.sin(2 * np.pi * np.arange(ROWS) / STEPS) + 3 * noise(seed, ROWS)
            for seed in range(SERIES)
        ]
    ),
    INDEX,
)


def judged(days: int) -> Report:
    """The same series and watch with the last `days` of the history alone."""
    return anomaly.check(VALUES.iloc[(DAYS - days) * STEPS :], released_at=RELEASED)


def widths(report: Report) -> tuple[float, float, float]:
    """Typical width of the band and of the interval of the effect, and the detectable effect."""
    intervals = [each.effect_interval for each in report.findings if each.effect_interval]
    detectable = [each.detectable_effect for each in report.findings if each.detectable_effect]
    band = (report.points["upper"] - report.points["lower"]).median()
    return (
        float(band),
        float(np.median([high - low for low, high in intervals])),
        float(np.median(detectable)),
    )


@pytest.mark.slow
def test_bounds_are_wider_the_shorter_the_history_is() -> None:
    by_days = np.array([widths(judged(days)) for days in (1, 3, 7, 28)])

    assert (by_days[:-1] > 1.05 * by_days[1:]).all()


@pytest.mark.slow
@pytest.mark.parametrize("days", [1, 3])
def test_a_short_history_is_said_and_alarms_no_more_often(days: int) -> None:
    report = judged(days)

    said = (
        f"short history: {days * STEPS} steps are only {days * 2} watches of 24, "
        "so the intervals are wider"
    )
    assert {each.notes[0] for each in report.findings} == {said}
    assert report.verdict is ReleaseVerdict.PASS


@pytest.mark.slow
def test_a_long_history_is_not_called_short() -> None:
    assert {each.notes for each in judged(28).findings} == {()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("days", "said"),
    [
        (1, "; too short for a daily or weekly pattern"),
        (14, "; too short for a weekly pattern"),
        (28, ""),
    ],
)
def test_the_explanation_says_which_rhythm_can_not_be_known(days: int, said: str) -> None:
    report = judged(days)

    words = " ".join(explanation(report.findings[0], report).split())

    assert f"({days}d, step 30m){said} observed" in words
    assert report.baseline.length == timedelta(days=days)
