"""The release that the running pipeline makes, from the variables of GitHub Actions or GitLab
CI."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from anomaly.errors import CollectError, UsageError
from anomaly.model import Release, Window, utc

SHORT = 8  # digits of a commit, as GitLab shortens it


class CiReleases:
    """Takes the running pipeline for a release: of the tag that it runs for, else of the commit.

    GitLab says when the pipeline was made and when this job began: the release happened between.
    GitHub says neither, so it begins when it is first seen. Of the environment GitLab alone tells.
    """

    outside: ClassVar[frozenset[str]] = frozenset({"environ"})

    def __init__(self, *, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ

    def __repr__(self) -> str:
        return "CiReleases()"

    def discover(self, window: Window, /) -> Sequence[Release]:
        """One release, or none if the pipeline is older than the window. Raises CollectError where
        no pipeline runs."""
        if self._environ.get("GITHUB_ACTIONS") == "true":
            return [self._github(window)]
        if self._environ.get("GITLAB_CI") == "true":
            release = self._gitlab()
            return [release] if window.start <= release.started_at < window.end else []
        raise CollectError(
            "not running in a pipeline: neither GITHUB_ACTIONS nor GITLAB_CI is true"
        )

    def _github(self, window: Window) -> Release:
        tag = (
            self._environ.get("GITHUB_REF_NAME")
            if self._environ.get("GITHUB_REF_TYPE") == "tag"
            else ""
        )
        return Release(window.end, version=tag or self._needed("GITHUB_SHA")[:SHORT])

    def _gitlab(self) -> Release:
        start, job = self._moment("CI_PIPELINE_CREATED_AT"), self._moment("CI_JOB_STARTED_AT")
        return Release(
            start,
            max(start, job),
            version=self._environ.get("CI_COMMIT_TAG") or self._needed("CI_COMMIT_SHORT_SHA"),
            environment=self._environ.get("CI_ENVIRONMENT_NAME", ""),
        )

    def _needed(self, name: str) -> str:
        value = self._environ.get(name, "")
        if not value:
            raise CollectError(f"the pipeline does not set {name}")
        return value

    def _moment(self, name: str) -> datetime:
        try:
            return utc(datetime.fromisoformat(self._needed(name)), name)
        except (ValueError, UsageError):
            raise CollectError(f"{name} is not a time with a zone") from None
