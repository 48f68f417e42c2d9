"""Datadog's API for time series, by its documentation: what is asked, and how answers are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from anomaly.collectors.datadog import DatadogCollector
from anomaly.contracts import Collected
from anomaly.model import Kpi, Window
from anomaly.panel import VALUE
from tests.support.loopback import Loopback, answer

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

START, STEP = datetime(2021, 6, 16, 12, tzinfo=UTC), timedelta(minutes=5)
WINDOW = Window(START, START + 3 * STEP)
QUERY = "sum:orders.count{env:prod}.as_count().rollup(sum, $step)"


def series(values: list[float | None], *tags: str, interval: float = 300) -> dict[str, Any]:
    """A series as the API writes it."""
    begin = START.timestamp() * 1000
    points = [[begin + 1000 * interval * row, value] for row, value in enumerate(values)]
    return {
        "metric": "orders.count",
        "tag_set": [*tags],
        "scope": ",".join(["env:prod", *tags]),
        "interval": interval,
        "length": len(points),
        "pointlist": points,
        "unit": None,
    }


def body(*found: dict[str, Any], **more: object) -> str:
    return json.dumps({"status": "ok", "resp_version": 1, "series": [*found], **more})


def collected(server: Loopback, kpi: Kpi) -> Collected:
    source = DatadogCollector(
        url=server.origin + "/", api_key="k3y", application_key="appl", sleep=lambda _: None
    )
    return source.collect([kpi], WINDOW, STEP)


def test_the_query_is_asked_over_the_window_with_both_keys() -> None:
    with Loopback([answer(200, body(series([1.0, None, 3.0])))]) as server:
        about = collected(server, Kpi("orders", "prod", QUERY))
        (request,) = server.requests
    assert about.errors == {}
    np.testing.assert_array_equal(about.panel["orders", "", VALUE], [1, np.nan, 3])
    target = urlsplit(request.line.split()[1])
    assert target.path == "/api/v1/query"
    assert parse_qs(target.query) == {
        "from": ["1623844800"],
        "to": ["1623845699"],
        "query": ["sum:orders.count{env:prod}.as_count().rollup(sum, 300)"],
    }
    assert (request.headers["dd-api-key"], request.headers["dd-application-key"]) == ("k3y", "appl")


def test_tags_are_labels() -> None:
    text = body(series([1.0], "country:de", "url:a:b"), series([2.0], "country:fr", "url:a:b"))
    with Loopback([answer(200, text)]) as server:
        about = collected(server, Kpi("orders", "prod", QUERY, by=("country", "url")))
    assert [*about.panel.columns.get_level_values(1)] == [
        "country=de,url=a:b",
        "country=fr,url=a:b",
    ]


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (
            200,
            body(series([1.0, 2.0], interval=600)),
            "interval of 600 s, the step is 300 s; w",
        ),
        (200, body(status="error", error="Rule is wrong"), "Datadog says: Rule is wrong"),
        (403, '{"errors": ["Forbidden"]}', "are api_key and application_key right"),
        (400, '{"errors": ["Error parsing query"]}', "Error parsing query"),
        (200, '{"errors": []}', "JSON of another form"),
    ],
)
def test_an_answer_that_can_not_be_used_says_why(status: int, text: str, said: str) -> None:
    with Loopback([answer(status, text)]) as server:
        error = collected(server, Kpi("orders", "prod", QUERY)).errors["orders"]
    assert said in str(error)
