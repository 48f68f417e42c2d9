"""What a verdict costs by the number of series and of points, one core, in memory.

python -m benchmarks.scale [--json FILE] [--write]

Everything is processor time, and a ratio to what the same machine needs at the same time for
something well known: `np.sort` of the same numbers, or `import pandas`. `--write` puts the tables
into docs/scale.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from anomaly.decision.judge import TOGETHER
from benchmarks import start_up
from benchmarks.load import Load, load_of
from benchmarks.ratios import Ratio, cpu_seconds, in_turns, output_of
from benchmarks.stages import FORMS, REPORT, SERIES, STAGES, seconds_by_stage
from benchmarks.tables import DOCS, place

PAGE = DOCS / "scale.md"
RESULT = Path("build") / "bench.json"
SIZES = {1: 21, 10: 11, 100: 7, 1000: 3}  # series, and how many rounds
PASSES = 101  # rounds of each
LENGTHS, OF_LENGTH, ROUNDS = (1, 2, 4, 8), 50, 7  # weeks, of so many series
MEMORY = (100, 1000)  # series: what one costs is the difference
CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Judging:
    """What judging costs beside `np.sort` of the same numbers; seconds are medians."""

    series: int
    points: int
    seconds: float
    sort_seconds: float
    ratio: float
    spread: tuple[float, float]

    @classmethod
    def of(cls, load: Load, rounds: int) -> Judging:
        values = load.values
        load.report()  # imports, and fills caches
        sides = in_turns(
            partial(cpu_seconds, load.report),
            partial(cpu_seconds, partial(_sort, values)),
            rounds,
        )
        return cls(
            len(values),
            values.shape[1],
            float(np.median(sides.one)),
            float(np.median(sides.other)),
            sides.value,
            sides.spread,
        )


def _sort(values: np.ndarray) -> None:
    """Sort every series, as many at a time as are judged together: with all of them at once, the
    time would be that of the memory which the copy takes."""
    for first in range(0, len(values), TOGETHER):
        np.sort(values[first : first + TOGETHER])


@dataclass(frozen=True, slots=True)
class Measured:
    """All that one run of this file finds; `memory` is the peak in bytes by the number of series,
    `stages` are seconds for `SERIES` series, `passes` what one over all numbers costs, as a part of
    `np.sort`."""

    machine: str
    sizes: Sequence[Judging]
    lengths: Sequence[Judging]
    memory: dict[int, int]
    start_up: Ratio
    stages: dict[str, float | None]
    passes: dict[str, float]

    def _sort_seconds(self) -> float:
        """Of `np.sort` of as many series as the stages were timed with."""
        (found,) = (each.sort_seconds for each in self.sizes if each.series == SERIES)
        return found

    def tables(self) -> dict[str, str]:
        """The tables in Markdown, by name."""
        return {
            "machine": f"Measured on {self.machine}.",
            "series": _sizes(self.sizes),
            "points": _lengths(self.lengths),
            "memory": _memory(self.memory),
            "start-up": _start_up(self.start_up),
            "stages": _stages(self.stages, self._sort_seconds()),
            "passes": _passes(self.passes),
        }


def measured() -> Measured:
    """Run everything: some minutes."""
    return Measured(
        machine=machine(),
        sizes=[Judging.of(load_of(series), rounds) for series, rounds in SIZES.items()],
        lengths=[Judging.of(load_of(OF_LENGTH, weeks), ROUNDS) for weeks in LENGTHS],
        memory={series: peak_of(series) for series in MEMORY},
        start_up=start_up.measured(),
        stages=seconds_by_stage(),
        passes=passes(),
    )


def passes() -> dict[str, float]:
    """What one pass of NumPy over a few series costs, as a part of `np.sort` of the same
    numbers."""
    values = np.random.default_rng(1).normal(size=(TOGETHER, load_of(1).values.shape[1]))
    positive, mask, middle = np.abs(values), values > 0, values.shape[1] // 2
    work: dict[str, Callable[[], object]] = {
        "a product, a clip, a comparison": lambda: np.clip(values, -1, 1),
        "a median": lambda: np.partition(values, middle, axis=1),
        "a running sum": lambda: np.cumsum(values, axis=1),
        "a choice by a mask": lambda: np.where(mask, values, positive),
        "an exponential": lambda: np.exp(values),
        "a root": lambda: np.sqrt(positive),
        "a logarithm": lambda: np.log(positive),
    }
    sort = partial(cpu_seconds, partial(np.sort, values, axis=1))
    return {
        name: in_turns(partial(cpu_seconds, each), sort, PASSES).value
        for name, each in work.items()
    }


def peak_of(series: int) -> int:
    """The peak of memory of a process that judges so many series, in bytes."""
    return int(output_of([sys.executable, "-m", "benchmarks.load", str(series)], DOCS.parent))


def machine() -> str:
    """The processor, and the versions that matter."""
    names = [
        line.partition(":")[2].strip()
        for line in (CPUINFO.read_text().splitlines() if CPUINFO.exists() else ())
        if line.startswith("model name")
    ]
    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "pandas", "scipy"))
    return (
        f"{names[0] if names else platform.processor() or platform.machine()} "
        f"({os.cpu_count()} cores, one used), Python {platform.python_version()}, {libraries}"
    )


def _spread(spread: tuple[float, float], digits: int) -> str:
    low, high = spread
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def _sizes(sizes: Sequence[Judging]) -> str:
    return _table(
        "series | points of each | seconds | ms a series | × `np.sort`",
        [
            f"{each.series:,} | {each.points:,} | {each.seconds:.3f} | "
            f"{1000 * each.seconds / each.series:.1f} | "
            f"{each.ratio:.0f} {_spread(each.spread, 0)}"
            for each in sizes
        ],
    )


def _lengths(lengths: Sequence[Judging]) -> str:
    return _table(
        "weeks of history | points of each | seconds | µs a point | × `np.sort`",
        [
            f"{weeks} | {each.points:,} | {each.seconds:.3f} | "
            f"{1e6 * each.seconds / each.series / each.points:.2f} | "
            f"{each.ratio:.0f} {_spread(each.spread, 0)}"
            for weeks, each in zip(LENGTHS, lengths, strict=True)
        ],
    )


def _memory(memory: dict[int, int]) -> str:
    (few, least), (many, most) = sorted(memory.items())
    points = load_of(1).values.shape[1] * 8
    rows = [f"{series:,} | {peak / 1e6:,.0f} MB" for series, peak in ((few, least), (many, most))]
    each = (most - least) / (many - few)
    more = f"one more series | {each / 1e6:.2f} MB, {each / points:.1f} × its points"
    return _table("series | peak of memory, resident", [*rows, more])


def _start_up(ratio: Ratio) -> str:
    return _table(
        "a process of its own | seconds",
        [
            f"`anomaly check` of a small CSV | {np.median(ratio.one):.2f}",
            f"`python -c '{start_up.PANDAS}'` | {np.median(ratio.other):.2f}",
            f"ratio | {ratio.value:.2f} {_spread(ratio.spread, 2)}",
        ],
    )


def _passes(passes: dict[str, float]) -> str:
    rows = [f"{name} | {share:.2f}" for name, share in passes.items()]
    return _table("one pass over the numbers | × `np.sort`", rows)


def _stages(stages: dict[str, float | None], sort_seconds: float) -> str:
    shown = {name: stages[name] or 0.0 for name in (*STAGES, REPORT, *FORMS)}
    whole = sum(shown.values())
    return _table(
        "stage | ms a series | × `np.sort` | share of the whole",
        [
            f"{name} | {1000 * seconds / SERIES:.2f} | {seconds / sort_seconds:.0f} | "
            f"{seconds / whole:.0%}"
            for name, seconds in shown.items()
        ],
    )


def _table(head: str, rows: Sequence[str]) -> str:
    names = head.split(" | ")
    rule = "|".join(["---", *["---:"] * (len(names) - 1)])
    return "\n".join([f"| {head} |", f"|{rule}|", *(f"| {row} |" for row in rows)])


def options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, default=RESULT, help=f"default: {RESULT}")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scale.md")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    chosen = options(arguments)
    result = measured()
    plain: dict[str, Any] = asdict(result)
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    for name, table in result.tables().items():
        print(f"\n{table}")
        if chosen.write:
            place(name, table, PAGE)
    print(f"\nwritten: {chosen.json}")


if __name__ == "__main__":
    main(sys.argv[1:])
