"""A tick asks a source once for all releases, and a later one for what is new, and learns nothing
again; what each look sees is what it would see alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from anomaly.baseline.seasonal import SeasonalBaseline
from anomaly.checklist.checklist import Checklist, load
from anomaly.cli.ending import run
from anomaly.collectors.prometheus import PrometheusCollector
from anomaly.collectors.prometheus_asking import OVERLAP
from anomaly.engine.processes import processes
from anomaly.engine.workers import ALONE, Workers
from anomaly.history.store import Store
from anomaly.model import LeftOut, Release, Window
from anomaly.reporting.report import Report
from anomaly.watch.look import stay
from anomaly.watch.tick import tick
from tests.support.scripted import Answer, Request, Script, http, matrix, moments, scripted

pytestmark = pytest.mark.usefixtures("loopback")

STEP = timedelta(minutes=30)
RELEASED = datetime(2025, 6, 12, 10, tzinfo=UTC)
CHECKLIST = """
service: shop
environment: production
sources: {{prod: {{type: prometheus, url: "{url}"}}}}
windows: {{history: 9d, warmup: 0s, watch: 12h, step: 30m, lag: 0s}}
kpis:
  - name: errors
    query: sum by (country) (increase(errors[$step]))
    denominator: sum by (country) (increase(requests[$step]))
    by: [country]
  - {{name: queue, query: avg(queue), direction: up, tolerance: 5%}}
