"""The main job on real servers: backfilled history, a release, the process's exit code and its
first line."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.support import command
from tests.support.servers import Samples, Server, prometheus, victoria_metrics

MINUTE = timedelta(minutes=1)
START, HISTORY, WATCH = datetime(2025, 5, 19, tzinfo=UTC), timedelta(days=14), timedelta(hours=3)
RELEASED = START + HISTORY
CHECKLIST = """
service: shop
sources: {{prod: {{type: prometheus, url: "${{PROMETHEUS_URL}}"}}}}
windows: {{history: 13d, warmup: 5m, watch: 2h, step: 5m}}
kpis:
  - name: checkout errors
    query: {query}
    {denominator}
    direction: up
    tolerance: 10%
    critical: true
"""


def history() -> Samples:
    """Three counters of errors over one of requests: 1 % as ever, 1 % and 4 % since the release,
    none before the release."""
    rng = np.random.default_rng(7)
    minutes = int((HISTORY + WATCH) / MINUTE)
    released = int(HISTORY / MINUTE)
    busy = 300 * (1 + 0.3 * np.sin(np.arange(minutes) * 2 * np.pi / 1440))
    requests = rng.poisson(busy)
    share = np.full(minutes, 0.01)
    stepped = np.where(np.arange(minutes) < released, 0.01, 0.04)
    stamps = [START.timestamp() + 60 * minute + 30 for minute in range(minutes)]

    def counter(per_minute: np.ndarray, first: int = 0) -> list[tuple[float, float]]:
        return [
            (at, float(value))
            for at, value in zip(stamps[first:], per_minute.cumsum()[first:], strict=True)
        ]

    return {
        'http_requests_total{job="shop"}': counter(requests),
        'healthy_errors_total{job="shop"}': counter(rng.binomial(requests, share)),
        'broken_errors_total{job="shop"}': counter(rng.binomial(requests, stepped)),
        'first_errors_total{job="shop"}': counter(
            np.where(np.arange(minutes) < released, 0, rng.binomial(requests, share)), released
        ),
    }


@pytest.fixture(
    scope="module", params=[prometheus, victoria_metrics], ids=["prometheus", "victoria-metrics"]
)
def server(
    request: pytest.FixtureRequest, loopback: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    start: Callable[[Path, Samples], AbstractContextManager[Server]] = request.param
    with start(tmp_path_factory.mktemp("server"), history()) as running:
        yield running


PER_REQUEST = "denominator: sum(increase(http_requests_total[$step]))"


def check(
    url: str, query: str, folder: Path, *words: str, denominator: str = PER_REQUEST
) -> subprocess.CompletedProcess[str]:
    checklist = folder / "checklist.yaml"
    checklist.write_text(CHECKLIST.format(query=query, denominator=denominator))
    line = ["check", str(checklist), "--released-at", RELEASED.isoformat(), *words]
    return command.anomaly(line, environ=os.environ | {"PROMETHEUS_URL": url})


def test_a_step_in_a_kpi_fails_the_release_and_names_the_kpi(
    server: Server, tmp_path: Path
) -> None:
    done = check(server.url, "sum(increase(broken_errors_total[$step]))", tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("FAIL  checkout errors +")
    assert "sum(increase(broken_errors_total[5m]))" in done.stdout.splitlines()[1]


def test_the_same_without_the_step_passes(server: Server, tmp_path: Path) -> None:
    done = check(server.url, "sum(increase(healthy_errors_total[$step]))", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("PASS  ")


def test_the_first_errors_ever_fail_the_release(server: Server, tmp_path: Path) -> None:
    done = check(server.url, "sum(increase(first_errors_total[$step]))", tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr


def test_no_error_ever_passes(server: Server, tmp_path: Path) -> None:
    done = check(server.url, "sum(increase(no_errors_total[$step]))", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_query_that_the_server_refuses_is_an_error(server: Server, tmp_path: Path) -> None:
    done = check(server.url, "sum(increase(broken_errors_total[$step])", tmp_path)
    assert done.returncode == 4
    assert done.stdout.startswith("ERROR  checkout errors error: ")


def test_an_empty_result_leaves_the_release_undecided(server: Server, tmp_path: Path) -> None:
    done = check(server.url, "no_such_metric", tmp_path, "--output", "json", denominator="")
    assert done.returncode == 3, done.stdout + done.stderr
    assert json.loads(done.stdout)["findings"][0]["verdict"] == "no_data"


def test_a_server_that_is_stopped_is_an_error(loopback: None, tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with prometheus(tmp_path / "server", {"up": [(RELEASED.timestamp(), 1.0)]}) as server:
        server.stop()
        done = check(server.url, "sum(increase(broken_errors_total[$step]))", tmp_path)
    assert done.returncode == 4
    assert done.stdout.startswith("ERROR  checkout errors error: ")
