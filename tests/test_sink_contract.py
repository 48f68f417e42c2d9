"""What every registered sink promises. A new sink needs a line in `SETTINGS`."""

from __future__ import annotations

import copy
import logging
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from anomaly import registry
from anomaly.contracts import Action, Message, Receipt, Sink
from anomaly.errors import SinkError
from anomaly.redaction import Redactor
from anomaly.report import to_dict
from tests import reports
from tests.loopback import Loopback, Reply, answer, reset
from tests.sinks.smtp import smtp

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

SECRET = "c4nary-s3cret"
SETTINGS: dict[str, Callable[[str], dict[str, Any]]] = {
    "console": lambda _origin: {},
    "github": lambda origin: {"api": origin, "token": SECRET, "repository": "acme/shop", "sha": "a" * 40, "what": ["status"]},
    "html": lambda _origin: {"path": "report-{version}.html"},
    "json": lambda _origin: {"path": "report.json"},
    "jsonl": lambda _origin: {"path": "reports.jsonl"},
    "junit": lambda _origin: {"path": "report.xml"},
    "pushgateway": lambda origin: {"url": origin, "username": "shop", "password": SECRET},
    "textfile": lambda _origin: {"path": "anomaly.prom"},
    "slack": lambda origin: {"url": f"{origin}/services/{SECRET}"},
    "pagerduty": lambda origin: {"url": f"{origin}/v2/enqueue", "routing_key": SECRET},
    "alertmanager": lambda origin: {"url": origin, "headers": {"Authorization": f"Bearer {SECRET}"}},
    "email": lambda origin: {
        "host": "127.0.0.1",
        "port": int(origin.rpartition(":")[2]),
        "security": "none",
        "sender": "anomaly@example.com",
        "to": ["ops@example.com"],
        "timeout": "10s",
    },
    "apprise": lambda origin: {"url": f"{origin.replace('http', 'json')}/{SECRET}?token={SECRET}"},
    "webhook": lambda origin: {"url": f"{origin}/{SECRET}?token={SECRET}", "secret": SECRET, "headers": {"X-Key": SECRET}},
}
REPORTS = {name: getattr(reports, name) for name in ("failing", "messy", "passing", "early", "dead_source")}


@pytest.fixture(params=registry.types_of(registry.SINKS))
def sink(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sink]:
    monkeypatch.setenv("NO_PROXY", "*")
    with smtp() if request.param == "email" else Loopback([answer(200)]) as server:
        settings = SETTINGS[request.param](server.origin)
        yield registry.sink(registry.Plugin(request.param, settings, folder=tmp_path))


@pytest.mark.parametrize("name", REPORTS)
def test_a_sink_takes_any_report_and_says_so(sink: Sink, name: str) -> None:
    receipt = sink.send(Message("k", REPORTS[name]()))
    assert isinstance(receipt, Receipt)
    assert receipt.delivered


@pytest.mark.parametrize("text", reports.HOSTILE)
def test_a_sink_takes_hostile_text(sink: Sink, text: str) -> None:
    assert sink.send(Message("k", reports.hostile(text))).delivered


def test_a_second_send_is_harmless(sink: Sink) -> None:
    message = Message("k", reports.failing())
    assert sink.send(message) == sink.send(message)


def test_the_message_is_not_changed(sink: Sink) -> None:
    message = Message("k", reports.messy())
    before, points = copy.deepcopy(to_dict(message.report)), message.report.points.copy()
    sink.send(message)
    assert to_dict(message.report) == before
    pd.testing.assert_frame_equal(message.report.points, points)


def test_no_secret_is_in_the_receipt_or_the_name(sink: Sink) -> None:
    receipt = sink.send(Message("k", reports.failing()))
    assert SECRET not in f"{receipt!r}{sink!r}{sink}"


def test_a_sink_says_what_it_is(sink: Sink) -> None:
    assert (type(sink).__doc__ or "").strip()


def echo(status: int, **headers: str) -> Callable[[Loopback], Reply]:
    """An answer that repeats all that was asked: line, headers and body."""

    def made(server: Loopback) -> Reply:
        def reply(client: socket.socket, closed: threading.Event) -> None:
            asked = server.requests[-1]
            text = f"{asked.line}\n{asked.headers}\n{asked.body.decode('utf-8', 'replace')}"
            answer(status, text, **headers)(client, closed)

        return reply

    return made


FAULTS: dict[str, Callable[[Loopback], Reply]] = {
    "refuses": echo(400),
    "knows nobody": echo(401),
    "forbids": echo(403),
    "is busy": echo(429, Retry_After="1"),
    "fails": echo(500),
    "sends elsewhere": echo(302, Location=f"http://127.0.0.1:1/{SECRET}?token={SECRET}"),
    "talks nonsense": echo(200),
    "breaks off": lambda _server: reset,
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", [name for name in registry.types_of(registry.SINKS) if name != "email"])  # its faults are not HTTP's
def test_whatever_a_receiver_does_no_secret_is_told(
    name: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)  # of the libraries too
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("anomaly.web.LONGEST_SAID", 1 << 20)  # all that the receiver says is shown, wherever a secret stands in it
    monkeypatch.setattr("anomaly.web.LONGEST_ANSWER", 1 << 20)
    with Loopback([]) as server:
        server.replies.append(FAULTS[fault](server))
        made = registry.sink(registry.Plugin(name, SETTINGS[name](server.origin), folder=tmp_path))
        try:
            said = repr(made.send(Message("k", reports.failing(), Action.FIRE)))
        except SinkError as error:
            said = "".join(traceback.format_exception(error))
        said += caplog.text
        assert Redactor([SECRET]).text(said) == said  # raw, URL-encoded, in base64
