"""Kills a step of the unattended watch at random moments, and counts what was lost and what was
told twice.

`python -m benchmarks.killed --runs 500` prints one line. Each run: a release regresses; a process
runs a step with two webhooks on loopback, and is killed (SIGKILL) after a random time; steps of
other processes follow until nothing is left to send.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from anomaly.checklist.checklist import load
from anomaly.history.records import Progress
from anomaly.history.store import Store
from anomaly.watch.look import receivers_of
from anomaly.watch.tick import tick
from tests.support.operation import Shop

SINKS = (
    'sinks:\n  - {{type: webhook, url: "{origin}/one"}}\n  - {{type: webhook, url: '
    '"{origin}/two"}}\n'
)
HOURS = 3.0  # after the release: it has regressed


class Hook:
    """A webhook on loopback that remembers the ids of what it took, by path."""

    def __enter__(self) -> Self:
        self.took: Counter[tuple[str, str]] = Counter()
        self.actions: set[str] = set()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.took[self.path, self.headers["Idempotency-Key"]] += 1
                hook.actions.add(body["message"]["action"])
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one run: alerts that reached nobody, alerts that came under more than one id, messages
    that came more than once."""

    lost: int
    ids: int
    repeats: tuple[int, ...]
    was_killed: bool


def step(folder: Path, at: datetime) -> None:
    """One step, as the command makes it."""
    checklist = load(folder / "checklist.yaml", environ={})
    with Store(folder / "history.db") as store:
        tick(
            checklist,
            store,
            receivers_of(checklist),
            holder=f"{os.getpid()}/{at.timestamp()}",
            clock=lambda: at,
            sleep=lambda _: None,
        )


def run(after_s: float) -> Outcome:
    """One release, one step killed after so many seconds, then steps until nothing is left to
    send."""
    with tempfile.TemporaryDirectory() as name, Hook() as hook:
        folder = Path(name)
        shop = Shop(folder, {"errors": (0.0, 99.0)}, more=SINKS.format(origin=hook.origin))
        with Store(folder / "history.db") as store:
            store.track(shop.release(), origin="command")
        child = _started(folder, shop.at(HOURS))
        child.join(after_s)
        was_killed = child.is_alive()
        child.kill()
        child.join()
        later = shop.now
        for _ in range(4):
            later += timedelta(minutes=20)
            other = _started(folder, later)
            other.join()
        with Store(folder / "history.db") as store:
            (tracked,) = store.releases()
            waiting = [
                each for each in store.messages(tracked.id) if each.progress is not Progress.SENT
            ]
        paths = Counter(path for path, _ in hook.took)
        lost = len(waiting) + sum(paths[path] == 0 for path in ("/one", "/two"))
        more_ids = sum(count > 1 for count in paths.values())
        return Outcome(
            lost, more_ids, tuple(count for count in hook.took.values() if count > 1), was_killed
        )


def whole_step_s() -> float:
    """How long a step takes here that nobody kills: the longest of three."""
    took = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as name, Hook() as hook:
            shop = Shop(Path(name), {"errors": (0.0, 99.0)}, more=SINKS.format(origin=hook.origin))
            with Store(Path(name) / "history.db") as store:
                store.track(shop.release(), origin="command")
            now, began = shop.at(HOURS), time.monotonic()
            _started(Path(name), now).join()
            took.append(time.monotonic() - began)
    return max(took)


def _started(folder: Path, at: datetime) -> multiprocessing.context.ForkProcess:
    child = multiprocessing.get_context("fork").Process(target=step, args=(folder, at))
    child.start()
    return child


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)  # noqa: S311  moments, not secrets
    longest_s = 1.1 * whole_step_s()
    outcomes = [run(rng.uniform(0, longest_s)) for _ in range(asked.runs)]
    killed = sum(each.was_killed for each in outcomes)
    lost = sum(each.lost for each in outcomes)
    ids = sum(each.ids for each in outcomes)
    twice = [count for each in outcomes for count in each.repeats]
    print(
        f"{asked.runs} runs, {killed} killed before their end: {lost} alerts lost, {ids} told "
        "under more than one id, "
        f"{len(twice)} told again under the same id, at most {max(twice, default=1)} times"
    )
    # once, and once again
    return 0 if lost == ids == 0 and max(twice, default=0) <= 2 else 1  # noqa: PLR2004


if __name__ == "__main__":
    sys.exit(main())
