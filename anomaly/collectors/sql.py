"""Series from a database: each KPI's query is one read-only statement that returns a row for each
step and segment.

The columns of the answer are `time`, and `value` or `numerator` and `denominator`; every other one
is a label, to be listed in the KPI's `by`. A KPI with a `denominator` has two statements, each with
a `value`. Bound are `:start` and `:end` of the asked window and `:step` in seconds, where the
statement names them.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from datetime import time as time_of_day
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import sqlalchemy as sql
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from anomaly.collectors.cells import TimeUnit
from anomaly.collectors.files import FilesCollector
from anomaly.collectors.steps import Resample
from anomaly.collectors.table_form import Chunk
from anomaly.contracts import Collected, Provenance
from anomaly.errors import CollectError, RetryableCollectError, UsageError
from anomaly.model import Kpi, Window
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE, assemble, grid
from anomaly.redaction import Redactor, url_secrets
from anomaly.wording import did_you_mean, plain

TIME = "time"
BOUND = ("start", "end", "step")
ROWS_AT_ONCE, MOST_ROWS = 1_000, 2_000_000
MOST_BYTES, LARGEST_CELL = 1 << 28, 1 << 20  # of an answer; SQLite refuses larger cells
NUMBER_BYTES = 8
READING = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_TRANSACTION,
    }
)
AROUND_A_CHANGE = [timedelta(minutes=15 * number) for number in range(9)]  # two hours, after it
ATTEMPTS, PAUSE_S = 3, 1.0
LONGEST_SAID = 300
DIALECTS = {  # by the beginning of a url: the package that brings it
    "bigquery": "sqlalchemy-bigquery",
    "clickhouse": "clickhouse-sqlalchemy",
    "clickhousedb": "clickhouse-connect[sqlalchemy]",
    "databricks": "databricks-sqlalchemy",
    "duckdb": "duckdb-engine",
    "redshift": "sqlalchemy-redshift redshift-connector",
    "snowflake": "snowflake-sqlalchemy",
    "trino": "trino[sqlalchemy]",
}
PACKAGES = {  # by the module that is missing, where their names differ
    "psycopg": "release-anomaly[sql]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
}
APART = re.compile(
    r"""'(?:[^']|'')*'|"[^"]*"|`[^`]*`|--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|;""", re.DOTALL
)
MACRO = re.compile(r"\$__\w+|\$step\b|\$\{\w+\}")


