"""Points as whole numbers are the points, to a part of the band that nobody sees."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.history.whole_numbers import BAND_DECIMALS, is_observed, restored, until, whole

EVERY_5_MINUTES = 300
NUMBERS = ("observed", "expected", "lower", "upper")


def series(observed: list[float | None], width: float = 10.0, **more: Any) -> dict[str, Any]:
    """Points around these values, with a day and a week before."""
    times = [1_762_254_000 + EVERY_5_MINUTES * number for number in range(len(observed))]
    middle = [None if value is None else value * 0.99 for value in observed]
    return {
        "kpi": "errors",
        "segment": "country=DE",
        "time": times,
        "observed": observed,
        "expected": middle,
        "lower": [None if value is None else value - width / 2 for value in middle],
        "upper": [None if value is None else value + width / 2 for value in middle],
        "z": [None if value is None else 0.123 for value in observed],
        "flagged": [0 for _ in observed],
        "around": {"time": [1_762_250_400], "observed": [observed[0] if observed else None]},
        "earlier": {"time": times, "day": observed, "week": [None for _ in observed]},
    } | more


def kept(points: dict[str, Any]) -> dict[str, Any]:
    """As they come back from a history."""
    numbers = json.loads(json.dumps(whole(points), allow_nan=False))
    return dict(restored(numbers))


values = st.floats(allow_nan=False, allow_infinity=False, width=64).filter(
    lambda value: abs(value) < 1e290
)


@pytest.mark.slow
@given(
    st.lists(st.none() | st.floats(-1e9, 1e9), max_size=20),
    st.floats(min_value=1e-3, max_value=1e6),
)
def test_they_come_back_to_a_hundredth_of_the_band_with_their_gaps(
    observed: list[float | None], width: float
) -> None:
    points = series(observed, width)

    back = kept(points)

    close = 10.0**-BAND_DECIMALS * width
    for name in NUMBERS:
        for one, other in zip(points[name], back[name], strict=True):
            assert (one is None) == (other is None)
            assert one is None or other == pytest.approx(one, rel=1e-9, abs=close)
    assert {name: back[name] for name in ("kpi", "segment", "time", "flagged")} == {
        name: points[name] for name in ("kpi", "segment", "time", "flagged")
    }
    assert back["earlier"]["day"] == back["observed"]
    assert back["earlier"]["week"] == points["earlier"]["week"]


@pytest.mark.slow
@given(st.lists(st.none() | values, max_size=5), st.none() | values.map(abs))
def test_numbers_of_any_size_stay_numbers(
    observed: list[float | None], width: float | None
) -> None:
    back = kept(series(observed, width or 0.0))

    for one, other in zip(observed, back["observed"], strict=True):
        assert (one is None) == (other is None)
        assert other is None or math.isfinite(other)


def test_counts_stay_whole() -> None:
    observed: list[float | None] = [3.0, 0.0, None, 1_234_567.0]

    assert kept(series(observed))["observed"] == observed


def test_a_part_of_the_band_may_be_missing() -> None:
    points = series([5.0, 6.0], lower=[None, 5.0], expected=[4.5, None])

    back = kept(points)

    assert (back["lower"], back["expected"]) == ([None, 5.0], [4.5, None])


def test_points_are_cut_at_a_time_in_all_their_parts() -> None:
    points = series([1.0, 2.0, 3.0])

    part = until(points, points["time"][1])

    assert part["observed"] == part["earlier"]["day"] == [1.0, 2.0]
    assert part["around"] == points["around"]
    assert until(points, 0)["around"] == {"time": [], "observed": []}


@pytest.mark.parametrize(
    ("later", "same"),
    [
        ([1.5, None, 3.25], True),
        ([1.5, None, 3.25, 9.0], True),
        ([1.5, None, 3.5, 9.0], False),
        ([1.5, 2.0, 3.25, 9.0], False),
        ([1.5, None], False),
    ],
)
def test_a_later_look_observed_the_same_or_not(later: list[float | None], *, same: bool) -> None:
    assert is_observed(whole(series([1.5, None, 3.25])), series(later)) is same


def test_another_band_is_not_another_observation() -> None:
    assert is_observed(whole(series([1.5, 3.25], 10.0)), series([1.5, 3.25], 11.7))
