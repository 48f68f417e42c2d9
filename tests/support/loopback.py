"""A real HTTP server on loopback that answers as a test tells it, well or badly."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

Reply = Callable[[socket.socket, threading.Event], None]


@dataclass(frozen=True)
class Request:
    """What a client sent; header names in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


def answer(status: int, body: str | bytes = "", **headers: str) -> Reply:
    """A well-formed response; `Retry_After="5"` is a header."""
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    content = body.encode() if isinstance(body, str) else body
    head = (
        f"HTTP/1.1 {status} Scripted\r\nContent-Length: "
        f"{len(content)}\r\n{named}Connection: close\r\n\r\n"
    )

    def say(client: socket.socket, _closed: threading.Event) -> None:
        client.sendall(head.encode() + content)

    return say


def hang(client: socket.socket, closed: threading.Event) -> None:
    """Says nothing until the test is over."""
    closed.wait()


def reset(client: socket.socket, closed: threading.Event) -> None:
    """Ends the connection with RST."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def drip_after(head: bytes) -> Reply:
    """Sends `head`, then a byte at a time until the client goes or the test is over."""

    def drip(client: socket.socket, closed: threading.Event) -> None:
        client.sendall(head)
        while not closed.wait(0.02):
            client.sendall(b"x")

    return drip


@dataclass
class Loopback:
    """Gives one reply per connection, the last one for ever; keeps what it was asked. `tls` is the
    path of certificate and key.

    One that `speaks_first` waits for no request, as in protocols that are not HTTP.
    """

    replies: list[Reply]
    tls: Path | None = None
    speaks_first: bool = False
    requests: list[Request] = field(default_factory=list)

    @classmethod
    def by(cls, reply: Callable[[Request], tuple[int, str]]) -> Loopback:
        """One that answers each request with the status and the body that `reply` says."""
        server = cls([])

        def respond(client: socket.socket, closed: threading.Event) -> None:
            answer(*reply(server.answered))(client, closed)

        server.replies.append(respond)
        return server

    def __enter__(self) -> Loopback:
        self._closed, self._here = threading.Event(), threading.local()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.origin = (
            f"http{'s' if self.tls else ''}://127.0.0.1:{self._listening.getsockname()[1]}"
        )
        self._thread = threading.Thread(target=self._serve)
        self._workers: list[threading.Thread] = []
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for worker in self._workers:
            worker.join()
        self._listening.close()

    @property
    def answered(self) -> Request:
        """What the reply that asks is an answer to."""
        request: Request = self._here.request
        return request

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
                worker = threading.Thread(target=self._talk, args=(client, reply))
                self._workers.append(worker)
                worker.start()

    def _talk(self, client: socket.socket, reply: Reply) -> None:
        with contextlib.suppress(OSError), self._wrapped(client) as speaking:
            if not self.speaks_first:
                self._here.request = _request(speaking)
                self.requests.append(self._here.request)
                if not self._here.request.line:  # somebody looked whether we are there
                    return
            reply(speaking, self._closed)

    def _wrapped(self, client: socket.socket) -> socket.socket:
        if self.tls is None:
            return client
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.tls)
        with client:  # its handle is the wrapped one's from here on
            return context.wrap_socket(client, server_side=True)


def served(pages: Callable[[str, Mapping[str, str]], Any]) -> Loopback:
    """A server that answers a path and its query with JSON."""

    def reply(request: Request) -> tuple[int, str]:
        target = urlsplit(request.line.split()[1])
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        return 200, json.dumps(pages(target.path, query))

    return Loopback.by(reply)


def _request(client: socket.socket) -> Request:
    with client.makefile("rb") as incoming:
        line = incoming.readline().decode().strip()
        headers = {}
        while named := incoming.readline().decode("latin-1").strip():
            name, _, value = named.partition(":")
            headers[name.lower()] = value.strip()
        return Request(line, headers, incoming.read(int(headers.get("content-length", "0"))))
