"""What others tell the service: releases and acknowledgements."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from anomaly.history.records import State
from anomaly.history.store import Store
from anomaly.model import ReleaseVerdict
from anomaly.serve.app import Service
from tests.support.service import NOW, Ask, looked

pytestmark = pytest.mark.slow

STARTED: dict[str, Any] = {
    "event": "started",
    "service": "shop",
    "version": "2.0",
    "at": "2025-11-04T11:30:00+01:00",
}


def test_a_release_is_kept_once_however_often_it_is_told(asked: Ask, store: Store) -> None:
    first, again = (asked("POST", "/releases", STARTED) for _ in range(2))
    assert (first.status, again.status) == (201, 200)
    assert (first.json["new"], again.json["new"]) == (True, False)
    assert first.json["id"] == again.json["id"] == store.releases()[0].id
    assert first.json["started_at"] == "2025-11-04T10:30:00Z"
    assert first.json["environment"] == "production"
    assert len(store.releases()) == 1


def test_stages_the_end_and_an_abort_follow(asked: Ask, store: Store) -> None:
    asked("POST", "/releases", STARTED)
    stage = STARTED | {"event": "stage", "share": 0.05, "at": "2025-11-04T10:40:00Z"}
    assert asked("POST", "/releases", stage).json["stages"] == [["2025-11-04T10:40:00Z", 0.05]]
    assert asked("POST", "/releases", stage | {"at": None}).status == 200  # told again, later
    end = STARTED | {"event": "finished", "at": "2025-11-04T11:00:00Z"}
    assert asked("POST", "/releases", end).json["finished_at"] == "2025-11-04T11:00:00Z"
    assert asked("POST", "/releases", STARTED | {"event": "aborted"}).json["state"] == "aborted"
    assert [each.state for each in store.releases()] == [State.ABORTED]


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"event": "begun"}, 422, "body.event must be started, stage, finished or aborted"),
        ({"version": ""}, 422, "body.version"),
        ({"version": "a\0b"}, 422, "must be text"),
        ({"version": "x" * 201}, 422, "body.version"),
        ({"at": "2025-11-04T11:30:00"}, 422, "body.at has no time zone; write it like 2025-06-"),
        ({"at": "2025-11-05T11:30:00Z"}, 422, "in the future"),
        ({"at": "0001-01-01T00:00:00+14:00"}, 422, ""),
        ({"share": 0.5}, 422, "a stage has a share"),
        ({"event": "stage"}, 422, "a stage has a share"),
        ({"event": "stage", "share": 1.5}, 422, "body.share"),
        ({"verdict": "pass"}, 422, "body.verdict is an unknown key"),
        ({"service": "nobody"}, 404, "served: shop"),
        ({"environment": "staging"}, 404, "served: production"),
        ({"event": "aborted"}, 422, "nothing to abort"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_kept(
    change: dict[str, Any], status: int, words: str, asked: Ask, store: Store
) -> None:
    answer = asked("POST", "/releases", STARTED | change)
    assert answer.status == status, answer.body
    assert words in answer.json["error"]
    assert store.releases() == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 5000, b'{"event": "\\ud800"}'])
def test_a_body_that_is_no_event_is_refused(body: bytes, asked: Ask) -> None:
    assert asked("POST", "/releases", body, content_type="application/json").status in (400, 422)


def test_a_form_that_a_page_elsewhere_could_send_is_refused(asked: Ask, store: Store) -> None:
    """A browser sends these across origins without asking; JSON it does not."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        body = json.dumps(STARTED).encode()
        answer = asked("POST", "/releases", body, content_type=kind)
        assert answer.status == 422
        assert "is Content-Type: application/json sent?" in answer.json["error"]
    assert store.releases() == []


def test_a_clock_that_is_a_little_ahead_is_forgiven(asked: Ask, store: Store) -> None:
    ahead = STARTED | {"at": (NOW + timedelta(minutes=2)).isoformat()}
    assert asked("POST", "/releases", ahead).status == 201
    assert store.releases()[0].release.started_at == NOW


def test_feedback_is_kept_for_a_release_and_for_a_finding(asked: Ask, store: Store) -> None:
    record = looked(store, ReleaseVerdict.FAIL)
    finding = store.findings(record.id)[0]
    of_release = asked("POST", "/ack", {"id": record.id, "note": "rolled back"})
    of_finding = asked("POST", "/ack", {"id": finding.id[:12], "incident": False})
    assert (of_release.status, of_finding.status) == (200, 200)
    assert {each.target: (each.incident, each.note) for each in store.acks(record.id)} == {
        record.id: (True, "rolled back"),
        finding.id: (False, ""),
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"id": "abcd"}, 404),
        ({"id": "abc"}, 422),
        ({"id": "zzzz"}, 422),
        ({"id": "abcd", "note": "x" * 1001}, 422),
        ({"id": "abcd", "note": "\0"}, 422),
        ({}, 422),
    ],
)
def test_odd_feedback_is_refused(body: dict[str, str], status: int, asked: Ask) -> None:
    assert asked("POST", "/ack", body).status == status


def test_a_look_is_not_acknowledged(asked: Ask, store: Store) -> None:
    record = looked(store, ReleaseVerdict.FAIL)
    answer = asked("POST", "/ack", {"id": store.looks(record.id)[0].id})
    assert answer.status == 422
    assert record.id[:8] in answer.json["error"]


def test_a_history_that_can_t_be_used_is_an_answer_without_its_place(
    asked: Ask, service: Service, store: Store
) -> None:
    with store._transaction() as connection:
        connection.exec_driver_sql("DROP TABLE findings")
        connection.exec_driver_sql("DROP TABLE looks")
    for answer in (asked("POST", "/releases", STARTED), asked("GET", "/gate?service=shop")):
        assert answer.status == 503
        assert store.where not in answer.body.decode()
