"""Checklists from what a real InfluxDB 1 holds."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from anomaly.checklist.checklist import Checklist, load
from anomaly.cli.ending import run
from anomaly.collectors.influxdb import InfluxdbCollector
from anomaly.setup import influxdb_proposal
from tests.support.loopback import Loopback, answer
from tests.support.servers import Server

MINUTES = 120
ATTEMPTS = 50
ENVIRON = {"INFLUX_USERNAME": "admin", "INFLUX_PASSWORD": "s3cret"}
ADMIN = "u=admin&p=s3cret"
WINDOW = "WHERE time >= $start AND time < $end"


def post(url: str, body: str = "") -> None:
    """A request that is made again while the server has not yet made a database."""
    for attempt in range(ATTEMPTS):
        try:
            with urlopen(Request(url, body.encode(), method="POST"), timeout=30):  # noqa: S310  on loopback
                return
        except HTTPError as error:
            with error:
                if error.code != HTTPStatus.NOT_FOUND or attempt + 1 == ATTEMPTS:
                    raise
        time.sleep(0.1)


@pytest.fixture
def web(influxdb_server: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of an empty database of the test's own, before `shop` by its name."""
    name = f"a_{request.node.name[:40]}"
    for statement in (f'CREATE DATABASE "{name}"', f'DROP DATABASE "{name}"'):
        post(f"{influxdb_server.url}/query?{ADMIN}&q={quote(statement)}")
        if statement.startswith("CREATE"):
            yield name


def now() -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0)


def write(server: Server, database: str, *points: tuple[str, str]) -> None:
    """Points of each series (measurement with tags, fields), a minute apart; `{wave}` in the fields
    rises and falls, `{total}` rises."""
    lines = [
        f"{series} {fields.format(wave=row % 7, total=row * row)} "
        f"{int(now().timestamp()) - 60 * (MINUTES - row)}"
        for row in range(MINUTES)
        for series, fields in points
    ]
    post(f"{server.url}/write?db={quote(database)}&precision=s&{ADMIN}", "\n".join(lines))


def made(
    server: Server, monkeypatch: pytest.MonkeyPatch, folder: Path, *more: str
) -> tuple[Checklist, str]:
    """The checklist of `anomaly init`, which its probe must find data for."""
    monkeypatch.chdir(folder)
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    assert run(["init", "--source", f"influxdb={server.url}", *more]) == 0
    text = Path("checklist.yaml").read_text(encoding="utf-8")
    assert run(["validate", "--probe", "checklist.yaml"]) == 0
    return load("checklist.yaml", environ=ENVIRON), text


def queries(checklist: Checklist) -> dict[str, str]:
    return {each.name: each.query for each in checklist.kpis}


