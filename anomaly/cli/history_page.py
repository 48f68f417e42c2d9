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

    Story = tuple[ReleaseRecord, Look | None, Sequence[Ack]]  # a release with its last look


def write(
    path: Path,
    store: Store,
    stories: Sequence[Story],
    checklist: Checklist | None,
    data: Mapping[str, Any],
    about: str,
) -> None:
    """Write the page of the releases, the newest first. Raises SinkError, UsageError for a path
    without a name."""
    from anomaly.reporting.pages.history import MOST_COLUMNS, page
    from anomaly.sinks.files import replace_file

    if not path.name:
        raise UsageError(f"--html is {str(path)!r}; give a file, like history.html")
    beside = sorted(each.name for each in path.resolve().parent.glob("*.html"))
    looks = [last.id for _, last, _ in stories if last is not None]
    findings = store.findings_of(looks[:MOST_COLUMNS])  # only these have a column
    entries = [_entry(story, findings, _link(story[0], beside, checklist)) for story in stories]
    replace_file(path, page(entries, data["feedback"], data, about=about))


def _entry(story: Story, findings: Mapping[str, Sequence[FindingRecord]], link: str) -> Entry:
    """A release as its last look left it."""
    from anomaly.reporting.pages.history import Cell, Entry

    tracked, last, acks = story
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
    from anomaly.history.records import SHORT
    from anomaly.reporting.pages.release import web_link
    from anomaly.watch.look import link

    near = next((name for name in beside if tracked.id[:SHORT] in name), "")
    return (
        quote(near) if near else web_link(link(checklist, tracked)) if checklist is not None else ""
    )
