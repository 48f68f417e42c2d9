"""Special days and spans to leave out: they neither teach nor are judged, and are never taken for
gaps."""

from __future__ import annotations

from datetime import date, timedelta
from importlib.metadata import version
from typing import Any
from zoneinfo import ZoneInfo

import holidays
import numpy as np
import pandas as pd
import pytest

import anomaly
from anomaly.baseline.exclusions import exclusion_reasons
from anomaly.checklist.checklist import Checklist
from anomaly.contracts import Collected
from anomaly.frames import panel_of
from anomaly.model import (
    Calendar,
    Holidays,
    Kpi,
    Release,
    ReleaseVerdict,
    SpecialDay,
    Verdict,
    Windows,
)
from anomaly.pipeline import check_release
from anomaly.reporting.report import Report
from anomaly.timing.special_days import special_days
from tests.support.simulations import Floats, frame, noise, only, stamps

BEFORE, WATCH = 21 * 48, 24  # half-hourly steps
ROWS = BEFORE + WATCH
INDEX = stamps(ROWS, "30min")
RELEASED = INDEX[BEFORE]
RHYTHM = 100 + 20 * np.sin(2 * np.pi * np.arange(ROWS) / 48)


def usual(seed: int) -> Floats:
    return RHYTHM + 3 * noise(seed, ROWS)


@pytest.mark.slow
def test_an_incident_that_is_left_out_no_longer_hides_a_shift() -> None:
    values = np.column_stack([usual(seed) for seed in range(12)])
    values[BEFORE - 12 * 48 : BEFORE - 5 * 48] += 60
    values[BEFORE:] += 8
    incident = [(INDEX[BEFORE - 12 * 48], INDEX[BEFORE - 5 * 48])]

    hidden = anomaly.check(frame(values, INDEX), released_at=RELEASED).findings
    found = anomaly.check(frame(values, INDEX), released_at=RELEASED, leave_out=incident).findings

    assert (
        sum(f.verdict is Verdict.REGRESSED for f in found)
        >= 11
        > sum(f.verdict is Verdict.REGRESSED for f in hidden)
    )


@pytest.mark.slow
def test_what_is_left_out_is_no_gap_neither_before_nor_after() -> None:
    values = np.column_stack([usual(seed) for seed in range(40)])
    spans = [(INDEX[BEFORE - 96], INDEX[BEFORE - 40]), (INDEX[BEFORE + 3], INDEX[BEFORE + 9])]

    report = anomaly.check(frame(values, INDEX), released_at=RELEASED, leave_out=spans)

    assert {finding.verdict for finding in report.findings} == {Verdict.OK}
    assert report.findings[0].notes == ("6 of 24 steps are excluded: left out",)
    assert report.findings[0].steps == 18
    assert len(report.points) == 18 * 40


def test_a_real_gap_beside_a_span_that_is_left_out_is_still_seen() -> None:
    values = usual(1)
    values[BEFORE + 6 :] = np.nan

    finding = only(
        anomaly.check(
            frame(values[:, None], INDEX),
            released_at=RELEASED,
            leave_out=[(INDEX[BEFORE - 96], INDEX[BEFORE - 40])],
        )
    )

    assert finding.verdict is Verdict.NO_DATA


@pytest.mark.parametrize("factor", [1.0, 0.4])
def test_a_release_on_a_special_day_is_neither_passed_nor_blamed(factor: float) -> None:
    values = usual(2)
    values[BEFORE:] *= factor

    report = anomaly.check(
        frame(values[:, None], INDEX), released_at=RELEASED, special_days=[RELEASED.date()]
    )

    assert report.verdict is ReleaseVerdict.INCONCLUSIVE
    finding = only(report)
    assert (
        finding.reason
        == "all 24 steps of the watch are excluded (special day): the past has no comparable steps"
    )
    assert (finding.steps, finding.steps_planned, finding.notes) == (0, 24, ())


