"""What every built-in sink promises. A new one needs a line in `SETTINGS`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from anomaly.checklist import registry
from anomaly.contracts import Message, Receipt, Sink
from anomaly.errors import ChecklistError
from anomaly.reporting.data import to_dict
from tests.support import reports
from tests.support.examples import SECRET
from tests.support.loopback import Loopback, answer
from tests.support.smtp import smtp

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

SETTINGS: dict[str, Callable[[str], dict[str, Any]]] = {
    "console": lambda _origin: {},
    "github": lambda origin: {
        "api": origin,
        "token": SECRET,
        "repository": "acme/shop",
        "sha": "a" * 40,
        "what": ["status"],
    },
    "gitlab": lambda origin: {
        "api": origin,
        "token": SECRET,
        "project": "acme/shop",
        "merge_request": 7,
    },
    "bitbucket": lambda origin: {
        "api": origin,
        "token": SECRET,
        "repository": "acme/shop",
        "pull_request": 7,
    },
    "grafana": lambda origin: {"url": origin, "token": SECRET, "dashboard": "d1", "tags": ["shop"]},
    "command": lambda _origin: {"run": ["true", SECRET]},
    "html": lambda _origin: {"path": "report-{version}.html"},
    "json": lambda _origin: {"path": "report.json"},
    "jsonl": lambda _origin: {"path": "reports.jsonl"},
    "junit": lambda _origin: {"path": "report.xml"},
    "pushgateway": lambda origin: {"url": origin, "username": SECRET, "password": SECRET},
    "textfile": lambda _origin: {"path": "anomaly.prom"},
    "teams": lambda origin: {"url": f"{origin}/workflows/{SECRET}?sig={SECRET}"},
    "slack": lambda origin: {"url": f"{origin}/services/{SECRET}"},
    "pagerduty": lambda origin: {"url": f"{origin}/v2/enqueue", "routing_key": SECRET},
    "alertmanager": lambda origin: {
        "url": origin,
        "headers": {"Authorization": f"Bearer {SECRET}"},
    },
    "email": lambda origin: {
        "host": "127.0.0.1",
        "port": int(origin.rpartition(":")[2]),
        "security": "none",
        "sender": "anomaly@example.com",
        "to": ["ops@example.com"],
        "timeout": "10s",
    },
    "apprise": lambda origin: {"url": f"{origin.replace('http', 'json')}/{SECRET}?token={SECRET}"},
    "webhook": lambda origin: {
        "url": f"{origin}/{SECRET}?token={SECRET}",
        "secret": SECRET,
        "headers": {"X-Key": SECRET},
        "body": f'{{"key": "{SECRET}"}}',
        "content_type": "application/json",
    },
}
BODIES = {"bitbucket": '{"values": []}'}  # of the answer, where it is not an empty list
REPORTS = {
    name: getattr(reports, name) for name in ("failing", "messy", "passing", "early", "dead_source")
}


@pytest.fixture(params=SETTINGS)
def sink(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sink]:
    monkeypatch.setenv("NO_PROXY", "*")
    with (
        smtp()
        if request.param == "email"
        else Loopback([answer(200, BODIES.get(request.param, "[]"))]) as server
    ):
        settings = SETTINGS[request.param](server.origin)
        yield registry.sink(registry.Plugin(request.param, settings, folder=tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", REPORTS)
def test_a_sink_takes_any_report_and_says_so(sink: Sink, name: str) -> None:
    receipt = sink.send(Message("k", REPORTS[name]()))
    assert isinstance(receipt, Receipt)
    assert receipt.delivered


@pytest.mark.slow
@pytest.mark.parametrize("text", reports.HOSTILE)
def test_a_sink_takes_hostile_text(sink: Sink, text: str) -> None:
    assert sink.send(Message("k", reports.hostile(text))).delivered


@pytest.mark.slow
def test_a_second_send_is_harmless(sink: Sink) -> None:
    message = Message("k", reports.failing())
    assert sink.send(message) == sink.send(message)


@pytest.mark.slow
def test_the_message_is_not_changed(sink: Sink) -> None:
    message = Message("k", reports.messy())
    before, points = copy.deepcopy(to_dict(message.report)), message.report.points.copy()
    sink.send(message)
    assert to_dict(message.report) == before
    pd.testing.assert_frame_equal(message.report.points, points)


def test_an_unknown_setting_is_reported_with_its_place() -> None:
    for name, settings in SETTINGS.items():
        plugin = registry.Plugin(
            name, settings("http://127.0.0.1:1") | {"colour": "blue"}, where="a.yaml:3: sinks[0]"
        )
        with pytest.raises(ChecklistError, match=r"sinks\[0\]\.colour is an unknown key"):
            registry.sink(plugin)


@pytest.mark.slow
def test_a_sink_describes_itself_and_shows_no_secret(sink: Sink) -> None:
    assert (type(sink).__doc__ or "").strip()
    assert SECRET not in repr(sink)
