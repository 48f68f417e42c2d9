"""InfluxDB's `/query`, by its documentation: what is asked of each version, and how answers are
read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from anomaly.collectors.influxdb import InfluxdbCollector
from anomaly.contracts import Collected
from anomaly.errors import UsageError
from anomaly.model import Kpi, Window
from anomaly.panel import VALUE
from tests.support.loopback import Loopback, answer

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

START, STEP = datetime(2025, 6, 3, 6, tzinfo=UTC), timedelta(minutes=5)
WINDOW = Window(START, START + 3 * STEP)
BOUNDS = "WHERE time >= $start AND time < $end"
QUERY = f"SELECT sum(v) FROM y {BOUNDS} GROUP BY time($step), country fill(none)"  # noqa: S608
ORDERS = Kpi("orders", "prod", QUERY, by=("country",))


def series(*values: tuple[float, object], tags: object = None, **more: object) -> dict[str, Any]:
    """A series as InfluxDB writes it; the values by their rows."""
    points = [[int(START.timestamp()) + 300 * row, value] for row, value in values]
    named = {"tags": {"country": "DE"} if tags is None else tags}
    return {"name": "orders", **named, "columns": ["time", "sum"], "values": points, **more}


def part(*found: dict[str, Any], **more: object) -> str:
    return json.dumps({"results": [{"statement_id": 0, "series": [*found], **more}]})


def collected(server: Loopback, kpi: Kpi = ORDERS, **settings: Any) -> Collected:
    source = InfluxdbCollector(
        url=f"{server.origin}/influx/", database="shop", sleep=lambda _: None, **settings
    )
    return source.collect([kpi], WINDOW, STEP)


@pytest.mark.parametrize(
    ("settings", "header"),
    [
        ({"token": "t0ken"}, "Token t0ken"),
        ({"username": "reader", "password": "s3cret"}, "Basic cmVhZGVyOnMzY3JldA=="),
        ({}, None),
    ],
)
def test_a_query_is_asked_within_its_bounds(settings: dict[str, Any], header: str | None) -> None:
    with Loopback([answer(200, part(series((0, 4), (1, None), (2, 6))))]) as server:
        about = collected(server, **settings)
        (request,) = server.requests
    assert about.errors == {}
    np.testing.assert_array_equal(about.panel["orders", "country=DE", VALUE], [4, np.nan, 6])
    target = urlsplit(request.line.split()[1])
    assert (request.line.split()[0], target.path) == ("GET", "/influx/query")
    assert parse_qs(target.query) == {
        "db": ["shop"],
        "q": [
            "SELECT sum(v) FROM y WHERE time >= '2025-06-03T06:00:00Z' AND "
            "time < '2025-06-03T06:15:00Z' GROUP BY time(300s), country fill(none)"
        ],
        "epoch": ["s"],
        "chunked": ["true"],
    }
    assert request.headers.get("authorization") == header


def test_the_parts_of_an_answer_are_put_together() -> None:
    parts = [
        part(series((0, 4), partial=True), partial=True),
        part(series((1, 5)), partial=True),
        part(series((2, 7), tags={"country": None})),
    ]
    with Loopback([answer(200, "\r\n".join(parts) + "\r\n")]) as server:
        panel = collected(server).panel
    np.testing.assert_array_equal(panel["orders", "country=DE", VALUE], [4, 5, np.nan])
    np.testing.assert_array_equal(panel["orders", "country=", VALUE], [np.nan, np.nan, 7])


@pytest.mark.parametrize("body", ['{"results":[{"statement_id":0}]}', part()])
def test_no_series_is_no_error(body: str) -> None:
    with Loopback([answer(200, body)]) as server:
        about = collected(server)
    assert about.provenance["orders"].notes == ("no series matched",)


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (200, part(error="database not found: shop"), "InfluxDB says: database not found: shop"),
        (200, part(series((0, 1)), partial=True) + '\n{"error": "timeout"}', "says: timeout"),
        (200, part(series((0, 1), partial=True)), "partial: InfluxDB cut the answer off"),
        (200, part(series((0, 1)), partial=True), "partial: InfluxDB cut the answer off"),
        (200, "", "0 bytes that are no JSON, or cut off"),
        (200, part(series((0, "on"))), "sum is text; select a field with numbers"),
        (200, part(series(columns=["time", "sum", "mean"])), "it returns time, sum, mean; select"),
        (200, part(series(columns=["name"])), "it returns name; select one value"),
        (
            200,
            part(series((0, 1), tags={"host": "a"})),
            "has no country, which by names",
        ),
        (200, part(series((0.2, 1))), "06:01:00 UTC, which starts no step of 5m; write GROUP BY"),
        (200, "[1]", "JSON of another form"),
        (400, '{"error": "error parsing query: found EOF"}', "error parsing query: found EOF"),
        (
            401,
            '{"code": "unauthorized", "message": "unauthorized access"}',
            "is token, or username and password, right",
        ),
    ],
)
def test_an_answer_that_can_not_be_used_says_why(status: int, text: str, said: str) -> None:
    with Loopback([answer(status, text)]) as server:
        assert said in str(collected(server).errors["orders"])


def test_a_tag_that_no_point_has_is_an_error() -> None:
    with Loopback([answer(200, part(series((0, 4), tags={"country": ""})))]) as server:
        about = collected(server)
    said = "no point has the tag country, which GROUP BY and by name"
    assert said in str(about.errors["orders"])


def test_measurements_are_told_apart() -> None:
    kpi = Kpi("orders", "prod", QUERY)
    body = part(series((0, 1), tags={}), series((0, 2), tags={}, name="refunds"))
    with Loopback([answer(200, body)]) as server:
        assert "2 series differ by measurement" in str(collected(server, kpi).errors["orders"])


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ('from(bucket: "shop") |> range(start: 0)', "it is Flux; write it in InfluxQL"),
        ("DROP MEASUREMENT orders", "write one SELECT without INTO"),
        (QUERY.replace("FROM", "INTO x FROM"), "write one SELECT without INTO"),
        (f"{QUERY}; DROP DATABASE shop", "write one SELECT without INTO"),
        (QUERY.replace("$end", "now()"), "write WHERE time >= $start AND time < $end"),
        (QUERY.replace(BOUNDS, ""), "write WHERE time >= $start AND time < $end"),
        (QUERY.replace("GROUP BY time($step), ", "GROUP BY "), "write GROUP BY time($step)"),
        (QUERY.replace("$step", "10m"), "write GROUP BY time($step)"),
    ],
)
def test_what_is_no_select_of_whole_steps_is_not_sent(query: str, said: str) -> None:
    with Loopback([answer(200, part())]) as server:
        error = collected(server, Kpi("orders", "prod", query)).errors["orders"]
        assert server.requests == []
    assert said in str(error)


@pytest.mark.parametrize(
    "query",
    [
        "select SUM(v) from \"a; into\" where x = 'it\\'s; into' and time >= $start and "
        "time < $end group by TIME( $step )  ;",
        "SELECT sum(n) FROM (SELECT max(v) AS n FROM y WHERE time >= ${start} AND time < ${end} "
        "GROUP BY time(${step}), host) GROUP BY time(${step}) fill(none) tz('Europe/Berlin')",
    ],
)
def test_quoted_names_and_subqueries_are_sent(query: str) -> None:
    with Loopback([answer(200, part(series((0, 1), tags={})))]) as server:
        assert collected(server, Kpi("orders", "prod", query)).errors == {}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "http://u:p@127.0.0.1"}, "url holds a user"),
        ({"token": "a", "username": "b"}, "token and username are given"),
        ({"password": "a"}, "password is given without username"),
        ({"token": "a\nb"}, "the value of Authorization is empty, or holds a line end"),
    ],
)
def test_settings_that_do_not_belong_together_are_refused(
    settings: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        InfluxdbCollector(**{"url": "http://127.0.0.1:1", "database": "shop", **settings})  # type: ignore[arg-type]
