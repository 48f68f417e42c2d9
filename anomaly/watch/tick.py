"""One step of the unattended watch: find releases, look at those under watch, send what is due.
Safe to run at any time, from any machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from anomaly.checklist.checklist import Checklist
from anomaly.collectors.answers import Answers
from anomaly.contracts import Receipt, ReleaseSource
from anomaly.engine.workers import ALONE, Workers
from anomaly.errors import AnomalyError, CollectError, StoreBusy, StoreError, UsageError
from anomaly.history.places import ANSWERS, beside
from anomaly.history.records import ReleaseRecord, State
from anomaly.history.store import Store
from anomaly.model import Window
from anomaly.steps import align
from anomaly.timing.schedule import Schedule, due
from anomaly.timing.spans import plan
from anomaly.watch.look import (
    LookResult,
    Receiver,
    following,
    look,
    resolve_aborted,
    sinks_of,
    tell,
)

LEASE = timedelta(minutes=15)  # for one look; then others may take over from a dead process
CATCH_UP = timedelta(days=1)  # releases are still found this long after their watch

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TickResult:
    """What one step did. `busy` says that another process holds the lease and nothing was done;
    `problems` says what went wrong."""

    looks: tuple[LookResult, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    problems: tuple[str, ...] = ()
    busy: bool = False


def tick(
    checklist: Checklist,
    store: Store,
    receivers: Sequence[Receiver],
    *,
    holder: str,
    clock: Callable[[], datetime],
    sources: Sequence[tuple[str, ReleaseSource]] = (),
    is_saved: bool = True,
    redact: Callable[[str], str] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    workers: Workers = ALONE,
) -> TickResult:
    """One step for the checklist's service and environment; `holder` names this process, and the
    `workers` judge.

    A release gets a look when a step has settled since its last look and the checklist's schedule,
    if any, has a look due, or when its watch is over.
    """
    lease = f"tick {checklist.service} {checklist.environment}"
    with _lease(store, lease, holder, clock) as prolong:
        if prolong is None:
            return TickResult(busy=True)
        problems = [*_discover(checklist, store, sources, clock())]
        results: list[LookResult] = []
        now, names = clock(), [receiver.name for receiver in sinks_of(receivers)]
        for record in store.alarmed_aborts(checklist.service, checklist.environment, names):
            resolve_aborted(record, store, receivers, now=now)
        watched = store.releases(
            service=checklist.service, environment=checklist.environment, state=State.WATCHED
        )
        todo = [record for record in watched if _is_due(record, store, checklist, now)]
        windows = [_span(each, store, checklist, now) for each in todo]
        with Answers(beside(store.where, ANSWERS), windows, now=now) as answers:
            for record in todo:
                prolong()
                try:
                    results.append(
                        look(
                            checklist,
                            record,
                            store,
                            receivers,
                            now=clock(),
                            answers=answers,
                            workers=workers,
                            sources=[source for _, source in sources],
                        )
                    )
                except StoreBusy as error:
                    log.info("%s", error)
                except StoreError:
                    raise
                except AnomalyError as error:  # one that can't be judged must not hide the others
                    problems.append(f"release {record.release.version or record.id[:8]}: {error}")
        prolong()
        receipts = tell(
            checklist, store, receivers, now=clock(), is_saved=is_saved, redact=redact, sleep=sleep
        )
        problems += _forget(checklist, store, clock())
        return TickResult(tuple(results), receipts, tuple(problems))


def _forget(checklist: Checklist, store: Store, now: datetime) -> Iterator[str]:
    """Delete the releases older than the checklist's retention; yields a problem if that fails,
    because what was judged and sent counts all the same."""
    if checklist.retention is None:
        return
    try:
        count = store.prune(
            now - checklist.retention,
            service=checklist.service,
            environment=checklist.environment,
        )
    except StoreError as error:
        yield f"old releases were not deleted: {error}"
        return
    if count:
        log.info("deleted %d releases older than the retention", count)


def _discover(
    checklist: Checklist, store: Store, sources: Sequence[tuple[str, ReleaseSource]], now: datetime
) -> Iterator[str]:
    """Keep the releases that the sources report; yields a problem for each source that fails."""
    windows = checklist.windows
    since = now - windows.warmup - windows.watch - windows.lag - CATCH_UP
    for name, source in sources:
        try:
            releases = source.discover(Window(since, now))
        except CollectError as error:
            yield f"{name} could not list releases: {error}"
            continue
        except Exception as error:  # a plug-in that crashes must not stop the watch
            log.exception("the source of releases %s crashed", name)
            yield f"{name} could not list releases: it crashed: {type(error).__name__}"
            continue
        aborted = set[tuple[str, str, str]]()
        for release in sorted(releases, key=lambda each: each.started_at):
            complete = replace(
                release,
                service=release.service or checklist.service,
                environment=release.environment or checklist.environment,
            )
            key = (complete.service, complete.environment, complete.version)
            try:
                store.track(
                    complete,
                    origin=name,
                    checklist=str(checklist.path or ""),
                    anew=key in aborted,
                )
            except UsageError as error:  # one that can't be kept must not hide the others
                yield f"{name}: {error}"
            if complete.aborted_at is not None:
                aborted.add(key)


def _is_due(record: ReleaseRecord, store: Store, checklist: Checklist, now: datetime) -> bool:
    """Whether a step has settled since the last look, and the schedule has a look due or the watch
    is over."""
    if record.release.started_at > now:
        return False
    looks = store.looks(record.id)
    step, lag = checklist.windows.step, checklist.windows.lag
    if not looks or looks[-1].at > now:  # a look in the future: the clock was set back since
        return True
    if align(now - lag, step) <= align(looks[-1].at - lag, step):
        return False
    return (
        checklist.schedule is None
        or _is_over(record, store, checklist, now)
        or _is_scheduled(checklist.schedule, record, store, looks[-1].at, now)
    )


def _is_over(record: ReleaseRecord, store: Store, checklist: Checklist, now: datetime) -> bool:
    others = store.releases(environment=record.release.environment, since=record.release.started_at)
    release = replace(record.release, followed_by=following(record, others, now))
    return plan(release, checklist.windows, now=now).final


def _span(record: ReleaseRecord, store: Store, checklist: Checklist, now: datetime) -> Window:
    """What a look collects."""
    others = store.releases(environment=record.release.environment, since=record.release.started_at)
    release = replace(record.release, followed_by=following(record, others, now))
    return plan(release, checklist.windows, now=now).span


def _is_scheduled(
    schedule: Schedule, record: ReleaseRecord, store: Store, last: datetime, now: datetime
) -> bool:
    starts = store.starts(record.release.service, record.release.environment)
    return due(schedule, starts, last=last, now=now)


@contextmanager
def _lease(
    store: Store, name: str, holder: str, clock: Callable[[], datetime]
) -> Iterator[Callable[[], None] | None]:
    """The lease, as the function that prolongs it; None if another process holds it."""

    def take() -> bool:
        now = clock()
        return store.lease(name, holder, now=now, until=now + LEASE)

    def prolong() -> None:
        if not take():
            raise StoreBusy(f"another process took over the lease {name!r}")

    if not take():
        yield None
        return
    try:
        yield prolong
    finally:
        store.release_lease(name, holder)
