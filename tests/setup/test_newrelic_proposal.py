"""Checklists from the transactions of New Relic, by the documentation of NerdGraph."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from anomaly.checklist.checklist import load
from anomaly.cli.ending import run
from anomaly.collectors.newrelic import NewRelicCollector
from anomaly.setup import newrelic_proposal
from tests.support.loopback import Loopback, answer

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

NOW = datetime(2025, 6, 3, 12, tzinfo=UTC)
KEY = "NRAK-0123456789"
TRAFFIC = {"shop": 90, "search": 9, "It's (Production)": 900}


def body(traffic: Mapping[str, int]) -> str:
    rows = [{"appName": name, "count": count, "facet": name} for name, count in traffic.items()]
    nrql = {"results": rows, "metadata": {"facets": ["appName"]}}
    return json.dumps({"data": {"actor": {"account": {"nrql": nrql}}}})


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEW_RELIC_API_KEY", KEY)
    monkeypatch.delenv("NEW_RELIC_URL", raising=False)


def test_the_applications_are_asked_by_one_query() -> None:
    with Loopback([answer(200, body(TRAFFIC))]) as server:
        source = NewRelicCollector(account_id=42, api_key=KEY, url=server.origin)
        found = newrelic_proposal.propose(source, {"type": "newrelic"}, "shop", NOW)
        (request,) = server.requests
    assert found is not None
    assert found.others == ["It's (Production)", "search"]
    end = int(NOW.timestamp())
    assert json.loads(request.body)["variables"]["nrql"] == (
        "SELECT count(*) FROM Transaction FACET appName LIMIT MAX "  # noqa: S608  a number
        f"SINCE {end - 3 * 3600}000 UNTIL {end}000"
    )


def test_the_busiest_application_becomes_errors_latency_and_transactions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Loopback([answer(200, body(TRAFFIC))]) as server:
        monkeypatch.setenv("NEW_RELIC_URL", server.origin)
        assert run(["init", "--source", "newrelic=42"]) == 0
    said = capsys.readouterr()
    text = Path("checklist.yaml").read_text(encoding="utf-8")
    assert KEY not in text + said.out + said.err
    assert 'account_id: 42, api_key: "${NEW_RELIC_API_KEY}", url: "${NEW_RELIC_URL}"' in text
    environ = {"NEW_RELIC_API_KEY": KEY, "NEW_RELIC_URL": "https://api.eu.newrelic.com"}
    made = load("checklist.yaml", environ=environ)
    every = "FROM Transaction WHERE appName = 'It\\'s (Production)'"
    name = "It's (Production)"
    assert [(each.name, each.query, each.denominator, each.unit) for each in made.kpis] == [
        (
            f"errors of {name}",
            f"SELECT count(*) {every} AND error IS true",
            f"SELECT count(*) {every}",
            "errors per transaction",
        ),
        (
            f"p95 latency of {name}",
            f"SELECT percentile(duration, 95), count(*) {every}",
            None,
            "s",
        ),
        (f"transactions of {name}", f"SELECT count(*) {every}", None, "transactions"),
    ]


@pytest.mark.parametrize(
    ("answered", "more", "code", "said"),
    [
        (body({}), (), 0, "found no transactions that had data lately; using the template"),
        (
            body(TRAFFIC),
            ("--service", "pay"),
            4,
            "no transactions of 'pay' lately; there are those",
        ),
        ("{}", (), 4, "answered something else than it is asked"),
        (body(TRAFFIC).replace('"count"', '"number"'), (), 4, "something else than it is asked"),
        ('{"errors": [{"message": "no such account"}]}', (), 4, "New Relic says: no such account"),
    ],
)
def test_what_nothing_can_be_proposed_of_is_said(
    answered: str,
    more: tuple[str, ...],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Loopback([answer(200, answered)]) as server:
        monkeypatch.setenv("NEW_RELIC_URL", server.origin)
        assert run(["init", "--source", "newrelic=42", *more]) == code
    shown = capsys.readouterr()
    assert said in shown.out + shown.err
    assert Path("checklist.yaml").exists() == (code == 0)


@pytest.mark.parametrize(
    ("account", "key", "said"),
    [
        ("acme", KEY, "--source newrelic=ACCOUNT is no number; write that of the account"),
        ("-3", KEY, "account_id is -3; write the number of your account"),
        ("42", "", "set NEW_RELIC_API_KEY to sign in to newrelic"),
    ],
)
def test_what_can_not_be_asked_says_what_to_change(
    account: str,
    key: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NEW_RELIC_API_KEY", key)
    assert run(["init", "--source", f"newrelic={account}"]) == 2
    assert said in capsys.readouterr().err
