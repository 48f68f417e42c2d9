"""The note on a merge request of GitLab."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from anomaly.contracts import Message
from anomaly.errors import SinkError, UsageError
from anomaly.sinks.github_job import marker
from anomaly.sinks.gitlab import GitlabSink, note
from tests.support import reports
from tests.support.refusals import check_refusals

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "localhost"])

TOKEN = "glpat-0123456789"
KEY = "3f2a91c0d4e5"
ME, STRANGER = 7, 8
NOTES = "/api/v4/projects/acme%2Fshop/merge_requests/12/notes"


@dataclass
class Gitlab:
    """What the documentation of the notes API says that GitLab does."""

    notes: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def serve(self, server: HTTPServer) -> str:
        """The address of its API."""
        server.expect_request(re.compile("/api/v4/.*")).respond_with_handler(self.answer)
        return server.url_for("/api/v4")

    def answer(self, request: Request) -> Response:
        """The answer to a request."""
        if request.headers.get("PRIVATE-TOKEN") != TOKEN:
            return Response('{"message": "401 Unauthorized"}', 401)
        path = request.environ["RAW_URI"].partition("?")[0]
        self.asked.append(f"{request.method} {path}")
        if path == "/api/v4/user":
            return Response(json.dumps({"id": ME, "username": "project_1_bot"}))
        if request.method == "GET" and path == NOTES:
            size, page = int(request.args["per_page"]), int(request.args["page"])
            return Response(json.dumps(self.notes[(page - 1) * size : page * size]))
        body = json.loads(request.data)["body"]
        if request.method == "POST" and path == NOTES:
            return Response(json.dumps(self.keep(body, ME)), 201)
        assert request.method == "PUT"
        each = self.notes[int(path.removeprefix(f"{NOTES}/")) - 1]
        assert each["author"]["id"] == ME
        each["body"] = body
        return Response(json.dumps(each))

    def keep(self, body: str, author: int) -> dict[str, Any]:
        """A new note."""
        self.notes.append({"id": len(self.notes) + 1, "body": body, "author": {"id": author}})
        return self.notes[-1]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def sink(url: str, **more: Any) -> GitlabSink:
    settings = {"token": TOKEN, "project": "acme/shop", "merge_request": 12, "api": url, **more}
    return GitlabSink(**{"environ": {}, **settings})


def test_later_looks_edit_the_note_of_their_release(httpserver: HTTPServer) -> None:
    gitlab = Gitlab()
    for number in range(60):  # two pages
        gitlab.keep(f"note {number}", STRANGER)
    target = sink(gitlab.serve(httpserver))

    target.send(Message(KEY, reports.failing()))
    target.send(Message(KEY, reports.passing()))
    target.send(Message("another", reports.passing()))

    ours = [each["body"] for each in gitlab.notes[60:]]
    assert [each.partition("\n")[0] for each in ours] == [marker(KEY), marker("another")]
    assert ours[0] == note(Message(KEY, reports.passing()))


def test_a_note_of_somebody_else_with_our_mark_is_not_edited(httpserver: HTTPServer) -> None:
    gitlab = Gitlab()
    forged = gitlab.keep(f"{marker(KEY)}\npass", STRANGER)["body"]

    sink(gitlab.serve(httpserver)).send(Message(KEY, reports.failing()))

    assert gitlab.notes[0]["body"] == forged
    assert gitlab.notes[1]["author"]["id"] == ME


def test_the_variables_of_a_pipeline_are_enough(httpserver: HTTPServer) -> None:
    gitlab = Gitlab()
    environ = {
        "CI_API_V4_URL": gitlab.serve(httpserver),
        "CI_PROJECT_ID": "42",
        "CI_MERGE_REQUEST_IID": "12",
    }
    target = GitlabSink(token=TOKEN, environ=environ)

    assert target._notes == NOTES.removeprefix("/api/v4").replace("acme%2Fshop", "42")
    with pytest.raises(SinkError, match="project and merge_request not set"):
        GitlabSink(token=TOKEN, environ={}).send(Message(KEY, reports.failing()))


@pytest.mark.parametrize("text", ["/close", "!12", "%12", "~12", "&12", "$12", *reports.HOSTILE])
def test_no_name_from_outside_is_an_action_or_a_reference(text: str) -> None:
    report = reports.hostile(text)
    body = note(Message(KEY, replace(report, made={"query": text})))

    assert not re.search(r"^\s*/", body, re.MULTILINE)
    assert not re.search(r"(^|[\s(|>])(!|%|~|&amp;|&#36;)\w", body, re.MULTILINE)


def test_what_gitlab_refuses_says_what_to_change(httpserver: HTTPServer) -> None:
    url = Gitlab().serve(httpserver)
    check_refusals(httpserver, sink, url, TOKEN)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"project": "../x y"}, "12 or group/name"),
        ({"merge_request": "x"}, "the number of a merge request"),
        ({"token": "a b"}, "token is empty, or has a space"),
        ({"api": "https://gitlab/api?x=1"}, "api has a query"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sink("https://gitlab/api/v4", **settings)
