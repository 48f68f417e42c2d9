"""A kept report is the report."""

from __future__ import annotations

import zlib

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.errors import UsageError
from anomaly.reporting import archive
from anomaly.reporting.data import to_dict
from tests.support import reports

REPORTS = {
    name: getattr(reports, name)
    for name in ("failing", "messy", "passing", "early", "dead_source", "staged")
}


@pytest.mark.parametrize("name", REPORTS)
def test_what_was_kept_comes_back(name: str) -> None:
    report = REPORTS[name]()

    back = archive.unpack(archive.pack(report))

    assert to_dict(back) == to_dict(report)
    pd.testing.assert_frame_equal(
        back.points, report.points.reset_index(drop=True), check_dtype=False
    )
    assert archive.pack(back) == archive.pack(report)


@given(
    st.binary(max_size=200)
    | st.text(max_size=50).map(lambda text: zlib.compress(text.encode("utf-8", "replace")))
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match="stored"):
        archive.unpack(data)


def test_a_cut_off_report_is_refused() -> None:
    with pytest.raises(UsageError, match="truncated"):
        archive.unpack(archive.pack(reports.failing())[:-20])


def test_a_report_of_a_later_schema_is_refused() -> None:
    data = to_dict(reports.failing()) | {"schema": 99}

    with pytest.raises(UsageError, match=r"schema 99.*newer anomaly"):
        archive.from_dict(data, reports.failing().points)
