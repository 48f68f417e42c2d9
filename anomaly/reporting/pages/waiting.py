"""The page of a release that was not judged yet."""

from __future__ import annotations

from anomaly.model import Release
from anomaly.reporting.notice import release_words
from anomaly.reporting.pages.document import Live, document
from anomaly.reporting.pages.release import time_of


def page(release: Release, *, live: Live | None = None) -> str:
    """The page as HTML; `live` is what it says of itself where it is served."""
    return document(
        "waiting.html",
        styles=("page.css", "release.css"),
        scripts=("page.js", "history.js"),
        data={},
        live=live,
        title=f"NOT JUDGED YET: {release_words(release)}",
        release=release_words(release),
        released=time_of(release.started_at, None),
    )
