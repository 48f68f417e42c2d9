"""Test runs over HTTP: an address, the artifacts of GitHub Actions, those of GitLab's jobs."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from anomaly.collectors import junit_zip
from anomaly.collectors.junit import JunitCollector
from anomaly.contracts import Collected
from anomaly.errors import UsageError
from anomaly.model import Kpi, Window
from anomaly.panel import VALUE
from tests.collectors.test_junit import FAILED, PASSED, suite
from tests.support.loopback import Loopback, Reply, answer

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

START, STEP = datetime(2025, 6, 3, tzinfo=UTC), timedelta(days=1)
WINDOW = Window(START, START + 4 * STEP)
TOKEN = "t0ken-of-a-reader"
NAN = np.nan


def zipped(**files: str) -> bytes:
    """A zip; `a__b` is the file b.xml in the folder a."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(f"{name.replace('__', '/')}.xml", text)
    return content.getvalue()


def collected(*, query: str = "tests", **settings: Any) -> Collected:
    source = JunitCollector(**settings, sleep=lambda _: None)
    return source.collect([Kpi("it", "tests", query)], WINDOW, STEP)


def values(**settings: Any) -> list[float]:
    about = collected(**settings)
    assert about.errors == {}
    return about.panel["it", "", VALUE].tolist()


def error(reply: Reply, **settings: Any) -> str:
    with Loopback([reply]) as server:
        about = collected(**{"url": f"{server.origin}/runs.zip?key={TOKEN}", **settings})
    message = str(about.errors["it"])
    assert TOKEN not in message
    return message


# --- an address ----------------------------------------------------------------------------------


def test_xml_at_an_address_is_a_run() -> None:
    with Loopback([answer(200, suite(PASSED, FAILED))]) as server:
        url, user = f"{server.origin}/a/?job=test", {"username": "ci", "password": TOKEN}
        np.testing.assert_array_equal(values(url=url, **user), [2, NAN, NAN, NAN])
        (request,) = server.requests
    assert request.line.startswith("GET /a/?job=test ")
    assert request.headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize("folder", ["", "build/runs/"])
def test_a_zip_at_an_address_is_a_folder_of_runs(folder: str) -> None:
    """A file is a run, and a folder is one; one around all of them does not count."""
    two = {"x__a": suite(PASSED), "x__b": suite(FAILED, at="2025-06-05T00:00:00Z")}
    files = {**two, "y": suite(PASSED, at="2025-06-04T00:00:00Z"), "._y": "junk"}
    content = zipped(**{f"{folder}{name}": text for name, text in files.items()})
    with Loopback([answer(200, content)]) as server:
        np.testing.assert_array_equal(values(url=server.origin), [2, 1, NAN, NAN])


def test_the_name_of_the_only_folder_in_a_zip_says_when_the_run_was() -> None:
    content = zipped(**{"20250605T100000Z__a": suite(PASSED, at=None), "20250605T100000Z__b": ""})
    with Loopback([answer(200, content)]) as server:
        assert "b.xml: is no whole XML" in str(collected(url=server.origin).errors["it"])
    content = zipped(**{"20250605T100000Z__a": suite(PASSED, at=None)})
    with Loopback([answer(200, content)]) as server:
        np.testing.assert_array_equal(values(url=server.origin), [NAN, NAN, 1, NAN])


def test_a_path_in_a_zip_is_only_a_name(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["..__..__a", "__etc__b", "C:\\c", "d\nd"]
    content = zipped(**{name: suite(PASSED, name=name[-1]) for name in names})
    with Loopback([answer(200, content)]) as server:
        np.testing.assert_array_equal(values(url=server.origin), [4, NAN, NAN, NAN])
    assert [*tmp_path.iterdir()] == []


def test_a_redirect_is_followed_without_credentials() -> None:
    with Loopback([answer(200, zipped(a=suite(PASSED)))]) as storage, ExitStack() as running:
        to = answer(302, Location=f"{storage.origin}/blob?sig=s1gnature")
        server = running.enter_context(Loopback([to]))
        assert values(url=server.origin, bearer_token=TOKEN, headers={"X-Key": TOKEN})[0] == 1
        (request,) = storage.requests
    assert request.line.startswith("GET /blob?sig=s1gnature ")
    assert TOKEN not in str(request.headers)


def bomb(_: str) -> bytes:
    return zipped(**dict.fromkeys("abcdefg", suite(" " * (1 << 19))))


def locked(_: str) -> bytes:
    """As if a password were needed for its only file: the flags of both headers say so."""
    content = bytearray(zipped(a="<a/>"))
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(mark) + offset] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda _: b"", "is no whole XML"),
        (lambda _: b"<html><body>Sign in", "is no whole XML"),
        (lambda _: zipped(), "the zip holds no .xml file"),
        (lambda _: zipped(a="<a/>")[:-30], "is no zip that can be unpacked (BadZipFile)"),
        (lambda _: b"PK\3\4" + bytes(50), "is no zip that can be unpacked (BadZipFile)"),
        (locked, "is no zip that can be unpacked (RuntimeError)"),
        (bomb, "more than 3 MiB when unpacked"),
        (lambda _: zipped(a=" " * (1 << 20) + " "), "a.xml: more than 1,048,576 bytes"),
        (lambda _: b" " * (1 << 20) + b" ", ": more than 1,048,576 bytes"),
    ],
)
def test_what_is_no_test_run_is_refused(
    monkeypatch: pytest.MonkeyPatch, content: Callable[[str], bytes], said: str
) -> None:
    monkeypatch.setattr(junit_zip, "MOST_UNPACKED", 3 << 20)
    assert said in error(answer(200, content("")), max_bytes=1 << 20)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (answer(404, f"no {TOKEN}"), "answered 404: no ***; is url right"),
        (answer(500), "answered 500 (asked 4 times)"),
        (answer(302, Location="http://169.254.169.254/"), "is a link-local address"),
        (answer(302, Location="file:///etc/passwd"), "redirects to starts with file; use http or"),
        (answer(302, Location=f"http://127.0.0.1:1/{TOKEN}"), "could not be reached"),
    ],
)
def test_what_can_not_be_downloaded_says_why(reply: Reply, said: str) -> None:
    assert said in error(reply)


