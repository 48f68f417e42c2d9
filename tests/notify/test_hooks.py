"""Which hook runs after which look."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

import pytest

from anomaly.contracts import Action
from anomaly.history.records import finding_id
from anomaly.model import (
    Finding,
    KpiSeverity,
    NotificationPolicy,
    Occasion,
    ReleaseVerdict,
    Silence,
    Verdict,
)
from anomaly.notify.hooks import decide_hook
from anomaly.reporting.report import Report
from tests.support import reports
from tests.support.reports import at

NOW = at("12:00")
GUARDRAIL = reports.REGRESSED
SIGNAL = replace(GUARDRAIL, kpi="clicks", severity=KpiSeverity.SIGNAL)
WELL = replace(GUARDRAIL, verdict=Verdict.OK)
DARK = replace(GUARDRAIL, verdict=Verdict.ERROR)
FAIL, HOLD, PASS = ReleaseVerdict.FAIL, ReleaseVerdict.HOLD, ReleaseVerdict.PASS
UNSURE = ReleaseVerdict.INCONCLUSIVE
ID = finding_id(reports.failing().release, GUARDRAIL)


def runs(
    report: Report,
    *,
    failed_before: Collection[str] = (),
    acknowledged: Collection[str] = (),
    silences: tuple[Silence, ...] = (),
) -> dict[Occasion, Action]:
    """The hooks that run, if there is one for each occasion."""
    decided = {
        occasion: decide_hook(
            occasion,
            report,
            failed_before=failed_before,
            now=NOW,
            policy=NotificationPolicy(None, silences),
            acknowledged=acknowledged,
            special_day=False,
        ).action
        for occasion in Occasion
    }
    return {occasion: action for occasion, action in decided.items() if action is not None}


def look(verdict: ReleaseVerdict, *findings: Finding, final: bool = False) -> Report:
    return reports.report(verdict, *findings, final=final)


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (look(FAIL, GUARDRAIL), {Occasion.FIRE: Action.FIRE}),
        (look(FAIL, GUARDRAIL, SIGNAL), {Occasion.FIRE: Action.FIRE}),
        (look(HOLD, SIGNAL), {Occasion.HOLD: Action.FIRE}),
        (look(PASS, WELL), {}),
        (look(PASS, WELL, final=True), {Occasion.PASS: Action.INFORM}),
        (look(UNSURE, DARK), {}),
        (look(UNSURE, DARK, final=True), {}),
        (look(ReleaseVerdict.ERROR, DARK, final=True), {}),
    ],
)
def test_the_verdict_says_which_hook_runs(report: Report, expected: dict[Occasion, Action]) -> None:
    assert runs(report) == expected


@pytest.mark.parametrize("final", [False, True])
def test_what_is_acknowledged_or_silenced_runs_nothing(final: bool) -> None:
    report = look(FAIL, GUARDRAIL, final=final)
    assert runs(report, acknowledged={ID}) == {}
    assert runs(report, silences=(Silence(start=NOW - timedelta(hours=1)),)) == {}
    assert runs(report, silences=(Silence(start=NOW + timedelta(hours=1)),)) == {
        Occasion.FIRE: Action.FIRE
    }


def test_a_signal_does_not_fire_where_the_guardrail_is_acknowledged() -> None:
    assert runs(look(FAIL, GUARDRAIL, SIGNAL), acknowledged={ID}) == {}


def test_it_is_resolved_when_all_that_failed_is_well_and_the_look_passes() -> None:
    again = runs(look(PASS, WELL), failed_before={ID})
    assert again == {Occasion.RESOLVE: Action.RESOLVE}
    assert runs(look(PASS, WELL, final=True), failed_before={ID}) == again | {
        Occasion.PASS: Action.INFORM
    }
    assert runs(look(UNSURE, WELL, replace(DARK, kpi="other")), failed_before={ID}) == {}
    assert runs(look(PASS, replace(DARK, critical=False)), failed_before={ID}) == {}
    assert runs(look(PASS, WELL), failed_before={ID, "gone"}) == {}
