"""What is left of the autocorrelation: none in noise, and as statsmodels tests it."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.diagnostic import acorr_ljungbox

from anomaly.baseline.correlogram import LAGS, correlogram
from tests.support.simulations import noise, remembering


@pytest.mark.parametrize("coefficients", [0, 2])
def test_the_test_is_that_of_statsmodels(coefficients: int) -> None:
    values = remembering(0.1, 1, 400)
    expected = acorr_ljungbox(values, [LAGS], model_df=coefficients)["lb_pvalue"].iloc[0]

    left = correlogram(values, coefficients)

    assert left is not None
    assert left.p_value == pytest.approx(expected)
    assert left.bound == pytest.approx(1.96 / 20)


def test_a_memory_is_seen_at_its_lag_and_noise_shows_none() -> None:
    weekly = noise(2, 400)
    weekly[7:] += 0.6 * weekly[:-7]
    left, none = correlogram(weekly), correlogram(noise(3, 400))

    assert left is not None
    assert left.p_value < 1e-6
    assert left.largest[0] == 7
    assert none is not None
    assert none.p_value > 0.05


def test_noise_with_gaps_is_taken_for_related_no_more_often_than_it_should() -> None:
    at_night = np.arange(300) % 24 < 8
    tests = [correlogram(np.where(at_night, np.nan, noise(seed, 300))) for seed in range(100)]

    assert np.mean([each is not None and each.p_value < 0.05 for each in tests]) <= 0.08


@pytest.mark.parametrize("values", [np.full(50, np.nan), np.ones(50), noise(4, 3)])
def test_a_constant_and_too_few_steps_have_no_answer(values: np.ndarray) -> None:
    assert correlogram(values) is None
