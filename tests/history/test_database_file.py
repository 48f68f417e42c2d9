"""Where a history lies, and that no file of somebody else is taken for one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from anomaly.errors import StoreError
from anomaly.history.database_file import default_path
from anomaly.history.store import Store


def test_a_file_of_somebody_else_is_refused_and_left_as_it_is(path: Path) -> None:
    path.write_text("service: café\n" * 50, encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="is a file of text; name another one"):
        Store(path)
    assert [each.read_bytes() for each in path.parent.iterdir()] == [before]


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
@pytest.mark.parametrize("table", ["notes", "schema"])
def test_a_database_of_somebody_else_is_refused_and_left_as_it_is(
    path: Path, mode: str, table: str
) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA journal_mode = {mode}")
        other.execute(f"CREATE TABLE {table} (text)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=f"of something else, with tables such as {table}; name"):
        Store(path)
    assert [each.read_bytes() for each in path.parent.iterdir()] == [before]


def test_a_database_that_somebody_else_has_open_is_refused_and_stays_usable(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE notes (text)")
        before = path.read_bytes()
        with pytest.raises(StoreError, match="tables such as notes"):
            Store(path)
        assert path.read_bytes() == before
        other.execute("INSERT INTO notes VALUES ('still here')")


def test_a_folder_is_no_history(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is not a file; name one in it, such as history\.db"):
        Store(tmp_path)


def test_the_default_place_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "anomaly" / "history.db"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_path() == Path("/home/somebody/.local/state/anomaly/history.db")
