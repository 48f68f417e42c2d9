"""The filters are those of SciPy, which is dear to load."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve1d, median_filter

from anomaly.baseline.robust import running_median, smooth_cyclic


@pytest.mark.parametrize("half", [1, 2, 12, 500])
@pytest.mark.parametrize("shape", [(3, 24), (2, 5, 7), (1, 288)])
def test_smoothing_is_the_convolution_with_the_same_kernel(
    shape: tuple[int, ...], half: int
) -> None:
    values = np.random.default_rng(1).normal(size=shape)
    reach = min(half, (shape[-1] - 1) // 2)
    kernel = np.hanning(2 * reach + 3)[1:-1]
    convolution = convolve1d(values, kernel / kernel.sum(), axis=-1, mode="wrap")

    np.testing.assert_allclose(smooth_cyclic(values, half), convolution, rtol=0, atol=1e-15)


def test_too_short_a_row_stays_and_the_values_are_not_changed() -> None:
    values = np.arange(4.0).reshape(2, 2)
    assert smooth_cyclic(values, 3) is values

    many = np.arange(24.0)
    smooth_cyclic(many, 2)
    np.testing.assert_array_equal(many, np.arange(24.0))


@pytest.mark.parametrize("length", [1, 3, 8, 500])
@pytest.mark.parametrize("size", [5, 9])
def test_a_running_median_is_the_median_filter(length: int, size: int) -> None:
    values = np.random.default_rng(length).normal(size=length)

    for mirrored, mode in {False: "nearest", True: "mirror"}.items():
        np.testing.assert_array_equal(
            running_median(values, size, mirrored=mirrored),
            median_filter(values, size=size, mode=mode),
        )
