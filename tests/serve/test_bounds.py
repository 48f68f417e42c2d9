"""What every request is held to."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from anomaly.serve import bounds
from anomaly.serve.bounds import BURST, LARGEST_BODY, MOST_ADDRESSES, RATE, Bounds, Rate
from tests.support.asgi import ask, in_a_loop
from tests.support.service import READ, Ask


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the size of the body."""
    body = (await receive()).get("body", b"")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(len(body)).encode()})


def test_a_body_is_read_up_to_its_limit() -> None:
    app = Bounds(_echo, loopback_only=False)
    assert ask(app, "POST", "/", b"x" * LARGEST_BODY).body == str(LARGEST_BODY).encode()
    assert ask(app, "POST", "/", b"x" * (LARGEST_BODY + 1)).status == 413
    # a length that lies
    assert ask(app, "POST", "/", b"x" * (LARGEST_BODY + 1), content_length="5").status == 413
    assert ask(app, "POST", "/", b"x", content_length="-1").status == 413


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "BODY_DEADLINE_S", 0.01)
    statuses = []

    async def never() -> Message:
        await asyncio.sleep(60)
        raise AssertionError

    async def send(message: Message) -> None:
        statuses.append(message.get("status"))

    scope = {
        "type": "http",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "method": "POST",
        "path": "/",
    }
    in_a_loop(Bounds(_echo, loopback_only=False)(scope, never, send))
    assert statuses[0] == 408


def test_one_address_that_asks_too_often_waits_and_others_do_not() -> None:
    now = [0.0]
    rate = Rate(lambda: now[0])
    app = Bounds(_echo, loopback_only=False, rate=rate)
    assert all(rate.allows("127.0.0.1") for _ in range(int(BURST)))
    refused = ask(app, "GET", "/")
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert ask(app, "GET", "/", client="127.0.0.2").status == 200
    now[0] += 2 / RATE
    assert ask(app, "GET", "/").status == 200


def test_a_wrong_token_costs_a_hundred_requests(
    locked: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anomaly.serve.bounds.RATE", 0.0)  # nothing flows back meanwhile
    statuses = [locked("GET", "/metrics", authorization="Bearer wrong").status for _ in range(25)]
    assert 429 in statuses
    assert statuses.index(429) <= 21
    other = locked("GET", "/metrics", authorization=f"Bearer {READ}", client="127.0.0.2")
    assert other.status == 200


def test_the_table_of_addresses_does_not_grow_without_end() -> None:
    rate = Rate(lambda: 0.0)
    for number in range(MOST_ADDRESSES + 10):
        rate.allows(str(number))
    assert len(rate._left) == MOST_ADDRESSES


def test_many_requests_at_a_time_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_AT_ONCE", 0)
    answer = ask(Bounds(_echo, loopback_only=False), "GET", "/")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.slow
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", ""]
)
def test_without_tokens_a_page_of_a_stranger_reaches_nothing(asked: Ask, host: str) -> None:
    """A browser can be led here under the stranger's name (DNS rebinding)."""
    assert asked("GET", "/gate?service=shop", host=host).status == 421


@pytest.mark.slow
@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "[::1]"]
)
def test_without_tokens_this_machine_reaches_all(asked: Ask, host: str) -> None:
    assert asked("GET", "/metrics", host=host).status == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/gate?service=nobody", "/nowhere", "/openapi.json"]
)
def test_every_answer_has_the_headers_that_keep_browsers_safe(asked: Ask, path: str) -> None:
    headers = asked("GET", path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers
