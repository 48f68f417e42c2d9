"""Whether to notify a sink of a look, and why: one decision per sink, made from the report and the
earlier messages to that sink.

| the look shows | the sink was last told | decision |
|---|---|---|
| a KPI fails | nothing, or that the failure is over | fire: `first` |
| | fewer KPIs, or a smaller effect | fire: `escalated` |
| | the same, at least `repeat` ago | fire: `repeated` |
| | the same | nothing: `already told` |
| | the failure was acknowledged | nothing: `acknowledged` |
| nothing fails, and every KPI that did has an answer | that it fails | resolve: `resolved` |
| nothing fails, but a KPI that did has no answer | that it fails | nothing: `unsure` |
| the watch is over | not yet how it ended | inform: `ended` |
| anything else | | nothing: `nothing new` |

A message that a silence holds back is sent when the silence ends, if the KPI still fails then or
the watch ended before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict

from anomaly.contracts import Action, NotifyReason
from anomaly.history.records import OutboxMessage, Progress, finding_id
from anomaly.model import WELL, Finding, NotificationPolicy, Silence
from anomaly.reporting.report import Report

GROWN = 1.5  # an effect this many times the reported one is news
DEFAULT_POLICY = NotificationPolicy()


class Situation(TypedDict):
    """What besides the report a decision depends on: see `decide`."""

    now: datetime
    policy: NotificationPolicy
    acknowledged: Collection[str]
    special_day: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """The message to one sink (`action`; None for no message) and why.

    `reported_effects` holds the size of the effect of each finding that the message calls failing,
    by finding id; `held_until` is the end of the silence that holds the message back.
    """

    why: NotifyReason
    action: Action | None = None
    reported_effects: Mapping[str, float] = field(default_factory=dict)
    held_until: datetime | None = None


def decide(
    report: Report,
    before: Sequence[OutboxMessage],
    *,
    now: datetime,
    policy: NotificationPolicy = DEFAULT_POLICY,
    acknowledged: Collection[str] = (),
    special_day: bool = False,
) -> Decision:
    """The decision for one sink; `before` are the earlier messages about this release to that sink,
    oldest first, sent or waiting.

    `acknowledged` holds ids of acknowledged findings; `special_day` says that `now` is on one.
    """
    failing = {
        finding_id(report.release, finding): finding for finding in report.findings if finding.fails
    }
    last = last_alarm(before)
    reported = last.reported_effects if last is not None and last.action is Action.FIRE else {}
    if not failing:
        return _without_failure(report, reported, before)
    why, news = _news(report, failing, reported, last, now, policy)
    open_news = {
        name: finding
        for name, finding in news.items()
        if name not in acknowledged or name in reported
    }
    if not open_news:
        return Decision(NotifyReason.ACKNOWLEDGED if news else NotifyReason.ALREADY_TOLD)
    silences = [
        silence_of(name, finding, policy, now, special_day=special_day)
        for name, finding in open_news.items()
    ]
    ends = [silence.end for silence in silences if silence is not None and silence.end is not None]
    effects = {name: size(finding, report) for name, finding in failing.items()}
    if None in silences:
        return Decision(why, Action.FIRE, effects)
    if report.final and ends:
        return Decision(NotifyReason.SILENCED, Action.FIRE, effects, held_until=min(ends))
    return Decision(NotifyReason.SILENCED)


def mirrored(report: Report, decision: Decision, before: Sequence[OutboxMessage]) -> Decision:
    """The decision for a sink that gets every look: the same news, or the current state if there is
    none.

    An alarm keeps firing until the failure is known to be over.
    """
    if decision.action is not None:
        return decision
    last = last_alarm(before)
    if (
        decision.why in (NotifyReason.ALREADY_TOLD, NotifyReason.UNSURE)
        and last is not None
        and last.action is Action.FIRE
    ):
        effects = {
            finding_id(report.release, finding): size(finding, report)
            for finding in report.findings
            if finding.fails
        }
        return Decision(decision.why, Action.FIRE, effects or last.reported_effects)
    return Decision(decision.why, Action.INFORM)


def last_alarm(before: Sequence[OutboxMessage]) -> OutboxMessage | None:
    """The last message that fired or resolved, among those that arrived or still may."""
    alarms = [
        message
        for message in before
        if message.action in (Action.FIRE, Action.RESOLVE)
        and message.progress is not Progress.FAILED
    ]
    return alarms[-1] if alarms else None


def size(finding: Finding, report: Report) -> float:
    """The absolute effect since it began: relative, else in the KPI's unit, else 0.

    The effect of a finding covers the whole watch so far; without this correction a change that
    began late would seem to grow with every look.
    """
    effect = next(
        (each for each in (finding.effect, finding.effect_absolute) if each is not None), 0.0
    )
    return abs(effect) * _dilution(finding, report)


def _without_failure(
    report: Report, reported: Collection[str], before: Sequence[OutboxMessage]
) -> Decision:
    """The decision when nothing fails now; `reported` are the findings that did."""
    if reported:
        answers = {
            finding_id(report.release, finding): finding.verdict for finding in report.findings
        }
        if all(answers.get(name) in WELL for name in reported):
            return Decision(NotifyReason.RESOLVED, Action.RESOLVE)
        return Decision(NotifyReason.UNSURE)
    if report.final and not any(message.why is NotifyReason.ENDED for message in before):
        return Decision(NotifyReason.ENDED, Action.INFORM)
    return Decision(NotifyReason.NOTHING_NEW)


def _dilution(finding: Finding, report: Report) -> float:
    """The steps watched so far / the steps since the change began."""
    if finding.onset is None or not finding.steps:
        return 1.0
    before = max(0, (finding.onset - report.observation.start) // report.step)
    return finding.steps / max(1, finding.steps - before)


def _news(
    report: Report,
    failing: Mapping[str, Finding],
    reported: Mapping[str, float],
    last: OutboxMessage | None,
    now: datetime,
    policy: NotificationPolicy,
) -> tuple[NotifyReason, Mapping[str, Finding]]:
    """The findings that are news, or due for a repeated message."""
    if not reported:
        return NotifyReason.FIRST, failing
    news = {
        name: finding
        for name, finding in failing.items()
        if name not in reported or _smallest_size(finding, report) > GROWN * reported[name] > 0
    }
    if (
        not news
        and policy.repeat is not None
        and last is not None
        and now - last.at >= policy.repeat
    ):
        return NotifyReason.REPEATED, failing
    return NotifyReason.ESCALATED, news


def _smallest_size(finding: Finding, report: Report) -> float:
    """The end of the interval nearest to 0, measured as by `size`; `size` without an interval."""
    interval = (
        finding.effect_interval if finding.effect is not None else finding.effect_absolute_interval
    )
    if interval is None:
        return size(finding, report)
    low, high = interval
    return 0.0 if low <= 0 <= high else min(abs(low), abs(high)) * _dilution(finding, report)


def silence_of(
    name: str, finding: Finding, policy: NotificationPolicy, now: datetime, *, special_day: bool
) -> Silence | None:
    """The silence that covers the finding now; of several, the one that ends last."""
    active = [
        silence
        for silence in policy.silences
        if silence.holds(now, kpi=finding.kpi, ids=(name,), special_day=special_day)
    ]
    return max(active, key=lambda silence: (silence.end is None, silence.end), default=None)
