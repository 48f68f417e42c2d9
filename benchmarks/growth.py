"""What an unattended watch costs as its history grows: `python -m benchmarks.growth`.

A release of 20 KPIs, 28 days at 5 minutes and 6 hours watched, is looked at; the history then gets
copies of it. Bytes, statements of SQL and steps of SQLite (in thousands) are the same in every run;
the seconds are those of one core.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from anomaly.checklist.checklist import Checklist, load
from anomaly.cli.ending import run
from anomaly.history.records import State
from anomaly.history.store import Store
from anomaly.model import Release
from anomaly.watch.look import Receiver, look
from anomaly.watch.tick import tick
from tests.support.histories import copy_release, counted
from tests.support.operation import People

KPIS, STEP, WATCH, LAG = 20, timedelta(minutes=5), timedelta(hours=6), timedelta(minutes=7)
START = datetime(2025, 6, 2, tzinfo=UTC)
RELEASE = Release(START + timedelta(days=28, hours=10), None, "shop", "2.3.1", "production")
CHECKLIST = """
service: shop
environment: production
sources: {shop: {type: files, path: shop.csv}}
windows: {history: 28d, watch: 6h, step: 5m}
kpis:
"""
A_DAY = timedelta(days=1)
COPIES = 100
Measure = Callable[[], object]


def shop(folder: Path) -> Checklist:
    """Half of the KPIs are counts, half are latencies, all with a daily season."""
    index = pd.date_range(START, RELEASE.started_at + WATCH + A_DAY / 24, freq=STEP)
    rng, hours = np.random.default_rng(1), np.asarray(index.hour + index.minute / 60)
    values = {}
    for number in range(KPIS):
        usual = 200 * (1 + number) * (1 + 0.3 * np.sin(2 * np.pi * hours / 24))
        noise = 1 + rng.normal(0, 0.03, len(index))
        values[f"kpi {number}"] = rng.poisson(usual) if number % 2 else usual / 1000 * noise
    pd.DataFrame(values, index.rename("time")).to_csv(folder / "shop.csv", float_format="%.6g")
    kpis = "".join(
        f"  - {{name: {name}, query: {name}, direction: up, tolerance: 5%}}\n" for name in values
    )
    (folder / "checklist.yaml").write_text(CHECKLIST + kpis, encoding="utf-8")
    return load(folder / "checklist.yaml", environ={})


def moment(number: int, looks: int) -> datetime:
    """When the n-th of so many looks is made."""
    return RELEASE.started_at + LAG + number * WATCH / looks


def watched(path: Path, checklist: Checklist, looks: int, last: int) -> None:
    """A history of one release with so many looks of those planned."""
    with Store(path) as store:
        tracked = store.track(RELEASE, origin="command")
        for number in range(1, last + 1):
            look(checklist, tracked, store, (), now=moment(number, looks))


def cost(work: Measure) -> str:
    """Statements, thousands of steps and seconds of one run."""
    began = time.process_time()
    with counted() as count:
        work()
    took = time.process_time() - began
    return f"{count['statements']:>7}{count['steps'] / 1000:>8.1f}{took:>8.2f}"


def opened(path: Path) -> None:
    with Store(path):
        pass


def one_look(path: Path, checklist: Checklist, looks: int) -> None:
    with Store(path) as store:
        (tracked,) = store.releases(
            service=RELEASE.service, environment=RELEASE.environment, state=State.WATCHED
        )
        look(checklist, tracked, store, (), now=moment(looks, looks))


def idle(path: Path, checklist: Checklist, looks: int) -> None:
    with Store(path) as store:
        at = moment(looks, looks)
        people = [Receiver("people", People())]
        tick(checklist, store, people, holder="me", clock=lambda: at, sleep=lambda _: None)


def page(path: Path) -> None:
    with redirect_stdout(StringIO()):
        run(["history", "--store", str(path), "--html", str(path.with_suffix(".html"))])


def sizes(path: Path, checklist: Checklist, looks: int) -> str:
    """How large a release is, and a file of many, of which half are deleted then."""
    watched(path, checklist, looks, looks)
    copy_release(path, COPIES - 1, apart=A_DAY)
    opened(path)  # and closed: nothing is left beside the file
    before = path.stat().st_size
    with Store(path) as store:
        store.prune(RELEASE.started_at - (COPIES - 1) / 2 * A_DAY)
    after = path.stat().st_size
    return f"{looks:>7}{before / COPIES / 1e3:>14.1f}   {before / 1e6:.1f} to {after / 1e6:.1f}"


def costs(one: Path, checklist: Checklist, looks: int, known: int) -> str:
    """What it costs to open a history of so many releases, to look at one of them, to find nothing
    to do, and to show all."""
    paths = {state: one.with_name(f"{state} {known}.db") for state in (State.DONE, State.ABORTED)}
    for state, path in paths.items():
        path.write_bytes(one.read_bytes())
        copy_release(path, known - 1, apart=A_DAY, state=state)
        opened(path)
    done, aborted = paths[State.DONE], paths[State.ABORTED]
    out = cost(lambda: opened(done)) + cost(lambda: one_look(done, checklist, looks))
    for path in paths.values():
        with Store(path) as store:
            store.change(store.releases(since=RELEASE.started_at)[0].id, state=State.DONE)
    out += cost(lambda: idle(done, checklist, looks)) + cost(
        lambda: idle(aborted, checklist, looks)
    )
    return out + cost(lambda: page(done))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--looks", type=int, nargs="+", default=[20, 72])
    parser.add_argument("--known", type=int, nargs="+", default=[1, 501, 2501])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checklist = shop(folder)
        print(f"{'looks':>7}{'kB a release':>14}   file of {COPIES}, half of them deleted [MB]")
        for looks in asked.looks:
            print(sizes(folder / f"{looks}.db", checklist, looks))
        parts = ("opening", "a look", "idle, done", "idle, aborted", "history --html")
        print(f"\n{'':>7}" + "".join(f"{part:>23}" for part in parts))
        print(f"{'known':>7}" + f"{'SQL':>7}{'steps':>8}{'s':>8}" * len(parts))
        watched(folder / "watched.db", checklist, asked.looks[0], asked.looks[0] - 1)
        page(folder / "watched.db")  # loads what it needs
        for known in asked.known:
            print(f"{known:>7}{costs(folder / 'watched.db', checklist, asked.looks[0], known)}")


if __name__ == "__main__":
    main()
