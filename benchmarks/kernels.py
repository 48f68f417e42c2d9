"""What a compiled kernel of our own would gain: python -m benchmarks.kernels [--write]

Four steps of judging, each as it is in the package and as a kernel of Numba (`make peers` installs
it) that does all of its passes in one. Both answer the same to the last bit, or the benchmark
fails. `--write` puts the table into docs/scale.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from anomaly.baseline import season
from anomaly.baseline.robust import Floats, median, running_sums
from anomaly.decision.judge import TOGETHER
from anomaly.scoring import questions, replay
from benchmarks.load import STEP, WATCH, WEEK, WEEKS, load_of
from benchmarks.ratios import Ratio, cpu_seconds, in_turns
from benchmarks.tables import DOCS, place

PAGE = DOCS / "scale.md"
ROUNDS, TIMES = 21, 20  # so many calls in each round
ORIGINS, QUESTIONS = 400, 60  # about as many as there are
Compiler = Callable[[Callable[..., Floats]], Callable[..., Floats]]
DAY = int(24 * 3600 / STEP.total_seconds())


@dataclass(frozen=True, slots=True)
class Gain:
    """What a step costs as it is, by what it costs as a kernel; and what it cost to compile that,
    in seconds."""

    step: str
    ratio: Ratio
    compiling: float


def gains() -> list[Gain]:
    """Each step beside its kernel. RuntimeError where they differ."""
    from numba import njit

    kernels = kernels_by(njit)
    return [
        _gain(step, as_it_is, partial(kernels[name], *values))
        for step, as_it_is, name, values in steps(load_of(TOGETHER).values)
    ]


def _gain(step: str, as_it_is: Callable[[], Floats], kernel: Callable[[], Floats]) -> Gain:
    began = time.process_time()
    answer = kernel()
    compiling = time.process_time() - began
    if not np.array_equal(as_it_is(), answer, equal_nan=True):
        raise RuntimeError(f"{step}: the kernel answers something else")
    return Gain(step, in_turns(_often(as_it_is), _often(kernel), ROUNDS), compiling)


def _often(work: Callable[[], Floats]) -> Callable[[], float]:
    return partial(cpu_seconds, lambda: [work() for _ in range(TIMES)])


def steps(values: Floats) -> list[tuple[str, Callable[[], Floats], str, tuple[Any, ...]]]:
    """The steps of judging these series `(series, time)`: what each is, how it is done now, the
    name of its kernel, and what that takes."""
    rng = np.random.default_rng(1)
    before = int(WEEKS * WEEK / STEP)
    few = values[: season.TOGETHER, :before]
    days = few.reshape(len(few), -1, DAY)
    origins = np.append(np.sort(rng.choice(before - DAY, ORIGINS, replace=False)), before)
    counts = running_sums(np.isfinite(values)).copy()
    line = SimpleNamespace(
        before=before,
        after=int(WATCH / STEP),
        gap=0,
        origins=origins,
        usual_sums=counts,
        present_sums=counts,
        innovation_sums=counts,
    )
    sums, usual = running_sums(values), questions._Windows(line)  # type: ignore[arg-type]
    scores, weights = rng.normal(size=(QUESTIONS, len(values), replay.JOINT)), np.ones(QUESTIONS)

    def windows() -> Floats:
        usual.counts.clear()
        means, enough = usual.means_of(sums, counts)
        return np.where(enough, means, np.nan)

    return [
        ("each day's median without itself", lambda: season._medians(days)[1], "others", (days,)),
        ("a median of all steps", lambda: median(values), "middle", (values,)),
        (
            "means over windows",
            windows,
            "means",
            (sums, counts, usual.stop, origins, usual.fits, questions.MIN_SHARE),
        ),
        (
            "scores put together",
            lambda: replay.combine(scores, weights),
            "combined",
            (scores, weights, replay.SCORE_WEIGHT),
        ),
    ]


def kernels_by(compiled: Compiler) -> dict[str, Callable[..., Floats]]:
    """The kernels by name, by a compiler that works at the first call."""

    @compiled
    def others(days: Floats) -> Floats:  # of an even number of them
        series, count, phases = days.shape
        out, low = np.empty(days.shape), count // 2 - 1
        ranked = np.empty((count, phases))
        for s in range(series):
            ranked[:] = days[s]
            for turn in range(count):  # a sorting network: wide instructions take many phases
                for i in range(turn % 2, count - 1, 2):
                    for p in range(phases):
                        one, other = ranked[i, p], ranked[i + 1, p]
                        ranked[i, p], ranked[i + 1, p] = min(one, other), max(one, other)
            for d in range(count):
                for p in range(phases):
                    is_below = days[s, d, p] <= ranked[low, p]
                    out[s, d, p] = ranked[low + 1, p] if is_below else ranked[low, p]
        return out

    @compiled
    def middle(values: Floats) -> Floats:  # of an even number of them
        out, size = np.empty(len(values)), values.shape[1]
        for s in range(len(values)):
            row = values[s].copy()
            first, last, at = 0, size - 1, size // 2
            while first < last:
                pivot, i, j = row[(first + last) // 2], first, last
                while i <= j:
                    while row[i] < pivot:
                        i += 1
                    while row[j] > pivot:
                        j -= 1
                    if i <= j:
                        row[i], row[j] = row[j], row[i]
                        i, j = i + 1, j - 1
                first, last = (first, j) if at <= j else (i, last) if at >= i else (at, at)
            out[s] = row[:at].max() / 2 + row[at] / 2
        return out

    @compiled
    def means(
        sums: Floats, counts: Floats, stop: Any, origins: Any, fits: Any, least: float
    ) -> Floats:
        out = np.empty((len(stop), len(sums), len(origins)))
        for k in range(len(stop)):
            for s in range(len(sums)):
                for o in range(len(origins)):
                    count = counts[s, stop[k, o]] - counts[s, origins[o]]
                    total = sums[s, stop[k, o]] - sums[s, origins[o]]
                    is_enough = fits[k, o] and count >= max(1.0, least * count)
                    out[k, s, o] = total / max(count, 1.0) if is_enough else np.nan
        return out

    @compiled
    def combined(scores: Floats, weights: Floats, factor: float) -> Floats:
        out, whole = np.empty(scores.shape[1:]), weights.sum()
        for s in range(scores.shape[1]):
            for o in range(scores.shape[2]):
                top, total = 0.0, 0.0
                for q in range(len(scores)):
                    top = max(top, factor * max(scores[q, s, o], 0.0) ** 2)
                for q in range(len(scores)):
                    total += np.exp(factor * max(scores[q, s, o], 0.0) ** 2 - top) * weights[q]
                out[s, o] = top + np.log(total / whole)
        return out

    return {"others": others, "middle": middle, "means": means, "combined": combined}


def table(found: list[Gain]) -> str:
    """The gains in Markdown."""
    rows = ["| a step | NumPy, ms | kernel, ms | times as fast |", "|---|---:|---:|---:|"]
    for each in found:
        as_it_is, kernel = (
            1000 * float(np.median(side)) / TIMES for side in (each.ratio.one, each.ratio.other)
        )
        low, high = each.ratio.spread
        times = f"{each.ratio.value:.1f} [{low:.1f}, {high:.1f}]"
        rows.append(f"| {each.step} | {as_it_is:.2f} | {kernel:.2f} | {times} |")
    seconds = sum(each.compiling for each in found)
    return "\n".join([*rows, "", f"Compiling these four takes {seconds:.1f} s of each process."])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the table into docs/scale.md")
    write = parser.parse_args().write
    text = table(gains())
    print(text)
    if write:
        place("kernels", text, PAGE)


if __name__ == "__main__":
    main()
