"""Which history a command works with."""

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
    """The path or URL that is meant: that of the command line, of the checklist (from its folder),
    or the default. Raises StoreError."""
    written = where or (checklist.store if checklist is not None else "")
    if "://" in written:
        session.keep_secret(
            {*(checklist.secrets if checklist is not None else ()), *url_secrets(written)}
        )
        return written
    if not written:
        from anomaly.history.store import default_path

        return str(default_path())
    if where or checklist is None or checklist.path is None:
        return str(Path(written).expanduser())
    return str(checklist.path.parent / Path(written).expanduser())


@contextmanager
def history(where: str | None, checklist: Checklist | None, session: Session) -> Iterator[Store]:
    """The history. Raises StoreError."""
    from anomaly.history.store import Store

    with Store(place(where, checklist, session)) as store:
        yield store


def with_history(
    where: str | None, checklist: Checklist, session: Session, work: Callable[[Store, bool], T]
) -> T:
    """What `work` makes of the history; the second argument says whether that is kept.

    Where it can't be used, from the start or half-way, `work` is done once more with one that lasts
    as long as the process: in it are the releases under watch, as far as they could be read. Raises
    StoreBusy.
    """
    from anomaly.history.records import State
    from anomaly.history.store import IN_MEMORY, Store

    watched: list[ReleaseRecord] = []
    try:
        with Store(place(where, checklist, session)) as store:
            watched = store.releases(
                service=checklist.service, environment=checklist.environment, state=State.WATCHED
            )
            return work(store, True)  # noqa: FBT003  its meaning is that of the contract above
    except StoreBusy:
        raise
    except StoreError as error:
        log.error("history not saved: %s", error)
    with Store(IN_MEMORY) as store:
        for each in watched:
            store.track(each.release, origin=each.origin, checklist=each.checklist)
        return work(store, False)  # noqa: FBT003


def named(path: Path | None, environment: str | None, session: Session) -> Checklist | None:
    """The checklist that a command may name, or none. Raises ChecklistError."""
    return None if path is None else opened(path, environment, session)
