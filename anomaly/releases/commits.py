"""The commits between the version released before and a release, as far as a source of releases
knows them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from anomaly.contracts import ChangeSource, ReleaseSource
from anomaly.errors import AnomalyError, CollectError
from anomaly.model import Changes, Commit, Release, Window
from anomaly.wording import plain

MOST_COMMITS = 10  # that are named; the others are counted
SHORT = 8  # digits of a commit
LONGEST_NAME, LONGEST_TITLE, LONGEST_PROBLEM = 60, 120, 300  # characters
LARGEST_COUNT = 10**9
# what can be the name of a tag or the id of a commit, and nothing else that git understands
REFERENCE = re.compile(r"[A-Za-z0-9_](?!.*(\.\.|@\{|//))[A-Za-z0-9_.+/@-]*")
WEB_PAGE = re.compile(r"https?://[\x21-\x7e]{1,500}")
LOOKED_BACK = (timedelta(days=1), timedelta(days=7), timedelta(days=30))

log = logging.getLogger(__name__)


def changes_of(release: Release, before: str, sources: Iterable[ReleaseSource]) -> Changes | None:
    """The commits since the version `before`, by the first source that knows; None if none does.

    A failure becomes the `problem` of the answer: it must not hide a verdict.
    """
    if not release.version:
        return None
    try:
        for source in sources:
            if isinstance(source, ChangeSource):
                changes = source.changes(release, before)
                if changes is not None:
                    return changes
    except AnomalyError as error:
        return Changes(before, problem=plain(str(error), LONGEST_PROBLEM))
    except Exception as error:  # a plug-in that crashes must not hide the verdict
        log.exception("the commits of the release are unknown")
        return Changes(before, problem=f"the source of releases crashed: {type(error).__name__}")
    return None


def version_before(source: ReleaseSource, release: Release) -> str:
    """The version that the source says was released last before a release, looked for further and
    further back; empty if there is none. Raises CollectError."""
    end = release.started_at
    for length in LOOKED_BACK:
        start = release.started_at - length
        for each in reversed(source.discover(Window(start, end))):
            if each.version not in {"", release.version}:
                return each.version
        end = start
    return ""


def reference(version: str) -> str:
    """The version, if it can be the name of a tag or the id of a commit. Raises CollectError."""
    if not REFERENCE.fullmatch(version):
        raise CollectError(f"{plain(version, LONGEST_NAME)!r} is not the name of a tag or a commit")
    return version


def commit(identity: Any, author: Any, message: Any, link: Any = "") -> Commit:
    """A commit from what a repository says of it, whatever that is."""
    title = _text(message).strip().partition("\n")[0]
    return Commit(
        plain(_text(identity)[:SHORT], SHORT),
        plain(_text(author), LONGEST_NAME),
        plain(title, LONGEST_TITLE),
        web_page(link),
    )


def web_page(link: Any) -> str:
    """The address, if it is one of a page; else empty."""
    return link if isinstance(link, str) and WEB_PAGE.fullmatch(link) else ""


def comparison(answer: Any, where: str) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
    """A comparison as an API gives it, and its commits, the newest last. Raises CollectError."""
    commits = answer.get("commits") if isinstance(answer, dict) else None
    if not isinstance(commits, list) or not all(isinstance(each, dict) for each in commits):
        raise CollectError(f"{where} answered, but not with a comparison of two versions")
    return answer, commits


def count(answer: Mapping[str, Any], key: str, where: str) -> int:
    """A number of commits in an answer. Raises CollectError."""
    value = answer.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_COUNT:
        raise CollectError(f"{where}: {key} of a comparison is not a number of commits")
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
