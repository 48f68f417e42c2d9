"""A claim that its counterpart does not share counts for less."""

from __future__ import annotations

import numpy as np
import pytest

from anomaly.scoring.question_kinds import QuestionKind
from anomaly.scoring.questions import Question
from anomaly.scoring.replay import shrunk_scores

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
