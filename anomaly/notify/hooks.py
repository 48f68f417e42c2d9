"""Whether a hook runs after a look.

| hook for | runs when |
|---|---|
| `fire` | the release fails, by a guardrail that is neither acknowledged nor silenced |
| `hold` | it is held, by a signal that is neither |
| `resolve` | a hook for one of these ran, the look passes, and all that ever failed is well again |
| `pass` | the last look passes |

Each runs once a release. None runs at a look that is inconclusive.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from anomaly.contracts import Action, NotifyReason
from anomaly.history.records import finding_id
from anomaly.model import WELL, KpiSeverity, NotificationPolicy, Occasion, ReleaseVerdict
from anomaly.notify.policy import Decision, silence_of
from anomaly.reporting.report import Report

ALARMS = {
    Occasion.FIRE: (ReleaseVerdict.FAIL, KpiSeverity.GUARDRAIL),
    Occasion.HOLD: (ReleaseVerdict.HOLD, KpiSeverity.SIGNAL),
}


def decide_hook(
    occasion: Occasion,
    report: Report,
    *,
    failed_before: Collection[str],
    now: datetime,
    policy: NotificationPolicy,
    acknowledged: Collection[str],
    special_day: bool,
) -> Decision:
    """The decision for a hook that has not run yet.

    `failed_before` holds the ids of the findings that failed at an earlier look, if a hook ran for
    them; `acknowledged` those of acknowledged findings; `special_day` says that `now` is on one.
    """
    findings = {finding_id(report.release, each): each for each in report.findings}
    if occasion in ALARMS:
        verdict, severity = ALARMS[occasion]
        if report.verdict is verdict and any(
            each.fails
            and each.severity is severity
            and name not in acknowledged
            and silence_of(name, each, policy, now, special_day=special_day) is None
            for name, each in findings.items()
        ):
            return Decision(NotifyReason.FIRST, Action.FIRE)
    elif report.verdict is ReleaseVerdict.PASS:
        if occasion is Occasion.PASS and report.final:
            return Decision(NotifyReason.ENDED, Action.INFORM)
        is_well = all(name in findings and findings[name].verdict in WELL for name in failed_before)
        if occasion is Occasion.RESOLVE and failed_before and is_well:
            return Decision(NotifyReason.RESOLVED, Action.RESOLVE)
    return Decision(NotifyReason.NOTHING_NEW)
