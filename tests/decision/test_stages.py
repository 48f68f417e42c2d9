"""Releases in stages, and watches that the next release ends: their spans, what is found, and what
is said of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.baseline.transform import Scale
from anomaly.decision.stages import growth
from anomaly.errors import UsageError
from anomaly.model import Finding, Growth, Kpi, Release, Verdict, Windows
from anomaly.notebook.check import check
from anomaly.panel import DENOMINATOR, NUMERATOR, segment_text
from anomaly.reporting.report import Report
from anomaly.scoring.effect import Effect
from anomaly.timing.spans import plan
from tests.support.draws import Limit
from tests.support.simulations import (
    STARTED,
    WINDOWS,
    Floats,
    frame,
    look,
    noise,
    only,
    remembering,
)

HISTORY, PLATEAU = 1440, 36  # steps
STEP = timedelta(minutes=5)
WARMUP = timedelta(minutes=10)
SHARES = (0.05, 0.25, 1.0)
MINUTES = timedelta(minutes=1)
INDEX = pd.date_range("2025-03-01", periods=HISTORY + len(SHARES) * PLATEAU, freq=STEP, tz="UTC")
STAGES = [(INDEX[HISTORY + i * PLATEAU], share) for i, share in enumerate(SHARES)]
BY_SHARE = np.concatenate([np.zeros(HISTORY), np.repeat(SHARES, PLATEAU)])
AT_ONCE = (BY_SHARE > 0).astype(float)
AT_FULL = (BY_SHARE == 1).astype(float)


def staged(change: Floats, *seeds: int, alarms: float = 0.01, **options: object) -> Report:
    """The report on a release in three stages that multiplies series with a daily rhythm, one for
    each seed, by 1 + `change`. Each has the share of the false alarms that it would have alone; see
    `regressed`."""
    day = 1 + 0.2 * np.sin(2 * np.pi * np.arange(len(INDEX)) / 288)
    columns = [
        200 * day * (1 + 0.03 * remembering(0.5, seed, len(INDEX))) * (1 + change) for seed in seeds
    ]
    return check(
        frame(np.stack(columns, axis=1), INDEX),
        released_at=STAGES[0][0],
        stages=STAGES,
        warmup=WARMUP,
        direction="down",
        false_alarms=alarms * len(seeds),
        **options,  # type: ignore[arg-type]
    )


def regressed(finding: Finding, alarms: float = 0.01) -> bool:
    """Whether it would have regressed alone."""
    return finding.verdict is Verdict.REGRESSED and (finding.p_value or 0.0) < alarms


# --- the spans ----------------------------------------------------------------------------------


def minutes(at: datetime) -> float:
    """Since the release started."""
    return (at - STARTED) / MINUTES


@st.composite
def staged_releases(draw: st.DrawFn) -> tuple[Release, Windows, datetime]:
    """A release in one to four stages, windows, and a moment at which it is looked at."""
    pauses = draw(st.lists(st.integers(0, 200), min_size=1, max_size=4))
    times = [
        STARTED + after * MINUTES
        for after in accumulate(pause + (i > 0) for i, pause in enumerate(pauses))
    ]
    shares = sorted(draw(st.sets(st.integers(1, 100), min_size=len(times), max_size=len(times))))
    finished = times[-1] + draw(st.integers(0, 30)) * MINUTES
    windows = Windows(
        history=timedelta(hours=6),
        warmup=draw(st.integers(0, 40)) * MINUTES,
        watch=draw(st.integers(5, 400)) * MINUTES,
        step=STEP,
    )
    followed_by = draw(
        st.none() | st.integers(1, 900).map(lambda after: Release(STARTED + after * MINUTES))
    )
    stages = tuple((at, share / 100) for at, share in zip(times, shares, strict=True))
    release = Release(STARTED, finished, stages=stages, followed_by=followed_by)
    return release, windows, STARTED + draw(st.integers(0, 2000)) * MINUTES


@pytest.mark.slow
@given(staged_releases())
def test_no_observed_step_touches_a_transition_and_every_other_settled_one_is_observed(
    case: tuple[Release, Windows, datetime],
) -> None:
    release, windows, now = case
    spans = plan(release, windows, now=now)
    transitions = [
        (begin, end + windows.warmup)
        for begin, end in zip(
            [release.started_at, *(at for at, _ in release.stages[1:])],
            [*(at for at, _ in release.stages[:-1]), release.finished],
            strict=True,
        )
    ]
    planned_end = release.finished + windows.warmup + windows.watch
    over = (
        planned_end
        if release.followed_by is None
        else min(planned_end, release.followed_by.started_at)
    )
    reach = min(over, now - windows.lag)
    begin = STEP // MINUTES * np.arange(-20, 500)
    end = begin + STEP // MINUTES
    observed = np.zeros(len(begin), int)
    for each in spans.reached:
        observed += (minutes(each.window.start) <= begin) & (end <= minutes(each.window.end))
    clear = np.ones(len(begin), bool)
    for start, stop in transitions:
        clear &= (begin >= minutes(stop)) | (minutes(start) >= end)
    assert (observed == ((begin >= 0) & (end <= minutes(reach)) & clear)).all()
    assert not ((observed > 0) & (end <= minutes(spans.baseline.end))).any()


@pytest.mark.slow
@given(staged_releases(), st.integers(-5000, 5000))
def test_the_planned_steps_are_those_that_will_be_observed(
    case: tuple[Release, Windows, datetime], offset: int
) -> None:
    release, windows, _ = case
    alone = Release(release.started_at, release.finished_at, stages=release.stages)
    spans = plan(alone, windows, now=STARTED + timedelta(days=3))
    begin = offset + STEP // MINUTES * np.arange(-1500, 1500)
    end = begin + STEP // MINUTES
    observed = [
        (minutes(each.window.start) <= begin) & (end <= minutes(each.window.end))
        for each in spans.reached
    ]
    assert spans.steps(STARTED + offset * MINUTES, STEP) == np.sum(observed)


def test_a_release_in_one_stage_is_planned_as_one_without() -> None:
    now = STARTED + timedelta(days=1)
    one = Release(STARTED, STARTED + WARMUP, stages=((STARTED, 1.0),))
    assert plan(one, WINDOWS, now=now) == plan(Release(STARTED, STARTED + WARMUP), WINDOWS, now=now)


def test_what_happens_in_the_warmup_of_a_stage_is_not_looked_at() -> None:
    change = np.zeros(len(INDEX))
    for i in range(len(SHARES)):
        change[HISTORY + i * PLATEAU : HISTORY + i * PLATEAU + 2] = 5.0
    report = staged(change, 1)
    assert report.verdict == "pass"
    assert only(report).steps == only(report).steps_planned == len(SHARES) * (PLATEAU - 2)
    assert set(INDEX[HISTORY:]) - set(report.points["time"]) == set(INDEX[np.flatnonzero(change)])


# --- what is refused ----------------------------------------------------------------------------


def at(hour: int) -> datetime:
    return datetime(2025, 6, 3, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        (
            [(at(8), 0.5)],
            "stage 1 is at 2025-06-03T08:00:00.00:00, before the release starts at 2025-06-03T09",
        ),
        ([(at(9), 0.1), (at(9), 1)], "stage 2 is at .*, not after stage 1 at"),
        (
            [(at(9), 0.5), (at(10), 0.5)],
            "share of stage 2 is 0.5; it must be more than the 0.5 before it and at most 1",
        ),
        ([(at(9), 0)], "share of stage 1 is 0; it must be more than 0 and at most 1"),
        ([(at(9), 5)], "share of stage 1 is 5; it must be more than 0 and at most 1"),
        ([(at(9), float("nan"))], "share of stage 1 is nan"),
        (
            [(at(9), 0.5), (at(13), 1)],
            "the last stage is at .*, after the release ends at 2025-06-03T12",
        ),
        ([(datetime(2025, 6, 3, 9), 1)], "no time zone"),  # noqa: DTZ001  being naive is the point
    ],
)
def test_stages_that_make_no_sense_are_refused(
    stages: list[tuple[datetime, float]], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        Release(at(9), at(12), stages=tuple(stages))


def test_a_release_ends_with_its_last_stage_unless_told_otherwise() -> None:
    assert Release(at(9), stages=((at(9), 0.1), (at(11), 1.0))).finished == at(11)


def test_a_release_is_aborted_after_it_began() -> None:
    assert Release(at(9), aborted_at=at(9)).aborted_at == at(9)
    with pytest.raises(UsageError, match=r"aborted .*T08:00:00.*, before it starts"):
        Release(at(9), aborted_at=at(8))
    with pytest.raises(UsageError, match="no time zone"):
        Release(at(9), aborted_at=datetime(2025, 6, 3, 10))  # noqa: DTZ001  being naive is the point


def test_the_next_release_comes_later() -> None:
    with pytest.raises(UsageError, match="not after this one"):
        Release(at(9), followed_by=Release(at(9)))


# --- growth -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_quiet_releases_in_stages_alarm_no_more_often_than_promised() -> None:
    """At 5 %; more than 9 of 60 would happen by chance in one of a thousand runs."""
    few, quiet = Limit(9, of=60, first=15, early=0), np.zeros(len(INDEX))

    def alarms(some: slice) -> int:
        seeds = range(few.of)[some]
        return sum(
            regressed(finding, 0.05)
            for first in range(0, len(seeds), 15)
            for finding in staged(quiet, *seeds[first : first + 15], alarms=0.05).findings
        )

    assert few.excess(alarms) == 0


@pytest.mark.slow
def test_an_effect_that_follows_the_stages_is_said_to_grow() -> None:
    seen = staged(-0.2 * BY_SHARE, *range(10)).findings
    assert all(map(regressed, seen))
    assert [finding.exposure and finding.exposure.growth for finding in seen].count(
        Growth.GROWS
    ) >= 9
    exposure = seen[0].exposure
    assert exposure is not None
    assert [each.share for each in exposure.plateaus] == list(SHARES)
    assert [each.window.start for each in exposure.plateaus] == [
        begin + WARMUP for begin, _ in STAGES
    ]
    assert "; grows with exposure: " in seen[0].reason


@pytest.mark.slow
def test_an_effect_that_is_there_at_five_percent_already_is_said_not_to_grow() -> None:
    seen = staged(-0.1 * AT_ONCE, *range(20)).findings
    said = Counter(finding.exposure and finding.exposure.growth for finding in seen)
    assert all(map(regressed, seen))
    assert said[Growth.DOES_NOT_GROW] >= 16
    assert said[Growth.GROWS] <= 4  # one in twenty is allowed to
    assert any(
        "does not grow with exposure, so the release may not be the cause: " in finding.reason
        for finding in seen
    )


@pytest.mark.slow
def test_plateaus_before_it_do_not_dilute_the_last_one() -> None:
    """Over the whole observation it is a third: within the tolerance."""
    seen = staged(-0.12 * AT_FULL, *range(10), tolerance=0.06).findings
    assert sum(map(regressed, seen)) >= 9
    assert seen[0].reason.startswith("at 100 % of users: ")
    assert seen[0].effect == pytest.approx(-0.12, abs=0.03)


@pytest.mark.slow
def test_a_change_that_is_over_by_the_last_stage_has_recovered() -> None:
    assert only(staged(-0.3 * (AT_ONCE - AT_FULL), 3)).verdict is Verdict.RECOVERED


@pytest.mark.slow
def test_each_segment_keeps_its_own_volume_when_the_last_stage_decides() -> None:
    sessions = {"country=DE": 900.0, "country=FR": 300.0, "country=US": 100.0}
    steps = HISTORY + len(SHARES) * PLATEAU
    start = STARTED - HISTORY * STEP
    stages = tuple((STARTED + i * PLATEAU * STEP, share) for i, share in enumerate(SHARES))
    columns = {}
    for number, (segment, count) in enumerate(sessions.items()):
        columns["errors", segment, NUMERATOR] = 0.1 * count * (1 + 0.02 * noise(10 + number, steps))
        columns["errors", segment, DENOMINATOR] = np.full(steps, count)

    report = look(
        columns,
        [Kpi("errors", query="errors", denominator="sessions", by=("country",))],
        now=start + steps * STEP + timedelta(days=1),
        release=Release(STARTED, stages=stages),
        windows=Windows(HISTORY * STEP, WARMUP, PLATEAU * STEP - WARMUP, STEP, timedelta(0)),
    )

    segments = [finding for finding in report.findings if not finding.total]
    assert all(finding.reason.startswith("at 100 % of users: ") for finding in segments)
    assert {segment_text(finding.segment): finding.volume for finding in segments} == {
        segment: count * segments[0].steps for segment, count in sessions.items()
    }


def test_what_is_no_change_of_level_has_no_exposure() -> None:
    assert only(staged(np.zeros(len(INDEX)), 0)).exposure is None


def effects(moves: Floats, errors: Floats) -> list[Effect]:
    return [
        Effect(1.0, 1.0, Scale.IDENTITY, 1.0, move, error, 30.0)
        for move, error in zip(moves, errors, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("together", [0.0, 0.5, 0.95])
def test_growth_is_stated_wrongly_in_at_most_one_of_twenty_cases_however_errors_go_together(
    together: float,
) -> None:
    """5 % and three standard errors of 4,000 cases are 6 %."""
    own, common = noise(5, 4000, 3), noise(6, 4000, 1)
    errors = np.array([0.01, 0.012, 0.008])
    off = (np.sqrt(1 - together) * own + np.sqrt(together) * common) * errors
    few = Limit(240, of=4000, first=1000, early=48)

    def wrong(moves: Floats, statement: Growth) -> Callable[[slice], int]:
        return lambda some: sum(
            growth(SHARES, effects(moves + each, errors), 1.0) is statement for each in off[some]
        )

    assert few.excess(wrong(np.full(3, 0.05), Growth.GROWS)) == 0
    assert few.excess(wrong(0.03 * np.array(SHARES), Growth.DOES_NOT_GROW)) == 0


def test_errors_as_large_as_numbers_are_leave_growth_unclear() -> None:
    found = growth(SHARES, effects(np.ones(3), np.full(3, 1e200)), 1.0)
    assert found is Growth.UNCLEAR


def test_a_query_that_matched_at_the_first_stage_alone_is_not_called_wrong() -> None:
    """Without history nothing can be judged, but the query is right."""
    values = pd.Series(np.nan, INDEX, name="orders")
    values[STAGES[0][0] : STAGES[0][0] + PLATEAU // 2 * STEP] = 5.0
    finding = only(
        check(values, released_at=STAGES[0][0], stages=STAGES, direction="down", no_data="fail")
    )
    assert finding.verdict is Verdict.INCONCLUSIVE


# --- looks --------------------------------------------------------------------------------------


def test_stages_still_to_come_belong_to_the_plan() -> None:
    stages = ((STARTED, 0.05), (STARTED + timedelta(hours=3), 1.0))
    values = 100 + noise(1, 2000)
    early = look(
        values, release=Release(STARTED, stages=stages), now=STARTED + timedelta(hours=2, minutes=2)
    )
    assert not early.final
    assert (
        only(early).reason == "nothing so far, 22 of 106 steps"
    )  # 34 at 5 %, then the 72 of the watch


def test_a_large_change_is_found_at_the_first_stage() -> None:
    values = 100 + noise(1, 2000)
    values[WINDOWS.history // STEP :] += 20
    release = Release(STARTED, stages=((STARTED, 0.05), (STARTED + timedelta(hours=3), 1.0)))
    assert look(values, release=release, now=STARTED + timedelta(hours=2)).verdict == "fail"


# --- the next release ---------------------------------------------------------------------------

NEXT = "1.4.3"


def followed(after: timedelta, values: Floats, now: timedelta = timedelta(days=1)) -> Report:
    release = Release(STARTED, followed_by=Release(STARTED + after, version=NEXT))
    return look(values, (Kpi("kpi"),), release=release, now=STARTED + now)


def test_the_next_release_ends_the_watch_and_is_named() -> None:
    values = 100 + noise(2, 2000)
    values[WINDOWS.history // STEP + 60 :] += 50  # the work of the next one
    report = followed(timedelta(hours=5), values)
    assert (report.verdict, report.final) == ("pass", True)
    assert report.observation.end == STARTED + timedelta(hours=5)
    assert only(report).notes == (
        "watch ended at 17:00 by release 1.4.3; later changes may come from either release",
    )
    assert (only(report).steps, only(report).steps_planned) == (58, 72)
    assert only(report).detectable_effect is not None
    assert report.to_dict()["headline"].endswith("; watch ended at 17:00 by release 1.4.3")
    assert report.to_dict()["release"]["followed_by"] == {
        "service": "",
        "version": NEXT,
        "started_at": "2025-03-05T17:00:00Z",
    }


def test_a_watch_that_was_cut_short_does_not_pass_but_may_fail() -> None:
    values = 100 + noise(2, 2000)
    short = followed(timedelta(hours=2), values)
    assert (short.verdict, short.final) == ("inconclusive", True)
    assert (
        only(short).reason
        == "watch ended at 14:00 by release 1.4.3, after 22 of 72 steps; a pass needs 36"
    )
    values[WINDOWS.history // STEP :] += 20
    assert followed(timedelta(hours=2), values).verdict == "fail"


def test_a_release_that_is_followed_within_its_warmup_is_inconclusive() -> None:
    report = followed(timedelta(minutes=5), 100 + noise(2, 2000))
    assert (report.verdict, report.final) == ("inconclusive", True)
    assert only(report).reason.startswith(
        "watch ended at 12:05 by release 1.4.3, after 0 of 72 steps"
    )


def test_before_the_next_release_begins_the_look_is_early() -> None:
    report = followed(timedelta(hours=5), 100 + noise(2, 2000), now=timedelta(hours=4))
    assert not report.final
    assert only(report).notes == ()


def test_a_next_release_after_the_watch_changes_nothing() -> None:
    values = 100 + noise(2, 2000)
    assert (
        followed(timedelta(hours=9), values).findings
        == look(values, now=STARTED + timedelta(days=1)).findings
    )


def test_check_takes_the_next_release_as_a_time() -> None:
    report = check(
        pd.Series(
            100 + noise(4, 1200), pd.date_range("2025-03-01", periods=1200, freq=STEP, tz="UTC")
        ),
        released_at=datetime(2025, 3, 5, tzinfo=UTC),
        next_release=datetime(2025, 3, 5, 3, tzinfo=UTC),
    )
    assert report.observation.end == datetime(2025, 3, 5, 3, tzinfo=UTC)
    assert "by the next release" in only(report).notes[0]
