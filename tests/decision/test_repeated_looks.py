"""`false_alarms` is promised for all looks of a watch together, however often one looks."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

import anomaly
from anomaly.model import Verdict
from tests.support.simulations import Floats, frame, noise, remembering, stamps

SERIES, ALARMS = 150, 0.05
BEFORE, WATCH, LOOKS = 14 * 48, 48, 12  # half-hourly steps
ROWS = BEFORE + WATCH
INDEX = stamps(ROWS, "30min")
WATCHED = timedelta(hours=24)
NOISE = {"independent": noise(1, ROWS, SERIES), "remembering": remembering(0.8, 2, ROWS, SERIES)}


def first_alarm(values: Floats, looks: int = LOOKS) -> Floats:
    """At which of the first `looks` of 12 each series has a p-value below the level of a release of
    its own; infinity if at none."""
    first = np.full(values.shape[1], np.inf)
    for look in range(1, looks + 1):
        rows = BEFORE + look * WATCH // LOOKS
        report = anomaly.check(
            frame(values[:rows], INDEX[:rows]), released_at=INDEX[BEFORE], watch=WATCHED
        )
        assert report.final == (look == LOOKS)
        alarmed = np.array(
            [
                finding.p_value is not None and finding.p_value < ALARMS
                for finding in report.findings
            ]
        )
        first = np.where(alarmed & np.isinf(first), look, first)
    return first


@pytest.mark.slow
@pytest.mark.parametrize("kind", NOISE)
def test_twelve_looks_together_alarm_no_more_than_promised(kind: str) -> None:
    share = np.isfinite(first_alarm(100 + NOISE[kind])).mean()

    error = np.sqrt(ALARMS * (1 - ALARMS) / SERIES)
    assert share <= 1.5 * ALARMS + 2 * error


@pytest.mark.slow
@pytest.mark.parametrize("kind", NOISE)
def test_a_large_shift_is_found_before_half_of_the_watch(kind: str) -> None:
    values = 100 + NOISE[kind][:, :25].copy()
    values[BEFORE:] += 6

    assert np.isfinite(first_alarm(values, LOOKS // 2)).mean() >= 0.9


@pytest.mark.slow
def test_a_look_without_alarm_stays_open_until_the_last() -> None:
    values = 100 + NOISE["independent"][:, 0]

    verdicts = []
    for rows in range(BEFORE + 4, ROWS + 1, 4):
        report = anomaly.check(
            frame(values[:rows, None], INDEX[:rows]), released_at=INDEX[BEFORE], watch=WATCHED
        )
        verdicts.append(report.findings[0].verdict)

    assert verdicts == [Verdict.INCONCLUSIVE] * 11 + [Verdict.OK]
