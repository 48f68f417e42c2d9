"""Where test runs are had over HTTP, and who asks, as a checklist says it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from anomaly.collectors.junit_ci import RunsOfGithub, RunsOfGitlab
from anomaly.collectors.junit_http import HttpRuns, RunsAtAddress
from anomaly.collectors.sign_in import authorization
from anomaly.errors import UsageError
from anomaly.http.endpoint import Endpoint, checked_base, checked_headers, checked_url
from anomaly.wording import plain

REPOSITORY = re.compile(r"(?!\.)[A-Za-z0-9_.-]+/(?!\.{1,2}$)[A-Za-z0-9_.-]+")
PROJECT = re.compile(r"[1-9][0-9]{0,11}|[\w.-]+(/[\w.-]+)+")
GITHUB, GITLAB = "https://api.github.com", "https://gitlab.com/api/v4"


@dataclass(frozen=True, slots=True)
class Place:
    """Where runs are, as the checklist says it (`JunitCollector`)."""

    url: str | None
    github: str | None
    gitlab: int | str | None
    artifact: str | None
    branch: str | None

    @property
    def is_given(self) -> bool:
        """Whether the checklist says anything of it."""
        return self != Place(None, None, None, None, None)


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks, as the checklist says it."""

    bearer_token: str | None = field(repr=False)
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def is_given(self) -> bool:
        """Whether the checklist says anything of it."""
        return self != Access(None, None, None, {})


def source_at(
    place: Place, access: Access, *, timeout: timedelta, max_bytes: int, **outside: Any
) -> HttpRuns:
    """Where runs are had. Raises UsageError for what can't be used or does not go together."""
    make, api, own = _way(place)
    url = place.url or api
    base = checked_url(url)._replace(query="", fragment="").geturl()
    sign_in = authorization(base, access.bearer_token, access.username, access.password)
    headers = checked_headers(access.headers, (*own, *sign_in)) | sign_in
    secrets = (access.bearer_token or "", access.password or "", *headers.values())
    endpoint = Endpoint(url.rstrip("/") if api else url, secrets=secrets, timeout=timeout)
    return make(endpoint, own | headers, max_bytes=max_bytes, **outside)


def _way(place: Place) -> tuple[Callable[..., HttpRuns], str, dict[str, str]]:
    """How a place is asked, the address of its API, and the headers that it wants."""
    if place.github is not None and place.gitlab is not None:
        raise UsageError("github and gitlab are given; use one of them")
    if place.github is None and place.gitlab is None:
        if place.url is None:
            raise UsageError("give one of path (a folder), url (XML or a zip), github and gitlab")
        if place.artifact is not None or place.branch is not None:
            raise UsageError("artifact and branch are given without github or gitlab")
        return RunsAtAddress, "", {}
    if place.url is not None:
        checked_base(place.url)
    if not place.artifact:
        raise UsageError(
            "give artifact: the name of the artifacts (github), or of the job that keeps them "
            "(gitlab)"
        )
    if place.github is not None:
        if not REPOSITORY.fullmatch(place.github):
            raise UsageError(f"github is {plain(place.github, 60)!r}; give it as owner/name")
        api = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        return partial(RunsOfGithub, place.github, place.artifact, place.branch), GITHUB, api
    if not PROJECT.fullmatch(str(place.gitlab)):
        raise UsageError(
            f"gitlab is {plain(str(place.gitlab), 60)!r}; give the number of the project, or "
            "group/name"
        )
    return partial(RunsOfGitlab, str(place.gitlab), place.artifact, place.branch), GITLAB, {}
