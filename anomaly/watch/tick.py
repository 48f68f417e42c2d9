"""One step of the unattended watch: learn of releases, look at those under watch, tell what is due.
Safe to run at any time, anywhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from anomaly.checklist.checklist import Checklist
from anomaly.contracts import Receipt, ReleaseSource
from anomaly.errors import AnomalyError, CollectError, StoreBusy, StoreError
from anomaly.history.records import ReleaseRecord, State
from anomaly.history.store import Store
from anomaly.model import Window
from anomaly.timing.schedule import Rhythm, due
from anomaly.timing.spans import plan
from anomaly.watch.look import LookResult, Receiver, following, look, tell, withdraw

LEASE = timedelta(minutes=15)  # of one look; a process that died holds up the others no longer
CATCH_UP = timedelta(days=1)  # releases are found this long after their watch

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TickResult:
    """What one step did. `busy` says that another process was at it, and nothing was done;
    `problems` what went wrong."""

    looked: tuple[LookResult, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    problems: tuple[str, ...] = ()
    busy: bool = False


def tick(
    checklist: Checklist,
    store: Store,
    told: Sequence[Receiver],
    *,
    holder: str,
    clock: Callable[[], datetime],
    sources: Sequence[tuple[str, ReleaseSource]] = (),
    saved: bool = True,
    redact: Callable[[str], str] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> TickResult:
    """One step for the checklist's service and environment; `holder` names this process.

    A release is looked at when a step has settled since the last look and the rhythm of the
    checklist, if any, asks for a look, or when its watch is over.
    """
    with _lease(
        store, f"tick {checklist.service} {checklist.environment}", holder, clock
    ) as prolong:
        if prolong is None:
            return TickResult(busy=True)
        problems = [*_discovered(checklist, store, sources, clock())]
        looked: list[LookResult] = []
        for tracked in store.releases(service=checklist.service, environment=checklist.environment):
            now = clock()
            if tracked.state is State.ABORTED:
                withdraw(tracked, store, told, now=now)
            if tracked.state is not State.WATCHED or not _is_due(tracked, store, checklist, now):
                continue
            prolong()
            try:
                looked.append(look(checklist, tracked, store, told, now=now))
            except StoreBusy as error:
                log.info("%s", error)
            except StoreError:
                raise
            except (
                AnomalyError
            ) as error:  # one release that can't be judged must not hide the others
                problems.append(f"release {tracked.release.version or tracked.id[:8]}: {error}")
        prolong()
        receipts = tell(
            checklist, store, told, now=clock(), saved=saved, redact=redact, sleep=sleep
        )
        return TickResult(tuple(looked), receipts, tuple(problems))


def _discovered(
    checklist: Checklist, store: Store, sources: Sequence[tuple[str, ReleaseSource]], now: datetime
) -> Iterator[str]:
    """Keep what the sources know of; says which of them have no answer."""
    windows = checklist.windows
    since = now - windows.warmup - windows.watch - windows.lag - CATCH_UP
    for name, source in sources:
        try:
            found = source.discover(Window(since, now))
        except CollectError as error:
            yield f"{name} was not asked for releases: {error}"
            continue
        except (
            Exception
        ) as error:  # a plug-in that crashes must not stop the watch of what is known
            log.exception("the source of releases %s crashed", name)
            yield f"{name} was not asked for releases: it crashed: {type(error).__name__}"
            continue
        for release in sorted(found, key=lambda each: each.started_at):
            service, environment = (
                release.service or checklist.service,
                release.environment or checklist.environment,
            )
            store.track(
                replace(release, service=service, environment=environment),
                origin=name,
                checklist=str(checklist.path or ""),
            )


def _is_due(tracked: ReleaseRecord, store: Store, checklist: Checklist, now: datetime) -> bool:
    """Whether a step has settled since the last look, and the rhythm asks for a look or the watch
    is over."""
    if tracked.release.started_at > now:
        return False
    looks = store.looks(tracked.id)
    step, lag = checklist.windows.step, checklist.windows.lag
    if not looks or looks[-1].at > now:  # a look of a clock that was set back since is none
        return True
    if _steps(now - lag, step) <= _steps(looks[-1].at - lag, step):
        return False
    return (
        checklist.rhythm is None
        or _is_over(tracked, store, checklist, now)
        or _asks(checklist.rhythm, tracked, store, looks[-1].at, now)
    )


def _is_over(tracked: ReleaseRecord, store: Store, checklist: Checklist, now: datetime) -> bool:
    release = replace(
        tracked.release,
        followed_by=following(
            tracked, store.releases(environment=tracked.release.environment), now
        ),
    )
    return plan(release, checklist.windows, now=now).final


def _asks(
    rhythm: Rhythm, tracked: ReleaseRecord, store: Store, last: datetime, now: datetime
) -> bool:
    known = store.releases(service=tracked.release.service, environment=tracked.release.environment)
    return due(
        rhythm,
        [each.release.started_at for each in known if each.state is not State.ABORTED],
        last=last,
        now=now,
    )


def _steps(moment: datetime, step: timedelta) -> int:
    return int(moment.timestamp() // step.total_seconds())


@contextmanager
def _lease(
    store: Store, name: str, holder: str, clock: Callable[[], datetime]
) -> Iterator[Callable[[], None] | None]:
    """The lease, as the function that prolongs it; None if another holds it."""

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
        store.let_go(name, holder)
