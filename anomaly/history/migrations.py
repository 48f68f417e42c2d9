"""The versions of a history: its tables are created, or brought up to the newest version."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sql
from sqlalchemy.engine import Connection, Engine

from anomaly.errors import StoreError
from anomaly.history.tables import ACKS, MESSAGES, METADATA, NEWEST_REPORTS, RELEASES, SCHEMA

Migration = Callable[[Connection], None]


def prepare(engine: Engine) -> None:
    """Create or migrate the tables. Raises StoreError for a history of a later version."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # one process at a time creates the tables
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7240815)")
        tables = sql.inspect(connection).get_table_names()
        if SCHEMA.name not in tables:
            METADATA.create_all(connection)
            connection.execute(sql.insert(SCHEMA).values(version=NEWEST))
            return
        version = connection.execute(sql.select(SCHEMA.c.version)).scalar_one()
        if version > NEWEST:
            raise StoreError(
                f"the history has version {version}, this anomaly supports up to {NEWEST}; use a "
                "newer anomaly"
            )
        if version == NEWEST:  # write nothing: the disk may be full
            return
        for migrate in MIGRATIONS[version - 1 :]:
            migrate(connection)
        connection.execute(sql.update(SCHEMA).values(version=NEWEST))


def _keep_points_once(connection: Connection) -> None:
    """To version 2: the newest look alone keeps its points, and no question needs all rows. What
    the looks have kept so far stays as it is."""
    connection.exec_driver_sql("ALTER TABLE looks ADD COLUMN points_until BIGINT")
    NEWEST_REPORTS.create(connection)
    names = {"releases_by_end", "releases_by_environment", "releases_by_state"}
    names |= {"messages_by_look", "acks_by_release"}
    for table in (RELEASES, MESSAGES, ACKS):
        for index in table.indexes:
            if index.name in names:
                index.create(connection)


def _keep_severity_and_thread(connection: Connection) -> None:
    """To version 3: a finding says its severity, and a message the thread that it began, or belongs
    to. Of the findings so far it is known where a release is held, for then all that fail are
    signals."""
    connection.exec_driver_sql(
        "ALTER TABLE findings ADD COLUMN severity VARCHAR(16) DEFAULT 'guardrail' NOT NULL"
    )
    connection.exec_driver_sql(
        "UPDATE findings SET severity = 'signal' "
        "WHERE fails AND look_id IN (SELECT id FROM looks WHERE verdict = 'hold')"
    )
    connection.exec_driver_sql("ALTER TABLE messages ADD COLUMN thread TEXT NOT NULL DEFAULT ''")


# the n-th turns version n into n + 1
MIGRATIONS: tuple[Migration, ...] = (_keep_points_once, _keep_severity_and_thread)
NEWEST = len(MIGRATIONS) + 1
