"""Releases from the events of Unleash, in the form in which Unleash 7.5.1 answered."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from anomaly.errors import CollectError, UsageError
from anomaly.model import Window
from anomaly.releases.unleash import UnleashReleases
from tests.support.flags import Entry, event, queried, unleash
from tests.support.loopback import Loopback, answer
from tests.support.refusals import check_bad_answer

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

START = datetime(2025, 6, 3, 10, tzinfo=UTC)
DAY = Window(START - timedelta(hours=12), START + timedelta(hours=12))
TOKEN = "user:0123456789"
ENABLED, DISABLED = "feature-environment-enabled", "feature-environment-disabled"
ADDED, UPDATED = "feature-strategy-add", "feature-strategy-update"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def at(hour: int) -> str:
    return f"2025-06-03T{hour:02}:00:00.000Z"


def source(url: str, **more: Any) -> UnleashReleases:
    settings = {"url": url, "project": "shop", "environment": "production", "token": TOKEN}
    return UnleashReleases(**settings | more)


@contextmanager
def serving(*events: Entry, enabled: Sequence[str] = ()) -> Iterator[Loopback]:
    with Loopback.by(lambda request: unleash(request, events, enabled)) as server:
        yield server


def told(*events: Entry, enabled: Sequence[str] = (), **more: Any) -> list[tuple[Any, ...]]:
    """The releases by version, with the hour and share of each stage, else the hour; and the hour
    at which one was aborted."""
    with serving(*events, enabled=enabled) as server:
        found = source(server.origin, **more).discover(DAY)
    return [
        (
            each.version,
            [(when.hour, share) for when, share in each.stages] or each.started_at.hour,
            *([each.aborted_at.hour] if each.aborted_at else []),
        )
        for each in found
    ]


def test_a_flag_is_a_release_from_when_it_is_enabled_with_the_share_of_its_strategy() -> None:
    events = (
        event(7, at(8), ADDED, rollout="5"),
        event(8, at(10), ENABLED),
        event(9, at(11), UPDATED, rollout="25"),
        event(10, at(12), UPDATED, rollout="50"),
        event(11, at(13), DISABLED),
    )
    assert told(*events) == [
        ("new-checkout", [(10, 0.05), (11, 0.25), (12, 0.5)], 13),
    ]


def test_what_happened_at_one_moment_happened_in_the_order_of_its_numbers() -> None:
    written_and_enabled = (event(1, at(8), ADDED, rollout="5"), event(2, at(8), ENABLED))
    assert told(*written_and_enabled) == [("new-checkout", [(8, 0.05)])]
    disabled_and_enabled = (event(3, at(8), DISABLED), event(4, at(8), ENABLED))
    assert told(*disabled_and_enabled) == [("new-checkout", 8)]


def test_the_share_is_unknown_where_the_strategy_was_there_before() -> None:
    assert told(event(1, at(10), ENABLED)) == [("new-checkout", 10)]


def test_a_strategy_of_a_flag_that_is_not_enabled_is_no_release() -> None:
    before_it_is_enabled = (event(1, at(8), ADDED, rollout="100"),)
    assert told(*before_it_is_enabled) == []
    after_it_was_disabled = (event(1, at(8), DISABLED), event(2, at(9), ADDED, rollout="100"))
    assert told(*after_it_was_disabled) == []


def test_a_strategy_of_a_flag_that_is_enabled_is_a_stage() -> None:
    stage = event(1, at(8), UPDATED, rollout="25")
    assert told(stage, enabled=["new-checkout"]) == [("new-checkout", [(8, 0.25)])]
    assert told(stage, event(2, at(9), DISABLED)) == [
        ("new-checkout", [(8, 0.25)], 9),
    ]


def test_a_rollout_to_nobody_aborts_the_release_and_begins_none() -> None:
    enabled = event(1, at(8), ENABLED)
    assert told(enabled, event(2, at(9), UPDATED, rollout="0")) == [
        ("new-checkout", 8, 9),
    ]
    nobody = (event(1, at(8), ADDED, rollout="0"), event(2, at(9), ENABLED))
    assert told(*nobody, event(3, at(10), DISABLED)) == []
    assert told(*nobody, event(3, at(10), UPDATED, rollout="10")) == [("new-checkout", [(10, 0.1)])]


def test_only_what_is_asked_for_counts() -> None:
    events = (
        event(1, at(8), ENABLED, "basket-new"),
        event(2, at(9), ENABLED, environment="development"),
        event(3, at(10), ENABLED) | {"project": "other"},
        event(4, at(11), ENABLED, "checkout-new"),
        event(5, "2025-06-02T21:00:00.000Z", ENABLED, "checkout-old"),
        event(6, at(23), ENABLED, "checkout-later"),
        event(7, at(12), UPDATED, "checkout-odd") | {"data": {"parameters": {}}},
    )
    assert told(*events, flags="checkout-*") == [("checkout-new", 11)]


def test_the_search_is_asked_as_unleash_writes_it() -> None:
    with serving(event(1, at(8), ENABLED)) as server:
        source(server.origin + "/base/").discover(DAY)
    path, query = queried(server.requests[0])
    assert path == "/base/api/admin/search/events"
    assert query["project"] == "IS:shop"
    assert query["environment"] == "IS:production"
    assert query["from"] == "IS:2025-06-01"
    assert server.requests[0].headers["authorization"] == TOKEN
    assert len(server.requests) == 1


def test_an_event_that_moves_to_the_next_page_meanwhile_counts_once() -> None:
    events = [event(n, at(10), ENABLED, f"flag-{n:03}") for n in range(450)]
    with Loopback.by(
        lambda request: unleash(
            request, [*events, *[event(999, at(11), ENABLED)] * len(server.requests)]
        )
    ) as server:
        found = source(server.origin, flags="flag-*").discover(DAY)
    assert sorted(each.version for each in found) == [f"flag-{n:03}" for n in range(450)]


@pytest.mark.slow
def test_events_without_end_are_refused() -> None:
    body = json.dumps({"events": [event(1, at(8), ENABLED)] * 200})
    with (
        Loopback([answer(200, body)]) as server,
        pytest.raises(CollectError, match="lists more than 5,000 events of the project"),
    ):
        source(server.origin).discover(DAY)


def events_of(*entries: object) -> str:
    return json.dumps({"events": entries, "total": len(entries)})


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, "<html>", "is url the address of its API"),
        (200, "[]", "is url the address of its API"),
        (200, events_of(1), "is url the address of its API"),
        (200, events_of({"id": 1}), "type is None; it must be text"),
        (200, events_of(event(1, "soon", ENABLED)), "createdAt is 'soon'; not a time"),
        (200, events_of(event(1, "2025-06-03T10:00", ENABLED)), "has no time zone"),
        (200, events_of(event(1, at(8), ENABLED, "")), "featureName is ''"),
        (200, events_of({"id": [], "type": {}}), "type is {}"),
        (401, TOKEN, "the token is wrong or has expired"),
        (403, "", "may not see the project"),
        (404, "", "Unleash 6.2 or newer"),
        (502, "", "answered 502"),
    ],
)
def test_a_bad_answer_is_refused_and_shows_no_token(status: int, body: str, error: str) -> None:
    check_bad_answer(source, DAY, TOKEN, status, body, error)


@pytest.mark.parametrize("rollout", ["many", "nan", "-5", "101", "1e999", "[]"])
def test_a_rollout_that_is_no_share_says_nothing(rollout: str) -> None:
    assert told(event(1, at(8), UPDATED, rollout=rollout), enabled=["new-checkout"]) == []


@pytest.mark.parametrize("body", ["[]", '{"features": 3}', '{"features": [{"name": 3}]}'])
def test_flags_of_another_form_are_not_enabled(body: str) -> None:
    events = answer(200, events_of(event(1, at(8), UPDATED, rollout="25")))
    with Loopback([events, answer(200, body)]) as server:
        assert source(server.origin).discover(DAY) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"project": ""}, "project is empty"),
        ({"environment": "a,b"}, "environment is empty, or has a comma"),
        ({"flags": " "}, "flags is empty"),
        ({"token": ""}, "token is empty"),
        ({"url": "unleash.example.com"}, "url starts with no scheme"),
        ({"url": "https://u:p@unleash.example.com"}, "url holds a user"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        source(settings.pop("url", "https://example.com"), **settings)
