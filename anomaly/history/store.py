"""The history on disk: a SQLite file, or PostgreSQL where several machines share one history."""

from __future__ import annotations

import logging
import math
import os
import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, get_type_hints
from urllib.parse import quote

import sqlalchemy as sql
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from sqlalchemy.engine import Connection, Engine, RowMapping, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

from anomaly import wording
from anomaly.contracts import Action, NotifyReason
from anomaly.errors import StoreBusy, StoreError, UsageError
from anomaly.history import kept_report, standing
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
    finding_id,
    look_id,
    release_id,
)
from anomaly.history.tables import (
    ACKS,
    FINDINGS,
    LEASES,
    LOOKS,
    MESSAGES,
    METADATA,
    MIGRATIONS,
    NEWEST,
    NEWEST_REPORTS,
    RELEASES,
    SCHEMA,
)
from anomaly.model import KpiSeverity, LeftOut, Release, ReleaseVerdict, Verdict, Window
from anomaly.redaction import Redactor, is_url, url_secrets
from anomaly.reporting import archive
from anomaly.reporting.foremost import with_kept_points
from anomaly.reporting.report import Report
from anomaly.reporting.words import headline

if TYPE_CHECKING:
    from anomaly.history.whole_numbers import Series

IN_MEMORY = ":memory:"
PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON")
FREES_SPACE = "auto_vacuum = INCREMENTAL"  # an older file gets it when it is written anew
OF_NEW_FILE = ("page_size = 8192", FREES_SPACE)  # most rows hold two kilobytes
WORTH_IT = 0.25  # share of an older file that is free, from which on it is written anew
BUSY_S = 20  # how long to wait for another process that holds the store
KIND, READS, WRITES = "anomaly_kind", "reads", "writes"  # of a transaction
SHORTEST_PREFIX = 4  # characters of an id
LONGEST_SAID = 200
# what reading an odd cell raises
DAMAGE = (ValueError, TypeError, LookupError, OverflowError, RecursionError)
DAMAGED = ("malformed", "not a database", "disk image", "corrupt")
ID = re.compile(r"[\x21-\x7e]+")
LOOK_COLUMNS = tuple(
    each for each in LOOKS.c if each.name not in ("points_until", "report")
)  # those after are long
Row = RowMapping
R = TypeVar("R")

log = logging.getLogger(__name__)


def default_path() -> Path:
    """`$XDG_STATE_HOME/anomaly/history.db`, or `~/.local/state/anomaly/history.db`; raises
    StoreError without a home."""
    state = os.environ.get("XDG_STATE_HOME", "")
    try:
        folder = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    except RuntimeError:
        raise StoreError(
            "there is no home folder to keep the history in; name a place by --store, or by store: "
            "in the checklist"
        ) from None
    return folder / "anomaly" / "history.db"


