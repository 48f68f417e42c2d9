"""A look at a release under watch: judge it, decide on the messages, keep both, and send them.

The messages are kept with the look in one transaction before any is sent; the delivery is kept
after the sink took it. So a process that dies loses nothing, and a message that was on its way is
sent again under the same id. A hook acts, so it is the other way round: that it ran is kept before
it runs, and it never runs twice.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache, partial
from zoneinfo import ZoneInfo

from anomaly.baseline.kept import KeptBaselines
from anomaly.checklist.checklist import Checklist
from anomaly.collectors.answers import Answers
from anomaly.collectors.collect import Progress as ProgressBar
from anomaly.contracts import (
    Action,
    Collected,
    Message,
    NotifyReason,
    Receipt,
    ReleaseSource,
    Sink,
)
from anomaly.decision.judge import LEARNER
from anomaly.engine.shelf import Shelf
from anomaly.engine.workers import ALONE, Workers
from anomaly.errors import StoreBusy
from anomaly.history.places import ANSWERS, BASELINES, beside
from anomaly.history.records import (
    SHORT,
    Look,
    OutboxMessage,
    Progress,
    ReleaseRecord,
    State,
    look_id,
    message_id,
    report_link,
)
from anomaly.history.store import Store
from anomaly.model import (
    Calendar,
    NotificationPolicy,
    Occasion,
    Release,
    ReleaseVerdict,
    Silence,
    Window,
)
from anomaly.notify.delivery import Envelope, RetryPolicy, deliver, masked
from anomaly.notify.hooks import decide_hook
from anomaly.notify.policy import Decision, Situation, decide, last_alarm, mirrored
from anomaly.pipeline import check_release
from anomaly.releases.commits import changes_of
from anomaly.reporting.report import Report
from anomaly.timing.durations import duration_text
from anomaly.timing.spans import settled_at
from anomaly.timing.special_days import special_days

RETRY_POLICY = RetryPolicy(attempts=3, deadline=timedelta(seconds=30))  # within one look
# between looks: a message that failed for now is tried again after these pauses
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
GIVE_UP = timedelta(days=1)  # an older message is no longer news
# of a hook: it may roll back, and what it rolls back may be another release after a while
HOOK_POLICY = RetryPolicy(attempts=3, deadline=timedelta(minutes=6))
STALE = timedelta(minutes=30)
BEGUN = "it was begun, and how it ended is not known"
CLAIM = RETRY_POLICY.deadline + timedelta(minutes=1)  # for the process that sends a message
BUSY_ATTEMPTS, BUSY_PAUSE_S = 5, 1.0


@dataclass(frozen=True, slots=True)
class Receiver:
    """A sink and the name that the history knows it by. One with an `occasion` is a hook, which is
    told once, and only says what it would do in a `dry_run`."""

    name: str
    sink: Sink
    occasion: Occasion | None = None
    dry_run: bool = False

    @property
    def every_look(self) -> bool:
        return bool(getattr(self.sink, "every_look", False))

    @property
    def dedupes(self) -> bool:
        return self.occasion is None and bool(getattr(self.sink, "dedupes", False))


@dataclass(frozen=True, slots=True)
class LookResult:
    """A look with its report and the messages about it."""

    record: ReleaseRecord
    look: Look
    report: Report
    messages: tuple[OutboxMessage, ...]


def receivers_of(checklist: Checklist) -> list[Receiver]:
    """The sinks of a checklist without the terminal, and its hooks. Raises ChecklistError."""
    from anomaly.checklist import registry

    return [
        *(Receiver(name, registry.sink(plugin)) for name, plugin in checklist.receivers),
        *(
            Receiver(hook.name, registry.sink(hook.plugin), hook.occasion, hook.dry_run)
            for hook in checklist.hooks
        ),
    ]


def sinks_of(receivers: Sequence[Receiver]) -> list[Receiver]:
    """Those that are no hooks."""
    return [receiver for receiver in receivers if receiver.occasion is None]


def look(
    checklist: Checklist,
    record: ReleaseRecord,
    store: Store,
    receivers: Sequence[Receiver],
    *,
    now: datetime,
    until: datetime | None = None,
    collected: Collected | None = None,
    progress: ProgressBar | None = None,
    answers: Answers | None = None,
    workers: Workers = ALONE,
    sources: Sequence[ReleaseSource] = (),
) -> LookResult:
    """Judge a release at `now`, with the help of `workers`, and keep the look with its messages;
    what is known of `answers` is not asked again. The `sources` of releases are asked for its
    commits. Raises StoreBusy if another process looked meanwhile."""
    number = len(store.looks(record.id)) + 1
    report = _report(
        checklist, record, store, now, until, collected, progress, answers, workers=workers
    )
    changes = changes_of(report.release, store.version_before(record.release), sources)
    report = replace(report, changes=changes)
    situation: Situation = {
        "now": now,
        "policy": _policy(checklist, record),
        "acknowledged": _acknowledged(record, store),
        "special_day": _is_special(now, checklist.calendar),
    }
    messages = []
    for receiver in receivers:
        before = store.messages(record.id, receiver.name)
        if receiver.occasion is not None:
            if before:
                continue
            failed = _failed_before(record, store, receivers)
            decision = decide_hook(receiver.occasion, report, failed_before=failed, **situation)
        else:
            decision = decide(report, before, **situation)
            if receiver.every_look:
                decision = mirrored(report, decision, before)
        if decision.action is not None:
            look_key = look_id(record.id, number)
            messages.append(
                _outbox_message(record, look_key, receiver, decision, len(before) + 1, now)
            )
    kept_look = store.record(record.id, report, messages, at=now, after=number - 1)
    return LookResult(record, kept_look, report, tuple(messages))


def stay(
    checklist: Checklist,
    record: ReleaseRecord,
    store: Store,
    receivers: Sequence[Receiver],
    *,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None] = time.sleep,
    is_saved: bool = True,
    redact: Callable[[str], str] | None = None,
    workers: Workers = ALONE,
    sources: Sequence[ReleaseSource] = (),
) -> Iterator[tuple[LookResult, tuple[Receipt, ...]]]:
    """Look whenever a step has settled, until a KPI fails or the watch is over; yields each look
    with the receipts of its messages.

    Stops when somebody else aborts the release.
    """
    while True:
        result = _look_when_free(
            checklist,
            record,
            store,
            receivers,
            clock=clock,
            sleep=sleep,
            workers=workers,
            sources=sources,
        )
        receipts = tell(
            checklist, store, receivers, now=clock(), is_saved=is_saved, redact=redact, sleep=sleep
        )
        yield result, receipts
        if result.report.final or result.report.verdict is ReleaseVerdict.FAIL:
            return
        now = clock()
        sleep(max(0.0, (next_look(checklist, now) - now).total_seconds()))
        state = next((each.state for each in store.releases(ids=[record.id])), State.ABORTED)
        if state is State.DONE:  # another process made the last look
            last = store.looks(record.id)[-1]
            yield LookResult(record, last, store.report(last.id), ()), ()
        if state is not State.WATCHED:
            return


def _look_when_free(
    checklist: Checklist,
    record: ReleaseRecord,
    store: Store,
    receivers: Sequence[Receiver],
    *,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
    workers: Workers,
    sources: Sequence[ReleaseSource],
) -> LookResult:
    """A look; if another process looks at the same moment, a later one."""
    for _ in range(BUSY_ATTEMPTS):
        try:
            return _look_alone(checklist, record, store, receivers, workers, sources, now=clock())
        except StoreBusy:
            sleep(BUSY_PAUSE_S)
    return _look_alone(checklist, record, store, receivers, workers, sources, now=clock())


def _look_alone(
    checklist: Checklist,
    record: ReleaseRecord,
    store: Store,
    receivers: Sequence[Receiver],
    workers: Workers,
    sources: Sequence[ReleaseSource],
    *,
    now: datetime,
) -> LookResult:
    with Answers(beside(store.where, ANSWERS), now=now) as answers:
        return look(
            checklist,
            record,
            store,
            receivers,
            now=now,
            answers=answers,
            workers=workers,
            sources=sources,
        )


def next_look(checklist: Checklist, now: datetime) -> datetime:
    """When the current step will have settled."""
    return settled_at(checklist.windows, now)


def resolve_aborted(
    record: ReleaseRecord, store: Store, receivers: Sequence[Receiver], *, now: datetime
) -> None:
    """Resolve the alarms about a release that was aborted; its hooks do not run."""
    looks = store.looks(record.id)
    for receiver in sinks_of(receivers) if looks else ():
        before = store.messages(record.id, receiver.name)
        last = last_alarm(before)
        if last is not None and last.action is Action.FIRE:
            decision = Decision(NotifyReason.ABORTED, Action.RESOLVE)
            number = len(before) + 1
            store.post([_outbox_message(record, looks[-1].id, receiver, decision, number, now)])


def tell(
    checklist: Checklist,
    store: Store,
    receivers: Sequence[Receiver],
    *,
    now: datetime,
    is_saved: bool = True,
    retry_policy: RetryPolicy = RETRY_POLICY,
    redact: Callable[[str], str] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    rng: random.Random | None = None,
) -> tuple[Receipt, ...]:
    """Send the messages that are due about the checklist's service and environment, in order for
    each sink, then run the hooks that are due, and keep the receipts.

    `is_saved` says whether the store outlives the process, so that messages may point to it.
    """
    messages = store.due(now)
    records = {
        record.id: record
        for record in store.releases(ids={message.release_id for message in messages})
        if record.release.service == checklist.service
        and record.release.environment == checklist.environment
    }
    due = [each for each in messages if each.release_id in records]
    by_name = {receiver.name: receiver for receiver in sinks_of(receivers)}
    report_of_look = lru_cache(maxsize=4)(store.report)  # most sinks are told of the same look

    def envelope(message: OutboxMessage, receiver: Receiver) -> Envelope:
        return Envelope(
            message.sink,
            receiver.sink,
            Message(
                key=message.release_id,
                report=report_of_look(message.look_id),
                action=message.action,
                id=message.id,
                why=message.why,
                look=message.look_id[:SHORT] if is_saved else "",
                link=report_link(checklist.report_url, records[message.release_id]),
                thread=_thread(store, message),
            ),
        )

    def send(messages: Sequence[OutboxMessage]) -> Sequence[Receipt]:
        envelopes = [envelope(message, by_name[message.sink]) for message in messages]
        return deliver(envelopes, retry_policy=retry_policy, redact=redact, sleep=sleep, rng=rng)

    def act(message: OutboxMessage, hook: Receiver) -> Receipt:
        return _acted(envelope(message, hook), hook, redact=redact, sleep=sleep, rng=rng)

    receipts = [*_sent_in_order(store, _queues(store, due, by_name, now), send, now)]
    hooks = [receiver for receiver in receivers if receiver.occasion is not None]
    for hook, message in ((hook, each) for hook in hooks for each in due if each.sink == hook.name):
        if store.claim(message, now + CLAIM):
            problem = _too_late(message, records[message.release_id], store, now)
            receipts.append(_acted_once(store, message, problem, partial(act, message, hook)))
    return tuple(receipts)


def _sent_in_order(
    store: Store,
    queues: dict[str, list[OutboxMessage]],
    send: Callable[[Sequence[OutboxMessage]], Sequence[Receipt]],
    now: datetime,
) -> Iterator[Receipt]:
    """Send the messages of each sink in order, those of several sinks together; where one is not
    delivered, the later ones to its sink wait."""
    while heads := [queue.pop(0) for queue in queues.values() if queue]:
        batch = [message for message in heads if store.claim(message, now + CLAIM)]
        for message, receipt in zip(batch, send(batch), strict=True):
            store.settle(_settled(message, receipt, now))
            if not receipt.delivered:
                queues[message.sink] = []
            yield receipt


def _acted_once(
    store: Store, message: OutboxMessage, problem: str, act: Callable[[], Receipt]
) -> Receipt:
    """The receipt of a hook that runs unless there is a `problem`; whatever happens while it runs,
    it will not run again."""
    outcome = replace(message, progress=Progress.FAILED, detail=problem or BEGUN)
    store.settle(outcome)
    if problem:
        return Receipt(message.sink, delivered=False, detail=problem)
    receipt = act()
    progress = Progress.SENT if receipt.delivered else Progress.FAILED
    store.settle(replace(outcome, progress=progress, detail=receipt.detail))
    return receipt


def following(
    record: ReleaseRecord, others: Collection[ReleaseRecord], now: datetime
) -> Release | None:
    """The next release of the same service that has begun, if any: it ends the watch."""
    later = [
        each.release
        for each in others
        if each.release.service == record.release.service
        and record.release.started_at < each.release.started_at <= now
    ]
    return min(later, key=lambda release: release.started_at, default=None)


def _failed_before(record: ReleaseRecord, store: Store, receivers: Sequence[Receiver]) -> set[str]:
    """The ids of the findings that failed at an earlier look, if a hook ran for them."""
    alarms = (each.name for each in receivers if each.occasion in (Occasion.FIRE, Occasion.HOLD))
    if not any(store.messages(record.id, name) for name in alarms):
        return set()
    return {finding.id for finding in store.findings(record.id) if finding.fails}


def _too_late(message: OutboxMessage, record: ReleaseRecord, store: Store, now: datetime) -> str:
    """Why a hook must not run any more; empty if it may."""
    if record.state is State.ABORTED:
        return "not run: the release was aborted"
    if now - message.at > STALE:
        return f"not run: it was due {duration_text(STALE)} ago or longer"
    release = record.release
    others = store.releases(environment=release.environment, since=release.started_at)
    next_release = following(record, others, now)
    if next_release is not None:
        return f"not run: release {next_release.version or 'without a version'} has followed"
    return ""


def _acted(
    envelope: Envelope,
    hook: Receiver,
    *,
    redact: Callable[[str], str] | None,
    sleep: Callable[[float], None],
    rng: random.Random | None,
) -> Receipt:
    """The receipt of a hook that ran; of a dry one, what it would have done."""
    if not hook.dry_run:
        (receipt,) = deliver(
            [envelope], retry_policy=HOOK_POLICY, redact=redact, sleep=sleep, rng=rng
        )
        return receipt
    plan = getattr(hook.sink, "plan", None)
    text = f"dry run: would {plan(envelope.message) if plan else 'send the message'}"
    return Receipt(hook.name, delivered=True, detail=masked(text, redact))


def _report(
    checklist: Checklist,
    record: ReleaseRecord,
    store: Store,
    now: datetime,
    until: datetime | None,
    collected: Collected | None,
    progress: ProgressBar | None,
    answers: Answers | None,
    *,
    workers: Workers,
) -> Report:
    """The report of a look, with what the history knows of other releases and incidents."""
    others = store.releases(environment=record.release.environment, since=record.release.started_at)
    release = replace(record.release, followed_by=following(record, others, now))
    windows = checklist.windows
    lessons = store.lessons(
        release.service,
        release.environment,
        window=Window(windows.history_since(release.started_at), release.started_at),
        warmup=windows.warmup,
    )
    calendar = replace(checklist.calendar, leave_out=(*checklist.calendar.leave_out, *lessons))
    folder = beside(store.where, BASELINES)
    return check_release(
        replace(checklist, calendar=calendar),
        release,
        now=now,
        until=until,
        collected=collected,
        progress=progress,
        answers=answers,
        workers=workers,
        learner=LEARNER if folder is None else KeptBaselines(Shelf(folder, now)),
        others=[each.release for each in others if each.id != record.id],
    )


def _policy(checklist: Checklist, record: ReleaseRecord) -> NotificationPolicy:
    """The checklist's policy; a silence of the release by its id covers all its findings."""
    policy = checklist.notification_policy
    silences = (
        replace(silence, ids=()) if _is_about(silence, record.id) else silence
        for silence in policy.silences
    )
    return replace(policy, silences=tuple(silences))


