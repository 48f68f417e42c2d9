"""`anomaly history --html`: the history as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from anomaly.errors import UsageError

if TYPE_CHECKING:
    from anomaly.checklist.checklist import Checklist
    from anomaly.history.records import Ack, FindingRecord, Look, ReleaseRecord
    from anomaly.history.store import Store
    from anomaly.reporting.pages.history import Entry

    # a release, the last look at it, and what people said
    Known = tuple[ReleaseRecord, Look | None, Sequence[Ack]]


def last_known(
    store: Store, service: str | None = None, environment: str | None = None
) -> list[Known]:
    """The releases of a service and environment (None: any), the newest first, with what was last
    seen and said of them."""
    looks, acks = store.last_looks(service, environment), store.acks_of_all(service, environment)
    releases = store.releases(service=service, environment=environment)[::-1]
    return [(each, looks.get(each.id), acks.get(each.id, ())) for each in releases]


def write(
    path: Path,
    store: Store,
    known: Sequence[Known],
    checklist: Checklist | None,
    data: Mapping[str, Any],
    about: str,
) -> None:
    """Write the page of the `known` releases. Raises SinkError, UsageError for a path
    without a name."""
    from anomaly.reporting.pages.history import MOST_COLUMNS, page
    from anomaly.sinks.files import replace_file

    if not path.name:
        raise UsageError(f"--html is {str(path)!r}; give a file, like history.html")
    beside = sorted(each.name for each in path.resolve().parent.glob("*.html"))
    looks = [last.id for _, last, _ in known if last is not None]
    findings = store.findings_of(looks[:MOST_COLUMNS])  # only these have a column
    entries = [_entry(each, findings, _link(each[0], beside, checklist)) for each in known]
    replace_file(path, page(entries, data["feedback"], data, about=about))


def _entry(known: Known, findings: Mapping[str, Sequence[FindingRecord]], link: str) -> Entry:
    """A release as its last look left it."""
    from anomaly.reporting.pages.history import Cell, Entry

    tracked, last, acks = known
    return Entry(
        id=tracked.id,
        release=tracked.release,
        state=str(tracked.state),
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
    from anomaly.wording import plain

    words = [
        ("an incident" if ack.incident else "a false alarm")
        + (f": {plain(ack.note, 200)}" if ack.note else "")
        for ack in acks
    ]
    return "; ".join(dict.fromkeys(words))


def _link(tracked: ReleaseRecord, beside: Sequence[str], checklist: Checklist | None) -> str:
    """The report of a release: a page in the same folder whose name holds the release's id, else
    the link from the checklist."""
    from anomaly.history.records import SHORT, report_link
    from anomaly.reporting.pages.release import web_link

    near = next((name for name in beside if tracked.id[:SHORT] in name), "")
    if near:
        return quote(near)
    return "" if checklist is None else web_link(report_link(checklist.report_url, tracked))
