"""Checklists from log lines in Loki, by the documentation of its API."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from anomaly.checklist.checklist import Checklist, load
from anomaly.cli.ending import run
from anomaly.collectors.loki import LokiCollector
from anomaly.errors import CollectError
from anomaly.setup import loki_proposal
from tests.support.beginnings import begin_where_it_is_refused
from tests.support.loopback import Loopback, Request, answer

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

NOW = datetime(2025, 6, 3, 12, tzinfo=UTC)
LINES = {"shop": 900.0, "search": 90.0, 'o"dd': 9.0}


def data(found: object) -> str:
    return json.dumps({"status": "success", "data": found})


class Loki:
    """The answers of a Loki with some lines of each service, and what it was asked."""

    def __init__(self, *lines: str, label: str = "service_name", **stream: str) -> None:
        self.lines, self.label, self.stream = lines, label, stream
        self.asked: list[dict[str, list[str]]] = []

    def reply(self, request: Request) -> tuple[int, str]:
        target = urlsplit(request.line.split()[1])
        fields = parse_qs(target.query)
        self.asked.append(fields)
        kind = target.path.removeprefix("/loki/api/v1/")
        if kind == "labels":
            return 200, data(["filename", self.label])
        if kind == "query":
            result: list[dict[str, Any]] = [
                {"metric": {self.label: name}, "value": [NOW.timestamp(), str(count)]}
                for name, count in LINES.items()
            ]
            return 200, data({"resultType": "vector", "result": result})
        values = [[f"{int(NOW.timestamp())}{row:09}", line] for row, line in enumerate(self.lines)]
        found = [{"stream": {self.label: "shop", **self.stream}, "values": values}]
        return 200, data({"resultType": "streams", "result": found})


def proposed(loki: Loki, service: str = "") -> Checklist:
    """What is proposed, as it is read again."""
    with Loopback.by(loki.reply) as server:
        source = LokiCollector(url=server.origin)
        settings = {"type": "loki", "url": server.origin}
        found = loki_proposal.propose(source, settings, service, NOW)
    assert found is not None
    return load("checklist.yaml", text=found.checklist().encode())


def test_access_logs_in_json_become_errors_latency_and_requests() -> None:
    lines = [
        json.dumps({"msg": "done", "http": {"status_code": code}, "took_ms": 12.5, "ok": True})
        for code in (200, 503)
    ]
    loki = Loki(*lines)
    made = proposed(loki)

    assert [[*each] for each in loki.asked] == [
        ["start", "end"],
        ["query", "time"],
        ["query", "limit", "direction", "start", "end"],
    ]
    assert loki.asked[1]["query"] == [
        'sum by (service_name) (count_over_time({service_name=~".+"}[1h]))'
    ]
    assert loki.asked[2]["query"] == ['{service_name="shop"}']
    parsed = '{service_name="shop"} | json'
    assert [(each.name, each.query, each.unit) for each in made.kpis] == [
        (
            "errors of shop",
            f'sum(count_over_time({parsed} | http_status_code=~"5.." [$step]))',
            "errors per request",
        ),
        (
            "p95 latency of shop",
            f'quantile_over_time(0.95, {parsed} | unwrap took_ms | __error__="" [$step]) by ()',
            "ms",
        ),
        (
            "requests of shop",
            f'sum(count_over_time({parsed} | http_status_code=~"[1-5].." [$step]))',
            "requests",
        ),
    ]
    assert made.kpis[0].denominator == made.kpis[2].query
    assert made.service == "shop"


@pytest.mark.parametrize(
    ("lines", "stream", "errors"),
    [
        (
            ["ts=1 level=info msg=a", 'ts=2 level=error msg="b c" status=x'],
            {},
            '{job="search"} | logfmt | level=~"(?i)(err|',
        ),
        (['{"a": 1}'], {"detected_level": "info"}, '{job="search"} | detected_level=~"(?i)(err|'),
        (["GET /a 200", "panic: b"], {}, r'{job="search"} |~ "(?i)\\b(error|'),
        ([], {}, r'{job="search"} |~ "(?i)\\b(error|'),
        (['{"status": "paid"}', '{"status": "sent"}'], {}, r'{job="search"} |~ "(?i)\\b(error|'),
        (["[1]", '"x"', "9" * 5000], {}, r'{job="search"} |~ "(?i)\\b(error|'),
    ],
)
def test_without_a_status_lines_are_judged_by_level_or_words(
    lines: list[str], stream: dict[str, str], errors: str
) -> None:
    made = proposed(Loki(*lines, label="job", **stream), "search")

    assert [each.name for each in made.kpis] == ["errors of search", "lines of search"]
    assert errors in made.kpis[0].query
    assert made.kpis[0].denominator == 'sum(count_over_time({job="search"} [$step]))'


def test_durations_as_go_writes_them_are_converted() -> None:
    made = proposed(Loki(*(f"level=info method=GET duration={each}" for each in ("1.2ms", "2m3s"))))

    assert "| logfmt | unwrap duration(duration) |" in made.kpis[1].query
    assert made.kpis[1].unit == "s"


def test_a_service_of_an_odd_name_is_quoted() -> None:
    with pytest.raises(CollectError, match="of 'pay' lately; there are those of shop, sea"):
        proposed(Loki(), "pay")
    assert proposed(Loki(), 'o"dd').kpis[-1].query == (
        r'sum(count_over_time({service_name="o\"dd"} [$step]))'
    )


@pytest.mark.parametrize(
    "answers",
    [
        [answer(200, '{"status": "success"}')],
        [answer(200, data(["filename"]))],
        [answer(200, data(["job"])), answer(200, data({"resultType": "vector", "result": []}))],
    ],
)
def test_where_nothing_is_found_it_is_the_template(
    answers: list[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with Loopback(answers) as server:
        assert run(["init", "--source", f"loki={server.origin}"]) == 0
    said = capsys.readouterr().out
    assert "found no log lines with a label service_name, service, app, " in said
    assert "using the template: replace its source and queries (docs/collectors.md, loki)" in said
    assert "checkout errors" in Path("checklist.yaml").read_text(encoding="utf-8")


def test_init_signs_in_as_the_environment_says_and_writes_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"LOKI_USERNAME": "u", "LOKI_PASSWORD": "p4ssw0rd-1", "LOKI_ORG_ID": "t3n4nt-1"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    headers = []

    def reply(request: Request) -> tuple[int, str]:
        headers.append(request.headers)
        return Loki('{"level": "info"}').reply(request)

    with Loopback.by(reply) as server:
        assert run(["init", "--source", f"loki={server.origin}"]) == 0
        assert run(["init", "b", "--source", f"loki={server.origin}", "--service", "pay"]) == 4
        assert run(["init", "b", "--source", f"loki=http://u:pw9@{server.origin[7:]}"]) == 2
    said = capsys.readouterr()
    text = Path("checklist.yaml").read_text(encoding="utf-8")
    assert {each["x-scope-orgid"] for each in headers} == {"t3n4nt-1"}
    assert {each["authorization"][:6] for each in headers} == {"Basic "}
    assert not any(secret in text + said.out + said.err for secret in ("p4ssw0rd-1", "t3n4nt-1"))
    assert 'headers: {"X-Scope-OrgID": "${LOKI_ORG_ID}"}' in text
    assert "# Other services, by traffic: search" in text
    assert "holds a user; set LOKI_USERNAME and LOKI_PASSWORD in its place" in said.err
    made = load("checklist.yaml", environ=environ)
    assert made.sources["prod"].settings["headers"] == {"X-Scope-OrgID": "t3n4nt-1"}


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, "[]", "answered something else than it is asked"),
        (200, '{"status": "success", "data": 5}', "answered something else than it is asked"),
        (200, '{"status": "error", "error": "no"}', "Loki says: no"),
        (401, "no org id", "are bearer_token, username and password"),
        (200, "<html>", "that are no JSON"),
    ],
)
def test_what_loki_refuses_says_what_to_change(
    status: int,
    body: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    begin_where_it_is_refused("loki", answer(status, body))
    assert said in capsys.readouterr().err