def test_special_days_are_those_of_the_users_time_zone() -> None:
    values = usual(3)[:, None]
    there = "Asia/Tokyo"  # at midnight in UTC their day has lasted for nine hours

    day = RELEASED.tz_convert(there).date()
    today = anomaly.check(
        frame(values, INDEX), released_at=RELEASED, special_days=[day], timezone=there
    )
    tomorrow = anomaly.check(
        frame(values, INDEX),
        released_at=RELEASED,
        special_days=[day + timedelta(days=1)],
        timezone=there,
    )

    assert (only(today).steps, only(tomorrow).steps) == (0, 24)
    assert only(tomorrow).verdict is Verdict.OK


@pytest.mark.slow
def test_days_that_are_not_there_change_nothing() -> None:
    values = usual(4)[:, None]

    plain = anomaly.check(frame(values, INDEX), released_at=RELEASED)
    other = anomaly.check(
        frame(values, INDEX), released_at=RELEASED, special_days=[date(1999, 1, 1)]
    )

    assert plain.findings == other.findings


@pytest.mark.parametrize(
    ("timezone", "day", "steps"),
    [
        ("America/Santiago", date(2025, 9, 7), 46),
        ("America/Havana", date(2025, 11, 2), 50),
        ("Europe/Berlin", date(2025, 10, 26), 50),
    ],
)
def test_a_special_day_may_be_the_one_on_which_the_clocks_change(
    timezone: str, day: date, steps: int
) -> None:
    index = stamps(96 * 4, "30min", start=str(day - timedelta(days=3)))

    why = exclusion_reasons(
        index, timedelta(minutes=30), Calendar(timezone, (SpecialDay(day, "clocks change"),))
    )

    assert int((why == "clocks change").sum()) == steps


def test_days_and_spans_bear_the_names_that_they_are_given() -> None:
    values = usual(5)[:, None]
    there = "Pacific/Honolulu"  # their 24th of March begins with step 20 of the watch
    spans = [(INDEX[BEFORE + 3], INDEX[BEFORE + 6], "incident 4711")]

    report = anomaly.check(
        frame(values, INDEX),
        released_at=RELEASED,
        special_days={date(2025, 3, 24): "Carnival"},
        timezone=there,
        leave_out=spans,
    )

    assert only(report).notes == ("7 of 24 steps are excluded: incident 4711, Carnival",)
    assert [each.reason for each in report.left_out] == ["incident 4711", "Carnival"]


