"""The Python interface: what `anomaly.check` takes, refuses and gives."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

import anomaly
from anomaly.errors import UsageError
from anomaly.model import (
    ChangeKind,
    Direction,
    Finding,
    NoData,
    Release,
    ReleaseVerdict,
    Verdict,
    Window,
)
from anomaly.reporting.report import Report
from tests.support.simulations import finding_of, noise, only, stamps

HISTORY, WATCHED = 600, 72
INDEX = stamps(HISTORY + WATCHED, "5min")
RELEASED = INDEX[HISTORY]
QUIET = pd.Series(100 + noise(3, len(INDEX)), INDEX, name="latency")
MOVED = QUIET.where(INDEX[HISTORY + 6] > INDEX, QUIET + 10)
HOUR = timedelta(hours=1)


def check(series: Any = QUIET, **settings: Any) -> Report:
    return anomaly.check(series, **{"released_at": RELEASED, **settings})


def same(left: Finding, right: Finding) -> bool:
    """Equal to the last bit, NaN included."""
    return repr(left) == repr(right)


# --- what it takes ------------------------------------------------------------------------------


def test_a_series_is_one_kpi_under_its_name() -> None:
    assert only(check()).kpi == "latency"
    assert only(check(QUIET.rename(None))).kpi == "kpi"


def test_a_frame_is_a_kpi_per_column_in_their_order() -> None:
    report = check(pd.DataFrame({"b": QUIET, "a": MOVED}))

    assert [finding.kpi for finding in report.findings] == ["b", "a"]
    assert [finding.verdict for finding in report.findings] == [Verdict.OK, Verdict.REGRESSED]
    assert report.verdict is ReleaseVerdict.FAIL


def test_a_column_name_that_is_no_text_becomes_one() -> None:
    assert [
        finding.kpi for finding in check(pd.DataFrame({7: QUIET, ("a", 1): QUIET})).findings
    ] == ["7", "('a', 1)"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda series: series.iloc[::-1],
        lambda series: series.sample(frac=1, random_state=1),
        lambda series: series.tz_convert("Asia/Kolkata"),
        lambda series: series.astype("Float64"),
        lambda series: series.set_axis(series.index.as_unit("s")),
    ],
    ids=["reversed", "shuffled", "in another zone", "nullable", "in seconds"],
)
def test_the_order_zone_and_type_of_the_rows_change_nothing(
    change: Callable[[pd.Series], pd.Series],
) -> None:
    assert same(only(check(change(MOVED))), only(check(MOVED)))


def test_rows_that_are_left_out_are_missing_values() -> None:
    holes = np.arange(5, len(INDEX), 7)

    left_out = check(QUIET.drop(INDEX[holes]))

    gaps = QUIET.copy()
    gaps.iloc[holes] = np.nan
    assert same(only(left_out), only(check(gaps)))


@pytest.mark.slow
@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
def test_infinity_is_a_missing_value(infinity: float) -> None:
    infinite, missing = QUIET.copy(), QUIET.copy()
    infinite.iloc[[10, HISTORY + 3]], missing.iloc[[10, HISTORY + 3]] = infinity, np.nan

    found, expected = only(check(infinite)), only(check(missing))
    assert found.notes == ("2 infinite values count as missing", *expected.notes)
    assert same(replace(found, notes=expected.notes), expected)
    assert found.steps == WATCHED - 1


@pytest.mark.parametrize(
    ("before", "since", "said"),
    [
        (0, 0, f"in all {HISTORY} steps before the release and in all {WATCHED} steps since the"),
        (0, 9, f"in all {HISTORY} steps before the release, so there is no ratio; look at its"),
        (9, 0, f"in all {WATCHED} steps since the release, so there is no ratio"),
    ],
)
def test_a_denominator_that_is_always_0_is_named(before: int, since: int, said: str) -> None:
    below = pd.Series(np.where(np.arange(len(INDEX)) < HISTORY, before, since), INDEX)
    finding = only(check(0 * QUIET, denominators=below))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.reason.startswith(f"the denominator is 0 {said}")


def test_a_column_without_any_value_is_no_data_and_hides_no_other() -> None:
    report = check(pd.DataFrame({"empty": QUIET * np.nan, "full": MOVED}))

    assert finding_of(report, "empty").verdict is Verdict.NO_DATA
    assert finding_of(report, "empty").reason == "no samples before or after the release"
    assert finding_of(report, "full").verdict is Verdict.REGRESSED


@pytest.mark.slow
def test_times_may_be_text_or_any_zone() -> None:
    texts = check(MOVED, released_at=RELEASED.isoformat())
    elsewhere = check(MOVED, released_at=RELEASED.tz_convert("America/New_York").to_pydatetime())

    assert same(only(texts), only(check(MOVED)))
    assert same(only(elsewhere), only(check(MOVED)))


def test_the_words_may_be_enums() -> None:
    report = check(
        direction=Direction.UP, no_data=NoData.FAIL, correction=anomaly.model.Correction.HOLM
    )

    assert only(report).direction is Direction.UP
    assert only(report).no_data is NoData.FAIL


def test_columns_may_be_numbered() -> None:
    frame = pd.DataFrame({1: MOVED, 2: QUIET})

    report = check(frame, direction={1: "up"}, controls=[2])

    assert [finding.kpi for finding in report.findings][:1] == ["1"]
    assert report["1"].direction is Direction.UP


def test_what_pandas_has_for_nothing_is_missing() -> None:
    cells = MOVED.astype(object)
    cells.iloc[3:5] = [None, pd.NA]

    assert same(only(check(cells)), only(check(MOVED.where(cells.notna()))))


def test_a_day_is_the_midnight_at_which_it_starts() -> None:
    by_date = check(MOVED, released_at=date(2025, 3, 5), timezone="UTC")

    assert same(only(by_date), only(check(MOVED, released_at="2025-03-05T00:00Z")))


# --- what it refuses ----------------------------------------------------------------------------


class Elsewhere:
    """A frame that is none of pandas."""

    def to_pandas(self) -> None: ...


NAIVE = "needs a time-zone-aware DatetimeIndex; for times in UTC use {}.tz_localize('UTC')"
NO_TIME = pd.DatetimeIndex([pd.NaT], tz="UTC")
REFUSED: dict[str, tuple[Callable[[], Report], str]] = {
    "naive index": (lambda: check(QUIET.tz_localize(None)), "series " + NAIVE.format("series")),
    "no times": (
        lambda: check(QUIET.reset_index(drop=True)),
        "its rows have no times; use series.set_axis(pd.date_range(",
    ),
    "times in a column": (
        lambda: check(QUIET.rename_axis("time").reset_index()),
        "use series.set_index(pd.to_datetime(series['time'], utc=True)).drop(columns='time')",
    ),
    "times as numbers": (
        lambda: check(QUIET.set_axis(INDEX.as_unit("s").asi8)),
        "use series.set_axis(pd.to_datetime(series.index, unit='s', utc=True))",
    ),
    "periods": (
        lambda: check(QUIET.tz_localize(None).to_period("5min")),
        "use series.to_timestamp().tz_localize('UTC')",
    ),
    "levels": (
        lambda: check(QUIET.to_frame().assign(c="DE").set_index("c", append=True)["latency"]),
        "its index has 2 levels; make columns of all but the times, as series.unstack('c') does",
    ),
    "a frame of another library": (
        lambda: check(Elsewhere()),
        "series is a Elsewhere of tests: use .to_pandas(); give a pandas Series or DataFrame",
    ),
    "times as text": (
        lambda: check(QUIET.set_axis(INDEX.tz_convert("Europe/Berlin").map(str))),
        "series.set_axis(pd.to_datetime(series.index, utc=True))",
    ),
    "not a time": (
        lambda: check(pd.concat([QUIET, QUIET.iloc[:1].set_axis(NO_TIME)])),
        "series has rows without a time (NaT)",
    ),
    "irregular": (
        lambda: check(QUIET.rename(index={INDEX[9]: INDEX[9] + pd.Timedelta(minutes=1)})),
        (
            "the rows are not on a regular grid: most are 0 days 00:05:00 apart, "
            "2025-03-03T00:46:00+00:00 "
            "lies in between; resample them"
        ),
    ),
    "duplicates": (
        lambda: check(pd.concat([QUIET, QUIET.iloc[[3]]])),
        "series has more than one row at 2025-03-03T00:15:00+00:00; keep or add them up first",
    ),
    "text": (
        lambda: check(QUIET.astype(object).where(INDEX[3] != INDEX, "slow")),
        (
            "series has values that are not numbers: 'slow' at 2025-03-03T00:15:00+00:00; "
            "pd.to_numeric(series, errors='coerce') makes such cells missing"
        ),
    ),
    "thousands": (
        lambda: check(QUIET.map(lambda value: f"{value * 100:,.2f}")),
        "use series.str.replace(',', '').astype(float)",
    ),
    "lengths of time": (
        lambda: check(pd.to_timedelta(QUIET, unit="ms").to_frame()),
        "use series['latency'].dt.total_seconds()",
    ),
    "labels": (
        lambda: check(QUIET.to_frame().assign(country="DE")),
        "leave the column out, as series.drop(columns='country') does",
    ),
    "denominators of other steps": (
        lambda: check(denominators=QUIET.resample("1min").ffill()),
        (
            "denominators has a row at 2025-03-03T00:01:00+00:00, between two rows of series; "
            "resample them to the same steps"
        ),
    ),
    "denominators of another time": (
        lambda: check(denominators=QUIET.shift(freq="999D")),
        "denominators has no row at the times of series",
    ),
    "a share above 1": (
        lambda: check(tolerance=5),
        "tolerance is int 5; a number is a share of 1: write '5%' or '500%'",
    ),
    "skipped by clocks": (
        lambda: check(timezone="Europe/Berlin", released_at="2025-03-30 02:30"),
        "released_at 2025-03-30T02:30:00 does not exist in Europe/Berlin, where clocks skip it",
    ),
    "shown twice by clocks": (
        lambda: check(timezone="Europe/Berlin", until="2025-10-26 02:30"),
        "until 2025-10-26T02:30:00 is there twice in Europe/Berlin, where clocks go back",
    ),
    "times as values": (
        lambda: check(pd.Series(INDEX, INDEX)),
        "series has values that are not numbers",
    ),
    "empty": (lambda: check(QUIET.iloc[:0]), "series has no rows"),
    "one row": (lambda: check(QUIET.iloc[-1:]), "the series needs at least two rows"),
    "no columns": (lambda: check(pd.DataFrame(index=INDEX)), "series has no columns"),
    "a column twice": (
        lambda: check(pd.concat([QUIET, MOVED], axis=1)),
        "series has more than one column 'latency'",
    ),
    "a list": (lambda: check([1, 2, 3]), "series is a list; give a pandas Series or DataFrame"),
    "naive release": (
        lambda: check(released_at=RELEASED.tz_localize(None)),
        "2025-03-05T02:00:00 has no time zone; write 2025-03-05T02:00:00Z",
    ),
    "naive end": (
        lambda: check(finished_at=INDEX[-1].tz_localize(None)),
        "2025-03-05T07:55:00 has no time zone",
    ),
    "reversed": (
        lambda: check(finished_at=RELEASED - HOUR),
        "release ends 2025-03-05T01:00:00+00:00 before it starts 2025-03-05T02:00:00+00:00",
    ),
    "future": (
        lambda: check(released_at=INDEX[-1] + HOUR),
        (
            "released_at 2025-03-05T08:55:00Z is not before the end of the series, "
            "2025-03-05T08:00:00Z: there is nothing to judge"
        ),
    ),
    "all warm-up": (
        lambda: check(warmup=12 * HOUR),
        (
            "nothing is left to watch: the watch would begin at 2025-03-05T14:00:00Z and end at "
            "2025-03-05T08:00:00Z"
        ),
    ),
    "no watch": (lambda: check(watch=0 * HOUR), "nothing is left to watch"),
    "until before": (lambda: check(until=RELEASED), "nothing is left to watch"),
    "direction": (
        lambda: check(direction="incraese"),
        "direction is 'incraese'; use one of up, down, either",
    ),
    "no_data": (
        lambda: check(no_data="pass"),
        "no_data is 'pass'; use one of inconclusive, fail, ignore",
    ),
    "correction": (
        lambda: check(correction="bonferroni"),
        "correction is 'bonferroni'; use one of holm, benjamini-hochberg",
    ),
    "no false alarms": (
        lambda: check(false_alarms=0),
        "false_alarms is 0; use a share between 0 and 1, such as 0.01",
    ),
    "only false alarms": (
        lambda: check(false_alarms=1.0),
        "false_alarms is 1.0; use a share between 0 and 1, such as 0.01",
    ),
    "unknown alarms": (
        lambda: check(false_alarms=np.nan),
        "false_alarms is nan; use a share between 0 and 1, such as 0.01",
    ),
    "other denominators": (
        lambda: check(denominators=pd.DataFrame({"a": QUIET, "b": QUIET})),
        "denominators has columns ['a', 'b'], series has ['latency']; name them alike, or give one",
    ),
    "naive denominators": (
        lambda: check(denominators=QUIET.tz_localize(None)),
        "denominators " + NAIVE.format("denominators"),
    ),
    "naive until": (
        lambda: check(until=INDEX[-1].tz_localize(None)),
        "2025-03-05T07:55:00 has no time zone",
    ),
    "two far rows": (
        lambda: check(
            pd.Series(1.0, INDEX[:1].union([INDEX[0] + pd.Timedelta("1us")]).union(INDEX[-1:]))
        ),
        "the rows span",
    ),
    "release that is no time": (lambda: check(released_at="soon"), "soon"),
    "no release": (lambda: check(released_at=None), "None"),
    "unknown zone": (lambda: check(timezone="Mars/Olympus"), "Mars/Olympus"),
    "negative warm-up": (lambda: check(warmup=-HOUR), "warmup"),
    "negative tolerance": (lambda: check(tolerance=-0.1), "tolerance"),
    "unknown tolerance": (lambda: check(tolerance=np.nan), "tolerance"),
    "negative floor": (lambda: check(floor=-1.0), "floor"),
    "unknown floor": (lambda: check(floor=np.nan), "floor"),
    "one name for two columns": (
        lambda: check(pd.DataFrame({0: QUIET, "0": QUIET})),
        "more than one column '0'",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_call_is_refused_in_words(case: str) -> None:
    call, text = REFUSED[case]

    with pytest.raises(UsageError) as error:
        call()

    assert text in str(error.value)


# --- the watch ----------------------------------------------------------------------------------


def test_without_a_planned_watch_the_last_row_ends_it() -> None:
    report = check()

    assert report.final
    assert only(report).verdict is Verdict.OK
    assert report.observation == Window(
        RELEASED.to_pydatetime(), INDEX[-1].to_pydatetime() + timedelta(minutes=5)
    )


def test_a_series_that_ends_before_the_planned_watch_is_an_early_look() -> None:
    report = check(QUIET.iloc[: HISTORY + 12], watch=6 * HOUR)

    assert not report.final
    assert report.verdict is ReleaseVerdict.INCONCLUSIVE
    assert only(report).reason == "nothing so far, 12 of 72 steps"
    assert (only(report).steps, only(report).steps_planned) == (12, 72)


def test_the_last_step_of_the_watch_makes_the_look_final() -> None:
    assert not check(QUIET.iloc[:-1], watch=6 * HOUR).final
    assert check(QUIET, watch=6 * HOUR).final


def test_a_large_change_fails_an_early_look() -> None:
    report = check(MOVED.iloc[: HISTORY + 30], watch=6 * HOUR)

    assert (report.final, report.verdict) == (False, ReleaseVerdict.FAIL)


def test_what_follows_the_watch_is_not_looked_at() -> None:
    later = QUIET.where(INDEX[HISTORY + 24] > INDEX, 1000.0)

    report = check(later, watch=2 * HOUR)

    assert report.final
    assert only(report).verdict is Verdict.OK
    assert report.points["time"].iloc[-1] == INDEX[HISTORY + 23]


def test_until_ends_the_watch() -> None:
    report = check(MOVED, watch=6 * HOUR, until=INDEX[HISTORY + 6])

    assert report.final
    assert only(report).verdict is Verdict.OK
    assert only(report).steps_planned == 6


def test_the_transition_is_on_neither_side() -> None:
    rollout = slice(HISTORY, HISTORY + 12)
    wild = QUIET.copy()
    wild.iloc[rollout] = 1e5

    report = check(wild, finished_at=RELEASED + HOUR / 2, warmup=HOUR / 2)

    assert report.verdict is ReleaseVerdict.PASS
    assert report.points["time"].iloc[0] == RELEASED + HOUR
    assert report.release == Release(
        RELEASED.to_pydatetime(), (RELEASED + HOUR / 2).to_pydatetime()
    )


def test_steps_between_the_last_row_and_until_are_missing_and_never_a_pass() -> None:
    report = check(QUIET.iloc[: HISTORY + 2], watch=6 * HOUR, until=RELEASED + 6 * HOUR)

    assert report.final
    assert report.verdict is ReleaseVerdict.INCONCLUSIVE


# --- ratios -------------------------------------------------------------------------------------

REQUESTS = pd.Series(
    np.random.default_rng(5).poisson(500, len(INDEX)).astype(float), INDEX, name="errors"
)
ERRORS = pd.Series(
    np.random.default_rng(6).binomial(REQUESTS.astype(int), 0.02).astype(float),
    INDEX,
    name="errors",
)
MORE_ERRORS = ERRORS.where(INDEX < RELEASED, ERRORS * 3)


def test_denominators_make_a_ratio_of_counts() -> None:
    finding = only(check(MORE_ERRORS, denominators=REQUESTS, direction="up"))

    assert finding.verdict is Verdict.REGRESSED
    assert finding.denominator == "errors"
    assert finding.expected == pytest.approx(0.02, rel=0.05)
    assert finding.observed == pytest.approx(
        MORE_ERRORS.iloc[HISTORY:].sum() / REQUESTS.iloc[HISTORY:].sum()
    )
    assert finding.volume == REQUESTS.iloc[HISTORY:].sum()


def test_one_denominator_serves_every_column() -> None:
    both = pd.DataFrame({"a": ERRORS, "b": MORE_ERRORS})

    one = check(both, denominators=REQUESTS, direction="up")
    each = check(both, denominators=pd.DataFrame({"a": REQUESTS, "b": REQUESTS}), direction="up")

    assert [finding.verdict for finding in one.findings] == [Verdict.OK, Verdict.REGRESSED]
    assert all(same(left, right) for left, right in zip(one.findings, each.findings, strict=True))


def test_twice_the_traffic_is_not_twice_the_errors() -> None:
    busy = (INDEX >= RELEASED) + 1

    report = check(ERRORS * busy, denominators=REQUESTS * busy, direction="up")

    assert report.verdict is ReleaseVerdict.PASS


def test_a_step_without_denominator_is_missing() -> None:
    report = check(
        ERRORS, denominators=REQUESTS.drop(INDEX[HISTORY : HISTORY + 10]), direction="up"
    )

    assert only(report).steps == WATCHED - 10


# --- what it gives ------------------------------------------------------------------------------


def test_a_report_says_how_it_was_made() -> None:
    report = check(
        MOVED, direction="up", tolerance=0.01, floor=0.5, false_alarms=0.05, watch=6 * HOUR
    )

    assert report.release == Release(RELEASED.to_pydatetime())
    assert report.baseline == Window(INDEX[0].to_pydatetime(), RELEASED.to_pydatetime())
    assert report.observation == Window(
        RELEASED.to_pydatetime(), RELEASED.to_pydatetime() + 6 * HOUR
    )
    assert report.step == timedelta(minutes=5)
    assert report.false_alarms == 0.05
    assert report.made["anomaly"] == anomaly.__version__
    finding = only(report)
    assert (finding.direction, finding.tolerance, finding.floor) == (Direction.UP, 0.01, 0.5)


def test_a_regression_says_what_moved_since_when_by_how_much_and_how_sure_that_is() -> None:
    finding = only(check(MOVED, direction="up"))

    assert finding.verdict is Verdict.REGRESSED
    assert finding.kind is ChangeKind.LEVEL
    assert finding.segment == {}
    assert finding.p_value is not None
    assert finding.level == 0.01
    assert finding.p_value < finding.level
    assert finding.effect is not None
    assert finding.effect == pytest.approx(0.1 * 66 / 72, rel=0.05)
    assert finding.effect_interval is not None
    assert finding.effect_interval[0] < finding.effect < finding.effect_interval[1]
    assert finding.effect_absolute is not None
    assert finding.effect_absolute == pytest.approx(10 * 66 / 72, rel=0.05)
    assert finding.effect_absolute_interval is not None
    assert (
        finding.effect_absolute_interval[0]
        < finding.effect_absolute
        < finding.effect_absolute_interval[1]
    )
    assert finding.expected == pytest.approx(100, rel=0.01)
    assert finding.observed == pytest.approx(MOVED.iloc[HISTORY:].mean())
    assert finding.onset == INDEX[HISTORY + 6]
    assert finding.flagged is not None
    assert finding.flagged.first == INDEX[HISTORY + 6]
    assert finding.flagged.count >= 60
    assert finding.flagged.worst_z > 5
    assert (finding.steps, finding.steps_planned) == (WATCHED, WATCHED)
    assert finding.evidence.history_steps == HISTORY
    assert "vs expected 100" in finding.reason
    assert "since 02:30" in finding.reason


@pytest.mark.slow
def test_an_ok_finding_says_what_it_would_have_found_most_of_the_time() -> None:
    index = stamps(28 * 24 + 24)
    quiet, later = 100 + noise(9, len(index), 20), (np.arange(len(index)) >= 28 * 24)[:, None]

    finding = only(check(pd.Series(quiet[:, 0], index), released_at=index[28 * 24], direction="up"))

    assert finding.verdict is Verdict.OK
    assert finding.detectable_absolute is not None
    assert finding.detectable_effect == pytest.approx(
        finding.detectable_absolute / cast(float, finding.expected)
    )
    moved = quiet + finding.detectable_absolute * later
    answers = [
        only(check(pd.Series(values, index), released_at=index[28 * 24], direction="up")).verdict
        for values in moved.T
    ]
    assert (
        answers.count(Verdict.REGRESSED) >= 8
    )  # of 20; four of five are meant, on average over all kinds of noise


def test_the_points_are_a_long_frame_of_the_watched_steps() -> None:
    points = check(pd.DataFrame({"a": QUIET, "b": MOVED})).points

    assert {
        name: str(dtype) for name, dtype in points.dtypes.items() if name not in ("kpi", "segment")
    } == {
        "time": "datetime64[ns, UTC]",
        "observed": "float64",
        "expected": "float64",
        "lower": "float64",
        "upper": "float64",
        "z": "float64",
        "flagged": "bool",
    }
    assert list(points) == [
        "kpi",
        "segment",
        "time",
        "observed",
        "expected",
        "lower",
        "upper",
        "z",
        "flagged",
    ]
    assert list(points["kpi"]) == ["a"] * WATCHED + ["b"] * WATCHED
    assert set(points["segment"]) == {""}
    assert list(points["time"]) == [*INDEX[HISTORY:], *INDEX[HISTORY:]]
    np.testing.assert_array_equal(
        points["observed"], [*QUIET.iloc[HISTORY:], *MOVED.iloc[HISTORY:]]
    )


def test_a_point_is_flagged_where_it_is_outside_its_band() -> None:
    points = check(MOVED).points

    outside = (points["observed"] < points["lower"]) | (points["observed"] > points["upper"])
    assert (points["flagged"] == outside).all()
    assert (points["lower"] < points["expected"]).all()
    assert (points["expected"] < points["upper"]).all()


@pytest.mark.slow
def test_about_one_quiet_point_in_a_hundred_is_flagged() -> None:
    quiet = pd.DataFrame(100 + noise(8, len(INDEX), 60), INDEX)

    share = check(quiet).points["flagged"].mean()

    assert 0.004 < share < 0.02  # 43 of 4,320 on average


def test_points_of_a_series_that_cannot_be_judged_keep_their_columns() -> None:
    points = check(QUIET, released_at=INDEX[4]).points

    assert list(points) == [
        "kpi",
        "segment",
        "time",
        "observed",
        "expected",
        "lower",
        "upper",
        "z",
        "flagged",
    ]
    assert len(points) == 0


def test_a_report_is_strict_json_and_a_frame() -> None:
    report = check(pd.DataFrame({"a": MOVED, "b": QUIET, "empty": QUIET * np.nan}))

    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert {"schema", "verdict", "final", "release", "findings"} <= set(data)
    assert [finding["kpi"] for finding in data["findings"]] == ["a", "b", "empty"]
    assert list(report.to_frame()["verdict"]) == ["regressed", "ok", "no_data"]


# --- what it promises ---------------------------------------------------------------------------


def test_the_input_is_left_alone() -> None:
    frame, below = pd.DataFrame({"a": ERRORS, "b": MORE_ERRORS}).iloc[::-1], REQUESTS.copy()
    before = frame.copy(deep=True), below.copy(deep=True)

    check(frame, denominators=below)

    pd.testing.assert_frame_equal(frame, before[0])
    pd.testing.assert_series_equal(below, before[1])


MIXED = pd.DataFrame(
    {
        "quiet": QUIET,
        "moved": MOVED,
        "counts": REQUESTS,
        "few": ERRORS // 9,
        "constant": QUIET * 0 + 4,
        "gappy": QUIET.where(INDEX.minute != 15),
    }
)


@pytest.mark.slow
def test_the_same_input_gives_the_same_report_to_the_last_bit() -> None:
    first, second = check(MIXED), check(MIXED.copy(deep=True))

    assert all(
        same(left, right) for left, right in zip(first.findings, second.findings, strict=True)
    )
    pd.testing.assert_frame_equal(first.points, second.points, check_exact=True)
    assert first.to_dict() == second.to_dict()


@pytest.mark.slow
def test_the_order_of_the_columns_changes_nothing_to_the_last_bit() -> None:
    report, other = (
        check(MIXED),
        check(MIXED[["gappy", "few", "quiet", "constant", "counts", "moved"]]),
    )

    for finding in report.findings:
        assert same(finding, finding_of(other, finding.kpi))


@pytest.mark.slow
def test_a_column_is_judged_the_same_alone_but_for_its_level() -> None:
    report = check(MIXED)

    for finding in report.findings:
        alone = only(check(MIXED[finding.kpi]))
        assert (alone.p_value, alone.effect, alone.onset) == (
            finding.p_value,
            finding.effect,
            finding.onset,
        )


def test_a_release_within_a_step_leaves_that_step_out() -> None:
    moment: datetime = RELEASED.to_pydatetime() - timedelta(seconds=1)

    assert only(check(MOVED, released_at=moment)).verdict is Verdict.REGRESSED
    assert check(MOVED, released_at=moment).points["time"].iloc[0] == RELEASED


def test_a_report_holds_the_steps_beside_those_that_were_judged() -> None:
    report = check(finished_at=RELEASED + HOUR, warmup=HOUR)

    assert report.around is not None
    expected = QUIET.iloc[
        HISTORY - 72 : HISTORY + 24
    ]  # before the release, while it rolled out, and its warm-up
    assert report.around["observed"].tolist() == expected.tolist()
    assert [*report.around["time"]] == [*expected.index]
    assert set(report.around["time"]).isdisjoint(report.points["time"])
    before = report.around[report.around["time"] < RELEASED]
    inside = before["observed"].between(before["lower"], before["upper"])
    assert inside.mean() > 0.95
    assert before["expected"].between(before["lower"], before["upper"]).all()
    assert report.around["expected"].iloc[len(before) :].isna().all()  # while it rolls out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"tolerance": "much"}, "tolerance is str 'much'; give a number, such as 0.05, or a perc"),
        ({"tolerance": {"errors": True}}, "tolerance['errors'] is bool True; give a number"),
        ({"floor": [1]}, "floor is list"),
        ({"floor": {"error": 1}}, "names 'error', which is not a KPI; use some of errors (did you"),
        ({"watch": "soon"}, "watch is str 'soon'; give a timedelta"),
        ({"warmup": 5}, "warmup is int 5; give a timedelta"),
        ({"tolerance": True}, "tolerance is bool True; give a number"),
        ({"tolerance": 10**400}, "give a number, such as 0.05"),
        ({"tolerance": Decimal("0.05")}, "tolerance is Decimal Decimal('0.05'); give a number"),
        ({"watch": timedelta.max}, "give at most 36,500 days"),
        ({"warmup": pd.NaT}, "warmup is NaTType NaT; give a timedelta"),
        ({"released_at": 1_748_941_200}, "released_at is int 1748941200; give a datetime"),
        ({"released_at": "03/06/2025 10:00Z"}, "give a datetime with a time zone"),
        ({"released_at": datetime.min.replace(tzinfo=ZoneInfo("Asia/Tokyo"))}, "years 1678 to"),
        (
            {"until": np.datetime64("2025-03-01T10:00")},
            "until 2025-03-01T10:00:00 has no time zone",
        ),
        ({"finished_at": [5]}, "finished_at is list [5]; give a datetime"),
        ({"timezone": 5}, "timezone is int 5; give an IANA name"),
        ({"timezone": "../../etc/passwd"}, "use an IANA name like Europe/Berlin"),
        ({"timezone": "UTC\0"}, "use an IANA name like Europe/Berlin"),
        ({"special_days": 5}, "special_days is int 5; give a list of dates"),
        ({"leave_out": 5}, "leave_out is int 5; give a list of (start, end)"),
        ({"stages": [5]}, "stages has int 5; give a list of (time, share of users)"),
        ({"stages": [("2025-03-01T10:00Z", "all")]}, "the share of a stage is str 'all'"),
        ({"next_release": 5}, "next_release is int 5; give a datetime"),
        ({"direction": ["up"]}, "direction is list ['up']; use one of up, down, either"),
        ({"denominators": 5}, "denominators is a int; give a pandas Series or DataFrame"),
        ({"direction": {"errors": "in"}}, "direction['errors'] is 'in'; use one of up, down"),
        ({"direction": {"other": "up"}}, "direction names 'other', which is not a KPI; use some"),
        ({"kind": {"errors": "count"}}, "kind['errors'] is 'count'; use one of counts"),
        ({"false_alarms": "few"}, "false_alarms is str 'few'; give a number"),
        ({"false_alarms": "100%"}, "false_alarms is 1.0; use a share between 0 and 1"),
        ({"controls": 5}, "controls is int 5; give names of columns, or series"),
        ({"controls": [5]}, "controls[0] is int 5; give the name of a column, or a named Series"),
        ({"controls": [QUIET.rename(None)]}, "controls[0] is a Series without a name; use"),
        ({"controls": [ERRORS.rename("errors")]}, "a series 'errors', which is a column of series"),
        ({"controls": [QUIET.shift(freq="999D").rename("c")]}, "'c', which has no values at these"),
    ],
)
def test_an_argument_of_another_type_is_named(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        check(MORE_ERRORS, **arguments)


@pytest.mark.parametrize(
    ("series", "said"),
    [
        (QUIET.rename("\ud800"), "with a lone surrogate; rename it"),
        (pd.Series([10**400] * 3, INDEX[:3]), "series has values that are not numbers"),
        (
            pd.Series(1.0, pd.date_range("0001-01-01", periods=3, tz="UTC", unit="s")),
            "series has times outside of the years 1678 to 2261",
        ),
    ],
)
def test_a_series_beyond_what_can_be_judged_is_refused(series: pd.Series, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        check(series)


def test_arguments_as_people_write_them_are_understood() -> None:
    written = check(
        MORE_ERRORS, tolerance="5%", watch="1h", warmup="10m", direction="up", false_alarms="2%"
    )
    typed = check(
        MORE_ERRORS,
        tolerance=0.05,
        watch=timedelta(hours=1),
        warmup=timedelta(minutes=10),
        direction="up",
        false_alarms=0.02,
    )

    assert written.to_dict() == typed.to_dict()


def test_an_argument_may_be_a_mapping_by_kpi() -> None:
    frame = pd.DataFrame({"errors": MORE_ERRORS, "sales": MORE_ERRORS})

    report = check(
        frame,
        direction={"errors": "up", "sales": "down"},
        tolerance={"errors": "1%"},
        kind={"sales": "gauge"},
    )

    verdicts = {finding.kpi: finding.verdict for finding in report.findings}
    assert verdicts == {"errors": Verdict.REGRESSED, "sales": Verdict.IMPROVED}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["series", "frame", "list"])
def test_controls_may_be_series(form: str) -> None:
    control = QUIET.rename("other")
    frame = pd.DataFrame({"errors": MORE_ERRORS, "other": QUIET})
    given: Any = {"series": control, "frame": control.to_frame(), "list": [control]}[form]

    report = check(MORE_ERRORS, controls=given)

    assert report.to_dict() == check(frame, controls=["other"]).to_dict()


ZONES = ["UTC", "Europe/Berlin", "Europe/London", "America/New_York", "Asia/Tokyo"]


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("unit", "start"), [("D", "2025-01-06"), ("MS", "2014-01-01")])
def test_days_and_months_of_any_zone_are_judged_or_the_advice_helps(
    zone: str, unit: str, start: str
) -> None:
    index = pd.date_range(start, periods=130, freq=unit, tz=zone)
    values = pd.Series(np.random.default_rng(4).normal(100, 3, 130), index, name="kpi")
    utc = values.tz_convert("UTC")
    naive = values.tz_localize(None)
    expected = anomaly.check(values, released_at=index[120]).to_dict()["findings"]

    def findings(series: Any, **how: Any) -> object:
        return anomaly.check(series, released_at=index[120], **how).to_dict()["findings"]

    assert findings(naive, timezone=zone) == expected
    assert findings(naive.to_period(unit[0]), timezone=zone) == expected
    assert findings(utc, timezone=zone) == expected
    try:
        assert findings(utc)
    except UsageError as error:
        assert f"use timezone='{zone}'" in str(error)  # noqa: PT017  only some are refused


@pytest.mark.slow
def test_months_may_be_stamped_by_their_last_days() -> None:
    starts = pd.date_range("2014-01-01", periods=130, freq="MS", tz="Europe/Berlin")
    ends = pd.date_range("2014-01-01", periods=130, freq="ME", tz="Europe/Berlin")
    values = np.random.default_rng(4).normal(100, 3, 130)

    by_start, by_end = (
        anomaly.check(pd.Series(values, index, name="kpi"), released_at=starts[120])
        for index in (starts, ends)
    )

    assert by_end.to_dict() == by_start.to_dict()


@pytest.mark.slow
def test_times_without_a_zone_are_in_the_timezone_that_is_given() -> None:
    zone = "Europe/Berlin"
    index = pd.date_range("2025-10-10", periods=24 * 20, freq="h", tz=zone)
    values = pd.Series(np.random.default_rng(4).normal(100, 3, len(index)), index, name="kpi")

    wall = values.tz_localize(None)

    reports = [
        anomaly.check(given, released_at="2025-10-28 09:00", timezone=zone).to_dict()
        for given in (wall, wall[::-1])
    ]

    zoned = anomaly.check(
        values, released_at=pd.Timestamp("2025-10-28 09:00", tz=zone), timezone=zone
    )
    assert reports == [zoned.to_dict()] * 2
    with pytest.raises(UsageError, match="are no times of timezone 'Europe/Berlin'"):
        anomaly.check(wall[~wall.index.duplicated()], released_at="2025-10-28T09:00", timezone=zone)


HOURS = np.arange(400)
APART = pd.DataFrame(
    {"Date": [f"2025-05-{1 + hour // 24:02}" for hour in HOURS], "Hour": HOURS % 24, "orders": 9.0}
)
TO_24 = [f"2025-05-{1 + hour // 24:02} {hour % 24 + 1:02}:00" for hour in HOURS]


@pytest.mark.parametrize(
    "series",
    [APART, APART.set_index(["Date", "Hour"])["orders"], pd.Series(9.0, TO_24)],
    ids=["columns", "levels", "24:00"],
)
def test_the_advice_for_hours_beside_their_dates_can_be_followed(
    series: pd.Series | pd.DataFrame,
) -> None:
    with pytest.raises(UsageError) as refused:
        anomaly.check(series, released_at="2025-05-15T00:00Z")
    advice = str(refused.value).partition("; use ")[2]
    followed = eval(advice, {"pd": pd, "series": series})  # noqa: S307  what the user is told to write
    assert followed.index[24] - followed.index[0] == timedelta(days=1)
    assert anomaly.check(followed, released_at="2025-05-15T00:00Z").findings