def _is_about(silence: Silence, release: str) -> bool:
    return bool(silence.ids) and release.startswith(silence.ids)


def _acknowledged(record: ReleaseRecord, store: Store) -> set[str]:
    """The ids of acknowledged findings; an acknowledged release covers all its findings."""
    targets = {ack.target for ack in store.acks(record.id)}
    if record.id in targets:
        targets |= {finding.id for finding in store.findings(record.id)}
    return targets


def _queues(
    store: Store,
    messages: Sequence[OutboxMessage],
    by_name: Mapping[str, Receiver],
    now: datetime,
) -> dict[str, list[OutboxMessage]]:
    """The messages by sink; a message to a sink that is no longer in the checklist
    fails in the end."""
    queues: dict[str, list[OutboxMessage]] = {name: [] for name in by_name}
    for message in messages:
        if message.sink in queues:
            queues[message.sink].append(message)
        elif now - message.at > GIVE_UP:
            detail = "the checklist has no such sink any more"
            store.settle(replace(message, progress=Progress.FAILED, detail=detail))
    for name, queue in queues.items():
        if by_name[name].every_look and by_name[name].dedupes:
            queues[name] = _newest(queue, store)
    return queues


def _outbox_message(
    record: ReleaseRecord,
    look: str,
    receiver: Receiver,
    decision: Decision,
    number: int,
    now: datetime,
) -> OutboxMessage:
    assert decision.action is not None  # noqa: S101  a decision without an action is no message
    return OutboxMessage(
        id=message_id(record.id, receiver.name, number),
        release_id=record.id,
        look_id=look,
        sink=receiver.name,
        action=decision.action,
        why=decision.why,
        at=now,
        next_try=decision.held_until or now,
        reported_effects=decision.reported_effects,
    )


