"""The points of a report as files: read back as they were, and no formula in them."""

from __future__ import annotations

import csv
import io

import numpy as np
import pandas as pd
import pytest

from anomaly.reporting.points_file import csv_bytes, parquet_bytes
from tests.sinks.pictures import drawable
from tests.support import reports


def named(kpi: str, segment: str = "country=DE") -> pd.DataFrame:
    points = drawable().points
    return points.assign(
        **{
            name: pd.Series([text] * len(points), dtype=object)
            for name, text in (("kpi", kpi), ("segment", segment))
        }
    )


def rows(content: bytes) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""))]


def test_csv_holds_every_step_as_it_is() -> None:
    points = drawable().points
    points.loc[3, "observed"] = np.nan
    back = pd.read_csv(io.BytesIO(csv_bytes(points)), parse_dates=["time"])
    assert list(back.columns) == list(reports.POINTS)
    pd.testing.assert_frame_equal(back, points, check_dtype=False, check_categorical=False)
    assert rows(csv_bytes(points))[0]["time"] == "2025-11-04T10:40:00Z"
    assert rows(csv_bytes(points))[3]["observed"] == ""


# a full-width one counts, too
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])  # noqa: RUF001
def test_no_cell_begins_as_a_formula_does(start: str) -> None:
    text = f"{start}HYPERLINK(1)"
    for row in rows(csv_bytes(named(text, text))):
        assert row["kpi"] == row["segment"] == f"'{text}"


def test_negative_numbers_stay_numbers() -> None:
    points = drawable().points.assign(observed=-1.5)
    assert {row["observed"] for row in rows(csv_bytes(points))} == {"-1.5"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", [*reports.HOSTILE, 'quote " and, comma', "line\nbreak", "return\rhere"]
)
def test_any_name_stays_in_its_cell(text: str) -> None:
    clean = text.encode("utf-8", "replace").decode("utf-8")
    found = rows(csv_bytes(named(text)))
    assert len(found) == len(drawable().points)
    assert {row["kpi"].removeprefix("'") for row in found} == {clean}


def test_parquet_holds_every_step_and_texts_as_they_are() -> None:
    points = named("=1+1")
    back = pd.read_parquet(io.BytesIO(parquet_bytes(points)))
    pd.testing.assert_frame_equal(back, points, check_dtype=False)


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from anomaly.errors import UsageError

    def missing(*_: object, **__: object) -> None:
        raise ImportError("Missing optional dependency 'pyarrow'")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", missing)
    with pytest.raises(UsageError, match=r"pip install 'release-anomaly\[parquet\]'"):
        parquet_bytes(drawable().points)
