"""Arrays on a shelf come back to the bit, or not at all; nothing is raised whatever is wrong."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.engine import room
from anomaly.engine.shelf import UNUSED, Memory, Shelf

NOW = datetime(2025, 6, 12, 10, tzinfo=UTC)
DAY = timedelta(days=1)
ARRAYS = {
    "numbers": np.array([[0.1, np.nan, -0.0], [np.inf, 1e300, 5e-324]]),
    "across": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "marks": np.array([True, False]),
    "none": np.empty((0, 4)),
}


def shelf(folder: Path, now: datetime = NOW) -> Shelf:
    return Shelf(folder / "shelf", now)


def assert_same(taken: dict[str, np.ndarray] | None) -> None:
    assert taken is not None
    assert taken.keys() == ARRAYS.keys()
    for name, expected in ARRAYS.items():
        found = taken[name]
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.flags.c_contiguous == expected.flags.c_contiguous
        assert found.tobytes() == expected.tobytes()


def held(folder: Path) -> set[str]:
    return {each.name for each in (folder / "shelf").iterdir()}


def test_arrays_come_back_to_the_bit_in_a_later_process(tmp_path: Path) -> None:
    assert shelf(tmp_path).taken("key") is None
    shelf(tmp_path).put("key", ARRAYS)
    assert_same(shelf(tmp_path, NOW + DAY).taken("key"))
    assert shelf(tmp_path).taken("other") is None


def test_in_memory_what_was_put_there_first_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anomaly.engine.shelf.MOST_HELD", 10_000)
    memory = Memory()
    for number in range(8):
        memory.put(f"{number}", {"numbers": np.full(250, float(number))})
    taken = [memory.taken(f"{number}") for number in range(8)]
    assert [None if each is None else each["numbers"][0] for each in taken] == [
        *(float(number) for number in range(5)),
        *[None] * 3,
    ]


@given(at=st.integers(0, 2**16), bit=st.integers(0, 7), cut=st.booleans())
def test_what_is_damaged_is_not_taken(
    at: int, bit: int, cut: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    shelf(folder).put("key", ARRAYS)
    path = folder / "shelf" / "key"
    content = bytearray(path.read_bytes())
    at %= len(content)
    content[at] ^= 1 << bit
    path.write_bytes(content[:at] if cut else content)
    taken = shelf(folder).taken("key")
    for name in () if taken is None or taken.keys() != ARRAYS.keys() else ARRAYS:
        assert taken is not None
        assert taken[name].tobytes() == ARRAYS[name].tobytes()


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"\x93NUMPY\x01\x00", b"\x80\x04."])
def test_what_is_no_shelf_is_none(content: bytes, tmp_path: Path) -> None:
    shelf(tmp_path).put("key", ARRAYS)
    (tmp_path / "shelf" / "key").write_bytes(content)
    assert shelf(tmp_path).taken("key") is None
    shelf(tmp_path).put("key", ARRAYS)
    assert_same(shelf(tmp_path).taken("key"))


def test_objects_are_never_read(tmp_path: Path) -> None:
    """What runs code when it is read would let whoever may write the folder run it."""
    (tmp_path / "shelf").mkdir()
    with (tmp_path / "shelf" / "key").open("wb") as file:
        np.savez(file, odd=np.array([{"a": 1}], dtype=object))
    assert shelf(tmp_path).taken("key") is None


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "shelf").write_text("a file, not a folder")
    shelf(tmp_path).put("key", ARRAYS)
    assert shelf(tmp_path).taken("key") is None


def test_files_are_for_their_user_alone(tmp_path: Path) -> None:
    shelf(tmp_path).put("key", ARRAYS)
    assert (tmp_path / "shelf").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "shelf" / "key").stat().st_mode & 0o777 == 0o600


def test_what_was_not_used_for_days_is_dropped(tmp_path: Path) -> None:
    shelf(tmp_path).put("used", ARRAYS)
    shelf(tmp_path).put("unused", ARRAYS)
    shelf(tmp_path).put(".left by a process that was killed", ARRAYS)
    shelf(tmp_path, NOW + DAY).taken("used")
    later = NOW + timedelta(seconds=UNUSED + 1)
    shelf(tmp_path, later).put("new", ARRAYS)
    assert held(tmp_path) == {"used", "new"}


def test_it_stays_within_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_BYTES", 10_000)
    large = {"numbers": np.zeros(250)}
    for hour in range(12):
        now = NOW + 2 * hour * timedelta(hours=1)
        shelf(tmp_path, now).put(f"{hour}", large)
        assert shelf(tmp_path, now).taken(f"{hour}") is not None
    assert held(tmp_path) == {"8", "9", "10", "11"}
    shelf(tmp_path, NOW + DAY).put("too large", {"numbers": np.zeros(2000)})
    assert "too large" not in held(tmp_path)


def test_what_is_in_use_makes_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the series of one look would drive each other out, and none would ever be known."""
    monkeypatch.setattr(room, "MOST_BYTES", 10_000)
    for _ in range(2):
        for number in range(9):
            shelf(tmp_path).put(f"{number}", {"numbers": np.zeros(250)})
    assert held(tmp_path) == {"0", "1", "2", "3"}


def test_several_may_write_and_read_at_once(tmp_path: Path) -> None:
    def work(_: int) -> dict[str, np.ndarray] | None:
        shelf(tmp_path).put("key", ARRAYS)
        return shelf(tmp_path).taken("key")

    with ThreadPoolExecutor(8) as pool:
        for taken in pool.map(work, range(64)):
            assert_same(taken)
    assert held(tmp_path) == {"key"}
