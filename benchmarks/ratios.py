"""Two things timed in turns, and the ratio of what they cost.

Costs are seconds of processor time, user and system: another process on the machine makes them
longer by a little, and both sides alike. So only ratios of one run mean something.
"""

from __future__ import annotations

import gc
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RESAMPLES, CONFIDENCE = 4000, 0.99
# what makes one run unlike the other, or unlike that of a user
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "VIRTUAL_ENV", "PYTHONMALLOC")
} | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


@dataclass(frozen=True, slots=True)
class Ratio:
    """What one and the other cost in the same rounds, in the same unit."""

    one: tuple[float, ...]
    other: tuple[float, ...]

    @property
    def value(self) -> float:
        """The ratio of the medians."""
        return float(np.median(self.one) / np.median(self.other))

    @property
    def spread(self) -> tuple[float, float]:
        """The quartiles of the rounds' own ratios."""
        low, high = np.quantile(np.divide(self.one, self.other), (0.25, 0.75))
        return float(low), float(high)

    def interval(self) -> tuple[float, float]:
        """99 % of a bootstrap of the rounds, of the ratio of the medians; seeded."""
        rounds = np.random.default_rng(1).integers(0, len(self.one), (RESAMPLES, len(self.one)))
        one, other = (np.median(np.array(each)[rounds], axis=1) for each in (self.one, self.other))
        low, high = np.quantile(one / other, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
        return float(low), float(high)


def in_turns(one: Callable[[], float], other: Callable[[], float], rounds: int) -> Ratio:
    """Both, `rounds` times each; who is first changes with the round."""
    found: list[tuple[float, float]] = []
    for number in range(rounds):
        if number % 2:
            last = other()
            found.append((one(), last))
        else:
            found.append((one(), other()))
    return Ratio(tuple(first for first, _ in found), tuple(last for _, last in found))


def cpu_seconds(work: Callable[[], object]) -> float:
    """What a call costs, without the garbage of what was before it."""
    gc.collect()
    began = time.process_time()
    work()
    return time.process_time() - began


def output_of(command: Sequence[str], folder: Path) -> str:
    """What a process of its own prints; RuntimeError with its last words where it fails."""
    done = subprocess.run(  # noqa: S603  the command is the benchmark's own
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise RuntimeError(f"{' '.join(command)} in {folder} ended with {done.returncode}: {last}")
    return done.stdout


def cpu_of(command: Sequence[str], folder: Path) -> float:
    """What a process of its own costs, from start to end; RuntimeError where it fails."""
    process = subprocess.Popen(  # noqa: S603  the command is the benchmark's own
        command,
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime
