"""What is kept in a history, histories of many releases, made quickly, and what it costs to ask
them."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sql
from sqlalchemy.engine import Engine

from anomaly.contracts import Action, NotifyReason
from anomaly.history.records import OutboxMessage, ReleaseRecord, State, look_id, message_id
from anomaly.history.store import Store
from anomaly.model import Release
from tests.support import reports
from tests.support.reports import at

RELEASE = reports.messy().release
ON_POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.slow)
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


def kept_release(store: Store, release: Release = RELEASE) -> ReleaseRecord:
    return store.track(release, origin="command", checklist="shop.yaml")


def message(
    record: ReleaseRecord, number: int = 1, sink: str = "slack", **changes: object
) -> OutboxMessage:
    first = OutboxMessage(
        message_id(record.id, sink, number),
        record.id,
        look_id(record.id, 1),
        sink,
        Action.FIRE,
        NotifyReason.FIRST,
        at("11:00"),
        at("11:00"),
        {"abc": 0.5},
    )
    return replace(first, **changes)  # type: ignore[arg-type]


def in_processes(work: Callable[..., None], *arguments: object, count: int) -> list[int]:
    """The exit codes of so many processes that do this work at once, each with its number."""
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work, args=(number, *arguments)) for number in range(count)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    return [child.exitcode or 0 for child in children]


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
