"""Chunks, merging, segments, coverage, ratios."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.collectors.prometheus_http import Answer
from anomaly.collectors.prometheus_series import (
    Labels,
    Merged,
    Series,
    by_segment,
    numerator,
    plan,
    trusted_rows,
)
from anomaly.errors import CollectError

NAN = float("nan")


def labels(**pairs: str) -> Labels:
    return frozenset(pairs.items())


def series(*values: float) -> Series:
    found = np.array(values, dtype=np.float64)
    return Series(found, ~np.isnan(found))


@pytest.mark.slow
@given(rows=st.integers(0, 50_000), at_most=st.integers(1, 11_000))
def test_chunks_hold_each_row_exactly_once_in_order_and_none_is_too_long(
    rows: int, at_most: int
) -> None:
    chunks = list(plan(rows, at_most))
    assert [row for chunk in chunks for row in chunk] == list(range(rows))
    assert all(0 < len(chunk) <= at_most for chunk in chunks)


@pytest.mark.slow
@given(
    present=st.dictionaries(
        st.tuples(st.sampled_from(["DE", "FR", "IT"]), st.integers(0, 59)),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    at_most=st.integers(1, 70),
)
def test_merging_chunks_gives_back_every_sample_at_its_row(
    present: dict[tuple[str, int], float], at_most: int
) -> None:
    merged, step_s = Merged(60, 10), 300
    for chunk in plan(60, at_most):
        answer = []
        for country in ("DE", "FR", "IT"):
            points = [
                [1000 + row * step_s, repr(present[country, row])]
                for row in chunk
                if (country, row) in present
            ]
            if points:
                answer.append({"metric": {"country": country}, "values": points})
        merged.add(chunk, 1000 + chunk.start * step_s, step_s, Answer(answer))
    found = {
        (country, int(row)): float(one.values[row])
        for key, one in merged.series.items()
        for country in [dict(key)["country"]]
        for row in np.flatnonzero(one.answered)
    }
    assert found == present


@pytest.mark.parametrize("stamp", [1000.5, 999, 1060, -1e300, NAN])
def test_a_sample_beside_the_grid_is_refused(stamp: float) -> None:
    with pytest.raises(CollectError, match="unreadable"):
        Merged(6, 10).add(range(6), 1000, 10, Answer([{"metric": {}, "values": [[stamp, "1"]]}]))


@pytest.mark.parametrize(
    "item",
    [
        None,
        3,
        {},
        {"metric": 3, "values": []},
        {"metric": {}, "values": [[1000]]},
        {"metric": {}, "values": [[1000, "x"]]},
        {"metric": {}, "values": [[10**400, "1"]]},
        {"metric": {}, "values": [[1000, 10**400]]},
        {"metric": {"country": "\ud800"}, "values": [[1000, "1"]]},
    ],
)
def test_a_malformed_series_is_refused(item: object) -> None:
    with pytest.raises(CollectError, match="unreadable"):
        Merged(6, 10).add(range(6), 1000, 10, Answer([item]))


def test_native_histograms_are_refused_with_advice() -> None:
    with pytest.raises(CollectError, match="histogram_quantile"):
        Merged(6, 10).add(range(6), 1000, 10, Answer([{"metric": {}, "histograms": []}]))


def test_several_series_without_by_are_refused_with_their_labels_and_what_to_write() -> None:
    two = {labels(job="a", country="DE"): series(1), labels(job="a", country="FR"): series(2)}
    with pytest.raises(
        CollectError,
        match=(
            r"2 series, told apart by label country .*'DE'.*'FR'.*`by: \[country\]`, or write "
            r"sum\(…\)"
        ),
    ):
        by_segment(two, (), "q")


def test_series_that_share_a_segment_are_refused_with_what_tells_them_apart() -> None:
    two = {labels(pod="x", country="DE"): series(1), labels(pod="y", country="DE"): series(2)}
    with pytest.raises(
        CollectError,
        match=(
            r"for country=DE, told apart by label pod .*`by: \[country, pod\]`, or write sum "
            r"by \(country\) \(…\)"
        ),
    ):
        by_segment(two, ("country",), "q")


def test_a_query_that_lost_its_labels_is_refused() -> None:
    with pytest.raises(
        CollectError, match=r"no series has label country, nor any other label; write sum"
    ):
        by_segment({labels(): series(1)}, ("country",), "q")


def test_a_missing_label_is_an_empty_one() -> None:
    two = {labels(country="DE"): series(1), labels(): series(2)}
    assert list(by_segment(two, ("country",), "q")) == ["country=", "country=DE"]


def test_labels_that_are_too_long_are_refused() -> None:
    with pytest.raises(
        CollectError,
        match="limit: a value of label 'country' is 65,536 characters long; 1,024 are allowed",
    ):
        by_segment({labels(country="x" * 65_536): series(1)}, ("country",), "q")


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ("1111", "1111"),
        ("1101", "1101"),  # a gap
        ("100100100", "111111111"),  # measured every third step
        ("1001000001001", "1111110001111"),  # … with a gap
        ("0000", "0000"),
        ("0100", "0100"),
        ("", ""),
    ],
)
def test_a_sample_stands_until_the_next_is_usually_there(present: str, expected: str) -> None:
    rows = trusted_rows(np.array([sign == "1" for sign in present], dtype=np.bool_))
    assert "".join("01"[int(row)] for row in rows) == expected


def test_no_error_yet_is_zero_errors_where_there_were_requests() -> None:
    assert numerator(None, None, np.array([5.0, NAN, 0.0])) == pytest.approx(
        [0.0, NAN, 0.0], nan_ok=True
    )
    errors = series(NAN, NAN, 2.0)
    assert numerator(errors, errors, np.array([5.0, NAN, 5.0])) == pytest.approx(
        [0.0, NAN, 2.0], nan_ok=True
    )


def test_an_error_count_that_is_not_believed_is_missing_not_zero() -> None:
    answered = series(3.0, 3.0)
    taken = Series(np.array([3.0, NAN]), answered.answered)
    assert numerator(taken, answered, np.array([5.0, 5.0])) == pytest.approx(
        [3.0, NAN], nan_ok=True
    )
