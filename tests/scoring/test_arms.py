"""Whether the arms of a split got the traffic that they should."""

from __future__ import annotations

import numpy as np
import pytest

from anomaly.errors import UsageError
from anomaly.model import Kpi, KpiKind
from anomaly.scoring.arms import ALPHA, ratio

STEPS = 72


def arms(seed: int, share: float, per_step: float, burst: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The traffic of two arms; requests come in sessions of `burst`, each in one arm."""
    rng = np.random.default_rng(seed)
    sessions = rng.poisson(per_step / burst, STEPS)
    own = rng.binomial(sessions, share)
    return burst * own.astype(float), burst * (sessions - own).astype(float)


@pytest.mark.slow
@pytest.mark.parametrize(("share", "burst"), [(0.5, 1), (0.1, 1), (0.1, 5), (0.5, 40)])
def test_a_ratio_as_declared_is_hardly_ever_called_broken(share: float, burst: int) -> None:
    found = [ratio(*arms(seed, share, 400, burst), share) for seed in range(1000)]
    p = np.array([each.p_value for each in found if each is not None])
    assert len(p) == len(found)
    assert (p < ALPHA).sum() <= 5
    assert 0.02 < (p < 0.05).mean() < 0.08


def test_a_broken_ratio_is_found_with_its_numbers() -> None:
    found = ratio(*arms(1, 0.45, 400), 0.5)
    assert found is not None
    assert found.is_broken
    assert found.together == pytest.approx(400 * STEPS, rel=0.02)
    assert found.own / found.together == pytest.approx(0.45, abs=0.01)


def test_a_share_of_nothing_or_of_everything_is_broken() -> None:
    traffic = np.full(STEPS, 100.0)
    for own, other in ((traffic, 0 * traffic), (0 * traffic, traffic)):
        found = ratio(own, other, 0.5)
        assert found is not None
        assert found.is_broken


@pytest.mark.parametrize(
    ("own", "other"),
    [
        ([], []),
        ([1.0] * 3, [1.0] * 3),
        ([0.0] * 20, [0.0] * 20),
        ([np.nan] * 20, [100.0] * 20),
        ([0.1] * 20, [0.1] * 20),
        ([-5.0] * 20, [100.0] * 20),
        ([np.inf] * 20, [100.0] * 20),
    ],
)
def test_too_little_or_odd_traffic_says_nothing(own: list[float], other: list[float]) -> None:
    assert ratio(np.array(own), np.array(other), 0.5) is None


def test_steps_that_miss_an_arm_are_left_out() -> None:
    own, other = arms(2, 0.5, 400)
    other[:30] = np.nan
    found = ratio(own, other, 0.5)
    assert found is not None
    assert not found.is_broken
    assert found.together == own[30:].sum() + other[30:].sum()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"split": 0.5, "denominator": "n"}, "only for a control"),
        ({"split": 0.5, "control_for": ("a",)}, "no traffic"),
        ({"split": 1.0, "control_for": ("a",), "kind": KpiKind.COUNTS}, "between 0 and 1"),
        ({"split": float("nan"), "control_for": ("a",), "kind": KpiKind.COUNTS}, "between 0 and 1"),
    ],
)
def test_a_split_needs_two_arms_with_traffic(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Kpi("b", **settings)  # type: ignore[arg-type]
