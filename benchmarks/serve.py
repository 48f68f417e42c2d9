"""How fast the gate answers while a step judges many series: `python -m benchmarks.serve`.

A client asks the gate at a fixed rate, whether or not earlier answers are there, and counts the
time from when each request was due. Meanwhile releases are reported one after the other, so that a
step is always judging. `--judge thread` judges in the process of the service instead, to compare.

`--check` fails unless the rate is held and 99 of 100 answers come within 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

SERIES, RATE, SECONDS, CONNECTIONS = 200, 500, 20, 32
WITHIN_S, SHARE = 0.050, 0.99
STEP, DAYS = timedelta(minutes=5), 14
HOST = "127.0.0.1"
DRIFT = 0.02  # of the rate that a busy machine may cost
GATE = b"GET /gate?service=shop HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Load:
    """The times of the answers in seconds, by status, and the steps that ended meanwhile."""

    seconds: list[float]
    statuses: dict[int, int]
    asked_for_s: float
    steps: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--series", type=int, default=SERIES)
    parser.add_argument("--judge", choices=["process", "thread"], default="process")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--serve-with-thread", metavar="CHECKLIST", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_with_thread:
        serve_with_thread(Path(options.serve_with_thread))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = shop(Path(folder), options.series)
        load = measured(path, options)
    times = np.sort(load.seconds)
    p50, p99 = np.quantile(times, [0.5, SHARE])
    rate = len(times) / load.asked_for_s
    print(
        f"{options.judge}: {rate:.0f} requests/s for {load.asked_for_s:.0f} s over "
        f"{CONNECTIONS} connections, median {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, "
        f"longest {times[-1] * 1e3:.0f} ms; statuses {load.statuses}; "
        f"{load.steps:.0f} steps over {options.series} series ended meanwhile"
    )
    if options.check and (p99 > WITHIN_S or rate < options.rate * (1 - DRIFT)):
        sys.exit(f"promised: {options.rate} requests/s, p99 within {WITHIN_S * 1e3:.0f} ms")


def shop(folder: Path, series: int) -> Path:
    """A checklist over a file of so many series; its path."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    rows = int(timedelta(days=DAYS) / STEP)
    values = np.random.default_rng(1).normal(100, 3, (rows, series)).round(2)
    names = [f"kpi{number}" for number in range(series)]
    with (folder / "shop.csv").open("w", encoding="utf-8") as file:
        file.write(",".join(["time", *names]) + "\n")
        for row in range(rows):
            moment = now - (rows - row) * STEP
            file.write(",".join([moment.isoformat(), *map(str, values[row])]) + "\n")
    kpis = "\n".join(f"  - {{name: {name}, query: {name}, direction: up}}" for name in names)
    path = folder / "shop.yaml"
    path.write_text(
        "service: shop\nsources: {shop: {type: files, path: shop.csv}}\nstore: history.db\n"
        f"windows: {{step: 5m, history: {DAYS - 1}d, watch: 4h, lag: 0s}}\nkpis:\n{kpis}\n",
        encoding="utf-8",
    )
    return path


def measured(path: Path, options: argparse.Namespace) -> Load:
    """Start the service, ask it, and end it."""
    command = [sys.executable, "-m", "anomaly", "serve", str(path), "--listen", f"{HOST}:0"]
    if options.judge == "thread":
        command = [sys.executable, "-m", "benchmarks.serve", "--serve-with-thread", str(path)]
    # the command line is this module's own
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None  # noqa: S101  it was asked for
        address = re.search(r":(\d+)/", process.stdout.readline())
        if address is None:
            sys.exit("the service did not start")
        try:
            return asyncio.run(asked(int(address[1]), options.rate, options.seconds))
        finally:
            process.terminate()


async def asked(port: int, rate: int, seconds: int) -> Load:
    """Ask the gate at this rate while releases are reported."""
    connections = [await asyncio.open_connection(HOST, port) for _ in range(CONNECTIONS)]
    free: asyncio.Queue[Any] = asyncio.Queue()
    for each in connections:
        free.put_nowait(each)
    await report(port, 0)
    while await steps(port) < 1:  # judging has begun, and all is loaded
        await asyncio.sleep(0.2)
    before = await steps(port)
    telling = asyncio.create_task(reports(port))
    times: list[float] = []
    statuses: dict[int, int] = {}

    async def one(due: float) -> None:
        reader, writer = connection = await free.get()
        writer.write(GATE)
        head = await reader.readuntil(b"\r\n\r\n")
        match = LENGTH.search(head)
        await reader.readexactly(int(match[1]) if match else 0)
        free.put_nowait(connection)
        times.append(time.perf_counter() - due)
        status = int(head[9:12])
        statuses[status] = statuses.get(status, 0) + 1

    began = time.perf_counter()
    running = set()
    for number in range(rate * seconds):
        due = began + number / rate
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    took = time.perf_counter() - began
    telling.cancel()
    after = await steps(port)
    for _, writer in connections:
        writer.close()
    return Load(times, statuses, took, after - before)


async def reports(port: int) -> None:
    """A new release every second, so that a step always has a look to make."""
    number = 0
    while True:
        number += 1
        await report(port, number)
        await asyncio.sleep(1)


async def report(port: int, number: int) -> None:
    at = datetime.now(UTC) - timedelta(hours=1) + timedelta(seconds=number)
    body = json.dumps(
        {"event": "started", "service": "shop", "version": f"v{number}", "at": at.isoformat()}
    )
    await request(
        port,
        f"POST /releases HTTP/1.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n",
        body,
    )


async def steps(port: int) -> float:
    """How many steps ended so far."""
    text = await request(port, "GET /metrics HTTP/1.1\r\n", "")
    return sum(float(each) for each in re.findall(r"^anomaly_steps_total\{.*\} (\S+)$", text, re.M))


async def request(port: int, head: str, body: str) -> str:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(f"{head}Host: {HOST}\r\nConnection: close\r\n\r\n{body}".encode())
    text = (await reader.read()).decode()
    writer.close()
    return text


def serve_with_thread(path: Path) -> None:
    """The service, with the same step in a thread of its process."""
    from anomaly.checklist.checklist import Checklist, load
    from anomaly.history.store import Store
    from anomaly.serve.access import Access
    from anomaly.serve.app import Service, application
    from anomaly.serve.judging import Judge
    from anomaly.serve.metrics import Metrics
    from anomaly.serve.served import Served
    from anomaly.serve.server import bound, serve
    from anomaly.watch.tick import tick

    checklist = load(path)
    where = str(path.parent / "history.db")

    class Threaded(Judge):
        async def _step(self, checklist: Checklist) -> None:
            began = time.monotonic()
            await asyncio.to_thread(step)
            self._done(checklist, 0, time.monotonic() - began)

    def step() -> None:
        with Store(where) as store:
            tick(checklist, store, [], holder=f"thread {threading.get_ident()}", clock=now)

    def judge(metrics: Metrics) -> Judge:
        def done(checklist: Checklist, code: int, seconds: float) -> None:
            metrics.stepped(checklist, code, seconds, now())

        return Threaded(served, where, clock=now, done=done)

    def now() -> datetime:
        return datetime.now(UTC)

    served = Served((checklist,))
    with Store(where) as store, bound(HOST, 0) as listening:
        print(f"http://{HOST}:{listening.getsockname()[1]}/", flush=True)
        serve(application(Service(store, served, Access(), judge=judge)), listening)


if __name__ == "__main__":
    main()
