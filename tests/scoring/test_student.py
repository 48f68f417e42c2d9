"""Quantiles of Student's t are SciPy's, which is dear to load."""

from __future__ import annotations

import math

import pytest
from scipy.special import stdtrit

from anomaly.scoring.student import t_quantile

FREEDOM = (2.0, 2.5, 3.0, 3.97, 10.0, 30.96875, 99.9, 100.1, 2016.0, 1e6, 1e9)


@pytest.mark.slow
@pytest.mark.parametrize("freedom", FREEDOM)
@pytest.mark.parametrize("p", [0.025, 0.3, 0.6, 0.95, 0.975, 0.995, 0.9999])
def test_they_are_exact(freedom: float, p: float) -> None:
    assert t_quantile(freedom, p) == pytest.approx(float(stdtrit(freedom, p)), rel=1e-11)


@pytest.mark.parametrize("freedom", FREEDOM[2:])
def test_they_are_as_exact_as_the_probability_far_out(freedom: float) -> None:
    for p in (1 - 1e-6, 1 - 1e-8):
        assert t_quantile(freedom, p) == pytest.approx(
            float(stdtrit(freedom, p)), rel=1e-15 / (1 - p) * freedom**0.1
        )


def test_few_degrees_of_freedom_are_exact_where_intervals_end() -> None:
    for freedom in (1.0, 1.2, 1.7):
        expected = float(stdtrit(freedom, 0.975))
        assert t_quantile(freedom, 0.975) == pytest.approx(expected, rel=1e-11)


def test_the_ends_are_those_of_the_law() -> None:
    assert t_quantile(5, 0.5) == 0
    assert (t_quantile(5, 0.0), t_quantile(5, 1.0)) == (-math.inf, math.inf)
    assert t_quantile(math.inf, 0.975) == pytest.approx(1.959963984540054)
    assert all(map(math.isnan, (t_quantile(math.nan, 0.9), t_quantile(0, 0.9), t_quantile(3, 2))))
