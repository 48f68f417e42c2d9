"""One `anomaly check` from a file to the report as JSON, in processes of its own.

python -m benchmarks.end_to_end [--series N …] [--jobs N] [--write]

It prints the seconds on the wall, those of all processors together, also as a ratio to `np.sort` of
the same numbers before and after, and the most memory of all processes at one time (the
proportional set size, which counts shared pages once; Linux). `--write` puts the table into
docs/scale.md.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import numpy as np
import pandas as pd

from benchmarks.quiet import Floats
from benchmarks.ratios import ENVIRONMENT
from benchmarks.tables import DOCS, place

PAGE = DOCS / "scale.md"
SERIES, KPIS, JOBS = (1_000, 10_000), 20, 2
STARTED = datetime(2025, 6, 3, tzinfo=UTC)
WATCH, HISTORY, STEP = timedelta(days=1), timedelta(days=28), "5min"
CHECKLIST = """\
service: shop
sources: {data: {type: files, path: data.parquet, layout: long, max_bytes: 100000000000}}
windows: {history: 28d, warmup: 0s, watch: 24h, step: 5m}
kpis:
"""
GROUP = 1 << 20  # rows of the file that are read together
EVERY = 0.3  # seconds between two looks at the memory
PSS = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)
RUN = ["-c", "import sys; from anomaly.__main__ import main; sys.exit(main())", "check"]


def counts(kpis: int, segments: int) -> Iterator[Floats]:
    """The counts of each KPI `(segments, steps)`, that have a day; seeded."""
    steps = np.arange((HISTORY + WATCH) // pd.Timedelta(STEP))
    day = 100 * (1 + 0.3 * np.sin(steps / 288 * 2 * np.pi))
    for kpi in range(kpis):
        yield np.random.default_rng([1, kpi]).poisson(day, (segments, len(day))).astype(float)


def write(folder: Path, kpis: int, segments: int) -> Path:
    """A Parquet file of counts, one KPI after another, and the checklist over it; returns the path
    of the latter."""
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow.parquet import ParquetWriter  # type: ignore[import-untyped]

    index = pd.date_range(STARTED - HISTORY, STARTED + WATCH, freq=STEP, inclusive="left")
    stamps = index.as_unit("us").asi8
    names = [f"s{segment:05}" for segment in range(segments)]
    lines, writer = [], None
    for number, values in enumerate(counts(kpis, segments)):
        name = f"kpi{number:03}"
        lines.append(
            f"  - {{name: {name}, source: data, query: {name}, by: [segment], kind: counts}}"
        )
        table = pa.table(
            {
                "time": pa.array(np.tile(stamps, segments), pa.timestamp("us", "UTC")),
                "kpi": np.repeat([name], values.size),
                "segment": np.repeat(names, len(index)),
                "value": values.ravel(),
            }
        )
        writer = writer or ParquetWriter(folder / "data.parquet", table.schema)
        writer.write_table(table, row_group_size=GROUP)
    if writer is not None:
        writer.close()
    path = folder / "checklist.yaml"
    path.write_text(CHECKLIST + "\n".join(lines) + "\n", encoding="utf-8")
    return path


@dataclass(slots=True)
class Memory:
    """What a process and those that it started hold together, in bytes; the `peak` grows while it
    is `watched`."""

    peak: int = 0
    done: threading.Event = field(default_factory=threading.Event)

    def watched(self, process: int) -> None:
        while not self.done.wait(EVERY):
            self.peak = max(self.peak, sum(map(resident, family(process))))


def family(process: int) -> list[int]:
    """A process and those that it started."""
    try:
        files = Path(f"/proc/{process}/task").glob("*/children")
        started = [int(word) for file in files for word in file.read_text().split()]
    except OSError:
        started = []
    return [process, *(each for child in started for each in family(child))]


def resident(process: int) -> int:
    """Its bytes in memory, and its part of those that it shares; 0 once it is gone."""
    try:
        found = PSS.search(Path(f"/proc/{process}/smaps_rollup").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


@dataclass(frozen=True, slots=True)
class Run:
    """What one check took."""

    series: int
    jobs: int
    seconds: float
    cpu: float
    sort: float
    peak: int

    @classmethod
    def of(cls, series: int, jobs: int) -> Run:
        """A check of so many series; RuntimeError where it does not pass."""
        segments = series // KPIS
        with tempfile.TemporaryDirectory() as name:
            checklist = write(Path(name), KPIS, segments)
            line = [*RUN, str(checklist), "--released-at", STARTED.isoformat(), "--jobs", str(jobs)]
            line += ["--until", (STARTED + WATCH).isoformat(), "--output", "json"]
            before = sorting(segments)
            memory, used, began = Memory(), cpu_of_children(), time.perf_counter()
            with (Path(name) / "report.json").open("wb") as file:
                process = subprocess.Popen(  # noqa: S603  the command is the benchmark's own
                    [sys.executable, *line], env=ENVIRONMENT, stdout=file, cwd=DOCS.parent
                )
                watch = threading.Thread(target=memory.watched, args=(process.pid,))
                watch.start()
                status = process.wait()
                seconds, cpu = time.perf_counter() - began, cpu_of_children() - used
                memory.done.set()
                watch.join()
        if status:
            raise RuntimeError(f"the check of {series} series ended with {status}")
        sort = (before + sorting(segments)) / 2
        return cls(KPIS * segments, jobs, seconds, cpu, sort, memory.peak)

    def row(self) -> str:
        return (
            f"| {self.series:,} | {self.jobs} | {self.cpu:.0f} | "
            f"{1000 * self.cpu / self.series:.1f} | {self.cpu / self.sort:.0f} | "
            f"{self.peak / 2**20:,.0f} MiB |"
        )


def sorting(segments: int) -> float:
    """Seconds of the processor that `np.sort` of the same numbers takes, one KPI at a time."""
    seconds = 0.0
    for values in counts(KPIS, segments):
        began = time.process_time()
        np.sort(values, axis=1)
        seconds += time.process_time() - began
    return seconds


def cpu_of_children() -> float:
    """Seconds of the processor of all processes that this one started and that are over."""
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def table(runs: Sequence[Run]) -> str:
    """The runs in Markdown."""
    head = "series | processes | seconds of all | ms a series | × `np.sort` | memory"
    rule = "|".join(["---:"] * (head.count("|") + 1))
    return "\n".join([f"| {head} |", f"|{rule}|", *(run.row() for run in runs)])


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--series", type=int, nargs="+", default=[*SERIES])
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--write", action="store_true", help="put the table into docs/scale.md")
    asked = parser.parse_args(arguments)
    runs = []
    for series in asked.series:
        run = Run.of(series, asked.jobs)
        print(f"{run.series:,} series: {run.seconds:.0f} s on the wall", flush=True)
        runs.append(run)
    text = table(runs)
    print(f"\n{text}")
    if asked.write:
        place("end to end", text, PAGE)


if __name__ == "__main__":
    main(sys.argv[1:])
