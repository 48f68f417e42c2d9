"""Asks an ASGI application in this process, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What the application answered; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    app: ASGIApp,
    method: str,
    target: str,
    body: bytes | dict[str, Any] = b"",
    *,
    client: str = "127.0.0.1",
    **headers: str,
) -> Answer:
    """Send one request; `content_type="x"` is a header, and a dictionary is sent as JSON."""
    named = {"host": "127.0.0.1:8080"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, dict):
        body, named = json.dumps(body).encode(), {"content-type": "application/json"} | named
    return in_a_loop(_ask(app, method, target, body, named, client))


def in_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns. It runs in a thread: in this one a browser may have its loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _ask(
    app: ASGIApp, method: str, target: str, body: bytes, headers: dict[str, str], client: str
) -> Answer:
    path, _, query = target.partition("?")
    named = {"content-length": str(len(body))} | headers
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        "client": (client, 50000),
        "server": ("127.0.0.1", 8080),
    }
    sent: list[Message] = []
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start = next(each for each in sent if each["type"] == "http.response.start")
    return Answer(
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        b"".join(each.get("body", b"") for each in sent),
    )
