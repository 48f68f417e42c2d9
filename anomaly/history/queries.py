"""What a history is asked, in SQL, where it takes more than a line. `standing.py` holds the
questions that are asked often."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from anomaly.contracts import Action
from anomaly.history import kept_report
from anomaly.history.records import Progress, State
from anomaly.history.rows import Row, packed
from anomaly.history.tables import FINDINGS, LOOKS, MESSAGES, NEWEST_REPORTS, RELEASES
from anomaly.model import Release

LONG = ("points_until", "report")  # columns of a look that only its report needs
LOOK_COLUMNS = tuple(each for each in LOOKS.c if each.name not in LONG)


def about(service: str | None, environment: str | None) -> list[sql.ColumnElement[bool]]:
    """The conditions for a release of this service and environment; None is any."""
    return [
        column == value
        for column, value in (
            (RELEASES.c.service, service),
            (RELEASES.c.environment, environment),
        )
        if value is not None
    ]


def version_before(release: Release) -> sql.Select[Any]:
    """The release of the same service and environment, with another version, that began last
    before this one, and was not aborted."""
    return (
        sql.select(RELEASES)
        .where(
            *about(release.service, release.environment),
            RELEASES.c.started_at < release.started_at,
            RELEASES.c.state != State.ABORTED,
            RELEASES.c.version.not_in(("", release.version)),
        )
        .order_by(RELEASES.c.started_at.desc())
        .limit(1)
    )


def alarmed_aborts(service: str, environment: str, sinks: Collection[str]) -> sql.Select[Any]:
    """The aborted releases about which one of the sinks was sent an alarm, and nothing that
    resolves it."""
    later = MESSAGES.alias()
    resolved = sql.exists().where(
        later.c.release_id == MESSAGES.c.release_id,
        later.c.sink == MESSAGES.c.sink,
        later.c.number > MESSAGES.c.number,
        later.c.action == Action.RESOLVE,
    )
    alarmed = sql.exists().where(
        MESSAGES.c.release_id == RELEASES.c.id,
        MESSAGES.c.sink.in_(sinks),
        MESSAGES.c.action == Action.FIRE,
        MESSAGES.c.progress != Progress.FAILED,
        ~resolved,
    )
    return sql.select(RELEASES).where(
        *about(service, environment), RELEASES.c.state == State.ABORTED, alarmed
    )


def prunable(
    before: datetime, service: str | None, environment: str | None
) -> sql.ColumnElement[bool]:
    """The condition for a release that started before this time, is not under watch, and has no
    messages to send."""
    waiting = sql.select(MESSAGES.c.release_id).where(MESSAGES.c.progress == Progress.PENDING)
    return sql.and_(
        *about(service, environment),
        RELEASES.c.started_at < before,
        RELEASES.c.state != State.WATCHED,
        RELEASES.c.id.not_in(waiting),
    )


def last_looks(service: str | None, environment: str | None) -> sql.Select[Any]:
    """The last look at each release that has one."""
    each = LOOKS.alias()
    last = sql.select(each.c.id).where(each.c.release_id == RELEASES.c.id)
    last = last.order_by(each.c.number.desc()).limit(1)
    query = sql.select(*LOOK_COLUMNS).select_from(RELEASES)
    query = query.join(LOOKS, LOOKS.c.id == last.scalar_subquery())
    return query.where(*about(service, environment))


def look_with_newest(look: str) -> sql.Select[Any]:
    """A look beside the newest report of its release; the columns have the names of their tables
    before theirs."""
    query = sql.select(LOOKS, NEWEST_REPORTS.c.number, NEWEST_REPORTS.c.report)
    query = query.set_label_style(sql.LABEL_STYLE_TABLENAME_PLUS_COL).where(LOOKS.c.id == look)
    return query.join(
        NEWEST_REPORTS, NEWEST_REPORTS.c.release_id == LOOKS.c.release_id, isouter=True
    )


def findings(*conditions: sql.ColumnElement[bool]) -> sql.Select[Any]:
    """The findings on these conditions, with the number and the time of their looks."""
    return sql.select(FINDINGS, LOOKS.c.number, LOOKS.c.at).join(LOOKS).where(*conditions)


def matching(connection: Connection, table: sql.Table, **values: Any) -> Sequence[Row]:
    """The rows of a table with these values."""
    conditions = (table.c[name] == value for name, value in values.items())
    return connection.execute(sql.select(table).where(*conditions)).mappings().all()


def same_release(connection: Connection, release: Release, *, anew: bool) -> Row | None:
    """The row of the same version next to the release in time, with no other version between."""
    start = RELEASES.c.started_at
    of_service = sql.select(RELEASES).where(*about(release.service, release.environment)).limit(1)
    neighbours = (
        of_service.where(start <= release.started_at).order_by(start.desc()),
        of_service.where(start > release.started_at).order_by(start),
    )
    for query in neighbours if release.version else ():
        row = connection.execute(query).mappings().one_or_none()
        if row is None or row["version"] != release.version:
            continue
        if not (anew and row["state"] == State.ABORTED):
            return row
    return None


def first_text(connection: Connection, release: str) -> bytes:
    """The text of the report of the first look at a release."""
    query = sql.select(LOOKS.c.report).where(LOOKS.c.release_id == release, LOOKS.c.number == 1)
    return kept_report.first_text(packed(connection.execute(query).scalar()))
