"""The benchmark of accuracy: its releases, its judges, and that the parts it takes away still
exist."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

from benchmarks.ablation import PARTS
from benchmarks.accuracy import answers, auc, average_precision, false_alarms, gathered, recall_at
from benchmarks.generated import EFFECTS, SERIES, Case, cases
from benchmarks.judges import JUDGES, Judged, canary, robust_bands, three_sigma
from benchmarks.obvious import Row, alarms, as_shown, shares, summary
from benchmarks.peers import PACKAGES, local_level, peers
from benchmarks.quiet import Floats, remembering
from benchmarks.tables import GALLERY, PAGE, placed
from tests.obvious.kinds import named


def test_the_same_seed_makes_the_same_releases() -> None:
    for one, other in zip(cases(20, 3), cases(20, 3), strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        assert (one.entity, one.effect, one.size, one.before) == (
            other.entity,
            other.effect,
            other.size,
            other.before,
        )


def test_every_kind_of_series_and_of_effect_is_there_and_the_history_is_never_touched() -> None:
    made = cases(240, 1)

    assert {case.entity.rsplit(" ", 1)[0] for case in made} == set(SERIES)
    assert {case.effect for case in made} == {"", *EFFECTS}
    quiet = {case.entity: case for case in made if not case.effect}
    for case in made:
        np.testing.assert_array_equal(
            case.values[: case.before], quiet[case.entity].values[: case.before]
        )


@pytest.mark.slow
def test_it_ranks_releases_better_than_every_simple_judge_and_keeps_its_promise() -> None:
    chosen = cases(160, 5)
    found = {name: answers(judge, chosen) for name, judge in JUDGES.items()}
    mine = found.pop("anomaly")

    assert false_alarms(mine) <= 0.01 + 2 * np.sqrt(0.01 * 0.99 / 40)
    assert all(auc(mine) > auc(other) + 0.1 for other in found.values())
    assert all(recall_at(mine, 0.05) > recall_at(other, 0.05) + 0.2 for other in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_release_is_judged_without_any_part(part: str) -> None:
    with ExitStack() as stack:
        for target, value in PARTS[part].items():
            stack.enter_context(patch(target, value))
        assert answers(JUDGES["anomaly"], cases(4, 2)[:2]).score.shape == (2,)


@pytest.mark.slow
@pytest.mark.parametrize(("memory", "alarms"), [(0.0, 0.0), (0.5, 0.06), (0.8, 0.26)])
def test_the_canary_judge_takes_memory_for_a_change_as_often_as_the_one_it_stands_for(
    memory: float, alarms: float
) -> None:
    series = remembering(np.random.default_rng(1), memory, (120, 300)).T

    assert (
        abs(np.mean([canary(released(100 + 5 * each, 60)).alarm for each in series]) - alarms)
        < 0.08
    )


def test_the_canary_judge_alarms_on_a_plain_shift_alone() -> None:
    rng = np.random.default_rng(2)

    assert canary(released(np.r_[rng.normal(10, 1, 60), rng.normal(14, 1, 60)], 60)).alarm
    assert not canary(released(np.array([0.0] * 6 + [0, 1, 2, 1, 0, 0]), 6)).alarm
    assert not canary(released(np.full(12, 3.0), 6)).alarm


def test_the_robust_bands_hold_half_the_median_and_no_more() -> None:
    rng = np.random.default_rng(3)
    quiet = rng.normal(100, 1, 3 * 1440)
    shifts = [
        robust_bands(released(np.r_[quiet, by * rng.normal(100, 1, 120)], len(quiet))).alarm
        for by in (1.0, 1.4, 1.6, 0.4)
    ]

    assert shifts == [False, False, True, True]


@pytest.mark.slow
def test_the_local_level_keeps_its_level_where_its_model_is_true() -> None:
    rng = np.random.default_rng(4)
    walks = [
        np.cumsum(0.3 * rng.standard_normal(180)) + rng.standard_normal(180) for _ in range(60)
    ]

    assert np.mean([local_level(released(walk, 150)).alarm for walk in walks]) < 0.05 + 3 * np.sqrt(
        0.05 * 0.95 / 60
    )
    assert local_level(released(np.r_[walks[0][:150], walks[0][150:] + 8], 150)).alarm


def test_a_peer_that_is_not_installed_is_named_not_skipped() -> None:
    with patch.dict(PACKAGES, {"absent": ("no_such_package", local_level)}):
        there, missing = peers()

    assert "absent" not in there
    assert missing[-1] == "no_such_package"


def test_the_measures_are_those_of_the_books() -> None:
    perfect, blind = (
        gathered([Judged(score, alarm=False) for score in scores], cases(4, 1))
        for scores in ([0, 1, 2, 3], [1, 1, 1, 1])
    )

    assert (auc(perfect), average_precision(perfect)) == (1.0, 1.0)
    assert auc(blind) == 0.5
    assert average_precision(blind) == pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 3)


@pytest.mark.parametrize(
    ("name", "file"), [("accuracy", PAGE), ("ablations", PAGE), ("obvious", GALLERY)]
)
def test_the_page_has_a_place_for_each_table(name: str, file: Path) -> None:
    page = file.read_text(encoding="utf-8")

    assert "| new |" in placed(page, name, "| new |")
    with pytest.raises(ValueError, match="0 places"):
        placed(page, "gone", "| new |")


def released(values: Floats, before: int) -> Case:
    """A series by the minute, with `before` steps before the release."""
    index = pd.DatetimeIndex(
        pd.date_range("2025-03-03", periods=len(values), freq="1min", tz="UTC", unit="ns")
    )
    return Case("series", np.asarray(values, dtype=float), index, before, "", 0.0)


def test_of_an_obvious_release_the_other_judges_see_the_ratio_and_when_it_was() -> None:
    case = named("an error ratio, times five").case(0)
    shown = as_shown(case)

    assert shown.index[shown.before] == case.released
    assert np.nanmean(shown.values[: shown.before]) == pytest.approx(0.01, rel=0.05)
    assert alarms(three_sigma, shown)


def test_where_nothing_was_ever_there_no_other_judge_raises_an_alarm() -> None:
    shown = as_shown(named("a query that never matched").case(0))
    assert [name for name, judge in JUDGES.items() if alarms(judge, shown)] == []


@pytest.mark.slow
def test_every_judge_has_a_share_of_right_answers_and_a_miss_is_marked() -> None:
    kind = named("white noise, doubled")
    row = Row(kind, shares(kind.name, 2))

    assert {*JUDGES, *peers()[0]} == row.shares.keys()
    assert row.cells().startswith("| plain releases | white noise, doubled | 0.95 | 1.00 | ")
    assert "| 0.50 ✗ |" in Row(kind, {"anomaly": 0.5}).cells()
    assert summary([row, Row(kind, dict.fromkeys(row.shares, 0.0))]).startswith(
        "Of 2 kinds, anomaly holds 1, "
    )


def test_anomaly_may_not_find_more_than_it_promises_and_the_others_may() -> None:
    row = Row(named("the detectable effect in a gauge"), {"anomaly": 1.0, "CUSUM": 1.0})
    assert (row.held("anomaly"), row.held("CUSUM")) == (False, True)
