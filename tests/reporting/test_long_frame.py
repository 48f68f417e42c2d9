"""The series of a long frame, whatever its columns are made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from anomaly.panel import LongForm
from anomaly.reporting.long_frame import of_series, only_series, series_rows
from tests.sinks.pictures import drawable

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


def test_the_names_in_a_report_are_kept_once_whatever_they_are() -> None:
    report = drawable()
    names = pd.Series(["b", "\ud800", "a"] * 24, dtype=object)

    made = replace(report, points=report.points.assign(kpi=names), around=None)

    assert made.points["kpi"].cat.categories.tolist() == ["a", "b", "\ud800"]
    assert made.points["kpi"].tolist() == names.tolist()
    assert made.points.drop(columns="kpi").equals(report.points.drop(columns="kpi"))
    assert replace(made, final=False).points is made.points


def test_a_long_frame_has_its_matrices_series_after_series() -> None:
    index = pd.date_range("2025-06-03", periods=2, freq="h", tz="UTC")

    made = LongForm((("b", ""), ("a", "x")), index, {"n": np.array([[1, 2], [3, 4]])}).frame()

    assert made["kpi"].tolist() == ["b", "b", "a", "a"]
    assert made["segment"].tolist() == ["", "", "x", "x"]
    assert made["time"].tolist() == [*index, *index]
    assert made["n"].tolist() == [1, 2, 3, 4]
