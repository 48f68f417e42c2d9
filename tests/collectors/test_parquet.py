"""Parquet is read as the Arrow table that it is: whatever is in it is read, or is a typed error."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from anomaly.collectors.files import FilesCollector, Layout
from anomaly.collectors.tables import ParquetTable
from anomaly.contracts import Collected
from anomaly.model import Kpi, Window
from anomaly.panel import segment_text

START = datetime(2025, 6, 3, 9, 0, tzinfo=UTC)
STEP = timedelta(minutes=5)
WINDOW = Window(START, START + 4 * STEP)
MOMENTS = pd.date_range(START, periods=4, freq=STEP)
IN_MS = [1000 * int(moment.timestamp()) for moment in MOMENTS]
TIMES = pa.array(IN_MS, pa.timestamp("ms", "UTC"))
ORDERS = Kpi("orders", query="orders")
BY_COUNTRY = Kpi("orders", query="orders", by=("country",))
COUNTS = [1.0, 2.0, 3.0, 4.0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kpis.parquet"


def read(path: Path, *kpis: Kpi, **how: Any) -> Collected:
    return FilesCollector(path=path, **how).collect(kpis, WINDOW, STEP)


def values(collected: Collected, segment: str = "") -> list[float]:
    assert not collected.errors, collected.errors
    return [float(value) for value in collected.panel["orders", segment, "value"]]


def wrong(collected: Collected, kpi: str = "orders") -> str:
    return str(collected.errors[kpi])


@pytest.mark.parametrize("index", [["time"], ["time", "country"], ["country"]])
def test_an_index_of_pandas_is_a_column(path: Path, index: list[str]) -> None:
    frame = pd.DataFrame({"time": MOMENTS, "country": "DE", "orders": COUNTS})
    frame.set_index(index).to_parquet(path)

    assert values(read(path, BY_COUNTRY), "country=DE") == COUNTS


@pytest.mark.parametrize("noted", ["{", "[]", "\ud7ff", json.dumps({"index_columns": ["gone"]})])
def test_what_pandas_noted_in_the_file_does_not_matter(path: Path, noted: str) -> None:
    table = pa.table({"time": TIMES, "orders": COUNTS})
    pq.write_table(table.replace_schema_metadata({"pandas": noted}), path)

    assert values(read(path, ORDERS)) == COUNTS


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "Nowhere/Land", "+25:99", "../etc/passwd"])
def test_a_moment_is_the_same_in_any_zone(path: Path, zone: str) -> None:
    times = pa.array(IN_MS, pa.timestamp("ms", zone))
    pq.write_table(pa.table({"time": times, "orders": COUNTS}), path)

    assert values(read(path, ORDERS)) == COUNTS


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_moments_may_have_any_unit(path: Path, unit: str, zone: str | None) -> None:
    times = pa.array(IN_MS, pa.timestamp("ms", zone)).cast(pa.timestamp(unit, zone))
    pq.write_table(pa.table({"time": times, "orders": COUNTS}), path)

    assert values(read(path, ORDERS, timezone="UTC")) == COUNTS


@pytest.mark.parametrize(
    ("labels", "segment"),
    [
        (pa.array([b"DE"] * 4), "country=DE"),
        (pa.array(["DE"] * 4).dictionary_encode(), "country=DE"),
        (pa.array([b"\xff"] * 4), segment_text({"country": r"\xff"})),
        (pa.array([["a", "b"]] * 4), segment_text({"country": "['a', 'b']"})),
        (pa.array([{"a": 1}] * 4), "country={'a': 1}"),
        (pa.array([7] * 4), "country=7"),
        (pa.array([20_000] * 4, pa.date32()), "country=2024-10-04"),
    ],
)
def test_labels_may_be_of_any_type(path: Path, labels: Any, segment: str) -> None:
    pq.write_table(pa.table({"time": TIMES, "orders": COUNTS, "country": labels}), path)

    assert values(read(path, BY_COUNTRY), segment) == COUNTS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("times", "said"),
    [
        (pa.array([2**62], pa.timestamp("ms", "UTC")), "'4611686018427387904 ms since 1970'"),
        (pa.array([2**62], pa.timestamp("us")), "'4611686018427387904 us since 1970'"),
        (pa.array([-(2**62)], pa.timestamp("ms")), "'-4611686018427387904 ms since 1970'"),
        (pa.array([2**31 - 1], pa.date32()), "is not a time"),
        (pa.array([-62135596800], pa.timestamp("s")), "the time '0001-01-01 00:00:00' is"),
        (pa.array([253402300799], pa.timestamp("s")), "the time '9999-12-31 23:59:59' is"),
        (pa.array([1], pa.duration("us")), "is not a time"),
        (pa.array([1], pa.time64("ns")), "is not a time"),
        (pa.array([[1]]), "'[1]' is not a time"),
    ],
)
@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati", "UTC"])
def test_what_is_no_time_is_an_error_with_its_row(
    path: Path, times: Any, said: str, zone: str
) -> None:
    pq.write_table(pa.table({"time": times, "orders": [1.0]}), path)

    text = wrong(read(path, ORDERS, timezone=zone))

    assert text.startswith(f"{path}:row 1: ")
    assert said in text


@pytest.mark.parametrize(
    "amounts", [TIMES, pa.array([[1.0]] * 4), pa.array([b"\xff"] * 4), pa.array([{"a": 1.0}] * 4)]
)
def test_a_column_without_numbers_spoils_its_kpi_alone(path: Path, amounts: Any) -> None:
    pq.write_table(pa.table({"time": TIMES, "orders": COUNTS, "amount": amounts}), path)

    collected = read(path, ORDERS, Kpi("amount", query="amount"))

    assert wrong(collected, "amount").startswith(f"{path}:row 1: ")
    assert "is not a number" in wrong(collected, "amount")
    assert [*collected.panel["orders", "", "value"]] == COUNTS


@pytest.mark.slow
def test_a_long_text_that_many_rows_share_counts_for_each_of_them(path: Path) -> None:
    rows = 5_000
    table = pa.table(
        {"time": [START] * rows, "orders": [0.0] * rows, "country": ["D" * 9999] * rows}
    )
    pq.write_table(table, path)

    assert path.stat().st_size < 100_000
    assert "larger than 1,000,000 bytes" in wrong(read(path, BY_COUNTRY, max_bytes=1_000_000))


@pytest.mark.slow
def test_a_damaged_file_is_one_error_that_says_so(path: Path) -> None:
    frame = pd.DataFrame({"time": MOMENTS, "country": ["DE", "FR"] * 2, "orders": COUNTS})
    frame.set_index("time").to_parquet(path)
    whole = path.read_bytes()
    chance = random.Random(1)
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(4, len(data))] = chance.randrange(256)
        path.write_bytes(data)

        text = str(read(path, BY_COUNTRY).errors.get("orders", path))  # or by chance it is none

        assert text.startswith(str(path))
        refused += "is not a readable Parquet file, or damaged" in text
    assert refused > 0


def test_groups_of_rows_that_hold_nothing_asked_are_not_read(path: Path) -> None:
    """And their rows are counted all the same: an error names the row of the file."""
    rows = [
        (moment, kpi, value)
        for kpi, value in (("a", 1.0), ("b", 2.0), ("orders ", 3.0), ("z", 4.0))
        for moment in MOMENTS
    ]
    times, names, values_ = zip(*rows, strict=True)
    table = pa.table({"time": list(times), "kpi": list(names), "value": list(values_)})
    pq.write_table(table, path, row_group_size=len(MOMENTS))
    asked: list[int] = []
    batches = ParquetTable._batches

    def counted(self: ParquetTable, columns: Sequence[str]) -> Iterator[tuple[int, Any]]:
        for first, batch in batches(self, columns):
            asked.append(first)
            yield first, batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ParquetTable, "_batches", counted)
        found = read(path, Kpi("orders", query="orders"), layout=Layout.LONG)
        assert asked == [2 * len(MOMENTS)]
        nothing = read(path, Kpi("ordrs", query="ordrs"), layout=Layout.LONG)

    assert found.panel.notna().to_numpy().all()
    assert "the file holds a, b, orders, z" in str(nothing.provenance["ordrs"].notes)
