"""One check by one process, by two, by parts, and by a cluster of two workers on loopback, one of
which is killed in the middle: how long each takes, and that the answer is the same.

Run: python -m benchmarks.cluster [KPIS [SEGMENTS]]
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from anomaly.checklist.checklist import Checklist, load
from anomaly.engine.cluster import cluster
from anomaly.engine.processes import processes
from anomaly.engine.workers import Workers
from anomaly.model import Release
from anomaly.partials.inquiry import shards
from anomaly.partials.partial import Partial
from anomaly.pipeline import check_release, concluded, inquiry_of, partials_of
from anomaly.reporting.archive import data_of
from anomaly.reporting.report import Report

KPIS, SEGMENTS = 8, 25
STARTED = datetime(2025, 6, 3, tzinfo=UTC)
NOW = STARTED + timedelta(hours=25)
STEP, HISTORY = "5min", timedelta(days=28)
WORKERS, PARTS = 2, 2
CHECKLIST = """\
service: shop
sources: {data: {type: files, path: data.parquet, layout: long}}
windows: {history: 28d, warmup: 0s, watch: 24h, step: 5m}
kpis:
"""


def write(folder: Path, kpis: int, segments: int) -> Checklist:
    """A file of counts that have a day, 8,352 steps each, and the checklist over it."""
    index = pd.date_range(STARTED - HISTORY, NOW - timedelta(hours=1), freq=STEP, inclusive="left")
    day = 100 * (1 + 0.3 * np.sin(np.arange(len(index)) / 288 * 2 * np.pi))
    counts = np.random.default_rng(1).poisson(day, (kpis * segments, len(index)))
    names = [
        (f"kpi{kpi:03}", f"s{segment:05}") for kpi in range(kpis) for segment in range(segments)
    ]
    pd.DataFrame(
        {
            "time": np.tile(index, len(names)),
            "kpi": np.repeat([kpi for kpi, _ in names], len(index)),
            "segment": np.repeat([segment for _, segment in names], len(index)),
            "value": counts.ravel().astype(float),
        }
    ).to_parquet(folder / "data.parquet", index=False)
    lines = [
        f"  - {{name: {name}, source: data, query: {name}, by: [segment], kind: counts}}\n"
        for name in dict.fromkeys(kpi for kpi, _ in names)
    ]
    path = folder / "checklist.yaml"
    path.write_text(CHECKLIST + "".join(lines))
    return load(path)


def judge(checklist: Checklist, workers: Workers, told: Callable[[int, int], None]) -> Report:
    return check_release(checklist, Release(STARTED), now=NOW, workers=workers, judging=told)


def in_parts(checklist: Checklist) -> Report:
    """The answer of parts that know nothing of each other."""
    inquiry = inquiry_of(checklist, Release(STARTED), now=NOW)
    divisions = [*enumerate(shards(inquiry.kpis))]
    found: dict[int, Partial] = {}
    for part in range(PARTS):
        mine = divisions[part::PARTS]
        partials = partials_of(checklist, inquiry, [shard for _, shard in mine])
        found |= dict(zip((place for place, _ in mine), partials, strict=True))
    return concluded(checklist, inquiry, [found[place] for place, _ in divisions], now=NOW)


def on_cluster(checklist: Checklist, *, kill: bool) -> Report:
    """The answer of two workers; with `kill` one of them ends once a KPI is done."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=WORKERS,
        threads_per_worker=1,
        dashboard_address=None,
        host="127.0.0.1",
        silence_logs=logging.CRITICAL,
    ) as local:

        def told(done: int, _: int) -> None:
            if kill and done == 1:
                local.workers[0].process.process.kill()

        with cluster(local.scheduler_address.replace("tcp://", "dask://")) as workers:
            return judge(checklist, workers, told)


def main() -> None:
    asked = [int(word) for word in sys.argv[1:]]
    kpis, segments = asked + [KPIS, SEGMENTS][len(asked) :]
    with tempfile.TemporaryDirectory() as folder:
        checklist = write(Path(folder), kpis, segments)

        def by_processes(jobs: int) -> Report:
            with processes(jobs) as workers:
                return judge(checklist, workers, lambda *_: None)

        ways: dict[str, Callable[[], Report]] = {
            "one process": lambda: by_processes(1),
            f"--jobs {WORKERS}": lambda: by_processes(WORKERS),
            f"{PARTS} parts, merged": lambda: in_parts(checklist),
            f"dask, {WORKERS} workers": lambda: on_cluster(checklist, kill=False),
            "dask, one worker killed": lambda: on_cluster(checklist, kill=True),
        }
        print(f"{kpis} KPIs of {segments} segments, 8,352 steps each")
        first = None
        for name, way in ways.items():
            began = time.perf_counter()
            report = way()
            took = time.perf_counter() - began
            answer = data_of(report)
            first = answer if first is None else first
            same = "the same answer" if answer == first else "ANOTHER ANSWER"
            print(f"{name:<24}{took:7.1f} s   {report.verdict}, {same}", flush=True)


if __name__ == "__main__":
    main()