class Store:
    """The history at one place; use it as a context manager. Every method is one transaction, and
    raises StoreError. One that only reads waits for nobody who writes.

    `where` is the path of a SQLite file (created if missing, readable by its user alone), a
    `postgresql://` URL, or `:memory:`. A damaged file is moved aside and a new one created; a
    history of a later version is refused.
    """

    def __init__(self, where: str | Path, *, busy_s: float = BUSY_S) -> None:
        self.where = str(where)
        self._redactor = Redactor(url_secrets(self.where) if is_url(self.where) else ())
        self._busy_s = busy_s
        is_file = self.where != IN_MEMORY and "://" not in self.where
        self._path = Path(self.where) if is_file else None
        self._engine = self._open()
        self._counter: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def is_near(self) -> bool:
        """Whether the history is a file of this machine, or in memory: to read it takes a fraction
        of a millisecond."""
        return "://" not in self.where

    def changes(self) -> int | None:
        """A number that is another one after each change of the history, whoever made it; None
        where it can't be had for less than it takes to read."""
        if self._path is None:
            return None
        try:
            if self._counter is None:  # one that writes nothing: its own changes would not count
                self._counter = sqlite3.connect(self._path, check_same_thread=False)
            return _pragma(self._counter, "data_version")
        except sqlite3.Error:  # who reads is told why
            return None

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
            row = next(iter(_of(connection, RELEASES, id=release_id(release))), None)
            row = row or _same(connection, release, anew=anew)
            if row is None:
                values = {
                    "id": release_id(release),
                    "service": release.service,
                    "environment": release.environment,
                    "version": release.version,
                    "started_at": release.started_at,
                    **_extent(release),
                    "state": State.WATCHED if release.aborted_at is None else State.ABORTED,
                    "origin": origin,
                    "checklist": checklist,
                }
                connection.execute(sql.insert(RELEASES).values(values))
                return _release_record(values)
            record = _release_record(row)
            merged = record.release
            if (
                len(release.stages) > len(merged.stages)
                and release.stages[0][0] >= merged.started_at
            ):
                merged = replace(
                    merged,
                    stages=release.stages,
                    finished_at=max(merged.finished, release.stages[-1][0]),
                )
            if release.finished > merged.finished:
                merged = replace(merged, finished_at=release.finished)
            is_aborted = release.aborted_at is not None and release.aborted_at >= merged.started_at
            state = State.ABORTED if is_aborted else record.state
            _update(connection, RELEASES, record.id, state=state, **_extent(merged))
            return replace(record, release=merged, state=state)

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
        query = sql.select(RELEASES).where(*_about(service, environment))
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
        query = (
            sql.select(RELEASES)
            .where(
                *_about(release.service, release.environment),
                RELEASES.c.started_at < release.started_at,
                RELEASES.c.state != State.ABORTED,
                RELEASES.c.version.not_in(("", release.version)),
            )
            .order_by(RELEASES.c.started_at.desc())
            .limit(1)
        )
        return next((each.release.version for each in self._releases(query)), "")

    def alarmed_aborts(
        self, service: str, environment: str, sinks: Collection[str]
    ) -> list[ReleaseRecord]:
        """The aborted releases about which one of the sinks was sent an alarm, and nothing that
        resolves it, oldest first."""
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
        return self._releases(
            sql.select(RELEASES).where(
                *_about(service, environment), RELEASES.c.state == State.ABORTED, alarmed
            )
        )

    def starts(self, service: str, environment: str) -> list[datetime]:
        """When the releases started that were not aborted, in order."""
        query = sql.select(RELEASES.c.started_at).where(
            *_about(service, environment), RELEASES.c.state != State.ABORTED
        )
        with self._transaction(READS) as connection:
            return [*connection.execute(query.order_by(RELEASES.c.started_at)).scalars()]

    def _releases(self, query: sql.Select[Any]) -> list[ReleaseRecord]:
        with self._transaction(READS) as connection:
            rows = connection.execute(query.order_by(RELEASES.c.started_at, RELEASES.c.id))
            return [_release_record(row) for row in rows.mappings()]

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
            look = _part(row, standing.OF_LOOK)
            return Standing(
                _release_record(_part(row, standing.OF_RELEASE)),
                None if look["id"] is None else _look(look),
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
                [_finding_record(each) for each in findings.mappings()],
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
                self._insert_look(connection, look, report, series)
                _insert_findings(connection, look, report)
                _insert_messages(connection, messages)
                if report.final:
                    _update(connection, RELEASES, release, state=State.DONE)
        except IntegrityError as error:
            raise StoreBusy(
                f"another process looked at release {release[:8]} at the same time"
            ) from error
        return look

    @staticmethod
    def _insert_look(
        connection: Connection, look: Look, report: Report, series: Sequence[Series]
    ) -> None:
        """Keep a look, and its report as the newest one in place of the one before."""
        first = _first_text(connection, look.release_id) if look.number > 1 else b""
        values = {
            "id": look.id,
            "release_id": look.release_id,
            "number": look.number,
            "at": look.at,
            "final": look.final,
            "verdict": str(look.verdict),
            "headline": look.headline,
            "points_until": kept_report.end_of(series),
            "report": kept_report.look_bytes(report, first),
        }
        connection.execute(sql.insert(LOOKS).values(values))
        newest = _of(connection, NEWEST_REPORTS, release_id=look.release_id)
        kept = {"number": look.number, "report": kept_report.newest_bytes(report, series)}
        if not newest:
            values = {"release_id": look.release_id, **kept}
            connection.execute(sql.insert(NEWEST_REPORTS).values(values))
            return
        if not kept_report.is_continued(_bytes(newest[0]["report"]), series):
            earlier = sql.and_(LOOKS.c.release_id == look.release_id, LOOKS.c.id != look.id)
            connection.execute(sql.update(LOOKS).where(earlier).values(points_until=None))
        of_release = NEWEST_REPORTS.c.release_id == look.release_id
        connection.execute(sql.update(NEWEST_REPORTS).where(of_release).values(kept))

    def looks(self, release: str) -> list[Look]:
        """The looks at a release, oldest first."""
        query = sql.select(*LOOK_COLUMNS).where(LOOKS.c.release_id == release)
        with self._transaction(READS) as connection:
            rows = connection.execute(query.order_by(LOOKS.c.number)).mappings()
            return [_look(row) for row in rows]

    def last_looks(
        self, service: str | None = None, environment: str | None = None
    ) -> dict[str, Look]:
        """The last look at each release that has one, by the id of the release."""
        each = LOOKS.alias()
        last = sql.select(each.c.id).where(each.c.release_id == RELEASES.c.id)
        last = last.order_by(each.c.number.desc()).limit(1)
        query = sql.select(*LOOK_COLUMNS).select_from(RELEASES)
        query = query.join(LOOKS, LOOKS.c.id == last.scalar_subquery())
        query = query.where(*_about(service, environment))
        with self._transaction(READS) as connection:
            looks = [_look(row) for row in connection.execute(query).mappings()]
        return {look.release_id: look for look in looks}

    def report(self, look: str) -> Report:
        """The report of a look: the newest of a release as it was; of an earlier one the findings,
        and the points of the newest up to its time, if nothing else was observed since then. What
        became of its points is under `points` in `made`. Raises UsageError if there is no such
        look.
        """
        query = sql.select(LOOKS, NEWEST_REPORTS.c.number, NEWEST_REPORTS.c.report)
        query = query.set_label_style(sql.LABEL_STYLE_TABLENAME_PLUS_COL).where(LOOKS.c.id == look)
        query = query.join(
            NEWEST_REPORTS, NEWEST_REPORTS.c.release_id == LOOKS.c.release_id, isouter=True
        )
        with self._transaction(READS) as connection:
            row = connection.execute(query).mappings().one_or_none()
            if row is None:
                raise UsageError(f"there is no look {look}")
            number, newest = row["looks_number"], row["newest_reports_number"]
            first = _first_text(connection, row["looks_release_id"]) if number != 1 else b""
        newest_report = _bytes(row["newest_reports_report"])
        try:
            if number == newest:
                return kept_report.newest_report(newest_report)
            return kept_report.look_report(
                _bytes(row["looks_report"]),
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
        query = sql.select(FINDINGS, LOOKS.c.number, LOOKS.c.at).join(LOOKS).where(*conditions)
        query = query.order_by(LOOKS.c.number, FINDINGS.c.kpi, FINDINGS.c.id)
        with self._transaction(READS) as connection:
            return [_finding_record(row) for row in connection.execute(query).mappings()]

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
                records[row["id"]] = _release_record(row)
            for row in connection.execute(
                sql.select(*LOOK_COLUMNS).where(LOOKS.c.id.startswith(prefix))
            ).mappings():
                records[row["id"]] = _look(row)
            query = (
                sql.select(FINDINGS, LOOKS.c.number, LOOKS.c.at)
                .join(LOOKS)
                .where(FINDINGS.c.id.startswith(prefix))
            )
            for row in connection.execute(query.order_by(LOOKS.c.number)).mappings():
                records[row["id"]] = _finding_record(row)  # of the last look
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
            rows = _of(connection, MESSAGES, **conditions)
            return [
                _outbox_message(row)
                for row in sorted(rows, key=lambda row: (row["at"], row["sink"], row["number"]))
            ]

    def post(self, messages: Sequence[OutboxMessage]) -> None:
        """Add messages about a look that is kept already."""
        with self._transaction() as connection:
            _insert_messages(connection, messages)

    def due(self, now: datetime) -> list[OutboxMessage]:
        """The messages to send by `now`, oldest first."""
        query = sql.select(MESSAGES).where(
            MESSAGES.c.progress == Progress.PENDING, MESSAGES.c.next_try <= now
        )
        with self._transaction(READS) as connection:
            rows = connection.execute(
                query.order_by(MESSAGES.c.at, MESSAGES.c.sink, MESSAGES.c.number)
            ).mappings()
            return [_outbox_message(row) for row in rows]

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
            values = {
                "progress": message.progress,
                "attempts": message.attempts,
                "next_try": message.next_try,
                "detail": message.detail,
                "thread": message.thread,
            }
            _update(connection, MESSAGES, message.id, **values)

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
        of_releases = sql.select(RELEASES.c.id).where(*_about(service, environment))
        return self._acks(ACKS.c.release_id.in_(of_releases))

    def _acks(self, *conditions: sql.ColumnElement[bool]) -> dict[str, list[Ack]]:
        query = sql.select(ACKS).where(*conditions)
        out: dict[str, list[Ack]] = {}
        with self._transaction(READS) as connection:
            for row in connection.execute(query.order_by(ACKS.c.at, ACKS.c.target)).mappings():
                cells = {name: row[name] for name in ("target", "at", "incident", "note")}
                out.setdefault(row["release_id"], []).append(_checked(Ack, **cells))
        return out

    def lessons(
        self, service: str, environment: str, *, window: Window, warmup: timedelta
    ) -> list[LeftOut]:
        """The spans in a baseline `window` that it must not learn from: transitions of earlier
        releases with their warm-up, and incidents."""
        out = []
        ended = RELEASES.c.finished_at > window.start - warmup
        for record in self._releases(
            sql.select(RELEASES).where(*_about(service, environment), ended)
        ):
            release = record.release
            if (end := min(window.end, release.finished + warmup)) > release.started_at:
                out.append(LeftOut(Window(release.started_at, end), _name(release)))
        looked = sql.exists().where(
            LOOKS.c.release_id == ACKS.c.release_id, LOOKS.c.at > window.start
        )
        incidents = self._acks(ACKS.c.incident, looked)
        for record in self.releases(ids=incidents) if incidents else ():
            release = record.release
            is_of_service = (release.service, release.environment) == (service, environment)
            if is_of_service and release.started_at < window.end:
                targets = {ack.target for ack in incidents[record.id]}
                out += self._incidents(record, targets, window)
        return _joined(out)

    def _incidents(
        self, record: ReleaseRecord, targets: Collection[str], window: Window
    ) -> Iterator[LeftOut]:
        """The spans of acknowledged findings, each from its onset to the last look that showed
        it."""
        for finding in self._findings(
            FINDINGS.c.release_id == record.id, FINDINGS.c.fails, LOOKS.c.at > window.start
        ):
            start = finding.began or record.release.started_at
            end = min(window.end, finding.at)
            if start < end and not {finding.id, record.id}.isdisjoint(targets):
                yield LeftOut(Window(start, end), f"incident of {_name(record.release)}")

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

    # --- leases ----------------------------------------------------------------------------------

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
                taken = connection.execute(
                    sql.update(LEASES)
                    .where(LEASES.c.name == name, mine)
                    .values(holder=holder, until=until)
                )
                if taken.rowcount:
                    return True
                if _of(connection, LEASES, name=name):
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
        waiting = sql.select(MESSAGES.c.release_id).where(MESSAGES.c.progress == Progress.PENDING)
        old = sql.and_(
            *_about(service, environment),
            RELEASES.c.started_at < before,
            RELEASES.c.state != State.WATCHED,
            RELEASES.c.id.not_in(waiting),
        )
        with self._transaction() as connection:
            count = connection.execute(sql.delete(RELEASES).where(old)).rowcount
        if count and self._path is not None:
            self._give_back()
        return count

    def _give_back(self) -> None:
        """Make the file smaller by what is free in it. It matters less than what it may fail at."""
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            if _pragma(cursor, "auto_vacuum"):
                cursor.executescript("PRAGMA incremental_vacuum")  # `execute` ends at one page
            elif _pragma(cursor, "freelist_count") >= WORTH_IT * _pragma(cursor, "page_count"):
                cursor.execute(f"PRAGMA {FREES_SPACE}")
                cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            log.warning("the history gave no space back: %s", error)
        finally:
            connection.close()

    # --- the connection --------------------------------------------------------------------------

    def _close(self) -> None:
        self._engine.dispose()
        if self._counter is not None:
            self._counter.close()
            self._counter = None

    @contextmanager
    def _transaction(self, kind: str = WRITES) -> Iterator[Connection]:
        try:
            with (
                self._engine.connect() as connection,
                connection.execution_options(**{KIND: kind}).begin(),
            ):
                yield connection
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError) as error:
            if self._path is None or not _is_damage(error) or not _is_broken(self._path):
                raise self._failure(error) from None
            raise self._renewed(self._path) from None
        except DAMAGE as error:
            raise self._damage(_said(error)) from None

    def _renewed(self, path: Path) -> StoreError:
        """That the file is damaged; a new one is in its place."""
        self._close()
        aside = _move_aside(path)
        self._engine = self._open()
        return StoreError(
            f"the history at {self._redactor.text(self.where)} is damaged; it was moved to "
            f"{aside.name}, and a new one was created"
        )

    def _damage(self, text: str) -> StoreError:
        """That a cell holds what no version writes."""
        return StoreError(
            f"the history at {self._redactor.text(self.where)} is damaged: "
            f"{wording.plain(text, LONGEST_SAID)}; move it aside, and a new one is created"
        )

    def _failure(self, error: Exception) -> StoreError:
        cause = error.orig if isinstance(error, DBAPIError) else error
        text = " ".join(self._redactor.text(str(cause)).split())
        return StoreError(f"the history at {self._redactor.text(self.where)} can't be used: {text}")

    def _open(self) -> Engine:
        path = self._path
        if path is not None and path.exists() and not path.is_file():
            raise StoreError(
                f"the history at {wording.plain(self.where, LONGEST_SAID)} is not a file; name one "
                "in it, such as history.db"
                if path.is_dir()
                else f"the history at {wording.plain(self.where, LONGEST_SAID)} is not a file"
            )
        if path is not None and _holds_text(path):
            raise StoreError(
                f"the history at {wording.plain(self.where, LONGEST_SAID)} is a file of text; name "
                "another one, such as history.db"
            )
        if path is not None and (others := _tables_of_others(path)):
            raise StoreError(
                f"the history at {wording.plain(self.where, LONGEST_SAID)} is a database of "
                f"something else, with tables such as {wording.plain(others[0], LONGEST_SAID)}; "
                "name another file, such as history.db"
            )
        try:
            try:
                return self._prepared_engine(path)
            except DBAPIError as error:
                if path is None or not _is_damage(error) or not _is_broken(path):
                    raise
                _move_aside(path)
                return self._prepared_engine(path)
        except ModuleNotFoundError as error:
            raise StoreError(
                f"{error.name} is not installed; pip install 'release-anomaly[sql]'"
            ) from None
        except (SQLAlchemyError, OSError, sqlite3.Error) as error:
            raise self._failure(error) from None
        except DAMAGE as error:
            raise self._damage(_said(error)) from None

    def _prepared_engine(self, path: Path | None) -> Engine:
        engine = self._engine_of(path)
        try:
            _prepare(engine)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def _engine_of(self, path: Path | None) -> Engine:
        if path is None and self.where != IN_MEMORY:
            return sql.create_engine(
                _postgresql(self.where, self._redactor),
                connect_args={"connect_timeout": int(self._busy_s)},
            )
        if path is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        pool = sql.StaticPool if path is None else None
        target = "sqlite://" if path is None else sql.URL.create("sqlite", database=str(path))
        engine = sql.create_engine(
            target,
            connect_args={"timeout": self._busy_s, "check_same_thread": False},
            poolclass=pool,
        )
        sql.event.listen(engine, "connect", _configure)
        sql.event.listen(engine, "begin", _begin)
        return engine


def _is_text(value: str) -> bool:
    return not any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in value)


