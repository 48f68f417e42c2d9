"""What is asked of a history costs the same however large it has become, and what is deleted gives
its space back."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from anomaly.cli.ending import run
from anomaly.errors import StoreError
from anomaly.history.records import Progress, State
from anomaly.history.store import Store
from anomaly.history.tables import METADATA
from anomaly.model import Window
from anomaly.reporting import archive
from anomaly.watch.look import Receiver, look
from anomaly.watch.tick import tick
from tests.history.test_kept_report import HOUR, kept, report
from tests.support import reports
from tests.support.histories import STEPS, copy_release, counted
from tests.support.operation import RELEASED, People, Shop

A_DAY = timedelta(days=1)
KNOWN = 100  # releases
OLD = Path(__file__).parent / "old"
FIRST_INDEXES = {"releases_by_start", "findings_by_release", "messages_by_progress"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A history of one release with two looks; the first of them fails."""
    path = tmp_path / "history.db"
    with Store(path) as store:
        kept(store, reports.failing(), report(12))
    return path


def of_many(path: Path, state: State = State.DONE, apart: timedelta = 40 * A_DAY) -> Path:
    """The same with many releases before it."""
    many = path.with_name(f"many {state}.db")
    many.write_bytes(path.read_bytes())
    copy_release(many, KNOWN, apart=apart, state=state)
    return many


def cost(work: Callable[[Store], object], path: Path) -> tuple[int, int]:
    """The statements, and the steps of SQLite, of a history that is opened for this work."""
    with counted() as count, Store(path) as store:
        work(store)
    return count["statements"], count["steps"]


@pytest.mark.slow
def test_the_copies_are_releases_with_all_that_is_about_them(path: Path) -> None:
    many = of_many(path)

    with Store(path) as one, Store(many) as store:
        (record,) = one.releases()
        copies = store.releases()
        assert len(copies) == KNOWN + 1
        for copy in copies[:3]:
            assert len(store.looks(copy.id)) == len(one.looks(record.id))
            assert len(store.findings(copy.id)) == len(one.findings(record.id))
        last = store.looks(copies[0].id)[-1]
        assert store.report(last.id).verdict is last.verdict


def test_opening_does_not_read_the_history(path: Path) -> None:
    one = cost(lambda _: None, path)

    assert cost(lambda _: None, of_many(path)) == one


@pytest.mark.slow
@pytest.mark.parametrize("apart", [40 * A_DAY, A_DAY / 100], ids=["before", "within"])
def test_lessons_are_asked_of_the_baseline_window_alone(path: Path, apart: timedelta) -> None:
    def learn(store: Store) -> object:
        window = Window(reports.RELEASED - 28 * A_DAY, reports.RELEASED)
        return store.lessons("shop", "production", window=window, warmup=HOUR)

    statements, steps = cost(learn, path)
    of_all = cost(learn, of_many(path, apart=apart))

    assert of_all[0] == statements
    if apart > 28 * A_DAY:
        assert of_all[1] <= steps + STEPS


