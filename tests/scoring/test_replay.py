"""A claim that its counterpart does not share counts for less, and answers are combined by their
weights."""

from __future__ import annotations

import numpy as np
import pytest

from anomaly.model import Direction
from anomaly.scoring.power import _combined
from anomaly.scoring.question_kinds import SPECS, QuestionKind
from anomaly.scoring.questions import Question
from anomaly.scoring.replay import bad_answers, combine, shrunk_scores

SIZES = {
    QuestionKind.LEVEL: (32, 64),
    QuestionKind.LEVEL_BEFORE: (8, 64),
    QuestionKind.TYPICAL: (64,),
    QuestionKind.TYPICAL_BEFORE: (64,),
    QuestionKind.JUMP: (8,),
}
QUESTIONS = [
    Question(kind, size, np.empty((1, 0))) for kind, sizes in SIZES.items() for size in sizes
]
LEVEL_32, LEVEL, BEFORE_8, BEFORE, TYPICAL, TYPICAL_BEFORE, JUMP = range(len(QUESTIONS))


def after(**scores: float) -> list[float]:
    """The shrunk scores, of which all others were 0."""
    up = np.zeros((len(QUESTIONS), 1))
    for name, score in scores.items():
        up[globals()[name]] = score
    return [float(each) for each in shrunk_scores(QUESTIONS, up)[:, 0]]


@pytest.mark.parametrize("sign", [1, -1])
def test_what_all_share_counts_in_full(sign: int) -> None:
    shared = dict.fromkeys(
        ("LEVEL_32", "LEVEL", "BEFORE_8", "BEFORE", "TYPICAL", "TYPICAL_BEFORE", "JUMP"), 4.0 * sign
    )

    assert after(**shared) == [*shared.values()]


@pytest.mark.parametrize("sign", [1, -1])
def test_an_incident_that_ended_counts_less(sign: int) -> None:
    found = after(JUMP=4.0 * sign, BEFORE_8=4.0 * sign)

    assert found[JUMP] == found[BEFORE_8] == pytest.approx(2.8 * sign)
    assert after(JUMP=4.0 * sign, LEVEL_32=-4.0 * sign)[JUMP] == pytest.approx(1.6 * sign)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_level_that_was_so_just_before_counts_less(sign: int) -> None:
    found = after(LEVEL=4.0 * sign, TYPICAL=4.0 * sign)

    assert found[LEVEL] == found[TYPICAL] == pytest.approx(2.8 * sign)


@pytest.mark.parametrize("counterpart", ["BEFORE", "TYPICAL_BEFORE"])
def test_a_level_counts_in_full_if_one_of_its_counterparts_shares_it(counterpart: str) -> None:
    assert after(LEVEL=4.0, **{counterpart: 1.0})[LEVEL] == 4.0


def test_a_missing_counterpart_shrinks_nothing_and_little_is_not_shrunk() -> None:
    assert after(LEVEL=4.0, BEFORE=np.nan, TYPICAL_BEFORE=np.nan)[LEVEL] == 4.0
    assert after(LEVEL=1.4)[LEVEL] == 1.4


def test_an_answer_with_twice_the_weight_counts_as_two() -> None:
    answers = np.array([[3.0], [1.0], [np.nan], [-2.0]])

    once = combine(answers, np.array([2.0, 1.0, 5.0, 1.0]))

    assert once == pytest.approx(combine(np.concatenate([answers[:1], answers]), np.ones(5)))


def test_no_answer_at_all_is_no_surprise() -> None:
    assert combine(np.full((2, 1), np.nan), np.ones(2)) == 0


@pytest.mark.parametrize("direction", Direction)
def test_one_strong_answer_is_more_surprising_the_stronger_it_is(direction: Direction) -> None:
    questions = [Question(kind, 64, np.empty((1, 0)), spec.weight) for kind, spec in SPECS.items()]
    strong = np.concatenate([np.linspace(0, 40, 200), [1e3, 1e6]])
    for row in range(len(questions)):
        up = np.zeros((len(questions), len(strong)))
        up[row] = strong

        combined = combine(*bad_answers(questions, up, direction))

        assert (np.diff(combined) >= 0).all()


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("missing", [False, True])
def test_the_power_combines_scores_as_the_verdict_does(direction: Direction, missing: bool) -> None:
    questions = [Question(kind, 64, np.empty((1, 0)), spec.weight) for kind, spec in SPECS.items()]
    up = np.random.default_rng(1).normal(0, 2, (len(questions), 30))
    if missing:
        up[::4, ::3] = np.nan

    expected = combine(*bad_answers(questions, up, direction))

    assert _combined(questions, up, direction) == pytest.approx(expected)


def test_short_windows_have_less_weight_and_parts_that_marks_are_counted_in_have_not() -> None:
    jump, missing = SPECS[QuestionKind.JUMP], SPECS[QuestionKind.MISSING]

    assert jump.weight_of(8, 147) < jump.weight_of(32, 147) == jump.weight
    assert missing.weight_of(147 // 8, 147) == missing.weight
