"""One record per kind of question: what all of them must have in common."""

from __future__ import annotations

import numpy as np
import pytest

from anomaly.model import Direction
from anomaly.scoring.question_kinds import SPECS, QuestionKind, Side, WindowRule, parts_of
from anomaly.scoring.questions import sizes


def test_every_kind_has_a_record() -> None:
    assert list(SPECS) == list(QuestionKind)


@pytest.mark.parametrize("kind", QuestionKind)
def test_an_answer_is_bad_by_the_direction_of_a_level_or_by_itself(kind: QuestionKind) -> None:
    spec = SPECS[kind]

    assert spec.is_level is not bool(spec.bad_for)
    assert spec.is_level or Direction.EITHER in spec.bad_for


@pytest.mark.parametrize("kind", QuestionKind)
def test_only_marked_steps_are_counted(kind: QuestionKind) -> None:
    spec = SPECS[kind]

    assert (spec.side is Side.COUNT) is spec.dated_by.is_mark is (spec.rule is WindowRule.PARTS)


@pytest.mark.parametrize("after", [1, 3, 8, 72, 600])
def test_windows_are_never_longer_than_the_observation(after: int) -> None:
    assert parts_of(after)[-1] == sizes(after)[-1] == after


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (QuestionKind.LEVEL_BEFORE, [2, 4, 8, 16, 24]),
        (QuestionKind.LEVEL, [16, 24]),
        (QuestionKind.TYPICAL_BEFORE, [8, 16, 24]),
        (QuestionKind.HIGH, [16, 24]),
        (QuestionKind.RAMP, [24]),
    ],
)
def test_a_kind_is_asked_over_the_windows_of_its_rule(
    kind: QuestionKind, expected: list[int]
) -> None:
    of_24 = np.array(sizes(24))

    assert of_24[SPECS[kind].asked_over(of_24, 24)].tolist() == expected


def test_a_spread_is_asked_about_over_a_short_observation_too() -> None:
    assert SPECS[QuestionKind.SPREAD].asked_over(np.array([2, 4]), 4).tolist() == [False, True]
    assert not SPECS[QuestionKind.RAMP].asked_over(np.array([2, 4]), 4).any()
