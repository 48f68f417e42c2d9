"""Releases from the deployments that GitLab knows of (its deployments API)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from anomaly import wording
from anomaly.errors import UsageError
from anomaly.model import Changes, Release, Window
from anomaly.releases.commits import (
    MOST_COMMITS,
    commit,
    comparison,
    reference,
    version_before,
    web_page,
)
from anomaly.releases.deployments import Deployments

PROJECT = re.compile(r"[1-9][0-9]{0,11}|[\w.-]+(/[\w.-]+)+")
HINTS = {
    401: "the token is wrong or has expired",
    403: "the token needs the scope read_api, and the role Reporter in the project",
    404: "the project does not exist, or the token may not see it",
}
COMPARISON_HINTS = HINTS | {
    404: "the token lacks the scope read_api, or the project has no such versions",
}
COMMITS_HINTS = HINTS | {
    404: "the token lacks the scope read_api, or the project has no repository",
}


class GitlabReleases:
    """Takes each deployment of `project` to `environment` that succeeded for a release: from the
    start of its job to its success. Raises UsageError for settings that can't be used."""

    def __init__(
        self,
        *,
        project: int | str,
        environment: str,
        token: str,
        api: str = "https://gitlab.com/api/v4",
        timeout: timedelta = timedelta(seconds=10),
    ) -> None:
        if not PROJECT.fullmatch(str(project)):
            raise UsageError(
                f"project is {wording.plain(str(project), 60)!r}; give its number, or group/name"
            )
        headers = {"Accept": "application/json", "PRIVATE-TOKEN": token}
        self._deployments = Deployments(api, token, headers, hints=HINTS, timeout=timeout)
        self._project = f"/projects/{quote(str(project), safe='')}"
        self._path = f"{self._project}/deployments"
        self._environment = environment

    def __repr__(self) -> str:
        return f"GitlabReleases({self._deployments.where})"

    def discover(self, window: Window, /) -> Sequence[Release]:
        """Those that began in the window and have succeeded. Raises CollectError."""
        return sorted(self._found(window), key=lambda each: each.started_at)

    def changes(self, release: Release, before: str, /) -> Changes | None:
        """The commits since the version before. Of those that it takes back GitLab is asked only
        where none is new. Raises CollectError."""
        before = before or version_before(self, release)
        if not before:
            return None
        whole, commits = self._compared(before, release.version)  # the oldest come first
        return Changes(
            before,
            len(commits),
            tuple(
                commit(*map(each.get, ("id", "author_name", "title", "web_url")))
                for each in commits[: -MOST_COMMITS - 1 : -1]
            ),
            0 if commits else len(self._compared(release.version, before)[1]),
            web_page(whole.get("web_url")),
        )

    def check_commits(self) -> None:
        """Raises CollectError where commits can't be read, by the permission that it takes."""
        self._deployments.answer(f"{self._project}/repository/commits?per_page=1", COMMITS_HINTS)

    def _compared(
        self, before: str, after: str
    ) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
        query = urlencode({"from": reference(before), "to": reference(after)})
        answer = self._deployments.answer(
            f"{self._project}/repository/compare?{query}", COMPARISON_HINTS
        )
        return comparison(answer, self._deployments.where)

    def _found(self, window: Window) -> Iterator[Release]:
        deployments = self._deployments
        query = urlencode(
            {
                "environment": self._environment,
                "status": "success",
                "order_by": "finished_at",
                "sort": "asc",
                "finished_after": window.start.isoformat().replace("+00:00", "Z"),
            }
        )
        for each in deployments.each(f"{self._path}?{query}"):
            job = each.get("deployable")  # there is none if the API made the deployment
            of_job = job if isinstance(job, Mapping) and job.get("finished_at") else None
            if of_job is None:
                start = deployments.moment(each, "created_at")
                end = deployments.moment(each, "updated_at")
            else:
                start = deployments.moment(of_job, "started_at")
                end = deployments.moment(of_job, "finished_at")
            if window.start <= start < window.end:
                yield deployments.release(each, start, end)
