"""The benchmark of scale: its tables, and the page that shows them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import scale
from benchmarks.load import load_of
from benchmarks.ratios import Ratio
from benchmarks.scale import PAGE, Judging, Measured, machine
from benchmarks.stages import FORMS, REPORT, STAGES
from benchmarks.tables import placed

ONE = Judging(100, 8352, 1.5, 0.01, 150.0, (140.0, 160.0))
RESULT = Measured(
    machine="a machine",
    sizes=[ONE],
    lengths=[ONE] * len(scale.LENGTHS),
    memory={100: 300_000_000, 1000: 390_000_000},
    start_up=Ratio((0.9, 1.0), (0.5, 0.5)),
    stages=dict.fromkeys((*STAGES, REPORT, *FORMS), 0.1),
    passes={"a median": 0.25},
)


def test_the_page_has_a_place_for_each_table() -> None:
    page = PAGE.read_text(encoding="utf-8")

    for name, table in RESULT.tables().items():
        page = placed(page, name, table)
    assert "| 100 | 8,352 | 1.500 | 15.0 | 150 [140, 160] |" in page
    assert "| one more series | 0.10 MB, 1.5 × its points |" in page
    assert "| ratio | 1.90 [1.85, 1.95] |" in page
    assert "| a median | 0.25 |" in page


def test_a_stage_that_a_revision_lacks_costs_nothing() -> None:
    gone = replace(RESULT, stages=RESULT.stages | {"power": None})

    assert "| power | 0.00 | 0 | 0% |" in gone.tables()["stages"]


def test_the_result_is_written_as_json_and_the_page_only_where_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scale, "measured", lambda: RESULT)
    monkeypatch.setattr(scale, "PAGE", tmp_path / "scale.md")
    (tmp_path / "scale.md").write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    file = tmp_path / "made" / "bench.json"

    scale.main(["--json", str(file)])
    assert (tmp_path / "scale.md").read_text("utf-8") == PAGE.read_text("utf-8")
    assert json.loads(file.read_text("utf-8")) == json.loads(json.dumps(asdict(RESULT)))
    assert "µs a point" in capsys.readouterr().out

    scale.main(["--json", str(file), "--write"])
    assert "Measured on a machine." in (tmp_path / "scale.md").read_text("utf-8")


@pytest.mark.slow
def test_judging_is_measured_beside_a_sort_of_the_same_numbers() -> None:
    judging = Judging.of(load_of(2, weeks=1), rounds=2)

    assert (judging.series, judging.points) == (2, 2304)
    assert judging.ratio == pytest.approx(judging.seconds / judging.sort_seconds)
    assert judging.spread[0] <= judging.spread[1]
    assert np.isfinite(judging.spread).all()


def test_the_machine_is_named_with_what_computes() -> None:
    assert "numpy" in machine()
    assert "cores" in machine()