def _postgresql(where: str, redactor: Redactor) -> sql.URL:
    try:
        url = make_url(where)
    except ArgumentError:
        raise StoreError(
            "the store is not a URL; write postgresql://host/name, or the path of a file"
        ) from None
    if url.get_backend_name() != "postgresql":
        shown = redactor.text(url.drivername)
        raise StoreError(
            f"the store's URL starts with {shown}; use postgresql://, or the path of a SQLite file"
        )
    return url.set(drivername="postgresql+psycopg")


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the engine begins transactions, as IMMEDIATE
    is_new = not _pragma(connection, "page_count")
    for pragma in (*(OF_NEW_FILE if is_new else ()), *PRAGMAS):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    """Begin a transaction: one that may write takes its turn at once, so that it can't fail half
    way; one that reads sees the file as it is now, whoever writes."""
    reads = connection.get_execution_options().get(KIND) == READS
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _prepare(engine: Engine) -> None:
    """Create or migrate the tables. Raises StoreError for a history of a later version."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # one process at a time creates the tables
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7240815)")
        tables = sql.inspect(connection).get_table_names()
        if SCHEMA.name not in tables:
            METADATA.create_all(connection)
            connection.execute(sql.insert(SCHEMA).values(version=NEWEST))
            return
        version = connection.execute(sql.select(SCHEMA.c.version)).scalar_one()
        if version > NEWEST:
            raise StoreError(
                f"the history has version {version}, this anomaly supports up to {NEWEST}; use a "
                "newer anomaly"
            )
        if version == NEWEST:  # write nothing: the disk may be full
            return
        for migrate in MIGRATIONS[version - 1 :]:
            migrate(connection)
        connection.execute(sql.update(SCHEMA).values(version=NEWEST))


def _is_damage(error: Exception) -> bool:
    text = str(error.orig).lower() if isinstance(error, DBAPIError) else ""
    return any(word in text for word in DAMAGED)


def _holds_text(path: Path) -> bool:
    """Whether a file is somebody's text, and no damaged history: that has zero bytes."""
    try:
        with path.open("rb") as file:
            beginning = file.read(LONGEST_SAID)
    except OSError:
        return False
    return bool(beginning) and b"\0" not in beginning and _is_utf8(beginning)


