"""The traps that judges of releases fall into, as seeded simulations with stated bounds.

A bound is on the share of series whose p-value is below 0.01. With 300 series and a true share of 1
%, more than 2 % are seen in one of twenty-five sets; the seeds are fixed, so a set that holds keeps
holding.
"""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import anomaly
from anomaly.cli.exit_codes import of_report
from anomaly.model import Empty, Finding, Kpi, NoData, ReleaseVerdict, Verdict
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE
from anomaly.reporting.evidence import by_name
from anomaly.reporting.report import Report
from tests.support.draws import Limit
from tests.support.simulations import (
    STARTED,
    WINDOWS,
    Floats,
    finding_of,
    frame,
    look,
    noise,
    only,
    remembering,
    stamps,
)

pytestmark = pytest.mark.slow

SERIES = 300
FEW = Limit(6, of=SERIES, first=99, early=0)
DAYS, WATCHED = 28, 24  # hourly steps
BEFORE = DAYS * 24
ROWS = BEFORE + WATCHED
LEVEL = 0.01
HISTORY_STEPS = WINDOWS.history // WINDOWS.step
LATER = STARTED + timedelta(days=2)


def check(
    values: Floats,
    before: int = BEFORE,
    *,
    step: str = "1h",
    start: str = "2025-03-03",
    **options: Any,
) -> Report:
    """Judge a series, or a column each, released after `before` steps."""
    index = stamps(len(values), step, start)
    series = pd.Series(values, index, name="kpi") if values.ndim == 1 else frame(values, index)
    return anomaly.check(series, **{"released_at": index[before], **options})


def alarms(report: Report) -> int:
    """How many of the series would have failed their release alone."""
    return sum(
        finding.p_value is not None and finding.p_value < LEVEL for finding in report.findings
    )


def numbers(finding: Finding) -> list[float]:
    """Every number of a finding."""
    values = [getattr(finding, field.name) for field in dataclasses.fields(finding)]
    flat = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
    return [
        float(value)
        for value in (*flat, *by_name(finding.evidence).values())
        if isinstance(value, int | float)
    ]


# --- nothing happened ---------------------------------------------------------------------------


def quiet(kind: str) -> tuple[Floats, int]:
    """300 series without a change, and how many steps of them are before the release."""
    hour = np.arange(ROWS)[:, None]
    if kind == "a daily cycle":
        return 100 * (1 + 0.3 * np.sin(2 * np.pi * hour / 24)) * (
            1 + 0.05 * noise(11, ROWS, SERIES)
        ), BEFORE
    if kind == "quiet weekends":  # 33 days: Monday to a Saturday
        rows = 33 * 24
        hour = np.arange(rows)[:, None]
        weekday = np.where((hour // 24) % 7 >= 5, 0.6, 1.0)
        daily = 1 + 0.3 * np.sin(2 * np.pi * hour / 24)
        return 100 * weekday * daily * (
            1 + 0.05 * remembering(0.5, 12, rows, SERIES)
        ), rows - WATCHED
    return 100 + 5 * remembering(float(kind), 13, ROWS, SERIES), BEFORE


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["0", "0.5", "0.8", "0.95", "a daily cycle", "quiet weekends"])
def test_at_most_two_in_a_hundred_harmless_releases_are_flagged(kind: str) -> None:
    values, before = quiet(kind)
    verdicts = set[Verdict]()

    def flagged(some: slice) -> int:
        report = check(values[:, some], before)
        verdicts.update(finding.verdict for finding in report.findings)
        return alarms(report)

    assert FEW.excess(flagged) == 0
    assert verdicts <= {Verdict.OK, Verdict.REGRESSED}


def test_the_weekend_trap_is_set() -> None:
    _, before = quiet("quiet weekends")

    assert stamps(before + 1)[-1].day_name() == "Friday"
    assert stamps(before + 1, start="2025-03-04")[-1].day_name() == "Saturday"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["0", "0.5", "0.8", "0.95", "a daily cycle", "quiet weekends"])
def test_a_large_change_in_the_same_noise_is_found(kind: str) -> None:
    values, before = quiet(kind)
    moved = values[:, :40].copy()
    moved[before:] *= 1.4
    few = Limit(4, of=40, first=23, early=1)

    def missed(some: slice) -> int:
        report = check(moved[:, some], before)
        return len(report.findings) - alarms(report)

    assert few.excess(missed) == 0


# --- too little to say --------------------------------------------------------------------------


