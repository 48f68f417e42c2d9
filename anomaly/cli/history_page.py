"""`anomaly history --html`: the history as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from anomaly.errors import UsageError

if TYPE_CHECKING:
    from anomaly.checklist.checklist import Checklist
    from anomaly.history.overview import Status
    from anomaly.history.records import ReleaseRecord
    from anomaly.history.store import Store


def write(
    path: Path,
    store: Store,
    statuses: Sequence[Status],
    checklist: Checklist | None,
    data: Mapping[str, Any],
    about: str,
) -> None:
    """Write the page of these releases. Raises SinkError, UsageError for a path
    without a name."""
    from anomaly.history.overview import entries
    from anomaly.reporting.pages.history import page
    from anomaly.sinks.files import replace_file

    if not path.name:
        raise UsageError(f"--html is {str(path)!r}; give a file, like history.html")
    beside = sorted(each.name for each in path.resolve().parent.glob("*.html"))
    rows = entries(store, statuses, partial(_link, beside=beside, checklist=checklist))
    replace_file(path, page(rows, data["feedback"], data, about=about))


def _link(record: ReleaseRecord, *, beside: Sequence[str], checklist: Checklist | None) -> str:
    """The report of a release: a page in the same folder whose name holds the release's id, else
    the link from the checklist."""
    from anomaly.history.records import SHORT, report_link
    from anomaly.reporting.pages.release import web_link

    near = next((name for name in beside if record.id[:SHORT] in name), "")
    if near:
        return quote(near)
    return "" if checklist is None else web_link(report_link(checklist.report_url, record))