def _settled(message: OutboxMessage, receipt: Receipt, now: datetime) -> OutboxMessage:
    attempts = message.attempts + receipt.attempts
    attempt = replace(message, attempts=attempts, detail=receipt.detail)
    if receipt.delivered:
        return replace(attempt, progress=Progress.SENT, thread=receipt.thread)
    if not receipt.again or now - message.at > GIVE_UP:
        return replace(attempt, progress=Progress.FAILED)
    rounds = min(message.attempts // max(1, receipt.attempts), 10)
    return replace(attempt, next_try=now + min(FIRST_PAUSE * 2**rounds, LONGEST_PAUSE))


def _thread(store: Store, message: OutboxMessage) -> str:
    """Where the sink of a message said that messages about its release belong."""
    before = store.messages(message.release_id, message.sink)
    return next((each.thread for each in reversed(before) if each.thread), "")


def _newest(queue: Sequence[OutboxMessage], store: Store) -> list[OutboxMessage]:
    """The newest message about each release; a sink that mirrors the current state needs no older
    ones."""
    newest = {message.release_id: message for message in queue}
    for message in queue:
        if newest[message.release_id] is not message:
            store.settle(replace(message, progress=Progress.SUPERSEDED))
    return list(newest.values())


def _is_special(now: datetime, calendar: Calendar) -> bool:
    today = now.astimezone(ZoneInfo(calendar.timezone)).date()
    return today in special_days(calendar, today, today)
