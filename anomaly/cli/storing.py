"""The history that a command uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from anomaly.checklist.checklist import Checklist
from anomaly.cli.release import opened
from anomaly.cli.session import Session, log
from anomaly.errors import StoreBusy, StoreError
from anomaly.redaction import url_secrets

if TYPE_CHECKING:
    from anomaly.history.records import ReleaseRecord
    from anomaly.history.store import Store

T = TypeVar("T")


def place(where: str | None, checklist: Checklist | None, session: Session) -> str:
    """The path or URL: that of the command line, of the checklist (relative to its folder), or the
    default. Raises StoreError."""
    address = where or (checklist.store if checklist is not None else "")
    if "://" in address:
        session.keep_secret(
            {*(checklist.secrets if checklist is not None else ()), *url_secrets(address)}
        )
        return address
    if not address:
        from anomaly.history.database_file import default_path

        return str(default_path())
    if where or checklist is None or checklist.path is None:
        return str(Path(address).expanduser())
    return str(checklist.path.parent / Path(address).expanduser())


@contextmanager
def history(where: str | None, checklist: Checklist | None, session: Session) -> Iterator[Store]:
    """The history. Raises StoreError."""
    from anomaly.history.store import Store

    with Store(place(where, checklist, session)) as store:
        yield store


def with_history(
    where: str | None, checklist: Checklist, session: Session, work: Callable[[Store, bool], T]
) -> T:
    """The result of `work` with the history; its second argument says whether that is saved.

    If the history fails, from the start or half-way, `work` runs once more with one in memory that
    holds the releases under watch, as far as they could be read. Raises StoreBusy.
    """
    from anomaly.history.places import IN_MEMORY
    from anomaly.history.records import State
    from anomaly.history.store import Store

    watched: list[ReleaseRecord] = []
    try:
        with Store(place(where, checklist, session)) as store:
            watched = store.releases(
                service=checklist.service, environment=checklist.environment, state=State.WATCHED
            )
            return work(store, True)  # noqa: FBT003  explained above
    except StoreBusy:
        raise
    except StoreError as error:
        log.error("history not saved: %s", error)
    with Store(IN_MEMORY) as store:
        for each in watched:
            store.track(each.release, origin=each.origin, checklist=each.checklist)
        return work(store, False)  # noqa: FBT003


def named(path: Path | None, environment: str | None, session: Session) -> Checklist | None:
    """The checklist, or None without a path. Raises ChecklistError."""
    return None if path is None else opened(path, environment, session)
