"""A snapshot gives back what was collected, to the last bit, and refuses everything else."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anomaly.collectors import snapshot
from anomaly.contracts import Collected, Provenance
from anomaly.errors import CollectError, RetryableCollectError, UsageError
from anomaly.model import Window
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE, assemble, grid, segment_text

START = datetime(2025, 6, 3, 9, 0, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
FLOATS = st.floats(allow_nan=True, allow_infinity=False, width=64)


@st.composite
def collections(draw: st.DrawFn) -> Collected:
    rows = draw(st.integers(0, 6))
    step = timedelta(seconds=draw(st.integers(1, 100_000)))
    start = datetime.fromtimestamp(draw(st.integers(0, 4_000_000_000)), tz=UTC)
    index = pd.DatetimeIndex(pd.date_range(start, periods=rows, freq=step, unit="ns"), name="time")
    labels = st.dictionaries(TEXT, TEXT, max_size=2).map(segment_text)
    keys = draw(
        st.lists(
            st.tuples(TEXT, labels, st.sampled_from([VALUE, NUMERATOR, DENOMINATOR])),
            unique=True,
            max_size=4,
        )
    )
    columns = {
        key: np.array(draw(st.lists(FLOATS, min_size=rows, max_size=rows)), dtype=np.float64)
        for key in keys
    }
    provenance = st.builds(
        Provenance, TEXT, st.none() | TEXT, st.lists(TEXT, max_size=2).map(tuple), TEXT
    )
    delays = st.none() | st.floats(0, 1e6)
    errors = st.builds(CollectError, TEXT) | st.builds(
        RetryableCollectError, TEXT, retry_after_s=delays
    )
    return Collected(
        assemble(columns, index),
        draw(st.dictionaries(TEXT, provenance, max_size=2)),
        draw(st.dictionaries(TEXT, errors, max_size=2)),
    )


def bits(panel: pd.DataFrame) -> bytes:
    values = panel.to_numpy(dtype=np.float64, copy=True)
    values[np.isnan(values)] = np.nan  # one NaN stands for all
    return np.ascontiguousarray(values).tobytes()


def said(errors: dict[str, CollectError]) -> dict[str, tuple[Any, ...]]:
    return {
        kpi: (type(error), str(error), getattr(error, "retry_after_s", None))
        for kpi, error in errors.items()
    }


@pytest.mark.slow
@given(collections(), st.sampled_from(["kept.json", "kept.json.gz"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_what_was_saved_is_loaded_to_the_last_bit(
    tmp_path: Path, collected: Collected, name: str
) -> None:
    snapshot.save(collected, tmp_path / name)

    loaded = snapshot.load(tmp_path / name)

    assert bits(loaded.panel) == bits(collected.panel)
    assert loaded.panel.columns.tolist() == collected.panel.columns.tolist()
    assert loaded.panel.columns.names == collected.panel.columns.names
    if len(collected.panel):
        assert loaded.panel.index.equals(collected.panel.index)
        assert loaded.panel.index.dtype == collected.panel.index.dtype
        assert loaded.panel.index.name == "time"
    assert dict(loaded.provenance) == dict(collected.provenance)
    assert said(dict(loaded.errors)) == said(dict(collected.errors))


@pytest.fixture
def collected() -> Collected:
    index = grid(Window(START, START + timedelta(hours=1)), timedelta(minutes=5))
    panel = assemble({("orders", "country=DE", VALUE): np.linspace(0, 1, len(index))}, index)
    return Collected(
        panel,
        {"orders": Provenance("orders", notes=("a note",))},
        {"views": CollectError("no answer")},
    )


def test_the_same_collection_gives_the_same_bytes(collected: Collected, tmp_path: Path) -> None:
    for name in ("a.json.gz", "b.json.gz"):
        snapshot.save(collected, tmp_path / name)

    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()
    assert (tmp_path / "a.json.gz").read_bytes().startswith(b"\x1f\x8b")


def test_an_infinity_that_reached_the_panel_is_saved_as_missing(
    collected: Collected, tmp_path: Path
) -> None:
    collected.panel.iloc[0, 0] = np.inf

    snapshot.save(collected, tmp_path / "kept.json")

    assert snapshot.load(tmp_path / "kept.json").panel.isna().iloc[0, 0]


def test_a_snapshot_of_the_first_schema_has_no_links(collected: Collected, tmp_path: Path) -> None:
    about = {"query": "orders", "denominator": None, "notes": ["a note"]}
    path = altered(collected, tmp_path, schema=1, provenance={"orders": about})

    assert dict(snapshot.load(path).provenance) == dict(collected.provenance)


def test_saving_again_replaces_the_file_and_leaves_nothing_else(
    collected: Collected, tmp_path: Path
) -> None:
    path = tmp_path / "kept.json"
    path.write_text("old")

    snapshot.save(collected, path)

    assert snapshot.load(path).panel.equals(collected.panel)
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept.json"]


def test_a_link_to_a_snapshot_stays_a_link(collected: Collected, tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "kept.json")

    snapshot.save(collected, tmp_path / "link.json")

    assert (tmp_path / "link.json").is_symlink()
    assert snapshot.load(tmp_path / "kept.json").panel.equals(collected.panel)


@pytest.mark.parametrize("where", ["missing/kept.json", "folder"])
def test_a_place_that_cannot_be_written_is_named(
    collected: Collected, tmp_path: Path, where: str
) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(UsageError, match=f"{where}: can't be written"):
        snapshot.save(collected, tmp_path / where)


def altered(collected: Collected, tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "kept.json"
    snapshot.save(collected, path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


COLUMN = {"kpi": "orders", "segment": "", "role": "value", "values": [None] * 12}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": 4}, r"newer version \(schema 4; this one reads 3\)"),
        ({"schema": 0}, "schema"),
        ({"schema": "1"}, "schema"),
        ({"surprise": 1}, "surprise"),
        ({"step_s": 0}, "step_s"),
        ({"step_s": 300.5}, "step_s"),
        ({"rows": -1}, "rows"),
        ({"rows": 13}, r"columns\[0\] has 12 values; rows is 13"),
        ({"start": "2025-06-03T09:00:00"}, "start"),
        ({"start": None}, "rows need start"),
        ({"start": "9999-12-31T00:00:00Z"}, "times"),
        ({"step_s": 10**17}, "times"),
        ({"columns": [COLUMN, COLUMN]}, "a column is there twice"),
        ({"columns": [COLUMN | {"role": "nominator"}]}, "role"),
        ({"columns": [COLUMN | {"segment": "country"}]}, "segment"),
        ({"columns": [COLUMN | {"values": ["1"] * 12}]}, "values"),
        ({"columns": [COLUMN | {"values": [float("nan")] * 12}]}, "values"),
        ({"columns": [COLUMN | {"values": [float("inf")] * 12}]}, "values"),
        ({"errors": {"views": {"text": "x"}}}, "errors.views.retryable"),
        (
            {"provenance": {"orders": {"query": 1, "denominator": None, "notes": []}}},
            "provenance.orders.query",
        ),
    ],
)
def test_a_file_that_was_changed_is_refused_with_the_place(
    collected: Collected, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    path = altered(collected, tmp_path, **changes)

    with pytest.raises(UsageError, match=said) as caught:
        snapshot.load(path)

    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"not json",
        b"\x1f\x8b\x08",
        gzip.compress(b"{}", mtime=0)[:-9],
        gzip.compress(b"[1]", mtime=0),
        b"[" * 100_000,
        b"\xff\xfe\x00",
    ],
)
def test_anything_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "kept.json"
    path.write_bytes(content)

    with pytest.raises(UsageError, match=r"kept\.json: "):
        snapshot.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.json: can't be read: No such file"):
        snapshot.load(tmp_path / "nowhere.json")


def test_a_compressed_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "LARGEST", 1 << 20)
    path = tmp_path / "kept.json.gz"
    path.write_bytes(gzip.compress(b" " * (1 << 24), mtime=0))

    with pytest.raises(UsageError, match="larger than"):
        snapshot.load(path)
