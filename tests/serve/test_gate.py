"""The gate: what each verdict is in the status of HTTP and in the body."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from anomaly.checklist.checklist import Checklist
from anomaly.history.records import State
from anomaly.history.store import Store
from anomaly.model import KpiSeverity, ReleaseVerdict
from anomaly.serve.access import Access
from anomaly.serve.app import Service, application
from anomaly.serve.served import Served
from anomaly.timing.durations import parse_duration
from anomaly.timing.schedule import Schedule
from tests.support import reports
from tests.support.asgi import ask
from tests.support.goldens import assert_golden
from tests.support.places import ROOT
from tests.support.service import NOW, Ask, looked

SHOWN = re.compile(r"(<!-- golden: serve/gate.json -->\n\n```json\n).*?(```\n)", re.DOTALL)
GATE = "/gate?service=shop&environment=production"
STATUSES = {  # by verdict: for ok=pass, for ok=fail
    ReleaseVerdict.PASS: (200, 409),
    ReleaseVerdict.FAIL: (412, 200),
    ReleaseVerdict.HOLD: (423, 423),
    ReleaseVerdict.INCONCLUSIVE: (423, 423),
    ReleaseVerdict.ERROR: (424, 424),
}


@pytest.mark.parametrize("verdict", ReleaseVerdict)
def test_the_status_says_the_verdict_to_those_who_read_nothing_else(
    verdict: ReleaseVerdict, asked: Ask, store: Store
) -> None:
    looked(store, verdict)
    answers = {ok: asked("GET", f"{GATE}&ok={ok}") for ok in ("pass", "fail", "any")}
    assert (answers["pass"].status, answers["fail"].status) == STATUSES[verdict]
    assert answers["any"].status == 200
    assert {each.json["verdict"] for each in answers.values()} == {str(verdict)}


def test_golden_answer_of_the_gate(asked: Ask, store: Store) -> None:
    looked(store, ReleaseVerdict.FAIL, final=False)
    text = json.dumps(asked("GET", GATE).json, indent=2, ensure_ascii=False) + "\n"
    assert_golden("serve/gate.json", text)
    page = ROOT / "docs" / "serve.md"
    shown = page.read_text(encoding="utf-8")
    if os.environ.get("ANOMALY_GOLDEN") == "rewrite":
        shown = SHOWN.sub(lambda match: match[1] + text + match[2], shown)
        page.write_text(shown, encoding="utf-8")
    assert text in shown


def test_a_failure_comes_with_its_reason_and_what_failed(asked: Ask, store: Store) -> None:
    record = looked(store, ReleaseVerdict.FAIL)
    answer = asked("GET", GATE).json
    assert answer["reason"] == store.looks(record.id)[0].headline.partition("  ")[2]
    assert answer["findings"][0]["kpi"] == "checkout errors"
    assert answer["findings"][0]["fails"] is True
    assert sum(answer["counts"].values()) == len(reports.failing().findings)
    assert answer["release"]["version"] == "2.0"
    assert answer["report"] == f"/releases/{record.id}"


def test_the_answer_says_which_failure_fails_the_release_and_which_holds_it(
    asked: Ask, store: Store
) -> None:
    broken = replace(reports.REGRESSED, kpi="broken")
    odd = replace(reports.REGRESSED, kpi="a", severity=KpiSeverity.SIGNAL)
    looked(store, ReleaseVerdict.FAIL, findings=(odd, broken))
    failing = [(each["kpi"], each["severity"]) for each in asked("GET", GATE).json["findings"]]
    assert failing == [("broken", "guardrail"), ("a", "signal")]


def test_while_the_watch_goes_on_the_answer_says_when_to_ask_again(
    asked: Ask, store: Store
) -> None:
    looked(store, ReleaseVerdict.INCONCLUSIVE, final=False)
    answer = asked("GET", GATE)
    assert answer.status == 423
    assert answer.json["next_look_at"] == "2025-11-04T14:00:00Z"  # a step of 30 min ends
    assert answer.json["ask_again_s"] == 26 * 60
    assert answer.headers["retry-after"] == str(26 * 60)


def test_after_the_watch_nobody_is_asked_to_come_again(asked: Ask, store: Store) -> None:
    looked(store, ReleaseVerdict.INCONCLUSIVE)
    answer = asked("GET", GATE)
    assert answer.status == 423
    assert answer.json["ask_again_s"] is None
    assert answer.json["final"] is True
    assert "retry-after" not in answer.headers


def test_a_schedule_says_when_the_next_look_is_due(
    store: Store, checklist: Checklist, service: Service
) -> None:
    hours = parse_duration("5h")
    schedule = Schedule(hours, hours, hours, hours)
    app = application(replace(service, served=Served((replace(checklist, schedule=schedule),))))
    looked(store, ReleaseVerdict.INCONCLUSIVE, final=False)
    answer = ask(app, "GET", GATE).json
    assert answer["next_look_at"] == "2025-11-04T15:30:00Z"  # five hours after the release


def test_missing_evidence_never_opens_the_gate(asked: Ask, store: Store) -> None:
    unknown = asked("GET", f"{GATE}&release=9.9")
    assert unknown.status == 404
    assert unknown.json["verdict"] == "inconclusive"
    body_alone = asked("GET", f"{GATE}&release=9.9&ok=any")
    assert (body_alone.status, body_alone.json["release"]) == (200, None)
    store.track(
        replace(
            looked(store, ReleaseVerdict.PASS).release,
            version="2.1",
            started_at=NOW - timedelta(minutes=1),
            finished_at=None,
        ),
        origin="test",
    )
    assert asked("GET", GATE).status == 423  # the newest, not judged yet
    assert asked("GET", f"{GATE}&release=2.0").status == 200


def test_a_look_of_another_process_is_answered_at_once(
    asked: Ask, store: Store, tmp_path: Path
) -> None:
    record = looked(store, ReleaseVerdict.PASS)
    assert {asked("GET", GATE).status for _ in range(3)} == {200}
    with Store(tmp_path / "history.db") as elsewhere:
        elsewhere.change(record.id, state=State.ABORTED)
    assert asked("GET", GATE).status == 412


def test_an_aborted_release_does_not_pass_whatever_was_seen(asked: Ask, store: Store) -> None:
    record = looked(store, ReleaseVerdict.PASS)
    store.change(record.id, state=State.ABORTED)
    answer = asked("GET", GATE)
    assert answer.status == 412
    assert answer.json["reason"] == "the release was aborted"
    assert answer.json["ask_again_s"] is None


def test_a_service_that_is_not_served_is_named_with_those_that_are(asked: Ask) -> None:
    answer = asked("GET", "/gate?service=shp&ok=any")
    assert answer.status == 404
    assert answer.json["error"] == (
        "service 'shp' is not served here; served: shop (did you mean shop?)"
    )
    elsewhere = asked("GET", "/gate?service=shop&environment=staging&ok=any")
    assert elsewhere.status == 404
    assert "served: production" in elsewhere.json["error"]


def test_the_environment_may_be_left_out_where_there_is_only_one(
    asked: Ask, store: Store, checklist: Checklist, service: Service
) -> None:
    looked(store, ReleaseVerdict.PASS)
    assert asked("GET", "/gate?service=shop").status == 200
    two = (checklist, replace(checklist, environment="staging"))
    app = application(replace(service, served=Served(two), access=Access()))
    answer = ask(app, "GET", "/gate?service=shop")
    assert answer.status == 404
    assert "several environments: production, staging" in answer.json["error"]


def test_the_gate_takes_posts_of_those_who_can_do_nothing_else(asked: Ask, store: Store) -> None:
    looked(store, ReleaseVerdict.FAIL)
    hook = {"name": "shop", "namespace": "web", "phase": "Progressing", "metadata": {}}
    assert asked("POST", f"{GATE}&ok=fail", hook).status == 200
    assert asked("POST", GATE, hook).status == 412


@pytest.mark.parametrize(
    ("asks", "said"),
    [
        ("", "query.service is missing"),
        ("service=shop&ok=maybe", "query.ok must be pass, fail or any"),
    ],
)
def test_what_is_asked_wrong_is_said_in_plain_words(asks: str, said: str, asked: Ask) -> None:
    answer = asked("GET", f"/gate?{asks}")
    assert (answer.status, answer.json["error"]) == (422, said)
