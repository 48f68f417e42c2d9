"""Who is told what, and why: once about each thing that matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.contracts import Action, NotifyReason
from anomaly.history.records import OutboxMessage, Progress, finding_id, release_id
from anomaly.model import Finding, NotificationPolicy, ReleaseVerdict, Silence, Verdict
from anomaly.notify.policy import Decision, decide, mirrored
from anomaly.reporting.report import Report
from tests.support import reports
from tests.support.reports import at

NOW = at("12:00")
ERRORS = replace(reports.REGRESSED, effect=0.30, effect_interval=(0.25, 0.35))
LATENCY = replace(ERRORS, kpi="latency", segment={})
REPORTED = {
    "errors": lambda: judged(ERRORS),
    "both": lambda: judged(ERRORS, LATENCY),
    "worse": lambda: judged(replace(ERRORS, effect=0.60, effect_interval=(0.5, 0.7))),
    "perhaps worse": lambda: judged(replace(ERRORS, effect=0.60, effect_interval=(0.3, 0.9))),
    "recovered": lambda: judged(replace(ERRORS, verdict=Verdict.RECOVERED)),
    "fine": lambda: judged(replace(ERRORS, verdict=Verdict.OK)),
    "dark": lambda: judged(replace(ERRORS, verdict=Verdict.ERROR)),
    "gone": lambda: judged(replace(LATENCY, verdict=Verdict.OK)),
}


def judged(*findings: Finding, final: bool = False) -> Report:
    failing = any(finding.fails for finding in findings)
    verdict = (
        ReleaseVerdict.FAIL
        if failing
        else ReleaseVerdict.PASS
        if final
        else ReleaseVerdict.INCONCLUSIVE
    )
    return replace(reports.report(verdict, *findings), final=final)


def message(
    decision: Decision, *, number: int = 1, progress: Progress = Progress.SENT
) -> OutboxMessage:
    assert decision.action is not None
    key = release_id(reports.failing().release)
    return OutboxMessage(
        f"{key}-{number}",
        key,
        "look",
        "slack",
        decision.action,
        decision.why,
        NOW,
        decision.held_until or NOW,
        decision.reported_effects,
        progress,
    )


FIRED = message(decide(judged(ERRORS), (), now=NOW))


def test_the_first_failure_fires_and_says_what_fails() -> None:
    decision = decide(judged(ERRORS, LATENCY), (), now=NOW)

    assert (decision.why, decision.action) == (NotifyReason.FIRST, Action.FIRE)
    release = reports.failing().release
    assert decision.reported_effects == {
        finding_id(release, ERRORS): 0.30,
        finding_id(release, LATENCY): 0.30,
    }


@pytest.mark.parametrize(
    ("look", "why", "action"),
    [
        ("errors", NotifyReason.ALREADY_TOLD, None),
        ("both", NotifyReason.ESCALATED, Action.FIRE),
        ("worse", NotifyReason.ESCALATED, Action.FIRE),
        ("perhaps worse", NotifyReason.ALREADY_TOLD, None),
        ("recovered", NotifyReason.RESOLVED, Action.RESOLVE),
        ("fine", NotifyReason.RESOLVED, Action.RESOLVE),
        ("dark", NotifyReason.UNSURE, None),
        ("gone", NotifyReason.UNSURE, None),
    ],
)
def test_what_is_told_after_a_failure_was_told(
    look: str, why: NotifyReason, action: Action | None
) -> None:
    decision = decide(REPORTED[look](), [FIRED], now=NOW)

    assert (decision.why, decision.action) == (why, action)


def test_a_message_that_could_not_be_delivered_was_not_told() -> None:
    assert (
        decide(judged(ERRORS), [replace(FIRED, progress=Progress.FAILED)], now=NOW).why
        is NotifyReason.FIRST
    )
    assert (
        decide(judged(ERRORS), [replace(FIRED, progress=Progress.PENDING)], now=NOW).why
        is NotifyReason.ALREADY_TOLD
    )


def test_what_comes_back_after_it_was_resolved_fires_again() -> None:
    resolved = message(decide(REPORTED["recovered"](), [FIRED], now=NOW), number=2)

    assert decide(judged(ERRORS), [FIRED, resolved], now=NOW).why is NotifyReason.FIRST


def test_what_lasts_is_told_again_only_where_that_was_asked_for_and_when_it_is_due() -> None:
    def why(repeat: timedelta | None, minutes: int) -> NotifyReason:
        return decide(
            judged(ERRORS),
            [FIRED],
            now=NOW + timedelta(minutes=minutes),
            policy=NotificationPolicy(repeat),
        ).why

    assert why(timedelta(hours=1), 59) is NotifyReason.ALREADY_TOLD
    assert why(timedelta(hours=1), 60) is NotifyReason.REPEATED
    assert why(None, 600) is NotifyReason.ALREADY_TOLD


def test_what_somebody_acknowledged_is_news_only_when_it_grows() -> None:
    known = [finding_id(reports.failing().release, ERRORS)]

    assert decide(judged(ERRORS), (), now=NOW, acknowledged=known).why is NotifyReason.ACKNOWLEDGED
    assert (
        decide(judged(ERRORS), [FIRED], now=NOW, acknowledged=known).why
        is NotifyReason.ALREADY_TOLD
    )
    assert (
        decide(REPORTED["worse"](), [FIRED], now=NOW, acknowledged=known).why
        is NotifyReason.ESCALATED
    )
    assert (
        decide(judged(ERRORS, LATENCY), [FIRED], now=NOW, acknowledged=known).why
        is NotifyReason.ESCALATED
    )
    assert (
        decide(REPORTED["recovered"](), [FIRED], now=NOW, acknowledged=known).action
        is Action.RESOLVE
    )


@pytest.mark.parametrize(
    ("silence", "silent"),
    [
        (Silence(start=at("11:00"), end=at("13:00")), True),
        (Silence(start=at("12:30")), False),
        (Silence(end=NOW), False),
        (Silence(kpis=(ERRORS.kpi,)), True),
        (Silence(kpis=(LATENCY.kpi,)), False),
        (Silence(special_days=True), False),
        (Silence(ids=(finding_id(reports.failing().release, ERRORS)[:8],)), True),
        (Silence(ids=("00000000",)), False),
    ],
)
# a parameter of the test
def test_a_silence_holds_for_what_it_names(silence: Silence, silent: bool) -> None:
    decision = decide(judged(ERRORS), (), now=NOW, policy=NotificationPolicy(silences=(silence,)))

    assert (decision.why is NotifyReason.SILENCED) == silent
    assert (decision.action is None) == silent


def test_special_days_are_silent_where_that_was_asked_for() -> None:
    holiday = NotificationPolicy(silences=(Silence(special_days=True),))

    assert (
        decide(judged(ERRORS), (), now=NOW, policy=holiday, special_day=True).why
        is NotifyReason.SILENCED
    )


def test_a_silence_about_one_kpi_does_not_hide_another() -> None:
    only_errors = NotificationPolicy(silences=(Silence(kpis=(ERRORS.kpi,)),))

    assert decide(judged(ERRORS, LATENCY), (), now=NOW, policy=only_errors).action is Action.FIRE


def test_what_a_silence_held_back_is_told_after_it() -> None:
    night = NotificationPolicy(silences=(Silence(start=at("11:00"), end=at("13:00")),))

    assert decide(judged(ERRORS), (), now=at("12:59"), policy=night).action is None
    assert decide(judged(ERRORS), (), now=at("13:00"), policy=night).why is NotifyReason.FIRST
    last_look = decide(judged(ERRORS, final=True), (), now=at("12:00"), policy=night)
    assert (last_look.action, last_look.held_until) == (Action.FIRE, at("13:00"))


@pytest.mark.parametrize(
    "verdict", [ReleaseVerdict.PASS, ReleaseVerdict.INCONCLUSIVE, ReleaseVerdict.ERROR]
)
def test_how_the_watch_ended_is_told_once(verdict: ReleaseVerdict) -> None:
    over = replace(judged(replace(ERRORS, verdict=Verdict.OK), final=True), verdict=verdict)
    decision = decide(over, (), now=NOW)

    assert (decision.why, decision.action) == (NotifyReason.ENDED, Action.INFORM)
    assert decide(over, [message(decision)], now=NOW).why is NotifyReason.NOTHING_NEW
    assert decide(replace(over, final=False), (), now=NOW).why is NotifyReason.NOTHING_NEW


def test_a_mirror_is_told_every_look_and_keeps_firing_until_it_is_known_to_be_over() -> None:
    def told(look: str, *before: OutboxMessage) -> Action | None:
        report = REPORTED[look]()
        return mirrored(report, decide(report, before, now=NOW), before).action

    assert told("fine") is Action.INFORM
    assert told("errors") is Action.FIRE
    assert told("errors", FIRED) is Action.FIRE
    assert told("dark", FIRED) is Action.FIRE
    assert told("recovered", FIRED) is Action.RESOLVE


@pytest.mark.slow
@given(st.lists(st.sampled_from(sorted(REPORTED)), max_size=12))
def test_nothing_is_resolved_that_was_not_fired_and_nothing_fired_twice_without_being_worse(
    looks: Sequence[str],
) -> None:
    before: list[OutboxMessage] = []
    for number, look in enumerate(looks):
        report = REPORTED[look]()
        decision = decide(report, before, now=NOW)
        if decision.action is not None:
            before.append(message(decision, number=number))
    firing = None
    for each in before:
        if each.action is Action.RESOLVE:
            assert firing is not None
            firing = None
        else:
            assert (firing is None) == (each.why == NotifyReason.FIRST)
            if firing is not None:
                assert set(each.reported_effects) > set(firing) or any(
                    each.reported_effects[name] > firing[name]
                    for name in firing
                    if name in each.reported_effects
                )
            firing = each.reported_effects
