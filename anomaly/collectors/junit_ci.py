"""Test runs that a CI system keeps: the artifacts of GitHub Actions, and those of GitLab's jobs."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from anomaly.collectors.junit_http import HttpRuns
from anomaly.collectors.junit_runs import KeptRun
from anomaly.collectors.junit_zip import Archive
from anomaly.collectors.lanes import Lanes
from anomaly.errors import CollectError, RetryableCollectError, UsageError
from anomaly.model import Window, utc
from anomaly.timing.durations import duration_text
from anomaly.wording import plain

A_PAGE, MOST_PAGES = 100, 100
AT_ONCE = 4
GRACE_S = 1.0  # for a thread to report that its time is over
LONGEST_RUN = timedelta(days=1)  # from its begin to its artifact
OTHER_FORM = (KeyError, TypeError, ValueError, AttributeError, OverflowError, UsageError)


@dataclass(frozen=True, slots=True)
class _Artifact:
    """What a run left behind: when it began, as far as is known without it, and when it ended."""

    number: int
    path: str
    began: datetime
    ended: datetime


class RunsOfCi(HttpRuns):
    """The artifacts that a CI system lists; each of them is a run."""

    where_to_look: str  # what is missing, where nothing is found

    def runs(self, window: Window, /) -> Iterator[KeptRun]:
        """One for each artifact; the next ones are downloaded meanwhile."""
        self.begin()
        waiting = deque[KeptRun]()
        with Lanes(AT_ONCE, "artifacts") as lanes:
            for each in self._listed(window):
                where = f"{self._endpoint.where}: artifact {each.number}"
                content = lanes.submit(partial(self.download, each.path))
                files = partial(self._unpacked, content, where)
                waiting.append(KeptRun("", where, files, each.began))
                if len(waiting) > AT_ONCE:
                    yield waiting.popleft()
            yield from waiting

    @abstractmethod
    def page(self, number: int, /) -> Sequence[Mapping[str, Any]]:
        """The entries of a page, the newest first. Raises CollectError."""

    @abstractmethod
    def artifact(self, entry: Mapping[str, Any], /) -> _Artifact | None:
        """What an entry leads to; None where it is not wanted, or there no more."""

    @abstractmethod
    def ended(self, entry: Mapping[str, Any], /) -> datetime:
        """When the entry was made."""

    def _listed(self, window: Window) -> Iterator[_Artifact]:
        numbers = set[int]()
        for number in range(1, MOST_PAGES + 1):
            try:
                entries = self.page(number)
                artifacts = [each for each in map(self.artifact, entries) if each is not None]
                is_over = all(self.ended(each) < window.start for each in entries)
            except OTHER_FORM as error:
                raise CollectError(
                    f"unreadable: {self._endpoint.where} answered JSON of another form "
                    f"({type(error).__name__}); is url that of the API?"
                ) from None
            for each in artifacts:
                may_be_of = window.start <= each.ended and each.began < window.end + LONGEST_RUN
                if may_be_of and each.number not in numbers:
                    yield each
                numbers.add(each.number)
            if len(entries) < A_PAGE and not numbers:
                raise CollectError(f"no such run: {self._endpoint.where} has {self.where_to_look}")
            if len(entries) < A_PAGE or is_over:
                return
        raise CollectError(
            f"limit: {self._endpoint.where} lists more than {A_PAGE * MOST_PAGES:,} entries since "
            "the baseline window began; shorten it, or keep the runs in a folder"
        )

    def _unpacked(self, content: Future[bytes], where: str) -> Iterator[tuple[str, bytes]]:
        try:
            archive = Archive(content.result(self.left_s + GRACE_S), where, self._max_bytes)
        except FutureTimeoutError:
            raise RetryableCollectError(
                f"unavailable: {self._endpoint.where}: no answer within the "
                f"{duration_text(self._budget)} for this source"
            ) from None
        return archive.read(archive.members)


class RunsOfGithub(RunsOfCi):
    """The artifacts of one name in a repository. With a branch, those of forks don't count."""

    hints: ClassVar[Mapping[int, str]] = {
        401: "bearer_token is wrong or has expired, or is missing: GitHub wants one for downloads",
        403: "bearer_token lacks the permission actions: read",
        404: "the repository does not exist, or bearer_token may not see it",
    }

    def __init__(
        self, repository: str, artifact: str, branch: str | None, *about: Any, **more: Any
    ) -> None:
        super().__init__(*about, **more)
        self._path, self._branch = f"/repos/{repository}/actions/artifacts", branch
        self._name = artifact
        place = f" of branch {plain(branch, 60)}" if branch else ""
        self.where_to_look = (
            f"no artifact {plain(artifact, 60)!r}{place} that has not expired; is that its name "
            "in upload-artifact?"
        )

    def page(self, number: int, /) -> Sequence[Mapping[str, Any]]:
        query = urlencode({"name": self._name, "per_page": A_PAGE, "page": number})
        answer = self.ask("GET", f"{self._path}?{query}", headers=self._headers, hints=self.hints)
        entries: Sequence[Mapping[str, Any]] = answer["artifacts"]
        return entries

    def artifact(self, entry: Mapping[str, Any], /) -> _Artifact | None:
        run = entry.get("workflow_run") or {}
        is_of_branch = self._branch is None or (
            run["head_branch"] == self._branch and run["head_repository_id"] == run["repository_id"]
        )
        if entry["expired"] or entry["name"] != self._name or not is_of_branch:
            return None
        number, at = int(entry["id"]), self.ended(entry)
        return _Artifact(number, f"{self._path}/{number}/zip", at, at)

    def ended(self, entry: Mapping[str, Any], /) -> datetime:
        return utc(datetime.fromisoformat(entry["created_at"]), "created_at")


