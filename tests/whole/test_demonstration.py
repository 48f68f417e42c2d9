"""All of it in real processes: Prometheus with a past and a live present, Alertmanager, a webhook,
and cron that fires `anomaly tick`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from pytest_httpserver import HTTPServer

from tests.support.servers import alertmanager, cron, prometheus

HISTORY_S, STEP_S, BAD_S, WATCH_S = 2400, 5, (5, 25), 75
SPEED = 6  # cron's minute takes 10 seconds
PATIENCE_S = 150
CHECKLIST = """
service: shop
environment: production
sources: {{prod: {{type: prometheus, url: "{prometheus}"}}}}
windows: {{history: 39m, warmup: 0s, watch: {watch}s, step: {step}s, lag: 3s}}
store: history.db
kpis:
  - name: checkout errors
    query: sum(increase(shop_errors_total[$step]))
    denominator: sum(increase(shop_requests_total[$step]))
    direction: up
    tolerance: 10%
    critical: true
sinks:
  - {{type: alertmanager, url: "{alertmanager}", labels: {{severity: page}}, lasts: 10m}}
  - {{type: webhook, url: "{hook}"}}
"""


@dataclass
class Shop:
    """A shop whose counters grow with the clock, from 40 minutes ago on: 20 requests a second, a
    tenth of which fail, or four tenths."""

    zero_s: int
    released_s: float | None = None

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        seconds = HISTORY_S + 600
        self._requests = rng.poisson(20, seconds)
        self._errors = rng.poisson(2, seconds)
        self._more = rng.poisson(6, seconds)

    def counts(self, at_s: float) -> tuple[float, float]:
        """How many requests and errors there were by then."""
        number = int(at_s - self.zero_s)
        errors = int(self._errors[:number].sum())
        if self.released_s is not None:
            first, last = (int(self.released_s - self.zero_s) + each for each in BAD_S)
            errors += int(self._more[first : min(last, number)].sum()) if number > first else 0
        return float(self._requests[:number].sum()), float(errors)

    @contextmanager
    def exported(self) -> Iterator[str]:
        """The address at which Prometheus can ask for the counters of this moment."""
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requests_, errors = shop.counts(time.time())
                text = f"# TYPE shop_requests_total counter\nshop_requests_total {requests_}\n"
                text += f"# TYPE shop_errors_total counter\nshop_errors_total {errors}\n"
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def until(ready: Callable[[], bool], what: str, log: Path) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not ready():
        if time.monotonic() > give_up:
            pytest.fail(
                f"{what}: did not happen within {PATIENCE_S} s; the log of cron's jobs: "
                f"{log.read_text() if log.exists() else ''}"
            )
        time.sleep(0.5)


@pytest.mark.timeout(400)
def test_a_release_regresses_and_recovers_under_cron(
    loopback: None, tmp_path: Path, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/from-alertmanager", method="POST").respond_with_data("")
    httpserver.expect_request("/from-anomaly", method="POST").respond_with_data("")
    for name in ("prometheus", "alertmanager", "cron"):
        (tmp_path / name).mkdir()
    shop, log = Shop(int(time.time()) - HISTORY_S), tmp_path / "ticks.log"

    def posted(path: str) -> list[Any]:
        return [
            json.loads(request.get_data()) for request, _ in httpserver.log if request.path == path
        ]

    def anomaly(*words: str) -> str:
        line = [sys.executable, "-m", "anomaly", *words, "--checklist", "checklist.yaml"]
        return subprocess.run(
            line, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    with shop.exported() as address:
        past = {
            f'shop_{kind}_total{{instance="{address}",job="shop"}}': [
                (second, shop.counts(second)[number])
                for second in range(shop.zero_s + 1, int(time.time()))
            ]
            for number, kind in enumerate(("requests", "errors"))
        }
        with (
            prometheus(tmp_path / "prometheus", past, scrape=address) as metrics,
            alertmanager(
                tmp_path / "alertmanager", httpserver.url_for("/from-alertmanager")
            ) as alerts,
        ):
            settings = {
                "prometheus": metrics.url,
                "alertmanager": alerts.url,
                "hook": httpserver.url_for("/from-anomaly"),
            }
            (tmp_path / "checklist.yaml").write_text(
                CHECKLIST.format(**settings, watch=WATCH_S, step=STEP_S), encoding="utf-8"
            )
            # the gap before the first scrape is to be history
            live = f"count_over_time(shop_requests_total[{2 * STEP_S}s])"

            def scraped() -> bool:
                found = requests.get(
                    f"{metrics.url}/api/v1/query", params={"query": live}, timeout=5
                ).json()["data"]["result"]
                return bool(found) and float(found[0]["value"][1]) >= 2 * STEP_S - 1

            until(scraped, "live data", log)
            time.sleep(STEP_S)
            shop.released_s = time.time()
            anomaly("release", "start", "--release", "2.0")
            job = (
                f"* * * * * {sys.executable} -m anomaly tick {tmp_path / 'checklist.yaml'} >> "
                f"{log} 2>&1"
            )
            with cron(tmp_path / "cron", job, speed=SPEED):
                until(
                    lambda: [each["status"] for each in posted("/from-alertmanager")] == ["firing"],
                    "firing",
                    log,
                )
                (alert,) = requests.get(f"{alerts.url}/api/v2/alerts", timeout=5).json()
                until(
                    lambda: "resolved" in [each["status"] for each in posted("/from-alertmanager")],
                    "resolved",
                    log,
                )
                until(lambda: len(posted("/from-anomaly")) >= 3, "the end of the watch", log)
            story = anomaly("history", alert["labels"]["release"])
            listed = anomaly("history")

    assert alert["labels"]["service"] == "shop"
    assert alert["labels"]["severity"] == "page"
    assert "checkout errors" in alert["annotations"]["description"]
    assert [each["status"] for each in posted("/from-alertmanager")] == ["firing", "resolved"]
    told = [each["message"] for each in posted("/from-anomaly")]
    assert [(each["action"], each["why"]) for each in told] == [
        ("fire", "first"),
        ("resolve", "resolved"),
        ("inform", "ended"),
    ]
    assert len({each["key"] for each in posted("/from-anomaly")}) == 1
    assert "fire (first), sent" in story
    assert "resolve (resolved), sent" in story
    assert "recovered" in story
    assert "pass after" in listed
