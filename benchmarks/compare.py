"""What changed between two revisions, and whether it is more than noise.

python -m benchmarks.compare A B

Both revisions are checked out beside this one, each with the environment that it locks, and run the
micro-benchmarks of this revision in turns, a new process each. A line is B as a ratio to A, with
99 % of a bootstrap over the rounds; without 1 in it, the two differ by more than noise. Ends with 1
if B is dearer by more than noise and by more than `BOUND` in something a user waits for (`WAITED`),
and with 0 otherwise: single stages say where it is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import start_up
from benchmarks.ratios import ENVIRONMENT, Ratio, cpu_of, output_of
from benchmarks.stages import FORMS

ROOT = Path(__file__).parents[1]
ROUNDS, SERIES = 10, 40
BOUND = 1.10
START_UP, PEAK = "start-up", "peak"
WAITED = ("judging", *FORMS, START_UP, PEAK)
SMALL = 0.002  # of what judging costs, in both: too little to be timed

Costs = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Side:
    """A revision: its name, and where it is checked out."""

    name: str
    folder: Path

    @property
    def python(self) -> str:
        return str(self.folder / ".venv" / "bin" / "python")

    def costs(self) -> Costs:
        """What each stage costs, and a small check from start to end."""
        stages = json.loads(
            output_of([self.python, "-m", "benchmarks.stages", str(SERIES)], self.folder)
        )
        with tempfile.TemporaryDirectory() as name:
            start_up.write(Path(name))
            return {**stages, START_UP: cpu_of([self.python, *start_up.RUN], Path(name))}


@dataclass(frozen=True, slots=True)
class Change:
    """How B compares with A in one thing; the ratio is None where one of them has no such thing."""

    name: str
    ratio: Ratio | None = None

    @property
    def word(self) -> str:
        """`dearer`, `cheaper`, empty within noise."""
        if self.ratio is None:
            return "only in one"
        low, high = self.ratio.interval()
        return "dearer" if low > 1 else "cheaper" if high < 1 else ""

    @property
    def is_regression(self) -> bool:
        """Whether a user has to wait longer, or needs more memory."""
        if self.ratio is None or self.name not in WAITED:
            return False
        return self.word == "dearer" and self.ratio.value > BOUND

    def line(self) -> str:
        if self.ratio is None:
            return f"{self.name:18}{'':32}{self.word}"
        low, high = self.ratio.interval()
        return (
            f"{self.name:18}{self.ratio.value:8.3f}  [{low:.3f}, {high:.3f}]"
            f"{'':6}{self.word}{'  REGRESSION' if self.is_regression else ''}"
        ).rstrip()


def changes(before: Sequence[Costs], after: Sequence[Costs]) -> list[Change]:
    """What changed from the rounds of one revision to those of another."""
    out = []
    for name in before[0] | after[0]:
        old, new = ([each.get(name) for each in rounds] for rounds in (before, after))
        one = tuple(each for each in old if each is not None)
        other = tuple(each for each in new if each is not None)
        if len(one) < len(before) or len(other) < len(after):
            if one or other:
                out.append(Change(name))
        elif not _is_small(name, one, before) or not _is_small(name, other, after):
            out.append(Change(name, Ratio(other, one)))
    return out


def _is_small(name: str, costs: Sequence[float], rounds: Sequence[Costs]) -> bool:
    whole = np.median([each["judging"] or 0.0 for each in rounds])
    return name not in WAITED and bool(np.median(costs) < SMALL * whole)


def in_rounds(one: Side, other: Side, rounds: int) -> list[Change]:
    """Both sides in turns; who is first changes with the round. A round before them compiles what
    is not yet compiled."""
    found: dict[Side, list[Costs]] = {one: [], other: []}
    for number in range(rounds + 1):
        for side in (one, other) if number % 2 else (other, one):
            found[side].append(side.costs())
        print(f"\rround {number} of {rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return changes(found[one][1:], found[other][1:])


@contextmanager
def checked_out(name: str, folder: Path) -> Iterator[Side]:
    """A revision in a worktree of its own, with its own environment and the benchmarks of this
    one."""
    commit = _said(["git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"], ROOT)
    _said(["git", "worktree", "add", "--detach", "--quiet", str(folder), commit], ROOT)
    try:
        shutil.rmtree(folder / "benchmarks", ignore_errors=True)
        shutil.copytree(ROOT / "benchmarks", folder / "benchmarks")
        uv = Path(sys.executable).parent / "uv"
        _said([str(uv), "sync", "--frozen", "--no-dev", "--quiet"], folder)
        yield Side(name, folder)
    finally:
        _said(["git", "worktree", "remove", "--force", str(folder)], ROOT)


def _said(command: Sequence[str], folder: Path) -> str:
    """What a command says; ends the run with its words where it fails."""
    done = subprocess.run(  # noqa: S603  git and uv
        command,
        cwd=folder,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed: {done.stderr.strip() or done.returncode}")
    return done.stdout.strip()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("a", metavar="A", help="the revision before")
    parser.add_argument("b", metavar="B", help="the revision after")
    chosen = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory() as name,
        checked_out(chosen.a, Path(name) / "a") as one,
        checked_out(chosen.b, Path(name) / "b") as other,
    ):
        found = in_rounds(one, other, ROUNDS)
    print(f"{'B / A':18}{'ratio':>8}  [99 %]")
    for change in found:
        print(change.line())
    return int(any(change.is_regression for change in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
