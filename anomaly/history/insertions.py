"""What is added to a history: a look with its report and findings, and messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from anomaly.history import kept_report
from anomaly.history.queries import first_text, matching
from anomaly.history.records import Look, OutboxMessage
from anomaly.history.rows import finding_row, look_row, message_row, packed
from anomaly.history.tables import FINDINGS, LOOKS, MESSAGES, NEWEST_REPORTS
from anomaly.reporting.report import Report

if TYPE_CHECKING:
    from anomaly.history.whole_numbers import Series


def insert_look(
    connection: Connection, look: Look, report: Report, series: Sequence[Series]
) -> None:
    """Keep a look, and its report as the newest one in place of the one before; `series` are the
    points of the report."""
    first = first_text(connection, look.release_id) if look.number > 1 else b""
    values = {
        **look_row(look),
        "points_until": kept_report.end_of(series),
        "report": kept_report.look_bytes(report, first),
    }
    connection.execute(sql.insert(LOOKS).values(values))
    newest = matching(connection, NEWEST_REPORTS, release_id=look.release_id)
    cells = {"number": look.number, "report": kept_report.newest_bytes(report, series)}
    if not newest:
        values = {"release_id": look.release_id, **cells}
        connection.execute(sql.insert(NEWEST_REPORTS).values(values))
        return
    if not kept_report.is_continued(packed(newest[0]["report"]), series):
        earlier = sql.and_(LOOKS.c.release_id == look.release_id, LOOKS.c.id != look.id)
        connection.execute(sql.update(LOOKS).where(earlier).values(points_until=None))
    of_release = NEWEST_REPORTS.c.release_id == look.release_id
    connection.execute(sql.update(NEWEST_REPORTS).where(of_release).values(cells))


def insert_findings(connection: Connection, look: Look, report: Report) -> None:
    """Keep the findings of a look in place of those before, except where these failed."""
    rows = [finding_row(look, report.release, finding) for finding in report.findings]
    if not rows:
        return
    connection.execute(sql.insert(FINDINGS), rows)
    now = FINDINGS.alias()
    again = sql.select(now.c.id).where(now.c.look_id == look.id)
    connection.execute(
        sql.delete(FINDINGS).where(
            FINDINGS.c.release_id == look.release_id,
            FINDINGS.c.look_id != look.id,
            ~FINDINGS.c.fails,
            FINDINGS.c.id.in_(again),
        )
    )


def insert_messages(connection: Connection, messages: Sequence[OutboxMessage]) -> None:
    """Keep messages, each with its number among those about its release to its sink."""
    for each in messages:
        count = sql.select(sql.func.count()).where(
            MESSAGES.c.release_id == each.release_id, MESSAGES.c.sink == each.sink
        )
        row = message_row(each, connection.execute(count).scalar_one() + 1)
        connection.execute(sql.insert(MESSAGES).values(row))
