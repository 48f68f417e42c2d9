"""The commits between two versions, of real repositories and of servers that answer like the APIs
of GitHub and GitLab."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from anomaly.contracts import ReleaseSource
from anomaly.errors import CollectError
from anomaly.model import Changes, Release, Window
from anomaly.releases.ci import CiReleases
from anomaly.releases.commits import changes_of
from anomaly.releases.git import GitReleases
from anomaly.releases.github import GithubReleases
from anomaly.releases.gitlab import GitlabReleases
from tests.releases.test_git_releases import HOUR, START, Repository
from tests.support import reports
from tests.support.loopback import served

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

NEWER = Release(START + 20 * HOUR, version="v2.0")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Three releases: the second has 12 commits more than the first, the third one of its own, but
    none of the second."""
    made = Repository(tmp_path / "shop")
    made.commit(1)
    made.git(1, "tag", "v1.0")
    for number in range(12):
        made.git(2 + number, "commit", "--quiet", "--allow-empty", "-m", f"Change {number}\n\nmore")
    made.git(14, "tag", "-a", "-m", "said", "v2.0")
    made.git(15, "checkout", "--quiet", "v1.0")
    made.git(16, "commit", "--quiet", "--allow-empty", "-m", "Fix <b>it</b> \u202e| @all")
    made.git(16, "tag", "v1.1")
    return made


def of_git(repository: Repository) -> GitReleases:
    return GitReleases(path=repository.path, environ=repository.environ)


# --- git ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_newest_commits_since_the_version_before_are_named(repository: Repository) -> None:
    found = of_git(repository).changes(NEWER, "v1.0")
    assert found is not None
    assert (found.since, found.count, found.removed) == ("v1.0", 12, 0)
    assert [each.title for each in found.commits] == [f"Change {n}" for n in range(11, 1, -1)]
    assert {(each.author, len(each.id)) for each in found.commits} == {("A", 8)}


def test_without_a_version_before_it_is_the_tag_before(repository: Repository) -> None:
    found = of_git(repository).changes(NEWER, "")
    assert found is not None
    assert (found.since, found.count, found.removed) == ("v1.1", 12, 1)
    assert of_git(repository).changes(Release(START + 1 * HOUR, version="v1.0"), "") is None


def test_a_rollback_takes_commits_back(repository: Repository) -> None:
    found = of_git(repository).changes(Release(START + 30 * HOUR, version="v1.0"), "v2.0")
    assert found == Changes("v2.0", 0, (), 12)


@pytest.mark.slow
def test_a_commit_is_a_version_too(repository: Repository) -> None:
    head = subprocess.run(
        ["git", "-C", str(repository.path), "rev-parse", "--short=8", "v2.0^{commit}"],
        check=True,
        capture_output=True,
        env=repository.environ,
        text=True,
    ).stdout.strip()
    found = of_git(repository).changes(Release(START + 30 * HOUR, version=head), "v1.0")
    assert found is not None
    assert found.count == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    "version", ["--output=pwned", "v1.0..v2.0", "v1.0@{1}", "HEAD~1", "", "v 1", "-1", "v9", "\x1b"]
)
def test_what_is_no_version_is_refused_as_one(repository: Repository, version: str) -> None:
    for before, after in ((version, "v2.0"), ("v1.0", version)):
        if before:
            with pytest.raises(CollectError, match=r"not the name of a tag|no tag or commit"):
                of_git(repository).changes(Release(START, version=after), before)
    assert not [*repository.path.parent.rglob("pwned*")]


@pytest.mark.slow
def test_hostile_text_of_a_commit_is_safe_to_print(repository: Repository) -> None:
    found = of_git(repository).changes(Release(START + 30 * HOUR, version="v1.1"), "v1.0")
    assert found is not None
    (commit,) = found.commits
    assert commit.title == "Fix <b>it</b> \\u202e| @all"


@pytest.mark.slow
def test_a_shallow_clone_says_what_to_fetch(repository: Repository, tmp_path: Path) -> None:
    repository.git(30, "checkout", "--quiet", "v2.0")
    shallow = tmp_path / "shallow"
    origin = f"file://{repository.path}"
    repository.git(31, "clone", "--quiet", "--depth=1", "--branch=v2.0", origin, str(shallow))
    repository.git(31, "-C", str(shallow), "fetch", "--quiet", "--depth=1", "origin", "tag", "v1.0")
    with pytest.raises(CollectError, match="fetch-depth: 0"):
        GitReleases(path=shallow, environ=repository.environ).changes(NEWER, "v1.0")


@pytest.mark.slow
def test_a_pipeline_reads_the_repository_in_which_it_runs(
    repository: Repository, tmp_path: Path
) -> None:
    inside = repository.path / "sub"
    inside.mkdir()
    found = CiReleases(environ=repository.environ, folder=inside).changes(NEWER, "")
    assert found is not None
    assert (found.since, found.count) == ("v1.1", 12)
    elsewhere = CiReleases(environ=repository.environ, folder=tmp_path)
    assert elsewhere.changes(NEWER, "v1.0") is None
    commit = Release(START + 30 * HOUR, version="0123abcd")
    assert CiReleases(environ=repository.environ, folder=inside).changes(commit, "") is None


# --- GitHub and GitLab --------------------------------------------------------------------------


def github(api: str) -> GithubReleases:
    return GithubReleases(
        repository="acme/shop", environment="production", token="t0ken-0123456789", api=api
    )


def gitlab(api: str) -> GitlabReleases:
    return GitlabReleases(
        project="acme/shop", environment="production", token="t0ken-0123456789", api=api
    )


