"""Slack, PagerDuty and Alertmanager: what is sent, when, and what an answer means."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer

from anomaly.contracts import Action, Message, NotifyReason, Sink
from anomaly.errors import RetryableSinkError, SinkError, UsageError
from anomaly.reporting.notice import notice
from anomaly.sinks.alertmanager import LONGEST_VALUE, AlertmanagerSink
from anomaly.sinks.pagerduty import LONGEST_SUMMARY, PagerdutySink
from anomaly.sinks.slack import LONGEST_HEADER, LONGEST_TEXT, SlackSink, blocks
from anomaly.sinks.teams import LONGEST_TEXT as LONGEST_IN_TEAMS
from anomaly.sinks.teams import TeamsSink, card
from anomaly.wording import CUT_MARK
from tests.sinks.messages import KEY, MESSAGES
from tests.support import reports
from tests.support.goldens import assert_golden
from tests.support.loopback import Loopback, answer
from tests.support.servers import Server

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

SECRET = "R0UT1NGKEY42"
NOW = datetime(2025, 11, 4, 16, 45, tzinfo=UTC)
SINKS: dict[str, Callable[[str], Sink]] = {
    "teams": lambda origin: TeamsSink(url=f"{origin}/workflows/{SECRET}"),
    "slack": lambda origin: SlackSink(url=f"{origin}/services/{SECRET}"),
    "pagerduty": lambda origin: PagerdutySink(routing_key=SECRET, url=f"{origin}/v2/enqueue"),
    "alertmanager": lambda origin: AlertmanagerSink(
        url=f"{origin}/am",
        labels={"severity": "page"},
        headers={"Authorization": f"Bearer {SECRET}"},
        clock=NOW.timestamp,
    ),
}


def sent(name: str, message: Message, status: int = 200, body: str = "ok") -> list[tuple[str, Any]]:
    """The request lines and bodies of one message."""
    with Loopback([answer(status, body)]) as server:
        SINKS[name](server.origin).send(message)
        return [(request.line, json.loads(request.body)) for request in server.requests]


@pytest.mark.parametrize("name", SINKS)
def test_golden_payloads(name: str) -> None:
    told = {
        kind: [{"request": line, "body": body} for line, body in sent(name, message)]
        for kind, message in MESSAGES.items()
    }
    assert_golden(f"sinks/{name}.json", json.dumps(told, indent=2, ensure_ascii=False) + "\n")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pagerduty", ("trigger", "resolve")),
        ("alertmanager", ("firing", "resolved")),
    ],
)
def test_a_pager_is_paged_and_released_and_left_alone(name: str, words: tuple[str, str]) -> None:
    on, off = words
    trial = [on, off] if name == "pagerduty" else [on]  # which ends by itself

    def act(body: Any) -> str:
        if name == "pagerduty":
            return str(body["event_action"])
        return "firing" if datetime.fromisoformat(body[0]["endsAt"]) > NOW else "resolved"

    assert {
        kind: [act(body) for _, body in sent(name, message)] for kind, message in MESSAGES.items()
    } == {
        "fire": [on],
        "escalated": [on],
        "resolve": [off],
        "passed": [off],
        "undecided": [],
        "early": [],
        "trial": trial,
    }


@pytest.mark.parametrize("name", ["pagerduty", "alertmanager"])
def test_a_resolve_is_about_what_was_fired_whatever_changed_meanwhile(name: str) -> None:
    def identity(kind: str) -> Any:
        (_, body), *_ = sent(name, MESSAGES[kind])
        return body["dedup_key"] if name == "pagerduty" else body[0]["labels"]

    assert identity("fire") == identity("escalated") == identity("resolve") == identity("passed")
    assert identity("trial") != identity("fire")


@pytest.mark.slow
@pytest.mark.parametrize("name", SINKS)
@pytest.mark.parametrize("status", [400, 403, 404, 413, 429, 500, 503])
def test_the_status_says_whether_it_is_tried_again_and_no_secret_is_said(
    name: str, status: int
) -> None:
    with pytest.raises(SinkError) as raised:
        sent(name, MESSAGES["fire"], status, f"bad {SECRET}")
    assert isinstance(raised.value, RetryableSinkError) == (status in (429, 500, 503))
    assert SECRET not in str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", [*reports.HOSTILE, "x" * 10_000, "<!channel> @here <https://evil|click> & *bold*"]
)
def test_hostile_text_stays_text_and_within_the_limits(text: str) -> None:
    message = Message(KEY, reports.hostile(text), Action.FIRE, why=NotifyReason.FIRST)

    told = blocks(message)
    texts = [block["text"] for block in told["blocks"] if "text" in block] + [
        each for block in told["blocks"] for each in block.get("elements", [])
    ]
    assert {each["type"] for each in texts} == {"plain_text"}
    assert "<" not in told["text"]
    assert len(told["blocks"][0]["text"]["text"]) <= LONGEST_HEADER
    assert all(len(each["text"]) <= LONGEST_TEXT for each in texts)
    ((_, event),) = sent("pagerduty", message)
    assert len(event["payload"]["summary"]) <= LONGEST_SUMMARY
    assert len(json.dumps(event)) < 20_000  # PagerDuty takes 512 KB
    ((_, (alert,)),) = sent("alertmanager", message)
    assert alert["labels"]["alertname"] == "ReleaseRegression"
    assert all(
        0 < len(value) <= LONGEST_VALUE and value.isprintable()
        for value in alert["labels"].values()
    )


@pytest.mark.parametrize("kind", MESSAGES)
def test_only_what_is_known_to_be_fine_gets_the_mark_of_it(kind: str) -> None:
    header = blocks(MESSAGES[kind])["blocks"][0]["text"]["text"]
    assert (":white_check_mark:" in header) == (kind in ("resolve", "passed"))


@pytest.mark.slow
@given(text=st.text(max_size=400))
@settings(max_examples=50)
def test_the_text_of_a_notification_is_escaped_for_slack(text: str) -> None:
    message = Message(KEY, reports.hostile(text), Action.FIRE)
    escaped = blocks(message)["text"]
    assert not {"<", ">"} & set(escaped)
    shown = html.unescape(escaped)
    assert len(shown) <= LONGEST_HEADER
    assert notice(message).title.startswith(shown.removesuffix(CUT_MARK))


@pytest.mark.slow
@given(text=st.text(max_size=400))
@settings(max_examples=50)
def test_a_card_for_teams_has_no_text_that_could_be_markup_and_is_small(text: str) -> None:
    made = card(Message(KEY, reports.hostile(text), Action.FIRE, link="https://ci.example/r"))
    content = made["attachments"][0]["content"]
    assert {each["type"] for each in content["body"]} == {"RichTextBlock"}
    runs = [run for each in content["body"] for run in each["inlines"]]
    assert all(run["type"] == "TextRun" and len(run["text"]) <= LONGEST_IN_TEAMS for run in runs)
    assert len(runs) * LONGEST_IN_TEAMS * 4 < 28 * 1024  # as long as Teams takes, in UTF-8
    assert "entities" not in content["msteams"]  # no mentions


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: AlertmanagerSink(url="http://h", labels={"a-b": "c"}),
            "'a-b' is not a label name",
        ),
        (
            lambda: AlertmanagerSink(url="http://h", labels={"service": "c"}),
            "'service' is set by the sink itself",
        ),
        (lambda: AlertmanagerSink(url="http://h", labels={"team": ""}), "'team' is empty"),
        (lambda: AlertmanagerSink(url="http://h", lasts=timedelta(0)), "lasts is 0:00:00"),
        (lambda: AlertmanagerSink(url="http://h?a=b"), "url has a query or a fragment"),
        (lambda: AlertmanagerSink(url="ftp://h"), "use http or https"),
        (lambda: PagerdutySink(routing_key=" "), "routing_key is empty"),
        (lambda: SlackSink(url="hooks.slack.com/x"), "use http or https"),
    ],
)
def test_settings_that_cannot_work_are_refused(make: Callable[[], Sink], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def until(ready: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < give_up, "did not happen within 30 s"
        time.sleep(0.05)


def test_a_real_alertmanager_fires_once_and_resolves_once(
    start_alertmanager: Callable[[str], Server], httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook", method="POST").respond_with_data("")
    server = start_alertmanager(httpserver.url_for("/hook"))
    sink = AlertmanagerSink(url=server.url, labels={"severity": "page"})

    def active() -> list[Any]:
        found: list[Any] = requests.get(f"{server.url}/api/v2/alerts", timeout=5).json()
        return found

    def posted() -> list[str]:
        return [json.loads(request.get_data())["status"] for request, _ in httpserver.log]

    sink.send(MESSAGES["fire"])
    sink.send(MESSAGES["fire"])
    until(lambda: posted() == ["firing"])
    (alert,) = active()
    assert alert["labels"] == {
        "alertname": "ReleaseRegression",
        "service": "shop",
        "environment": "production",
        "version": "1.4.2",
        "release": KEY[:8],
        "severity": "page",
    }
    sink.send(MESSAGES["escalated"])
    sink.send(MESSAGES["resolve"])
    until(lambda: "resolved" in posted())
    sink.send(MESSAGES["passed"])
    until(lambda: active() == [])
    assert posted() == ["firing", "resolved"]

    sink.send(MESSAGES["trial"])
    until(lambda: len(posted()) == 3)
    told = json.loads(httpserver.log[-1][0].get_data())
    assert [
        alert["labels"]["trial"] for alert in told["alerts"] if alert["status"] == "firing"
    ] == ["true"]
