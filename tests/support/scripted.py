"""A server on loopback that answers as told, byte by byte, and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = Iterable[bytes]  # pieces, sent one by one
Respond = Callable[["Request"], Answer]


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    headers: Mapping[str, str]
    body: str = ""

    @property
    def asked(self) -> dict[str, str]:
        fields = parse_qs(urlsplit(self.target).query) | parse_qs(self.body)
        return {name: values[0] for name, values in fields.items()}


@dataclass(frozen=True, slots=True)
class Script:
    """`url` answers by `answers` in turn, the last of them for ever."""

    url: str
    answers: Sequence[Answer | Respond]
    requests: list[Request] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def next(self, request: Request) -> Answer:
        answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
        self.requests.append(request)
        return answer(request) if callable(answer) else answer


@contextmanager
def scripted(*answers: Answer | Respond, tls: str | None = None) -> Iterator[Script]:
    """A server with these answers; `tls` is the path of its certificate and key."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        scheme = "https" if tls else "http"
        script = Script(f"{scheme}://127.0.0.1:{listening.getsockname()[1]}", answers)
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
        accepting = threading.Thread(target=_accept, args=(listening, script, context), daemon=True)
        accepting.start()
        try:
            yield script
        finally:
            script.ended.set()
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            accepting.join(10)


def _accept(listening: socket.socket, script: Script, context: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_serve, args=(connection, script, context), daemon=True).start()


def _serve(connection: socket.socket, script: Script, context: ssl.SSLContext | None) -> None:
    with connection, suppress(OSError):
        speaking = context.wrap_socket(connection, server_side=True) if context else connection
        with speaking, speaking.makefile("rb") as incoming:
            method, target, _ = incoming.readline().decode("ascii").split(" ")
            headers = {}
            while line := incoming.readline().decode("latin-1").strip():
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            body = incoming.read(int(headers.get("content-length", "0"))).decode()
            for piece in script.next(Request(method, target, headers, body)):
                if script.ended.is_set():
                    return
                speaking.sendall(piece)


def http(body: bytes | str, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with a right Content-Length, unless `headers` say otherwise."""
    content = body if isinstance(body, bytes) else body.encode()
    fields = {
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        "Connection": "close",
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return [f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode(), content]


def matrix(
    series: Iterable[tuple[Mapping[str, str], Sequence[tuple[float, str]]]], **more: Any
) -> str:
    """A successful answer of (labels, [(seconds, value), …])."""
    result = [
        {"metric": dict(labels), "values": [list(point) for point in points]}
        for labels, points in series
    ]
    return json.dumps(
        {"status": "success", "data": {"resultType": "matrix", "result": result}, **more}
    )


def constant(value: str = "1", **labels: str) -> Respond:
    """Answers every question with one series that has `value` at each moment asked for."""
    return lambda request: http(matrix([(labels, [(at, value) for at in moments(request)])]))


def moments(request: Request) -> range:
    asked = request.asked
    start, end, step = (int(asked[name]) for name in ("start", "end", "step"))
    return range(start, end + 1, step)


class Clock:
    """Time that passes only by sleeping; `slept` is every sleep in turn."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def monotonic(self) -> float:
        return sum(self.slept)

    def now(self) -> datetime:
        return datetime(2025, 3, 3, 12, tzinfo=UTC)

    def chance(self) -> float:
        return 0.5
