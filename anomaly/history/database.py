"""The database of a history: a SQLite file, or PostgreSQL where several machines share one
history; its transactions, and what is done about damage."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sql
from pydantic import ValidationError
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

from anomaly import wording
from anomaly.errors import StoreError
from anomaly.history.database_file import is_broken, move_aside, refuse_other_file
from anomaly.history.migrations import prepare
from anomaly.history.places import IN_MEMORY
from anomaly.redaction import Redactor, is_url, url_secrets

PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")
FREES_SPACE = "auto_vacuum = INCREMENTAL"  # an older file gets it when it is written anew
OF_NEW_FILE = ("page_size = 8192", FREES_SPACE)  # most rows hold two kilobytes
WORTH_IT = 0.25  # share of an older file that is free, from which on it is written anew
BUSY_S = 20  # how long to wait for another process that holds the store
KIND, READS, WRITES = "anomaly_kind", "reads", "writes"  # of a transaction
LONGEST_TEXT = 200  # characters of what an odd cell raised
# what reading an odd cell raises
DAMAGE = (ValueError, TypeError, LookupError, OverflowError, RecursionError)
DAMAGED = ("malformed", "not a database", "disk image", "corrupt")

log = logging.getLogger(__name__)


class Database:
    """The connection to the database at one place, until the end of the context: what `Store`
    stands on."""

    def __init__(self, where: str | Path, *, busy_s: float = BUSY_S) -> None:
        self.where = str(where)
        self._redactor = Redactor(url_secrets(self.where) if is_url(self.where) else ())
        self._busy_s = busy_s
        is_file = self.where != IN_MEMORY and "://" not in self.where
        self._path = Path(self.where) if is_file else None
        self._engine = self._open()
        self._counter: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def is_near(self) -> bool:
        """Whether the history is a file of this machine, or in memory: to read it takes a fraction
        of a millisecond."""
        return "://" not in self.where

    def changes(self) -> int | None:
        """A number that is another one after each change of the history, whoever made it; None
        where it can't be had for less than it takes to read."""
        if self._path is None:
            return None
        try:
            if self._counter is None:  # one that writes nothing: its own changes would not count
                self._counter = sqlite3.connect(self._path, check_same_thread=False)
            return _pragma(self._counter, "data_version")
        except sqlite3.Error:  # who reads is told why
            return None

    def _close(self) -> None:
        self._engine.dispose()
        if self._counter is not None:
            self._counter.close()
            self._counter = None

    @contextmanager
    def _transaction(self, kind: str = WRITES) -> Iterator[Connection]:
        try:
            with (
                self._engine.connect() as connection,
                connection.execution_options(**{KIND: kind}).begin(),
            ):
                yield connection
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError) as error:
            if self._path is None or not _is_damage(error) or not is_broken(self._path):
                raise self._failure(error) from None
            raise self._renewed(self._path) from None
        except DAMAGE as error:
            raise self._damage(_text(error)) from None

    def _renewed(self, path: Path) -> StoreError:
        """That the file is damaged; a new one is in its place."""
        self._close()
        aside = move_aside(path)
        self._engine = self._open()
        return StoreError(
            f"the history at {self._redactor.text(self.where)} is damaged; it was moved to "
            f"{aside.name}, and a new one was created"
        )

    def _damage(self, text: str) -> StoreError:
        """That a cell holds what no version writes."""
        return StoreError(
            f"the history at {self._redactor.text(self.where)} is damaged: "
            f"{wording.plain(text, LONGEST_TEXT)}; move it aside, and a new one is created"
        )

    def _failure(self, error: Exception) -> StoreError:
        cause = error.orig if isinstance(error, DBAPIError) else error
        text = " ".join(self._redactor.text(str(cause)).split())
        return StoreError(f"the history at {self._redactor.text(self.where)} can't be used: {text}")

    def _open(self) -> Engine:
        path = self._path
        if path is not None:
            refuse_other_file(path, self.where)
        try:
            try:
                return self._prepared_engine(path)
            except DBAPIError as error:
                if path is None or not _is_damage(error) or not is_broken(path):
                    raise
                move_aside(path)
                return self._prepared_engine(path)
        except ModuleNotFoundError as error:
            raise StoreError(
                f"{error.name} is not installed; pip install 'release-anomaly[sql]'"
            ) from None
        except (SQLAlchemyError, OSError, sqlite3.Error) as error:
            raise self._failure(error) from None
        except DAMAGE as error:
            raise self._damage(_text(error)) from None

    def _prepared_engine(self, path: Path | None) -> Engine:
        engine = self._engine_of(path)
        try:
            prepare(engine)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def _engine_of(self, path: Path | None) -> Engine:
        if path is None and self.where != IN_MEMORY:
            return sql.create_engine(
                _postgresql(self.where, self._redactor),
                connect_args={"connect_timeout": int(self._busy_s)},
            )
        if path is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        pool = sql.StaticPool if path is None else None
        target = "sqlite://" if path is None else sql.URL.create("sqlite", database=str(path))
        engine = sql.create_engine(
            target,
            connect_args={"timeout": self._busy_s, "check_same_thread": False},
            poolclass=pool,
        )
        sql.event.listen(engine, "connect", _configure)
        sql.event.listen(engine, "begin", _begin)
        return engine

    def _give_back(self) -> None:
        """Make the file smaller by what is free in it. It matters less than what it may fail at."""
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            if _pragma(cursor, "auto_vacuum"):
                cursor.executescript("PRAGMA incremental_vacuum")  # `execute` ends at one page
            elif _pragma(cursor, "freelist_count") >= WORTH_IT * _pragma(cursor, "page_count"):
                cursor.execute(f"PRAGMA {FREES_SPACE}")
                cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            log.warning("the history gave no space back: %s", error)
        finally:
            connection.close()


def _postgresql(where: str, redactor: Redactor) -> sql.URL:
    try:
        url = make_url(where)
    except ArgumentError:
        raise StoreError(
            "the store is not a URL; write postgresql://host/name, or the path of a file"
        ) from None
    if url.get_backend_name() != "postgresql":
        scheme = redactor.text(url.drivername)
        raise StoreError(
            f"the store's URL starts with {scheme}; use postgresql://, or the path of a SQLite file"
        )
    return url.set(drivername="postgresql+psycopg")


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the engine begins transactions, as IMMEDIATE
    is_new = not _pragma(connection, "page_count")
    for pragma in (*(OF_NEW_FILE if is_new else ()), *PRAGMAS):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    """Begin a transaction: one that may write takes its turn at once, so that it can't fail half
    way; one that reads sees the file as it is now, whoever writes."""
    reads = connection.get_execution_options().get(KIND) == READS
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _is_damage(error: Exception) -> bool:
    text = str(error.orig).lower() if isinstance(error, DBAPIError) else ""
    return any(word in text for word in DAMAGED)


def _text(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}: {error}"
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _pragma(database: Any, name: str) -> int:
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])
