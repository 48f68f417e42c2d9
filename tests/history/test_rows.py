"""What a history reads from cells that no version writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sql

from anomaly.contracts import NotifyReason
from anomaly.errors import StoreError, UsageError
from anomaly.history.records import look_id
from anomaly.history.store import Store
from anomaly.history.tables import METADATA
from anomaly.model import Window
from tests.support import reports
from tests.support.histories import kept_release, message
from tests.support.reports import at

REPORT = reports.messy()
EARLY = replace(reports.early(), release=REPORT.release)
HOUR = timedelta(hours=1)
WINDOW = Window(at("10:30") - 24 * HOUR, at("10:30") + 24 * HOUR)
LATER = "later reason"  # no NotifyReason has this text
CELLS = {
    "releases": ("stages", "started_at", "state", "version", "id", "service"),
    "looks": ("at", "verdict", "number", "report", "points_until", "id", "headline"),
    "newest_reports": ("number", "report"),
    "findings": ("segment", "verdict", "effect", "kpi", "total"),
    "messages": ("told", "at", "action", "progress", "id", "detail"),
    "acks": ("at", "incident", "note"),
}


def test_a_reason_of_a_later_version_is_read_as_unknown(store: Store) -> None:
    release = kept_release(store)
    later = message(release, why=LATER)
    store.record(release.id, REPORT, [later], at=at("11:00"), after=0)

    (kept,) = store.messages(release.id)
    assert kept.why is NotifyReason.UNKNOWN


@pytest.mark.slow
@pytest.mark.parametrize("table", CELLS)
def test_an_odd_cell_is_a_store_error_or_is_read_as_it_is(path: Path, table: str) -> None:
    with Store(path) as store:
        record = kept_release(store)
        store.record(record.id, EARLY, [message(record)], at=at("11:00"), after=0)
        store.record(record.id, REPORT, [], at=at("11:30"), after=1)
        store.acknowledge(record, incident=True, note="known", at=at("12:00"))
    with Store(path) as store, closing(sqlite3.connect(path)) as connection:
        reads: list[Callable[[], object]] = [
            store.releases,
            lambda: store.looks(record.id),
            lambda: store.report(look_id(record.id, 1)),
            lambda: store.report(look_id(record.id, 2)),
            store.last_looks,
            store.acks_of_all,
            lambda: store.lessons("shop", "production", window=WINDOW, warmup=HOUR),
            lambda: store.alarmed_aborts("shop", "production", ["slack"]),
            lambda: store.findings(record.id),
            lambda: store.messages(record.id),
            lambda: store.acks(record.id),
            lambda: store.find(record.id[:8]),
            lambda: store.due(at("12:00")),
            store.feedback,
        ]
        ((row,),) = connection.execute(f"SELECT min(rowid) FROM {table}")  # noqa: S608
        for column in CELLS[table]:
            value = sql.update(METADATA.tables[table]).values({column: sql.literal_column("?")})
            cell = f"{value} WHERE rowid = {row}"
            ((whole,),) = connection.execute(f"SELECT {column} FROM {table} WHERE rowid = {row}")  # noqa: S608
            for odd in (b"\xff", "[[1]]", "[" * 100_000, 2**62, "\x1b[31m"):
                connection.execute(cell, (odd,))
                connection.commit()
                for read in reads:
                    with suppress(StoreError, UsageError):
                        read()
            connection.execute(cell, (whole,))
            connection.commit()
        for read in reads:  # all is as it was
            read()


def test_an_infinite_number_in_a_history_is_none(path: Path) -> None:
    with Store(path) as store:
        record = kept_release(store)
        store.record(record.id, REPORT, [], at=at("11:00"), after=0)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE findings SET effect = 9e999, p_value = -9e999")
        connection.commit()

    with Store(path) as store:
        findings = store.findings(record.id)

    assert {(each.effect, each.p_value) for each in findings} == {(None, None)}


def test_an_odd_id_is_never_printed(path: Path) -> None:
    with Store(path) as store:
        kept_release(store)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE releases SET id = ?", ("\x1b[31m",))
        connection.commit()

    with Store(path) as store, pytest.raises(StoreError, match="damaged") as caught:
        store.releases()
    assert "\x1b" not in str(caught.value)