def test_fields_by_name_become_errors_latency_and_requests(
    influxdb_server: Server,
    web: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fields = "requests={wave}i,errors=2i,latency_p95=1.5,memory=5"
    few = ("http,app=search", "requests=1i")
    write(influxdb_server, web, ("http,app=shop", fields), few)
    checklist, text = made(influxdb_server, monkeypatch, tmp_path)

    where = f'FROM "http" {WINDOW} AND "app" = \'shop\' GROUP BY time($step) fill(none)'
    assert queries(checklist) == {
        "errors of http": f'SELECT sum("errors") {where}',
        "p95 latency of http": f'SELECT mean("latency_p95") {where}',
        "requests of http": f'SELECT sum("requests") {where}',
    }
    assert checklist.service == "shop"
    assert checklist.sources["prod"].settings["database"] == web
    said = capsys.readouterr()
    assert "# Other services, by traffic: search" in text
    assert "Other databases, of which --table names one: shop" in said.out
    assert "s3cret" not in text + said.out + said.err
    assert 'password: "${INFLUX_PASSWORD}"' in text


def test_a_service_has_only_the_kpis_that_it_has_fields_of(
    influxdb_server: Server, web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = "requests={wave}i,errors=2i,latency_p95=1.5"
    write(influxdb_server, web, ("http,app=shop", fields), ("http,app=search", "requests={wave}i"))
    checklist, _ = made(influxdb_server, monkeypatch, tmp_path, "--service", "search")

    assert [*queries(checklist)] == ["requests of http"]


def test_counters_that_only_grow_are_read_by_their_growth(
    influxdb_server: Server, web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = [(f"http_requests_total,code={code}", "counter={total}") for code in (200, 503)]
    write(influxdb_server, web, *series)
    checklist, _ = made(influxdb_server, monkeypatch, tmp_path, "--table", web)

    table = f'FROM "http_requests_total" {WINDOW}'
    outer = f"WHERE {WINDOW[6:]} GROUP BY time($step) fill(none)"
    grown = (
        'SELECT sum(d) FROM (SELECT non_negative_difference(last("counter")) AS d {} '
        "GROUP BY time($step), *) {}"
    )
    assert queries(checklist) == {
        "errors of http_requests_total": grown.format(f'{table} AND "code" =~ /^5/', outer),
        "requests of http_requests_total": grown.format(table, outer),
    }


def test_a_point_per_request_is_counted(
    influxdb_server: Server, web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        influxdb_server,
        web,
        *((f"page,status={each}", "took=1,duration_ms=2.5") for each in (200, 500)),
    )
    checklist, _ = made(influxdb_server, monkeypatch, tmp_path)

    end = f'FROM "page" {WINDOW}{{}} GROUP BY time($step) fill(none)'
    assert queries(checklist) == {
        "errors of page": f'SELECT count("duration_ms") {end}'.format(' AND "status" =~ /^5/'),
        "p95 latency of page": f'SELECT percentile("duration_ms", 95) {end}'.format(""),
        "requests of page": f'SELECT count("duration_ms") {end}'.format(""),
    }
    assert checklist.kpis[1].unit == "ms"


def test_odd_names_are_quoted(
    influxdb_server: Server, web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(influxdb_server, web, ("a\\ \"b,app=it's\\ o", 'the\\ "requests=1'))
    checklist, _ = made(influxdb_server, monkeypatch, tmp_path)

    assert "\"app\" = 'it\\'s o'" in checklist.kpis[0].query


def test_without_requests_it_is_the_template(
    influxdb_server: Server,
    web: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(influxdb_server, web, ("disk", "used={wave}"))
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    asked = ["init", "--source", f"influxdb={influxdb_server.url}", "--table", web]

    assert run(asked) == 0
    assert "found no measurements with fields like requests, errors or" in capsys.readouterr().out
    assert run(["init", "b.yaml", *asked[1:-1], "none"]) == 4
    assert "InfluxDB says: database not found: none" in capsys.readouterr().err
    assert run(["init", "c.yaml", *asked[1:], "--service", "pay"]) == 0
    monkeypatch.setenv("INFLUX_PASSWORD", "wr0ng-one")
    assert run(["init", "d.yaml", *asked[1:]]) == 4
    said = capsys.readouterr().err
    assert "is token, or username and password, right" in said
    assert "wr0ng-one" not in said
    assert not Path("d.yaml").exists()


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.parametrize("found", [[["shop", 1]], [[]], [None]])
def test_answers_of_another_form_are_an_error(
    found: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    body = json.dumps({"results": [{"series": [{"name": "databases", "values": found}]}]})
    with Loopback([answer(200, body)]) as server:
        assert run(["init", "--source", f"influxdb={server.origin}"]) == 4


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_the_own_database_of_the_server_is_not_looked_at() -> None:
    body = json.dumps({"results": [{"series": [{"name": "databases", "values": [["_internal"]]}]}]})
    with Loopback([answer(200, body)]) as server:
        source = InfluxdbCollector(url=server.origin, database="")
        assert influxdb_proposal.propose(source, {"database": ""}, "", now()) is None
        assert len(server.requests) == 1
