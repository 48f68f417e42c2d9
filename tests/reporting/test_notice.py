"""What people are told, in words: the same at every sink."""

from __future__ import annotations

from dataclasses import replace

import pytest

from anomaly.contracts import Action, Message, NotifyReason
from anomaly.model import ReleaseVerdict, Verdict
from anomaly.reporting.notice import MOST_FACTS, Severity, notice
from tests.support import reports
from tests.support.goldens import assert_golden

RECOVERED = replace(
    reports.REGRESSED, verdict=Verdict.RECOVERED, reason="was over the line from 10:40 to 12:00"
)
MESSAGES = {
    "first": Message(
        "k",
        reports.messy(),
        Action.FIRE,
        why=NotifyReason.FIRST,
        look="3f2a91c0",
        link="https://ci.example/3f2a91c0",
    ),
    "escalated": Message(
        "k", reports.staged(), Action.FIRE, why=NotifyReason.ESCALATED, look="3f2a91c0"
    ),
    "repeated": Message("k", reports.failing(), Action.FIRE, why=NotifyReason.REPEATED),
    "resolved": Message(
        "k", reports.report(ReleaseVerdict.PASS, RECOVERED), Action.RESOLVE, look="3f2a91c0"
    ),
    "passed": Message("k", reports.passing()),
    "early": Message("k", reports.early()),
    "error": Message("k", reports.dead_source(), look="3f2a91c0"),
    "trial": Message("k", reports.failing(), Action.TRIAL),
    "held": Message("k", reports.held(), Action.FIRE, why=NotifyReason.FIRST, look="3f2a91c0"),
}


def test_golden_notices() -> None:
    told = [
        f"--- {name}, {notice(message).severity}\n" + "\n".join(notice(message).lines)
        for name, message in MESSAGES.items()
    ]
    assert_golden("notices.txt", "\n\n".join(told) + "\n")


@pytest.mark.parametrize("text", reports.HOSTILE)
def test_hostile_text_stays_on_its_line(text: str) -> None:
    for line in notice(Message("k", reports.hostile(text), Action.FIRE)).lines:
        assert line.isprintable()


def test_only_what_matters_most_is_named_and_the_rest_counted() -> None:
    many = [replace(reports.REGRESSED, kpi=f"kpi {n}") for n in range(MOST_FACTS + 3)]

    said = notice(Message("k", reports.report(ReleaseVerdict.FAIL, *many), Action.FIRE))

    assert sum(line.startswith("kpi ") for line in said.facts) == MOST_FACTS
    assert "and 3 more" in said.facts


def test_a_failing_critical_kpi_is_critical_and_missing_evidence_a_warning() -> None:
    def severity(
        verdict: ReleaseVerdict, *, critical: bool = False, final: bool = True
    ) -> Severity:
        report = reports.report(verdict, replace(reports.REGRESSED, critical=critical))
        return notice(Message("k", replace(report, final=final))).severity

    assert severity(ReleaseVerdict.FAIL, critical=True) is Severity.CRITICAL
    assert severity(ReleaseVerdict.FAIL) is Severity.ERROR
    assert severity(ReleaseVerdict.INCONCLUSIVE) is Severity.WARNING
    assert severity(ReleaseVerdict.INCONCLUSIVE, final=False) is Severity.INFO
    assert severity(ReleaseVerdict.PASS) is Severity.INFO