def _tables_of_others(path: Path) -> list[str]:
    """The tables of a database that is no history. Reading them changes no byte of it, and leaves
    no file beside it; what can't be read holds none, and is found out about later."""
    log = path.with_name(f"{path.name}-wal")
    if not path.exists():
        return []
    try:
        way = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
        address = f"file:{quote(str(path.absolute()))}?{way}"
        with closing(sqlite3.connect(address, uri=True)) as database:
            query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            names = [str(name) for (name,) in database.execute(query)]
    except (OSError, sqlite3.Error):
        return []
    return [] if {SCHEMA.name, RELEASES.name} <= {*names} else names


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.end == len(data)  # cut within a character
    return True


def _is_broken(path: Path) -> bool:
    """Whether a check of the whole file finds damage: another process may have moved it aside."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            return bool(connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",))
    except sqlite3.DatabaseError as error:
        return not isinstance(error, sqlite3.OperationalError)


def _move_aside(path: Path) -> Path:
    """Rename the files of a damaged store, none is deleted; returns the new name of the first."""
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.rename(path.with_name(f"{path.name}.damaged-{stamp}{suffix}"))
    log.error(
        "the history at %s is damaged; it was moved to %s.damaged-%s, and a new one was created",
        path,
        path.name,
        stamp,
    )
    return path.with_name(f"{path.name}.damaged-{stamp}")


def _of(connection: Connection, table: sql.Table, **values: Any) -> Sequence[Row]:
    return (
        connection.execute(
            sql.select(table).where(*(table.c[name] == value for name, value in values.items()))
        )
        .mappings()
        .all()
    )


def _about(service: str | None, environment: str | None) -> list[sql.ColumnElement[bool]]:
    """The conditions for a release of this service and environment; None is any."""
    return [
        column == value
        for column, value in (
            (RELEASES.c.service, service),
            (RELEASES.c.environment, environment),
        )
        if value is not None
    ]


def _first_text(connection: Connection, release: str) -> bytes:
    """The text of the report of the first look at a release."""
    query = sql.select(LOOKS.c.report).where(LOOKS.c.release_id == release, LOOKS.c.number == 1)
    return kept_report.first_text(_bytes(connection.execute(query).scalar()))


def _bytes(cell: Any) -> bytes:
    return cell if isinstance(cell, bytes) else b""


def _name(release: Release) -> str:
    return f"release {release.version}" if release.version else "a release"


def _pragma(database: Any, name: str) -> int:
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])


def _update(connection: Connection, table: sql.Table, key: str, **values: Any) -> None:
    connection.execute(sql.update(table).where(table.c.id == key).values(values))


def _same(connection: Connection, release: Release, *, anew: bool) -> Row | None:
    """The row of the same version next to the release in time, with no other version between."""
    start = RELEASES.c.started_at
    of_service = sql.select(RELEASES).where(*_about(release.service, release.environment)).limit(1)
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


def _extent(release: Release) -> dict[str, Any]:
    return {
        "finished_at": release.finished,
        "stages": [[at.isoformat(), share] for at, share in release.stages],
    }


def _checked(kind: type[R], **cells: Any) -> R:
    """The record of these cells. Raises ValueError for a cell of another type."""
    _form(cast("Any", kind), tuple(cells)).model_validate(cells)
    return kind(**cells)


@cache
def _form(kind: type, names: tuple[str, ...]) -> type[BaseModel]:
    types: Any = get_type_hints(kind)
    fields: Any = {name: (types[name], ...) for name in names}
    return create_model(kind.__name__, __config__=ConfigDict(strict=True), **fields)


def _said(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}: {error}"
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _id(text: Any) -> Any:
    """An id as it may be printed. Raises ValueError."""
    if not isinstance(text, str) or not ID.fullmatch(text):
        raise ValueError(f"{text!r:.40} is not an id")
    return text


def _finite(value: float | None) -> float | None:
    """JSON has no infinity."""
    return value if isinstance(value, float) and math.isfinite(value) else None


def _release_record(row: Row | Mapping[str, Any]) -> ReleaseRecord:
    try:
        release = _checked(
            Release,
            started_at=row["started_at"],
            finished_at=row["finished_at"],
            service=row["service"],
            version=row["version"],
            environment=row["environment"],
            stages=tuple((datetime.fromisoformat(at), share) for at, share in row["stages"]),
        )
    except UsageError as error:
        raise ValueError(str(error)) from None
    return _checked(
        ReleaseRecord,
        id=_id(row["id"]),
        release=release,
        state=State(row["state"]),
        origin=row["origin"],
        checklist=row["checklist"],
    )


def _part(row: Row, prefix: str) -> dict[str, Any]:
    """The columns of one table in a row of several."""
    return {
        name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)
    }


def _look(row: Row | Mapping[str, Any]) -> Look:
    return _checked(
        Look,
        id=_id(row["id"]),
        release_id=_id(row["release_id"]),
        number=row["number"],
        at=row["at"],
        final=row["final"],
        verdict=ReleaseVerdict(row["verdict"]),
        headline=row["headline"],
    )


def _finding_row(release: str, look: Look, report: Report, finding: Any) -> dict[str, Any]:
    return {
        "look_id": look.id,
        "id": finding_id(report.release, finding),
        "release_id": release,
        "kpi": finding.kpi,
        "segment": dict(finding.segment),
        "total": finding.total,
        "verdict": str(finding.verdict),
        "fails": finding.fails,
        "severity": str(finding.severity),
        "effect": finding.effect,
        "p_value": finding.p_value,
        "began": finding.onset,
    }


def _insert_findings(connection: Connection, look: Look, report: Report) -> None:
    """Keep the findings of a look in place of those before, except where these failed."""
    rows = [_finding_row(look.release_id, look, report, finding) for finding in report.findings]
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


def _finding_record(row: Row) -> FindingRecord:
    return _checked(
        FindingRecord,
        id=_id(row["id"]),
        release_id=_id(row["release_id"]),
        look_id=_id(row["look_id"]),
        at=row["at"],
        kpi=row["kpi"],
        segment=row["segment"],
        total=row["total"],
        verdict=Verdict(row["verdict"]),
        fails=row["fails"],
        severity=KpiSeverity(row["severity"]),
        effect=_finite(row["effect"]),
        p_value=_finite(row["p_value"]),
        began=row["began"],
    )


def _insert_messages(connection: Connection, messages: Sequence[OutboxMessage]) -> None:
    for each in messages:
        count = sql.select(sql.func.count()).where(
            MESSAGES.c.release_id == each.release_id, MESSAGES.c.sink == each.sink
        )
        values = {
            "id": each.id,
            "release_id": each.release_id,
            "look_id": each.look_id,
            "sink": each.sink,
            "action": str(each.action),
            "number": connection.execute(count).scalar_one() + 1,
            "why": str(each.why),
            "told": dict(each.reported_effects),
            "at": each.at,
            "progress": str(each.progress),
            "attempts": each.attempts,
            "next_try": each.next_try,
            "detail": each.detail,
            "thread": each.thread,
        }
        connection.execute(sql.insert(MESSAGES).values(values))


def _outbox_message(row: Row) -> OutboxMessage:
    return _checked(
        OutboxMessage,
        id=_id(row["id"]),
        release_id=_id(row["release_id"]),
        look_id=_id(row["look_id"]),
        sink=row["sink"],
        action=Action(row["action"]),
        why=NotifyReason.of(row["why"]),
        at=row["at"],
        next_try=row["next_try"],
        reported_effects=row["told"],
        progress=Progress(row["progress"]),
        attempts=row["attempts"],
        detail=row["detail"],
        thread=row["thread"],
    )


def _joined(spans: Sequence[LeftOut]) -> list[LeftOut]:
    """The spans, with those of one reason that touch joined."""
    out: list[LeftOut] = []
    for span in sorted(spans, key=lambda each: (each.reason, each.window.start, each.window.end)):
        last = out[-1] if out else None
        if last is not None and last.reason == span.reason and span.window.start <= last.window.end:
            out[-1] = replace(
                last, window=Window(last.window.start, max(last.window.end, span.window.end))
            )
        else:
            out.append(span)
    return sorted(out, key=lambda each: (each.window.start, each.reason))
