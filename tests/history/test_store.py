"""What the history promises, on SQLite and on a real PostgreSQL alike."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from anomaly.errors import StoreBusy, UsageError
from anomaly.history.records import (
    FindingRecord,
    Progress,
    ReleaseRecord,
    Standing,
    State,
    finding_id,
)
from anomaly.history.store import Store
from anomaly.model import ReleaseVerdict, Verdict
from anomaly.reporting.data import to_dict
from tests.support import reports
from tests.support.histories import in_processes, kept_release, message
from tests.support.reports import at

REPORT = reports.messy()
EARLY = replace(reports.early(), release=REPORT.release)
HOUR = timedelta(hours=1)


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


# --- leases, pruning ----------------------------------------------------------------------------


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
