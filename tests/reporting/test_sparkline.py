"""Lines of blocks: what was observed beside what was expected, in a terminal of 80 columns,
whatever the encoding."""

from __future__ import annotations

import re
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.cells import cell_len

from anomaly.model import Finding
from anomaly.reporting.report import Report
from anomaly.reporting.sparkline import BLOCKS, GAP, sparkline
from anomaly.sinks.console import Style, render, show
from tests.sinks.pictures import drawable
from tests.support import reports


class Terminal(TextIOWrapper):
    """A terminal of an encoding."""

    def isatty(self) -> bool:
        return True


def failing(report: Report) -> Finding:
    return next(finding for finding in report.findings if finding.fails)


def changed(report: Report, **columns: Any) -> Report:
    return replace(report, points=report.points.assign(**columns))


def test_a_line_rises_where_the_series_does_and_the_other_stays() -> None:
    report = drawable()
    line = sparkline(report, failing(report), 24)
    assert line is not None
    assert len(line.observed) == len(line.expected) == 24
    assert max(line.observed[:12]) < min(line.observed[13:])
    assert len(set(line.expected)) == 1


def test_noise_within_the_band_looks_small() -> None:
    report = drawable()
    calm = changed(
        report, observed=report.points["expected"] + 0.0002 * np.sin(report.points.index)
    )
    line = sparkline(calm, failing(calm), 24)
    assert line is not None
    assert set(line.observed) <= {BLOCKS[3], BLOCKS[4]}


def test_a_part_without_data_is_blank() -> None:
    report = drawable()
    holey = changed(report, observed=report.points["observed"].where(report.points.index >= 36))
    line = sparkline(holey, failing(holey), 24)
    assert line is not None
    assert line.observed[:12] == GAP * 12
    assert GAP not in line.observed[12:]


SERIES = {
    "constant": {"observed": 5.0, "expected": 5.0, "lower": 5.0, "upper": 5.0},
    "huge": {"observed": 1.7e308, "expected": -1.7e308},
    "infinite": {"lower": -np.inf, "upper": np.inf},
    "no band": {"expected": np.nan, "lower": np.nan, "upper": np.nan},
}


@pytest.mark.parametrize("name", SERIES)
def test_any_series_has_a_line(name: str) -> None:
    report = changed(drawable(), **SERIES[name])
    line = sparkline(report, failing(report), 24)
    assert line is not None
    assert set(line.observed) <= set(BLOCKS)


@pytest.mark.parametrize("points", [slice(0, 0), slice(0, 1)])
def test_too_little_for_a_line_is_none(points: slice) -> None:
    report = drawable()
    assert sparkline(replace(report, points=report.points[points]), failing(report), 24) is None
    nothing = changed(report, observed=pd.Series(np.nan, report.points.index))
    assert sparkline(nothing, failing(nothing), 24) is None


@pytest.mark.parametrize("width", [72, 80, 160])
@pytest.mark.parametrize(
    "name", ["x", "a KPI whose name is quite long, longer than any column has room for"]
)
def test_a_terminal_shows_lines_within_its_width(width: int, name: str) -> None:
    report = reports.report(reports.failing().verdict, replace(reports.REGRESSED, kpi=name))
    text = render(drawable(report), width=width, style=Style.LINED)
    drawn = [line for line in text.splitlines() if set(BLOCKS) & set(line)]
    assert len(drawn) == 1
    assert all(cell_len(line) <= width for line in text.splitlines())


def test_what_goes_to_a_file_has_no_lines_of_blocks() -> None:
    assert not set(BLOCKS) & set(render(drawable(), style=Style.BARE))


def test_where_the_encoding_has_no_blocks_they_are_ascii() -> None:
    report, raw = drawable(reports.report(reports.failing().verdict, reports.REGRESSED)), BytesIO()
    stream = Terminal(raw, encoding="ascii", newline="\n")
    show(report, stream, environ={"NO_COLOR": "1", "COLUMNS": "80", "TERM": "xterm"})
    text = raw.getvalue().decode("ascii")
    assert "?" not in text
    assert any(re.search(r"  ([_.:=+*#-])\1{23}$", line) for line in text.splitlines())
