"""Releases from the audit log of LaunchDarkly, as its documentation describes the answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from anomaly.errors import CollectError, UsageError
from anomaly.model import Window
from anomaly.releases.launchdarkly import LaunchDarklyReleases
from tests.support.flags import Entry, audit_log, change, queried, rollout
from tests.support.loopback import Loopback, answer
from tests.support.refusals import check_bad_answer

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

START = datetime(2025, 6, 3, 10, tzinfo=UTC)
DAY = Window(START - timedelta(hours=12), START + timedelta(hours=12))
HOUR = timedelta(hours=1)
TOKEN = "api-0123456789"
OFF = {"on": False, "offVariation": 1, "fallthrough": {"variation": 0}}
WHOLE = OFF | {"on": True}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def source(api: str, **more: Any) -> LaunchDarklyReleases:
    settings = {"project": "shop", "environment": "production", "token": TOKEN, "api": api}
    return LaunchDarklyReleases(**settings | more)


@contextmanager
def launchdarkly(*entries: Entry) -> Iterator[Loopback]:
    with Loopback.by(lambda request: audit_log(request, entries)) as server:
        yield server


def test_a_flag_is_a_release_and_more_users_are_a_stage() -> None:
    entries = (
        change(1, START, "new-checkout", rollout(5)),
        change(2, START + HOUR, "new-checkout", rollout(25), action="updateFallthrough"),
        change(3, START + 2 * HOUR, "new-checkout", WHOLE, action="updateFallthrough"),
    )
    with launchdarkly(*entries) as server:
        (release,) = source(server.origin).discover(DAY)

    assert (release.version, release.started_at) == ("new-checkout", START)
    assert release.stages == (
        (START, 0.05),
        (START + HOUR, 0.25),
        (START + 2 * HOUR, 1.0),
    )
    assert {each.headers["authorization"] for each in server.requests} == {TOKEN}
    path, query = queried(server.requests[0])
    assert (path, query["spec"]) == ("/auditlog", "proj/shop:env/production:flag/*")


def test_a_flag_that_is_switched_off_is_aborted_and_begins_anew_when_it_is_on_again() -> None:
    entries = (
        change(1, START, "new-checkout", WHOLE),
        change(2, START + HOUR, "new-checkout", OFF),
        change(3, START + 2 * HOUR, "new-checkout", WHOLE),
    )
    with launchdarkly(*entries) as server:
        releases = source(server.origin).discover(DAY)

    assert [(each.version, each.started_at, each.aborted_at) for each in releases] == [
        ("new-checkout", START, START + HOUR),
        ("new-checkout", START + 2 * HOUR, None),
    ]


def test_a_flag_that_is_switched_off_leaves_the_others_alone() -> None:
    entries = (
        change(1, START, "new-checkout", rollout(5)),
        change(2, START + HOUR, "new-basket", WHOLE),
        change(3, START + 2 * HOUR, "new-checkout", OFF),
        change(4, START + 2 * HOUR, "old-basket", OFF),
    )
    with launchdarkly(*entries) as server:
        checkout, basket = source(server.origin).discover(DAY)
    assert (checkout.version, checkout.aborted_at) == ("new-checkout", START + 2 * HOUR)
    assert (basket.version, basket.aborted_at) == ("new-basket", None)


def test_a_stage_after_another_flag_begins_a_release_anew() -> None:
    entries = (
        change(1, START, "new-checkout", rollout(5)),
        change(2, START + HOUR, "new-basket", WHOLE),
        change(3, START + 2 * HOUR, "new-checkout", rollout(25), action="updateFallthrough"),
        change(4, START + 3 * HOUR, "new-checkout", OFF),
    )
    with launchdarkly(*entries) as server:
        releases = source(server.origin).discover(DAY)
    assert [(each.version, each.aborted_at is not None) for each in releases] == [
        ("new-checkout", False),
        ("new-basket", False),
        ("new-checkout", True),
    ]
    assert releases[2].stages == ((START + 2 * HOUR, 0.25),)


def test_fewer_users_and_the_same_share_again_are_no_stage() -> None:
    shares = (25, 10, 25, 50)
    entries = [
        change(n, START + n * HOUR, "new-checkout", rollout(share), action="updateFallthrough")
        for n, share in enumerate(shares)
    ]
    with launchdarkly(*entries) as server:
        (release,) = source(server.origin).discover(DAY)
    assert [share for _, share in release.stages] == [0.25, 0.5]


def test_two_changes_at_one_moment_are_one_stage() -> None:
    entries = (
        change(1, START, "new-checkout", rollout(5)),
        change(2, START, "new-checkout", rollout(25), action="updateFallthrough"),
        change(3, START, "new-checkout", OFF),
    )
    with launchdarkly(*entries[:2]) as server:
        (release,) = source(server.origin).discover(DAY)
    assert release.stages == ((START, 0.25),)
    with launchdarkly(*entries) as server:
        (release,) = source(server.origin).discover(DAY)
    assert release.aborted_at == START


def test_only_what_matters_to_users_is_read_whole() -> None:
    entries = (
        change(1, START, "new-checkout", WHOLE, action="updateName"),
        change(2, START, "new-checkout", WHOLE, environment="staging"),
        change(3, START, "new-checkout", OFF, action="updateFallthrough"),
        change(4, START - timedelta(days=2), "new-checkout", WHOLE),
    )
    with launchdarkly(*entries) as server:
        assert source(server.origin).discover(DAY) == []
    assert [queried(each)[0] for each in server.requests] == ["/auditlog", f"/auditlog/{3:024x}"]


def test_of_a_change_in_several_environments_that_of_ours_counts() -> None:
    elsewhere = change(1, START, "new-checkout", OFF, environment="staging")
    here = change(1, START, "new-checkout", WHOLE)
    both = {
        **here,
        "accesses": [*elsewhere["accesses"], *here["accesses"]],
        "currentVersion": {"environments": {"staging": OFF, "production": WHOLE}},
    }
    with launchdarkly(both) as server:
        (release,) = source(server.origin).discover(DAY)
    assert release.stages == ((START, 1.0),)


@pytest.mark.slow
def test_pages_meet_without_gap_even_where_many_changes_share_a_moment() -> None:
    moments = [START + timedelta(seconds=n // 15) for n in range(50)]
    entries = [change(n, at, f"flag-{n}", WHOLE) for n, at in enumerate(moments)]
    with launchdarkly(*entries) as server:
        releases = source(server.origin, flags="flag-*").discover(DAY)
    assert sorted(each.version for each in releases) == sorted(f"flag-{n}" for n in range(50))


def test_a_log_without_end_is_refused() -> None:
    entries = [
        {"_id": f"{n}", "date": round(START.timestamp() * 1000), "accesses": []} for n in range(20)
    ]
    with (
        Loopback([answer(200, json.dumps({"items": entries}))]) as server,
        pytest.raises(CollectError, match="more than 500 changes of flags; name fewer in flags"),
    ):
        source(server.origin).discover(DAY)


def items(*entries: object) -> str:
    return json.dumps({"items": entries})


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, "<html>", "is api the address of its API"),
        (200, "[]", "is api the address of its API"),
        (200, items(1), "is api the address of its API"),
        (200, items({"_id": "x", "date": "soon"}), "date is 'soon'; it must be milliseconds"),
        (200, items({"_id": "x", "date": 1e300}), "it must be milliseconds"),
        (200, '{"items": [{"_id": "x", "date": NaN}]}', "it must be milliseconds"),
        (200, items({"date": 1}), "_id is None"),
        (401, TOKEN, "not an SDK key"),
        (403, "", "may read the project"),
        (404, "", "is api the address of its API"),
        (502, "", "answered 502"),
        (429, "", "answered 429"),
    ],
)
def test_a_bad_answer_is_refused_and_shows_no_token(status: int, body: str, error: str) -> None:
    check_bad_answer(source, DAY, TOKEN, status, body, error)


@pytest.mark.parametrize(
    "accesses", [None, 5, "x", {}, [None], [{"action": "updateOn", "resource": 3}]]
)
def test_an_entry_about_something_else_is_left_out(accesses: object) -> None:
    entry = {"_id": "x", "date": round(START.timestamp() * 1000), "accesses": accesses}
    with Loopback([answer(200, items(entry))]) as server:
        assert source(server.origin).discover(DAY) == []


@pytest.mark.parametrize("whole", [[], {}, {"currentVersion": {"environments": 3}}, "x"])
def test_an_entry_that_does_not_say_what_became_of_the_flag_is_refused(whole: object) -> None:
    entry = change(1, START, "new-checkout", WHOLE)
    replies: Sequence[Any] = [answer(200, items(entry)), answer(200, json.dumps(whole))]
    with (
        Loopback([*replies]) as server,
        pytest.raises(CollectError, match=r"environments has 'on' None"),
    ):
        source(server.origin).discover(DAY)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"project": "shop:env/x"}, "project is 'shop:env/x'; give its key"),
        ({"environment": ""}, "environment is ''; give its key"),
        ({"flags": "a,b"}, "with \\* for what varies"),
        ({"flags": "*:env/*"}, "with \\* for what varies"),
        ({"token": "a\nb"}, "token is empty, or has a space"),
        ({"api": "ftp://launchdarkly"}, "use http or https"),
        ({"api": "https://app.launchdarkly.com?key=1"}, "has a query"),
        ({"api": "https://u:p@app.launchdarkly.com"}, "api holds a user"),
        ({"timeout": timedelta(0)}, "longer than zero"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        source(settings.pop("api", "https://example.com"), **settings)