class SqlCollector:
    """Asks the database at `url` (any that SQLAlchemy knows), or in the SQLite file `path`.

    The session is read-only on PostgreSQL, MySQL and SQLite, and always rolled back; a statement
    has `timeout`, and at most `max_rows` rows. A time without a zone needs `timezone`, a number
    `time_unit`, several rows in one step `resample`, as in a file. Raises UsageError for a URL that
    can't be used.
    """

    outside: ClassVar[frozenset[str]] = frozenset({"sleep", "calendar_zone"})

    def __init__(
        self,
        *,
        url: str | None = None,
        path: Path | None = None,
        timezone: str | None = None,
        time_unit: TimeUnit | None = None,
        resample: Resample | None = None,
        timeout: timedelta = timedelta(seconds=30),
        max_rows: int = MOST_ROWS,
        sleep: Callable[[float], None] = time.sleep,
        calendar_zone: str | None = None,
    ) -> None:
        if (url is None) == (path is None):
            raise UsageError("needs either a url or the path of a SQLite file")
        if timeout <= timedelta(0):
            raise UsageError(f"timeout is {timeout}; it must be longer than zero")
        self._url = _checked(url) if url is not None else URL.create("sqlite", database=str(path))
        self._redactor = Redactor({*url_secrets(url or ""), str(self._url.password or "")})
        self._where = plain(
            (
                f"{self._url.get_backend_name()} {self._url.host or ''}/{self._url.database or ''}"
            ).replace(" /", " "),
            100,
        )
        self._reader = FilesCollector(
            path=Path(),
            timezone=timezone,
            time_unit=time_unit,
            resample=resample,
            calendar_zone=calendar_zone,
        )
        self._zone = self._reader.zone
        self._timeout = timeout
        self._max_rows = max_rows
        self._sleep = sleep

    def collect(self, kpis: Sequence[Kpi], window: Window, step: timedelta, /) -> Collected:
        """The panel of `kpis`; each statement is asked once, and one that fails is an error of its
        KPIs alone."""
        index = grid(window, step)
        panels, errors, notes = [assemble({}, index)], {}, dict[str, tuple[str, ...]]()
        answers: dict[str, _Answer | CollectError] = {}
        try:
            engine = self._engine()
        except CollectError as error:
            return Collected(panels[0], _provenance(kpis, {}), {kpi.name: error for kpi in kpis})
        try:
            for statement in dict.fromkeys(
                text for kpi in kpis for text in (kpi.query, kpi.denominator) if text is not None
            ):
                try:
                    answers[statement] = self._answer(engine, statement, window, step)
                except (
                    CollectError
                ) as error:  # one statement that fails must not hide the other KPIs
                    answers[statement] = error
        finally:
            engine.dispose()
        for kpi in kpis:
            try:
                panel, notes[kpi.name] = self._columns(kpi, answers, window, step)
                panels.append(panel)
            except CollectError as error:
                errors[kpi.name] = error
        return Collected(pd.concat(panels, axis=1), _provenance(kpis, notes), errors)

    def cells(self, table: str, rows: int) -> tuple[pd.DataFrame, Callable[[str], str]]:
        """Rows of a table as the database gives them, and what quotes a name for it; a dot sets a
        schema apart. Raises CollectError."""
        engine = self._engine()
        try:
            quote = engine.dialect.identifier_preparer.quote_identifier
            name = ".".join(quote(part) for part in table.split("."))
            answer = self._rows(engine, sql.text(f"SELECT * FROM {name} LIMIT {rows:d}"), {})  # noqa: S608  quoted
        finally:
            engine.dispose()
        return (
            pd.DataFrame([row for part in answer.parts for row in part], columns=[*answer.header]),
            quote,
        )

    # --- one statement ---------------------------------------------------------------------------

    def _answer(self, engine: Engine, statement: str, window: Window, step: timedelta) -> _Answer:
        query, names = _prepared(statement)
        values = _bounds(window, step, engine.dialect.name, self._zone)
        parameters = {name: values[name] for name in names}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._rows(engine, query, parameters)
            except RetryableCollectError:
                if attempt == ATTEMPTS:
                    raise
                self._sleep(PAUSE_S * attempt)
        raise AssertionError  # the loop returns or raises

    def _rows(
        self, engine: Engine, query: sql.TextClause, parameters: Mapping[str, Any]
    ) -> _Answer:
        parts: list[list[tuple[Any, ...]]] = []
        with self._session(engine) as connection:
            streamed = connection.execution_options(
                stream_results=True, max_row_buffer=ROWS_AT_ONCE
            )
            with closing(streamed.execute(query, parameters)) as result:
                if not result.returns_rows:
                    raise CollectError(
                        f"{self._where}: the statement returns no rows; write a SELECT"
                    )
                header, count, size = tuple(result.keys()), 0, 0
                for part in result.partitions(ROWS_AT_ONCE):
                    count += len(part)
                    size += sum(_size(cell) for row in part for cell in row)
                    if size > MOST_BYTES:
                        raise CollectError(
                            f"{self._where}: the answer is larger than {MOST_BYTES:,} bytes; sum "
                            "the rows per step, and select only the columns that are needed"
                        )
                    if count > self._max_rows:
                        raise CollectError(
                            f"{self._where}: more than {self._max_rows:,} rows; sum them per "
                            "step, or raise max_rows"
                        )
                    parts.append([tuple(row) for row in part])
        return _Answer(self._where, header, parts)

    @contextmanager
    def _session(self, engine: Engine) -> Iterator[Connection]:
        """A read-only transaction that is rolled back. Raises CollectError for whatever the
        database does."""
        try:
            with engine.connect() as connection:
                _forbid_writing(connection, self._timeout)
                if self._zone is not None and connection.dialect.name == "postgresql":
                    # so that columns without a zone are compared in it, and days begin in it
                    connection.execute(
                        sql.text("SELECT set_config('TimeZone', :zone, true)"),
                        {"zone": self._zone.key},
                    )
                if connection.dialect.name == "duckdb":  # else the machine's decides
                    zone = "UTC" if self._zone is None else self._zone.key
                    connection.exec_driver_sql("SET TimeZone = ?", (zone,))
                try:
                    yield connection
                finally:
                    with suppress(SQLAlchemyError):
                        connection.rollback()
        except DBAPIError as error:
            raise self._failure(error) from None
        except SQLAlchemyError as error:
            raise CollectError(f"{self._where}: {self._said(error)}") from None

    def _failure(self, error: DBAPIError) -> CollectError:
        message = self._said(error.orig or error)
        if "not authorized" in message or "authorization denied" in message:
            return CollectError(f"{self._where}: the session is read-only; write a SELECT")
        if "interrupted" in message or "statement timeout" in message:
            return CollectError(
                f"{self._where}: no answer within {self._timeout.total_seconds():g} s; raise "
                "timeout, or ask for less"
            )
        connection_lost = error.connection_invalidated or (
            isinstance(error.orig, OSError) or "connect" in message.lower()
        )
        return (RetryableCollectError if connection_lost else CollectError)(
            f"{self._where}: {message}"
        )

    def _said(self, error: BaseException) -> str:
        return plain(self._redactor.text(" ".join(str(error).split())), LONGEST_SAID)

    def _engine(self) -> Engine:
        url, seconds = self._url, self._timeout.total_seconds()
        options: dict[str, Any] = {}
        if url.get_backend_name() == "sqlite":
            file = Path(url.database or "")
            if not file.is_file():
                raise CollectError(f"{self._where}: no such file")
            url = URL.create(
                "sqlite", database=file.resolve().as_uri(), query={"mode": "ro", "uri": "true"}
            )
        elif url.get_backend_name() == "postgresql":
            options = {
                "connect_timeout": max(2, int(seconds)),
                "tcp_user_timeout": int(1000 * seconds),
            }
        elif url.get_backend_name() == "duckdb":
            if not Path(url.database or "").is_file():
                raise CollectError(f"{self._where}: no such file")
            # no other file is read or written either
            options = {"read_only": True, "config": {"enable_external_access": "false"}}
        try:
            return sql.create_engine(url, connect_args=options, poolclass=sql.NullPool)
        except ModuleNotFoundError as error:
            extra = PACKAGES.get(error.name or "", error.name)
            raise CollectError(
                f"{self._where}: its driver is not installed; pip install '{extra}'"
            ) from None

    # --- one KPI ---------------------------------------------------------------------------------

    def _columns(
        self,
        kpi: Kpi,
        answers: Mapping[str, _Answer | CollectError],
        window: Window,
        step: timedelta,
    ) -> tuple[pd.DataFrame, tuple[str, ...]]:
        if kpi.denominator is None:
            table = _had(answers[kpi.query])
            if not {NUMERATOR, DENOMINATOR} <= set(table.header):
                return self._read(table, kpi, VALUE, None, window, step)
            return self._read(table, kpi, NUMERATOR, DENOMINATOR, window, step)
        above, notes = self._read(_had(answers[kpi.query]), kpi, VALUE, None, window, step)
        below, more = self._read(_had(answers[kpi.denominator]), kpi, VALUE, None, window, step)
        columns = {}
        for _, segment, _ in dict.fromkeys([*above.columns, *below.columns]):
            key = (kpi.name, segment, VALUE)
            counts = below[key].to_numpy() if key in below else np.full(len(below), np.nan)
            happened = above[key].to_numpy() if key in above else np.full(len(above), np.nan)
            columns[kpi.name, segment, NUMERATOR] = np.where(
                np.isnan(happened) & np.isfinite(counts), 0.0, happened
            )
            columns[kpi.name, segment, DENOMINATOR] = counts
        return assemble(columns, grid(window, step)), tuple(dict.fromkeys([*notes, *more]))

    def _read(
        self,
        table: _Answer,
        kpi: Kpi,
        query: str,
        denominator: str | None,
        window: Window,
        step: timedelta,
    ) -> tuple[pd.DataFrame, tuple[str, ...]]:
        expected_columns = {TIME, query, denominator, *kpi.by}
        if more := [name for name in table.header if name not in expected_columns]:
            lacks = [name for name in kpi.by if name not in table.header]
            raise CollectError(
                f"{self._where}: the answer has the column{'s' if more[1:] else ''} "
                f"{', '.join(plain(name, 40) for name in more)}"
                f"{', and no ' if lacks else ''}{plain(', '.join(lacks), 80)}; "
                f"list labels under by, and name the others {TIME}, and {VALUE} or {NUMERATOR} "
                f"and {DENOMINATOR}"
            )
        answer = self._reader.collect_table(
            table, [replace(kpi, query=query, denominator=denominator)], window, step
        )
        if kpi.name in answer.errors:
            raise answer.errors[kpi.name]
        return answer.panel, answer.provenance[kpi.name].notes


