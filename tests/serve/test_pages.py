"""The pages, as the service shows them. `tests/reporting/pages` opens them in a browser."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from anomaly.history.records import State
from anomaly.history.store import Store
from anomaly.model import ReleaseVerdict
from tests.support.service import NOW, Ask, looked


@pytest.mark.slow
def test_the_history_asks_for_itself_again_when_the_next_look_is_done(
    asked: Ask, store: Store
) -> None:
    record = looked(store, ReleaseVerdict.INCONCLUSIVE, final=False)
    answer = asked("GET", "/")
    text = answer.body.decode()
    assert f'href="/releases/{record.id}"' in text
    assert "Judges shop in production; 1 under watch; the next look is at" in text
    assert 'datetime="2025-11-04T14:00:00Z"' in text
    assert answer.headers["refresh"] == "300"  # at the latest after five minutes
    still = asked("GET", "/?live=false")
    assert "refresh" not in still.headers
    assert 'href="/"' in still.body.decode()


@pytest.mark.slow
def test_the_page_of_a_release_follows_its_watch(asked: Ask, store: Store) -> None:
    record = looked(store, ReleaseVerdict.FAIL, final=False)
    live = asked("GET", f"/releases/{record.id[:8]}")
    assert live.status == 200
    assert live.headers["content-type"].startswith("text/html")
    assert "Look 1; the next look is at" in live.body.decode()
    assert "refresh" in live.headers
    store.change(record.id, state=State.DONE)
    over = asked("GET", f"/releases/{record.id}")
    assert "Look 1; the watch is over" in over.body.decode()
    assert "refresh" not in over.headers


def test_a_release_without_a_look_has_a_page_that_waits(asked: Ask, store: Store) -> None:
    release = replace(looked(store, ReleaseVerdict.PASS).release, version="2.1")
    release = replace(release, started_at=NOW - timedelta(minutes=1), finished_at=None)
    record = store.track(release, origin="test")
    answer = asked("GET", f"/releases/{record.id}")
    assert "NOT JUDGED YET" in answer.body.decode()
    assert "No look yet; the next look is at" in answer.body.decode()
    assert int(answer.headers["refresh"]) >= 10


def test_a_release_that_nobody_here_judges_is_shown_and_not_promised_a_look(
    asked: Ask, store: Store
) -> None:
    release = replace(looked(store, ReleaseVerdict.PASS).release, service="search")
    record = store.track(release, origin="test")
    answer = asked("GET", f"/releases/{record.id}")
    assert "nobody here judges this service" in answer.body.decode()
    assert "refresh" not in answer.headers


def test_names_from_outside_are_text_on_the_pages(asked: Ask, store: Store) -> None:
    told = {"event": "started", "service": "shop", "version": "<script>alert(1)</script>"}
    record = asked("POST", "/releases", told | {"at": NOW.isoformat()}).json
    for path in ("/", f"/releases/{record['id']}"):
        assert "<script>alert" not in asked("GET", path).body.decode()


def test_an_id_that_leads_nowhere_is_not_found(asked: Ask, store: Store) -> None:
    record = looked(store, ReleaseVerdict.FAIL)
    assert asked("GET", "/releases/abcdef").status == 404
    assert asked("GET", f"/releases/{store.looks(record.id)[0].id}").status == 404
    assert asked("GET", "/releases/..%2f..%2fetc").status in (404, 422)
    assert asked("GET", "/releases/zzzz").status == 422


@pytest.mark.slow
def test_the_metrics_say_where_the_newest_release_stands(asked: Ask, store: Store) -> None:
    looked(store, ReleaseVerdict.FAIL)
    asked("GET", "/gate?service=shop")
    text = asked("GET", "/metrics").body.decode()
    where = 'environment="production",service="shop"'
    assert f'anomaly_release_verdict{{{where},verdict="fail",version="2.0"}} 1.0' in text
    assert f'anomaly_release_final{{{where},version="2.0"}} 1.0' in text
    assert 'anomaly_http_requests_total{path="/gate",status="412"} 1.0' in text
    assert 'path="/releases' not in text
