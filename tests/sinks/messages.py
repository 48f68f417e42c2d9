"""One message of each sort, for the tests of sinks."""

from __future__ import annotations

from dataclasses import replace

from anomaly.contracts import Action, Message, NotifyReason
from anomaly.model import ReleaseVerdict, Verdict
from tests.support import reports

KEY = "3c0625e08b30aa5226a0c9191fd50330"
LINK = "https://ci.example/reports/3c0625e0"
OVER = replace(
    reports.REGRESSED, verdict=Verdict.RECOVERED, reason="was over the line from 10:40 to 12:00"
)

MESSAGES = {
    "fire": Message(
        KEY,
        reports.messy(),
        Action.FIRE,
        id="m1",
        why=NotifyReason.FIRST,
        look="c8a5ca2b",
        link=LINK,
    ),
    "escalated": Message(
        KEY,
        reports.failing(),
        Action.FIRE,
        id="m2",
        why=NotifyReason.ESCALATED,
        look="c8a5ca2b",
        link=LINK,
    ),
    "resolve": Message(
        KEY,
        reports.report(ReleaseVerdict.PASS, OVER),
        Action.RESOLVE,
        id="m3",
        why=NotifyReason.RESOLVED,
        look="c8a5ca2b",
    ),
    "passed": Message(KEY, reports.passing(), id="m4", why=NotifyReason.ENDED, link=LINK),
    "undecided": Message(
        KEY, reports.dead_source(), id="m5", why=NotifyReason.ENDED, look="c8a5ca2b"
    ),
    "early": Message(KEY, reports.early(), id="m6", why=NotifyReason.NOTHING_NEW),
    "trial": Message(KEY, reports.early(), Action.TRIAL, id="m7"),
}