def test_a_second_redirect_is_not_followed() -> None:
    with Loopback([answer(302, Location="/again")]) as server:
        message = str(collected(url=server.origin).errors["it"])
    assert "answered 302, a redirect; write the URL it leads to" in message


# --- GitHub and GitLab ---------------------------------------------------------------------------


@dataclass
class Ci:
    """The API of GitHub or GitLab, as their documentation shows their answers: the entries of its
    list, and the zips by number."""

    entries: list[dict[str, Any]]
    zips: Mapping[int, bytes]
    asked: list[str] = field(default_factory=list)
    storage: str = ""  # to which downloads are redirected

    def reply(self, server: Loopback) -> Reply:
        def respond(client: Any, closed: Any) -> None:
            request = server.answered
            assert request.headers["authorization"] == f"Bearer {TOKEN}"
            self.asked.append(request.line.split()[1])
            self.say(self.asked[-1])(client, closed)

        return respond

    def say(self, target: str) -> Reply:
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if found := re.fullmatch(r".*/(\d+)/(?:zip|artifacts)", path):
            if self.storage:
                return answer(302, Location=f"{self.storage}/{found[1]}")
            return answer(200, self.zips[int(found[1])])
        first = (int(query["page"][0]) - 1) * int(query["per_page"][0])
        here = self.entries[first : first + int(query["per_page"][0])]
        if path == "/repos/shop/web/actions/artifacts":
            return answer(200, json.dumps({"total_count": len(self.entries), "artifacts": here}))
        return answer(200, json.dumps(here) if path == "/projects/shop%2Fweb/jobs" else "null")


def github(number: int, created: str, **more: Any) -> dict[str, Any]:
    run = {"id": 1, "repository_id": 7, "head_repository_id": 7, "head_branch": "main"}
    return {
        "id": number,
        "name": "junit",
        "expired": False,
        "created_at": created,
        "workflow_run": run | more.pop("run", {}),
    } | more


def gitlab(number: int, finished: str, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "name": "junit",
        "ref": "main",
        "tag": False,
        "created_at": "2025-06-01T00:00:00.000Z",
        "started_at": finished.replace("11:", "10:"),
        "finished_at": finished,
        "artifacts": [{"file_type": "archive"}, {"file_type": "junit"}],
    } | more


KINDS: dict[str, Callable[..., dict[str, Any]]] = {"github": github, "gitlab": gitlab}


def of_ci(kind: str, ci: Ci, **settings: Any) -> Collected:
    server = Loopback([])
    server.replies.append(ci.reply(server))
    with server:
        about = {kind: "shop/web", "artifact": "junit", "bearer_token": TOKEN, **settings}
        return collected(url=server.origin, **about)


def counts(about: Collected) -> list[float]:
    assert about.errors == {}
    return about.panel["it", "", VALUE].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_each_artifact_of_the_window_is_a_run(kind: str) -> None:
    entry = KINDS[kind]
    entries = [
        entry(9, "2025-06-09T11:00:00Z"),  # too late
        entry(5, "2025-06-05T11:00:00Z"),
        entry(4, "2025-06-04T11:00:00Z", name="junit-nightly"),
        entry(3, "2025-06-03T11:00:00Z"),
        entry(3, "2025-06-03T11:00:00Z"),  # again, for the pages moved on
        entry(2, "2025-06-02T11:00:00Z"),  # too early
    ]
    one = zipped(a=suite(PASSED), b=suite(FAILED, at="2025-06-03T11:00:00Z"))
    ci = Ci(entries, {3: one, 5: zipped(a=suite(PASSED, at=None))})
    np.testing.assert_array_equal(counts(of_ci(kind, ci)), [2, NAN, 1, NAN])
    assert len(ci.asked) == 3