@pytest.mark.slow
def test_a_look_costs_the_same_however_many_releases_are_known(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    path = tmp_path / "history.db"
    with Store(path) as store:
        store.track(shop.release(), origin="command")
    many = of_many(path)

    def once(store: Store) -> object:
        (record,) = store.releases(state=State.WATCHED)
        return look(shop.checklist(), record, store, (), now=shop.at(3))

    (statements, steps), of_all = cost(once, path), cost(once, many)

    assert of_all[0] == statements
    assert of_all[1] <= 1.2 * steps + 10 * STEPS


@pytest.mark.slow
@pytest.mark.parametrize("state", [State.DONE, State.ABORTED])
def test_a_step_with_nothing_to_do_asks_as_much_of_many_releases(
    tmp_path: Path, state: State
) -> None:
    shop = Shop(tmp_path)
    path = tmp_path / "history.db"
    with Store(path) as store:
        record = store.track(shop.release(), origin="command")
        store.record(record.id, reports.passing(), (), at=RELEASED, after=0)
        store.change(record.id, state=state)
    people, checklist = [Receiver("people", People())], shop.checklist()

    def step(store: Store) -> object:
        return tick(checklist, store, people, holder="me", clock=shop.clock)

    assert cost(step, of_many(path, state))[0] == cost(step, path)[0]


@pytest.mark.slow
@pytest.mark.parametrize("option", [(), ("--html", "history.html"), ("--output", "json")])
def test_listing_many_releases_takes_as_many_questions_as_listing_one(
    path: Path, option: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    def statements(where: Path) -> int:
        with counted() as count:
            assert run(["history", "--store", str(where), *option]) == 0
        return count["statements"]

    assert statements(of_many(path)) == statements(path)


# --- space --------------------------------------------------------------------------------------


def size(path: Path) -> int:
    assert not path.with_name(f"{path.name}-wal").exists()
    return path.stat().st_size


def test_what_is_pruned_makes_the_file_smaller(path: Path) -> None:
    many = of_many(path)

    with Store(many) as store:
        assert store.prune(reports.RELEASED) == KNOWN

    assert size(many) <= size(path)
    with Store(many) as store:
        assert len(store.releases()) == 1


def as_written_by_version_1(path: Path) -> None:
    """A history in the form of version 1, with a release as large as one was."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((OLD / "1.sql").read_text(encoding="utf-8"))
        connection.execute("UPDATE looks SET report = zeroblob(1000000)")
        connection.commit()


def test_a_file_of_an_earlier_version_gets_smaller_too(path: Path) -> None:
    old = path.with_name("old.db")
    as_written_by_version_1(old)
    with Store(old) as store:
        (record,) = store.releases()
        store.change(record.id, state=State.DONE)
        for message in store.messages(record.id):
            store.settle(replace(message, progress=Progress.SENT))

    with Store(old) as store:
        assert store.prune(reports.RELEASED + A_DAY) == 1

    assert size(old) < 500_000
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_pruning_is_of_one_service_where_it_is_named(path: Path) -> None:
    with Store(path) as store:
        store.change(store.releases()[0].id, state=State.DONE)
        later = reports.RELEASED + A_DAY
        assert store.prune(later, service="search", environment="production") == 0
        assert store.prune(later, service="shop", environment="staging") == 0
        assert store.prune(later, service="shop", environment="production") == 1


# --- damage -------------------------------------------------------------------------------------


def read_all(store: Store) -> None:
    for record in store.releases():
        store.findings(record.id)
        for each in store.looks(record.id):
            store.report(each.id)


def test_damage_is_found_when_it_is_read_and_the_file_is_moved_aside(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    many = of_many(path)
    data = many.read_bytes()
    head = 40 * 8192  # the pages that opening reads, and more
    broken = data[:head] + os.urandom(len(data) - head)
    many.write_bytes(broken)

    with Store(many) as store:
        with pytest.raises(StoreError, match=r"is damaged; it was moved to .*damaged-.*new one"):
            read_all(store)
        assert store.releases() == []
        store.track(reports.failing().release, origin="command")

    (aside,) = many.parent.glob("many done.db.damaged-*")
    assert aside.read_bytes() == broken
    assert aside.name in caplog.text


# --- earlier versions ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
def test_a_history_of_version_1_goes_on_and_its_looks_keep_their_points(
    loopback: None, tmp_path: Path, where: str, request: pytest.FixtureRequest
) -> None:
    """There every look has its points; only looks from now on are kept smaller."""
    place = request.getfixturevalue("database") if where == "postgresql" else str(tmp_path / "h.db")
    first, second, third = report(12), report(24), report(36)
    with Store(place) as store:
        kept(store, first, second)
        with store._transaction() as connection:
            looks = METADATA.tables["looks"]
            for number, old in ((1, first), (2, second)):
                values = {"report": archive.pack(old)}
                connection.execute(looks.update().where(looks.c.number == number).values(values))
            connection.exec_driver_sql("ALTER TABLE looks DROP COLUMN points_until")
            connection.exec_driver_sql("ALTER TABLE findings DROP COLUMN severity")
            connection.exec_driver_sql("ALTER TABLE messages DROP COLUMN thread")
            connection.exec_driver_sql("DROP TABLE newest_reports")
            for table in METADATA.tables.values():
                for index in table.indexes:
                    if index.name not in FIRST_INDEXES:
                        index.drop(connection)
            connection.exec_driver_sql("UPDATE schema SET version = 1")

    with Store(place) as store:
        record = store.releases()[0]
        store.record(record.id, third, (), at=reports.RELEASED + 3 * HOUR, after=2)
        shown = [store.report(each.id) for each in store.looks(record.id)]

    assert [len(each.points) for each in shown] == [2 * 12, 2 * 24, 2 * 36]
    assert shown[0].points["expected"].tolist() == first.points["expected"].tolist()
