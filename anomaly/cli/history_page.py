"""`anomaly history --html`: the history as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from anomaly.errors import UsageError

if TYPE_CHECKING:
    from anomaly.checklist.checklist import Checklist
    from anomaly.history.records import Ack, Look, ReleaseRecord
    from anomaly.history.store import Store
    from anomaly.reporting.pages.history import Entry


def write(
    path: Path,
    store: Store,
    releases: Sequence[ReleaseRecord],
    checklist: Checklist | None,
    data: Mapping[str, Any],
    about: str,
) -> None:
    """Write the page of `releases`, the newest first. Raises SinkError, UsageError for a path
    without a name."""
    from anomaly.reporting.pages.history import MOST_COLUMNS, page
    from anomaly.sinks.files import replace_file

    if not path.name:
        raise UsageError(f"--html is {str(path)!r}; give a file, like history.html")
    beside = sorted(each.name for each in path.resolve().parent.glob("*.html"))
    entries: list[Entry] = []
    for each in releases:
        columns = sum(entry.verdict is not None for entry in entries)
        link = _link(each, beside, checklist)
        entries.append(_entry(store, each, link, with_cells=columns < MOST_COLUMNS))
    replace_file(path, page(entries, data["feedback"], data, about=about))


def _entry(store: Store, tracked: ReleaseRecord, link: str, *, with_cells: bool) -> Entry:
    """A release as its last look left it; its findings are read only if they have a column."""
    from anomaly.reporting.pages.history import Cell, Entry

    looks: Sequence[Look] = store.looks(tracked.id)
    last = looks[-1] if looks else None
    findings = store.findings(tracked.id, look=last.id) if last and with_cells else ()
    return Entry(
        id=tracked.id,
        release=tracked.release,
        state=str(tracked.state),
        verdict=last.verdict if last else None,
        final=last.final if last else False,
        headline=last.headline if last else "",
        looks=len(looks),
        comment=_comment(store.acks(tracked.id)),
        cells=[
            Cell(finding.kpi, finding.verdict, finding.fails, finding.effect)
            for finding in findings
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
    from anomaly.history.records import SHORT
    from anomaly.reporting.pages.release import web_link
    from anomaly.watch.look import link

    near = next((name for name in beside if tracked.id[:SHORT] in name), "")
    return (
        quote(near) if near else web_link(link(checklist, tracked)) if checklist is not None else ""
    )
