"""What every request is held to, before anything else looks at it: size, time, rate, number at a
time. And the headers of every answer."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 1 << 20  # bytes; a webhook of GitHub has some ten thousand
BODY_DEADLINE_S = 10.0
MOST_AT_ONCE = 64  # requests
MOST_CONNECTIONS = 512
RATE, BURST = 1000.0, 2000.0  # requests a second from one address
GUESS = 100.0  # requests that one with a wrong token counts for
MOST_ADDRESSES = 4096
HEADERS = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
POLICY = "default-src 'none'; frame-ancestors 'none'"
POLICY_OF_PAGES = "frame-ancestors 'none'"  # a page says the rest itself
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(slots=True)
class Rate:
    """A bucket per address, from which each request takes one; it fills by `RATE` a second."""

    clock: Callable[[], float] = time.monotonic
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def allows(self, address: str, cost: float = 1.0) -> bool:
        """Take `cost` from the bucket; False if less than one is left."""
        now = self.clock()
        left, at = self._left.pop(address, (BURST, now))
        left = min(BURST, left + (now - at) * RATE)
        is_allowed = left >= 1
        self._left[address] = (left - cost if is_allowed else left, now)
        while len(self._left) > MOST_ADDRESSES:
            self._left.popitem(last=False)
        return is_allowed


class Bounds:
    """Holds requests to the bounds of this module. With `loopback_only` it answers nobody who
    reached it by another name: a page of a stranger that the browser was led to."""

    def __init__(self, app: ASGIApp, *, loopback_only: bool, rate: Rate | None = None) -> None:
        self._app = app
        self._loopback_only = loopback_only
        self._rate = rate or Rate()
        self._at_once = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address = (scope.get("client") or ("",))[0]

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(message)
                if message["status"] == HTTPStatus.UNAUTHORIZED:
                    self._rate.allows(address, GUESS)
            await send(message)

        refused = self._refusal(scope, address)
        if refused is not None:
            await refused(scope, receive, answer)
            return
        self._at_once += 1
        try:
            await self._serve(scope, receive, answer)
        finally:
            self._at_once -= 1

    def _refusal(self, scope: Scope, address: str) -> JSONResponse | None:
        if not self._rate.allows(address):
            return _error(
                HTTPStatus.TOO_MANY_REQUESTS, "too many requests; ask again in a second", retry=True
            )
        if self._at_once >= MOST_AT_ONCE:
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests at a time", retry=True)
        if self._loopback_only:
            host = Headers(scope=scope).get("host", "")
            name = host.rpartition(":")[0] if not host.endswith("]") else host
            if (name or host).casefold() not in LOOPBACK_NAMES:
                return _error(
                    HTTPStatus.MISDIRECTED_REQUEST,
                    "without tokens this service answers only to localhost",
                )
        return None

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body whole, then hand it on."""
        try:
            async with asyncio.timeout(BODY_DEADLINE_S):
                body = await _body(scope, receive)
        except TimeoutError:
            error = _error(
                HTTPStatus.REQUEST_TIMEOUT, f"the request took more than {BODY_DEADLINE_S:.0f} s"
            )
            await error(scope, receive, send)
            return
        if body is None:
            error = _error(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request has at most {LARGEST_BODY} bytes"
            )
            await error(scope, receive, send)
            return
        is_read = False

        async def whole() -> MutableMapping[str, Any]:
            nonlocal is_read
            if is_read:
                return await receive()
            is_read = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, whole, send)


async def _body(scope: Scope, receive: Receive) -> bytes | None:
    """The body; None if it is too large."""
    length = Headers(scope=scope).get("content-length", "0")
    if not length.isdecimal() or int(length) > LARGEST_BODY:
        return None
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > LARGEST_BODY:
            return None
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def _add_headers(message: Message) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    is_page = headers.get("content-type", "").startswith("text/html")
    headers.setdefault("content-security-policy", POLICY_OF_PAGES if is_page else POLICY)


def _error(status: HTTPStatus, text: str, *, retry: bool = False) -> JSONResponse:
    return JSONResponse(
        {"error": text}, status_code=status, headers={"retry-after": "1"} if retry else None
    )
