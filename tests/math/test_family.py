"""The promise for a release of many KPIs: harmless ones fail no more often than said, and what one KPI shows is not drowned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import anomaly
from anomaly.model import Verdict
from tests.math.simulations import Floats, frame, noise, remembering, stamps

BEFORE, WATCH = 14 * 48, 24  # half-hourly steps
ROWS = BEFORE + WATCH
INDEX = stamps(ROWS, "30min")
DAY = np.sin(2 * np.pi * np.arange(ROWS) / 48)[:, None]
ALARMS = 0.05


def p_values(values: Floats) -> Floats:
    report = anomaly.check(frame(values, INDEX), released_at=INDEX[BEFORE])
    return np.array([finding.p_value for finding in report.findings])


def independent(families: int, kpis: int) -> Floats:
    """KPIs of three kinds, in turn."""
    count = families * kpis
    kinds = [100 + noise(21, ROWS, count), 100 + remembering(0.8, 22, ROWS, count), 100 + 20 * DAY + 3 * noise(23, ROWS, count)]
    return np.where(np.arange(count) % 3 == 0, kinds[0], np.where(np.arange(count) % 3 == 1, kinds[1], kinds[2]))


def shocked(families: int, kpis: int) -> Floats:
    """KPIs of a family that share three quarters of their noise."""
    common = np.repeat(remembering(0.6, 31, ROWS, families), kpis, axis=1)
    return np.asarray(100 + 20 * DAY + 3 * (np.sqrt(0.75) * common + np.sqrt(0.25) * noise(32, ROWS, families * kpis)))


@pytest.mark.parametrize("make", [independent, shocked])
def test_harmless_releases_fail_no_more_often_than_said_whatever_the_number_of_kpis(make: Callable[[int, int], Floats]) -> None:
    p = p_values(make(40, 20)).reshape(40, 20)

    for kpis, families in ((1, p.reshape(-1, 1)), (5, p.reshape(-1, 5)), (20, p), (100, p.reshape(-1, 100))):
        share = (families.min(axis=1) < ALARMS / kpis).mean()
        assert share <= ALARMS + 2 * np.sqrt(ALARMS * (1 - ALARMS) / len(families)), kpis


@pytest.mark.parametrize("kind", ["independent", "remembering", "daily"])
def test_one_shift_of_three_sigma_among_twenty_kpis_is_found(kind: str) -> None:
    values = {
        "independent": 100 + noise(41, ROWS, 60),
        "remembering": 100 + remembering(0.5, 42, ROWS, 60),
        "daily": 100 + 20 * DAY + noise(43, ROWS, 60),
    }[kind]
    values[BEFORE:] += 3

    assert (p_values(values) < 0.01 / 20).mean() >= 0.8


@pytest.mark.parametrize("kpis", [1, 20])
@pytest.mark.parametrize("kind", ["independent", "remembering", "daily"])
def test_the_detectable_effect_is_detected_in_four_of_five(kind: str, kpis: int) -> None:
    count = 80
    values = {
        "independent": 100 + noise(51, ROWS, count),
        "remembering": 100 + remembering(0.7, 52, ROWS, count),
        "daily": 100 + 20 * DAY + 3 * remembering(0.3, 53, ROWS, count),
    }[kind]
    alarms = 0.01 * count / kpis  # every KPI gets the level that it would have among so many

    quiet = anomaly.check(frame(values, INDEX), released_at=INDEX[BEFORE], false_alarms=alarms).findings
    sizes = np.array([np.nan if f.detectable_absolute is None else f.detectable_absolute for f in quiet])
    passed = np.array([finding.verdict is Verdict.OK for finding in quiet])
    values[BEFORE:] += np.nan_to_num(sizes)
    found = p_values(values) < 0.01 / kpis

    assert np.isfinite(sizes[passed]).all()
    assert 0.7 <= found[passed].mean() <= 0.9
