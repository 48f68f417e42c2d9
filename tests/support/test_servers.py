"""The harness itself: servers are named when missing, answer when there, and end."""

from __future__ import annotations

import socket

import pytest

from tests.conftest import StartServer
from tests.support import servers


def test_a_missing_server_skips_its_tests_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-server is neither on PATH"):
        servers.need("no-such-server")


def test_a_missing_server_fails_its_tests_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-server is neither on PATH"):
        servers.need("no-such-server")


def test_tests_without_a_server_open_no_socket() -> None:
    with pytest.warns(UserWarning, match=r"socket\.socket"), pytest.raises(RuntimeError):
        socket.socket()


@pytest.mark.usefixtures("loopback")
def test_tests_with_a_server_reach_only_this_machine() -> None:
    with (
        socket.socket() as outward,
        pytest.warns(UserWarning, match="192.0.2.1"),
        pytest.raises(RuntimeError),
    ):
        outward.connect(("192.0.2.1", 80))


def test_prometheus_ends_when_told(start_prometheus: StartServer) -> None:
    server = start_prometheus({"up": [(1_740_000_000, 1.0)]})
    server.stop()
    assert server.process.returncode is not None
