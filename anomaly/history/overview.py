"""The releases as a page and as data: what is known of each, in short."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from anomaly.history.records import Ack, FindingRecord, Look, ReleaseRecord
from anomaly.wording import plain

if TYPE_CHECKING:
    from anomaly.history.store import Store
    from anomaly.reporting.pages.history import Entry

# a release, the last look at it, and what people said
Status = tuple[ReleaseRecord, Look | None, Sequence[Ack]]


def statuses_of(
    store: Store, service: str | None = None, environment: str | None = None
) -> list[Status]:
    """The releases of a service and environment (None: any), the newest first, with what was last
    seen and said of them."""
    looks, acks = store.last_looks(service, environment), store.acks_of_all(service, environment)
    releases = store.releases(service=service, environment=environment)[::-1]
    return [(each, looks.get(each.id), acks.get(each.id, ())) for each in releases]


def entries(
    store: Store, statuses: Sequence[Status], link: Callable[[ReleaseRecord], str]
) -> list[Entry]:
    """The releases for their page; `link` is the address of the report of each."""
    from anomaly.reporting.pages.history import MOST_COLUMNS

    looks = [last.id for _, last, _ in statuses if last is not None]
    findings = store.findings_of(looks[:MOST_COLUMNS])  # only these have a column
    return [_entry(each, findings, link(each[0])) for each in statuses]


def summary(record: ReleaseRecord, last: Look | None, acks: Sequence[Ack]) -> dict[str, Any]:
    """A release in short, as JSON-able data; `last` is the last look at it."""
    from anomaly.reporting.data import release_data

    return {
        "id": record.id,
        **release_data(record.release),
        "state": str(record.state),
        "origin": record.origin,
        "looks": last.number if last else 0,
        "verdict": str(last.verdict) if last else None,
        "final": last.final if last else False,
        "headline": last.headline if last else "",
        "acknowledged": [
            {"target": ack.target, "incident": ack.incident, "note": ack.note} for ack in acks
        ],
    }


def _entry(status: Status, findings: Mapping[str, Sequence[FindingRecord]], link: str) -> Entry:
    """A release as its last look left it."""
    from anomaly.reporting.pages.history import Cell, Entry

    record, last, acks = status
    return Entry(
        id=record.id,
        release=record.release,
        state=str(record.state),
        verdict=last.verdict if last else None,
        final=last.final if last else False,
        headline=last.headline if last else "",
        looks=last.number if last else 0,
        comment=_comment(acks),
        cells=[
            Cell(finding.kpi, finding.verdict, finding.fails, finding.effect)
            for finding in (findings.get(last.id, ()) if last else ())
        ],
        link=link,
    )


def _comment(acks: Sequence[Ack]) -> str:
    words = [
        ("an incident" if ack.incident else "a false alarm")
        + (f": {plain(ack.note, 200)}" if ack.note else "")
        for ack in acks
    ]
    return "; ".join(dict.fromkeys(words))
