"""Histories of many releases, made quickly, and what it costs to ask them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sql
from sqlalchemy.engine import Engine

from anomaly.history.records import State

STEPS = 100  # of SQLite, counted at a time
# what the copy of a release holds in place of the original's, by table
COPIED = {
    "releases": {
        "id": "{id}",
        "version": "version || '-' || n",
        "started_at": "{moved}started_at",
        "finished_at": "{moved}finished_at",
    },
    "looks": {"id": "substr({id}, 1, 8) || number", "release_id": "{id}", "at": "{moved}at"},
    "newest_reports": {"release_id": "{id}"},
    "findings": {
        "look_id": "substr({id}, 1, 8) || (SELECT number FROM looks WHERE id = look_id)",
        "id": "substr({id}, 1, 8) || substr(id, 9)",
        "release_id": "{id}",
    },
    "messages": {
        "id": "substr({id}, 1, 8) || substr(id, 9)",
        "release_id": "{id}",
        "look_id": "substr({id}, 1, 8) || (SELECT number FROM looks WHERE id = look_id)",
        "at": "{moved}at",
    },
}


def copy_release(path: Path, count: int, *, apart: timedelta, state: State = State.DONE) -> None:
    """Add that many copies of the only release of a history, with all that is about it, each so
    much `apart` before the next; they are in this state."""
    names = {
        "id": "printf('%08x', n) || substr({}, 9)",
        "moved": f"-{apart // timedelta(microseconds=1)} * n + ",
    }
    numbers = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION SELECT n + 1 FROM numbers LIMIT ?)"
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, changes in COPIED.items():
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            own = names["id"].format("id" if table == "releases" else "release_id")
            values = [
                changes.get(name, name).format(id=own, moved=names["moved"]) for name in columns
            ]
            if table == "releases":
                values[columns.index("state")] = f"'{state}'"
            copies = f"SELECT {', '.join(values)} FROM {table}, numbers"  # noqa: S608  a test's own
            connection.execute(f"{numbers} INSERT INTO {table} {copies}", (count,))


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Counts the `statements` of SQL, and the `steps` of SQLite's machine, whole `STEPS`."""
    count: Counter[str] = Counter()

    def handle(connection: sqlite3.Connection, _record: object) -> None:
        def step() -> None:
            count["steps"] += STEPS

        connection.set_progress_handler(step, STEPS)

    def executed(*_: object) -> None:
        count["statements"] += 1

    sql.event.listen(Engine, "connect", handle)
    sql.event.listen(Engine, "before_cursor_execute", executed)
    try:
        yield count
    finally:
        sql.event.remove(Engine, "connect", handle)
        sql.event.remove(Engine, "before_cursor_execute", executed)
