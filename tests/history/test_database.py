"""What the database of a history stands: damage, locks, full disks, others who read or write."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from anomaly.errors import StoreError
from anomaly.history.places import IN_MEMORY
from anomaly.history.records import Standing, State
from anomaly.history.store import Store
from tests.support import reports
from tests.support.histories import in_processes, kept_release, message
from tests.support.reports import at

REPORT = reports.messy()
EARLY = replace(reports.early(), release=REPORT.release)


@pytest.mark.parametrize("where", ["sqlite"], indirect=True)
def test_reading_waits_for_nobody_who_writes(store: Store, where: str) -> None:
    record = kept_release(store)
    with closing(sqlite3.connect(where)) as writer, Store(where, busy_s=0) as reader:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM releases")
        assert reader.releases() == [record]
        standing = reader.standing(record.release.service, record.release.environment)
        assert standing == Standing(record, None)
        assert reader.looks(record.id) == []
        with pytest.raises(StoreError, match="locked"):
            reader.change(record.id, state=State.ABORTED)


def test_a_file_is_for_its_user_alone(path: Path) -> None:
    with Store(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_who_reads_does_not_hold_up_who_writes(path: Path) -> None:
    with Store(path) as store, closing(sqlite3.connect(path)) as reading:
        assert reading.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        reading.execute("BEGIN")
        assert reading.execute("SELECT count(*) FROM releases").fetchone() == (0,)
        kept_release(store, REPORT.release)
        assert reading.execute("SELECT count(*) FROM releases").fetchone() == (0,)


def test_each_change_of_a_file_is_counted_whoever_made_it(path: Path) -> None:
    with Store(path) as store, Store(path) as elsewhere:
        first = store.changes()
        record = store.track(REPORT.release, origin="test")
        second = store.changes()
        elsewhere.change(record.id, state=State.DONE)
        third = store.changes()
        store.releases()
        assert None is not first != second != third == store.changes()
    with Store(IN_MEMORY) as store:
        assert store.changes() is None


@pytest.mark.parametrize(
    "damage",
    [lambda _: b"no\0database" * 500, lambda data: data[:4096] + os.urandom(64) * 64 + data[8192:]],
)
def test_a_damaged_file_is_moved_aside_and_kept(
    path: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    with Store(path) as store:
        kept_release(store)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    broken = damage(path.read_bytes())
    path.write_bytes(broken)

    with Store(path) as store:
        assert store.releases() == []
        kept_release(store)

    (aside,) = path.parent.glob("history.db.damaged-*")
    assert aside.read_bytes() == broken
    assert aside.name in caplog.text


def test_a_locked_file_is_an_error_after_a_while(path: Path) -> None:
    with Store(path):
        pass
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="locked"):
            Store(path, busy_s=0.05)


@pytest.mark.parametrize("where", ["/proc/nowhere/history.db", "/dev/null/history.db"])
def test_a_place_that_cannot_be_written_is_an_error(where: str) -> None:
    with pytest.raises(StoreError, match="can't be used"):
        Store(where)


def _fill(_number: int, path: str) -> None:
    with Store(path) as store:
        record = kept_release(store)
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (Path(path).stat().st_size, resource.RLIM_INFINITY)
        )
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            for number in range(200):
                store.record(
                    record.id, EARLY, [message(record, number)], at=at("11:00"), after=number
                )
        except StoreError:
            os._exit(3)
    os._exit(0)


def test_a_full_disk_is_an_error_and_what_was_kept_is_whole(path: Path) -> None:
    with Store(path):
        pass

    assert in_processes(_fill, str(path), count=1) == [3]

    with Store(path) as store:
        (record,) = store.releases()
        assert len(store.looks(record.id)) == len(store.messages(record.id))


def test_an_unreachable_server_is_an_error_without_its_password(loopback: None) -> None:
    with pytest.raises(StoreError, match="refused") as raised:
        Store("postgresql://anomaly:c4nary-s3cret@127.0.0.1:1/history")
    assert "c4nary" not in str(raised.value)


@pytest.mark.parametrize("where", ["mysql://h/d", "https://h/d", "postgres ql://h"])
def test_other_urls_are_refused(where: str) -> None:
    with pytest.raises(StoreError, match=r"postgresql://|can't be used"):
        Store(where)
