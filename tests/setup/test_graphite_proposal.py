"""Checklists from the tree of a real Graphite."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from anomaly.checklist.checklist import Checklist, load
from anomaly.cli.ending import run
from anomaly.collectors.graphite import GraphiteCollector
from anomaly.setup import graphite_proposal
from tests.support.loopback import Loopback, Request, answer
from tests.support.servers import Server, graphite

pytestmark = [pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1"])]

NOW = datetime(2025, 6, 3, 12, tzinfo=UTC)
MINUTES = 120
FINE = [(60, 60 * 24 * 365 * 3)]
COARSE = [(60, 60), (600, 6 * 24 * 365 * 3)]
Series = dict[str, object]


def series(*values: float, archives: list[tuple[int, int]] = FINE) -> Series:
    """A value each minute until now, again and again the same ones."""
    begin = int(datetime.now(UTC).timestamp()) // 60 * 60 - 60 * MINUTES
    points = [(begin + 60 * row, values[row % len(values)]) for row in range(MINUTES)]
    return {"archives": archives, "points": points}


GROWING = series(*(float(each * each) for each in range(MINUTES)))
STATSD = {
    "stats.counters.shop.requests.count": series(5, 4),
    "stats.counters.shop.requests.rate": series(0.5),
    "stats.counters.shop.errors.count": series(1, 0),
    "stats.timers.shop.response_time_ms.mean": series(12),
    "stats.timers.shop.response_time_ms.upper_95": series(20),
    "stats.counters.search.requests.count": series(2, 1),
    "carbon.agents.a.requests": series(900, 800),
}
HOSTS = {
    **{f"prod.shop.web{each}.http_requests": series(3, 2, archives=COARSE) for each in (1, 2)},
    **{f"prod.shop.web{each}.http_errors_5xx": series(1, 0, archives=COARSE) for each in (1, 2)},
    "prod.mail.requests_total": GROWING,
    "prod.odd (name).requests": series(9, 8),
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    folders = {name: tmp_path_factory.mktemp(name) for name in ("statsd", "hosts")}
    with (
        graphite(folders["statsd"], STATSD) as statsd,
        graphite(folders["hosts"], HOSTS) as hosts,
    ):
        yield {"statsd": statsd, "hosts": hosts}


def made(server: Server, *more: str) -> Checklist:
    """The checklist of `anomaly init`, which its probe must find data for."""
    assert run(["init", "--source", f"graphite={server.url}", *more]) == 0
    assert run(["validate", "--probe", "checklist.yaml"]) == 0
    return load("checklist.yaml")


def queries(checklist: Checklist) -> dict[str, str]:
    return {each.name: each.query for each in checklist.kpis}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_statsd_writes_becomes_errors_latency_and_requests(
    servers: dict[str, Server],
) -> None:
    checklist = made(servers["statsd"])

    counters = "stats.counters.shop"
    assert queries(checklist) == {
        "errors of shop": f'summarize(sumSeries({counters}.errors.count), "$step", "sum")',
        "p95 latency of shop": (
            'summarize(averageSeries(stats.timers.shop.response_time_ms.upper_95), "$step", "avg")'
        ),
        "requests of shop": f'summarize(sumSeries({counters}.requests.count), "$step", "sum")',
    }
    assert checklist.service == "shop"
    assert checklist.kpis[1].unit == "ms"
    text = Path("checklist.yaml").read_text(encoding="utf-8")
    assert "# Other services, by traffic: search." in text


def test_hosts_are_summed_and_steps_are_as_long_as_old_values_are_kept(
    servers: dict[str, Server],
) -> None:
    checklist = made(servers["hosts"], "--service", "shop")

    assert queries(checklist) == {
        "errors of shop": 'summarize(sumSeries(prod.shop.*.http_errors_5xx), "$step", "sum")',
        "requests of shop": 'summarize(sumSeries(prod.shop.*.http_requests), "$step", "sum")',
    }
    assert checklist.windows.step == timedelta(minutes=10)


def test_counters_that_only_grow_are_read_by_their_growth(servers: dict[str, Server]) -> None:
    checklist = made(servers["hosts"], "--service", "prod.mail")

    assert queries(checklist) == {
        "requests of mail": (
            'summarize(sumSeries(nonNegativeDerivative(prod.mail.requests_total)), "$step", "sum")'
        )
    }


def test_a_service_that_is_not_there_lists_those_that_are(
    servers: dict[str, Server], capsys: pytest.CaptureFixture[str]
) -> None:
    url = servers["statsd"].url
    assert run(["init", "--source", f"graphite={url}", "--service", "pay"]) == 4
    assert "no requests of 'pay' lately; there are those of shop, search" in capsys.readouterr().err


def test_of_a_large_tree_some_paths_are_compared_and_the_others_named() -> None:
    paths = [f"shop{chr(97 + each)}.requests" for each in range(25)]

    def reply(request: Request) -> tuple[int, str]:
        fields = parse_qs(request.body.decode())
        if "query" in fields:
            there = paths if fields["query"][0].startswith("*.*{") else []
            return 200, json.dumps({"results": there})
        found = [
            {"target": target.rstrip('")').rpartition('"')[2], "datapoints": [[5, 60], [4, 120]]}
            for target in fields["target"]
        ]
        return 200, json.dumps(found)

    with Loopback.by(reply) as server:
        source = GraphiteCollector(url=server.origin)
        found = graphite_proposal.propose(source, {"type": "graphite"}, "", NOW)
    assert found is not None
    assert found.service == "shopa"
    assert found.remarks == [
        "Other paths, which were not compared: shopu, shopv, shopw, shopx, shopy"
    ]


def test_each_depth_of_the_tree_is_asked_once() -> None:
    asked = []

    def reply(request: Request) -> tuple[int, str]:
        fields = parse_qs(request.body.decode())
        asked.append(fields["query"][0].partition("{")[0])
        return 200, '{"results": []}'

    with Loopback.by(reply) as server:
        source = GraphiteCollector(url=server.origin)
        assert graphite_proposal.propose(source, {}, "", NOW) is None
    assert asked == ["*." * depth + "*" for depth in range(7)]


@pytest.mark.parametrize("body", ["{}", "[1]", '{"results": 5}', "null"])
def test_answers_of_another_form_are_an_error(
    body: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Loopback([answer(200, body)]) as server:
        assert run(["init", "--source", f"graphite={server.origin}"]) == 4
    assert "answered something else than it is asked" in capsys.readouterr().err