"""
QUERIES = (
    6  # two sums, each with the first samples of new series; a gauge, and where it has samples
)


def respond(request: Request) -> Answer:
    """Two countries whose values depend on the query and the moment alone; the second one begins
    late, so that what counts as a birth depends on the window."""

    def value(country: str, at: int) -> str:
        seed = f"{request.asked['query'].partition('[')[0]} {country} {at}"
        return str(100 + hashlib.sha256(seed.encode()).digest()[0] % 10)

    late = (RELEASED - timedelta(days=8, hours=20)).timestamp()
    asked = moments(request)
    if "queue" in request.asked["query"]:
        return http(matrix([({}, [(at, value("", at)) for at in asked])]))
    series = [
        ({"country": country}, [(at, value(country, at)) for at in asked if at >= begins])
        for country, begins in (("DE", 0), ("FR", late))
    ]
    return http(matrix([(labels, points) for labels, points in series if points]))


@contextmanager
def shop(folder: Path, releases: int) -> Iterator[tuple[Script, Checklist, Store]]:
    """A shop with a source, and releases an hour apart."""
    folder.mkdir(exist_ok=True)
    with scripted(respond) as script, Store(folder / "history.db") as store:
        path = folder / "checklist.yaml"
        path.write_text(CHECKLIST.format(url=script.url), encoding="utf-8")
        for number in range(releases):
            release = Release(
                RELEASED + timedelta(hours=number),
                service="shop",
                version=str(number),
                environment="production",
            )
            store.track(release, origin="command")
        yield script, load(path, environ={}), store


def reports(
    checklist: Checklist, store: Store, now: datetime, workers: Workers = ALONE
) -> list[Report]:
    done = tick(checklist, store, [], holder="me", clock=lambda: now, workers=workers)
    assert not done.problems
    return [each.report for each in done.looks]


def reports_anew(folder: Path, checklist: Checklist, store: Store, now: datetime) -> list[Report]:
    """Those of a tick that nothing was left for, over the same releases."""
    with Store(folder / "other.db") as other:
        for record in store.releases():
            other.track(record.release, origin="command")
        return reports(checklist, other, now)


def assert_same(found: list[Report], expected: list[Report]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert str(one.to_dict()) == str(other.to_dict())
        pd.testing.assert_frame_equal(one.points, other.points, check_exact=True)


@pytest.mark.slow
def test_a_tick_over_many_releases_asks_once_and_sees_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = RELEASED + timedelta(hours=5)
    with shop(tmp_path, 4) as (script, checklist, store):
        shared = reports(checklist, store, now)
        assert len(script.requests) == QUERIES
        (tmp_path / "history.db.answers").unlink()
        monkeypatch.setattr(PrometheusCollector, "outside", frozenset[str]())
        script.requests.clear()
        alone = reports_anew(tmp_path, checklist, store, now)
        assert len(script.requests) == 4 * QUERIES
    assert len(shared) == 4
    assert_same(shared, alone)


@pytest.mark.slow
def test_a_later_tick_asks_for_what_is_new_and_sees_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = RELEASED + timedelta(hours=5)
    with shop(tmp_path, 1) as (script, checklist, store):
        reports(checklist, store, now)
        script.requests.clear()
        warm = reports(checklist, store, now + STEP)
        asked = sorted(len(moments(each)) for each in script.requests)
        assert asked == [OVERLAP + 1] * QUERIES
        monkeypatch.setattr(PrometheusCollector, "outside", frozenset[str]())
        cold = reports_anew(tmp_path, checklist, store, now + STEP)
    assert_same(warm, cold)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_later_tick_learns_nothing_again_and_sees_the_same(
    jobs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, later = RELEASED + timedelta(hours=5), RELEASED + timedelta(hours=6)
    folder = tmp_path / "history.db.baselines"
    with shop(tmp_path, 1) as (_, checklist, store):
        with processes(jobs) as workers:
            reports(checklist, store, now, workers)
        kept = {each.name for each in folder.iterdir()}
        with monkeypatch.context() as patch:
            patch.delattr(SeasonalBaseline, "fit")
            warm = reports(checklist, store, later)
        assert {each.name for each in folder.iterdir()} == kept != set()
        cold = reports_anew(tmp_path, checklist, store, later)
    assert_same(warm, cold)


@pytest.mark.slow
def test_a_past_that_changed_is_learned_again(tmp_path: Path) -> None:
    """Known incidents change what is learned from, too."""
    now, later = RELEASED + timedelta(hours=5), RELEASED + timedelta(hours=6)
    incident = LeftOut(Window(RELEASED - timedelta(days=3), RELEASED - timedelta(days=2)))
    with shop(tmp_path, 1) as (_, checklist, store):
        reports(checklist, store, now)
        calendar = replace(checklist.calendar, leave_out=(incident,))
        changed = replace(checklist, calendar=calendar)
        warm = reports(changed, store, later)
        cold = reports_anew(tmp_path, changed, store, later)
    assert_same(warm, cold)


@pytest.mark.slow
def test_a_check_beside_a_history_asks_for_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    released_at = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
    with shop(tmp_path / "shop", 0) as (script, checklist, _):
        command = ["check", str(checklist.path), "--released-at", released_at]
        longest = []
        for history in ("", "", "history.db", "history.db"):
            monkeypatch.setenv("ANOMALY_STORE", str(tmp_path / "shop" / (history or "none.db")))
            script.requests.clear()
            run(command)
            longest.append(max(len(moments(each)) for each in script.requests))
        assert all(each > 400 for each in longest[:3])
        assert longest[3] <= OVERLAP + 2
    assert not (tmp_path / "state").exists()


@pytest.mark.slow
def test_a_watch_asks_for_what_is_new(tmp_path: Path) -> None:
    now = [RELEASED + timedelta(hours=5)]

    def sleep(seconds: float) -> None:
        now[0] += timedelta(seconds=seconds)

    with shop(tmp_path, 1) as (script, checklist, store):
        (record,) = store.releases()
        looks = stay(checklist, record, store, [], clock=lambda: now[0], sleep=sleep)
        next(looks)
        script.requests.clear()
        next(looks)
    assert max(len(moments(each)) for each in script.requests) == OVERLAP + 1


@pytest.mark.slow
def test_a_history_in_memory_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with scripted(respond) as script, Store(":memory:") as store:
        path = tmp_path / "checklist.yaml"
        path.write_text(CHECKLIST.format(url=script.url), encoding="utf-8")
        release = Release(RELEASED, service="shop", version="1", environment="production")
        store.track(release, origin="command")
        assert len(reports(load(path, environ={}), store, RELEASED + STEP)) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["checklist.yaml"]