def test_two_points_against_two_are_no_evidence() -> None:
    report = check(np.array([1.0, 1.1, 50.0, 60.0]), 2)

    assert report.verdict is ReleaseVerdict.INCONCLUSIVE
    assert "too little history" in only(report).reason


def test_a_history_of_fifteen_steps_is_too_little() -> None:
    report = check(100 + noise(1, 40), 15)

    assert only(report).verdict is Verdict.INCONCLUSIVE
    assert "need 16 before the release" in only(report).reason


def test_a_history_full_of_holes_is_too_little() -> None:
    values = np.stack([100 + noise(2, 200), np.full(200, np.nan)], axis=1)
    values[150:, 1] = 100.0
    values[:150:15, 1] = 100.0

    finding = check(values, 150).findings[1]

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.reason == "too little history: 10 steps with data before the release, need 16"


def test_an_early_look_without_alarm_says_how_far_it_is() -> None:
    report = check((100 + noise(3, 600))[: 500 + 12], 500, step="5min", watch=timedelta(hours=6))

    assert only(report).verdict is Verdict.INCONCLUSIVE
    assert only(report).reason == "nothing so far, 12 of 72 steps"
    assert of_report(report) == 3


# --- constants and zeros ------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0, 1e-9, 1e15])
def test_a_constant_that_stays_is_ok(value: float) -> None:
    report = check(np.full(ROWS, value))

    assert only(report).verdict is Verdict.OK
    assert all(math.isfinite(number) for number in numbers(only(report)))


@pytest.mark.parametrize(
    ("value", "moved"),
    [(0.0, 1.0), (5.0, 5.1), (5.0, 0.0), (-3.0, -2.0), (1e-9, 2e-9), (1e15, 1.1e15)],
)
def test_a_constant_that_moves_is_a_regression(value: float, moved: float) -> None:
    values = np.full(ROWS, value)
    values[BEFORE + 5 :] = moved

    finding = only(check(values))

    assert finding.verdict is Verdict.REGRESSED
    assert finding.onset == stamps(ROWS)[BEFORE + 5]
    assert all(math.isfinite(number) for number in numbers(finding))


