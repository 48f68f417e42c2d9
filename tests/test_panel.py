"""What a stamp means, and what counts as history, as transition and as watched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.errors import UsageError
from anomaly.model import Empty, Kpi, Release, ReleaseVerdict, Verdict, Window
from anomaly.panel import (
    DENOMINATOR,
    NUMERATOR,
    VALUE,
    assemble,
    block,
    grid,
    only_grows,
    prepare,
    segment_labels,
    segment_text,
    step_of,
    with_new_kinds,
)
from anomaly.steps import align
from anomaly.timing.spans import plan
from tests.support.simulations import STARTED, WINDOWS, finding_of, look, noise, only

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE, STEP = timedelta(minutes=1), timedelta(minutes=5)
HISTORY_STEPS = WINDOWS.history // STEP
LATER = STARTED + timedelta(days=2)  # the watch is long over
QUIET = 100 + noise(1, HISTORY_STEPS + 1000)

moments = st.timedeltas(timedelta(days=7000), timedelta(days=25_000)).map(lambda age: EPOCH + age)
steps = st.sampled_from([1, 7, 15, 60, 300, 900, 3600, 5400, 86_400]).map(
    lambda seconds: timedelta(seconds=seconds)
)
lengths = st.timedeltas(timedelta(seconds=1), timedelta(days=3))
labels = st.dictionaries(
    st.text(max_size=8),
    st.text(st.sampled_from("aé,=\\\n\"' {}") | st.characters(), max_size=8),
    max_size=4,
)


def at(clock: str) -> datetime:
    """A time on the day of the release, in UTC."""
    return datetime.fromisoformat(f"2025-03-05T{clock}+00:00")


# --- the grid -----------------------------------------------------------------------------------


@given(moments, steps)
def test_a_moment_lies_in_the_step_that_starts_at_its_stamp(
    moment: datetime, step: timedelta
) -> None:
    stamp = align(moment, step)

    assert stamp <= moment < stamp + step
    assert (stamp - EPOCH) % step == timedelta(0)
    assert align(stamp, step) == stamp


@pytest.mark.slow
@given(moments, lengths, steps.filter(lambda step: step >= timedelta(minutes=1)))
def test_the_grid_holds_every_whole_step_of_a_window_and_no_other(
    start: datetime, length: timedelta, step: timedelta
) -> None:
    window = Window(start, start + length)

    index = grid(window, step)

    first = (
        align(start - timedelta(microseconds=1), step) + step
    )  # the first stamp at or after the start
    expected = [first + i * step for i in range(max(0, (window.end - first) // step))]
    assert [stamp.to_pydatetime() for stamp in index] == expected


def test_two_windows_that_meet_share_no_step() -> None:
    left, right = (
        grid(Window(at("10:02"), at("12:00")), STEP),
        grid(Window(at("12:00"), at("13:00")), STEP),
    )

    assert left[-1] == at("11:55")
    assert right[0] == at("12:00")


def test_the_step_is_read_off_the_panel() -> None:
    assert step_of(assemble({}, grid(Window(at("10:00"), at("11:00")), STEP))) == STEP


@pytest.mark.parametrize(
    "index",
    [
        pd.DatetimeIndex([at("10:00")]),
        pd.DatetimeIndex([at("10:00"), at("10:05"), at("10:15")]),
        pd.DatetimeIndex([at("10:05"), at("10:00")]),
        pd.DatetimeIndex([at("10:00"), at("10:00")]),
    ],
    ids=["one row", "irregular", "reversed", "repeated"],
)
def test_a_panel_without_one_increasing_step_is_refused(index: pd.DatetimeIndex) -> None:
    with pytest.raises(UsageError, match="one regular, increasing step"):
        step_of(pd.DataFrame(index=index))


# --- segments -----------------------------------------------------------------------------------


@pytest.mark.slow
@given(labels)
def test_a_segment_survives_its_text(segment: dict[str, str]) -> None:
    assert segment_labels(segment_text(segment)) == segment


@pytest.mark.slow
@given(labels)
def test_the_text_of_a_segment_does_not_depend_on_the_order_of_its_labels(
    segment: dict[str, str],
) -> None:
    assert segment_text(dict(reversed(segment.items()))) == segment_text(segment)


def test_the_text_of_a_segment_reads_as_written_in_the_docs() -> None:
    assert segment_text({"plan": "pro", "country": "DE"}) == "country=DE,plan=pro"
    assert segment_text({"a": "x,y=z\\"}) == r"a=x\,y\=z\\"
    assert segment_text({}) == ""


# --- rates, absence, ratios ---------------------------------------------------------------------


def panel_of(**columns: list[float]) -> pd.DataFrame:
    """A panel of a few steps; `a__numerator` is the role of KPI `a`, a plain name its value."""
    keys = {
        name: (name.partition("__")[0], "", name.partition("__")[2] or VALUE) for name in columns
    }
    count = len(next(iter(columns.values())))
    index = grid(Window(at("10:00"), at("10:00") + count * STEP), STEP)
    return assemble(
        {keys[name]: np.array(values, dtype=float) for name, values in columns.items()}, index
    )


def column(panel: pd.DataFrame, kpi: str, role: str = VALUE) -> list[float]:
    return [float(value) for value in panel[(kpi, "", role)]]


def test_infinity_is_missing() -> None:
    panel = panel_of(a=[1, np.inf, -np.inf, np.nan])

    np.testing.assert_array_equal(column(panel, "a"), [1, np.nan, np.nan, np.nan])


def test_a_rate_becomes_a_count_per_step() -> None:
    panel = panel_of(a__numerator=[0.5, np.nan], a__denominator=[2, 4], b=[0.5, 1])

    out = prepare(panel, [Kpi("a", denominator="d", per=timedelta(seconds=1)), Kpi("b")], STEP)

    np.testing.assert_array_equal(column(out, "a", NUMERATOR), [150, np.nan])
    assert column(out, "a", DENOMINATOR) == [600, 1200]
    assert column(out, "b") == [0.5, 1]


def test_absence_is_zero_only_where_that_is_declared() -> None:
    panel = panel_of(a=[1, np.nan, 3], b=[1, np.nan, 3])

    out = prepare(panel, [Kpi("a", empty=Empty.ZERO), Kpi("b")], STEP)

    assert column(out, "a") == [1, 0, 3]
    np.testing.assert_array_equal(column(out, "b"), [1, np.nan, 3])


@pytest.mark.parametrize(
    ("first", "filled"), [(2, 2), (7, 7), (8, 0), (9, 0)], ids=["early", "7 of 10", "late", "last"]
)
def test_a_short_history_is_not_prolonged_and_what_begins_late_had_none_before(
    first: int, filled: int
) -> None:
    values = [np.nan] * 10
    values[first] = 3

    out = prepare(panel_of(a=values), [Kpi("a", empty=Empty.ZERO)], STEP)

    there = np.flatnonzero(~np.isnan(np.array(column(out, "a"))))
    assert there.tolist() == [*range(filled, 10)]


@pytest.mark.parametrize(
    ("born", "every", "filled"),
    [(104, 1, 104), (104, 2, 104), (116, 1, 0), (120, 1, 0), (104, 9, 0)],
    ids=["young", "young and quiet", "just before", "with the release", "a first error"],
)
def test_the_history_of_a_young_service_is_not_prolonged(
    born: int, every: int, filled: int
) -> None:
    values = np.full(130, np.nan)
    values[born::every] = 3

    panel = panel_of(a=values.tolist())
    out = prepare(panel, [Kpi("a", empty=Empty.ZERO)], STEP, panel.index[120])

    there = np.flatnonzero(~np.isnan(np.array(column(out, "a"))))
    assert there.tolist() == [*range(filled, 130)]


def test_absence_is_zero_whatever_other_kpis_have() -> None:
    values = [np.nan, np.nan, 1, np.nan, 3]
    kpis = [Kpi("a", empty=Empty.ZERO), Kpi("b")]

    alone = prepare(panel_of(a=values), kpis[:1], STEP)
    beside = prepare(panel_of(a=values, b=[2, 2, 2, 2, 2]), kpis, STEP)

    np.testing.assert_array_equal(column(alone, "a"), column(beside, "a"))


@pytest.mark.parametrize(
    ("denominator", "roles"), [(None, [VALUE]), ("requests", [NUMERATOR, DENOMINATOR])]
)
def test_a_kpi_that_no_series_matched_is_zero_throughout_where_absence_is_zero(
    denominator: str | None, roles: list[str]
) -> None:
    panel = panel_of(b=[np.nan, 2, 2])

    out = prepare(panel, [Kpi("a", denominator=denominator, empty=Empty.ZERO), Kpi("b")], STEP)

    for role in roles:
        np.testing.assert_array_equal(column(out, "a", role), [0, 0, 0])


def test_no_segment_is_invented() -> None:
    out = prepare(panel_of(b=[1, 2]), [Kpi("a", by=("country",), empty=Empty.ZERO), Kpi("b")], STEP)

    assert set(out.columns.get_level_values("kpi")) == {"b"}


def test_preparing_leaves_its_input_alone() -> None:
    panel = panel_of(a=[1, np.nan, 3])
    before = panel.copy(deep=True)

    prepare(panel, [Kpi("a", empty=Empty.ZERO, per=MINUTE)], STEP)

    pd.testing.assert_frame_equal(panel, before)


def test_a_ratio_is_judged_as_a_share_of_its_counts() -> None:
    series = block(panel_of(a__numerator=[3, 3000, 0], a__denominator=[40, 40_000, 10]))

    assert series.ratio.tolist() == [True]
    assert series.value.tolist() == [[0.075, 0.075, 0]]
    assert series.volume.tolist() == [[40, 40_000, 10]]


def test_a_step_without_traffic_has_no_value_but_is_present() -> None:
    series = block(panel_of(a__numerator=[0, 1], a__denominator=[0, 2]))

    np.testing.assert_array_equal(series.value, [[np.nan, 0.5]])
    assert series.present.tolist() == [[True, True]]


@pytest.mark.parametrize(
    "columns",
    [
        {"a__numerator": [1.0, 1.0]},
        {"a__denominator": [1.0, 1.0]},
        {"a__numerator": [1.0, 1.0], "a__denominator": [np.nan, np.nan]},
    ],
    ids=["no denominator", "no numerator", "an empty denominator"],
)
def test_half_a_ratio_is_missing(columns: dict[str, list[float]]) -> None:
    series = block(panel_of(**columns))

    assert np.isnan(series.value).all()
    assert not series.present.any()


def test_a_plain_value_counts_for_itself() -> None:
    series = block(panel_of(a=[5, np.nan, 0]))

    np.testing.assert_array_equal(series.value, [[5, np.nan, 0]])
    np.testing.assert_array_equal(series.volume, [[1, np.nan, 1]])
    assert series.present.tolist() == [[True, False, True]]


# --- before, between, after ---------------------------------------------------------------------


def test_steps_that_touch_the_transition_are_on_neither_side() -> None:
    release = Release(at("12:03"), at("12:11"))  # and 10 minutes of warm-up: until 12:21
    values = QUIET.copy()
    touched = slice(
        HISTORY_STEPS - 1, HISTORY_STEPS + 4
    )  # 12:00 … 12:20; the grid begins at 12:05 three days before
    values[touched] = 1e6

    report = look(values, release=release, now=LATER)

    assert only(report).verdict is Verdict.OK
    assert report.points["time"].iloc[0] == at("12:25")
    assert only(report).evidence.history_steps == HISTORY_STEPS - 1


def test_steps_that_touch_the_transition_only_at_its_edge_are_used() -> None:
    values = QUIET.copy()
    values[HISTORY_STEPS + 2] = 1e4  # 12:10: release at 12:00 and 10 minutes of warm-up

    report = look(values, now=LATER)

    assert report.points["time"].iloc[0] == at("12:10")
    assert bool(report.points["flagged"].iloc[0])
    assert only(report).evidence.history_steps == HISTORY_STEPS


def test_steps_that_have_not_settled_are_left_out() -> None:
    values = QUIET.copy()
    values[HISTORY_STEPS + 11 :] = 0  # 12:55 ends at 13:00, which is less than two minutes ago

    report = look(values, now=at("13:01"))

    assert report.points["time"].iloc[-1] == at("12:50")
    assert only(report).reason == "nothing so far, 9 of 72 steps"


def test_what_comes_after_the_watch_is_not_looked_at() -> None:
    watched = WINDOWS.watch // STEP
    values = QUIET.copy()
    values[HISTORY_STEPS + 2 + watched :] = 1e6

    report = look(values, now=LATER)

    assert only(report).verdict is Verdict.OK
    assert report.points["time"].iloc[-1] == at("18:05")
    assert (only(report).steps, only(report).steps_planned) == (watched, watched)


def test_the_planned_steps_are_those_that_fit_into_the_watch() -> None:
    release = Release(
        at("12:03")
    )  # the transition ends at 12:13, the watch at 18:13: 12:15 … 18:05 are whole

    finding = only(look(QUIET, release=release, now=LATER))

    assert (finding.steps, finding.steps_planned) == (71, 71)


# --- final or not: the clock says ---------------------------------------------------------------


def died(values: np.ndarray, steps_seen: int) -> np.ndarray:
    """The values, missing after some steps of the watch."""
    out = values.copy()
    out[HISTORY_STEPS + 2 + steps_seen :] = np.nan
    return out


def test_a_look_is_final_when_the_watch_is_over_and_settled() -> None:
    over = STARTED + WINDOWS.warmup + WINDOWS.watch + WINDOWS.lag

    assert not look(QUIET, now=over - timedelta(seconds=1)).final
    assert look(QUIET, now=over).final


@pytest.mark.parametrize("rows", [None, HISTORY_STEPS + 12], ids=["empty rows", "no rows"])
def test_a_source_that_dies_is_missing_data_and_not_an_early_look(rows: int | None) -> None:
    report = look(died(QUIET, 10), now=LATER, rows=rows)

    assert report.final
    assert report.verdict is ReleaseVerdict.INCONCLUSIVE
    assert only(report).verdict is Verdict.NO_DATA
    assert "62 of 72 steps missing since the release" in only(report).reason


def test_a_source_that_dies_is_missing_data_even_while_others_live() -> None:
    columns = {
        ("dead", "", VALUE): died(QUIET, 10),
        ("alive", "", VALUE): 100 + noise(2, len(QUIET)),
    }

    report = look(columns, [Kpi("dead"), Kpi("alive")], now=LATER)

    assert finding_of(report, "dead").verdict is Verdict.NO_DATA
    assert finding_of(report, "alive").verdict is Verdict.OK


def test_until_ends_the_watch_and_makes_the_look_final() -> None:
    report = look(QUIET, now=LATER, until=at("14:10"))

    assert report.final
    assert only(report).verdict is Verdict.OK
    assert only(report).steps_planned == 24
    assert report.points["time"].iloc[-1] == at("14:05")
    assert report.observation == Window(at("12:10"), at("14:10"))


def test_nothing_is_said_while_the_transition_lasts() -> None:
    report = look(QUIET, now=at("12:06"))

    assert not report.final
    assert report.verdict is ReleaseVerdict.INCONCLUSIVE
    assert only(report).reason == "nothing so far, 0 of 72 steps"


@pytest.mark.parametrize(
    ("now", "until", "text"),
    [
        (
            "11:59",
            None,
            (
                "the release starts 2025-03-05T12:00:00+00:00, in the future (now is "
                "2025-03-05T11:59:00+00:00)"
            ),
        ),
        ("14:00", "15:00", "until is 2025-03-05T15:00:00+00:00, in the future"),
        (
            "14:00",
            "12:10",
            (
                "until is 2025-03-05T12:10:00+00:00, before the watch begins at "
                "2025-03-05T12:10:00+00:00"
            ),
        ),
    ],
)
def test_times_that_make_no_sense_are_refused(now: str, until: str | None, text: str) -> None:
    with pytest.raises(UsageError) as error:
        plan(Release(STARTED), WINDOWS, now=at(now), until=None if until is None else at(until))

    assert text in str(error.value)


def test_a_naive_now_is_refused() -> None:
    with pytest.raises(UsageError, match="now 2025-03-05T13:00:00 has no time zone"):
        # being naive is the point
        plan(Release(STARTED), WINDOWS, now=datetime(2025, 3, 5, 13))  # noqa: DTZ001


# --- new kinds of errors ------------------------------------------------------------------------


def kinds(**first: int) -> np.ndarray:
    """Segments that have a 1 in each of 100 rows from their first on."""
    rows = np.arange(100)[:, None]
    return np.where(rows >= np.array([*first.values()]), 1.0, np.nan)


def test_a_kind_that_was_never_seen_before_was_not_there() -> None:
    values = kinds(old=0, new=90)
    values[40, 0] = np.nan  # nothing was measured
    values[95, 1] = np.nan
    filled = with_new_kinds(values)
    assert np.isnan(filled[40]).all()
    assert filled[[0, 39, 41, 89, 95], 1].tolist() == [0] * 5
    assert filled[[90, 94, 96, 99], 1].tolist() == [1] * 4
    assert np.isnan(values[0, 1])


@pytest.mark.parametrize(
    "first", [{"a": 90, "b": 95}, {"a": 0, "b": 30, "c": 60, "d": 90}, {"a": 0, "b": 79}, {}]
)
def test_where_new_kinds_are_usual_or_all_are_new_they_stay_missing(first: dict[str, int]) -> None:
    values = kinds(**first)
    assert np.array_equal(with_new_kinds(values), values, equal_nan=True)


def test_what_only_grows_and_falls_to_zero_is_like_a_counter() -> None:
    counter = np.arange(200.0) % 150
    walk = np.random.default_rng(1).normal(0, 1, 200).cumsum()

    assert only_grows(counter)
    assert not only_grows(walk)
    assert not only_grows(np.full(200, 5.0))
    assert not only_grows(np.concatenate([counter[:100], [50.0], counter[:100]]))
    assert not only_grows(counter[:50])


def test_what_starts_over_every_so_often_is_no_counter() -> None:
    restarts = np.concatenate([np.arange(float(n)) for n in (90, 150, 70, 190, 100)])

    assert only_grows(restarts)
    assert not only_grows(np.arange(600.0) % 100)
