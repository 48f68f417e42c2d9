"""The unattended watch: each thing is told once, in order, whatever happens to the process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from anomaly.checklist.checklist import Checklist
from anomaly.contracts import Action, Message, Receipt
from anomaly.errors import CollectError, RetryableSinkError, SinkError, StoreError
from anomaly.history.records import Progress, State, finding_id, release_id
from anomaly.history.store import Store
from anomaly.model import Changes, Commit, Release, ReleaseVerdict, Window
from anomaly.pipeline import check_release
from anomaly.releases.json_list import JsonReleases
from anomaly.reporting.notice import notice
from anomaly.reporting.report import Report
from anomaly.watch.look import Receiver, stay
from anomaly.watch.tick import TickResult, tick
from tests.support import reports
from tests.support.operation import CHECKLIST, RELEASED, Mirror, People, Shop

REGRESSES_AND_RECOVERS = {"errors": (1.0, 4.0)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "history.db") as store:
        yield store


REPORTS: dict[tuple[object, ...], Report] = {}


@pytest.fixture
def judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at the same data at the same time has the report that the first of them had, in
    whichever test that was."""

    def check(checklist: Checklist, release: Release, **more: Any) -> Report:
        assert checklist.path is not None
        data = (checklist.path.parent / "shop.csv").read_bytes()
        known = checklist.digest, repr(checklist.calendar), repr(release), data
        key = (*known, *(repr(more[name]) for name in ("now", "until", "collected", "others")))
        if key not in REPORTS:
            REPORTS[key] = check_release(checklist, release, **more)
        return REPORTS[key]

    monkeypatch.setattr("anomaly.watch.look.check_release", check)


