"""The file of a history: where it lies, whether it is one, and moving a damaged one aside."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from anomaly import wording
from anomaly.errors import StoreError
from anomaly.history.tables import RELEASES, SCHEMA

LONGEST_NAME = 200  # characters of a file or table in an error
BEGINNING = 200  # bytes that tell a text from a database

log = logging.getLogger(__name__)


def default_path() -> Path:
    """`$XDG_STATE_HOME/anomaly/history.db`, or `~/.local/state/anomaly/history.db`; raises
    StoreError without a home."""
    state = os.environ.get("XDG_STATE_HOME", "")
    try:
        folder = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    except RuntimeError:
        raise StoreError(
            "there is no home folder to keep the history in; name a place by --store, or by store: "
            "in the checklist"
        ) from None
    return folder / "anomaly" / "history.db"


def refuse_other_file(path: Path, name: str) -> None:
    """Raises StoreError for a file of somebody else, which is left as it is; `name` is what its
    user calls it."""
    place = f"the history at {wording.plain(name, LONGEST_NAME)}"
    if path.exists() and not path.is_file():
        hint = "; name one in it, such as history.db" if path.is_dir() else ""
        raise StoreError(f"{place} is not a file{hint}")
    if _holds_text(path):
        raise StoreError(f"{place} is a file of text; name another one, such as history.db")
    if others := _tables_of_others(path):
        raise StoreError(
            f"{place} is a database of something else, with tables such as "
            f"{wording.plain(others[0], LONGEST_NAME)}; name another file, such as history.db"
        )


def is_broken(path: Path) -> bool:
    """Whether a check of the whole file finds damage: another process may have moved it aside."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            return bool(connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",))
    except sqlite3.DatabaseError as error:
        return not isinstance(error, sqlite3.OperationalError)


def move_aside(path: Path) -> Path:
    """Rename the files of a damaged store, none is deleted; returns the new name of the first."""
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.rename(path.with_name(f"{path.name}.damaged-{stamp}{suffix}"))
    log.error(
        "the history at %s is damaged; it was moved to %s.damaged-%s, and a new one was created",
        path,
        path.name,
        stamp,
    )
    return path.with_name(f"{path.name}.damaged-{stamp}")


def _holds_text(path: Path) -> bool:
    """Whether a file is somebody's text, and no damaged history: that has zero bytes."""
    try:
        with path.open("rb") as file:
            beginning = file.read(BEGINNING)
    except OSError:
        return False
    return bool(beginning) and b"\0" not in beginning and _is_utf8(beginning)


def _tables_of_others(path: Path) -> list[str]:
    """The tables of a database that is no history. Reading them changes no byte of it, and leaves
    no file beside it; what can't be read holds none, and is found out about later."""
    wal = path.with_name(f"{path.name}-wal")
    if not path.exists():
        return []
    try:
        way = "mode=ro" if wal.exists() and wal.stat().st_size else "immutable=1"
        address = f"file:{quote(str(path.absolute()))}?{way}"
        with closing(sqlite3.connect(address, uri=True)) as database:
            query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            names = [str(name) for (name,) in database.execute(query)]
    except (OSError, sqlite3.Error):
        return []
    return [] if {SCHEMA.name, RELEASES.name} <= {*names} else names


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.end == len(data)  # cut within a character
    return True
