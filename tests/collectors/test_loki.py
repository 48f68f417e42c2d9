"""Loki's range queries, by its documentation: what is asked, and how answers are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from anomaly.collectors.loki import LokiCollector
from anomaly.contracts import Collected
from anomaly.errors import UsageError
from anomaly.model import Kpi, Window
from anomaly.panel import VALUE
from tests.support.loopback import Loopback, answer

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

START, STEP = datetime(2025, 6, 3, 6, tzinfo=UTC), timedelta(minutes=5)
WINDOW = Window(START, START + 3 * STEP)
ERRORS = Kpi("errors", "prod", 'sum by (app) (count_over_time({a="b"}[$step]))', by=("app",))


def matrix(*values: tuple[int, str], kind: str = "matrix") -> str:
    """An answer as Loki writes it; the values by the ends of their steps."""
    points = [[START.timestamp() + 300 * row, value] for row, value in values]
    result = [{"metric": {"app": "shop"}, "values": points}]
    data = {"resultType": kind, "result": result, "stats": {"summary": {}}}
    return json.dumps({"status": "success", "data": data})


def collected(server: Loopback, **settings: object) -> Collected:
    source = LokiCollector(url=f"{server.origin}/logs/", sleep=lambda _: None, **settings)  # type: ignore[arg-type]
    return source.collect([ERRORS], WINDOW, STEP)


def test_a_row_holds_the_lines_of_its_step() -> None:
    with Loopback([answer(200, matrix((1, "4"), (3, "6")))]) as server:
        about = collected(server, bearer_token="t0ken", headers={"X-Scope-OrgID": "shop"})
        (request,) = server.requests
    assert about.errors == {}
    np.testing.assert_array_equal(about.panel["errors", "app=shop", VALUE], [4, np.nan, 6])
    target = urlsplit(request.line.split()[1])
    assert target.path == "/logs/loki/api/v1/query_range"
    begin = int(START.timestamp())
    assert parse_qs(target.query) == {
        "query": [ERRORS.query.replace("$step", "300s")],
        "start": [str(begin + 300)],
        "end": [str(begin + 900)],
        "step": ["300"],
    }
    assert request.headers["authorization"] == "Bearer t0ken"
    assert request.headers["x-scope-orgid"] == "shop"


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (200, matrix(kind="streams"), "it returns streams, no numbers; write a metric query"),
        (200, '{"status": "error", "error": "too many"}', "Loki says: too many"),
        (400, "parse error at line 1, col 5", "parse error at line 1, col 5"),
        (401, "no org id", "X-Scope-OrgID among headers right"),
    ],
)
def test_an_answer_that_can_not_be_used_says_why(status: int, text: str, said: str) -> None:
    with Loopback([answer(status, text)]) as server:
        assert said in str(collected(server).errors["errors"])


def test_a_refusal_repeats_no_secret() -> None:
    with Loopback([answer(200, '{"status": "error", "error": "who is t0ken-s3cret?"}')]) as server:
        error = str(collected(server, bearer_token="t0ken-s3cret").errors["errors"])
    assert error == "bad query: Loki says: who is ***?"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "http://u:p@127.0.0.1"}, "url holds a user"),
        ({"bearer_token": "a", "username": "b"}, "bearer_token and username are given"),
        ({"password": "a"}, "password is given without username"),
        ({"bearer_token": "a", "headers": {"authorization": "b"}}, "authorization is set"),
    ],
)
def test_settings_that_do_not_belong_together_are_refused(
    settings: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        LokiCollector(**{"url": "http://127.0.0.1:1", **settings})  # type: ignore[arg-type]
