"""The release that the running pipeline makes, from the variables of its CI system."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from anomaly.errors import CollectError, UsageError
from anomaly.model import Changes, Release, Window, utc
from anomaly.releases.git import GitReleases
from anomaly.wording import plain

SHORT = 8  # digits of a commit, as GitLab shortens it
COMMIT = re.compile(r"[0-9a-f]{7,64}")
OF_A_TAG = "refs/tags/"
TAGS = {"v[0-9]*": re.compile(r"v\d.*"), "[0-9]*": re.compile(r"\d+\..*")}  # beside one like it


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The variables of a CI system: the one that says that it runs (with that value, or any), the
    tag, the commit, the environment that it deploys to. None of them says when."""

    name: str
    mark: str
    value: str
    tag: str
    commit: str
    environment: str = ""

    def runs(self, environ: Mapping[str, str]) -> bool:
        """Whether this is a pipeline of the system."""
        value = environ.get(self.mark, "")
        return value.casefold() == self.value if self.value else bool(value)


PIPELINES = (
    Pipeline("CircleCI", "CIRCLECI", "true", "CIRCLE_TAG", "CIRCLE_SHA1"),
    Pipeline("Buildkite", "BUILDKITE", "true", "BUILDKITE_TAG", "BUILDKITE_COMMIT"),
    Pipeline("Azure Pipelines", "TF_BUILD", "true", "BUILD_SOURCEBRANCH", "BUILD_SOURCEVERSION"),
    Pipeline("Vercel", "VERCEL", "1", "", "VERCEL_GIT_COMMIT_SHA"),
    Pipeline("Netlify", "NETLIFY", "true", "", "COMMIT_REF"),
    Pipeline(
        "Bitbucket",
        "BITBUCKET_BUILD_NUMBER",
        "",
        "BITBUCKET_TAG",
        "BITBUCKET_COMMIT",
        "BITBUCKET_DEPLOYMENT_ENVIRONMENT",
    ),
    Pipeline("Jenkins", "JENKINS_URL", "", "TAG_NAME", "GIT_COMMIT"),
)


class NoPipelineError(CollectError):
    """No pipeline runs here, so that none can be asked."""


class CiReleases:
    """Takes the running pipeline for a release: of the tag that it runs for, else of the commit.

    GitLab says when the pipeline was made and when this job began: the release happened between.
    The others say neither, so it begins when it is first seen. Of the environment GitLab and
    Bitbucket tell.
    """

    outside: ClassVar[frozenset[str]] = frozenset({"environ", "folder"})

    def __init__(
        self, *, environ: Mapping[str, str] | None = None, folder: Path | None = None
    ) -> None:
        self._environ = os.environ if environ is None else environ
        self._folder = Path.cwd() if folder is None else folder

    def __repr__(self) -> str:
        return "CiReleases()"

    def discover(self, window: Window, /) -> Sequence[Release]:
        """One release, or none if the pipeline is older than the window. Raises NoPipelineError,
        and CollectError for variables that can't be read."""
        if self._environ.get("GITHUB_ACTIONS") == "true":
            return [self._github(window)]
        if self._environ.get("GITLAB_CI") == "true":
            release = self._gitlab()
            return [release] if window.start <= release.started_at < window.end else []
        for pipeline in PIPELINES:
            if pipeline.runs(self._environ):
                return [self._of(pipeline, window)]
        names = ", ".join(each.name for each in PIPELINES)
        raise NoPipelineError(
            "not running in a pipeline: neither GITHUB_ACTIONS nor GITLAB_CI is true, and there "
            f"is none of {names}"
        )

    def changes(self, release: Release, before: str, /) -> Changes | None:
        """The commits since the version before, by the repository in the working directory, if
        there is one. Without a version before, a tag follows the one like it that was made last.
        Raises CollectError."""
        if not any((each / ".git").exists() for each in (self._folder, *self._folder.parents)):
            return None
        like = [tags for tags, form in TAGS.items() if form.fullmatch(release.version)]
        if not before and not like:
            return None
        source = GitReleases(
            path=self._folder, tags=like[0] if like else "*", environ=self._environ
        )
        return source.changes(release, before)

    def _of(self, pipeline: Pipeline, window: Window) -> Release:
        tag = self._environ.get(pipeline.tag, "")
        if tag.startswith("refs/"):  # of a branch, or of a tag
            tag = tag.removeprefix(OF_A_TAG) if tag.startswith(OF_A_TAG) else ""
        return Release(
            window.end,
            version=tag or self._commit(pipeline.commit),
            environment=self._environ.get(pipeline.environment, ""),
        )

    def _commit(self, name: str) -> str:
        commit = self._needed(name)
        if not COMMIT.fullmatch(commit):
            raise CollectError(f"{name} is not a commit, but {plain(repr(commit), 60)}")
        return commit[:SHORT]

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
