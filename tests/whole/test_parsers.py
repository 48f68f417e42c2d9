"""Whatever a parser is given, it answers, or refuses on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.odd_inputs import doors, odd_input
from benchmarks.parsers import main, problem

SEED = 7
INPUTS = {"history file": 25, "arguments": 150, "page": 60, "JSON": 100}
USUAL = 150


@pytest.mark.slow
@pytest.mark.parametrize("door", doors())
def test_odd_inputs_are_answered_or_refused(tmp_path: Path, door: str) -> None:
    run = f"python -m benchmarks.parsers --doors '{door}' --seed {SEED} --inputs 1 --first"

    found = {
        f"{run} {number}": kind
        for number in range(INPUTS.get(door, USUAL))
        if (kind := problem(door, SEED, number, tmp_path))
    }

    assert found == {}


ONCE_CRASHED = {
    "moments with a zone, one of them unreadable": ("Parquet", 2911, 4806),
    "more processes than a number holds": ("arguments", 2911, 8759),
    "a step before all stamps": ("JSON", 2911, 17157),
    "a sheet of 200,000 columns": ("workbook", 2911, 7236),
    "a least text that is none": ("Parquet", 2911, 26688),
    "damage of which pyarrow ends the process when it is asked about it": ("Parquet", 2911, 6637),
}


@pytest.mark.parametrize(("door", "seed", "number"), ONCE_CRASHED.values(), ids=ONCE_CRASHED)
def test_what_once_crashed_is_answered_or_refused(
    tmp_path: Path, door: str, seed: int, number: int
) -> None:
    assert problem(door, seed, number, tmp_path) == ""


@pytest.mark.parametrize("door", doors())
def test_the_same_seed_makes_the_same_input(door: str) -> None:
    for number in range(5):
        assert repr(odd_input(door, SEED, number)) == repr(odd_input(door, SEED, number))


def test_a_crash_is_a_problem_and_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(text: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("benchmarks.odd_inputs.parse_step", crash)

    assert main(["--doors", "times,releases", "--inputs", "60"]) == 1
    said = capsys.readouterr().out
    assert "times: ZeroDivisionError at" in said
    assert "60 inputs, 1 kinds of problem, seed 1" in said