RARE = [0.0, 1.0, 2.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("direction", ["up", "either"])
def test_a_few_events_after_five_hundred_zeros_are_a_regression(direction: str) -> None:
    finding = only(check(np.array([0.0] * 500 + RARE), 500, direction=direction))

    assert finding.verdict is Verdict.REGRESSED
    assert finding.onset == stamps(502)[-1]


def test_a_few_events_after_six_zeros_are_not() -> None:
    report = check(np.array([0.0] * 6 + RARE), 6)

    assert report.verdict is ReleaseVerdict.INCONCLUSIVE


def test_a_few_events_after_five_hundred_zeros_are_welcome_where_more_is_better() -> None:
    report = check(np.array([0.0] * 500 + RARE), 500, direction="down")

    assert report.verdict is ReleaseVerdict.PASS


@pytest.mark.parametrize(
    "after", [[0.0] * 24, [0.0, 3.0] * 12, [1e-300] * 24, [-1.0] * 24, [np.nan] * 12 + [1.0] * 12]
)
@pytest.mark.parametrize("zeros", [BEFORE, BEFORE - 1, BEFORE - 40])
def test_a_baseline_of_zeros_never_divides_by_zero(zeros: int, after: list[float]) -> None:
    values = np.concatenate([np.ones(BEFORE - zeros), np.zeros(zeros), after])

    report = check(values)  # a warning would be an error

    assert all(math.isfinite(number) for number in numbers(only(report)))


def test_one_event_long_ago_does_not_hide_the_size_of_later_ones() -> None:
    values = np.concatenate([[1.0], np.zeros(BEFORE - 1), [0.0, 3.0] * 12])

    finding = only(check(values, direction="up", floor=0.5))

    assert finding.verdict is Verdict.REGRESSED
    assert finding.effect_absolute == pytest.approx(1.5, abs=0.1)


# --- errors of a ratio --------------------------------------------------------------------------

LONG = 28 * 288  # five-minute steps of 28 days
REQUESTS = np.random.default_rng(4).poisson(300, LONG + 72).astype(float)


def errors(*at: int) -> Report:
    """28 error-free days, then an error at each of the given steps of the watch."""
    index = stamps(len(REQUESTS), "5min")
    count = np.zeros(len(REQUESTS))
    for step in at:
        count[LONG + step] += 1
    return anomaly.check(
        pd.Series(count, index),
        released_at=index[LONG],
        denominators=pd.Series(REQUESTS, index, name="kpi"),
        direction="up",
    )


def test_no_error_at_all_is_ok() -> None:
    assert only(errors()).verdict is Verdict.OK
    assert errors().verdict is ReleaseVerdict.PASS


@pytest.mark.parametrize("step", [0, 36, 60, 71])
def test_the_first_error_ever_is_no_regression(step: int) -> None:
    assert only(errors(step)).verdict is Verdict.OK


@pytest.mark.parametrize("step", [0, 36, 60, 70])
def test_two_first_errors_are_a_regression(step: int) -> None:
    finding = only(errors(step, step + 1))

    assert finding.verdict is Verdict.REGRESSED
    assert finding.onset == stamps(LONG + step + 1, "5min")[-1]


def test_where_there_is_traffic_and_no_error_counter_yet_nothing_is_missing() -> None:
    values = {
        ("kpi", "", NUMERATOR): np.full(2000, np.nan),
        ("kpi", "", DENOMINATOR): np.full(2000, np.nan),
    }

    report = look(values, [Kpi("kpi", denominator="requests", empty=Empty.ZERO)], now=LATER)

    assert report.verdict is ReleaseVerdict.INCONCLUSIVE  # no traffic was seen either


# --- what matters -------------------------------------------------------------------------------

STEPS = [
    (3.0, 0),
    (3.0, 3),
    (10.0, 0),
    (10.0, 3),
    (30.0, 0),
    (30.0, 3),
]  # so many standard deviations, so many steps after the release
COLUMNS = 20
ONE, SIX = Limit(1, of=COLUMNS, first=14, early=0), Limit(6, of=COLUMNS, first=10, early=1)


def stepped(size: float, delay: int = 0) -> Floats:
    """20 noisy series whose level moves by `size` standard deviations, `delay` steps after the
    release."""
    values = 100 + noise(31, ROWS, COLUMNS)
    values[BEFORE + delay :] += size
    return values


def together(values: Floats, *, false_alarms: float, **options: Any) -> list[Verdict]:
    """The verdicts of the columns, judged in one release."""
    report = check(values, false_alarms=false_alarms, **options)
    return [finding.verdict for finding in report.findings]


def easily(values: Floats, **options: Any) -> list[Verdict]:
    """The same, with as many alarms as by that many releases: each regresses more easily."""
    return together(values, false_alarms=LEVEL * len(values.T), **options)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "delay"), STEPS)
@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_move_in_the_good_direction_improves_and_passes(
    direction: str, size: float, delay: int
) -> None:
    values = stepped(-size if direction == "up" else size, delay)

    def others(some: slice) -> int:
        verdicts = easily(values[:, some], direction=direction)
        return len(verdicts) - verdicts.count(Verdict.IMPROVED)

    assert ONE.excess(others) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("size", "delay"), STEPS)
@pytest.mark.parametrize(("floor", "tolerance"), [(50.0, 0.0), (0.0, 0.5)])
def test_a_move_within_what_is_accepted_is_no_regression(
    floor: float, tolerance: float, size: float, delay: int
) -> None:
    values = stepped(size, delay)

    def regressed(some: slice) -> int:
        verdicts = easily(values[:, some], floor=floor, tolerance=tolerance)
        return verdicts.count(Verdict.REGRESSED)

    assert ONE.excess(regressed) == 0


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.002, 0.005])
def test_a_rise_of_a_small_ratio_below_the_floor_is_no_regression(rate: float) -> None:
    random = np.random.default_rng(54)
    index = stamps(ROWS)
    requests = pd.Series(1000.0, index, name="kpi")
    failed = random.binomial(
        1000, np.where(np.arange(ROWS) < BEFORE, 0.001, rate)[:, None], (ROWS, COLUMNS)
    ).astype(float)

    options = {"denominators": requests, "direction": "up", "tolerance": 0.1, "floor": 0.05}

    def regressed(some: slice) -> int:
        return easily(failed[:, some], **options).count(Verdict.REGRESSED)

    assert ONE.excess(regressed) == 0


def test_a_huge_relative_effect_below_the_floor_is_no_regression() -> None:
    values = 0.001 + 0.00001 * noise(32, ROWS)
    values[BEFORE:] += 0.004

    finding = only(check(values, direction="up", tolerance=0.1, floor=0.05))

    assert finding.verdict is Verdict.OK
    assert "within tolerance 10 % and floor 0.05" in finding.reason


