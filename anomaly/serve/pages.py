"""The pages of the history and of a release, as they are now. They ask for themselves again when
more is known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from markupsafe import Markup, escape

from anomaly.errors import UsageError
from anomaly.history.overview import entries, statuses_of, summary
from anomaly.history.records import ReleaseRecord, Standing, State, receipts_of
from anomaly.history.store import Store
from anomaly.reporting.pages import history, waiting
from anomaly.reporting.pages import release as of_release
from anomaly.reporting.pages.document import Live
from anomaly.reporting.pages.release import time_of
from anomaly.serve.gate import coming_look
from anomaly.serve.served import Served, UnknownService, names

MOST_RELEASES = 200  # on the page of the history, the newest
AFTER = timedelta(seconds=20)  # a look takes a while
SHORTEST, LONGEST = timedelta(seconds=10), timedelta(minutes=5)  # until a page asks again


def overview(store: Store, served: Served, now: datetime, *, live: bool) -> tuple[str, int | None]:
    """The page of all releases, and after how many seconds it asks again (None: never)."""
    latest = statuses_of(store)[:MOST_RELEASES]
    count, incidents = store.feedback()
    feedback = {"judged": count, "incidents": incidents}
    data = {"releases": [summary(*each) for each in latest], "feedback": feedback}
    watched = [each for each, _, _ in latest if each.state is State.WATCHED]
    coming = served.next_look(now)
    words = (
        f"Judges {names(served.checklists)}; {len(watched)} under watch"
        if watched
        else f"Judges {names(served.checklists)}; no release is under watch"
    )
    status = escape(words) + _next_words(coming if watched else None, now)
    text = history.page(
        entries(store, latest, lambda each: f"/releases/{each.id}"),
        feedback,
        data,
        live=Live(status, _links("/", live=live)),
    )
    return text, _pause(coming, now) if live else None


def release(
    store: Store, served: Served, prefix: str, now: datetime, *, live: bool
) -> tuple[str, int | None]:
    """The page of the release with this id (or unique prefix of one), likewise. Raises
    UsageError."""
    record = store.find(prefix)
    if not isinstance(record, ReleaseRecord):
        raise UsageError(f"{prefix} is no release")
    looks = store.looks(record.id)
    standing = Standing(record, looks[-1] if looks else None)
    coming = _coming(store, served, standing, now)
    address = f"/releases/{record.id}"
    is_live = live and coming is not None
    status = escape(f"Look {len(looks)}" if looks else "No look yet") + (
        Markup("; ") + escape(_ended(record)) if coming is None else _next_words(coming, now)
    )
    links = [("all releases", "/"), *(_links(address, live=live) if coming is not None else ())]
    state = Live(status, links)
    text = (
        of_release.page(
            store.report(looks[-1].id),
            deliveries=receipts_of(store.messages(record.id)),
            live=state,
        )
        if looks
        else waiting.page(record.release, live=state)
    )
    return text, _pause(coming, now) if is_live and coming is not None else None


def _coming(store: Store, served: Served, standing: Standing, now: datetime) -> datetime | None:
    try:
        checklist = served.checklist(
            standing.record.release.service, standing.record.release.environment
        )
    except UnknownService:
        return None
    return coming_look(store, checklist, standing, now)


def _next_words(coming: datetime | None, now: datetime) -> Markup:
    if coming is None:
        return Markup("")
    day = now.date() if coming.date() == now.date() else None
    return Markup("; the next look is at {} <span class='zone'>UTC</span>").format(
        time_of(coming, day)
    )


def _ended(record: ReleaseRecord) -> str:
    match record.state:
        case State.ABORTED:
            return "the release was aborted"
        case State.DONE:
            return "the watch is over"
    return "nobody here judges this service"


def _links(address: str, *, live: bool) -> Sequence[tuple[str, str]]:
    if live:
        return [("stop refreshing", f"{address}?live=false")]
    return [("refresh by itself", address)]


def _pause(coming: datetime, now: datetime) -> int:
    """Seconds until the page asks again: soon after the next look."""
    return round(min(max(coming - now + AFTER, SHORTEST), LONGEST).total_seconds())
