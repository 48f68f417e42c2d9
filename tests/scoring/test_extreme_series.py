"""No series is too short, too sparse, too large or too small to be judged, and no effect lies
outside its own interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import anomaly
from anomaly.model import Verdict
from tests.support.simulations import only, stamps


@pytest.mark.parametrize(("steps", "seed"), [(1, 30), (2, 14), (3, 28), (4, 17)])
def test_a_canary_of_few_steps_whose_errors_rise_is_judged(steps: int, seed: int) -> None:
    index = stamps(3 * 288 + steps, "5min")
    released, rng = index[3 * 288], np.random.default_rng(seed)
    requests = rng.poisson(3, len(index))
    errors = rng.binomial(requests, np.where(index >= released, 0.25, 0.002))

    report = anomaly.check(
        pd.Series(errors.astype(float), index, name="errors"),
        denominators=pd.Series(requests.astype(float), index, name="errors"),
        released_at=released,
        direction="up",
    )

    assert only(report).verdict is not Verdict.ERROR
