"""A kept report is the report."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


@pytest.mark.slow
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
        archive.report_of({"report": data, "series": []})


def edited(change: Callable[[dict[str, Any]], object]) -> str:
    """A report in JSON that somebody edited."""
    data = archive.data_of(reports.staged())
    change(data["report"])
    return json.dumps(data)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda report: report.update(findings=None), "report.findings"),
        (lambda report: report.update(false_alarms="1 %"), "report.false_alarms"),
        (lambda report: report.update(final=1), "report.final"),
        (lambda report: report["release"].update(version=7), "report.release.version"),
        (lambda report: report["release"].update(version="\ud800"), "report.release.version"),
        (lambda report: report["release"].update(started_at=5), "report.release.started_at"),
        (lambda report: report["windows"].update(step_s=0), "report.windows.step_s"),
        (lambda report: report["windows"].update(step_s=10**400), "report.windows.step_s"),
        (lambda report: report["windows"].update(timezone="../x"), "IANA name"),
        (lambda report: report["findings"][0].update(effect="+5 %"), "report.findings.0.effect"),
        (lambda report: report["findings"][0].update(effect_interval=[1]), "effect_interval"),
        (lambda report: report["findings"][0].update(onset="2025-06-03"), "findings.0.onset"),
        (lambda report: report["findings"][0].update(evidence={"memory": "much"}), "much"),
        (lambda report: report["findings"][0].update(flagged={"count": 1}), "flagged.first"),
        (lambda report: report["findings"][0].update(steps=-1), "report.findings.0.steps"),
        (lambda report: report["findings"][0].update(segment=["DE"]), "findings.0.segment"),
    ],
)
def test_an_edited_report_is_refused_with_the_place(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], place: str
) -> None:
    path = tmp_path / "report.json"
    path.write_text(edited(change), encoding="utf-8")

    with pytest.raises(UsageError) as caught:
        archive.read(path)

    assert str(caught.value).startswith(f"{path} holds no report: ")
    assert place in str(caught.value)


def test_keys_of_a_later_version_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(
        edited(lambda report: [each.update(new=1) for each in (report, *report["findings"])]),
        encoding="utf-8",
    )

    report, _ = archive.read(path)

    assert to_dict(report) == to_dict(reports.staged())


@pytest.mark.parametrize("text", ["[" * 200_000, '{"report":' * 200_000, "[1]", "7", '"x"', ""])
def test_json_of_any_shape_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(UsageError, match="holds no report: it"):
        archive.read(path)


@pytest.mark.slow
def test_a_page_of_many_openings_is_searched_once(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(archive.OPENING * 500_000, encoding="utf-8")  # 22 MB: squared, it takes hours

    with pytest.raises(UsageError, match="it is not JSON"):
        archive.read(path)