@pytest.mark.slow
def test_days_come_as_pandas_and_the_holidays_library_have_them() -> None:
    values = usual(6)[:, None]
    days = pd.date_range("2025-03-24", periods=1)
    feasts = holidays.country_holidays("GR", years=2025, language="en_US")  # the 25th of March

    by_pandas = anomaly.check(frame(values, INDEX), released_at=RELEASED, special_days=days)
    by_library = anomaly.check(
        frame(values, INDEX),
        released_at=RELEASED,
        special_days=feasts,
        timezone="Pacific/Kiritimati",
    )

    assert "special day" in only(by_pandas).reason
    assert only(by_library).notes == ("4 of 24 steps are excluded: Independence Day",)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (
            {"special_days": ["24.03.2025"]},
            r"special_days has str '24\.03\.2025'; give dates in the time zone of the users",
        ),
        (
            {"special_days": [RELEASED]},
            r"special_days has Timestamp .*; give dates in the time zone of the users",
        ),
        (
            {"leave_out": [RELEASED]},
            r"leave_out has Timestamp .*; give \(start, end\) or \(start, end, reason\)",
        ),
        (
            {"leave_out": [(RELEASED, INDEX[-1], "incident", 4711)]},
            r"leave_out has .*; give \(start, end\) or",
        ),
    ],
)
def test_what_is_no_day_and_no_span_is_said(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(anomaly.UsageError, match=complaint):
        anomaly.check(frame(usual(7)[:, None], INDEX), released_at=RELEASED, **given)


def test_holidays_are_special_days_over_all_years_in_the_users_time_zone() -> None:
    index = stamps(24 * 800, "1h", start="2024-05-01")
    calendar = Calendar(
        "Europe/Berlin",
        (SpecialDay(date(2025, 12, 24), "Christmas Eve"),),
        holidays=(Holidays("DE", "BY"),),
    )

    why = pd.Series(
        exclusion_reasons(index, timedelta(hours=1), calendar), index.tz_convert("Europe/Berlin")
    )

    named = why[why != ""]
    assert {
        name: sorted({str(day.date()) for day in named.index[named == name]})
        for name in ("Corpus Christi", "Christmas Eve")
    } == {
        "Corpus Christi": ["2024-05-30", "2025-06-19", "2026-06-04"],
        "Christmas Eve": ["2025-12-24"],
    }
    assert (named == "Corpus Christi").sum() == 72


def test_a_holiday_that_falls_on_a_weekend_is_kept_on_another_day_unless_that_is_not_wanted() -> (
    None
):
    first, last = date(2027, 7, 1), date(2027, 7, 31)

    kept, plain = (
        special_days(Calendar(holidays=(Holidays("US", observed=each),)), first, last)
        for each in (True, False)
    )

    assert kept == {
        date(2027, 7, 4): "Independence Day",
        date(2027, 7, 5): "Independence Day (observed)",
    }
    assert plain == {date(2027, 7, 4): "Independence Day"}


def test_names_of_holidays_do_not_follow_the_language_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LANGUAGE", "de")

    days = special_days(
        Calendar(holidays=(Holidays("DE"),)), date(2025, 12, 25), date(2025, 12, 25)
    )

    assert days == {date(2025, 12, 25): "Christmas Day"}


GERMAN = Calendar(holidays=(Holidays("DE"),))


def judged(start: str, calendar: Calendar) -> Report:
    """Three weeks from `start`, and half a day that is judged; the ninth day of the history is a
    bad one."""
    index = stamps(ROWS, "30min", start=start)
    values = np.column_stack([usual(seed) for seed in range(8, 16)])
    values[8 * 48 : 9 * 48] *= 0.4
    kpis = tuple(Kpi(str(name)) for name in frame(values, index))
    windows = Windows(
        timedelta(days=21),
        timedelta(0),
        timedelta(hours=12),
        timedelta(minutes=30),
        lag=timedelta(0),
    )
    checklist = Checklist(service="", sources={}, kpis=kpis, windows=windows, calendar=calendar)
    release, now = Release(index[BEFORE].to_pydatetime()), index[-1].to_pydatetime() + windows.step
    return check_release(
        checklist, release, now=now, collected=Collected(panel_of(frame(values, index), None)[0])
    )


@pytest.mark.slow
def test_a_holiday_in_the_history_does_not_teach() -> None:
    plain, without = (
        judged("2025-04-23", calendar) for calendar in (Calendar(), GERMAN)
    )  # the ninth day is the first of May

    assert {each.evidence.history_steps for each in plain.findings} == {BEFORE}
    assert {each.evidence.history_steps for each in without.findings} == {BEFORE - 48}
    assert ("holidays" in plain.made, without.made["holidays"]) == (False, version("holidays"))


def test_a_holiday_in_the_watch_is_not_judged_and_is_named() -> None:
    report = judged("2025-12-04", GERMAN)  # released on the 25th of December

    reason = (
        "all 24 steps of the watch are excluded (Christmas Day): the past has no comparable steps"
    )
    assert {each.reason for each in report.findings} == {reason}
    assert report.verdict is ReleaseVerdict.INCONCLUSIVE


def test_a_special_day_within_the_windows_is_listed_as_left_out() -> None:
    day, later = INDEX[BEFORE - 5 * 48].date(), INDEX[-1].date() + timedelta(days=90)

    report = anomaly.check(
        frame(usual(1)[:, None], INDEX),
        released_at=RELEASED,
        special_days=[day, later],
        timezone="Europe/Berlin",
    )

    assert [(span.reason, span.window.length) for span in report.left_out] == [
        ("special day", timedelta(days=1))
    ]
    assert report.left_out[0].window.start.astimezone(ZoneInfo("Europe/Berlin")).date() == day
