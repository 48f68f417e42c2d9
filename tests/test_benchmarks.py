"""The benchmark of accuracy: its releases, its judges, and that the parts it takes away still exist."""

from __future__ import annotations

from contextlib import ExitStack
from unittest.mock import patch

import numpy as np
import pytest

from benchmarks.ablation import PARTS
from benchmarks.accuracy import JUDGES, answers, auc, false_alarms, recall_at
from benchmarks.generated import EFFECTS, SERIES, cases


def test_the_same_seed_makes_the_same_releases() -> None:
    for one, other in zip(cases(20, 3), cases(20, 3), strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        assert (one.entity, one.effect, one.size, one.before) == (other.entity, other.effect, other.size, other.before)


def test_every_kind_of_series_and_of_effect_is_there_and_the_history_is_never_touched() -> None:
    made = cases(240, 1)

    assert {case.entity.rsplit(" ", 1)[0] for case in made} == set(SERIES)
    assert {case.effect for case in made} == {"", *EFFECTS}
    quiet = {case.entity: case for case in made if not case.effect}
    for case in made:
        np.testing.assert_array_equal(case.values[: case.before], quiet[case.entity].values[: case.before])


def test_it_ranks_releases_better_than_every_simple_judge_and_keeps_its_promise() -> None:
    chosen = cases(160, 5)
    found = {name: answers(judge, chosen) for name, judge in JUDGES.items()}
    mine = found.pop("anomaly")

    assert false_alarms(mine) <= 0.01 + 2 * np.sqrt(0.01 * 0.99 / 40)
    assert all(auc(mine) > auc(other) + 0.1 for other in found.values())
    assert all(recall_at(mine, 0.05) > recall_at(other, 0.05) + 0.2 for other in found.values())


@pytest.mark.parametrize("part", PARTS)
def test_a_release_is_judged_without_any_part(part: str) -> None:
    with ExitStack() as stack:
        for target, value in PARTS[part].items():
            stack.enter_context(patch(target, value))
        assert answers(JUDGES["anomaly"], cases(4, 2)[:2]).score.shape == (2,)