def tick_at(shop: Shop, store: Store, hours: float, *sinks: People, **more: object) -> TickResult:
    shop.at(hours)
    told = [
        Receiver("people" if number == 0 else f"people {number + 1}", sink)
        for number, sink in enumerate(sinks)
    ]
    return tick(
        shop.checklist(),
        store,
        told,
        holder="me",
        clock=shop.clock,
        sleep=lambda _: None,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.slow
def test_a_regression_that_goes_away_is_told_once_and_resolved_once_and_the_end_told(
    tmp_path: Path, store: Store, judged_once: None
) -> None:
    shop, people, mirror = Shop(tmp_path, REGRESSES_AND_RECOVERS, watch="8h"), People(), Mirror()
    store.track(shop.release(), origin="command")

    for half_hours in range(1, 19):
        tick_at(shop, store, half_hours / 2, people, mirror)

    assert people.said() == [("fire", "first"), ("resolve", "resolved"), ("inform", "ended")]
    assert len({message.key for message in (*people.took, *mirror.took)}) == 1
    assert len({message.id for message in people.took}) == 3
    assert len(mirror.took) == 16
    actions = [message.action for message in mirror.took]
    firing = [number for number, action in enumerate(actions) if action is Action.FIRE]
    assert firing == list(range(firing[0], firing[-1] + 1))
    assert actions[firing[-1] + 1] is Action.RESOLVE
    (tracked,) = store.releases()
    assert tracked.state is State.DONE
    assert store.looks(tracked.id)[-1].verdict is ReleaseVerdict.PASS


class Threads(People):
    """A sink that begins a thread for each release of which it knows none."""

    def send(self, message: Message, /) -> Receipt:
        """See Sink."""
        receipt = super().send(message)
        return replace(receipt, thread=message.thread or f"thread {len(self.took)}")


@pytest.mark.slow
def test_the_history_remembers_the_thread_of_a_release(tmp_path: Path, judged_once: None) -> None:
    shop, people = Shop(tmp_path, REGRESSES_AND_RECOVERS, watch="8h"), Threads()
    for half_hours in range(1, 19):
        with Store(tmp_path / "history.db") as store:  # each tick is a process of its own
            if half_hours == 1:
                store.track(shop.release(), origin="command")
            tick_at(shop, store, half_hours / 2, people)

    assert [message.thread for message in people.took] == ["", "thread 1", "thread 1"]


@pytest.mark.slow
def test_a_step_is_looked_at_once_however_often_cron_fires(tmp_path: Path, store: Store) -> None:
    shop, people = Shop(tmp_path), People()
    store.track(shop.release(), origin="command")

    looks = [len(tick_at(shop, store, hours, people).looks) for hours in (0.5, 0.6, 0.7, 1.0, 1.2)]

    assert looks == [1, 0, 0, 1, 0]


@pytest.mark.slow
def test_by_a_schedule_looks_get_rarer_and_the_last_one_is_made(
    tmp_path: Path, store: Store
) -> None:
    shop = Shop(tmp_path, more="rhythm: {usual: 3h, peak: 30m, climb: 1h, fall: 4h}")
    people = People()
    store.track(shop.release(), origin="command")

    made = [half / 2 for half in range(1, 26) if tick_at(shop, store, half / 2, people).looks]

    pauses = [after - before for before, after in pairwise(made)]
    assert made[0] == 0.5
    assert made[-1] == 12, "the watch is over: a look outside the schedule"
    assert pauses[0] == 0.5
    assert pauses[:-1] == sorted(pauses[:-1])
    assert max(pauses) == 3
    assert people.said() == [("inform", "ended")]


@pytest.mark.slow
def test_by_a_schedule_hours_that_were_missed_are_caught_up_by_one_look(
    tmp_path: Path, store: Store
) -> None:
    shop = Shop(tmp_path, more="rhythm: {usual: 4h, peak: 30m, climb: 1h, fall: 1h}")
    people = People()
    store.track(shop.release(), origin="command")

    looks = [len(tick_at(shop, store, hours, people).looks) for hours in (0.5, 6, 6.5, 7)]

    assert looks == [1, 1, 0, 0]


@pytest.mark.slow
def test_hours_that_were_missed_are_caught_up_by_one_last_look(
    tmp_path: Path, store: Store
) -> None:
    shop, people = Shop(tmp_path), People()
    store.track(shop.release(), origin="command")

    tick_at(shop, store, 0.5, people)
    late = tick_at(shop, store, 30, people)

    assert [each.report.final for each in late.looks] == [True]
    assert people.said() == [("inform", "ended")]
    assert not tick_at(shop, store, 31, people).looks


@pytest.mark.slow
def test_a_clock_that_is_set_back_holds_up_no_look(tmp_path: Path, store: Store) -> None:
    shop, people = Shop(tmp_path, {"errors": (0.0, 99.0)}), People()
    tracked = store.track(shop.release(), origin="command")
    tick_at(shop, store, 3, people)

    assert [each.look.number for each in tick_at(shop, store, 2, people).looks] == [2]
    assert [each.look.number for each in tick_at(shop, store, 3.5, people).looks] == [3]
    assert people.said() == [("fire", "first")]
    assert len(store.looks(tracked.id)) == 3


def test_two_at_once_are_one_and_the_other_says_busy(tmp_path: Path, store: Store) -> None:
    shop, people = Shop(tmp_path, REGRESSES_AND_RECOVERS), People()
    store.track(shop.release(), origin="command")
    now = shop.at(3)
    assert store.lease(
        "tick shop production", "somebody", now=now, until=now + timedelta(minutes=5)
    )

    assert tick_at(shop, store, 3, people).busy
    assert people.took == []
    assert not tick_at(shop, store, 3.5, people).busy  # the other died, its lease ran out
    assert people.said() == [("fire", "first")]


@pytest.mark.slow
def test_a_watch_and_a_tick_of_one_release_share_their_looks_and_tell_once(
    tmp_path: Path, store: Store
) -> None:
    shop, people = Shop(tmp_path, {"errors": (6.0, 99.0)}), People()
    tracked = store.track(shop.release(), origin="watch")
    told = [Receiver("people", people)]

    def sleep(seconds: float) -> None:  # while the one waits, the other works
        shop.at((shop.now - RELEASED) / timedelta(hours=1) + max(0.5, seconds / 3600))
        tick(shop.checklist(), store, told, holder="cron", clock=shop.clock, sleep=lambda _: None)

    shop.at(4)
    seen = [
        result.look
        for result, _ in stay(shop.checklist(), tracked, store, told, clock=shop.clock, sleep=sleep)
    ]

    assert seen[-1].verdict is ReleaseVerdict.FAIL
    assert people.said() == [("fire", "first")]


@pytest.mark.slow
def test_a_watch_ends_with_the_last_look_of_another_process(tmp_path: Path, store: Store) -> None:
    shop = Shop(tmp_path)
    tracked = store.track(shop.release(), origin="watch")

    def sleep(_: float) -> None:
        shop.at(13)
        tick(shop.checklist(), store, [], holder="cron", clock=shop.clock)

    shop.at(4)
    *_, (last, _) = stay(shop.checklist(), tracked, store, [], clock=shop.clock, sleep=sleep)

    assert (last.report.final, last.report.verdict) == (True, ReleaseVerdict.PASS)


def test_a_later_release_ends_the_watch_and_is_named(tmp_path: Path, store: Store) -> None:
    shop, people = Shop(tmp_path), People()
    first = store.track(shop.release(), origin="command")
    tick_at(shop, store, 2, people)
    second = store.track(shop.release(5, "2.1"), origin="command")

    results = {each.record.id: each.report for each in tick_at(shop, store, 5.5, people).looks}

    assert results[first.id].final
    assert results[first.id].release.followed_by == replace(shop.release(5, "2.1"))
    assert not results[second.id].final
    assert [
        span.reason for span in results[second.id].left_out
    ] == []  # a release at once has no transition to leave out
    assert {each.id: each.state for each in store.releases()} == {
        first.id: State.DONE,
        second.id: State.WATCHED,
    }


@pytest.mark.slow
def test_the_transition_of_an_earlier_release_and_an_incident_teach_nothing(
    tmp_path: Path, store: Store
) -> None:
    shop, people = Shop(tmp_path, {"errors": (-47.0, -40.0)}), People()
    earlier = store.track(
        replace(shop.release(-48, "1.9"), finished_at=RELEASED - timedelta(hours=47)),
        origin="command",
    )
    for hours in (-44.0, -40.0, -34.5):
        tick_at(shop, store, hours, people)
    assert people.said()[0] == ("fire", "first")
    store.acknowledge(earlier, incident=True, note="", at=shop.now)
    store.track(shop.release(), origin="command")

    (result,) = tick_at(shop, store, 1, people).looks

    reasons = [span.reason for span in result.report.left_out]
    assert reasons == ["release 1.9", "incident of release 1.9"]


@pytest.mark.slow
def test_a_release_of_another_service_meanwhile_is_a_confounder(
    tmp_path: Path, store: Store
) -> None:
    shop = Shop(tmp_path)
    store.track(shop.release(), origin="command")
    other = replace(shop.release(0.25, "7"), service="search")
    store.track(other, origin="command")

    (result,) = tick_at(shop, store, 1, People()).looks

    assert result.report.confounders == (other,)


@pytest.mark.slow
def test_a_look_asks_the_sources_for_the_commits_since_the_version_before(
    tmp_path: Path, store: Store
) -> None:
    shop = Shop(tmp_path)
    store.track(shop.release(-100, "1.9"), origin="command")
    store.track(shop.release(), origin="command")

    class Source:
        def discover(self, _window: Window, /) -> list[Release]:
            return []

        def changes(self, release: Release, before: str, /) -> Changes:
            return Changes(before, 1, (Commit("0123abcd", "Ada", release.version),))

    looks = tick_at(shop, store, 1, People(), sources=[("git", Source())]).looks

    (report,) = [each.report for each in looks if each.report.release.version == "2.0"]
    assert report.changes == Changes("1.9", 1, (Commit("0123abcd", "Ada", "2.0"),))
    assert store.report(looks[-1].look.id).changes == report.changes


def test_an_abort_ends_the_watch_and_takes_back_what_was_fired(
    tmp_path: Path, store: Store
) -> None:
    shop, people = Shop(tmp_path, {"errors": (0.0, 99.0)}), People()
    tracked = store.track(shop.release(), origin="command")
    tick_at(shop, store, 3, people)
    store.change(tracked.id, state=State.ABORTED)

    again = [tick_at(shop, store, hours, people) for hours in (3.5, 4.0)]

    assert people.said() == [("fire", "first"), ("resolve", "aborted")]
    assert not any(each.looks for each in again)


@pytest.mark.slow
def test_a_source_that_says_what_was_aborted_ends_the_watch_and_takes_back_what_was_fired(
    tmp_path: Path, store: Store
) -> None:
    shop, people = Shop(tmp_path, {"errors": (0.0, 99.0)}), People()
    began = replace(shop.release(), service="", environment="")
    aborted = replace(began, aborted_at=RELEASED + timedelta(hours=3.2))
    again = replace(began, started_at=RELEASED + timedelta(hours=5), finished_at=None)

    class Flags:
        def __init__(self, *releases: Release) -> None:
            self._releases = releases

        def discover(self, _window: Window, /) -> list[Release]:
            return [*self._releases]

    tick_at(shop, store, 3, people, sources=[("flags", Flags(began))])
    for hours in (3.5, 4.0):
        done = tick_at(shop, store, hours, people, sources=[("flags", Flags(aborted))])
        assert not done.looks
    assert people.said() == [("fire", "first"), ("resolve", "aborted")]
    for hours in (5.5, 6.0):
        tick_at(shop, store, hours, people, sources=[("flags", Flags(aborted, again))])
    assert [(each.release.started_at, each.state) for each in store.releases()] == [
        (RELEASED, State.ABORTED),
        (again.started_at, State.WATCHED),
    ]


@pytest.mark.slow
def test_what_a_list_says_was_aborted_is_taken_back_and_the_version_before_is_watched(
    tmp_path: Path, store: Store
) -> None:
    shop, people = Shop(tmp_path, {"errors": (0.0, 99.0)}), People()
    began = {"version": "2", "started_at": RELEASED.isoformat()}
    aborted = began | {"aborted_at": (RELEASED + timedelta(hours=3.2)).isoformat()}
    source = JsonReleases(path=tmp_path / "list.json")
    for hours, listed in ((3.0, began), (3.5, aborted), (4.0, aborted)):
        (tmp_path / "list.json").write_text(json.dumps([listed]), encoding="utf-8")
        tick_at(shop, store, hours, people, sources=[("list", source)])

    assert people.said()[:2] == [("fire", "first"), ("resolve", "aborted")]
    assert [(each.release.version, each.state) for each in store.releases()] == [
        ("2", State.ABORTED),
        ("before 2", State.WATCHED),
    ]


@pytest.mark.slow
def test_an_alarm_that_an_abort_takes_back_in_vain_is_not_taken_back_for_ever(
    tmp_path: Path, store: Store
) -> None:
    shop, people = Shop(tmp_path, {"errors": (0.0, 99.0)}), People()
    tracked = store.track(shop.release(), origin="command")
    tick_at(shop, store, 3, people)
    store.change(tracked.id, state=State.ABORTED)
    people.fail = lambda _: SinkError("they refuse")

    for hours in (3.5, 4.0, 4.5):
        tick_at(shop, store, hours, people)

    assert [each.action for each in store.messages(tracked.id)] == [Action.FIRE, Action.RESOLVE]


@pytest.mark.slow
def test_releases_older_than_the_retention_are_deleted_after_the_look(
    tmp_path: Path, store: Store
) -> None:
    shop = Shop(tmp_path, more="retention: 10d\n")
    old, other, recent = (
        store.track(release, origin="command")
        for release in (
            shop.release(-241, "1.0"),
            replace(shop.release(-241, "1.0"), service="search"),
            shop.release(-230, "1.1"),
        )
    )
    for record in (old, other, recent):
        store.change(record.id, state=State.DONE)
    tracked = store.track(shop.release(), origin="command")

    (looked,) = tick_at(shop, store, 1).looks

    assert looked.record.id == tracked.id
    assert {each.id for each in store.releases()} == {other.id, recent.id, tracked.id}


@pytest.mark.slow
def test_a_deletion_that_fails_is_a_problem_and_takes_nothing_back(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, people = Shop(tmp_path, {"errors": (0.0, 99.0)}, more="retention: 10d\n"), People()
    store.track(shop.release(), origin="command")

    def locked(*_: object, **_more: object) -> int:
        raise StoreError("database is locked")

    monkeypatch.setattr(Store, "prune", locked)
    done = tick_at(shop, store, 3, people)

    assert done.problems == ("old releases were not deleted: database is locked",)
    assert people.said() == [("fire", "first")]


@pytest.mark.slow
def test_sinks_that_are_down_are_told_later_under_the_same_id_and_do_not_hold_up_others(
    tmp_path: Path, store: Store
) -> None:
    down, fine = People(fail=lambda _: RetryableSinkError("busy")), People()
    shop = Shop(tmp_path, {"errors": (0.0, 99.0)})
    tracked = store.track(shop.release(), origin="command")

    receipts = tick_at(shop, store, 3, down, fine, redact=str).receipts
    waiting = store.messages(tracked.id, "people")
    down.fail = lambda _: None
    tick_at(shop, store, 3.5, down, fine)

    assert [receipt.delivered for receipt in receipts] == [False, True]
    assert [message.progress for message in waiting] == [Progress.PENDING]
    assert [message.id for message in down.took] == [message.id for message in waiting]
    assert len(fine.took) == 1


@pytest.mark.slow
def test_what_a_sink_refuses_is_not_sent_again_and_counts_as_not_told(
    tmp_path: Path, store: Store
) -> None:
    people = People(fail=lambda _: SinkError("400"))
    shop = Shop(tmp_path, {"errors": (0.0, 99.0)})
    tracked = store.track(shop.release(), origin="command")

    tick_at(shop, store, 3, people)
    assert [message.progress for message in store.messages(tracked.id)] == [Progress.FAILED]
    people.fail = lambda _: None
    tick_at(shop, store, 3.5, people)
    assert people.said() == [("fire", "first")]


def test_releases_are_learnt_from_sources_and_a_dead_one_is_said(
    tmp_path: Path, store: Store
) -> None:
    shop = Shop(tmp_path)

    class Known:
        def discover(self, window: Window, /) -> list[Release]:
            assert window.start < RELEASED < window.end
            return [Release(RELEASED, version="2.0")]

    class Dead:
        def discover(self, window: Window, /) -> list[Release]:
            raise CollectError(f"no answer about {window.end:%Y}")

    first = tick_at(shop, store, 1, People(), sources=[("git", Known()), ("prometheus", Dead())])
    tick_at(shop, store, 2, People(), sources=[("git", Known())])

    assert first.problems == ("prometheus could not list releases: no answer about 2025",)
    (tracked,) = store.releases()
    assert (tracked.origin, tracked.release) == ("git", shop.release())


class Killed(BaseException):
    """The process ends here."""


class Mortal(Store):
    """A store whose process dies before its n-th operation."""

    left = 10**9

    def _transaction(self, *kind):  # type: ignore[no-untyped-def]
        self.left -= 1
        if self.left <= 0:
            raise Killed
        return super()._transaction(*kind)


@pytest.mark.slow
def test_killed_at_any_operation_nothing_is_lost_and_nothing_told_under_two_ids(
    tmp_path: Path, judged_once: None
) -> None:
    """The n-th operation kills, for n = 1, 2, … until a run is clean; then another process goes
    on."""
    tracked = tmp_path / "tracked.db"
    with Store(tracked) as store:
        store.track(Shop(tmp_path).release(), origin="command")
    survived, n = False, 0
    while not survived:
        n += 1
        folder = tmp_path / str(n)
        folder.mkdir()
        shop, people, mirror = Shop(folder, REGRESSES_AND_RECOVERS), People(), Mirror()
        shutil.copy(tracked, folder / "history.db")
        with Mortal(folder / "history.db") as store:
            store.left = n
            try:
                tick_at(shop, store, 3, people, mirror)
                survived = True
            except Killed:
                pass
        with Store(folder / "history.db") as store:
            shop.at(3)
            told = [Receiver("people", people), Receiver("people 2", mirror)]
            for minutes in (20, 40):
                shop.now += timedelta(minutes=minutes)
                tick(
                    shop.checklist(),
                    store,
                    told,
                    holder="another",
                    clock=shop.clock,
                    sleep=lambda _: None,
                )
            waiting = [
                message
                for each in store.releases()
                for message in store.messages(each.id)
                if message.progress is Progress.PENDING
            ]
        assert waiting == []
        assert {message.why for message in people.took} == {"first"}
        assert len({message.id for message in people.took}) == 1
        assert 1 <= len(people.took) <= 2
    assert n > 10


# --- who is told what ---------------------------------------------------------------------------


@pytest.mark.slow
def test_a_release_of_which_several_kpis_fail_is_one_message_that_names_them(
    tmp_path: Path, store: Store
) -> None:
    shop, people = Shop(tmp_path, {"errors": (0.0, 99.0), "latency": (0.0, 99.0)}), People()
    store.track(shop.release(), origin="command")

    tick_at(shop, store, 3, people)

    (message,) = people.took
    assert {finding.kpi for finding in message.report.findings if finding.fails} == {
        "errors",
        "latency",
    }
    said = notice(message)
    assert all(name in " ".join((said.title, *said.facts)) for name in ("errors", "latency"))


@pytest.mark.slow
def test_a_second_kpi_that_fails_later_is_news_about_the_same_release(
    tmp_path: Path, store: Store
) -> None:
    shop, people = Shop(tmp_path, {"errors": (0.0, 99.0), "latency": (5.0, 99.0)}), People()
    store.track(shop.release(), origin="command")

    for hours in (3, 4, 8, 9):
        tick_at(shop, store, hours, people)

    assert people.said() == [("fire", "first"), ("fire", "escalated")]
    assert len({message.key for message in people.took}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("named", ["release", "finding", "another"])
def test_a_silence_by_id_holds_for_the_release_or_finding_it_names(
    tmp_path: Path, store: Store, named: str
) -> None:
    shop, people, mirror = Shop(tmp_path, {"errors": (0.0, 99.0)}), People(), Mirror()
    ids = {
        "release": release_id(shop.release()),
        "finding": finding_id(
            shop.release(),
            replace(reports.failing().findings[0], kpi="errors", segment={}, total=False),
        ),
        "another": "0" * 16,
    }
    (tmp_path / "checklist.yaml").write_text(
        f"{CHECKLIST}silences: [{{ids: ['{ids[named][:8]}']}}]\n", encoding="utf-8"
    )
    store.track(shop.release(), origin="command")

    results = tick_at(shop, store, 3, people, mirror).looks

    assert results[0].report.verdict is ReleaseVerdict.FAIL
    assert people.said() == ([("fire", "first")] if named == "another" else [])
    assert [each.why for each in mirror.took] == (["first"] if named == "another" else ["silenced"])


@pytest.mark.slow
def test_what_a_maintenance_window_held_back_is_told_once_when_it_ends(
    tmp_path: Path, store: Store
) -> None:
    shop, people = Shop(tmp_path, {"errors": (0.0, 99.0)}), People()
    start, end = (RELEASED + hours * timedelta(hours=1) for hours in (1, 6))
    window = (
        f"silences: [{{start: '{start.isoformat()}', end: '{end.isoformat()}', reason: "
        f"maintenance}}]\n"
    )
    (tmp_path / "checklist.yaml").write_text(CHECKLIST + window, encoding="utf-8")
    store.track(shop.release(), origin="command")

    said = [(tick_at(shop, store, hours, people), people.said())[1] for hours in (3, 5, 6.5, 7)]

    assert said == [[], [], [("fire", "first")], [("fire", "first")]]


@pytest.mark.slow
def test_a_message_that_nobody_took_for_a_day_is_given_up(tmp_path: Path, store: Store) -> None:
    people = People(fail=lambda _: RetryableSinkError("busy"))
    shop = Shop(tmp_path, {"errors": (0.0, 99.0)})
    tracked = store.track(shop.release(), origin="command")

    hours = [12 + each for each in range(26)]  # the one look there is, the last, is at the first
    progress = [
        (tick_at(shop, store, each, people, redact=str), store.messages(tracked.id)[0].progress)[1]
        for each in hours
    ]

    assert progress == [Progress.PENDING] * 25 + [Progress.FAILED]
    assert store.messages(tracked.id)[0].detail == "busy"


@pytest.mark.slow
def test_a_source_of_releases_that_crashes_hides_neither_the_others_nor_what_is_known(
    tmp_path: Path, store: Store
) -> None:
    shop, people = Shop(tmp_path, {"errors": (0.0, 99.0)}), People()

    class Broken:
        def discover(self, window: Window, /) -> list[Release]:
            raise KeyError(f"no {window.end:%Y}")

    class Known:
        def discover(self, window: Window, /) -> list[Release]:
            assert window.start < RELEASED
            return [Release(RELEASED, version="2.0")]

    done = tick_at(shop, store, 3, people, sources=[("stranger", Broken()), ("git", Known())])

    assert done.problems == ("stranger could not list releases: it crashed: KeyError",)
    assert people.said() == [("fire", "first")]


@pytest.mark.slow
@pytest.mark.parametrize("version", ["\ud800", "2.0\udcff", "2\0"])
def test_a_version_that_is_no_text_is_refused_and_the_others_are_judged(
    tmp_path: Path, store: Store, version: str
) -> None:
    shop, people = Shop(tmp_path, {"errors": (0.0, 99.0)}), People()
    hour = timedelta(hours=1)

    class Known:
        def discover(self, window: Window, /) -> list[Release]:
            assert window.start < RELEASED
            odd = [Release(RELEASED + by, version=version) for by in (-hour, hour)]
            return [odd[0], Release(RELEASED, version="2.0"), odd[1]]

    done = tick_at(shop, store, 3, people, sources=[("json", Known())])

    assert len(done.problems) == 2
    assert done.problems[0].startswith("json: the version of a release is ")
    assert done.problems[0].isprintable()
    assert people.said() == [("fire", "first")]
    assert [each.release.version for each in store.releases()] == ["2.0"]
