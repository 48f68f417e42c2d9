"""Releases from the deployments that GitHub knows of (its deployments API)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from anomaly import wording
from anomaly.errors import UsageError
from anomaly.model import Changes, Commit, Release, Window
from anomaly.releases.commits import (
    MOST_COMMITS,
    commit,
    comparison,
    count,
    reference,
    version_before,
    web_page,
)
from anomaly.releases.deployments import A_PAGE, Deployments

REPOSITORY = re.compile(r"(?!\.)[A-Za-z0-9_.-]+/(?!\.{1,2}$)[A-Za-z0-9_.-]+")
SUCCESS = "success"
HINTS = {
    401: "the token is wrong or has expired",
    403: "the token lacks the permission deployments: read",
    404: "the repository does not exist, or the token may not see it",
}
COMPARISON_HINTS = HINTS | {
    403: "the token lacks the permission contents: read",
    404: "the token lacks the permission contents: read, or the repository has no such versions",
}
COMMITS_HINTS = HINTS | {
    403: "the token lacks the permission contents: read",
    404: "the token lacks the permission contents: read",
    409: "the repository is empty",
}


class GithubReleases:
    """Takes each deployment of `repository` to `environment` that succeeded for a release: from its
    creation to its success. Raises UsageError for settings that can't be used."""

    def __init__(
        self,
        *,
        repository: str,
        environment: str,
        token: str,
        api: str = "https://api.github.com",
        timeout: timedelta = timedelta(seconds=10),
    ) -> None:
        if not REPOSITORY.fullmatch(repository):
            raise UsageError(
                f"repository is {wording.plain(repository, 60)!r}; give it as owner/name"
            )
        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "Authorization": f"Bearer {token}",
        }
        self._deployments = Deployments(api, token, headers, hints=HINTS, timeout=timeout)
        self._repository = f"/repos/{repository}"
        self._path = f"{self._repository}/deployments"
        self._environment = environment

    def __repr__(self) -> str:
        return f"GithubReleases({self._deployments.where})"

    def discover(self, window: Window, /) -> Sequence[Release]:
        """Those that began in the window and have succeeded. Raises CollectError."""
        return sorted(self._found(window), key=lambda each: each.started_at)

    def changes(self, release: Release, before: str, /) -> Changes | None:
        """The commits since the version before. Raises CollectError."""
        before = before or version_before(self, release)
        if not before:
            return None
        ends = [quote(reference(each), safe="") for each in (before, release.version)]
        path, where = f"{self._repository}/compare/{'...'.join(ends)}", self._deployments.where
        whole, first = self._compared(path, 1)  # the oldest come first
        total = count(whole, "total_commits", where)
        last = -(-total // A_PAGE)
        newest: list[Mapping[str, Any]] = []
        for page in range(last, max(0, last - 2), -1):
            entries = first if page == 1 else self._compared(path, page)[1]
            newest += reversed(entries)
        return Changes(
            before,
            total,
            tuple(map(_commit, newest[:MOST_COMMITS])),
            count(whole, "behind_by", where),
            web_page(whole.get("html_url")),
        )

    def check_commits(self) -> None:
        """Raises CollectError where commits can't be read, by the permission that it takes."""
        self._deployments.answer(f"{self._repository}/commits?per_page=1", COMMITS_HINTS)

    def _compared(
        self, path: str, page: int
    ) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
        answer = self._deployments.answer(f"{path}?per_page={A_PAGE}&page={page}", COMPARISON_HINTS)
        return comparison(answer, self._deployments.where)

    def _found(self, window: Window) -> Iterator[Release]:
        deployments = self._deployments
        query = urlencode({"environment": self._environment})
        for each in deployments.each(  # the newest come first
            f"{self._path}?{query}",
            until=lambda entry: deployments.moment(entry, "created_at") < window.start,
        ):
            start = deployments.moment(each, "created_at")
            if not window.start <= start < window.end:
                continue
            ends = [
                deployments.moment(status, "created_at")
                for status in deployments.each(f"{self._path}/{deployments.number(each)}/statuses")
                if status.get("state") == SUCCESS
            ]
            if ends:
                yield deployments.release(each, start, min(ends))


def _commit(entry: Mapping[str, Any]) -> Commit:
    inside = entry.get("commit")
    details = inside if isinstance(inside, Mapping) else {}
    author = details.get("author")
    name = author.get("name") if isinstance(author, Mapping) else ""
    return commit(entry.get("sha"), name, details.get("message"), entry.get("html_url"))