class RunsOfGitlab(RunsOfCi):
    """The artifacts of the jobs of one name in a project."""

    hints: ClassVar[Mapping[int, str]] = {
        401: "bearer_token is wrong or has expired",
        403: "bearer_token needs the scope read_api, and the role Reporter in the project",
        404: "the project does not exist, or bearer_token may not see it",
    }

    def __init__(
        self, project: str, artifact: str, branch: str | None, *about: Any, **more: Any
    ) -> None:
        super().__init__(*about, **more)
        self._path = f"/projects/{quote(project, safe='')}/jobs"
        self._name, self._branch = artifact, branch
        place = f" of branch {plain(branch, 60)}" if branch else ""
        self.where_to_look = (
            f"no finished job {plain(artifact, 60)!r}{place} with an archive; are the files of "
            "artifacts:reports:junit under artifacts:paths, too?"
        )

    def page(self, number: int, /) -> Sequence[Mapping[str, Any]]:
        query = f"scope[]=success&scope[]=failed&per_page={A_PAGE}&page={number}"
        entries: Sequence[Mapping[str, Any]] = self.ask(
            "GET", f"{self._path}?{query}", headers=self._headers, hints=self.hints
        )
        return entries

    def artifact(self, entry: Mapping[str, Any], /) -> _Artifact | None:
        is_of_branch = self._branch is None or (
            entry["ref"] == self._branch and not entry.get("tag")
        )
        is_kept = any(each["file_type"] == "archive" for each in entry.get("artifacts", ()))
        if entry["name"] != self._name or not is_of_branch or not is_kept:
            return None
        number = int(entry["id"])
        began = utc(datetime.fromisoformat(entry["started_at"]), "started_at")
        return _Artifact(number, f"{self._path}/{number}/artifacts", began, self.ended(entry))

    def ended(self, entry: Mapping[str, Any], /) -> datetime:
        key = "finished_at" if entry.get("finished_at") else "created_at"
        return utc(datetime.fromisoformat(entry[key]), key)