@dataclass(frozen=True, slots=True)
class _Answer:
    """The rows of an answer, as a table."""

    delimiter: ClassVar[str] = ""
    read_as: ClassVar[tuple[str, ...]] = ()

    name: str
    header: tuple[str, ...]
    parts: Sequence[Sequence[tuple[Any, ...]]]

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        first, at = 0, [self.header.index(column) for column in columns]
        for part in self.parts:
            cells = {
                name: pd.Series([row[number] for row in part], dtype=object)
                for name, number in zip(columns, at, strict=True)
            }
            yield Chunk(first, cells)
            first += len(part)

    def place(self, record: int) -> str:
        return f"{self.name}: row {record + 1}"


def _size(cell: object) -> int:
    """About the bytes of a cell."""
    return len(cell) if isinstance(cell, str | bytes) else NUMBER_BYTES


def _had(answer: _Answer | CollectError) -> _Answer:
    if isinstance(answer, CollectError):
        raise answer
    return answer


def _checked(text: str) -> URL:
    try:
        url = make_url(text)
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        url.get_dialect()
    except NoSuchModuleError:
        name = text.partition(":")[0]
        if package := DIALECTS.get(name.partition("+")[0]):
            raise UsageError(
                f"url starts with {plain(name, 40)}, whose driver is not installed; pip install "
                + " ".join(f"'{each}'" for each in package.split())
            ) from None
        dialects = ("postgresql", "mysql", "mariadb", "sqlite", "mssql", "oracle", *DIALECTS)
        raise UsageError(
            f"url starts with {plain(name, 40)}, which SQLAlchemy does not "
            f"know{did_you_mean(name, dialects)}"
        ) from None
    except ArgumentError:
        raise UsageError(
            "url is not a database's; write postgresql://user:password@host/name"
        ) from None
    except ImportError:
        pass  # its driver is missing: that is said when it is asked
    return url


