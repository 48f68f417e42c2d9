"""The micro-benchmarks: every stage is still where it is timed, and no time is counted twice."""

from __future__ import annotations

import pytest

from anomaly.scoring import replay, score
from benchmarks.load import load_of, peak_bytes
from benchmarks.stages import FORMS, REPORT, STAGES, Stopwatch, found, seconds_by_stage


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lies_where_it_is_timed(stage: str) -> None:
    assert any(map(found, STAGES[stage])), f"benchmarks/stages.py: {STAGES[stage]}"


def test_a_stage_that_is_nowhere_is_none() -> None:
    assert found("anomaly.no_such_module:function") is None
    assert found("anomaly.panel:no_such_function") is None


def test_a_stage_inside_another_is_not_counted_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("benchmarks.stages.time.process_time", lambda: now)

    def busy(seconds: float) -> None:
        nonlocal now
        now += seconds

    watch = Stopwatch()
    inner = watch.timed("inner", lambda: busy(2))

    def outer() -> None:
        busy(1)
        inner()
        busy(4)
        inner()

    watch.timed("outer", outer)()

    assert watch.seconds == {"inner": 4, "outer": 5}


def test_functions_are_timed_wherever_they_were_imported_and_put_back_afterwards() -> None:
    places = (vars(score), vars(replay))
    before = [place["scores"] for place in places]
    with Stopwatch().on({"scores": ("anomaly.scoring.replay:scores",)}):
        assert all(place["scores"] is not before[0] for place in places)

    assert [place["scores"] for place in places] == before


@pytest.mark.slow
def test_every_stage_and_form_takes_part_in_a_verdict() -> None:
    costs = seconds_by_stage(series=4, times=1)

    assert all(costs[name] for name in ("judging", *STAGES, REPORT, *FORMS))


def test_a_load_is_the_same_every_time_and_as_long_as_it_says() -> None:
    one, other = load_of(5, weeks=1), load_of(5, weeks=1)

    assert one.collected.panel.equals(other.collected.panel)
    assert one.values.shape == (5, 8 * 288)
    assert peak_bytes() > one.values.nbytes
