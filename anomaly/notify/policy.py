"""Who is told what of a look, and why: one decision for each sink, made from the report and from
what that sink was told before.

| what the look shows | what was told before | decision |
|---|---|---|
| a KPI fails | nothing, or that it was over | fire: `first` |
| | fewer KPIs, or less of an effect | fire: `escalated` |
| | the same, longer ago than `repeat` | fire: `repeated` |
| | the same | nothing: `already told` |
| | it was acknowledged | nothing: `acknowledged` |
| nothing fails, and every KPI that did has an answer | that it fails | resolve: `resolved` |
| nothing fails, but a KPI that did has no answer | that it fails | nothing: `unsure` |
| the watch is over | not yet how it ended | inform: `ended` |
| anything else | | nothing: `nothing new` |

What a silence holds back is told when the silence ends, if it still fails then, or if the watch was
over by then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from anomaly.contracts import Action
from anomaly.history.records import OutboxMessage, Progress, finding_id
from anomaly.model import Finding, Silence, Telling, Verdict
from anomaly.reporting.report import Report

GROWN = 1.5  # times what was told: so much more is news
PLAIN = Telling()
ANSWERED = frozenset({Verdict.OK, Verdict.RECOVERED, Verdict.IMPROVED})


class Why(StrEnum):
    """The reason of a decision."""

    FIRST = "first"
    ESCALATED = "escalated"
    REPEATED = "repeated"
    RESOLVED = "resolved"
    ABORTED = "aborted"
    ENDED = "ended"
    ALREADY_TOLD = "already told"
    ACKNOWLEDGED = "acknowledged"
    SILENCED = "silenced"
    UNSURE = "unsure"
    NOTHING_NEW = "nothing new"


NEWS = frozenset(
    {Why.FIRST, Why.ESCALATED, Why.REPEATED, Why.RESOLVED, Why.ABORTED, Why.ENDED, Why.SILENCED}
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to tell one sink (`action`; None: nothing) and why.

    `told` are the findings that it calls failing, by id, with the sizes of their effects;
    `held_until` is when the silence ends that holds it back.
    """

    why: Why
    action: Action | None = None
    told: Mapping[str, float] = field(default_factory=dict)
    held_until: datetime | None = None


def decide(
    report: Report,
    before: Sequence[OutboxMessage],
    *,
    now: datetime,
    telling: Telling = PLAIN,
    acknowledged: Collection[str] = (),
    special_day: bool = False,
) -> Decision:
    """What to tell one sink of a look, given the messages about this release that it got or is to
    get (`before`, oldest first).

    `acknowledged` are ids of findings that somebody knows about; `special_day` says that `now` is
    on one.
    """
    failing = {
        finding_id(report.release, finding): finding for finding in report.findings if finding.fails
    }
    last = last_word(before)
    known = last.told if last is not None and last.action is Action.FIRE else {}
    if not failing and known:
        answers = {
            finding_id(report.release, finding): finding.verdict for finding in report.findings
        }
        over = all(answers.get(name) in ANSWERED for name in known)
        return Decision(Why.RESOLVED, Action.RESOLVE) if over else Decision(Why.UNSURE)
    if not failing:
        ended = report.final and not any(message.why == Why.ENDED for message in before)
        return Decision(Why.ENDED, Action.INFORM) if ended else Decision(Why.NOTHING_NEW)
    why, news = _news(report, failing, known, last, now, telling)
    unknown = {
        name: each for name, each in news.items() if name not in acknowledged or name in known
    }
    if not unknown:
        return Decision(Why.ACKNOWLEDGED if news else Why.ALREADY_TOLD)
    silences = [
        _silence(name, each, telling, now, special_day=special_day)
        for name, each in unknown.items()
    ]
    ends = [each.end for each in silences if each is not None and each.end is not None]
    sizes = {name: size(finding, report) for name, finding in failing.items()}
    if None in silences:
        return Decision(why, Action.FIRE, sizes)
    if report.final and ends:
        return Decision(Why.SILENCED, Action.FIRE, sizes, held_until=min(ends))
    return Decision(Why.SILENCED)


def mirrored(report: Report, decision: Decision, before: Sequence[OutboxMessage]) -> Decision:
    """The decision for a sink that is told every look: the same news, and how it stands where there
    is none.

    What was fired stays fired until it is known to be over.
    """
    if decision.action is not None:
        return decision
    last = last_word(before)
    if (
        decision.why in (Why.ALREADY_TOLD, Why.UNSURE)
        and last is not None
        and last.action is Action.FIRE
    ):
        sizes = {
            finding_id(report.release, finding): size(finding, report)
            for finding in report.findings
            if finding.fails
        }
        return Decision(decision.why, Action.FIRE, sizes or last.told)
    return Decision(decision.why, Action.INFORM)


def last_word(before: Sequence[OutboxMessage]) -> OutboxMessage | None:
    """The last message that fired or resolved, of those that arrived or still may."""
    spoken = [
        each
        for each in before
        if each.action in (Action.FIRE, Action.RESOLVE) and each.progress is not Progress.FAILED
    ]
    return spoken[-1] if spoken else None


def size(finding: Finding, report: Report) -> float:
    """How large the effect is since it began: relative, else in the KPI's unit, else 0.

    A finding's effect is that over the whole watch so far; a change that began late in it would
    seem to grow with every look.
    """
    effect = next(
        (each for each in (finding.effect, finding.effect_absolute) if each is not None), 0.0
    )
    return abs(effect) * _dilution(finding, report)


def _dilution(finding: Finding, report: Report) -> float:
    """The steps watched so far / those since the change began."""
    if finding.onset is None or not finding.steps:
        return 1.0
    before = max(0, (finding.onset - report.observation.start) // report.step)
    return finding.steps / max(1, finding.steps - before)


def _news(
    report: Report,
    failing: Mapping[str, Finding],
    known: Mapping[str, float],
    last: OutboxMessage | None,
    now: datetime,
    telling: Telling,
) -> tuple[Why, Mapping[str, Finding]]:
    """The findings that are news, or are due to be told again."""
    if not known:
        return Why.FIRST, failing
    news = {
        name: each
        for name, each in failing.items()
        if name not in known or _least(each, report) > GROWN * known[name] > 0
    }
    if (
        not news
        and telling.repeat is not None
        and last is not None
        and now - last.at >= telling.repeat
    ):
        return Why.REPEATED, failing
    return Why.ESCALATED, news


def _least(finding: Finding, report: Report) -> float:
    """The near end of the interval of what `size` measures; the size itself where there is none."""
    interval = (
        finding.effect_interval if finding.effect is not None else finding.effect_absolute_interval
    )
    if interval is None:
        return size(finding, report)
    low, high = interval
    return 0.0 if low <= 0 <= high else min(abs(low), abs(high)) * _dilution(finding, report)


def _silence(
    name: str, finding: Finding, telling: Telling, now: datetime, *, special_day: bool
) -> Silence | None:
    """The silence that holds for a finding, the one that lasts longest."""
    holding = [
        each
        for each in telling.silences
        if each.holds(now, kpi=finding.kpi, ids=(name,), special_day=special_day)
    ]
    return max(holding, key=lambda each: (each.end is None, each.end), default=None)
