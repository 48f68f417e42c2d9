"""The search API of Elasticsearch and OpenSearch, by their documentation: what is asked, how
answers are read, and what is made of those that are not whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from anomaly.collectors.elasticsearch import ElasticsearchCollector
from anomaly.contracts import Collected
from anomaly.errors import UsageError
from anomaly.model import Kpi, Window
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE
from tests.support.aws import KEYS, REGION, wrong_signature
from tests.support.elasticsearch import SEARCHED, SHARDS, Document, refusal, search
from tests.support.loopback import Loopback, Request, answer

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

START, STEP = datetime(2025, 6, 3, 6, tzinfo=UTC), timedelta(minutes=5)
WINDOW = Window(START, START + 3 * STEP)
BEGIN = int(START.timestamp() * 1000)
ERRORS = Kpi("errors", "prod", "level:error")


def document(step: int, **fields: object) -> Document:
    """A document in the last millisecond of a step."""
    return {"@timestamp": BEGIN + 300_000 * step + 299_999, **fields}


DOCUMENTS = [
    document(-1, level="error", ms=9),
    document(0, level="error", country="DE", status=500, ms=10),
    document(0, level="error", country="FR", status=502, ms=20),
    document(0, level="info", country="DE", status=200, ms=60),
    document(1, level="info", country="DE", status=200),
    document(2, level="error", country="DE", status=500, ms=40),
    document(3, level="error", ms=9),
]


def collected(server: Loopback, *kpis: Kpi, **settings: Any) -> Collected:
    named = {"url": f"{server.origin}/es/", "index": "logs-*,eu:logs-*"} | settings
    return ElasticsearchCollector(sleep=lambda _: None, **named).collect(kpis, WINDOW, STEP)


def of_documents(*kpis: Kpi, documents: Sequence[Document] = DOCUMENTS, most: int = 100) -> Any:
    def reply(request: Request) -> tuple[int, str]:
        return 200, json.dumps(search(documents, request, most))

    with Loopback.by(reply) as server:
        return collected(server, *kpis)


def test_documents_are_counted_by_whole_steps_in_utc() -> None:
    with Loopback([answer(200, json.dumps(empty()))]) as server:
        assert collected(server, ERRORS, api_key="a2V5").errors == {}
        (request,) = server.requests
    line = "POST /es/logs-%2A%2Ceu%3Alogs-%2A/_search?allow_no_indices=false HTTP/1.1"
    assert request.line == line
    assert request.headers["authorization"] == "ApiKey a2V5"
    assert request.headers["content-type"] == "application/json"
    span = {"gte": BEGIN, "lt": BEGIN + 900_000, "format": "epoch_millis"}
    every = {"field": "@timestamp", "fixed_interval": "300s"}
    assert json.loads(request.body) == {
        "size": 0,
        "track_total_hits": False,
        "query": {
            "bool": {
                "filter": [
                    {"range": {"@timestamp": span}},
                    {"query_string": {"query": "level:error"}},
                ]
            }
        },
        "aggs": {
            "steps": {
                "composite": {
                    "size": 10_000,
                    "sources": [{"time": {"date_histogram": every}}],
                }
            }
        },
    }


def empty(**more: object) -> dict[str, Any]:
    """An answer without a bucket, as the server writes it."""
    return {**SEARCHED, "_shards": SHARDS, "aggregations": {"steps": {"buckets": []}}, **more}


def test_a_step_without_documents_is_missing_unless_a_denominator_has_some() -> None:
    share = Kpi("share", "prod", "level:error", denominator="*")
    panel = of_documents(ERRORS, share).panel
    np.testing.assert_array_equal(panel["errors", "", VALUE], [2, np.nan, 1])
    np.testing.assert_array_equal(panel["share", "", NUMERATOR], [2, 0, 1])
    np.testing.assert_array_equal(panel["share", "", DENOMINATOR], [3, 1, 1])


@pytest.mark.parametrize("most", [1, 2, 100])
def test_fields_of_by_are_segments_whatever_a_page_holds(most: int) -> None:
    kpi = Kpi("errors", "prod", "level:error", by=("country", "status"))
    about = of_documents(kpi, documents=DOCUMENTS[1:-1], most=most)
    assert about.errors == {}
    segments = {name[1]: about.panel[name].tolist() for name in about.panel.columns}
    assert {name: np.nan_to_num(values).tolist() for name, values in segments.items()} == {
        "country=DE,status=500": [1, 0, 1],
        "country=FR,status=502": [1, 0, 0],
    }


@pytest.mark.parametrize(
    ("measure", "values"),
    [
        ("avg(ms)", [30, np.nan, 40]),
        ("sum(ms)", [90, np.nan, 40]),
        ("min(ms)", [10, np.nan, 40]),
        ("max( ms )", None),
        ("max(ms)", [60, np.nan, 40]),
        ("cardinality(country)", [2, 1, 1]),
        ("percentile(ms, 50)", [20, np.nan, 40]),
        ("percentile(ms,99.9)", [60, np.nan, 40]),
        ("percentile(ms)", None),
        ("percentile(ms, 100)", None),
        ("avg(ms, 5)", None),
        ("median(ms)", None),
        ("stats avg(ms) by country", None),
    ],
)
def test_an_aggregation_stands_behind_the_query(
    measure: str, values: Sequence[float] | None
) -> None:
    about = of_documents(Kpi("ms", "prod", f"* | {measure}"))
    if values is None:
        assert "is none of: avg(FIELD)" in str(about.errors["ms"]) or "follows |" in str(
            about.errors["ms"]
        )
    else:
        np.testing.assert_array_equal(about.panel["ms", "", VALUE], values)


@pytest.mark.parametrize("lucene", ['message:"a | b"', "path:/a | b/", "a || avg(b)", "a|b"])
def test_a_pipe_that_lucene_reads_is_left_alone(lucene: str) -> None:
    with Loopback([answer(200, json.dumps(empty()))]) as server:
        assert collected(server, Kpi("a", "prod", f"{lucene} | avg(ms)")).errors == {}
        assert collected(server, Kpi("a", "prod", lucene)).errors == {}
        for request in server.requests:
            _, matching = json.loads(request.body)["query"]["bool"]["filter"]
            assert matching["query_string"]["query"] == lucene


def test_documents_without_a_field_of_by_are_an_error_not_lost() -> None:
    documents = [*DOCUMENTS[1:-1], document(1, level="error")]
    kpi = Kpi("errors", "prod", "level:error", by=("country",))
    error = of_documents(kpi, documents=documents).errors["errors"]
    assert (
        "have no country, which by names; to leave them out, write (…) AND _exists_:country"
        in str(error)
    )


PART = {**SHARDS, "total": 5, "failed": 2}
CAUSE = {"shard": 0, "index": "logs-1", "reason": {"type": "t", "reason": "no such field"}}


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((200, json.dumps(empty(timed_out=True))), "partial: .*: the search timed out"),
        (
            (200, json.dumps(empty(_shards={**PART, "failures": [CAUSE]}))),
            "partial: .*: 2 of 5 shards failed: no such field",
        ),
        ((200, json.dumps(empty(_shards=PART))), "partial: .*: 2 of 5 shards failed"),
        (
            (200, json.dumps(empty(_clusters={"total": 2, "successful": 1, "skipped": 1}))),
            "partial: .*: 1 of 2 clusters did not answer whole",
        ),
        ((200, json.dumps({"tagline": "You Know, for Search"})), "unreadable: "),
        (refusal("query_shard_exception", "Failed to parse query [a:"), "Failed to parse query"),
        (refusal("illegal_argument_exception", "Fielddata is disabled"), "country.keyword?"),
        (refusal("index_not_found_exception", "no such index [x]", 404), "does index name an"),
        (refusal("security_exception", "missing authentication", 401), "credentials right"),
        (refusal("security_exception", "action is unauthorized", 403), "may they read the index"),
        (refusal("circuit_breaking_exception", "Data too large", 429), "unavailable: .* 4 times"),
    ],
)
def test_an_answer_that_is_not_whole_says_why(reply: tuple[int, str], said: str) -> None:
    with Loopback([answer(*reply)]) as server:
        error = str(collected(server, ERRORS).errors["errors"])
    for part in said.split(" .* "):
        assert all(each in error for each in part.split(".*"))


def test_pages_without_end_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anomaly.collectors.elasticsearch.MOST_PAGES", 3)
    bucket = {"key": {"time": BEGIN}, "doc_count": 1}
    steps = {"buckets": [bucket], "after_key": bucket["key"]}
    with Loopback([answer(200, json.dumps(empty(aggregations={"steps": steps})))]) as server:
        error = collected(server, ERRORS).errors["errors"]
        assert len(server.requests) == 3
    assert "limit: more than 30,000 buckets; take a field out of by" in str(error)


@pytest.mark.slow
def test_requests_to_amazon_are_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)

    def reply(request: Request) -> tuple[int, str]:
        refused = wrong_signature(request, "es")
        return (403, refused) if refused else (200, json.dumps(search(DOCUMENTS, request)))

    with Loopback.by(reply) as server:
        about = collected(server, ERRORS, sign_in="aws", region=REGION)
    np.testing.assert_array_equal(about.panel["errors", "", VALUE], [2, np.nan, 1])


@pytest.mark.parametrize(
    ("settings", "way"),
    [
        ({"bearer_token": "t0ken"}, "Bearer t0ken"),
        ({"username": "anomaly", "password": "p"}, "Basic YW5vbWFseTpw"),
        ({}, None),
    ],
)
def test_each_way_to_sign_in_is_sent(settings: dict[str, str], way: str | None) -> None:
    with Loopback([answer(200, json.dumps(empty()))]) as server:
        collected(server, ERRORS, **settings)
        assert server.requests[0].headers.get("authorization") == way


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "http://u:p@127.0.0.1"}, "url holds a user"),
        ({"index": " "}, "index is empty"),
        ({"api_key": "a", "username": "b"}, "username and api_key are given; use one"),
        ({"api_key": "a", "sign_in": "aws"}, "api_key and sign_in are given; use one"),
        ({"region": "eu-central-1"}, "it needs sign_in: aws"),
        ({"api_key": "a\nb"}, "line end"),
    ],
)
def test_settings_that_do_not_belong_together_are_refused(
    settings: dict[str, Any], said: str
) -> None:
    make: Callable[..., object] = ElasticsearchCollector
    with pytest.raises(UsageError, match=said):
        make(**{"url": "http://127.0.0.1:1", "index": "logs"} | settings)
