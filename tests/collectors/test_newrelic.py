"""NerdGraph of New Relic, by its documentation and the answers of its own client's tests: what is
asked, and how answers are read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from anomaly.collectors.newrelic import NewRelicCollector
from anomaly.contracts import Collected
from anomaly.errors import RetryableCollectError, UsageError
from anomaly.model import Kpi, Window
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE
from tests.support.loopback import Loopback, Request, answer

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

START, STEP = datetime(2025, 6, 3, 6, tzinfo=UTC), timedelta(minutes=5)
WINDOW = Window(START, START + 3 * STEP)
BEGIN = int(START.timestamp())
ORDERS = Kpi("orders", "prod", "SELECT count(*) FROM Order WHERE shop = 'limit since' // all")


def rows(*values: object, name: str = "count", **more: Any) -> list[dict[str, Any]]:
    """The steps of a series as the API writes them; `more` has a value for each, or one for all."""
    return [
        {
            "beginTimeSeconds": BEGIN + 300 * step,
            "endTimeSeconds": BEGIN + 300 * (step + 1),
            name: value,
            **{key: each[step] if key == "count" else each for key, each in more.items()},
        }
        for step, value in enumerate(values)
    ]


def step(begin: int, end: int) -> dict[str, Any]:
    return {"beginTimeSeconds": BEGIN + begin, "endTimeSeconds": BEGIN + end, "count": 1}


def body(results: Sequence[dict[str, Any]], facets: list[str] | None = None) -> str:
    nrql = {"results": results, "metadata": {"facets": facets}}
    return json.dumps({"data": {"actor": {"account": {"nrql": nrql}}}})


def collected(server: Loopback, *kpis: Kpi, window: Window = WINDOW) -> Collected:
    source = NewRelicCollector(
        url=server.origin + "/graphql", account_id="42", api_key="NRAK-1", sleep=lambda _: None
    )
    return source.collect(kpis, window, STEP)


def test_the_window_and_the_step_are_written_behind_the_query() -> None:
    with Loopback([answer(200, body(rows(1, 2, 3)))]) as server:
        about = collected(server, ORDERS)
        (request,) = server.requests
    assert about.errors == {}
    np.testing.assert_array_equal(about.panel["orders", "", VALUE], [1, 2, 3])
    assert request.line.split()[:2] == ["POST", "/graphql"]
    assert request.headers["api-key"] == "NRAK-1"
    asked = json.loads(request.body)
    assert "account(id: $account) { nrql(query: $nrql, timeout: $timeout)" in asked["query"]
    end = BEGIN + 900
    behind = f"\nLIMIT MAX\nTIMESERIES 300 seconds SINCE {BEGIN}000 UNTIL {end}000"
    variables = {"account": 42, "nrql": ORDERS.query + behind, "timeout": 30}
    assert asked["variables"] == variables


def test_a_long_window_is_asked_in_parts_of_366_steps() -> None:
    def reply(request: Request) -> tuple[int, str]:
        words = json.loads(request.body)["variables"]["nrql"].split()
        begin, end = (int(each) // 1000 for each in (words[-3], words[-1]))
        assert (end - begin) // 300 <= 366
        return 200, body(
            [
                {"beginTimeSeconds": at, "endTimeSeconds": at + 300, "count": at}
                for at in range(begin, end, 300)
            ]
        )

    window = Window(START, START + 800 * STEP)
    with Loopback.by(reply) as server:
        panel = collected(server, ORDERS, window=window).panel
        assert len(server.requests) == 3
    np.testing.assert_array_equal(
        panel["orders", "", VALUE], BEGIN + 300 * np.arange(800, dtype=float)
    )


def test_a_zero_counts_only_beside_events() -> None:
    """New Relic writes 0 for a step without events, also before its data begin."""
    alone = body(rows(0, 0.0, 4))
    beside = body(rows({"95": 0.0}, {"95": 0.0}, {"95": 4}, name="p", count=[0, 2, 2]))
    for text, values in ((alone, [np.nan, np.nan, 4]), (beside, [np.nan, 0, 4])):
        with Loopback([answer(200, text)]) as server:
            about = collected(server, ORDERS)
        np.testing.assert_array_equal(about.panel["orders", "", VALUE], values)


def test_a_ratio_is_two_queries_and_its_numerator_is_zero_beside_a_denominator() -> None:
    kpi = Kpi("errors", "prod", "SELECT count(*) FROM E", denominator="SELECT count(*) FROM R")

    def reply(request: Request) -> tuple[int, str]:
        bad = "FROM E" in request.body.decode()
        return 200, body(rows(0, 2, 0) if bad else rows(9, 9, 0))

    with Loopback.by(reply) as server:
        panel = collected(server, kpi).panel
    np.testing.assert_array_equal(panel["errors", "", NUMERATOR], [0, 2, np.nan])
    np.testing.assert_array_equal(panel["errors", "", DENOMINATOR], [9, 9, np.nan])


@pytest.mark.parametrize(
    ("by", "facets", "german", "french"),
    [
        (("country",), ["country"], "DE", "FR"),
        (("country", "app"), ["country", "app"], ["DE", "web"], ["FR", "web"]),
    ],
)
def test_facets_are_segments(
    by: tuple[str, ...], facets: list[str], german: Any, french: Any
) -> None:
    kpi = Kpi("orders", "prod", "SELECT count(*) FROM Order FACET country", by=by)
    results = [*rows(1, 2, facet=german), *rows(3, facet=french, country="FR")]
    with Loopback([answer(200, body(results, facets))]) as server:
        about = collected(server, kpi)
    assert about.errors == {}
    segments = [name.replace("app=web,", "") for name in about.panel.columns.get_level_values(1)]
    assert segments == ["country=DE", "country=FR"]


def refused(message: str, **extensions: str) -> str:
    errors = [{"message": message, "extensions": extensions, "path": ["actor"]}]
    return json.dumps({"data": {"actor": {"account": None}}, "errors": errors})


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (200, refused("NRQL Syntax Error: unexpected 'x'"), "Syntax Error: unexpected 'x'; is it"),
        (
            200,
            refused("The API key provided is invalid", error_code="BAD_API_KEY"),
            "auth: New Relic says: The API key provided is invalid; is api_key a user key",
        ),
        (401, "{}", "is api_key a user key"),
        (200, body(rows(1, 2, name="a", b=3)), "it selects a, b; select one value, and count(*)"),
        (200, body(rows({"50": 1, "95": 2})), "count is not one number"),
        (200, body(rows([1, 2])), "count is not one number"),
        (200, body([step(0, 600)]), "the answer has steps of 600 s, the step is 300 s"),
        (200, body([step(60, 360)]), "which starts no step of 5m; leave the time out"),
        (200, body([{"count": 1}]), "JSON of another form"),
        (200, "[]", "JSON of another form"),
    ],
)
def test_an_answer_that_can_not_be_used_says_why(status: int, text: str, said: str) -> None:
    with Loopback([answer(status, text)]) as server:
        assert said in str(collected(server, ORDERS).errors["orders"])


@pytest.mark.parametrize("kind", ["TIMEOUT", "TOO_MANY_REQUESTS", "SERVER_ERROR"])
def test_an_error_inside_200_that_may_pass_is_asked_again(kind: str) -> None:
    later = answer(200, refused("not now", errorClass=kind))
    with Loopback([later, answer(200, body(rows(1, 2, 3)))]) as server:
        assert collected(server, ORDERS).errors == {}
    with Loopback([later]) as server:
        error = collected(server, ORDERS).errors["orders"]
    assert "unavailable: New Relic says: not now (asked 4 times)" in str(error)
    assert isinstance(error, RetryableCollectError)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("SINCE 1 day ago", "it has SINCE; leave it out"),
        ("timeseries 5 minutes", "it has TIMESERIES"),
        ("FACET country // by country\nLIMIT 20", "it has LIMIT"),
        ("compare  with 1 week ago", "it has COMPARE WITH"),
    ],
)
def test_a_time_or_a_limit_in_the_query_is_refused(more: str, said: str) -> None:
    with Loopback([answer(200, body([]))]) as server:
        kpi = Kpi("a", "prod", " ".join(["SELECT count(*) FROM A", more]))
        error = collected(server, kpi).errors["a"]
        assert server.requests == []
    assert said in str(error)


def test_odd_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="account_id is 0"):
        NewRelicCollector(account_id=0, api_key="a")
    with pytest.raises(UsageError, match="account_id is mine; write the number of your account"):
        NewRelicCollector(account_id="mine", api_key="a")
    with pytest.raises(UsageError, match="line end"):
        NewRelicCollector(account_id=1, api_key="a\nb")
