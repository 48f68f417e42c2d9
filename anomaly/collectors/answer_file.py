"""The file of answers between looks: a SQLite database of arrays, which may be lost at any time.

It holds digests of queries, labels and numbers, and no address, query or credential. Whatever is
wrong with it, a lock of another process, a full disk or damage, is as if nothing were known.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np

from anomaly.collectors.stretch import Stretch
from anomaly.engine.room import Held, made_room

LOG = logging.getLogger(__name__)
T = TypeVar("T")

VERSION = 1  # of the tables; a file of another one is begun anew
BLOCK = 256  # rows that are written together
RENEWED = timedelta(days=1).total_seconds()  # what was asked for whole so long ago is asked anew
UNUSED = timedelta(days=7).total_seconds()  # after which it is dropped
BUSY_S = 5.0
NO_TABLE = "no such table"
TABLES = f"""
CREATE TABLE query (key TEXT PRIMARY KEY, start INTEGER, stop INTEGER, labels TEXT, notes TEXT,
                    made REAL, used REAL, size INTEGER, revision INTEGER) WITHOUT ROWID;
CREATE TABLE block (key TEXT, number INTEGER, series INTEGER, sum INTEGER, data BLOB,
                    PRIMARY KEY (key, number));
PRAGMA user_version = {VERSION};
"""
# what reading odd bytes raises
DAMAGE = (sqlite3.Error, OSError, ValueError, TypeError, LookupError, OverflowError)


class AnswerFile:
    """What is known of queries, in the file at `path`; not thread-safe. No method raises."""

    def __init__(self, path: Path, now: datetime) -> None:
        self._path, self._now = path, now.timestamp()
        self._revisions: dict[str, int] = {}  # of the queries as they were read or written here
        self._connection = self._opened()

    def close(self) -> None:
        """Nothing is read or written from now on."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def read(self, key: str, rows: range) -> Stretch | None:
        """What is known of a query about `rows` and some rows around; None where it is nothing, or
        old."""
        return self._attempt(lambda connection: self._read(connection, key, rows))

    def write(self, key: str, whole: Stretch, fresh: Sequence[range], *, anew: bool) -> None:
        """Keeps a stretch of which the rows `fresh` are not in the file as they are; `anew`
        replaces what is there. Nothing is kept where there is no room."""
        self._attempt(lambda connection: self._write(connection, key, whole, fresh, anew=anew))

    def drop(self, key: str) -> None:
        """Forgets a query."""
        self._attempt(lambda connection: _drop(connection, key))

    def _opened(self) -> sqlite3.Connection | None:
        try:
            return self._connected()
        except (sqlite3.OperationalError, OSError) as error:  # busy, no place to write
            LOG.info("no answers are kept in %s: %s", self._path, error)
        except sqlite3.Error as error:
            return self._begun_anew(error)
        return None

    def _begun_anew(self, error: Exception) -> sqlite3.Connection | None:
        LOG.info("%s is begun anew: %s", self._path, error)
        try:
            for suffix in ("", "-journal"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            return self._connected()
        except (sqlite3.Error, OSError) as again:
            LOG.info("no answers are kept in %s: %s", self._path, again)
        return None

    def _connected(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
        connection = sqlite3.connect(
            self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            # what a power cut spoils is asked again
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            with _transaction(connection):
                _prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _attempt(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        if self._connection is None:
            return None
        try:
            with _transaction(self._connection):
                return work(self._connection)
        except DAMAGE as error:
            is_passing = isinstance(error, sqlite3.OperationalError | OSError)  # busy, full
            if is_passing and NO_TABLE not in str(error):
                LOG.info("%s: %s", self._path, error)
                return None
            self.close()
            self._connection = self._begun_anew(error)
        return None

    def _read(self, connection: sqlite3.Connection, key: str, rows: range) -> Stretch | None:
        row = connection.execute(
            "SELECT start, stop, labels, notes, made, revision FROM query WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            return None
        start, stop, labels_text, notes_text, made_at, self._revisions[key] = row
        if not 0 <= self._now - made_at <= RENEWED:
            return None
        connection.execute("UPDATE query SET used = ? WHERE key = ?", (self._now, key))
        labels = tuple(
            frozenset((str(name), str(value)) for name, value in each)
            for each in json.loads(labels_text)
        )
        first = max(start, rows.start // BLOCK * BLOCK)
        end = min(stop, -(-rows.stop // BLOCK) * BLOCK)
        if first >= end:
            return None
        values = np.full((len(labels), end - first), np.nan)
        answered = np.zeros((len(labels), end - first), dtype=np.bool_)
        numbers = range(first // BLOCK, -(-end // BLOCK))
        blocks = connection.execute(
            "SELECT number, series, sum, data FROM block WHERE key = ? AND number >= ? AND "
            "number < ? ORDER BY number",
            (key, numbers.start, numbers.stop),
        ).fetchall()
        if [number for number, *_ in blocks] != [*numbers]:
            raise ValueError("blocks are missing")
        for number, series, checksum, data in blocks:
            if zlib.crc32(data) != checksum:
                raise ValueError("a block is damaged")
            numbers_end = series * BLOCK * 8
            inside = slice(max(first, number * BLOCK), min(end, (number + 1) * BLOCK))
            here = slice(inside.start - first, inside.stop - first)
            there = slice(inside.start - number * BLOCK, inside.stop - number * BLOCK)
            table = np.frombuffer(data, "<f8", series * BLOCK).reshape(series, BLOCK)
            bits = np.frombuffer(data, np.uint8, offset=numbers_end).reshape(series, BLOCK // 8)
            values[:series, here] = table[:, there]
            answered[:series, here] = np.unpackbits(bits, axis=1)[:, there]
        notes = tuple(str(text) for text in json.loads(notes_text))
        return Stretch(first, labels, values, answered, notes)

    def _write(
        self,
        connection: sqlite3.Connection,
        key: str,
        whole: Stretch,
        fresh: Sequence[range],
        *,
        anew: bool,
    ) -> None:
        if anew:
            _drop(connection, key)
            fresh = [whole.rows]
        before = connection.execute(
            "SELECT start, stop, made, revision FROM query WHERE key = ?", (key,)
        ).fetchone()
        start, stop, made_at, revision = before or (whole.rows.start, whole.rows.stop, self._now, 0)
        if not anew and (before is None or revision != self._revisions.get(key)):
            return  # another process changed it
        if not whole.labels:
            _drop(connection, key)
            return
        numbers = {
            number
            for rows in fresh
            if rows
            for number in range(rows.start // BLOCK, (rows.stop - 1) // BLOCK + 1)
        }
        size = len(whole.labels) * BLOCK * 65 // 8
        if not self._has_room(connection, key, size * len(numbers)):
            _drop(connection, key)
            return
        blocks = ((number, _packed(whole, number)) for number in sorted(numbers))
        connection.executemany(
            "INSERT OR REPLACE INTO block VALUES (?, ?, ?, ?, ?)",
            ((key, number, len(whole.labels), zlib.crc32(data), data) for number, data in blocks),
        )
        earliest = whole.rows.start - len(whole.rows)
        connection.execute(
            "DELETE FROM block WHERE key = ? AND number < ?", (key, earliest // BLOCK)
        )
        (total,) = connection.execute(
            "SELECT sum(length(data)) FROM block WHERE key = ?", (key,)
        ).fetchone()
        labels = json.dumps([sorted(each) for each in whole.labels])
        revision = secrets.randbits(62)
        start = max(min(start, whole.rows.start), earliest // BLOCK * BLOCK)
        stop = max(stop, whole.rows.stop)
        connection.execute(
            "INSERT OR REPLACE INTO query VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                key,
                start,
                stop,
                labels,
                json.dumps(whole.notes),
                made_at,
                self._now,
                total,
                revision,
            ),
        )
        self._revisions[key] = revision

    def _has_room(self, connection: sqlite3.Connection, key: str, size: int) -> bool:
        """Whether so much more may be kept, after what is not used has made room."""
        rows = connection.execute("SELECT key, used, size FROM query").fetchall()
        own = sum(int(each) for other, _, each in rows if other == key)
        return made_room(
            [Held(*row) for row in rows if row[0] != key],
            own + size,
            lambda other: _drop(connection, other),
            folder=self._path.parent,
            taken=self._path.stat().st_size,
            now=self._now,
            unused=UNUSED,
        )


def _prepare(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        for statement in TABLES.split(";"):
            connection.execute(statement)
    elif version != VERSION:
        raise sqlite3.DatabaseError(f"it has version {version}")


def _drop(connection: sqlite3.Connection, key: str) -> None:
    connection.execute("DELETE FROM block WHERE key = ?", (key,))
    connection.execute("DELETE FROM query WHERE key = ?", (key,))


def _packed(whole: Stretch, number: int) -> bytes:
    """A block of a stretch as bytes: the numbers, then which are answered, a bit each; rows beyond
    the stretch are missing."""
    values = np.full((len(whole.labels), BLOCK), np.nan, dtype="<f8")
    answered = np.zeros((len(whole.labels), BLOCK), dtype=np.bool_)
    first = max(number * BLOCK, whole.rows.start)
    stop = min((number + 1) * BLOCK, whole.rows.stop)
    here = slice(first - number * BLOCK, stop - number * BLOCK)
    there = slice(first - whole.start, stop - whole.start)
    values[:, here], answered[:, here] = whole.values[:, there], whole.answered[:, there]
    return values.tobytes() + np.packbits(answered, axis=1).tobytes()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with closing(connection.cursor()) as cursor:
            if connection.in_transaction:
                cursor.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
