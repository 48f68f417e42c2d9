"""Answers in the bad and in the good direction, and their p-value."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from anomaly.baseline.robust import Bools
from anomaly.model import Direction
from anomaly.scoring.attribution import QuestionScore
from anomaly.scoring.question_kinds import SPECS, QuestionKind
from anomaly.scoring.replay import Scores, combine, pointing, weights_of
from anomaly.scoring.significance import NullDistribution, p_value

DIGITS = 10  # of a p-value: the last bits of a sum depend on how many series are summed beside it


def one_sided(
    answers: Scores, i: int, direction: Direction
) -> tuple[list[QuestionScore], list[QuestionScore]]:
    """The answers of series `i` that point in the bad direction, and those of its level, not of its
    growth, in the good one."""
    rising, falling = pointing(answers.questions, direction)
    up = answers.up[:, i]
    has_answer, scores_up = np.isfinite(up), up.tolist()

    def signed(upwards: Bools, downwards: Bools) -> list[QuestionScore]:
        return [
            (answers.questions[j], sign * scores_up[j])
            for sign, mask in ((1, upwards), (-1, downwards))
            for j in np.flatnonzero(mask & has_answer).tolist()
        ]

    bad = signed(rising, falling)
    if direction is Direction.EITHER:
        return bad, []
    level = _about_level(tuple(question.kind for question in answers.questions))
    return bad, signed(level & ~rising, level & ~falling)


@lru_cache
def _about_level(kinds: tuple[QuestionKind, ...]) -> Bools:
    """Which questions are about the level; growth is not: what falls again may have been higher all
    the time."""
    return np.array(
        [SPECS[kind].is_level and kind is not QuestionKind.GROWTH for kind in kinds], dtype=bool
    )


def is_growth(answer: QuestionScore) -> bool:
    return answer[0].kind is QuestionKind.GROWTH


def top_score(answers: list[QuestionScore]) -> float:
    return max((z for _, z in answers), default=0.0)


def p_of(answers: list[QuestionScore], null: NullDistribution) -> float:
    """The p-value of answers together."""
    if not answers:
        return 1.0
    g = combine(
        np.array([[z] for _, z in answers]), weights_of([question for question, _ in answers])
    )
    p = float(p_value(g, null)[0])
    return float(f"{p:.{DIGITS}g}")
