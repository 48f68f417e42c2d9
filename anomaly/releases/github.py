"""Releases from the deployments that GitHub knows of (its deployments API)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from urllib.parse import urlencode

from anomaly import wording
from anomaly.errors import UsageError
from anomaly.model import Release, Window
from anomaly.releases.deployments import Deployments

REPOSITORY = re.compile(r"(?!\.)[A-Za-z0-9_.-]+/(?!\.{1,2}$)[A-Za-z0-9_.-]+")
SUCCESS = "success"
HINTS = {
    401: "the token is wrong or has expired",
    403: "the token lacks the permission deployments: read",
    404: "the repository does not exist, or the token may not see it",
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
        self._path = f"/repos/{repository}/deployments"
        self._environment = environment

    def __repr__(self) -> str:
        return f"GithubReleases({self._deployments.where})"

    def discover(self, window: Window, /) -> Sequence[Release]:
        """Those that began in the window and have succeeded. Raises CollectError."""
        return sorted(self._found(window), key=lambda each: each.started_at)

    def _found(self, window: Window) -> Iterator[Release]:
        known = self._deployments
        query = urlencode({"environment": self._environment})
        for each in known.each(  # the newest come first
            f"{self._path}?{query}",
            until=lambda entry: known.moment(entry, "created_at") < window.start,
        ):
            start = known.moment(each, "created_at")
            if not window.start <= start < window.end:
                continue
            ends = [
                known.moment(status, "created_at")
                for status in known.each(f"{self._path}/{known.number(each)}/statuses")
                if status.get("state") == SUCCESS
            ]
            if ends:
                yield known.release(each, start, min(ends))
