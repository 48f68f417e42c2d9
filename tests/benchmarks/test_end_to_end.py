"""The benchmark of a check from a file to the report, and of ticks: their places on the page."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from anomaly.checklist.checklist import load
from benchmarks.end_to_end import PAGE, Run, counts, family, resident, table, write
from benchmarks.tables import placed

RUN = Run(series=10_000, jobs=2, seconds=54.4, cpu=101.2, sort=0.5, peak=1_500 * 2**20)


def test_the_page_has_a_place_for_the_runs_and_for_the_ticks() -> None:
    page = placed(PAGE.read_text(encoding="utf-8"), "end to end", table([RUN]))

    assert "| 10,000 | 2 | 101 | 10.1 | 202 | 1,500 MiB |" in page
    assert "| new |" in placed(page, "ticks", "| new |")


def test_the_file_holds_the_numbers_that_are_sorted(tmp_path: Path) -> None:
    checklist = load(write(tmp_path, 2, 3))
    found = pd.read_parquet(tmp_path / "data.parquet")

    assert [kpi.name for kpi in checklist.kpis] == ["kpi000", "kpi001"]
    for kpi, values in zip(checklist.kpis, counts(2, 3), strict=True):
        assert (found[found["kpi"] == kpi.name]["value"].to_numpy() == values.ravel()).all()
        assert values.shape == (3, 29 * 288)


def test_memory_is_that_of_a_process_and_of_those_that_it_started() -> None:
    assert family(os.getpid())[0] == os.getpid()
    assert resident(os.getpid()) > 2**20
    assert resident(2**22 + 1) == 0  # more than there can be


@pytest.mark.slow
def test_a_check_is_measured_from_its_start_to_its_end() -> None:
    run = Run.of(20, jobs=1)

    assert run.series == 20
    assert run.cpu > run.sort > 0
    assert run.seconds > 0
    assert run.peak > 50 * 2**20
