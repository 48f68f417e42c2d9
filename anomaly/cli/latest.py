"""The latest release that is known: recorded in the history, or found by the checklist's
sources."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from anomaly.checklist.checklist import Checklist
from anomaly.cli.session import Session, log
from anomaly.cli.storing import place
from anomaly.errors import AnomalyError, StoreError, UsageError
from anomaly.model import Changes, Release, Window

if TYPE_CHECKING:
    from anomaly.history.store import Store

LOOK_BACK = timedelta(days=7)  # at least, for what the sources know


def latest(checklist: Checklist, version: str, session: Session, now: datetime) -> Release:
    """The release that began last (of `version`, if that is not empty), with the one after it.
    Raises UsageError if none is known."""
    releases = sorted(
        (
            each
            for each in (*_recorded(checklist, session), *_found(checklist, now))
            if each.started_at <= now
        ),
        key=lambda each: each.started_at,
    )
    release = next((each for each in releases[::-1] if version in {"", each.version}), None)
    if release is None:
        of_version = f" {version!r}" if version else ""
        raise UsageError(
            f"no release{of_version} is known: give --released-at T, record releases by anomaly "
            "release start, or say under releases in the checklist where they are found"
        )
    after = [
        each
        for each in releases
        if each.started_at > release.started_at and each.version != release.version
    ]
    log.info("the latest release that is known began at %s", release.started_at.isoformat())
    return replace(release, followed_by=after[0] if after else None)


def changes(checklist: Checklist, release: Release, session: Session) -> Changes | None:
    """The commits of a release since the version before, as the checklist's sources of releases
    know them. What goes wrong is said in it: it must not hide a verdict."""
    if not checklist.releases:
        return None
    from anomaly.checklist import registry
    from anomaly.releases.commits import changes_of

    try:
        with _history(checklist, session) as store:
            before = "" if store is None else store.version_before(release)
    except StoreError as error:
        log.warning("the version before is not known: %s", error)
        before = ""
    sources = (registry.release_source(plugin) for plugin in checklist.releases)
    return changes_of(release, before, sources)


@contextmanager
def _history(checklist: Checklist, session: Session) -> Iterator[Store | None]:
    """The history, if there is one: nothing is created. Raises StoreError."""
    from anomaly.history.store import Store

    where = place(os.environ.get("ANOMALY_STORE"), checklist, session)
    if "://" not in where and not Path(where).exists():
        yield None
        return
    with Store(where) as store:
        yield store


def _recorded(checklist: Checklist, session: Session) -> Iterator[Release]:
    """The releases of the history, if there is one."""
    from anomaly.history.records import State

    with _history(checklist, session) as store:
        if store is None:
            return
        records = store.releases(service=checklist.service, environment=checklist.environment)
        yield from (each.release for each in records if each.state is not State.ABORTED)


def _found(checklist: Checklist, now: datetime) -> Iterator[Release]:
    """What the checklist's sources of releases know."""
    from anomaly.checklist import registry

    windows = checklist.windows
    watched = windows.warmup + windows.watch + windows.lag + timedelta(days=1)
    for plugin in checklist.releases:
        try:
            releases = registry.release_source(plugin).discover(
                Window(now - max(watched, LOOK_BACK), now)
            )
        except UsageError:
            raise
        except AnomalyError as error:
            log.error("%s could not list releases: %s", plugin.type, error)
            continue
        for each in releases:
            if each.aborted_at is not None:
                continue
            yield replace(
                each,
                service=each.service or checklist.service,
                environment=each.environment or checklist.environment,
            )
