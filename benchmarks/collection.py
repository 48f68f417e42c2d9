"""What collecting costs beside downloading and parsing alone.

`python -m benchmarks.collection [--series 40] [--ticks 40]` starts an HTTP server on loopback that
answers like Prometheus, packed by gzip, from memory. The collector asks it, then a minimal client
repeats the same requests: as many threads as the collector's `concurrency`, each downloads
(requests) and parses (orjson) and keeps nothing. Both take turns in one run; the ratio is the
minimal client's time by the collector's, medians over the rounds. Then ticks follow: a cold one, a
warm one a step later, and a cold one over several releases.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import multiprocessing
import multiprocessing.connection
import queue
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from unittest.mock import patch
from urllib.parse import parse_qs

import numpy as np
import orjson
import requests

from anomaly.checklist.checklist import load
from anomaly.collectors.prometheus import PrometheusCollector
from anomaly.decision import judge
from anomaly.history.store import Store
from anomaly.model import Kpi, Release, Window
from anomaly.watch import tick
from benchmarks.tables import DOCS, place

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = DOCS / "scale.md"
START = datetime(2025, 3, 3, tzinfo=UTC)
STEP = timedelta(minutes=5)
WINDOW = Window(START, START + timedelta(days=29))
CONCURRENCY = 4
ROUNDS = 5
RELEASED, RELEASES = START + timedelta(days=28), 10
WHOLE = "whole"
PARTS = {  # of a tick, and what does them
    "collecting": (PrometheusCollector, "collect"),
    "learning": (judge, "learn"),
    "scoring": (judge, "score_beside_controls"),
}
CHECKLIST = """
service: shop
sources: {{prod: {{type: prometheus, url: "{url}"}}}}
windows: {{history: 28d, warmup: 0s, watch: 1d, step: 5m, lag: 0s}}
kpis:
  - {{name: orders, query: "sum by (country) (increase(orders[$step]))", by: [country]}}
"""


def kpis_of(series: int) -> dict[str, list[Kpi]]:
    """KPIs with so many series together: one of all, a ratio of all, one each."""
    by = ("country",)
    return {
        "one KPI by country": [
            Kpi("orders", query="sum by (country) (increase(orders[$step]))", by=by)
        ],
        "a ratio by country": [
            Kpi(
                "errors",
                query="sum by (country) (increase(errors[$step]))",
                denominator="sum by (country) (increase(requests[$step]))",
                by=by,
            )
        ],
        "a KPI each": [
            Kpi(f"kpi {n}", query=f"sum(increase(count_{n}[$step]))") for n in range(series)
        ],
    }


class Answers:
    """What the server answers, packed; each answer is made once."""

    def __init__(self, series: int) -> None:
        self._series = series
        self._packed: dict[bytes, bytes] = {}
        self.bodies: list[bytes] = []

    def of(self, body: bytes) -> bytes:
        """The answer to a request's body."""
        self.bodies.append(body)
        asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        del asked["timeout"]
        key = json.dumps(asked).encode()
        if key not in self._packed:
            moments = range(int(asked["start"]), int(asked["end"]) + 1, int(asked["step"]))
            many = self._series if "by (country)" in asked["query"] else 1
            rows = ",".join(self._one(asked["query"], number, moments) for number in range(many))
            text = f'{{"status":"success","data":{{"resultType":"matrix","result":[{rows}]}}}}'
            self._packed[key] = gzip.compress(text.encode(), 1)
        return self._packed[key]

    def _one(self, query: str, number: int, moments: range) -> str:
        name = query.partition("increase(")[2].partition("[")[0]
        seed = int.from_bytes(hashlib.sha256(f"{name} {number}".encode()).digest()[:4])
        at = np.array(moments) / 86_400
        noise = 20 * np.modf(np.sin(np.array(moments) + seed) * 1e5)[0]  # the same at any request
        values = 1000 + seed % 1000 + 500 * np.sin(2 * np.pi * at) + noise
        rows = zip(moments, values.tolist(), strict=True)
        points = ",".join(f'[{moment},"{value!r}"]' for moment, value in rows)
        labels = f'"country":"{number:04d}"' if "by (country)" in query else ""
        return f'{{"metric":{{{labels}}},"values":[{points}]}}'


def serve(series: int, pipe: multiprocessing.connection.Connection) -> None:
    """Answer until the process is ended; the port, and on demand the bodies of all requests since,
    go through the pipe."""
    answers = Answers(series)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            body = answers.of(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pipe.send(server.server_address[1])
        while True:
            pipe.recv()
            pipe.send(answers.bodies)
            answers.bodies = []


@contextmanager
def server(series: int) -> Iterator[tuple[str, multiprocessing.connection.Connection]]:
    """The address of a server in a process of its own, and the pipe to it."""
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=serve, args=(series, there), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}", here
    finally:
        process.kill()
        process.join()


