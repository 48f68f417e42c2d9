"""The comment on a pull request of Bitbucket Cloud."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from anomaly.contracts import Message
from anomaly.errors import SinkError, UsageError
from anomaly.sinks.bitbucket import BitbucketSink, comment, mark
from tests.support import reports
from tests.support.refusals import check_refusals

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "localhost"])

TOKEN = "ATCTT3xFfGN0"
KEY = "3f2a91c0d4e5"
COMMENTS = "/2.0/repositories/acme/shop/pullrequests/12/comments"


@dataclass
class Bitbucket:
    """What the documentation of pull request comments says that Bitbucket Cloud does."""

    comments: list[dict[str, Any]] = field(default_factory=list)

    def serve(self, server: HTTPServer) -> str:
        """The address of its API."""
        server.expect_request(re.compile("/2.0/.*")).respond_with_handler(self.answer)
        return server.url_for("/2.0")

    def answer(self, request: Request) -> Response:
        """The answer to a request."""
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return Response('{"type": "error", "error": {"message": "Token is invalid"}}', 401)
        if request.method == "GET" and request.path == COMMENTS:
            size, page = int(request.args["pagelen"]), int(request.args["page"])
            values = self.comments[(page - 1) * size : page * size]
            more = {"next": "https://…"} if page * size < len(self.comments) else {}
            return Response(json.dumps({"values": values, "page": page, "pagelen": size, **more}))
        raw = json.loads(request.data)["content"]["raw"]
        if request.method == "POST" and request.path == COMMENTS:
            return Response(json.dumps(self.keep(raw, "me")), 201)
        assert request.method == "PUT"
        each = self.comments[int(request.path.removeprefix(f"{COMMENTS}/")) - 1]
        if each["user"]["uuid"] != "me":
            return Response('{"type": "error", "error": {"message": "Access denied"}}', 403)
        each["content"] = {"raw": raw}
        return Response(json.dumps(each))

    def keep(self, raw: str, author: str, **more: Any) -> dict[str, Any]:
        """A new comment."""
        made = {"id": len(self.comments) + 1, "content": {"raw": raw}, "user": {"uuid": author}}
        self.comments.append(made | more)
        return made

    def written(self) -> list[str]:
        """Our comments."""
        return [each["content"]["raw"] for each in self.comments if each["user"]["uuid"] == "me"]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def sink(url: str, **more: Any) -> BitbucketSink:
    settings = {"token": TOKEN, "repository": "acme/shop", "pull_request": 12, "api": url, **more}
    return BitbucketSink(**{"environ": {}, **settings})


def test_later_looks_edit_the_comment_of_their_release(httpserver: HTTPServer) -> None:
    bitbucket = Bitbucket()
    for number in range(60):  # two pages
        bitbucket.keep(f"comment {number}", "somebody")
    target = sink(bitbucket.serve(httpserver))

    target.send(Message(KEY, reports.failing()))
    target.send(Message(KEY, reports.passing()))
    target.send(Message("another", reports.passing()))

    assert bitbucket.written() == [
        comment(Message(key, reports.passing())) for key in (KEY, "another")
    ]


def test_a_comment_of_somebody_else_with_our_mark_is_not_edited(httpserver: HTTPServer) -> None:
    bitbucket = Bitbucket()
    forged = bitbucket.keep(f"pass\n{mark(KEY)}", "somebody")["content"]
    bitbucket.keep(comment(Message(KEY, reports.early())), "me", deleted=True)

    sink(bitbucket.serve(httpserver)).send(Message(KEY, reports.failing()))

    assert bitbucket.comments[0]["content"] == forged
    assert bitbucket.written()[1:] == [comment(Message(KEY, reports.failing()))]


def test_the_variables_of_a_pipeline_are_enough(httpserver: HTTPServer) -> None:
    bitbucket = Bitbucket()
    environ = {"BITBUCKET_REPO_FULL_NAME": "acme/shop", "BITBUCKET_PR_ID": "12"}
    api = bitbucket.serve(httpserver)
    BitbucketSink(token=TOKEN, api=api, environ=environ).send(Message(KEY, reports.failing()))

    assert len(bitbucket.written()) == 1
    with pytest.raises(SinkError, match="repository and pull_request not set"):
        BitbucketSink(token=TOKEN, environ={}).send(Message(KEY, reports.failing()))


@pytest.mark.parametrize("text", ["```", "@{557058}", "[a](https://b)", *reports.HOSTILE])
def test_no_name_from_outside_leaves_the_block_of_code(text: str) -> None:
    link = "https://ci.example.com/r"
    lines = comment(Message(KEY, reports.hostile(text), link=link)).split("\n")
    fences = [number for number, line in enumerate(lines) if line.lstrip().startswith("```")]
    assert fences == [0, len(lines) - 3]
    assert lines[-4:] == [mark(KEY), "```", "", link]


def test_what_bitbucket_refuses_says_what_to_change(httpserver: HTTPServer) -> None:
    url = Bitbucket().serve(httpserver)
    check_refusals(httpserver, sink, url, TOKEN)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"repository": "../x y"}, "give workspace/name"),
        ({"pull_request": "x"}, "the number of a pull request"),
        ({"token": "a b"}, "token is empty, or has a space"),
        ({"api": "https://bitbucket/api?x=1"}, "api has a query"),
        ({"api": "https://me:key@bitbucket/2.0"}, "api holds a user"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sink("https://bitbucket/2.0", **settings)