@pytest.mark.parametrize(
    "other",
    [
        github(2, "2025-06-03T11:00:00Z", run={"head_branch": "draft"}),
        github(2, "2025-06-03T11:00:00Z", run={"head_repository_id": 8}),  # a fork's main
        github(2, "2025-06-03T11:00:00Z", expired=True),
        gitlab(2, "2025-06-03T11:00:00Z", ref="draft"),
        gitlab(2, "2025-06-03T11:00:00Z", tag=True),
        gitlab(2, "2025-06-03T11:00:00Z", artifacts=[{"file_type": "junit"}]),
    ],
)
def test_only_runs_of_the_branch_that_are_kept_count(other: dict[str, Any]) -> None:
    kind = "github" if "workflow_run" in other else "gitlab"
    ci = Ci([other, KINDS[kind](1, "2025-06-03T11:00:00Z")], {1: zipped(a=suite(PASSED))})
    assert counts(of_ci(kind, ci, branch="main"))[0] == 1


def test_an_artifact_without_xml_is_left_out_and_said() -> None:
    ci = Ci([github(1, "2025-06-03T11:00:00Z")], {1: zipped()})
    assert of_ci("github", ci).provenance["it"].notes == (
        "1 runs hold no .xml file and are left out",
        "no series matched: no run began in this window; known are none",
    )


def test_pages_are_asked_until_the_window_begins() -> None:
    late = [github(1000 - n, "2025-06-20T11:00:00Z") for n in range(100)]
    then = [github(800 - n, "2025-06-03T11:00:00Z", expired=n > 6) for n in range(100)]
    early = [github(600 - n, "2025-05-01T11:00:00Z") for n in range(200)]
    zips = {800 - n: zipped(a=suite(PASSED, name=str(n))) for n in range(7)}
    ci = Ci([*late, *then, *early], zips)
    assert counts(of_ci("github", ci))[0] == 7
    assert len([each for each in ci.asked if "page=" in each]) == 3


@pytest.mark.slow
def test_a_list_without_an_end_is_refused() -> None:
    page = json.dumps([gitlab(n, "2025-06-20T11:00:00Z") for n in range(100)])
    about: dict[str, Any] = {"gitlab": 7, "artifact": "junit"}
    with Loopback([answer(200, page)]) as server:
        message = str(collected(url=server.origin, **about).errors["it"])
        assert len(server.requests) == 100
    assert "lists more than 10,000 entries since the baseline window began" in message


def test_the_storage_of_artifacts_gets_no_token() -> None:
    with Loopback([answer(200, zipped(a=suite(PASSED)))]) as storage:
        ci = Ci([github(1, "2025-06-03T11:00:00Z")], {}, storage=storage.origin)
        assert counts(of_ci("github", ci))[0] == 1
        assert "authorization" not in storage.requests[0].headers


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("github", {"artifacts": []}, "no artifact 'junit' of branch main that has not expired"),
        ("gitlab", [], "no finished job 'junit' of branch main with an archive; are the files of"),
        ("github", {"message": "hm"}, "JSON of another form (KeyError)"),
        ("github", {"artifacts": [None]}, "JSON of another form (AttributeError)"),
        ("github", {"artifacts": [github(1, "2025-06-03")]}, "JSON of another form (UsageError)"),
        ("gitlab", {"message": "hm"}, "JSON of another form"),
        ("gitlab", [gitlab(1, "2025-06-03T11:00:00Z", started_at=None)], "JSON of another form"),
        ("gitlab", [gitlab("1/../x", "2025-06-03T11:00:00Z")], "JSON of another form"),  # type: ignore[arg-type]
    ],
)
def test_a_list_that_is_of_no_use_is_an_error(kind: str, body: Any, said: str) -> None:
    about = {kind: "shop/web", "artifact": "junit", "branch": "main"}
    with Loopback([answer(200, json.dumps(body))]) as server:
        assert said in str(collected(url=server.origin, **about).errors["it"])


def test_an_artifact_that_is_gone_is_an_error_that_names_it() -> None:
    ci = Ci([github(17, "2025-06-03T11:00:00Z")], {17: b"PK"})
    message = str(of_ci("github", ci).errors["it"])
    assert "artifact 17: is no zip that can be unpacked" in message


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "give one of path"),
        ({"path": "runs", "url": "http://a"}, "path is given with what is for runs over HTTP"),
        ({"path": "runs", "bearer_token": "a"}, "path is given with what is for runs over HTTP"),
        ({"url": "http://a", "branch": "main"}, "artifact and branch are given without github"),
        ({"github": "a/b", "gitlab": 1, "artifact": "c"}, "github and gitlab are given"),
        ({"github": "a/b"}, "give artifact: the name"),
        ({"github": "a/b/c", "artifact": "c"}, "github is 'a/b/c'; give it as owner/name"),
        ({"gitlab": "a", "artifact": "c"}, "gitlab is 'a'; give the number"),
        ({"github": "a/b", "artifact": "c", "url": "http://a?b"}, "has a query or a fragment"),
        ({"url": "http://u:p@a"}, "url holds a user"),
        ({"url": "http://a", "password": "p"}, "password is given without username"),
        ({"url": "http://a", "budget": timedelta(0)}, "budget is 0:00:00"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        JunitCollector(**settings)
