"""Slack as an app: a thread per release, whose first message shows how the release stands."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from anomaly.contracts import Receipt
from anomaly.errors import RetryableSinkError, SinkError, UsageError
from anomaly.sinks.slack import SlackSink, blocks
from tests.sinks.messages import MESSAGES

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "localhost"])

TOKEN = "xoxb-0123456789"
CHANNEL = "C1H9RESGL"
FIRE, WORSE, OVER = (MESSAGES[name] for name in ("fire", "escalated", "resolve"))


@dataclass
class Slack:
    """What the documentation of chat.postMessage and chat.update says that Slack does."""

    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # a method: the error

    def serve(self, server: HTTPServer) -> str:
        """The address of its API."""
        server.expect_request(re.compile("/api/.*"), method="POST").respond_with_handler(self.reply)
        return server.url_for("/api")

    def reply(self, request: Request) -> Response:
        """The answer to a method: always 200, with `ok` in it."""
        method, body = request.path.rpartition("/")[2], json.loads(request.data)
        return Response(json.dumps(self.answer(method, body, request.headers["Authorization"])))

    def answer(self, method: str, body: dict[str, Any], way: str) -> dict[str, Any]:
        if way != f"Bearer {TOKEN}":
            return {"ok": False, "error": "invalid_auth"}
        if method in self.refused:
            return {"ok": False, "error": self.refused[method]}
        if method == "chat.update":
            if body["channel"] != CHANNEL or body["ts"] not in self.messages:
                return {"ok": False, "error": "message_not_found"}
            self.messages[body["ts"]] |= body
            return {"ok": True, "channel": CHANNEL, "ts": body["ts"], "text": body["text"]}
        assert method == "chat.postMessage"
        if body["channel"] not in ("#releases", CHANNEL):
            return {"ok": False, "error": "channel_not_found"}
        moment = f"1503435956.{len(self.messages):06d}"
        self.messages[moment] = body
        return {"ok": True, "channel": CHANNEL, "ts": moment, "message": {"type": "message"}}

    @property
    def places(self) -> list[tuple[str | None, bool | None]]:
        """In which thread each message is, and whether the channel sees it too."""
        return [
            (each.get("thread_ts"), each.get("reply_broadcast")) for each in self.messages.values()
        ]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def slack(httpserver: HTTPServer) -> tuple[Slack, SlackSink]:
    server = Slack()
    return server, SlackSink(token=TOKEN, channel="#releases", api=server.serve(httpserver))


def test_later_news_answer_in_the_thread_and_change_its_first_message(
    slack: tuple[Slack, SlackSink],
) -> None:
    server, sink = slack
    thread = sink.send(FIRE).thread
    for later in (WORSE, OVER):
        receipt = sink.send(replace(later, thread=thread))
        assert receipt == Receipt("slack", delivered=True, detail=receipt.detail, thread=thread)

    first = "1503435956.000000"
    assert thread == f"{CHANNEL}:{first}"
    assert server.places == [(None, None), (first, True), (first, False)]
    answers = [*server.messages.values()]
    assert [each["text"] for each in answers] == [
        blocks(each)["text"] for each in (OVER, WORSE, OVER)
    ]
    assert all(each["blocks"] for each in answers)


def test_a_thread_whose_first_message_is_gone_begins_anew(slack: tuple[Slack, SlackSink]) -> None:
    server, sink = slack
    receipt = sink.send(replace(WORSE, thread=f"{CHANNEL}:1.000000"))
    assert receipt.thread == f"{CHANNEL}:1503435956.000000"
    assert server.places == [(None, None)]


@pytest.mark.parametrize("error", ["edit_window_closed", "cant_update_message"])
def test_a_first_message_that_may_not_be_changed_is_answered_all_the_same(
    slack: tuple[Slack, SlackSink], error: str
) -> None:
    server, sink = slack
    thread = sink.send(FIRE).thread
    server.refused["chat.update"] = error
    assert sink.send(replace(OVER, thread=thread)).thread == thread
    assert [each["text"] for each in server.messages.values()] == [
        blocks(each)["text"] for each in (FIRE, OVER)
    ]


@pytest.mark.parametrize("thread", ["", "None:None", "a:b", "https://x/", f"{CHANNEL}:1\n.2"])
def test_what_names_no_thread_begins_one(slack: tuple[Slack, SlackSink], thread: str) -> None:
    server, sink = slack
    sink.send(replace(FIRE, thread=thread))
    assert server.places == [(None, None)]


def test_what_slack_refuses_says_what_to_change(
    slack: tuple[Slack, SlackSink], httpserver: HTTPServer
) -> None:
    server, sink = slack
    api = httpserver.url_for("/api")
    with pytest.raises(SinkError, match=r"refused chat\.postMessage: invalid_auth; the token is"):
        SlackSink(token="xoxb-9", channel=CHANNEL, api=api).send(FIRE)
    with pytest.raises(SinkError, match="channel_not_found; there is no such channel, or it is pr"):
        SlackSink(token=TOKEN, channel="#nowhere", api=api).send(FIRE)
    for error, kind in (("missing_scope", SinkError), ("fatal_error", RetryableSinkError)):
        server.refused["chat.postMessage"] = error
        with pytest.raises(kind, match=error) as refused:
            sink.send(FIRE)
        assert type(refused.value) is kind
        assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("text", ["ok", "[]", "{}", '{"ok": 1}', "[" * 100_000])
def test_an_answer_of_something_else_is_refused(httpserver: HTTPServer, text: str) -> None:
    httpserver.expect_request("/x/chat.postMessage").respond_with_data(text)
    sink = SlackSink(token=TOKEN, channel=CHANNEL, api=httpserver.url_for("/x"))
    with pytest.raises(SinkError, match="but not as the API of Slack does; is api its address"):
        sink.send(FIRE)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"token": TOKEN},
        {"channel": CHANNEL},
        {"url": "https://h/x", "channel": CHANNEL},
        {"url": "https://h/x", "token": TOKEN, "channel": CHANNEL},
        {"token": "", "channel": CHANNEL},
    ],
)
def test_settings_that_do_not_belong_together_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="give url, or token and channel"):
        SlackSink(**settings)  # type: ignore[arg-type]


def test_a_user_in_the_address_would_take_the_place_of_the_token() -> None:
    with pytest.raises(UsageError, match="api holds a user"):
        SlackSink(token=TOKEN, channel=CHANNEL, api="https://me:key@slack.com/api")


def test_a_token_is_one_word_and_never_shown() -> None:
    with pytest.raises(UsageError, match="token has a space"):
        SlackSink(token="a b", channel=CHANNEL)
    assert TOKEN not in repr(SlackSink(token=TOKEN, channel=CHANNEL)._endpoint)
