"""A history of any earlier version can be read, one of a later version is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sql

from anomaly.contracts import Action
from anomaly.errors import StoreError
from anomaly.history.migrations import NEWEST
from anomaly.history.records import Look
from anomaly.history.store import Store
from anomaly.history.tables import METADATA, SCHEMA
from tests.support.histories import ON_POSTGRESQL, kept_release

OLD = Path(__file__).parent / "old"


@pytest.mark.parametrize("where", ["sqlite", ON_POSTGRESQL], indirect=True)
def test_a_later_version_is_refused_and_left_as_it_is(loopback: None, where: str) -> None:
    with Store(where) as store:
        kept_release(store)
        with store._transaction() as connection:
            connection.execute(sql.update(SCHEMA).values(version=NEWEST + 1))

    with pytest.raises(StoreError, match=rf"has version {NEWEST + 1}.*use a newer anomaly"):
        Store(where)
    if "://" not in where:
        with closing(sqlite3.connect(where)) as connection:
            assert connection.execute("SELECT count(*) FROM releases").fetchone() == (1,)


@pytest.mark.parametrize("old", sorted(OLD.glob("*.sql")), ids=lambda path: path.stem)
def test_every_older_history_can_be_read(path: Path, old: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(old.read_text(encoding="utf-8"))

    with Store(path) as store:
        (record,) = store.releases()
        look = store.find("c8a5ca2b")
        assert isinstance(look, Look)
        shown = store.report(look.id)
        assert shown.release.version == record.release.version == "1.4.2"
        assert len(shown.points) in (0, 12)
        assert store.messages(record.id)[0].action is Action.FIRE


def test_what_failed_in_a_held_release_of_an_old_history_was_a_signal(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((OLD / "2.sql").read_text(encoding="utf-8"))
        connection.execute("UPDATE looks SET verdict = 'hold'")
        connection.execute("UPDATE findings SET fails = 1")
        connection.commit()

    with Store(path) as store:
        findings = store.findings(store.releases()[0].id)

    assert {(each.fails, str(each.severity)) for each in findings} == {(True, "signal")}


def test_there_is_an_old_history_for_every_version() -> None:
    assert len(list(OLD.glob("*.sql"))) == NEWEST
    assert set(METADATA.tables) == {
        "schema",
        "releases",
        "looks",
        "newest_reports",
        "findings",
        "messages",
        "acks",
        "leases",
    }
