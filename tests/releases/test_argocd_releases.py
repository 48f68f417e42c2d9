"""Releases from the history of an application, as Argo CD's Swagger description has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from anomaly.errors import CollectError, UsageError
from anomaly.model import Window
from anomaly.releases.argocd import ArgocdReleases
from tests.support.loopback import Loopback, answer
from tests.support.refusals import check_bad_answer

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

START = datetime(2025, 6, 3, 10, tzinfo=UTC)
DAY = Window(START - timedelta(hours=12), START + timedelta(hours=12))
TOKEN = "eyJhbGciOiJIUzI1NiJ9.e30.0123456789"
COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def source(url: str, **more: Any) -> ArgocdReleases:
    return ArgocdReleases(**{"url": url, "application": "shop", "token": TOKEN} | more)


def sync(hour: int = 10, revision: str | None = COMMIT, **more: Any) -> dict[str, Any]:
    """An entry of the history; what is None is left out."""
    entry = {
        "id": hour,
        "revision": revision,
        "deployStartedAt": f"2025-06-03T{hour:02}:00:00Z",
        "deployedAt": f"2025-06-03T{hour:02}:00:20Z",
        "source": {"repoURL": "https://git.example/shop", "path": ".", "targetRevision": "HEAD"},
        "initiatedBy": {"automated": True},
    }
    return {key: value for key, value in (entry | more).items() if value is not None}


def targeting(target: str, **more: Any) -> dict[str, Any]:
    return {"source": {"repoURL": "https://git.example/shop", "targetRevision": target, **more}}


def application(*history: object) -> str:
    return json.dumps({"metadata": {"name": "shop"}, "status": {"history": history}})


@contextmanager
def serving(*history: object) -> Iterator[Loopback]:
    with Loopback([answer(200, application(*history))]) as server:
        yield server


def versions(*history: object, **more: Any) -> list[str]:
    with serving(*history) as server:
        return [each.version for each in source(server.origin, **more).discover(DAY)]


def test_a_sync_is_a_release_from_its_start_to_its_end() -> None:
    with serving(sync(11, "b" * 40), sync(10)) as server:
        first, second = source(server.origin + "/argocd", namespace="shops").discover(DAY)

    assert (first.version, first.started_at) == ("01234567", START)
    assert first.finished == START + timedelta(seconds=20)
    assert second.version == "b" * 8
    (request,) = server.requests
    assert request.line.split()[1] == "/argocd/api/v1/applications/shop?appNamespace=shops"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


def test_a_sync_of_an_older_argo_cd_has_no_start() -> None:
    with serving(sync(deployStartedAt=None)) as server:
        (release,) = source(server.origin).discover(DAY)
    assert release.started_at == release.finished == START + timedelta(seconds=20)


def test_a_rollback_is_a_release_of_what_came_back() -> None:
    assert versions(sync(9), sync(10, "b" * 40), sync(11)) == ["01234567", "b" * 8, "01234567"]


@pytest.mark.parametrize(
    ("revision", "target", "version"),
    [
        (COMMIT, "v2.3.1", "v2.3.1"),
        (COMMIT, "refs/tags/2.3.1", "2.3.1"),
        (COMMIT, "main", "01234567"),
        (COMMIT, "", "01234567"),
        ("1.2.3-rc.1", "1.*", "1.2.3-rc.1"),
        (f"sha256:{COMMIT}", "latest", "01234567"),
    ],
)
def test_a_version_is_a_chart_or_a_tag_or_a_commit(
    revision: str, target: str, version: str
) -> None:
    assert versions(sync(10, revision, **targeting(target))) == [version]


def test_the_version_of_several_sources_names_each() -> None:
    chart, values = targeting("1.*")["source"], targeting("main")["source"]
    entry = sync(revision=None, source={}, sources=[chart, values], revisions=["1.2.3", COMMIT])
    assert versions(entry) == ["1.2.3+01234567"]


@pytest.mark.parametrize(
    ("image", "more"),
    [
        ("acme/shop", {"kustomize": {"images": ["acme/shop:2.3.1", "acme/proxy:1"]}}),
        ("shop", {"kustomize": {"images": ["shop=registry:5000/acme/shop:2.3.1"]}}),
        ("registry:5000/acme/shop", {"kustomize": {"images": ["registry:5000/acme/shop:2.3.1"]}}),
        ("image.tag", {"helm": {"parameters": [{"name": "image.tag", "value": "2.3.1"}]}}),
    ],
)
def test_a_version_may_be_the_tag_of_an_image(image: str, more: dict[str, Any]) -> None:
    entry = sync(**targeting("main", **more))
    assert versions(entry, image=image) == ["2.3.1"]
    sources = [targeting("main")["source"], entry["source"]]
    assert versions(sync(source=None, sources=sources), image=image) == ["2.3.1"]


def test_an_image_that_is_set_by_its_digest_is_called_by_eight_digits() -> None:
    images = {"kustomize": {"images": [f"acme/shop@sha256:{COMMIT}"]}}
    assert versions(sync(**targeting("main", **images)), image="acme/shop") == ["01234567"]


def test_an_image_that_the_application_does_not_set_is_an_error_that_names_those_it_sets() -> None:
    more = {
        "kustomize": {"images": ["acme/proxy:1", "odd", 3]},
        "helm": {"parameters": [{"name": "replicas", "value": "3"}, 4]},
    }
    with pytest.raises(
        CollectError, match=r"no tag of image 'acme/shop'; there: acme/proxy, replicas"
    ):
        versions(sync(**targeting("main", **more)), image="acme/shop")
    with pytest.raises(CollectError, match="there: none"):
        versions(sync(), image="acme/shop")


def test_an_application_that_was_never_synced_has_no_releases() -> None:
    for body in ('{"metadata": {"name": "shop"}, "status": {}}', '{"metadata": {"name": "shop"}}'):
        with Loopback([answer(200, body)]) as server:
            assert source(server.origin).discover(DAY) == []


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, "<html>", "is url the address of its API"),
        (200, "[]", "not with an application"),
        (200, '{"metadata": 3}', "not with an application"),
        (200, application(3), "deployedAt is None"),
        (200, application(sync(deployedAt="soon")), "deployedAt is 'soon'; not a time"),
        (200, application(sync(deployStartedAt="2025-06-03T10:00")), "has no time zone"),
        (200, application(sync(revision=None)), "revision is None"),
        (401, TOKEN, "the token is wrong or has expired"),
        (403, "", "may not get it"),
        (404, "", "without /api"),
        (502, "", "answered 502"),
        (307, "", "redirects are not followed"),
    ],
)
def test_a_bad_answer_is_refused_and_shows_no_token(status: int, body: str, error: str) -> None:
    check_bad_answer(source, DAY, TOKEN, status, body, error)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"application": ""}, "application is ''; give its name in Kubernetes"),
        ({"application": "argocd/shop"}, "application is 'argocd/shop'"),
        ({"namespace": "Shops"}, "namespace is 'Shops'"),
        ({"token": "a b"}, "token is empty, or has a space"),
        ({"url": "argocd.example.com"}, "url starts with no scheme"),
        ({"url": "https://u:p@argocd.example.com"}, "url holds a user"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        source(settings.pop("url", "https://example.com"), **settings)
