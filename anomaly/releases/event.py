"""What happens to a release while it is made, one event at a time, and what the history makes of
it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from anomaly.errors import UsageError
from anomaly.history.records import ReleaseRecord, State
from anomaly.history.store import Store
from anomaly.model import Release, utc


class Kind(StrEnum):
    """What happened."""

    STARTED = "started"
    STAGE = "stage"
    FINISHED = "finished"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class ReleaseEvent:
    """What happened to a release, and when; `share` is that of users from a stage on."""

    kind: Kind
    service: str
    environment: str
    version: str
    at: datetime
    share: float | None = None


def keep(event: ReleaseEvent, store: Store, *, origin: str) -> tuple[ReleaseRecord, bool]:
    """Keep what happened; returns the release and whether it was unknown before.

    Repeating an event changes nothing, and neither does an old one that arrives late. An end
    without a start stands for both: whoever says only that a release finished has told when users
    had it. Raises UsageError for an abort of a release that is not known, and for times or shares
    out of order.
    """
    event = replace(event, at=utc(event.at, "time of the event"))
    standing = store.standing(event.service, event.environment, event.version)
    if standing is None:
        if event.kind is Kind.ABORTED:
            raise UsageError(
                f"no release {event.version!r:.80} of {event.service!r:.80} is known; nothing to "
                "abort"
            )
        return _begin(event, store, origin), True
    record = _after(event, standing.record, store, origin)
    return record, record.id != standing.record.id


def _after(event: ReleaseEvent, record: ReleaseRecord, store: Store, origin: str) -> ReleaseRecord:
    """The release after what happened to it; another one, if its version begins anew."""
    release = record.release
    is_aborted = record.state is State.ABORTED
    if event.kind is Kind.ABORTED:
        if event.at < release.started_at:
            return record
        store.change(record.id, state=State.ABORTED)
        return replace(record, state=State.ABORTED)
    if event.at <= release.finished and (is_aborted or event.kind is Kind.FINISHED):
        return record
    if event.kind is Kind.FINISHED and not is_aborted:
        store.change(record.id, finished_at=event.at)
        return replace(record, release=replace(release, finished_at=event.at))
    is_reached = event.share is not None and event.share in [share for _, share in release.stages]
    return record if is_reached and not is_aborted else _begin(event, store, origin)


def _begin(event: ReleaseEvent, store: Store, origin: str) -> ReleaseRecord:
    """The release that begins, or a stage of one that began."""
    release = Release(
        event.at,
        service=event.service,
        version=event.version,
        environment=event.environment,
        stages=() if event.share is None else ((event.at, event.share),),
    )
    return store.track(staged(store, release), origin=origin, anew=True)


def staged(store: Store, release: Release) -> Release:
    """The release with its stages in the history before its own, if it is the newest there."""
    standing = store.standing(release.service, release.environment)
    if (
        standing is None
        or standing.record.state is State.ABORTED
        or standing.record.release.version != release.version
        or not release.stages
    ):
        return release
    former = standing.record.release
    added = [
        stage for stage in release.stages if not former.stages or stage[0] > former.stages[-1][0]
    ]
    return replace(
        release, started_at=former.started_at, finished_at=None, stages=(*former.stages, *added)
    )
