"""The recipes of docs/releases.md for sources that are there already, run as they stand on the
page."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from anomaly.checklist import registry
from anomaly.checklist.checklist import Checklist, load
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


ROLES = ("AUTHOR", "COMMITTER")  # of git
EVALUATIONS = 600  # a minute
SHARES = ((-120, 0.0), (60, 0.1), (150, 0.5), (240, 1.0), (400, 0.0), (600, 0.0))


def evaluated() -> Samples:
    """How often flagd gave each variant of a flag, of which more and more users get `on`."""
    series: dict[str, Iterable[tuple[float, float]]] = {}
    for variant in ("off", "on"):
        total, counted = 0.0, []
        for (first, share), (last, _) in pairwise(SHARES):
            for minute in range(first, last):
                total += EVALUATIONS * (share if variant == "on" else 1 - share)
                if total:  # a series begins with the first evaluation
                    counted.append((at(minute).timestamp(), total))
        about = f'feature_flag_key="new-checkout",feature_flag_result_variant="{variant}"'
        name = f'feature_flag_flagd_impression_total{{{about},feature_flag_reason="STATIC"}}'
        series[name] = counted
    return series


@pytest.fixture(scope="module")
def server(loopback: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with prometheus(
        tmp_path_factory.mktemp("prometheus"), {**rolled_out(), **evaluated()}
    ) as running:
        yield running


def example(text: str, folder: Path) -> Checklist:
    """The page's example with this text, as a checklist in the folder."""
    (body,) = [each.body for each in blocks("yaml") if each.page == PAGE and text in each.body]
    path = folder / "shop.yaml"
    path.write_text(body, encoding="utf-8")
    return load(path, environ={})


def found(metric: str, server: Server, folder: Path) -> list[Release]:
    """What the source of the page's example with this metric finds."""
    (asked,) = example(metric, folder).releases
    asked = replace(asked, settings={**asked.settings, "url": server.url})
    return [*registry.release_source(asked).discover(WHOLE)]


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_evaluations_of_flagd_tell_of_a_rollout_in_stages_and_of_its_end(
    server: Server, tmp_path: Path
) -> None:
    rollout, back = found("feature_flag_flagd_impression_total", server, tmp_path)

    assert rollout.version == "new-checkout on"
    assert at(60) <= rollout.started_at <= at(62)
    assert [round(share, 2) for _, share in rollout.stages] == [0.1, 0.5, 1.0]
    for (moment, _), minute in zip(rollout.stages, (60, 150, 240), strict=True):
        assert at(minute) <= moment <= at(minute + 5)
    assert back.version == "new-checkout off"
    assert at(400) <= back.started_at <= at(402)


@pytest.mark.slow
def test_each_commit_that_changes_the_file_of_flagd_is_a_release(tmp_path: Path) -> None:
    repository = tmp_path / "shop.git"
    repository.mkdir()
    now = datetime.now(UTC).replace(microsecond=0)
    file = repository / "flags.flagd.json"

    def git(*words: str, hours_ago: int) -> None:
        when = (now - timedelta(hours=hours_ago)).isoformat()
        who = {f"GIT_{role}_{key}": "a@b" for role in ROLES for key in ("NAME", "EMAIL")}
        dates = {f"GIT_{role}_DATE": when for role in ROLES}
        subprocess.run(
            ["git", "-C", str(repository), *words],
            env={"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", **who, **dates},
            check=True,
            capture_output=True,
        )

    def commit(state: str, *, hours_ago: int) -> None:
        file.write_text(json.dumps({"flags": {"new-checkout": {"state": state}}}))
        git("add", ".", hours_ago=hours_ago)
        git("commit", "--quiet", "-m", 'say "so"', hours_ago=hours_ago)

    git("init", "--quiet", "--initial-branch=main", hours_ago=9)
    commit("DISABLED", hours_ago=9)
    git("commit", "--quiet", "--allow-empty", "-m", "work", hours_ago=8)
    git("checkout", "--quiet", "-b", "branch", hours_ago=7)
    commit("ENABLED", hours_ago=7)
    git("checkout", "--quiet", "main", hours_ago=5)
    git("merge", "--quiet", "--no-ff", "branch", hours_ago=5)
    (script,) = [each.body for each in blocks("sh") if each.page == PAGE and "git" in each.body]
    subprocess.run(
        ["sh", "-eu"],
        input=script.replace("/srv/git/shop.git", str(repository)).encode(),
        cwd=tmp_path,
        check=True,
    )

    (asked,) = example("path: releases.json", tmp_path).releases
    found = registry.release_source(asked).discover(Window(now - timedelta(days=1), now))

    assert [each.started_at for each in found] == [
        now - timedelta(hours=9),
        now - timedelta(hours=5),
    ]
    assert all(re.fullmatch("flags [0-9a-f]{8}", each.version) for each in found)
