"""Releases from the deployments of GitHub and GitLab."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from anomaly.errors import CollectError, UsageError
from anomaly.model import Window
from anomaly.releases.deployments import version_of
from anomaly.releases.github import GithubReleases
from anomaly.releases.gitlab import GitlabReleases
from tests.support.loopback import Loopback, answer, served
from tests.support.refusals import check_bad_answer

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

START = datetime(2025, 6, 3, 10, tzinfo=UTC)
DAY = Window(START - timedelta(hours=12), START + timedelta(hours=12))
MINUTE = timedelta(minutes=1)
TOKEN = "t0ken-0123456789"
SHA = "0123456789abcdef" * 2 + "01234567"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def github(api: str, **more: Any) -> GithubReleases:
    settings = {"repository": "acme/shop", "environment": "production", "token": TOKEN, "api": api}
    return GithubReleases(**settings | more)


def gitlab(api: str, **more: Any) -> GitlabReleases:
    settings = {"project": "acme/shop", "environment": "production", "token": TOKEN, "api": api}
    return GitlabReleases(**settings | more)


def test_a_deployment_of_github_lasts_from_its_creation_to_its_first_success() -> None:
    states = {
        3: [("inactive", 60), ("success", 50), ("success", 20), ("in_progress", 1)],
        2: [("failure", 5), ("in_progress", 1)],
        1: [("pending", 1)],
    }

    def pages(path: str, query: Mapping[str, str]) -> Any:
        if path.endswith("/statuses"):
            number = int(path.split("/")[-2])
            return [
                {"state": state, "created_at": (START + minutes * MINUTE).isoformat()}
                for state, minutes in states[number]
            ]
        assert (path, query["environment"]) == ("/repos/acme/shop/deployments", "production")
        return [
            {"id": number, "ref": "main", "sha": SHA, "created_at": START.isoformat()}
            for number in states
        ]

    with served(pages) as server:
        (release,) = github(server.origin).discover(DAY)

    assert (release.version, release.started_at) == (SHA[:8], START)
    assert release.finished == START + 20 * MINUTE
    assert all(each.headers["authorization"] == f"Bearer {TOKEN}" for each in server.requests)
    assert all(each.headers["x-github-api-version"] for each in server.requests)


def test_github_is_asked_for_no_page_beyond_the_window() -> None:
    def pages(path: str, query: Mapping[str, str]) -> Any:
        if path.endswith("/statuses"):
            return []
        page = int(query["page"])
        at = START - (page - 1) * timedelta(days=1)
        return [{"id": n, "ref": "v1.0", "created_at": at.isoformat()} for n in range(100)]

    with served(pages) as server:
        assert github(server.origin).discover(Window(START + MINUTE, DAY.end)) == []

    assert len(server.requests) == 1


def test_a_deployment_of_gitlab_lasts_as_long_as_its_job() -> None:
    def pages(path: str, query: Mapping[str, str]) -> Any:
        assert path == "/projects/acme%2Fshop/deployments"
        assert query["status"] == "success"
        assert query["order_by"] == "finished_at"
        assert query["finished_after"] == "2025-06-02T22:00:00Z"
        at = {
            key: (START + minutes * MINUTE).isoformat()
            for key, minutes in {"created_at": 0, "updated_at": 30}.items()
        }
        job = {
            "started_at": (START + 10 * MINUTE).isoformat(),
            "finished_at": (START + 20 * MINUTE).isoformat(),
        }
        return [
            {"id": 1, "ref": "v2.3.1", "sha": SHA, **at, "deployable": job},
            {"id": 2, "ref": "main", "sha": SHA, **at, "deployable": None},
            {"id": 3, "ref": "main", "sha": SHA, **at, "deployable": {"started_at": None}},
        ]

    with served(pages) as server:
        by_api, other, by_job = gitlab(server.origin).discover(DAY)

    assert (by_job.version, by_job.started_at) == ("v2.3.1", START + 10 * MINUTE)
    assert by_job.finished == START + 20 * MINUTE
    assert by_api == other
    assert (by_api.version, by_api.finished) == (SHA[:8], START + 30 * MINUTE)
    assert server.requests[0].headers["private-token"] == TOKEN


@pytest.mark.parametrize("source", [github, gitlab])
@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, "<html>", "is api the address of its API"),
        (200, '{"message": "hello"}', "is api the address of its API"),
        (200, "[1]", "is api the address of its API"),
        (200, '[{"id": "x", "created_at": null}]', "not a time with a zone"),
        (401, TOKEN, "the token is wrong or has expired"),
        (404, "", "does not exist, or the token may not see it"),
        (502, "", "answered 502"),
    ],
)
def test_a_bad_answer_is_refused_and_shows_no_token(
    source: Callable[[str], GithubReleases | GitlabReleases], status: int, body: str, error: str
) -> None:
    check_bad_answer(source, DAY, TOKEN, status, body, error)


@pytest.mark.slow
def test_lists_without_end_are_refused() -> None:
    entry = {"id": 1, "created_at": START.isoformat(), "updated_at": START.isoformat()}
    with (
        Loopback([answer(200, json.dumps([entry] * 100))]) as server,
        pytest.raises(CollectError, match="more than 5,000 deployments"),
    ):
        gitlab(server.origin).discover(DAY)


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        (github, {"repository": "shop"}, "give it as owner/name"),
        (gitlab, {"project": "../x y"}, "give its number, or group/name"),
        (github, {"token": "a\nb"}, "token is empty, or has a space"),
        (gitlab, {"api": "ftp://gitlab"}, "use http or https"),
        (github, {"api": "https://u:p@github.example.com"}, "api holds a user"),
    ],
)
def test_a_wrong_setting_is_refused(
    source: Callable[..., object], settings: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        source("https://example.com", **{} | settings) if "api" not in settings else source(
            settings["api"]
        )


@pytest.mark.parametrize(
    ("ref", "version"),
    [
        ("v1.2.3", "v1.2.3"),
        ("refs/tags/2.0-rc.1", "2.0-rc.1"),
        ("main", SHA[:8]),
        ("release/2.0", SHA[:8]),
        (SHA, SHA[:8]),
    ],
)
def test_a_version_is_called_by_its_tag_or_its_commit(ref: str, version: str) -> None:
    assert version_of(ref, SHA) == version
