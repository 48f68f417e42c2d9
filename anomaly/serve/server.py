"""The server around the application: one socket, one event loop, and an end within seconds."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from anomaly.errors import UsageError
from anomaly.serve.bounds import MOST_CONNECTIONS

GRACE_S = 1  # for requests that are being answered, when the service ends
PATIENCE_S = 4.0  # after a signal, even if a thread still waits
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KEEP_ALIVE_S = 30
LARGEST_PORT = 0xFFFF
BACKLOG = 512


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`. Raises UsageError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > LARGEST_PORT:
        raise UsageError(f"--listen is {text!r:.80}; write HOST:PORT, such as 127.0.0.1:8080")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises UsageError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise UsageError(
            f"--listen {host}:{port}: {error.strerror or error}; name an address of this machine "
            "and a free port"
        ) from None


class _Server(uvicorn.Server):
    """A server that a signal ends as it should: with 0, and in time."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for each in ENDING:
            if signal.getsignal(each) is not signal.SIG_IGN:  # as under nohup
                loop.add_signal_handler(each, self._end)
        yield

    def _end(self) -> None:
        self.should_exit = True
        timer = threading.Timer(PATIENCE_S, os._exit, (0,))
        timer.daemon = True
        timer.start()


def serve(app: FastAPI, listening: socket.socket) -> None:
    """Answer until a signal ends it."""
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="error",  # what strangers send that is no HTTP is not worth a line each
        access_log=False,
        server_header=False,
        lifespan="on",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )

    async def run() -> None:
        app.state.loop = asyncio.get_running_loop()
        await _Server(config).serve(sockets=[listening])

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(run())
