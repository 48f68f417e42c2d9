"""Events of releases: telling one again changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from anomaly.errors import UsageError
from anomaly.history.records import State
from anomaly.history.store import Store
from anomaly.releases.event import Kind, ReleaseEvent, keep
from tests.support.reports import RELEASED

STARTED = ReleaseEvent(Kind.STARTED, "shop", "production", "2.0", RELEASED)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "history.db") as store:
        yield store


def event(kind: Kind, minutes: float, share: float | None = None) -> ReleaseEvent:
    return replace(STARTED, kind=kind, at=RELEASED + minutes * MINUTE, share=share)


STORY = (
    STARTED,
    event(Kind.STAGE, 1, 0.05),
    event(Kind.STAGE, 10, 0.5),
    event(Kind.FINISHED, 20),
    event(Kind.ABORTED, 30),
)


def test_the_story_of_a_release_is_kept(store: Store) -> None:
    for each in STORY[:-1]:
        record, _ = keep(each, store, origin="test")
    release = record.release
    assert (release.started_at, release.finished) == (RELEASED, RELEASED + 20 * MINUTE)
    assert release.stages == ((RELEASED + MINUTE, 0.05), (RELEASED + 10 * MINUTE, 0.5))
    assert record.state is State.WATCHED
    record, _ = keep(STORY[-1], store, origin="test")
    assert store.releases()[0].state is record.state is State.ABORTED


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(STORY)))
def test_an_event_that_is_told_twice_changes_nothing(number: int, store: Store) -> None:
    for each in STORY[: number + 1]:
        keep(each, store, origin="test")
    before = store.releases()
    again, is_new = keep(STORY[number], store, origin="test")
    assert store.releases() == before
    assert again == before[0]
    assert not is_new


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_an_old_event_does_not_wake_an_aborted_release(number: int, store: Store) -> None:
    for each in STORY:
        keep(each, store, origin="test")
    before = store.releases()
    keep(STORY[number], store, origin="test")
    assert store.releases() == before


def test_a_version_that_starts_again_after_its_abort_is_another_release(store: Store) -> None:
    for each in STORY:
        keep(each, store, origin="test")
    record, is_new = keep(event(Kind.STARTED, 60), store, origin="test")
    assert is_new
    assert [each.state for each in store.releases()] == [State.ABORTED, State.WATCHED]
    assert record.release.started_at == RELEASED + 60 * MINUTE


def test_an_abort_that_arrives_late_does_not_hit_the_next_attempt(store: Store) -> None:
    for each in STORY:
        keep(each, store, origin="test")
    keep(event(Kind.STAGE, 60, 0.05), store, origin="test")
    record, _ = keep(STORY[-1], store, origin="test")
    assert record.state is State.WATCHED
    assert store.releases()[-1].release.stages == ((RELEASED + 60 * MINUTE, 0.05),)


def test_an_end_alone_stands_for_the_release(store: Store) -> None:
    record, is_new = keep(event(Kind.FINISHED, 5), store, origin="test")
    assert is_new
    assert record.release.started_at == RELEASED + 5 * MINUTE


def test_nothing_is_aborted_that_is_not_known(store: Store) -> None:
    with pytest.raises(UsageError, match=r"no release '2\.0' of 'shop' is known"):
        keep(event(Kind.ABORTED, 5), store, origin="test")


def test_a_share_that_shrinks_is_refused_and_changes_nothing(store: Store) -> None:
    keep(event(Kind.STAGE, 1, 0.5), store, origin="test")
    before = store.releases()
    with pytest.raises(UsageError, match="share of stage 2"):
        keep(event(Kind.STAGE, 9, 0.1), store, origin="test")
    assert store.releases() == before
