"""The recipes of docs/releases.md for sources that are there already, run as they stand on the
page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from anomaly.checklist import registry
from anomaly.checklist.checklist import load
from anomaly.model import Release, Window
from tests.docs.test_docs import blocks
from tests.support.places import ROOT
from tests.support.servers import Samples, Server, prometheus

START = datetime(2025, 3, 3, tzinfo=UTC)
WHOLE = Window(START, START + timedelta(hours=10))
PAGE = ROOT / "docs" / "releases.md"
KEPT = 5  # minutes for which Prometheus repeats the last sample of a backfilled series


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def samples(first: int, last: int, value: float = 1) -> list[tuple[float, float]]:
    return [(at(minute).timestamp(), value) for minute in range(first, last)]


def pod(image: str, number: int, first: int, last: int, *, of: str = "shop-5d4f6c7b8") -> Samples:
    """What two kube-state-metrics say about a pod that is there between two minutes, and ready
    three minutes after it began."""
    name = f'namespace="shop",pod="{of}-{image[-1]}{number}"'
    said: dict[str, list[tuple[float, float]]] = {}
    for instance in ("10.0.0.1:8080", "10.0.0.2:8080"):
        here = f'{name},instance="{instance}"'
        spec = f'image="{image}",image_spec="{image}"'
        said[f'kube_pod_container_info{{{here},container="shop",{spec}}}'] = samples(first, last)
        said[f'kube_pod_container_info{{{here},container="proxy",image_spec="proxy:9"}}'] = samples(
            first, last
        )
        said[f'kube_pod_owner{{{here},owner_kind="ReplicaSet",owner_name="{of}"}}'] = samples(
            first, last
        )
        for condition, is_true in (("true", 1), ("false", 0)):
            ready = [*samples(first, first + 3, 1 - is_true), *samples(first + 3, last, is_true)]
            said[f'kube_pod_status_ready{{{here},condition="{condition}"}}'] = ready
    return said


def rolled_out() -> Samples:
    """Ten pods of 2.3.0, of which one is replaced at minute 60 and the others from 200 on; 2.3.0
    comes back at 400."""
    old, new = "registry:5000/acme/shop:2.3.0", "registry:5000/acme/shop:2.3.1@sha256:0123abcd"
    series: dict[str, Iterable[tuple[float, float]]] = {}
    for number in range(10):
        since = 60 if number == 0 else 200 + 2 * number
        series |= pod(old, number, -120, since)
        series |= pod(new, number, since, 400, of="shop-6b7c8d9f0")
        series |= pod(old, number + 10, 400, 800)
    series |= pod("acme/shop:3.0", 0, 100, 300, of="shop-canary-7b8c9d")
    return series


@pytest.fixture(scope="module")
def server(loopback: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with prometheus(tmp_path_factory.mktemp("prometheus"), rolled_out()) as running:
        yield running


def found(metric: str, server: Server, tmp_path: Path) -> list[Release]:
    """What the source of the page's example with this metric finds."""
    (example,) = [
        block.body for block in blocks("yaml") if block.page == PAGE and metric in block.body
    ]
    path = tmp_path / "shop.yaml"
    path.write_text(example, encoding="utf-8")
    (asked,) = load(path, environ={}).releases
    asked = replace(asked, settings={**asked.settings, "url": server.url})
    return [*registry.release_source(asked).discover(WHOLE)]


def test_kube_state_metrics_tell_of_a_canary_its_rollout_and_its_rollback(
    server: Server, tmp_path: Path
) -> None:
    rollout, rollback = found("kube_pod_container_info", server, tmp_path)

    assert (rollout.version, rollout.started_at) == ("2.3.1", at(63))
    assert [round(share, 1) for _, share in rollout.stages] == [0.1, 1.0]
    (canary, _), (complete, _) = rollout.stages
    assert at(63) <= canary <= at(63 + KEPT)
    assert at(221) <= complete <= at(221 + KEPT)
    assert (rollback.version, rollback.started_at) == ("2.3.0", at(403))
