"""Servers on loopback of every protocol that the tool speaks, all with one fault."""

from __future__ import annotations

import json
import smtplib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from requests.adapters import HTTPAdapter

from anomaly.timing.durations import duration_text
from tests.support.loopback import Loopback, Reply, Request, answer, hang, reset
from tests.support.planted import Places
from tests.support.scripted import matrix
from tests.support.servers import TLS, free_port
from tests.support.smtp import ANYBODY, smtp

GREETED, ASKED_FOR_PASSWORD = b"N", b"R" + struct.pack("!ii", 8, 3)
PATIENCE = timedelta(milliseconds=20)  # with what hangs: it answers as little in an hour
ENCRYPTION = (
    80877103,
    80877104,
)  # asked for by a client of PostgreSQL before it begins: TLS, GSSAPI


def echo(status: int, **headers: str) -> Callable[[Loopback], Reply]:
    """An answer that repeats all that was asked: line, headers and body."""

    def made(server: Loopback) -> Reply:
        def reply(client: socket.socket, closed: threading.Event) -> None:
            answer(status, asked(server.answered), **headers)(client, closed)

        return reply

    return made


def asked(last: Request) -> str:
    return f"{last.line}\n{last.headers}\n{last.body.decode('utf-8', 'replace')}"


def elsewhere(server: Loopback) -> Reply:
    """A redirect to another host, with all that was asked in its address."""

    def reply(client: socket.socket, closed: threading.Event) -> None:
        answer(
            302,
            asked(server.answered),
            Location=f"http://127.0.0.1:1{server.answered.line.split()[1]}",
        )(client, closed)

    return reply


def cut_off(server: Loopback) -> Reply:
    """An answer that ends before it is over."""

    def reply(client: socket.socket, _: threading.Event) -> None:
        body = asked(server.answered).encode()
        client.sendall(
            f"HTTP/1.1 200 Scripted\r\nContent-Length: {2 * len(body)}\r\n\r\n".encode() + body
        )

    return reply


def healthy(server: Loopback) -> Reply:
    """What Prometheus, a server of tokens, a list of releases, and anybody who takes messages would
    answer."""

    def reply(client: socket.socket, closed: threading.Event) -> None:
        target = server.answered.line.split()[1]
        body = "[]"
        if "/query_range" in target:
            query = parse_qs(urlsplit(target).query or server.answered.body.decode())
            start, end, step = (int(query[name][0]) for name in ("start", "end", "step"))
            moments = range(start, end + 1, step)
            body = matrix([({"version": "1"}, [(at, "1") for at in moments])])
        elif "/api/v1/" in target:
            body = json.dumps({"status": "success", "data": []})
        elif "/token" in target:
            body = json.dumps({"access_token": "c4nary-token", "token_type": "Bearer"})
        answer(200, body)(client, closed)

    return reply


FAULTS: dict[str, Callable[[Loopback], Reply] | None] = {
    "none": healthy,
    "401 that repeats the request": echo(401),
    "500 that repeats the request": echo(500),
    "429 that repeats the request": echo(429, Retry_After="1"),
    "200 that repeats the request": echo(200),
    "redirect to another host": elsewhere,
    "cut off": cut_off,
    "reset": lambda _: reset,
    "hangs": lambda _: hang,
    "not there": None,
    "crash that names the secret": healthy,
}
MAIL = {  # what a mail server says of a login; None takes it
    "none": None,
    "crash that names the secret": None,
    "401 that repeats the request": "535 5.7.8 no such login: {} {}",
    "429 that repeats the request": "454 4.7.0 not now: {} {}",
    "500 that repeats the request": "451 4.3.0 out of order: {} {}",
    "200 that repeats the request": "250 yes: {} {}",
}


def says_all(client: socket.socket, _: threading.Event) -> None:
    """A PostgreSQL that asks for the password, and refuses with all that it was told."""
    told = client.recv(8)
    while len(told) == 8 and struct.unpack("!ii", told)[1] in ENCRYPTION:
        client.sendall(GREETED)
        told = client.recv(8)
    told += client.recv(4096)
    client.sendall(ASKED_FOR_PASSWORD)
    told += client.recv(4096)
    text = b"SFATAL\0VFATAL\0C28P01\0M" + told.replace(b"\0", b" ") + b"\0\0"
    client.sendall(b"E" + struct.pack("!i", len(text) + 4) + text)


def babbles(client: socket.socket, _: threading.Event) -> None:
    """No protocol at all."""
    client.sendall(b"\xff\x00 what?\r\n" * 3)


RAW: dict[str, Reply] = {
    "hangs": hang,
    "reset": reset,
    "cut off": babbles,
    "redirect to another host": babbles,
}


@contextmanager
def servers(fault: str, folder: Path, database: str) -> Iterator[Places]:
    """All of them with the fault; `database` (host, port and name) is a real PostgreSQL, used where
    there is none."""
    web: list[Loopback] = []
    with ExitStack() as running:
        http, https, mail, data = (f"127.0.0.1:{free_port()}" for _ in range(4))
        if (made := FAULTS[fault]) is not None:
            web = [
                running.enter_context(serving(made, tls)) for tls in (None, TLS / "loopback.pem")
            ]
            http, https = (server.origin.partition("//")[2] for server in web)
            data = _origin(running, RAW.get(fault, says_all))
            mail = _origin(running, RAW[fault]) if fault in RAW else ""
        if fault in MAIL:
            server = smtp(login=ANYBODY, tls="starttls", refusal=MAIL[fault])
            mail = f"127.0.0.1:{running.enter_context(server).port}"
        if MAIL.get(fault, "") is None:
            data = database
        patience = {"timeout": duration_text(PATIENCE)} if fault == "hangs" else {}
        yield Places(f"http://{http}", f"https://{https}", mail, data, folder, patience, web)


@contextmanager
def serving(made: Callable[[Loopback], Reply], tls: Path | None = None) -> Iterator[Loopback]:
    """A server that answers each request as `made` says."""
    with Loopback([], tls=tls) as server:
        server.replies.append(made(server))
        yield server


def _origin(running: ExitStack, reply: Reply) -> str:
    return running.enter_context(Loopback([reply], speaks_first=True)).origin.partition("//")[2]


def crash(at: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what speaks to these servers fail with an error that names all it was given."""
    broken = {urlsplit(at.http).port, urlsplit(at.https).port}
    send = HTTPAdapter.send

    def fail(self: HTTPAdapter, request: Any, *args: Any, **kwargs: Any) -> Any:
        if urlsplit(request.url).port in broken:
            raise RuntimeError(f"{request.url} {request.headers} {request.body!r} {kwargs}")
        return send(self, request, *args, **kwargs)

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(f"{args[1:]} {kwargs}")

    monkeypatch.setattr(HTTPAdapter, "send", fail)
    monkeypatch.setattr(smtplib.SMTP, "login", refuse)
    monkeypatch.setattr(psycopg, "connect", refuse)
