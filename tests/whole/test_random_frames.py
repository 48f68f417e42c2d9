"""Whatever a frame holds, it is judged, and the numbers of its report agree with each other."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest

import anomaly
from anomaly.model import Verdict
from anomaly.reporting.report import Report
from benchmarks.fuzz import problems
from benchmarks.odd_frames import OddFrame, odd_frame
from tests.support.simulations import noise, stamps

SEED, FRAMES, BATCHES = 1, 160, 4
THOROUGH = 10  # one frame of so many is judged twice, and read again from its JSON


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_frames_are_judged_and_their_reports_stand(batch: int) -> None:
    numbers = range(batch, FRAMES, BATCHES)

    found = {
        f"python -m benchmarks.fuzz --seed {SEED} --first {number} --frames 1": wrong
        for number in numbers
        if (wrong := problems(odd_frame(SEED, number), thorough=number // BATCHES % THOROUGH == 0))
    }

    assert found == {}


def test_the_same_seed_makes_the_same_frame() -> None:
    for number in range(20):
        one, other = odd_frame(SEED, number), odd_frame(SEED, number)

        assert all(a.equals(b) for a, b in zip(one.inputs, other.inputs, strict=True))
        assert repr(one.options) == repr(other.options)


DOCTORED = {
    "effect outside of its interval": {"effect": 1.0, "effect_interval": (2.0, 3.0)},
    "interval upside down": {"effect_absolute": None, "effect_absolute_interval": (3.0, 2.0)},
    "infinite": {"expected": math.inf},
    "p-value": {"p_value": 1.5},
    "failed": {"verdict": Verdict.ERROR},
    "no p-value": {"verdict": Verdict.REGRESSED, "p_value": None},
    "steps": {"steps": 9, "steps_planned": 8},
    "onset": {"onset": datetime(1999, 1, 1, tzinfo=UTC)},
    "reason": {"reason": "effect nan"},
}


@pytest.mark.parametrize("change", DOCTORED.values(), ids=DOCTORED)
def test_a_report_that_contradicts_itself_is_a_problem(change: dict[str, Any]) -> None:
    report = sound()
    doctored = replace(report, findings=tuple(replace(each, **change) for each in report.findings))

    assert problems(OddFrame((), {}, lambda: doctored))


def test_a_crash_a_changed_input_and_another_answer_are_problems() -> None:
    given = pd.DataFrame({"kpi": [1.0, 2.0]})
    reports = iter([sound(), replace(sound(), false_alarms=0.5)])

    def crash() -> Report:
        raise ZeroDivisionError

    def change() -> Report:
        given.iloc[0, 0] = 3.0
        return sound()

    assert "ZeroDivisionError" in problems(OddFrame((), {}, crash))[0]
    assert problems(OddFrame((given,), {}, change))
    assert problems(OddFrame((), {}, lambda: next(reports)), thorough=True)
    assert problems(OddFrame((), {}, sound), thorough=True) == []


def sound() -> Report:
    """A report about which nothing is wrong."""
    index = stamps(60)
    return anomaly.check(pd.Series(100 + noise(1, 60), index), released_at=index[40])