def of_github(number: int) -> dict[str, Any]:
    return {
        "sha": f"{number:040x}",
        "html_url": f"https://github.example/acme/shop/commit/{number:040x}",
        "commit": {"author": {"name": "Ada"}, "message": f"Change {number}\n\nmore"},
    }


def test_github_is_asked_for_the_pages_with_the_newest_commits() -> None:
    every = [of_github(number) for number in range(203)]

    def pages(path: str, query: Mapping[str, str]) -> Any:
        assert path == "/repos/acme/shop/compare/v1.0...v2.0"
        size, page = int(query["per_page"]), int(query["page"])
        return {
            "html_url": "https://github.example/acme/shop/compare/v1.0...v2.0",
            "total_commits": len(every),
            "behind_by": 2,
            "commits": every[(page - 1) * size : page * size],
        }

    with served(pages) as server:
        found = github(server.origin).changes(NEWER, "v1.0")

    assert found is not None
    assert (found.count, found.removed) == (203, 2)
    assert [each.title for each in found.commits] == [f"Change {n}" for n in range(202, 192, -1)]
    assert found.commits[0].link == f"https://github.example/acme/shop/commit/{202:040x}"
    assert found.link.endswith("/compare/v1.0...v2.0")
    assert len(server.requests) == 3


def test_github_looks_for_the_deployment_before() -> None:
    def pages(path: str, query: Mapping[str, str]) -> Any:
        if path.endswith("/statuses"):
            return [{"state": "success", "created_at": (START + HOUR).isoformat()}]
        if path.endswith("/deployments"):
            at = (START - timedelta(days=3)).isoformat()
            return [{"id": 1, "ref": "v1.9", "sha": "0" * 40, "created_at": at}]
        assert path.endswith("/compare/v1.9...v2.0")
        return {"total_commits": 1, "behind_by": 0, "commits": [of_github(1)]}

    with served(pages) as server:
        found = github(server.origin).changes(NEWER, "")

    assert found is not None
    assert (found.since, found.count, found.link) == ("v1.9", 1, "")


def test_gitlab_compares_once_more_only_where_nothing_is_new() -> None:
    every = [
        {
            "id": f"{number:040x}",
            "short_id": f"{number:011x}",
            "title": f"Change {number}",
            "author_name": "Ada",
            "web_url": f"https://gitlab.example/acme/shop/-/commit/{number:040x}",
        }
        for number in range(13)
    ]

    def pages(path: str, query: Mapping[str, str]) -> Any:
        assert path == "/projects/acme%2Fshop/repository/compare"
        return {"commits": every if (query["from"], query["to"]) == ("v1.0", "v2.0") else []}

    with served(pages) as server:
        found = gitlab(server.origin).changes(NEWER, "v1.0")
        asked = len(server.requests)
        back = gitlab(server.origin).changes(Release(START, version="v1.0"), "v2.0")

    assert found is not None
    assert (found.count, asked) == (13, 1)
    assert [each.title for each in found.commits] == [f"Change {n}" for n in range(12, 2, -1)]
    assert back == Changes("v2.0", 0, (), 13)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"commits": "x"},
        {"commits": [1]},
        {"commits": [], "total_commits": -1, "behind_by": 0},
        {"commits": [], "total_commits": True, "behind_by": 0},
        {"commits": [], "total_commits": 10**30, "behind_by": 0},
    ],
)
def test_an_odd_answer_is_an_error(body: Any) -> None:
    with served(lambda *_: body) as server, pytest.raises(CollectError, match="comparison"):
        github(server.origin).changes(NEWER, "v1.0")


def test_odd_fields_of_a_commit_are_empty() -> None:
    odd = [
        {"sha": 1, "html_url": "javascript:alert(1)", "commit": None},
        {"commit": {"author": "x", "message": ["y"]}},
        {"html_url": "https://a b", "commit": {"author": {"name": {}}, "message": "\x1b[31m"}},
    ]
    body = {"commits": odd, "total_commits": 3, "behind_by": 0, "html_url": {}}
    with served(lambda *_: body) as server:
        found = github(server.origin).changes(NEWER, "v1.0")
    assert found is not None
    assert {(each.id, each.author, each.link) for each in found.commits} == {("", "", "")}
    assert found.commits[0].title == "\\x1b[31m"


# --- whoever asks -------------------------------------------------------------------------------


class Source:
    """A source of releases that answers as it is told."""

    def __init__(self, answer: Changes | Exception | None) -> None:
        self.answer = answer

    def discover(self, _window: Window, /) -> Sequence[Release]:
        return []

    def changes(self, _release: Release, _before: str, /) -> Changes | None:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Bare:
    """A source of releases that knows no commits."""

    def discover(self, _window: Window, /) -> Sequence[Release]:
        return []


def test_the_first_source_that_knows_is_taken() -> None:
    sources: list[ReleaseSource] = [Bare(), Source(None), Source(reports.CHANGES)]
    assert changes_of(NEWER, "v1.0", sources) is reports.CHANGES
    assert changes_of(NEWER, "v1.0", [Bare()]) is None
    assert changes_of(Release(datetime(2025, 1, 1, tzinfo=UTC)), "v1.0", sources) is None


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (CollectError("github.example answered 404\x1b"), r"github.example answered 404\x1b"),
        (KeyError("secret"), "the source of releases crashed: KeyError"),
    ],
)
def test_what_goes_wrong_is_said_and_hides_no_verdict(error: Exception, problem: str) -> None:
    assert changes_of(NEWER, "v1.0", [Source(error)]) == Changes("v1.0", problem=problem)