def _prepared(statement: str) -> tuple[sql.TextClause, tuple[str, ...]]:
    """The statement and the names that it binds. Raises CollectError for more than one statement,
    and for unknown names."""
    text = statement.strip()
    ends = [match.start() for match in APART.finditer(text) if match[0] == ";"]
    if ends and APART.sub(
        lambda match: match[0] if match[0][0] in "'\"`$;" else "", text[ends[0] + 1 :]
    ).strip("; \n\t\r"):
        raise CollectError(
            "more than one statement; write one SELECT, without anything after its ;"
        )
    if macro := MACRO.search(APART.sub(lambda match: match[0] if match[0] == ";" else "", text)):
        raise CollectError(
            f"{macro[0]} is a macro of Grafana, which only Grafana fills in; write at >= :start "
            "AND at < :end, and :step for the seconds of a step"
        )
    query = sql.text(text[: ends[0]] if ends else text)
    names = tuple(query._bindparams)
    for name in names:
        if name not in BOUND:
            choices = f":{', :'.join(BOUND)}{did_you_mean(name, BOUND)}"
            raise CollectError(
                f"the statement binds :{plain(name, 40)}; use {choices}, and write a colon of "
                "its own as \\:"
            )
    return query, names


def _bounds(
    window: Window, step: timedelta, dialect: str, zone: ZoneInfo | None
) -> dict[str, object]:
    """What a statement may bind, as the database compares it.

    PostgreSQL has times with a zone. Elsewhere times have none, and may be in UTC or in `zone`, and
    SQLite has text, with a T before the time or without. There the bounds enclose the window in
    each of these forms; what lies outside of it is left out when the answer is read.
    """
    seconds = int(step.total_seconds())
    if dialect == "postgresql":
        return {"start": window.start, "end": window.end, "step": seconds}
    zones = [UTC] if zone is None else [UTC, zone]
    start = min(_wall(window.start + near, each) for each in zones for near in AROUND_A_CHANGE)
    end = max(_wall(window.end - near, each) for each in zones for near in AROUND_A_CHANGE)
    if dialect != "sqlite":
        return {"start": start, "end": end, "step": seconds}
    shortest = "%Y-%m-%d %H:%M:%S" if start.second else "%Y-%m-%d %H:%M"
    shortest = shortest if start.time() != time_of_day() else "%Y-%m-%d"
    return {
        "start": start.strftime(shortest),  # a beginning of each form: none sorts before it
        "end": end.isoformat(timespec="seconds"),  # T sorts after the space
        "step": seconds,
    }


def _wall(moment: datetime, zone: tzinfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def _forbid_writing(connection: Connection, timeout: timedelta) -> None:
    """Make the session read-only and bound its statements, where the database can."""
    milliseconds = int(1000 * timeout.total_seconds())
    match connection.dialect.name:
        case "postgresql":
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
        case "mysql" | "mariadb":
            connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
            connection.exec_driver_sql(f"SET SESSION MAX_EXECUTION_TIME = {milliseconds}")
        case "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")
            ends = time.monotonic() + timeout.total_seconds()
            driver: Any = connection.connection.dbapi_connection
            driver.set_progress_handler(lambda: time.monotonic() > ends, 10_000)
            driver.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_CELL)
            # another file would be created where there is none, even by a session that only reads
            driver.set_authorizer(
                lambda action, *_: sqlite3.SQLITE_OK if action in READING else sqlite3.SQLITE_DENY
            )


def _provenance(kpis: Sequence[Kpi], notes: Mapping[str, tuple[str, ...]]) -> dict[str, Provenance]:
    return {
        kpi.name: Provenance(kpi.query, kpi.denominator, notes.get(kpi.name, ())) for kpi in kpis
    }
