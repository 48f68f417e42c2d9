"""Special days and spans to leave out: they neither teach nor are judged, and are never taken for gaps."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

import anomaly
from anomaly.baseline.occasions import occasions
from anomaly.model import Calendar, ReleaseVerdict, SpecialDay, Verdict
from tests.math.simulations import Floats, frame, noise, only, stamps

BEFORE, WATCH = 21 * 48, 24  # half-hourly steps
ROWS = BEFORE + WATCH
INDEX = stamps(ROWS, "30min")
RELEASED = INDEX[BEFORE]
RHYTHM = 100 + 20 * np.sin(2 * np.pi * np.arange(ROWS) / 48)


def usual(seed: int) -> Floats:
    return RHYTHM + 3 * noise(seed, ROWS)


def test_an_incident_that_is_left_out_no_longer_hides_a_shift() -> None:
    values = np.column_stack([usual(seed) for seed in range(12)])
    values[BEFORE - 12 * 48 : BEFORE - 5 * 48] += 60
    values[BEFORE:] += 8
    incident = [(INDEX[BEFORE - 12 * 48], INDEX[BEFORE - 5 * 48])]

    hidden = anomaly.check(frame(values, INDEX), released_at=RELEASED).findings
    found = anomaly.check(frame(values, INDEX), released_at=RELEASED, leave_out=incident).findings

    assert sum(f.verdict is Verdict.REGRESSED for f in found) >= 11 > sum(f.verdict is Verdict.REGRESSED for f in hidden)


def test_what_is_left_out_is_no_gap_neither_before_nor_after() -> None:
    values = np.column_stack([usual(seed) for seed in range(40)])
    spans = [(INDEX[BEFORE - 96], INDEX[BEFORE - 40]), (INDEX[BEFORE + 3], INDEX[BEFORE + 9])]

    report = anomaly.check(frame(values, INDEX), released_at=RELEASED, leave_out=spans)

    assert {finding.verdict for finding in report.findings} == {Verdict.OK}
    assert report.findings[0].notes == ("6 of 24 steps are not judged: left out",)
    assert report.findings[0].steps == 18
    assert len(report.points) == 18 * 40


def test_a_real_gap_beside_a_span_that_is_left_out_is_still_seen() -> None:
    values = usual(1)
    values[BEFORE + 6 :] = np.nan

    finding = only(anomaly.check(frame(values[:, None], INDEX), released_at=RELEASED, leave_out=[(INDEX[BEFORE - 96], INDEX[BEFORE - 40])]))

    assert finding.verdict is Verdict.NO_DATA


@pytest.mark.parametrize("factor", [1.0, 0.4])
def test_a_release_on_a_special_day_is_neither_passed_nor_blamed(factor: float) -> None:
    values = usual(2)
    values[BEFORE:] *= factor

    report = anomaly.check(frame(values[:, None], INDEX), released_at=RELEASED, special_days=[RELEASED.date()])

    assert report.verdict is ReleaseVerdict.INCONCLUSIVE
    assert only(report).reason.startswith("24 of 24 steps are not judged: special day")


def test_special_days_are_those_of_the_users_time_zone() -> None:
    values = usual(3)[:, None]
    there = "Asia/Tokyo"  # at midnight in UTC their day has lasted for nine hours

    day = RELEASED.tz_convert(there).date()
    today = anomaly.check(frame(values, INDEX), released_at=RELEASED, special_days=[day], timezone=there)
    tomorrow = anomaly.check(frame(values, INDEX), released_at=RELEASED, special_days=[day + timedelta(days=1)], timezone=there)

    assert (only(today).steps, only(tomorrow).steps) == (0, 24)
    assert only(tomorrow).verdict is Verdict.OK


def test_days_that_are_not_there_change_nothing() -> None:
    values = usual(4)[:, None]

    plain = anomaly.check(frame(values, INDEX), released_at=RELEASED)
    other = anomaly.check(frame(values, INDEX), released_at=RELEASED, special_days=[date(1999, 1, 1)])

    assert plain.findings == other.findings


@pytest.mark.parametrize(
    ("timezone", "day", "steps"),
    [("America/Santiago", date(2025, 9, 7), 46), ("America/Havana", date(2025, 11, 2), 50), ("Europe/Berlin", date(2025, 10, 26), 50)],
)
def test_a_special_day_may_be_the_one_on_which_the_clocks_change(timezone: str, day: date, steps: int) -> None:
    index = stamps(96 * 4, "30min", start=str(day - timedelta(days=3)))

    why = occasions(index, timedelta(minutes=30), Calendar(timezone, (SpecialDay(day, "clocks change"),)))

    assert int((why == "clocks change").sum()) == steps
