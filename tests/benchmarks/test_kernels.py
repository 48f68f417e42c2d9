"""The kernels that the page of scale compares with do what the package does."""

from __future__ import annotations

import numpy as np

from benchmarks.kernels import PAGE, Gain, kernels_by, steps, table
from benchmarks.load import load_of
from benchmarks.ratios import Ratio
from benchmarks.tables import placed


def test_each_kernel_answers_what_the_package_does_to_the_last_bit() -> None:
    kernels = kernels_by(lambda function: function)  # Python as it is

    for step, as_it_is, name, values in steps(load_of(2).values):
        assert np.array_equal(as_it_is(), kernels[name](*values), equal_nan=True), step


def test_the_page_has_a_place_for_the_gains() -> None:
    gain = Gain("a step", Ratio((0.4, 0.4), (0.2, 0.1)), 1.5)

    page = placed(PAGE.read_text(encoding="utf-8"), "kernels", table([gain]))

    assert "| a step | 20.00 | 7.50 | 2.7 [2.5, 3.5] |" in page
    assert "takes 1.5 s of each process" in page