def changed(kind: str) -> Floats:
    """20 noisy series that change in another way than by a step."""
    values = 100 + noise(33, ROWS, COLUMNS)
    if kind == "spread":
        values[BEFORE:] = 100 + 4 * (values[BEFORE:] - 100)
    elif kind == "spikes":
        values[BEFORE + 3 :: 5] += 12
    elif kind == "outage":
        values[BEFORE + 8 :] = 0
    elif kind == "ramp":
        values[BEFORE:] += np.linspace(0, 12, WATCHED)[:, None]
    return values


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["up", "either"])
@pytest.mark.parametrize("kind", ["spread", "spikes", "ramp"])
def test_a_change_other_than_a_step_is_found_too(kind: str, direction: str) -> None:
    values = changed(kind)

    def missed(some: slice) -> int:
        verdicts = together(values[:, some], direction=direction, false_alarms=LEVEL / 2)  # of ten
        return len(verdicts) - verdicts.count(Verdict.REGRESSED)

    assert SIX.excess(missed) == 0


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["down", "either"])
def test_an_outage_is_found(direction: str) -> None:
    verdicts = together(changed("outage"), direction=direction, false_alarms=LEVEL)

    assert verdicts == [Verdict.REGRESSED] * COLUMNS


def test_a_change_that_began_before_the_release_is_not_blamed_on_it() -> None:
    values = 100 + noise(33, ROWS)
    values[BEFORE - 12 :] += 10

    finding = only(check(values))

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.onset == stamps(ROWS)[BEFORE - 12]
    assert "it began at about" in finding.reason
    assert "before the release" in finding.reason


def test_a_release_that_makes_an_earlier_change_much_worse_is_blamed() -> None:
    values = 100 + noise(34, ROWS)
    values[BEFORE - 12 :] += 6
    values[BEFORE:] += 30

    assert only(check(values)).verdict is Verdict.REGRESSED


def test_a_kpi_that_came_back_has_recovered_and_passes() -> None:
    values = 100 + noise(35, ROWS + 24)
    values[BEFORE : BEFORE + 24] += 12

    report = check(values)

    assert only(report).verdict is Verdict.RECOVERED
    assert report.verdict is ReleaseVerdict.PASS
    assert only(report).onset == stamps(ROWS)[BEFORE]


# --- data that are not there --------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "code"), [("inconclusive", 3), ("fail", 1), ("ignore", 3)])
def test_a_series_that_vanished_is_never_a_pass(policy: str, code: int) -> None:
    values = 100 + noise(36, ROWS)
    values[BEFORE:] = np.nan

    report = check(values, no_data=policy)

    assert only(report).verdict is Verdict.NO_DATA
    assert of_report(report) == code


def test_ignored_missing_data_leave_the_verdict_to_the_others() -> None:
    values = 100 + noise(37, ROWS, 2)
    values[BEFORE:, 0] = np.nan

    assert of_report(check(values, no_data="ignore")) == 0
    assert of_report(check(values, no_data="inconclusive")) == 3


def test_more_gaps_than_usual_are_missing_data() -> None:
    values = 100 + noise(38, ROWS)
    values[:BEFORE:100] = np.nan
    values[BEFORE + 4 :] = np.nan

    finding = only(check(values))

    assert finding.verdict is Verdict.NO_DATA
    assert finding.reason.startswith("20 of 24 steps missing since the release, more than usual")


def test_usual_gaps_are_no_news() -> None:
    values = 100 + noise(39, ROWS)
    values[::3] = np.nan

    assert only(check(values)).verdict is Verdict.OK


GERMANY, FRANCE = "country=DE", "country=FR"
BY_COUNTRY = Kpi("kpi", by=("country",))


def segments(late: Floats) -> Report:
    """Germany is there all the time, France is given."""
    values = 100 + noise(40, len(late))
    return look(
        {("kpi", GERMANY, VALUE): values, ("kpi", FRANCE, VALUE): late}, [BY_COUNTRY], now=LATER
    )


def test_a_segment_first_seen_after_the_release_has_no_baseline() -> None:
    values = 100 + noise(41, HISTORY_STEPS + 500)
    values[:HISTORY_STEPS] = np.nan

    germany, france = segments(values).findings

    assert germany.verdict is Verdict.OK
    assert (france.verdict, france.segment) == (Verdict.INCONCLUSIVE, {"country": "FR"})
    assert france.reason.startswith("no baseline")


