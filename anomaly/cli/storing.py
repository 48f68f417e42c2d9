"""Which history a command works with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from anomaly.checklist import Checklist
from anomaly.cli.release import opened
from anomaly.cli.session import Session, log
from anomaly.errors import StoreError
from anomaly.redaction import url_secrets

if TYPE_CHECKING:
    from anomaly.history.store import Store


def place(where: str | None, checklist: Checklist | None, session: Session) -> str:
    """The path or URL that is meant: that of the command line, of the checklist (from its folder), or the default. Raises StoreError."""
    written = where or (checklist.store if checklist is not None else "")
    if "://" in written:
        session.keep_secret({*(checklist.secrets if checklist is not None else ()), *url_secrets(written)})
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


@contextmanager
def history_or_none(where: str | None, checklist: Checklist, session: Session) -> Iterator[tuple[Store, bool]]:
    """The history, and whether it is kept: what can't be used is replaced by one that lasts as long as the process."""
    from anomaly.history.store import IN_MEMORY, Store

    try:
        store = Store(place(where, checklist, session))
    except StoreError as error:
        log.error("history not saved: %s", error)
        with Store(IN_MEMORY) as store:
            yield store, False
        return
    with store:
        yield store, True


def named(path: Path | None, environment: str | None, session: Session) -> Checklist | None:
    """The checklist that a command may name, or none. Raises ChecklistError."""
    return None if path is None else opened(path, environment, session)
