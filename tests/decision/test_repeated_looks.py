"""`false_alarms` is promised for all looks of a watch together, however often one looks."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

import anomaly
from anomaly.model import Verdict
from tests.support.draws import Limit
from tests.support.simulations import Floats, frame, noise, remembering, stamps

SERIES, ALARMS = 150, 0.05
FEW = Limit(16, of=SERIES, first=37, early=1)  # 7.5 %, and twice the error of 5 %
BEFORE, WATCH, LOOKS = 14 * 48, 48, 12  # half-hourly steps
ROWS = BEFORE + WATCH
INDEX = stamps(ROWS, "30min")
WATCHED = timedelta(hours=24)
NOISE = {"independent": noise(1, ROWS, SERIES), "remembering": remembering(0.8, 2, ROWS, SERIES)}


def alarmed(values: Floats, looks: int = LOOKS) -> int:
    """How many series have a p-value below the level of a release of their own at any of the first
    `looks` of 12. Each has the p-values that it has alone: one that alarmed is looked at no more.
    """
    quiet = np.arange(len(values.T))
    for look in range(1, looks + 1):
        rows = BEFORE + look * WATCH // LOOKS
        report = anomaly.check(
            frame(values[:rows, quiet], INDEX[:rows]), released_at=INDEX[BEFORE], watch=WATCHED
        )
        assert report.final == (look == LOOKS)
        p_values = [finding.p_value for finding in report.findings]
        quiet = quiet[[p_value is None or p_value >= ALARMS for p_value in p_values]]
        if not len(quiet):
            break
    return len(values.T) - len(quiet)


@pytest.mark.slow
@pytest.mark.parametrize("kind", NOISE)
def test_twelve_looks_together_alarm_no_more_than_promised(kind: str) -> None:
    assert FEW.excess(lambda some: alarmed(100 + NOISE[kind][:, some])) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", NOISE)
def test_a_large_shift_is_found_before_half_of_the_watch(kind: str) -> None:
    values = 100 + NOISE[kind][:, :25].copy()
    values[BEFORE:] += 6

    assert alarmed(values, LOOKS // 2) >= 0.9 * 25


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
