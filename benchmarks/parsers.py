"""Give odd inputs to every parser and check that each is answered, or refused on purpose.

python -m benchmarks.parsers [--inputs 1000000] [--seed 1] [--doors page,JSON]

Prints how many inputs each parser got, and every kind of other error: where it was raised, how
often, and the number of its first input; `--inputs 1 --first N` tries input N alone and shows how
it crashed.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from anomaly.errors import AnomalyError
from benchmarks.odd_inputs import doors, odd_input

SLOW_S = 5.0  # of processor time
SHARES = {  # of all inputs; the rest is shared evenly
    "arguments": 0.04,
    "history file": 0.002,
    "page": 0.01,
    "JSON": 0.02,
    "Parquet": 0.08,
    "workbook": 0.06,
    "CSV": 0.08,
    "checklist": 0.06,
    "cases": 0.04,
    "Prometheus answer": 0.06,
}
PACKAGE = "/anomaly/"


def problem(door: str, seed: int, number: int, folder: Path) -> str:
    """The kind of what went wrong with an input, and where; empty if nothing did."""
    value = odd_input(door, seed, number)
    started = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            doors()[door].enter(value, folder)
    except AnomalyError:
        pass
    except Exception as error:  # noqa: BLE001  whatever it is, it is a problem
        return f"{type(error).__name__} at {_place(error)}"
    finally:
        for left in folder.iterdir():
            left.unlink()
    return "too slow" if time.process_time() - started > SLOW_S else ""


def _place(error: BaseException) -> str:
    """The innermost line of the package that the error passed."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if PACKAGE in frame.filename and "site-packages" not in frame.filename
    ]
    if not frames:
        return "no line of the package"
    return f"{frames[-1].filename.rpartition(PACKAGE)[2]}:{frames[-1].lineno}"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.parsers", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--doors", default=",".join(doors()))
    asked = parser.parse_args(arguments)
    names = asked.doors.split(",")
    kinds: Counter[str] = Counter()
    total, started = 0, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for name, count in _shared(names, asked.inputs).items():
            began = time.perf_counter()
            for number in range(asked.first, asked.first + count):
                kind = problem(name, asked.seed, number, Path(folder))
                if kind and not kinds[f"{name}: {kind}"]:
                    where = f"--doors '{name}' --seed {asked.seed} --inputs 1 --first {number}"
                    print(f"{name}: {kind}: {where}", flush=True)
                if kind:
                    kinds[f"{name}: {kind}"] += 1
                if kind and asked.inputs == 1:
                    doors()[name].enter(odd_input(name, asked.seed, number), Path(folder))
            total += count
            print(f"{name}: {count:,} inputs, {time.perf_counter() - began:.0f} s", flush=True)
    for kind, count in kinds.most_common():
        print(f"{count:,} times {kind}")
    seconds = time.perf_counter() - started
    print(f"{total:,} inputs, {len(kinds)} kinds of problem, seed {asked.seed}, {seconds:.0f} s")
    return 1 if kinds else 0


def _shared(names: Sequence[str], inputs: int) -> dict[str, int]:
    """How many inputs each door gets."""
    if inputs < len(names) or len(names) == 1:
        return dict.fromkeys(names, max(1, inputs // len(names)))
    rest = [name for name in names if name not in SHARES]
    left = max(0.0, 1 - sum(SHARES.get(name, 0) for name in names))
    shares = {name: SHARES.get(name, left / max(1, len(rest))) for name in names}
    return {name: max(1, round(inputs * share)) for name, share in shares.items()}


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(main(sys.argv[1:]))