def test_a_segment_that_vanished_is_missing_data() -> None:
    values = 100 + noise(42, HISTORY_STEPS + 500)
    values[HISTORY_STEPS:] = np.nan

    germany, france = segments(values).findings

    assert germany.verdict is Verdict.OK
    assert france.verdict is Verdict.NO_DATA


@pytest.mark.parametrize(
    ("least", "verdict"), [(720, Verdict.REGRESSED), (721, Verdict.INCONCLUSIVE)]
)
def test_the_least_volume_is_the_total_of_the_denominator_over_the_watch(
    least: float, verdict: Verdict
) -> None:
    requests = np.full(HISTORY_STEPS + 500, 10.0)
    failed = np.random.default_rng(43).binomial(10, 0.02, len(requests)).astype(float)
    failed[HISTORY_STEPS:] = 8

    report = look(
        {("kpi", "", NUMERATOR): failed, ("kpi", "", DENOMINATOR): requests},
        [Kpi("kpi", denominator="requests", min_volume=least)],
        now=LATER,
    )

    assert only(report).verdict is verdict
    if verdict is Verdict.INCONCLUSIVE:
        assert "too little volume: 720 since the release, need 721" in only(report).reason


# --- wild data ----------------------------------------------------------------------------------

BESIDE = 100 + noise(44, 60)
EXTREMES = [0.0, -0.0, 1e308, -1e308, 1.7e308, 5e-324, 2e-308, 1e-300, 1e150, np.nan, np.inf]


def wild_series(values: st.SearchStrategy[float]) -> st.SearchStrategy[list[float]]:
    """60 steps: anything, a short pattern again and again, one value and then another, or all of
    one magnitude."""
    return st.one_of(
        st.lists(values, min_size=60, max_size=60),
        st.lists(values, min_size=1, max_size=4).map(lambda part: (part * 60)[:60]),
        st.tuples(values, st.integers(0, 59), values).map(
            lambda two: [two[0]] * two[1] + [two[2]] * (60 - two[1])
        ),
        st.tuples(st.lists(st.floats(0, 10), min_size=60, max_size=60), values).map(
            lambda both: [part * both[1] for part in both[0]]
        ),
    )


@cache
def by_itself(direction: str) -> float | None:
    """The p-value of the other series where it is judged alone."""
    return only(check(BESIDE, 40, direction=direction)).p_value


def some_of(wild: st.SearchStrategy[list[float]]) -> st.SearchStrategy[list[list[float]]]:
    """Four of them, beside each other."""
    return st.lists(wild, min_size=4, max_size=4)


def hurt_nobody_else(wild: list[list[float]], direction: str) -> None:
    report = check(np.stack([BESIDE, *map(np.array, wild)], axis=1), 40, direction=direction)

    json.dumps(report.to_dict(), allow_nan=False)
    assert report.findings[0].p_value == by_itself(direction)


usual_numbers = st.one_of(
    st.floats(-1e100, 1e100, allow_subnormal=False),
    st.sampled_from([0.0, 1.0, 1e-100, np.nan, np.inf]),
)


@pytest.mark.slow
@settings(max_examples=25, phases=[Phase.generate])
@given(some_of(wild_series(usual_numbers)), st.sampled_from(["up", "down", "either"]))
def test_wild_data_are_the_matter_of_their_own_kpi_alone(
    wild: list[list[float]], direction: str
) -> None:
    hurt_nobody_else(wild, direction)


@pytest.mark.slow
@settings(max_examples=25, phases=[Phase.generate])
@given(
    some_of(wild_series(st.one_of(st.floats(), st.sampled_from(EXTREMES)))),
    st.sampled_from(["up", "down", "either"]),
)
def test_the_largest_and_smallest_numbers_are_too(wild: list[list[float]], direction: str) -> None:
    hurt_nobody_else(wild, direction)


CONSTANT = "constant"
TWO = "two points"
HUGE = "1e308"
TINY_VALUES = "denormal"
HOLES = "alternating NaN"


