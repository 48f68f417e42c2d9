"""A look at a release under watch: judge it, decide who is told what, keep both, and tell them.

What is to be told is kept with the look in one transaction, before anything is sent; that it was
sent is kept after the sink took it. Whatever ends the process in between, nothing is lost, and what
was on its way is told again under the same id.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo

from anomaly.checklist.checklist import Checklist
from anomaly.collectors.collect import Progress as Bar
from anomaly.contracts import Action, Collected, Message, Receipt, Sink
from anomaly.errors import StoreBusy
from anomaly.history.records import SHORT, Look, OutboxMessage, Progress, ReleaseRecord, State
from anomaly.history.store import Store, look_id, message_id
from anomaly.model import Calendar, Release, ReleaseVerdict, Silence
from anomaly.notify.delivery import Patience, Post, deliver
from anomaly.notify.policy import Decision, Why, decide, last_word, mirrored
from anomaly.pipeline import check_release
from anomaly.reporting.report import Report
from anomaly.timing.special_days import special_days

PATIENCE = Patience(
    attempts=3, deadline=timedelta(seconds=30)
)  # within one look; what fails then is tried again at a later one
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)  # between such tries
GIVE_UP = timedelta(days=1)  # after that a message is old news
CLAIM = PATIENCE.deadline + timedelta(
    minutes=1
)  # how long a message is left to the process that sends it
BUSY_AT_MOST, BUSY_PAUSE_S = 5, 1.0


@dataclass(frozen=True, slots=True)
class Receiver:
    """A sink under a name of its own."""

    name: str
    sink: Sink

    @property
    def every_look(self) -> bool:
        return bool(getattr(self.sink, "every_look", False))

    @property
    def dedupes(self) -> bool:
        return bool(getattr(self.sink, "dedupes", False))


@dataclass(frozen=True, slots=True)
class LookResult:
    """A look, with what is to be told of it."""

    tracked: ReleaseRecord
    look: Look
    report: Report
    messages: tuple[OutboxMessage, ...]


def receivers(checklist: Checklist) -> list[Receiver]:
    """The sinks of a checklist but for the terminal. Raises ChecklistError."""
    from anomaly.checklist import registry

    return [Receiver(name, registry.sink(plugin)) for name, plugin in checklist.receivers]


def look(
    checklist: Checklist,
    tracked: ReleaseRecord,
    store: Store,
    told: Sequence[Receiver],
    *,
    now: datetime,
    until: datetime | None = None,
    collected: Collected | None = None,
    progress: Bar | None = None,
) -> LookResult:
    """Judge a release at `now`, and keep the look with what is to be told of it. Raises StoreBusy
    if somebody else looked meanwhile."""
    looks_before = len(store.looks(tracked.id))
    known = store.releases(environment=tracked.release.environment)
    release = replace(tracked.release, followed_by=following(tracked, known, now))
    lessons = store.lessons(
        release.service,
        release.environment,
        before=release.started_at,
        warmup=checklist.windows.warmup,
    )
    calendar = replace(checklist.calendar, leave_out=(*checklist.calendar.leave_out, *lessons))
    report = check_release(
        replace(checklist, calendar=calendar),
        release,
        now=now,
        until=until,
        collected=collected,
        progress=progress,
        others=[each.release for each in known if each.id != tracked.id],
    )
    telling = replace(
        checklist.telling,
        silences=tuple(_for_findings(each, tracked.id) for each in checklist.telling.silences),
    )
    acknowledged = {ack.target for ack in store.acks(tracked.id)}
    if tracked.id in acknowledged:
        acknowledged |= {found.id for found in store.findings(tracked.id)}
    outgoing = []
    for receiver in told:
        before = store.messages(tracked.id, receiver.name)
        special = _is_special(now, checklist.calendar)
        decision = decide(
            report, before, now=now, telling=telling, acknowledged=acknowledged, special_day=special
        )
        if receiver.every_look:
            decision = mirrored(report, decision, before)
        if decision.action is not None:
            outgoing.append(
                _outgoing(
                    tracked,
                    look_id(tracked.id, looks_before + 1),
                    receiver,
                    decision,
                    len(before) + 1,
                    now,
                )
            )
    kept = store.record(tracked.id, report, outgoing, at=now, after=looks_before)
    return LookResult(tracked, kept, report, tuple(outgoing))


def stay(
    checklist: Checklist,
    tracked: ReleaseRecord,
    store: Store,
    told: Sequence[Receiver],
    *,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None] = time.sleep,
    saved: bool = True,
    redact: Callable[[str], str] | None = None,
) -> Iterator[tuple[LookResult, tuple[Receipt, ...]]]:
    """Look whenever a step has settled, until a KPI fails or the watch is over; each look, with
    what became of the messages.

    A release that somebody else aborts meanwhile is looked at no more.
    """
    while True:
        looked = _looked_by_somebody(checklist, tracked, store, told, clock=clock, sleep=sleep)
        receipts = tell(
            checklist, store, told, now=clock(), saved=saved, redact=redact, sleep=sleep
        )
        yield looked, receipts
        if looked.report.final or looked.report.verdict is ReleaseVerdict.FAIL:
            return
        now = clock()
        sleep(max(0.0, (next_look(checklist, now) - now).total_seconds()))
        state = next(
            (each.state for each in store.releases() if each.id == tracked.id), State.ABORTED
        )
        if state is State.DONE:  # another process made the last look
            last = store.looks(tracked.id)[-1]
            yield LookResult(tracked, last, store.report(last.id), ()), ()
        if state is not State.WATCHED:
            return


def _looked_by_somebody(
    checklist: Checklist,
    tracked: ReleaseRecord,
    store: Store,
    told: Sequence[Receiver],
    *,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
) -> LookResult:
    """A look; where another process looks at the same moment, the one after it."""
    for _ in range(BUSY_AT_MOST):
        try:
            return look(checklist, tracked, store, told, now=clock())
        except StoreBusy:
            sleep(BUSY_PAUSE_S)
    return look(checklist, tracked, store, told, now=clock())


def next_look(checklist: Checklist, now: datetime) -> datetime:
    """When the step that lasts now will have settled."""
    step, lag = checklist.windows.step.total_seconds(), checklist.windows.lag
    return datetime.fromtimestamp(((now - lag).timestamp() // step + 1) * step, UTC) + lag


def withdraw(
    tracked: ReleaseRecord, store: Store, told: Sequence[Receiver], *, now: datetime
) -> None:
    """Resolve what was fired about a release that was aborted."""
    looks = store.looks(tracked.id)
    for receiver in told if looks else ():
        before = store.messages(tracked.id, receiver.name)
        last = last_word(before)
        if last is not None and last.action is Action.FIRE:
            decision = Decision(Why.ABORTED, Action.RESOLVE)
            store.post([_outgoing(tracked, looks[-1].id, receiver, decision, len(before) + 1, now)])


def tell(
    checklist: Checklist,
    store: Store,
    told: Sequence[Receiver],
    *,
    now: datetime,
    saved: bool = True,
    patience: Patience = PATIENCE,
    redact: Callable[[str], str] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    rng: random.Random | None = None,
) -> tuple[Receipt, ...]:
    """Send what is due about the checklist's service and environment, in order for each sink, and
    keep what became of it.

    `saved` says whether the store outlives the process, so that people can be pointed to what it
    holds.
    """
    mine = {
        each.id: each
        for each in store.releases(service=checklist.service, environment=checklist.environment)
    }
    by_name = {receiver.name: receiver for receiver in told}
    queues: dict[str, list[OutboxMessage]] = {name: [] for name in by_name}
    for message in store.due(now):
        if message.release_id in mine:
            if message.sink in queues:
                queues[message.sink].append(message)
            elif now - message.at > GIVE_UP:
                store.settle(
                    replace(
                        message,
                        progress=Progress.FAILED,
                        detail="the checklist has no such sink any more",
                    )
                )
    receipts: list[Receipt] = []
    for name, queue in queues.items():
        if by_name[name].every_look and by_name[name].dedupes:
            queues[name] = [*_superseded(queue, store)]
    while heads := [queue.pop(0) for queue in queues.values() if queue]:
        batch = [each for each in heads if store.claim(each, now + CLAIM)]
        posts = [
            Post(
                each.sink,
                by_name[each.sink].sink,
                _message(each, mine[each.release_id], checklist, store, saved=saved),
            )
            for each in batch
        ]
        for message, receipt in zip(
            batch,
            deliver(posts, patience=patience, redact=redact, sleep=sleep, rng=rng),
            strict=True,
        ):
            store.settle(_settled(message, receipt, now))
            receipts.append(receipt)
            if not receipt.delivered:
                queues[message.sink] = []  # what comes after it waits, so that the order holds
    return tuple(receipts)


def following(
    tracked: ReleaseRecord, known: Collection[ReleaseRecord], now: datetime
) -> Release | None:
    """The next release of the same service that has begun, if any: it ends the watch."""
    later = [
        each.release
        for each in known
        if each.release.service == tracked.release.service
        and tracked.release.started_at < each.release.started_at <= now
    ]
    return min(later, key=lambda release: release.started_at, default=None)


def link(checklist: Checklist, tracked: ReleaseRecord) -> str:
    """Where the report can be read; empty if nowhere."""
    release = tracked.release
    names = {
        "service": release.service,
        "version": release.version,
        "environment": release.environment,
        "id": tracked.id[:SHORT],
    }
    url = checklist.report_url
    for name, value in names.items():
        url = url.replace(f"{{{name}}}", quote(value, safe=""))
    return url


def _message(
    message: OutboxMessage,
    tracked: ReleaseRecord,
    checklist: Checklist,
    store: Store,
    *,
    saved: bool,
) -> Message:
    return Message(
        key=message.release_id,
        report=store.report(message.look_id),
        action=message.action,
        id=message.id,
        why=message.why,
        look=message.look_id[:SHORT] if saved else "",
        link=link(checklist, tracked),
    )


def _outgoing(
    tracked: ReleaseRecord,
    look: str,
    receiver: Receiver,
    decision: Decision,
    number: int,
    now: datetime,
) -> OutboxMessage:
    assert decision.action is not None  # noqa: S101  only what is told goes out
    return OutboxMessage(
        id=message_id(tracked.id, receiver.name, number),
        release_id=tracked.id,
        look_id=look,
        sink=receiver.name,
        action=decision.action,
        why=decision.why,
        at=now,
        next_try=decision.held_until or now,
        told=decision.told,
    )


def _settled(message: OutboxMessage, receipt: Receipt, now: datetime) -> OutboxMessage:
    attempts = message.attempts + receipt.attempts
    tried = replace(message, attempts=attempts, detail=receipt.detail)
    if receipt.delivered:
        return replace(tried, progress=Progress.SENT)
    if not receipt.again or now - message.at > GIVE_UP:
        return replace(tried, progress=Progress.FAILED)
    pause = min(
        FIRST_PAUSE * 2 ** min(message.attempts // max(1, receipt.attempts), 10), LONGEST_PAUSE
    )
    return replace(tried, next_try=now + pause)


def _superseded(queue: Sequence[OutboxMessage], store: Store) -> Sequence[OutboxMessage]:
    """The newest message about each release; a sink that mirrors how it stands needs no older
    ones."""
    newest = {message.release_id: message for message in queue}
    for message in queue:
        if newest[message.release_id] is not message:
            store.settle(replace(message, progress=Progress.SUPERSEDED))
    return list(newest.values())


def _for_findings(silence: Silence, release: str) -> Silence:
    """A silence of a release by its id is one of all its findings."""
    return replace(silence, ids=()) if silence.ids and release.startswith(silence.ids) else silence


def _is_special(now: datetime, calendar: Calendar) -> bool:
    today = now.astimezone(ZoneInfo(calendar.timezone)).date()
    return today in special_days(calendar, today, today)
