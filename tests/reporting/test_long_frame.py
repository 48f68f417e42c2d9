"""The series of a long frame, whatever its columns are made of."""

from __future__ import annotations

import pandas as pd
import pytest

from anomaly.reporting.long_frame import of_series, only_series, series_rows

TEXTS = ("b", "a", "b", "漢", "a", "b")
SEGMENTS = ("", "x", "", "", "y", "z")


def frame(kind: str, kpis: tuple[str, ...] = TEXTS) -> pd.DataFrame:
    own = {"kpi": kpis, "segment": SEGMENTS, "n": range(len(kpis))}
    return pd.DataFrame(own).astype({"kpi": kind, "segment": kind})


@pytest.mark.parametrize("kind", ["object", "str", "category"])
def test_each_series_has_its_rows_in_the_order_of_the_frame(kind: str) -> None:
    whole = frame(kind)

    rows = {key: own.tolist() for key, own in series_rows(whole).items()}

    assert [*rows.items()] == [
        (("b", ""), [0, 2]),
        (("a", "x"), [1]),
        (("漢", ""), [3]),
        (("a", "y"), [4]),
        (("b", "z"), [5]),
    ]
    for key, own in rows.items():
        assert of_series(whole, key)["n"].tolist() == own
    assert only_series(whole, {("b", ""), ("a", "y")})["n"].tolist() == [0, 2, 4]
    assert only_series(whole, set()).empty


@pytest.mark.parametrize("kind", ["object", "category"])
def test_text_that_is_no_unicode_is_a_name_too(kind: str) -> None:
    odd = "\ud800"
    names = pd.Index([odd, "a"], dtype=object)
    column = names if kind == "object" else pd.Categorical.from_codes([0, 1], names)
    whole = pd.DataFrame({"segment": ["", ""], "n": [0, 1]}).assign(kpi=column)

    assert [*series_rows(whole)] == [(odd, ""), ("a", "")]
    assert of_series(whole, (odd, ""))["n"].tolist() == [0]
    assert of_series(frame("str"), (odd, "")).empty


def test_a_frame_without_rows_has_no_series() -> None:
    assert series_rows(pd.DataFrame(columns=["kpi", "segment"])) == {}