def odd(kind: str) -> Floats:
    """A series that breaks naive arithmetic."""
    values = np.full(ROWS, 7.0)
    if kind == TWO:
        values[1:-1] = np.nan
    elif kind == HUGE:
        values = np.where(noise(45, ROWS) > 0, 1e308, -1e308)
    elif kind == TINY_VALUES:
        values = 5e-324 * np.arange(1, ROWS + 1)
    elif kind == HOLES:
        values = np.where(np.arange(ROWS) % 2 == 0, 100 + noise(46, ROWS), np.nan)
    return values


@pytest.mark.parametrize(
    "kind",
    [
        CONSTANT,
        TWO,
        HUGE,
        TINY_VALUES,
        HOLES,
    ],
)
def test_an_odd_series_changes_no_other_finding(kind: str) -> None:
    beside = 100 + noise(47, ROWS)

    report = check(np.stack([beside, odd(kind)], axis=1))

    json.dumps(report.to_dict(), allow_nan=False)
    assert report.findings[0].p_value == only(check(beside)).p_value
    assert report.findings[0].effect == only(check(beside)).effect
    assert report.findings[1].verdict in (
        Verdict.OK,
        Verdict.INCONCLUSIVE,
        Verdict.NO_DATA,
        Verdict.ERROR,
    )


# --- what must not matter -----------------------------------------------------------------------


def mixed() -> dict[str, Floats]:
    """One series of each character, most of them changed."""
    random = np.random.default_rng(48)
    level = 100 + noise(49, ROWS)
    late = np.arange(ROWS) >= BEFORE + 4
    return {
        "noise": level,
        "moved": level + 8 * late,
        "log": np.exp(noise(50, ROWS) + 2 * late),
        "counts": random.poisson(np.where(late, 12, 4)).astype(float),
        "rare": (random.random(ROWS) < np.where(late, 0.5, 0.01)).astype(float),
        "memory": 100 + 5 * remembering(0.9, 51, ROWS),
        "daily": 100 * (1 + 0.3 * np.sin(2 * np.pi * np.arange(ROWS) / 24)) + noise(52, ROWS),
        "constant": np.where(late, 3.0, 2.0),
    }


def alike(left: Finding, right: Finding, shift: timedelta = timedelta(0)) -> bool:
    """The same verdict for the same reason, up to rounding."""

    def near(a: float | None, b: float | None) -> bool:
        return a == b or (
            a is not None and b is not None and math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-9)
        )

    onset: datetime | None = None if left.onset is None else left.onset + shift
    return (left.verdict, left.kind, onset) == (right.verdict, right.kind, right.onset) and all(
        near(getattr(left, name), getattr(right, name)) for name in ("p_value", "effect")
    )


def judged(columns: dict[str, Floats], start: str = "2025-03-03", **options: Any) -> list[Finding]:
    """The findings about the series, which regress as easily as each by itself."""
    index = stamps(ROWS, start=start)
    report = anomaly.check(
        pd.DataFrame(columns, index),
        released_at=index[BEFORE],
        false_alarms=LEVEL * len(columns),
        **options,
    )
    return [finding_of(report, name) for name in columns]


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1e-9, 1e12, 2.0**40])
def test_the_unit_does_not_matter(factor: float) -> None:
    scaled = {name: values * factor for name, values in mixed().items()}

    for plain, other in zip(
        judged(mixed(), floor=0.01), judged(scaled, floor=0.01 * factor), strict=True
    ):
        assert alike(plain, other), (plain, other)


@pytest.mark.slow
@pytest.mark.parametrize("weeks", [-300, 1, 104])
def test_the_date_does_not_matter(weeks: int) -> None:
    shift = timedelta(weeks=weeks)
    later = (pd.Timestamp("2025-03-03") + shift).isoformat()

    for plain, moved in zip(judged(mixed()), judged(mixed(), later), strict=True):
        assert alike(plain, moved, shift), (plain, moved)


def test_a_kpi_without_data_changes_no_other_finding() -> None:
    index = stamps(ROWS)
    frame_of_all = pd.DataFrame(mixed(), index)

    without = anomaly.check(frame_of_all, released_at=index[BEFORE])
    beside = anomaly.check(frame_of_all.assign(empty=np.nan), released_at=index[BEFORE])

    for finding in without.findings:
        assert repr(finding) == repr(finding_of(beside, finding.kpi))
    assert finding_of(beside, "empty").verdict is Verdict.NO_DATA


def test_what_is_missing_is_named_by_its_policy() -> None:
    values = 100 + noise(53, ROWS)
    values[BEFORE:] = np.nan

    assert only(check(values, no_data=NoData.FAIL)).no_data is NoData.FAIL
