"""The annotation of a release in Grafana, and the dashboard over what is exported."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from anomaly.contracts import Message
from anomaly.errors import RetryableSinkError, SinkError, UsageError
from anomaly.sinks.exposition import OF_KPI, OF_RELEASE
from anomaly.sinks.grafana import GrafanaSink, annotation
from tests.support import reports
from tests.support.places import ROOT

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "localhost"])

TOKEN = "glsa_0123456789"
KEY = "3f2a91c0d4e5"
KEYS = {"dashboardUID", "panelId", "time", "timeEnd", "tags", "text", "data"}  # as documented
DASHBOARD = json.loads((ROOT / "docs" / "grafana_dashboard.json").read_text(encoding="utf-8"))


@dataclass
class Grafana:
    """What the documentation of /api/annotations says that Grafana does."""

    kept: dict[int, dict[str, Any]] = field(default_factory=dict)

    def serve(self, server: HTTPServer) -> str:
        """The address of this Grafana, which lies under a path."""
        server.expect_request(re.compile("/grafana/.*")).respond_with_handler(self.answer)
        return server.url_for("/grafana")

    def answer(self, request: Request) -> Response:
        """The answer to a request."""
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return Response('{"message": "Invalid API key"}', 401)
        if request.method == "GET":
            tags = set(request.args.getlist("tags"))
            found = [{"id": n, **each} for n, each in self.kept.items() if tags <= {*each["tags"]}]
            return Response(json.dumps(found[: int(request.args["limit"])]))
        body = json.loads(request.data)
        assert set(body) <= KEYS
        assert isinstance(body["text"], str)
        assert all(isinstance(body[key], int) for key in ("time", "timeEnd"))
        assert body["time"] <= body["timeEnd"]
        if request.method == "POST" and request.path == "/grafana/api/annotations":
            self.kept[len(self.kept) + 1] = body
            return Response(json.dumps({"message": "Annotation added", "id": len(self.kept)}))
        number = int(request.path.rpartition("/")[2])
        assert request.method == "PATCH"
        self.kept[number] |= body
        return Response('{"message": "Annotation patched"}')


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def test_later_looks_change_the_annotation_of_their_release(httpserver: HTTPServer) -> None:
    grafana = Grafana()
    sink = GrafanaSink(url=grafana.serve(httpserver), token=TOKEN, dashboard="d1", tags=("web",))

    sink.send(Message(KEY, reports.failing()))
    sink.send(Message(KEY, reports.passing()))
    sink.send(Message("another", reports.passing()))

    first, second = grafana.kept.values()
    assert first["dashboardUID"] == "d1"
    assert {"anomaly", f"anomaly:{KEY}", "pass", "web"} <= {*first["tags"]}
    assert "fail" not in first["tags"]
    assert "anomaly:another" in second["tags"]


@pytest.mark.parametrize("text", reports.HOSTILE)
def test_names_from_outside_are_text(text: str) -> None:
    body = annotation(Message(KEY, reports.hostile(text)))

    assert set(re.findall(r"<[^>]*>?", body["text"])) <= {"<br>"}
    assert json.loads(json.dumps(body)) == body


def test_what_grafana_refuses_says_what_to_change(httpserver: HTTPServer) -> None:
    url = Grafana().serve(httpserver)
    httpserver.expect_request("/other/api/annotations").respond_with_data("<html>")
    httpserver.expect_request("/busy/api/annotations").respond_with_data("", status=503)

    with pytest.raises(SinkError, match="the token is wrong or has expired") as refused:
        GrafanaSink(url=url, token="wrong").send(Message(KEY, reports.failing()))
    with pytest.raises(SinkError, match="is url the address of a Grafana"):
        GrafanaSink(url=httpserver.url_for("/other"), token=TOKEN).send(
            Message(KEY, reports.failing())
        )
    with pytest.raises(RetryableSinkError):
        GrafanaSink(url=httpserver.url_for("/busy"), token=TOKEN).send(
            Message(KEY, reports.failing())
        )
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dashboard": "a b"}, "give its uid"),
        ({"url": "https://u:p@grafana.example.com"}, "url holds a user"),
        ({"token": ""}, "token is empty"),
        ({"url": "https://grafana/?x=1"}, "has a query"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        GrafanaSink(**{"url": "https://grafana", "token": TOKEN, **settings})  # type: ignore[arg-type]


def test_the_dashboard_asks_for_exported_metrics_and_known_variables() -> None:
    text = json.dumps(DASHBOARD)
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}

    assert set(re.findall(r"anomaly_[a-z_]+", text)) <= {*OF_RELEASE, *OF_KPI}
    assert set(re.findall(r"\$\{?([a-z]+)", text)) == variables


def test_the_panels_of_the_dashboard_have_places_of_their_own() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells
        assert max(x for x, _ in own) < 24
        cells |= own
    assert len({each["id"] for each in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
