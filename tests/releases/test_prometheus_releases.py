"""Releases from a real Prometheus, with backfilled series of versions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from anomaly.errors import CollectError, RetryableCollectError, UsageError
from anomaly.model import Release, Window
from anomaly.releases.prometheus import PrometheusReleases
from tests.support.servers import Samples, Server, prometheus

START = datetime(2025, 3, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WHOLE = Window(START, START + timedelta(hours=12))
KEPT = 5  # minutes for which Prometheus repeats the last sample of a backfilled series


def at(minute: int) -> datetime:
    return START + minute * MINUTE


def samples(*spans: tuple[int, int], value: float = 1) -> list[tuple[float, float]]:
    return [
        (at(minute).timestamp(), value) for first, last in spans for minute in range(first, last)
    ]


def rolled(service: str, *runs: tuple[str, int, int], pods: int = 4, apart: int = 2) -> Samples:
    """Pods that get each version one after the other, `apart` minutes apart."""
    return {
        f'build_info{{service="{service}",version="{version}",pod="{version}-{pod}"}}': samples(
            (first + pod * apart, last + pod * apart)
        )
        for version, first, last in runs
        for pod in range(pods)
    }


HISTORY: Samples = {
    **rolled("shop", ("1.0", -120, 60), ("2.0", 60, 400), ("1.0b", 400, 800)),
    'build_info{service="gap",version="1.0"}': samples((-120, 200), (320, 800)),
    'build_info{service="back",version="1.0"}': samples((-120, 100), (160, 800)),
    'build_info{service="back",version="2.0"}': samples((100, 160)),
    **rolled("canary", ("1.0", -120, 800), pods=9),
    **rolled("canary", ("2.0", 100, 800), pods=1),
    'build_info{service="hostile",version="1.0"}': samples((-120, 100)),
    'build_info{service="hostile",version="\\"; rm -rf / \\u001b[31m\\n::error::ü"}': samples(
        (100, 800)
    ),
    'generation{deployment="shop"}': [
        *samples((-120, 100), value=7),
        *samples((100, 800), value=8),
    ],
    'clock{service="shop"}': [(at(minute).timestamp(), minute) for minute in range(400)],
}


@pytest.fixture(scope="module")
def server(loopback: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with prometheus(tmp_path_factory.mktemp("prometheus"), HISTORY) as running:
        yield running


def found(
    server: Server, query: str, label: str = "version", window: Window = WHOLE
) -> list[Release]:
    return [*PrometheusReleases(url=server.url, query=query, label=label).discover(window)]


def named(releases: list[Release]) -> list[tuple[str, datetime]]:
    return [(each.version, each.started_at) for each in releases]


@pytest.mark.slow
def test_a_rolling_release_lasts_as_long_as_both_versions_are_there(server: Server) -> None:
    there, back = found(server, 'build_info{service="shop"}')
    assert named([there, back]) == [("2.0", at(60)), ("1.0b", at(400))]
    assert at(65) <= there.finished <= at(65 + KEPT)
    assert at(405) <= back.finished <= at(405 + KEPT)
    assert there.stages == back.stages == ()


def test_a_gap_and_what_comes_back_after_it_are_no_release(server: Server) -> None:
    assert found(server, 'build_info{service="gap"}') == []


def test_the_return_to_an_old_version_is_a_release_of_it(server: Server) -> None:
    assert named(found(server, 'build_info{service="back"}')) == [
        ("2.0", at(100)),
        ("1.0", at(160)),
    ]


@pytest.mark.parametrize(
    "query", ['build_info{service="canary"}', 'count by (version) (build_info{service="canary"})']
)
def test_a_canary_is_a_stage_by_its_share_of_the_instances(server: Server, query: str) -> None:
    (canary,) = found(server, query)
    assert (canary.version, canary.stages) == ("2.0", ((at(100), 0.1),))


def test_without_a_label_the_value_is_the_version(server: Server) -> None:
    assert named(found(server, 'generation{deployment="shop"}', label="")) == [("8", at(100))]


def test_every_look_finds_the_same(server: Server) -> None:
    """Wherever the window begins and ends, also beside the grid; only the end of a release that
    goes on moves."""
    query = 'build_info{service="shop"}'
    everything = named(found(server, query))
    for minutes, seconds in ((0, 0), (30, 17), (59, 59), (61, 0), (399, 1)):
        window = Window(
            at(minutes) + timedelta(seconds=seconds), at(700) + timedelta(seconds=seconds)
        )
        assert named(found(server, query, window=window)) == [
            each for each in everything if window.start <= each[1]
        ]
    going_on = [
        found(server, query, window=Window(START, at(end)))[0].finished for end in (62, 64, 66, 90)
    ]
    assert going_on[:2] == [at(62), at(64)]
    assert going_on == sorted(going_on)


def test_a_hostile_version_is_taken_as_it_is(server: Server) -> None:
    ((version, began),) = named(found(server, 'build_info{service="hostile"}'))
    assert began == at(100)
    assert version.startswith('"; rm -rf / ')


@pytest.mark.parametrize(
    ("query", "label", "said"),
    [
        ("nothing_like_it", "version", "no series matched: nothing_like_it"),
        (
            'build_info{service="shop"}',
            "release",
            "no series has the label release, only __name__, pod, service, version",
        ),
        (
            'clock{service="shop"}',
            "",
            "more than 100 versions; name the label that holds the version",
        ),
        ("sum(", "version", "bad query"),
    ],
)
def test_what_holds_no_versions_is_an_error(
    server: Server, query: str, label: str, said: str
) -> None:
    with pytest.raises(CollectError, match=r"http://127\.0\.0\.1") as caught:
        found(server, query, label)
    assert said in str(caught.value)


def test_a_dead_server_is_an_error_in_bounded_time(loopback: None) -> None:
    source = PrometheusReleases(
        url="http://user:s3cret@127.0.0.1:9", query="build_info", sleep=lambda _: None
    )
    with pytest.raises(RetryableCollectError, match="unavailable") as caught:
        source.discover(WHOLE)
    assert "s3cret" not in f"{caught.value}{source!r}"


@pytest.mark.slow
def test_settings_that_cant_be_used() -> None:
    for settings, said in (
        ({"query": " "}, "query is empty"),
        ({"step": timedelta(seconds=1)}, "step is 1s; use whole seconds, at least 10s"),
        ({"timeout": timedelta(0)}, "timeout"),
        ({"url": "ftp://h"}, "url starts with ftp; use http or https"),
    ):
        with pytest.raises(UsageError, match=said):
            PrometheusReleases(**{"url": "http://h", "query": "q"} | settings)
