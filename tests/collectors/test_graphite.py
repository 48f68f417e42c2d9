"""Graphite's render API, by its documentation: what is asked, and how answers are read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest

from anomaly.collectors.graphite import GraphiteCollector
from anomaly.contracts import Collected
from anomaly.errors import UsageError
from anomaly.model import Kpi, Window
from anomaly.panel import VALUE
from tests.support.loopback import Loopback, answer

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

START, STEP = datetime(2025, 6, 3, 6, tzinfo=UTC), timedelta(minutes=5)
WINDOW = Window(START, START + 3 * STEP)
QUERY = 'aliasByNode(summarize(shop.*.orders, "$step", "sum"), 1)'
ORDERS = Kpi("orders", "prod", QUERY, by=("country",))


def series(
    values: Sequence[object], target: str = "DE", interval: float = 300, **more: object
) -> dict[str, Any]:
    """A series as Graphite writes it."""
    begin = int(START.timestamp())
    points = [[value, begin + interval * row] for row, value in enumerate(values)]
    return {"target": target, "datapoints": points, **more}


def collected(
    server: Loopback, kpi: Kpi = ORDERS, window: Window = WINDOW, **settings: Any
) -> Collected:
    source = GraphiteCollector(url=f"{server.origin}/graphite/", sleep=lambda _: None, **settings)
    return source.collect([kpi], window, STEP)


@pytest.mark.parametrize(
    ("settings", "header"),
    [
        ({"bearer_token": "t0ken"}, "Bearer t0ken"),
        ({"username": "reader", "password": "s3cret"}, "Basic cmVhZGVyOnMzY3JldA=="),
        ({}, None),
    ],
)
def test_a_target_is_asked_over_the_window(settings: dict[str, Any], header: str | None) -> None:
    with Loopback([answer(200, json.dumps([series([4, None, 6.5, None])]))]) as server:
        about = collected(server, **settings)
        (request,) = server.requests
    assert about.errors == {}
    np.testing.assert_array_equal(about.panel["orders", "country=DE", VALUE], [4, np.nan, 6.5])
    assert request.line == "POST /graphite/render HTTP/1.1"
    assert parse_qs(request.body.decode()) == {
        "target": ['aliasByNode(summarize(shop.*.orders, "300s", "sum"), 1)'],
        "from": ["1748930399"],
        "until": ["1748931299"],
        "maxDataPoints": ["1000000"],
        "format": ["json"],
    }
    assert request.headers.get("authorization") == header


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refusal_repeats_no_secret(status: int) -> None:
    with Loopback([answer(status, "who is t0ken-s3cret? dDBrZW4tczNjcmV0")]) as server:
        error = str(collected(server, bearer_token="t0ken-s3cret").errors["orders"])
    assert "who is ***? ***" in error


@pytest.mark.parametrize(
    ("by", "found", "segments"),
    [
        (("country",), [series([1], "shop.DE.orders")], {"country=shop.DE.orders"}),
        (("country", "channel"), [series([1], "DE.web")], {"channel=web,country=DE"}),
        (
            ("country",),
            [series([1], "sum", tags={"country": country}) for country in ("DE", "FR")],
            {"country=DE", "country=FR"},
        ),
        (("name",), [series([1], "x", tags={"name": "shop.orders"})], {"name=shop.orders"}),
    ],
)
def test_segments_are_tags_or_parts_of_the_name(
    by: tuple[str, ...], found: list[dict[str, Any]], segments: set[str]
) -> None:
    with Loopback([answer(200, json.dumps(found))]) as server:
        about = collected(server, Kpi("orders", "prod", QUERY, by=by))
    assert about.errors == {}
    assert {*about.panel.columns.get_level_values(1)} == segments


@pytest.mark.parametrize(
    ("by", "found", "said"),
    [
        ((), [series([1], "a"), series([2], "b")], "2 series differ by target; sum them"),
        (("a", "b"), [series([1], "x.y.z")], "has no a, which by names; its labels: target"),
        (
            ("country",),
            [series([1], tags={"country": "DE"}), series([1], tags={"host": "a"})],
            "has no country, which by names; its labels: host, target",
        ),
    ],
)
def test_series_that_are_not_told_apart_are_an_error(
    by: tuple[str, ...], found: list[dict[str, Any]], said: str
) -> None:
    with Loopback([answer(200, json.dumps(found))]) as server:
        assert said in str(collected(server, Kpi("orders", "prod", QUERY, by=by)).errors["orders"])


@pytest.mark.parametrize(
    ("apart", "count", "is_refused"), [(2, 24, True), (2, 23, False), (1, 24, False)]
)
def test_values_at_every_second_step_alone_are_refused(
    apart: int, count: int, *, is_refused: bool
) -> None:
    values = [1.0 if row % apart == 0 else None for row in range(count * apart)]
    window = Window(START, START + len(values) * STEP)
    with Loopback([answer(200, json.dumps([series(values)]))]) as server:
        errors = collected(server, window=window).errors
    assert bool(errors) == is_refused
    assert not errors or "from 2025-06-03 06:00 UTC there is a value only every 10m" in str(
        errors["orders"]
    )


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (200, json.dumps([series([1, 2], interval=60)]), "an interval of 60 s, the step is 300 s"),
        (200, json.dumps([series(["high"])]), "JSON of another form"),
        (200, json.dumps([series([1e308, 10**400])]), "JSON of another form"),
        (200, "{}", "JSON of another form"),
        (200, "<html>Log in</html>", "19 bytes that are no JSON"),
        (400, "Invalid parameters (unknown function: x)", "unknown function: x"),
        (401, "", "is bearer_token, or username and password, right?"),
        (404, "", "is url the address before /render?"),
        (500, "<h2>unexpected error</h2>", "asked 4 times"),
    ],
)
def test_an_answer_that_can_not_be_used_says_why(status: int, text: str, said: str) -> None:
    with Loopback([answer(status, text)]) as server:
        assert said in str(collected(server).errors["orders"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "http://u:p@127.0.0.1"}, "url holds a user"),
        ({"bearer_token": "a", "username": "b"}, "bearer_token and username are given"),
    ],
)
def test_settings_that_do_not_belong_together_are_refused(
    settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        GraphiteCollector(**{"url": "http://127.0.0.1:1", **settings})
