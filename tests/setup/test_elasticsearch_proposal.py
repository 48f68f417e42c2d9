"""Checklists from the indices of Elasticsearch and OpenSearch, by their documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from anomaly.checklist.checklist import Checklist, load
from anomaly.cli.ending import run
from anomaly.collectors.elasticsearch import ElasticsearchCollector
from anomaly.errors import CollectError
from anomaly.setup import elasticsearch_proposal
from anomaly.setup.proposal import Proposal
from tests.support.aws import KEYS, REGION, wrong_signature
from tests.support.beginnings import begin_where_it_is_refused
from tests.support.elasticsearch import SEARCHED, SHARDS, refusal
from tests.support.loopback import Loopback, Request, answer

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

NOW = datetime(2025, 6, 3, 12, tzinfo=UTC)
TIME = {"@timestamp": "date"}
ECS = {
    **TIME,
    "service.name": "keyword",
    "http.response.status_code": "long",
    "event.duration": "long",
    "event.outcome": "keyword",
    "log.level": "keyword",
}


class Cluster:
    """The answers of a cluster with indices (field types) and their numbers of documents lately,
    and what it was asked: path and body."""

    def __init__(self, indices: Mapping[str, Mapping[str, str]], **counts: int) -> None:
        self.indices, self.counts = indices, counts
        self.asked: list[tuple[str, Any]] = []

    def reply(self, request: Request) -> tuple[int, str]:
        target = urlsplit(request.line.split()[1])
        index, what = unquote(target.path).strip("/").rsplit("/", 1)
        self.asked.append((f"{index}/{what}", json.loads(request.body or b"null")))
        if what == "_field_caps":
            fields = parse_qs(target.query)
            assert fields["include_unmapped"] == ["true"]
            return 200, json.dumps(self.caps(fields["fields"][0].split(",")))
        ((_, aggregation),) = self.asked[-1][1]["aggs"].items()
        field = aggregation["terms"]["field"]
        counts = (
            {name: 10 * (place + 1) for place, name in enumerate(self.indices)}
            if field == "_index"
            else self.counts
        )
        buckets = [{"key": name, "doc_count": count} for name, count in counts.items()]
        found = {"sum_other_doc_count": 0, "buckets": buckets}
        return 200, json.dumps({**SEARCHED, "_shards": SHARDS, "aggregations": {"values": found}})

    def caps(self, fields: list[str]) -> dict[str, Any]:
        """As documented: the indices of a type are listed only where not all have it."""
        found: dict[str, dict[str, Any]] = {}
        for field in fields:
            kinds: dict[str, list[str]] = {}
            for index, held in self.indices.items():
                kinds.setdefault(held.get(field, "unmapped"), []).append(index)
            if {*kinds} == {"unmapped"}:
                continue
            found[field] = {
                kind: {"type": kind} | ({"indices": named} if len(kinds) > 1 else {})
                for kind, named in kinds.items()
            }
        return {"indices": [*self.indices], "fields": found}


def proposed(cluster: Cluster, service: str = "", index: str = "*") -> Proposal | None:
    with Loopback.by(cluster.reply) as server:
        source = ElasticsearchCollector(url=server.origin, index=index)
        settings = {"type": "elasticsearch", "url": server.origin, "index": index}
        return elasticsearch_proposal.propose(source, settings, service, NOW)


def made(cluster: Cluster, service: str = "", index: str = "*") -> Checklist:
    """The proposal as it is read again."""
    found = proposed(cluster, service, index)
    assert found is not None
    return load("checklist.yaml", text=found.checklist().encode())


def test_the_data_stream_with_most_documents_becomes_errors_latency_and_requests() -> None:
    cluster = Cluster(
        {
            "metrics-2025.06": {**TIME, "cpu": "float"},
            "audit": ECS,
            ".ds-logs-shop-default-2025.05.01-000001": {**TIME, "status": "long"},
            ".ds-logs-shop-default-2025.06.01-000002": ECS,
            "console": {**TIME, "log.level": "keyword"},
            ".ds-metrics-apm-default-2025.06.01-000001": ECS,
        },
        shop=90,
        search=10,
    )
    checklist = made(cluster)

    assert [path for path, _ in cluster.asked] == [
        "*/_field_caps",
        "*/_search",
        "logs-shop-default/_search",
    ]
    assert cluster.asked[2][1] == {
        "size": 0,
        "track_total_hits": False,
        "query": {
            "range": {
                "@timestamp": {
                    "gte": int(NOW.timestamp() - 3 * 3600) * 1000,
                    "lt": int(NOW.timestamp()) * 1000,
                    "format": "epoch_millis",
                }
            }
        },
        "aggs": {"values": {"terms": {"field": "service.name", "size": 50}}},
    }
    mine = 'service.name:"shop"'
    requests = f"{mine} AND _exists_:http.response.status_code"
    assert [(each.name, each.query, each.denominator, each.unit) for each in checklist.kpis] == [
        (
            "errors of shop",
            f"{mine} AND http.response.status_code:>=500",
            requests,
            "errors per request",
        ),
        (
            "p95 latency of shop",
            f"{mine} AND _exists_:event.duration | percentile(event.duration, 95)",
            None,
            "ns",
        ),
        ("requests of shop", requests, None, "requests"),
    ]
    assert checklist.sources["prod"].settings["index"] == "logs-shop-default"
    found = proposed(cluster)
    assert found is not None
    assert found.others == ["search"]
    assert found.remarks == ["Other indices, of which --table names one: audit"]


@pytest.mark.parametrize(
    ("types", "index", "errors", "every"),
    [
        (
            {**TIME, "status": "text", "status.keyword": "keyword"},
            "web-2025.06.03",
            "status.keyword:/5[0-9][0-9]/",
            "_exists_:status.keyword",
        ),
        (
            {**TIME, "event.outcome": "keyword", "service": "object"},
            "traces-000007",
            "event.outcome:failure",
            "event.outcome:(success OR failure)",
        ),
        ({**TIME, "level": "keyword"}, "app", "level:(error OR ERROR OR Error OR err ", "*"),
        ({"timestamp": "date_nanos", "severity": "keyword"}, "app", "severity:(error ", "*"),
    ],
)
def test_without_a_number_errors_are_told_by_words(
    types: dict[str, str], index: str, errors: str, every: str
) -> None:
    checklist = made(Cluster({index: types}))

    assert checklist.kpis[0].query.startswith(errors)
    assert checklist.kpis[-1].query == every
    settings = checklist.sources["prod"].settings
    assert settings["index"] == {
        "web-2025.06.03": "web-2*",
        "traces-000007": "traces-0*",
    }.get(index, index)
    assert settings.get("time_field") == ("timestamp" if "timestamp" in types else None)


@pytest.mark.parametrize(
    "indices",
    [
        {},
        {"a": {"status": "long"}},
        {"a": TIME},
        {"a": {**TIME, "status": "text"}},
        {"a": {"@timestamp": "keyword", "status": "long"}},
    ],
)
def test_documents_without_a_time_or_what_tells_errors_are_nothing(
    indices: dict[str, dict[str, str]],
) -> None:
    assert proposed(Cluster(indices)) is None


def test_a_service_is_looked_for_and_quoted() -> None:
    cluster = Cluster({"app": ECS}, **{'o"dd': 5, "shop": 9})

    assert made(cluster, 'o"dd').kpis[-1].query.startswith(r'service.name:"o\"dd" AND ')
    with pytest.raises(CollectError, match="no documents of 'pay' lately; there are those of shop"):
        proposed(cluster, "pay")


def test_init_asks_with_the_key_of_the_environment_and_writes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ELASTIC_API_KEY", "k3y-0123")
    cluster, headers = Cluster({"app": ECS}, shop=9), []

    def reply(request: Request) -> tuple[int, str]:
        headers.append(request.headers["authorization"])
        return cluster.reply(request)

    with Loopback.by(reply) as server:
        asked = ["--source", f"elasticsearch={server.origin}", "--table", "app*"]
        assert run(["init", *asked]) == 0
    said = capsys.readouterr()
    text = Path("checklist.yaml").read_text(encoding="utf-8")
    assert {*headers} == {"ApiKey k3y-0123"}
    assert [path for path, _ in cluster.asked[:2]] == ["app*/_field_caps", "app*/_search"]
    assert "k3y-0123" not in text + said.out + said.err
    made = load("checklist.yaml", environ={"ELASTIC_API_KEY": "k"})
    assert made.sources["prod"].settings["index"] == "app*"


def test_requests_are_signed_for_amazon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    cluster = Cluster({"app": ECS}, shop=9)

    def reply(request: Request) -> tuple[int, str]:
        assert not wrong_signature(request, "es")
        return cluster.reply(request)

    with Loopback.by(reply) as server:
        source = ElasticsearchCollector(url=server.origin, index="*", sign_in="aws", region=REGION)
        assert elasticsearch_proposal.propose(source, {"index": "*"}, "", NOW) is not None


@pytest.mark.parametrize(
    ("host", "environ", "signed_in"),
    [
        ("shop-x1.eu-central-1.es.amazonaws.com", {}, {"sign_in": "aws", "region": "eu-central-1"}),
        (
            "shop-x1.eu-central-1.es.amazonaws.com",
            {"ELASTIC_USERNAME": "reader", "ELASTIC_PASSWORD": "s3cret-pw"},
            {"username": "${ELASTIC_USERNAME}", "password": "${ELASTIC_PASSWORD}"},
        ),
        ("search.example.com", {}, {}),
    ],
)
def test_an_address_of_amazon_is_signed_in_to_with_its_keys(
    host: str,
    environ: Mapping[str, str],
    signed_in: Mapping[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    written: dict[str, Any] = {}
    monkeypatch.setattr(
        elasticsearch_proposal, "propose", lambda _, settings, *_others: written.update(settings)
    )
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert run(["init", "--source", f"elasticsearch=https://{host}"]) == 0
    address = {"type": "elasticsearch", "url": f"https://{host}", "index": "*"}
    assert written == {**address, **signed_in}


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, "{}", "answered something else than it is asked"),
        (200, '{"indices": ["a"], "fields": {"status": 5}}', "something else than it is asked"),
        (*refusal("security_exception", "no permission", 403), "may they read the index?"),
        (*refusal("index_not_found_exception", "no such index", 404), "does index name an index"),
    ],
)
def test_what_is_refused_says_what_to_change(
    status: int,
    body: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    begin_where_it_is_refused("elasticsearch", answer(status, body))
    assert said in capsys.readouterr().err
