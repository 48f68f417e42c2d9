"""The history: what is kept from one look to the next, and what is asked of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from anomaly.errors import StoreBusy, UsageError
from anomaly.history import kept_report, lessons, queries, rows, standing
from anomaly.history.database import READS, Database
from anomaly.history.insertions import insert_findings, insert_look, insert_messages
from anomaly.history.records import (
    SHORT,
    Ack,
    FindingRecord,
    Look,
    OutboxMessage,
    Progress,
    ReleaseRecord,
    Standing,
    State,
    look_id,
    release_id,
)
from anomaly.history.tables import ACKS, FINDINGS, LEASES, LOOKS, MESSAGES, RELEASES
from anomaly.model import LeftOut, Release, Verdict, Window
from anomaly.reporting import archive
from anomaly.reporting.foremost import with_kept_points
from anomaly.reporting.report import Report
from anomaly.reporting.words import headline

SHORTEST_PREFIX = 4  # characters of an id


class Store(Database):
    """The history at one place; use it as a context manager. Every method is one transaction, and
    raises StoreError. One that only reads waits for nobody who writes.

    `where` is the path of a SQLite file (created if missing, readable by its user alone), a
    `postgresql://` URL, or `:memory:`. A damaged file is moved aside and a new one created; a
    history of a later version is refused.
    """

    # --- releases --------------------------------------------------------------------------------

    def track(
        self, release: Release, *, origin: str, checklist: str = "", anew: bool = False
    ) -> ReleaseRecord:
        """Keep a release. It is taken for a kept one of the same service, environment and version
        if no other version began in between.

        So it may be reported often, by several sources that disagree on the moment. New stages and
        a later end are added to it, and so is that it was aborted. An aborted release stays
        aborted, unless this one begins `anew`: then it is another release. Raises UsageError for
        names that are no text: half a character, or a NUL, which no database keeps.
        """
        for name in ("service", "version", "environment"):
            if not _is_text(getattr(release, name)):
                raise UsageError(
                    f"the {name} of a release is {getattr(release, name)!r:.60}, which is not text"
                )
        with self._transaction() as connection:
            row = next(iter(queries.matching(connection, RELEASES, id=release_id(release))), None)
            row = row or queries.same_release(connection, release, anew=anew)
            if row is None:
                cells = rows.release_row(release, origin=origin, checklist=checklist)
                connection.execute(sql.insert(RELEASES).values(cells))
                return rows.release_record(cells)
            record = _merged(rows.release_record(row), release)
            cells = {"state": record.state, **rows.extent(record.release)}
            _update(connection, RELEASES, record.id, **cells)
            return record

    def change(self, release: str, **values: Any) -> None:
        """Set `state`, `finished_at` or `stages` of a release."""
        with self._transaction() as connection:
            _update(connection, RELEASES, release, **values)

    def releases(
        self,
        *,
        service: str | None = None,
        environment: str | None = None,
        state: State | None = None,
        since: datetime | None = None,
        ids: Collection[str] | None = None,
    ) -> list[ReleaseRecord]:
        """The releases with these properties, oldest first; `since` is when they started at the
        earliest, `ids` are theirs."""
        query = sql.select(RELEASES).where(*queries.about(service, environment))
        if state is not None:
            query = query.where(RELEASES.c.state == state)
        if since is not None:
            query = query.where(RELEASES.c.started_at >= since)
        if ids is not None:
            query = query.where(RELEASES.c.id.in_(ids))
        return self._releases(query)

    def version_before(self, release: Release) -> str:
        """The version of the release of the same service and environment that began last before
        this one, and was not aborted; empty if there is none."""
        query = queries.version_before(release)
        return next((each.release.version for each in self._releases(query)), "")

    def alarmed_aborts(
        self, service: str, environment: str, sinks: Collection[str]
    ) -> list[ReleaseRecord]:
        """The aborted releases about which one of the sinks was sent an alarm, and nothing that
        resolves it, oldest first."""
        return self._releases(queries.alarmed_aborts(service, environment, sinks))

    def starts(self, service: str, environment: str) -> list[datetime]:
        """When the releases started that were not aborted, in order."""
        query = sql.select(RELEASES.c.started_at).where(
            *queries.about(service, environment), RELEASES.c.state != State.ABORTED
        )
        with self._transaction(READS) as connection:
            return [*connection.execute(query.order_by(RELEASES.c.started_at)).scalars()]

    def _releases(self, query: sql.Select[Any]) -> list[ReleaseRecord]:
        with self._transaction(READS) as connection:
            cursor = connection.execute(query.order_by(RELEASES.c.started_at, RELEASES.c.id))
            return [rows.release_record(row) for row in cursor.mappings()]

    def standing(self, service: str, environment: str, version: str = "") -> Standing | None:
        """Where the newest release stands (of `version`, if that is not empty); None if there is no
        such release."""
        parameters = {
            standing.SERVICE: service,
            standing.ENVIRONMENT: environment,
            standing.VERSION: version,
        }
        with self._transaction(READS) as connection:
            row = connection.execute(standing.NEWEST, parameters).mappings().one_or_none()
            if row is None:
                return None
            look = rows.part(row, standing.OF_LOOK)
            return Standing(
                rows.release_record(rows.part(row, standing.OF_RELEASE)),
                None if look["id"] is None else rows.look_record(look),
            )

    def worst(self, look: str, most: int) -> tuple[dict[Verdict, int], list[FindingRecord]]:
        """How many findings of the last look at a release have each verdict, and up to `most` of
        those that are not ok, the ones that fail first."""
        parameters = {standing.LOOK: look}
        with self._transaction(READS) as connection:
            counts = connection.execute(standing.COUNTS, parameters).all()
            findings = connection.execute(
                standing.WORST_FINDINGS, parameters | {standing.MOST: most}
            )
            return (
                {Verdict(verdict): int(count) for verdict, count in counts},
                [rows.finding_record(each) for each in findings.mappings()],
            )

    # --- looks -----------------------------------------------------------------------------------

    def record(
        self,
        release: str,
        report: Report,
        messages: Sequence[OutboxMessage],
        *,
        at: datetime,
        after: int,
    ) -> Look:
        """Keep a look, its findings and its messages, all or nothing; a final look ends the watch.

        `after` is the number of looks so far; raises StoreBusy if another process looked since.
        """
        look = Look(
            look_id(release, after + 1),
            release,
            after + 1,
            at,
            report.final,
            report.verdict,
            headline(report),
        )
        series = archive.series_data(with_kept_points(report))
        try:
            with self._transaction() as connection:
                insert_look(connection, look, report, series)
                insert_findings(connection, look, report)
                insert_messages(connection, messages)
                if report.final:
                    _update(connection, RELEASES, release, state=State.DONE)
        except IntegrityError as error:
            raise StoreBusy(
                f"another process looked at release {release[:8]} at the same time"
            ) from error
        return look

    def looks(self, release: str) -> list[Look]:
        """The looks at a release, oldest first."""
        query = sql.select(*queries.LOOK_COLUMNS).where(LOOKS.c.release_id == release)
        with self._transaction(READS) as connection:
            cursor = connection.execute(query.order_by(LOOKS.c.number))
            return [rows.look_record(row) for row in cursor.mappings()]

    def last_looks(
        self, service: str | None = None, environment: str | None = None
    ) -> dict[str, Look]:
        """The last look at each release that has one, by the id of the release."""
        query = queries.last_looks(service, environment)
        with self._transaction(READS) as connection:
            looks = [rows.look_record(row) for row in connection.execute(query).mappings()]
        return {look.release_id: look for look in looks}

    def report(self, look: str) -> Report:
        """The report of a look: the newest of a release as it was; of an earlier one the findings,
        and the points of the newest up to its time, if nothing else was observed since then. What
        became of its points is under `points` in `made`. Raises UsageError if there is no such
        look.
        """
        query = queries.look_with_newest(look)
        with self._transaction(READS) as connection:
            row = connection.execute(query).mappings().one_or_none()
            if row is None:
                raise UsageError(f"there is no look {look}")
            number, newest = row["looks_number"], row["newest_reports_number"]
            first = queries.first_text(connection, row["looks_release_id"]) if number != 1 else b""
        newest_report = rows.packed(row["newest_reports_report"])
        try:
            if number == newest:
                return kept_report.newest_report(newest_report)
            return kept_report.look_report(
                rows.packed(row["looks_report"]),
                first,
                newest=newest_report,
                number=newest,
                end=row["looks_points_until"],
            )
        except UsageError as error:
            raise self._damage(f"the report of look {look}: {error}") from None

    def findings(self, release: str) -> list[FindingRecord]:
        """Each finding about a release as its last look left it, and as every look that it failed
        at, oldest first."""
        return self._findings(FINDINGS.c.release_id == release)

    def findings_of(self, looks: Collection[str]) -> dict[str, list[FindingRecord]]:
        """The findings of these looks, each the last at its release, by the id of the look."""
        out: dict[str, list[FindingRecord]] = {look: [] for look in looks}
        for finding in self._findings(FINDINGS.c.look_id.in_(looks)):
            out[finding.look_id].append(finding)
        return out

    def _findings(self, *conditions: sql.ColumnElement[bool]) -> list[FindingRecord]:
        query = queries.findings(*conditions).order_by(
            LOOKS.c.number, FINDINGS.c.kpi, FINDINGS.c.id
        )
        with self._transaction(READS) as connection:
            return [rows.finding_record(row) for row in connection.execute(query).mappings()]

    def find(self, prefix: str) -> ReleaseRecord | Look | FindingRecord:
        """The release, look or finding with this id or prefix of an id. Raises UsageError if there
        is none, or more than one."""
        if len(prefix) < SHORTEST_PREFIX or set(prefix) - set("0123456789abcdef"):
            raise UsageError(
                f"{prefix!r} is not an id; give at least {SHORTEST_PREFIX} hex digits, as anomaly "
                "history shows them"
            )
        records: dict[str, ReleaseRecord | Look | FindingRecord] = {}
        with self._transaction(READS) as connection:
            for row in connection.execute(
                sql.select(RELEASES).where(RELEASES.c.id.startswith(prefix))
            ).mappings():
                records[row["id"]] = rows.release_record(row)
            for row in connection.execute(
                sql.select(*queries.LOOK_COLUMNS).where(LOOKS.c.id.startswith(prefix))
            ).mappings():
                records[row["id"]] = rows.look_record(row)
            query = queries.findings(FINDINGS.c.id.startswith(prefix))
            for row in connection.execute(query.order_by(LOOKS.c.number)).mappings():
                records[row["id"]] = rows.finding_record(row)  # of the last look
        if not records:
            raise UsageError(f"no release, look or finding has an id that starts with {prefix}")
        if len(records) > 1:
            raise UsageError(f"{prefix} fits several ids; give more digits")
        return next(iter(records.values()))

    # --- messages --------------------------------------------------------------------------------

    def messages(self, release: str, sink: str | None = None) -> list[OutboxMessage]:
        """The messages about a release, oldest first."""
        conditions = {"release_id": release} | ({} if sink is None else {"sink": sink})
        with self._transaction(READS) as connection:
            messages = queries.matching(connection, MESSAGES, **conditions)
            messages = sorted(messages, key=lambda row: (row["at"], row["sink"], row["number"]))
            return [rows.outbox_message(row) for row in messages]

    def post(self, messages: Sequence[OutboxMessage]) -> None:
        """Add messages about a look that is kept already."""
        with self._transaction() as connection:
            insert_messages(connection, messages)

    def due(self, now: datetime) -> list[OutboxMessage]:
        """The messages to send by `now`, oldest first."""
        query = sql.select(MESSAGES).where(
            MESSAGES.c.progress == Progress.PENDING, MESSAGES.c.next_try <= now
        )
        with self._transaction(READS) as connection:
            cursor = connection.execute(
                query.order_by(MESSAGES.c.at, MESSAGES.c.sink, MESSAGES.c.number)
            )
            return [rows.outbox_message(row) for row in cursor.mappings()]

    def claim(self, message: OutboxMessage, until: datetime) -> bool:
        """Claim a message for this process; False if another process has it. It is due again at
        `until`, in case the process dies."""
        same = sql.and_(
            MESSAGES.c.id == message.id,
            MESSAGES.c.progress == Progress.PENDING,
            MESSAGES.c.next_try == message.next_try,
        )
        with self._transaction() as connection:
            return bool(
                connection.execute(sql.update(MESSAGES).where(same).values(next_try=until)).rowcount
            )

    def settle(self, message: OutboxMessage) -> None:
        """Keep where the delivery of a message stands."""
        with self._transaction() as connection:
            _update(connection, MESSAGES, message.id, **rows.delivery(message))

    # --- feedback --------------------------------------------------------------------------------

    def acknowledge(
        self, target: ReleaseRecord | FindingRecord, *, incident: bool, note: str, at: datetime
    ) -> Ack:
        """Keep an acknowledgement of a finding, or of a release and all its findings; a later one
        replaces it."""
        release = target.id if isinstance(target, ReleaseRecord) else target.release_id
        ack = Ack(target.id, at, incident, note)
        with self._transaction() as connection:
            connection.execute(sql.delete(ACKS).where(ACKS.c.target == ack.target))
            values = {
                "target": ack.target,
                "release_id": release,
                "at": at,
                "incident": incident,
                "note": note,
            }
            connection.execute(sql.insert(ACKS).values(values))
        return ack

    def acks(self, release: str) -> list[Ack]:
        """The acknowledgements of a release and its findings, oldest first."""
        return self._acks(ACKS.c.release_id == release).get(release, [])

    def acks_of_all(
        self, service: str | None = None, environment: str | None = None
    ) -> dict[str, list[Ack]]:
        """The acknowledgements of each release that has any, oldest first, by its id."""
        of_releases = sql.select(RELEASES.c.id).where(*queries.about(service, environment))
        return self._acks(ACKS.c.release_id.in_(of_releases))

    def _acks(self, *conditions: sql.ColumnElement[bool]) -> dict[str, list[Ack]]:
        query = sql.select(ACKS).where(*conditions)
        out: dict[str, list[Ack]] = {}
        with self._transaction(READS) as connection:
            for row in connection.execute(query.order_by(ACKS.c.at, ACKS.c.target)).mappings():
                out.setdefault(row["release_id"], []).append(rows.ack(row))
        return out

    def lessons(
        self, service: str, environment: str, *, window: Window, warmup: timedelta
    ) -> list[LeftOut]:
        """The spans in a baseline `window` that it must not learn from: transitions of earlier
        releases with their warm-up, and incidents."""
        of_service = queries.about(service, environment)
        ended = RELEASES.c.finished_at > window.start - warmup
        earlier = self._releases(sql.select(RELEASES).where(*of_service, ended))
        spans = [*lessons.transitions(earlier, window, warmup)]
        in_window = sql.exists().where(
            LOOKS.c.release_id == ACKS.c.release_id, LOOKS.c.at > window.start
        )
        incidents = self._acks(ACKS.c.incident, in_window)
        for record in self.releases(ids=incidents) if incidents else ():
            release = record.release
            is_of_service = (release.service, release.environment) == (service, environment)
            if is_of_service and release.started_at < window.end:
                findings = self._findings(
                    FINDINGS.c.release_id == record.id, FINDINGS.c.fails, LOOKS.c.at > window.start
                )
                targets = {ack.target for ack in incidents[record.id]}
                spans += lessons.incidents(record, findings, targets, window)
        return lessons.joined(spans)

    def look_of(self, record: ReleaseRecord | Look | FindingRecord) -> str:
        """The id of this look, or of the last look at a release or finding. Raises UsageError."""
        if not isinstance(record, ReleaseRecord):
            return record.id if isinstance(record, Look) else record.look_id
        looks = self.looks(record.id)
        if not looks:
            raise UsageError(f"release {record.id[:SHORT]} was not judged yet")
        return looks[-1].id

    def feedback(self) -> tuple[int, int]:
        """The number of alarms with feedback, and how many of these were incidents."""
        alarms = sql.select(FINDINGS.c.release_id).where(FINDINGS.c.fails)
        with self._transaction(READS) as connection:
            query = sql.select(ACKS.c.incident).where(ACKS.c.release_id.in_(alarms))
            incidents = connection.execute(query).scalars().all()
            return len(incidents), sum(incidents)

    # --- leases, pruning -------------------------------------------------------------------------

    def lease(self, name: str, holder: str, *, now: datetime, until: datetime) -> bool:
        """Take or prolong the lease `name` until `until`; False if another holder has it.

        A lease that expired, or comes from a clock far ahead, is free.
        """
        try:
            with self._transaction() as connection:
                mine = sql.or_(
                    LEASES.c.holder == holder,
                    LEASES.c.until <= now,
                    LEASES.c.until > until + (until - now),
                )
                update = connection.execute(
                    sql.update(LEASES)
                    .where(LEASES.c.name == name, mine)
                    .values(holder=holder, until=until)
                )
                if update.rowcount:
                    return True
                if queries.matching(connection, LEASES, name=name):
                    return False
                connection.execute(sql.insert(LEASES).values(name=name, holder=holder, until=until))
        except IntegrityError:  # another process was faster
            return False
        return True

    def release_lease(self, name: str, holder: str) -> None:
        """End a lease, if `holder` has it."""
        with self._transaction() as connection:
            connection.execute(
                sql.delete(LEASES).where(LEASES.c.name == name, LEASES.c.holder == holder)
            )

    def prune(
        self, before: datetime, *, service: str | None = None, environment: str | None = None
    ) -> int:
        """Delete the releases that started before this time, except those under watch or with
        messages to send, and give their space back; returns their number."""
        old = queries.prunable(before, service, environment)
        with self._transaction() as connection:
            count = connection.execute(sql.delete(RELEASES).where(old)).rowcount
        if count and self._path is not None:
            self._give_back()
        return count


def _is_text(value: str) -> bool:
    return not any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in value)


def _merged(record: ReleaseRecord, release: Release) -> ReleaseRecord:
    """The kept release with what is new of the same one: more stages, a later end, its abort."""
    merged = record.release
    if len(release.stages) > len(merged.stages) and release.stages[0][0] >= merged.started_at:
        merged = replace(
            merged,
            stages=release.stages,
            finished_at=max(merged.finished, release.stages[-1][0]),
        )
    if release.finished > merged.finished:
        merged = replace(merged, finished_at=release.finished)
    is_aborted = release.aborted_at is not None and release.aborted_at >= merged.started_at
    state = State.ABORTED if is_aborted else record.state
    return replace(record, release=merged, state=state)


def _update(connection: Connection, table: sql.Table, key: str, **values: Any) -> None:
    connection.execute(sql.update(table).where(table.c.id == key).values(values))