def download(url: str, bodies: Sequence[bytes]) -> None:
    """The minimal client: what only downloads and parses the same answers."""
    todo: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    for body in bodies:
        todo.put(body)

    def work() -> None:
        session = requests.Session()
        session.trust_env = False
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        while True:
            try:
                body = todo.get_nowait()
            except queue.Empty:
                return
            answer = session.post(f"{url}/api/v1/query_range", data=body, headers=form, timeout=60)
            orjson.loads(answer.content)

    threads = [threading.Thread(target=work) for _ in range(CONCURRENCY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def throughput(url: str, pipe: multiprocessing.connection.Connection, series: int) -> None:
    """Print a row for each shape of a checklist."""
    print(f"{series} series, {(WINDOW.end - WINDOW.start) // STEP:,} steps each")
    print(f"{'':20s}{'requests':>9s}{'collector s':>13s}{'minimal s':>11s}{'throughput':>12s}")
    for name, kpis in kpis_of(series).items():
        collector = PrometheusCollector(url=url, concurrency=CONCURRENCY)
        collected = collector.collect(kpis, WINDOW, STEP)  # the server makes its answers
        if collected.errors:
            raise next(iter(collected.errors.values()))
        bodies = requests_since(pipe)
        times: dict[str, list[float]] = {"collector": [], "minimal": []}
        for _ in range(ROUNDS):
            start = time.perf_counter()
            collector.collect(kpis, WINDOW, STEP)
            between = time.perf_counter()
            download(url, bodies)
            times["collector"].append(between - start)
            times["minimal"].append(time.perf_counter() - between)
        requests_since(pipe)
        ours, least = (statistics.median(each) for each in times.values())
        print(f"{name:20s}{len(bodies):9d}{ours:13.2f}{least:11.2f}{least / ours:12.0%}")


def requests_since(pipe: multiprocessing.connection.Connection) -> list[bytes]:
    """The bodies of the requests since the last time."""
    pipe.send(None)
    bodies: list[bytes] = pipe.recv()
    return bodies


def ticks(url: str, pipe: multiprocessing.connection.Connection) -> str:
    """What each tick costs, in Markdown: seconds of the processor, without those of the server."""
    rows = []
    for name, releases, steps in (("cold", 1, 0), ("warm", 1, 1), ("cold", RELEASES, 0)):
        for _ in range(2):  # the server makes its answers the first time
            seconds: dict[str, float] = defaultdict(float)
            with TemporaryDirectory() as folder, Store(Path(folder) / "history.db") as store:
                (Path(folder) / "checklist.yaml").write_text(CHECKLIST.format(url=url))
                checklist = load(Path(folder) / "checklist.yaml", environ={})
                for number in range(releases):
                    started_at = RELEASED + number * 2 * STEP
                    release = Release(started_at, service="shop", version=str(number))
                    store.track(release, origin="command")
                now = [RELEASED + timedelta(hours=12)]
                for _ in range(steps + 1):
                    requests_since(pipe)
                    seconds.clear()
                    with timed(seconds):
                        tick.tick(checklist, store, [], holder="this", clock=lambda: now[0])  # noqa: B023
                    now[0] += STEP
            asked = [parse_qs(body.decode()) for body in requests_since(pipe)]
        count = sum((int(each["end"][0]) - int(each["start"][0])) // 300 + 1 for each in asked)
        label = f"{name}, {releases} release{'s' if releases > 1 else ''}"
        parts = [seconds[part] for part in PARTS]
        rest = seconds[WHOLE] - sum(parts)
        cells = " | ".join(f"{each:.2f}" for each in (*parts, rest, seconds[WHOLE]))
        rows.append(f"| {label} | {len(asked)} | {count:,d} | {cells} |")
    head = f"a tick | requests | steps asked for | {' | '.join(PARTS)} | the rest | seconds"
    rule = "|".join(["---", *["---:"] * head.count("|")])
    return "\n".join([f"| {head} |", f"|{rule}|", *rows])


@contextmanager
def timed(seconds: dict[str, float]) -> Iterator[None]:
    """Count the seconds of the processor in each part, and in the whole."""

    def counted(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*values: object, **named: object) -> object:
            began = time.process_time()
            try:
                return function(*values, **named)
            finally:
                seconds[name] += time.process_time() - began

        return call

    with ExitStack() as stack:
        for name, (owner, function) in PARTS.items():
            made = counted(name, getattr(owner, function))
            stack.enter_context(patch.object(owner, function, made))
        began = time.process_time()
        yield
        seconds[WHOLE] += time.process_time() - began


def main(series: int, ticked: int, *, write: bool) -> None:
    """Print the tables: the throughput of so many series, and the ticks over so many."""
    with server(series) as (url, pipe):
        throughput(url, pipe, series)
    with server(ticked) as (url, pipe):
        table = ticks(url, pipe)
    print(f"\n{ticked:,} series\n\n{table}")
    if write:
        place("ticks", f"{ticked:,} series:\n\n{table}", PAGE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--series", type=int, default=40)
    parser.add_argument("--ticks", type=int, default=40, help="series that are ticked over")
    parser.add_argument("--write", action="store_true", help="put the ticks into docs/scale.md")
    asked_for = parser.parse_args()
    main(asked_for.series, asked_for.ticks, write=asked_for.write)
