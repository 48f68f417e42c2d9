"""The records of the history, as plain values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from urllib.parse import quote

from anomaly import wording
from anomaly.contracts import Action, NotifyReason, Receipt
from anomaly.model import Finding, KpiSeverity, Release, ReleaseVerdict, Segment, Verdict

ID_LENGTH = 32  # hexadecimal digits
SHORT = 8  # digits that are shown


class State(StrEnum):
    """Where the watch of a release stands."""

    WATCHED = "watched"
    DONE = "done"
    ABORTED = "aborted"


class Progress(StrEnum):
    """Where the delivery of a message stands."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    SUPERSEDED = "superseded"  # by a later message to a sink that mirrors the current state


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """A release under the id that `release_id` gives; `origin` says who reported it: a command, or
    the type of a release source."""

    id: str
    release: Release
    state: State
    origin: str
    checklist: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """One judgement of a release; `number` counts the looks at it from 1."""

    id: str
    release_id: str
    number: int
    at: datetime
    final: bool
    verdict: ReleaseVerdict
    headline: str


@dataclass(frozen=True, slots=True)
class FindingRecord:
    """A finding of one look at a release, in short; `began` is its onset, if it has one."""

    id: str
    release_id: str
    look_id: str
    at: datetime
    kpi: str
    segment: Segment
    total: bool
    verdict: Verdict
    fails: bool
    severity: KpiSeverity
    effect: float | None
    p_value: float | None
    began: datetime | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a release stands: the last look at it, None before the first."""

    record: ReleaseRecord
    look: Look | None


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A message to one sink, from the decision to its delivery; it is sent at `next_try` or later.

    `reported_effects` holds the size of the effect of each finding that the message calls failing,
    by finding id. `detail` is the sink's last answer, `thread` what its receipt said about where
    later messages belong.
    """

    id: str
    release_id: str
    look_id: str
    sink: str
    action: Action
    why: NotifyReason
    at: datetime
    next_try: datetime
    reported_effects: Mapping[str, float] = field(default_factory=dict)
    progress: Progress = Progress.PENDING
    attempts: int = 0
    detail: str = ""
    thread: str = ""


@dataclass(frozen=True, slots=True)
class Ack:
    """An acknowledgement of a finding, or of all findings of a release (`target` is the id): an
    incident, or a false alarm."""

    target: str
    at: datetime
    incident: bool
    note: str = ""


def report_link(template: str, record: ReleaseRecord) -> str:
    """The address of the report by `report_url` of the checklist; empty if it has none."""
    release = record.release
    names = {
        "service": release.service,
        "version": release.version,
        "environment": release.environment,
        "id": record.id[:SHORT],
    }
    url = template
    for name, value in names.items():
        url = url.replace(f"{{{name}}}", quote(value, safe=""))
    return url


def receipts_of(messages: Sequence[OutboxMessage]) -> tuple[Receipt, ...]:
    """The receipts of messages, without those that a later message superseded."""
    return tuple(
        Receipt(
            each.sink,
            delivered=each.progress is Progress.SENT,
            detail=_detail(each),
            attempts=max(1, each.attempts),
        )
        for each in messages
        if each.progress is not Progress.SUPERSEDED
    )


def _detail(message: OutboxMessage) -> str:
    retry = ", will be tried again" if message.progress is Progress.PENDING else ""
    answer = f": {message.detail}" if message.detail else ""
    return f"{wording.clock(message.at, None)} UTC {message.action} ({message.why}){retry}{answer}"


def release_id(release: Release) -> str:
    """The id of a release: a digest of its service, environment, version and start."""
    return _digest(
        release.service, release.environment, release.version, wording.stamp(release.started_at)
    )


def finding_id(release: Release, finding: Finding) -> str:
    """The id of a finding: the same for one KPI and segment at every look at a release."""
    segment = sorted(finding.segment.items())
    return _digest(release_id(release), finding.kpi, segment, finding.total)


def look_id(release: str, number: int) -> str:
    """The id of the n-th look at a release."""
    return hashlib.sha256(f"{release}/{number}".encode()).hexdigest()[:12]


def message_id(release: str, sink: str, number: int) -> str:
    """The id of the n-th message about a release to a sink: the same when it is decided again
    after a crash."""
    return hashlib.sha256(f"{release}/{sink}/{number}".encode()).hexdigest()[:32]


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:ID_LENGTH]
