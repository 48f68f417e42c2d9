"""A file is read once for several windows, and each sees what it would see alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from anomaly.collectors.answers import Answers
from anomaly.collectors.files import FilesCollector, Layout
from anomaly.collectors.tables import CsvTable
from anomaly.contracts import Collected
from anomaly.model import Kpi, Window

START = datetime(2025, 10, 20, tzinfo=UTC)
STEP = timedelta(hours=1)
ROWS = 240
WINDOWS = [Window(START + 24 * day * STEP, START + (96 + 24 * day) * STEP) for day in range(6)]
WIDE = [Kpi("errors", query="errors"), Kpi("latency", query="latency")]


def stamp(row: int) -> str:
    return f"{START + row * STEP:%Y-%m-%dT%H:%MZ}"


def wide(cell: Callable[[int], str], sign: str = ",") -> str:
    lines = [sign.join(["time", "errors", "latency"])]
    return "\n".join(
        [*lines, *(sign.join([stamp(row), cell(row), str(row)]) for row in range(ROWS))]
    )


def long() -> str:
    lines = ["time,kpi,value,country"]
    for row in range(ROWS):
        for country in ("FR", "DE") if row < 100 else ("DE", "IT"):
            lines += [f"{stamp(row)},{kpi},{row % 7},{country}" for kpi in ("errors", "latency")]
    return "\n".join(lines)


def local() -> str:
    """Hours of Berlin, one of which clocks show twice."""
    moments = pd.date_range(START, periods=ROWS, freq="1h").tz_convert("Europe/Berlin")
    rows = [f"{at:%Y-%m-%d %H:%M},{row},{row}" for row, at in enumerate(moments)]
    return "\n".join(["time,errors,latency", *rows])


FILES: Mapping[str, tuple[str, dict[str, object]]] = {
    "numbers": (wide(lambda row: f"{np.sin(row)!r}"), {}),
    "gaps": (wide(lambda row: "" if row % 5 else "null"), {}),
    "a word in some windows": (wide(lambda row: "many" if row == 130 else "1"), {}),
    "infinite in some windows": (wide(lambda row: "inf" if row == 130 else "1"), {}),
    "large whole numbers": (
        wide(lambda row: "9007199254740993" if row < 150 else f"{row}.1234567890123456789"),
        {},
    ),
    "percent in some windows": (wide(lambda row: f"{row}%" if row > 150 else "0", ";"), {}),
    "decimal comma": (wide(lambda row: f"{row},5", ";"), {}),
    "a row of totals": (wide(str) + "\nTotal,1,1", {}),
    "long": (long(), {"layout": Layout.LONG}),
    "counted": (wide(lambda row: "x" if row % 3 else ""), {"resample": "count"}),
    "local": (local(), {"timezone": "Europe/Berlin"}),
}


def assert_same(found: Collected, expected: Collected) -> None:
    pd.testing.assert_frame_equal(found.panel, expected.panel, check_exact=True)
    assert found.panel.to_numpy().tobytes() == expected.panel.to_numpy().tobytes()
    assert found.provenance == expected.provenance
    assert {name: str(error) for name, error in found.errors.items()} == {
        name: str(error) for name, error in expected.errors.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_each_window_sees_what_it_would_see_alone(tmp_path: Path, name: str) -> None:
    content, settings = FILES[name]
    path = tmp_path / "kpis.csv"
    path.write_text(content)
    kpis = WIDE
    if name == "long":
        kpis = [Kpi(each.name, query=each.query, by=("country",)) for each in WIDE]
    with Answers(None, WINDOWS, now=START) as answers:
        for window in (WINDOWS[0], WINDOWS[4], WINDOWS[2]):
            shared = FilesCollector(path=path, shared=answers.shared, **settings)  # type: ignore[arg-type]
            alone = FilesCollector(path=path, **settings)  # type: ignore[arg-type]
            assert_same(shared.collect(kpis, window, STEP), alone.collect(kpis, window, STEP))


def test_the_file_is_read_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, reads = tmp_path / "kpis.csv", [0]
    path.write_text(wide(str))
    original = CsvTable.chunks

    def chunks(table: CsvTable, columns: list[str]) -> object:
        reads[0] += 1
        return original(table, columns)

    monkeypatch.setattr(CsvTable, "chunks", chunks)
    with Answers(None, WINDOWS, now=START) as answers:
        for window in WINDOWS[:2]:
            FilesCollector(path=path, shared=answers.shared).collect(WIDE, window, STEP)
        assert reads == [1]
        path.write_text(wide(lambda row: str(row + 1000)))
        again = FilesCollector(path=path, shared=answers.shared).collect(WIDE, WINDOWS[0], STEP)
    assert again.panel["errors"].to_numpy().min() == 1000
    assert reads == [2]


def test_a_single_window_holds_nothing() -> None:
    with Answers(None, WINDOWS[:1], now=START) as answers:
        assert answers.shared("key", object) is None
