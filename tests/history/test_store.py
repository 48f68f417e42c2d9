"""What the history promises, on SQLite and on a real PostgreSQL alike."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sqlite3
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sql

from anomaly.contracts import Action, NotifyReason
from anomaly.errors import StoreBusy, StoreError, UsageError
from anomaly.history.database import IN_MEMORY
from anomaly.history.database_file import default_path
from anomaly.history.migrations import NEWEST
from anomaly.history.records import (
    FindingRecord,
    Look,
    OutboxMessage,
    Progress,
    ReleaseRecord,
    Standing,
    State,
    finding_id,
    look_id,
    message_id,
)
from anomaly.history.store import Store
from anomaly.history.tables import METADATA, SCHEMA
from anomaly.model import Release, ReleaseVerdict, Verdict, Window
from anomaly.reporting.data import to_dict
from tests.support import reports
from tests.support.reports import at

REPORT = reports.messy()
EARLY = replace(reports.early(), release=REPORT.release)
HOUR = timedelta(hours=1)
LATER = "later reason"  # no NotifyReason has this text
WINDOW = Window(at("10:30") - 24 * HOUR, at("10:30") + 24 * HOUR)
OLD = Path(__file__).parent / "old"


ON_POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.slow)


@pytest.fixture(params=["sqlite", ON_POSTGRESQL, "memory"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        url: str = request.getfixturevalue("database")
        return url
    return IN_MEMORY if request.param == "memory" else str(tmp_path / "folder" / "history.db")


@pytest.fixture
def store(loopback: None, where: str) -> Iterator[Store]:
    with Store(where) as store:
        yield store


def kept_release(store: Store, release: Release = REPORT.release) -> ReleaseRecord:
    return store.track(release, origin="command", checklist="shop.yaml")


def message(
    record: ReleaseRecord, number: int = 1, sink: str = "slack", **changes: object
) -> OutboxMessage:
    made = OutboxMessage(
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
    return replace(made, **changes)  # type: ignore[arg-type]


# --- releases -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_release_comes_back_as_it_was_told(store: Store) -> None:
    staged = replace(reports.staged().release, followed_by=None)
    record = kept_release(store, staged)

    assert store.releases() == [record]
    assert record == ReleaseRecord(record.id, staged, State.WATCHED, "command", "shop.yaml")


def test_saying_it_again_is_the_same_release_with_what_is_new(store: Store) -> None:
    first = kept_release(store)
    again = kept_release(
        store, replace(REPORT.release, started_at=at("10:33"), finished_at=at("10:50"))
    )

    assert again.id == first.id
    assert (again.release.started_at, again.release.finished_at) == (
        REPORT.release.started_at,
        at("10:50"),
    )
    assert store.releases() == [again]


def test_the_version_before_is_that_of_the_last_release_that_was_not_aborted(
    store: Store,
) -> None:
    release = REPORT.release
    for hour, version in enumerate(("0.9", "1.0", "", "1.1")):
        kept_release(
            store, replace(release, version=version, started_at=at(f"0{hour}:00"), finished_at=None)
        )
    elsewhere = replace(release, environment="staging", version="7", started_at=at("09:00"))
    kept_release(store, elsewhere)
    aborted = next(each for each in store.releases() if each.release.version == "1.1")

    assert store.version_before(release) == "1.1"
    store.change(aborted.id, state=State.ABORTED)
    assert store.version_before(release) == "1.0"
    assert store.version_before(replace(release, version="1.0")) == "0.9"
    assert store.version_before(elsewhere) == ""


def test_where_the_newest_release_stands_is_one_question(store: Store) -> None:
    service, environment = REPORT.release.service, REPORT.release.environment
    assert store.standing(service, environment) is None
    first = kept_release(store)
    assert store.standing(service, environment) == Standing(first, None)
    looks = [store.record(first.id, REPORT, [], at=at("12:00"), after=n) for n in range(2)]
    release = replace(REPORT.release, version="2.0", started_at=at("18:00"), finished_at=None)
    newest = kept_release(store, release)

    found = store.standing(service, environment, REPORT.release.version)
    assert found is not None
    assert (found.record.id, found.look) == (first.id, looks[-1])
    assert store.standing(service, environment) == Standing(newest, None)
    assert store.standing(service, "elsewhere") is None
    assert store.standing(service, environment, "9.9") is None

    counts, findings = store.worst(looks[-1].id, 2)
    assert counts == Counter(each.verdict for each in REPORT.findings)
    assert len(findings) == 2
    assert findings[0].fails
    assert Verdict.OK not in {each.verdict for each in findings}


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


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [{"version": "1.4.3"}, {"environment": "staging"}, {"service": "search"}]
)
def test_another_version_environment_or_service_is_another_release(
    store: Store, change: dict[str, str]
) -> None:
    first = kept_release(store)

    other = replace(REPORT.release, started_at=at("12:00"), finished_at=None)

    assert kept_release(store, replace(other, **change)).id != first.id  # type: ignore[arg-type]


def test_a_version_that_comes_back_after_another_is_a_release_again(store: Store) -> None:
    first = kept_release(store)
    kept_release(
        store, replace(REPORT.release, version="1.4.3", started_at=at("12:00"), finished_at=None)
    )
    back = kept_release(store, replace(REPORT.release, started_at=at("13:00"), finished_at=None))

    assert back.id != first.id
    assert len(store.releases()) == 3


def test_what_is_told_again_after_the_next_release_is_still_the_one_before(store: Store) -> None:
    """Sources tell of the same release at every look, a little earlier or later than the pipeline
    did."""
    first = kept_release(store)
    following = kept_release(
        store, replace(REPORT.release, version="1.4.3", started_at=at("12:00"), finished_at=None)
    )
    for moment in ("10:28", "10:33", "11:59"):
        assert (
            kept_release(
                store, replace(REPORT.release, started_at=at(moment), finished_at=at(moment))
            ).id
            == first.id
        )
    staged = replace(
        REPORT.release,
        started_at=at("10:00"),
        finished_at=None,
        stages=((at("10:00"), 0.1), (at("10:40"), 1.0)),
    )

    assert kept_release(store, staged).release.stages == ()  # they begin before it
    assert [each.id for each in store.releases()] == [first.id, following.id]


def test_what_was_aborted_is_watched_again_only_if_it_begins_anew(store: Store) -> None:
    first = kept_release(store)
    store.change(first.id, state=State.ABORTED)
    later = replace(REPORT.release, started_at=at("12:00"), finished_at=None)

    assert kept_release(store, later).state is State.ABORTED
    again = store.track(later, origin="command", anew=True)
    assert (again.state, again.id != first.id) == (State.WATCHED, True)
    assert (
        store.track(
            replace(later, started_at=at("12:05"), finished_at=None), origin="command", anew=True
        ).id
        == again.id
    )


def test_what_a_source_says_was_aborted_is_so_unless_it_began_later(store: Store) -> None:
    whole = replace(REPORT.release, started_at=at("10:00"), finished_at=None)
    aborted = replace(whole, aborted_at=at("11:00"))

    assert kept_release(store, aborted).state is State.ABORTED
    assert kept_release(store, whole).state is State.ABORTED
    anew = replace(whole, started_at=at("12:00"), finished_at=None)
    again = store.track(anew, origin="command", anew=True)
    assert kept_release(store, aborted).state is State.ABORTED
    assert {each.id: each.state for each in store.releases()}[again.id] is State.WATCHED


def test_the_abort_of_an_earlier_start_aborts_no_later_one(store: Store) -> None:
    later = replace(REPORT.release, started_at=at("12:00"), finished_at=None)
    known = kept_release(store, later)

    earlier = replace(later, started_at=at("10:00"), finished_at=None, aborted_at=at("11:00"))

    assert kept_release(store, earlier).state is State.WATCHED
    assert [each.id for each in store.releases()] == [known.id]


def test_releases_are_listed_by_what_is_asked_oldest_first(store: Store) -> None:
    late = kept_release(
        store, replace(REPORT.release, version="2", started_at=at("12:00"), finished_at=None)
    )
    early = kept_release(store, replace(REPORT.release, version="1"))
    other = kept_release(store, replace(REPORT.release, service="search"))
    store.change(late.id, state=State.ABORTED)

    assert [each.id for each in store.releases(service="shop")] == [early.id, late.id]
    assert [each.id for each in store.releases(state=State.WATCHED)] == sorted([early.id, other.id])
    assert store.releases(environment="nowhere") == []


# --- looks and messages -------------------------------------------------------------------------


@pytest.mark.slow
def test_a_look_keeps_its_report_its_findings_and_its_messages(store: Store) -> None:
    record = kept_release(store)

    look = store.record(record.id, REPORT, [message(record)], at=at("11:00"), after=0)

    assert store.looks(record.id) == [look]
    assert (look.number, look.verdict, look.final) == (1, ReleaseVerdict.FAIL, REPORT.final)
    assert to_dict(store.report(look.id)) == to_dict(REPORT)
    found = {each.id: each for each in store.findings(record.id)}
    assert set(found) == {finding_id(REPORT.release, finding) for finding in REPORT.findings}
    assert sum(each.fails for each in found.values()) == sum(
        finding.fails for finding in REPORT.findings
    )
    assert store.messages(record.id) == [message(record)]


@pytest.mark.slow
def test_a_final_look_ends_the_watch_and_an_early_one_does_not(store: Store) -> None:
    record = kept_release(store)
    store.record(record.id, EARLY, [], at=at("11:00"), after=0)
    assert store.releases()[0].state is State.WATCHED

    store.record(record.id, REPORT, [], at=at("16:00"), after=1)
    assert store.releases()[0].state is State.DONE


def test_two_that_decide_at_once_are_one_and_nothing_of_the_other_is_kept(store: Store) -> None:
    record = kept_release(store)
    store.record(record.id, EARLY, [], at=at("11:00"), after=0)

    with pytest.raises(StoreBusy):
        store.record(record.id, REPORT, [message(record)], at=at("11:00"), after=0)

    assert (
        len(store.looks(record.id)),
        store.messages(record.id),
        store.releases()[0].state,
    ) == (1, [], State.WATCHED)


def test_messages_wait_until_they_are_due_and_settled(store: Store) -> None:
    record = kept_release(store)
    now = message(record)
    later = message(record, 2, next_try=at("12:00"))
    sent = message(record, 1, "mail")
    store.record(record.id, REPORT, [now, later, sent], at=at("11:00"), after=0)
    store.settle(replace(sent, progress=Progress.SENT, attempts=1, detail="fine"))

    assert store.due(at("11:00")) == [now]
    assert store.due(at("12:00")) == [now, later]
    assert store.messages(record.id, "mail") == [
        replace(sent, progress=Progress.SENT, attempts=1, detail="fine")
    ]


def test_a_message_is_claimed_by_one_and_due_again_should_that_one_die(store: Store) -> None:
    record = kept_release(store)
    waiting = message(record)
    store.record(record.id, REPORT, [waiting], at=at("11:00"), after=0)

    assert store.claim(waiting, at("11:05"))
    assert not store.claim(waiting, at("11:06"))
    assert store.due(at("11:04")) == []
    assert store.due(at("11:05")) == [replace(waiting, next_try=at("11:05"))]


def test_everything_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    record = kept_release(store)
    look = store.record(record.id, REPORT, [], at=at("11:00"), after=0)
    finding = finding_id(REPORT.release, REPORT.findings[0])

    assert store.find(record.id[:6]) == replace(record, state=State.DONE)
    assert store.find(look.id) == look
    assert isinstance(store.find(finding[:8]), FindingRecord)
    for wrong in ("abc", "xyz12", "%%%%", "0000000000"):
        with pytest.raises(UsageError):
            store.find(wrong)


# --- what people say, what is learned -----------------------------------------------------------


def test_feedback_is_counted_and_the_last_word_holds(store: Store) -> None:
    record = kept_release(store)
    store.record(record.id, REPORT, [], at=at("11:00"), after=0)
    assert store.feedback() == (0, 0)

    store.acknowledge(record, incident=True, note="", at=at("12:00"))
    assert store.feedback() == (1, 1)
    store.acknowledge(record, incident=False, note="a holiday", at=at("12:30"))
    assert store.feedback() == (1, 0)
    assert [ack.note for ack in store.acks(record.id)] == ["a holiday"]


def test_transitions_and_incidents_are_left_out_later_and_false_alarms_are_not(
    store: Store,
) -> None:
    record = kept_release(store)
    store.record(record.id, REPORT, [], at=at("14:00"), after=0)

    def lessons() -> list[tuple[str, str, str]]:
        spans = store.lessons("shop", "production", window=WINDOW, warmup=timedelta(minutes=5))
        return [
            (f"{each.window.start:%H:%M}", f"{each.window.end:%H:%M}", each.reason)
            for each in spans
        ]

    transition = ("10:30", "10:40", "release 1.4.2")
    assert lessons() == [transition]
    store.acknowledge(record, incident=False, note="", at=at("15:00"))
    assert lessons() == [transition]
    store.acknowledge(record, incident=True, note="", at=at("15:00"))
    assert lessons() == [("10:30", "14:00", "incident of release 1.4.2"), transition]
    sooner = Window(WINDOW.start, record.release.started_at)
    later = Window(at("14:00"), WINDOW.end)
    for other in (sooner, later):
        assert store.lessons("shop", "production", window=other, warmup=HOUR) == []


# --- leases, pruning ----------------------------------------------------------------------------


def test_a_reason_of_a_later_version_is_read_as_unkept_release(store: Store) -> None:
    release = kept_release(store)
    later = message(release, why=LATER)
    store.record(release.id, REPORT, [later], at=at("11:00"), after=0)

    (kept,) = store.messages(release.id)
    assert kept.why is NotifyReason.UNKNOWN


def test_a_lease_is_held_by_one_until_it_ends_or_is_let_go(store: Store) -> None:
    def take(holder: str, hours: float) -> bool:
        now = at("10:00") + hours * HOUR
        return store.lease("tick", holder, now=now, until=now + HOUR)

    assert take("a", 0)
    assert not take("b", 0.5)
    assert take("a", 0.5)
    assert not take("b", 1.4)
    assert take("b", 1.5)
    store.release_lease("tick", "a")
    assert not take("a", 1.6)
    store.release_lease("tick", "b")
    assert take("a", 1.6)


def test_pruning_forgets_what_is_old_and_over_and_told(store: Store) -> None:
    done = kept_release(store)
    store.record(done.id, REPORT, [], at=at("16:00"), after=0)
    waiting = kept_release(
        store, replace(REPORT.release, version="2", started_at=at("11:00"), finished_at=None)
    )
    store.record(
        waiting.id,
        replace(REPORT, release=waiting.release),
        [message(waiting)],
        at=at("16:00"),
        after=0,
    )
    watched = kept_release(
        store, replace(REPORT.release, version="3", started_at=at("12:00"), finished_at=None)
    )

    assert store.prune(at("10:00")) == 0
    assert store.prune(at("20:00")) == 1
    assert [each.id for each in store.releases()] == [waiting.id, watched.id]
    assert store.findings(done.id) == []


# --- several processes --------------------------------------------------------------------------


def in_processes(work: Callable[..., None], *arguments: object, count: int) -> list[int]:
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work, args=(number, *arguments)) for number in range(count)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    return [child.exitcode or 0 for child in children]


def _take(number: int, where: str) -> None:
    with Store(where) as store:
        os._exit(7 if store.lease("tick", str(number), now=at("10:00"), until=at("11:00")) else 0)


def _write(number: int, where: str) -> None:
    with Store(where) as store:
        for hour in range(10):
            release = replace(
                REPORT.release,
                service=f"s{number}",
                version=str(hour),
                started_at=at("10:00") + hour * HOUR,
                finished_at=None,
            )
            record = kept_release(store, release)
            store.record(
                record.id,
                replace(EARLY, release=release),
                [message(record)],
                at=at("11:00"),
                after=0,
            )
    os._exit(0)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["sqlite", "postgresql"], indirect=True)
def test_of_twenty_processes_one_gets_the_lease(loopback: None, where: str) -> None:
    with Store(where):
        pass

    assert sorted(in_processes(_take, where, count=20)) == [0] * 19 + [7]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["sqlite", "postgresql"], indirect=True)
def test_four_processes_write_at_once_without_an_error(loopback: None, where: str) -> None:
    assert in_processes(_write, where, count=4) == [0] * 4

    with Store(where) as store:
        assert len(store.releases()) == 40
        assert len(store.due(at("20:00"))) == 40


# --- faults -------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


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


def test_a_file_of_somebody_else_is_refused_and_left_as_it_is(path: Path) -> None:
    path.write_text("service: café\n" * 50, encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="is a file of text; name another one"):
        Store(path)
    assert [each.read_bytes() for each in path.parent.iterdir()] == [before]


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
@pytest.mark.parametrize("table", ["notes", "schema"])
def test_a_database_of_somebody_else_is_refused_and_left_as_it_is(
    path: Path, mode: str, table: str
) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA journal_mode = {mode}")
        other.execute(f"CREATE TABLE {table} (text)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=f"of something else, with tables such as {table}; name"):
        Store(path)
    assert [each.read_bytes() for each in path.parent.iterdir()] == [before]


def test_a_database_that_somebody_else_has_open_is_refused_and_stays_usable(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE notes (text)")
        before = path.read_bytes()
        with pytest.raises(StoreError, match="tables such as notes"):
            Store(path)
        assert path.read_bytes() == before
        other.execute("INSERT INTO notes VALUES ('still here')")


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


def test_a_locked_file_is_an_error_after_a_while(path: Path) -> None:
    with Store(path):
        pass
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="locked"):
            Store(path, busy_s=0.05)


def test_a_folder_is_no_history(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is not a file; name one in it, such as history\.db"):
        Store(tmp_path)


CELLS = {
    "releases": ("stages", "started_at", "state", "version", "id", "service"),
    "looks": ("at", "verdict", "number", "report", "points_until", "id", "headline"),
    "newest_reports": ("number", "report"),
    "findings": ("segment", "verdict", "effect", "kpi", "total"),
    "messages": ("told", "at", "action", "progress", "id", "detail"),
    "acks": ("at", "incident", "note"),
}


@pytest.mark.slow
@pytest.mark.parametrize("table", CELLS)
def test_an_odd_cell_is_a_store_error_or_is_read_as_it_is(path: Path, table: str) -> None:
    with Store(path) as store:
        record = kept_release(store)
        store.record(record.id, EARLY, [message(record)], at=at("11:00"), after=0)
        store.record(record.id, REPORT, [], at=at("11:30"), after=1)
        store.acknowledge(record, incident=True, note="known", at=at("12:00"))
    whole = path.read_bytes()
    for column in CELLS[table]:
        for odd in (b"\xff", "[[1]]", "[" * 100_000, 2**62, "\x1b[31m"):
            path.write_bytes(whole)
            with closing(sqlite3.connect(path)) as connection:
                query = sql.update(METADATA.tables[table]).values({column: sql.literal_column("?")})
                connection.execute(f"{query} WHERE rowid = 1", (odd,))
                connection.commit()
            with Store(path) as store:
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
                for read in reads:
                    with suppress(StoreError, UsageError):
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
        import signal

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


def test_the_default_place_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "anomaly" / "history.db"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_path() == Path("/home/somebody/.local/state/anomaly/history.db")
