"""What the history holds, as plain values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from anomaly import wording
from anomaly.contracts import Action, Receipt
from anomaly.model import Finding, Release, ReleaseVerdict, Segment, Verdict

ID_LENGTH = 32  # hexadecimal digits
SHORT = 8  # of them are shown


class State(StrEnum):
    """What is done about a release."""

    WATCHED = "watched"
    DONE = "done"
    ABORTED = "aborted"


class Progress(StrEnum):
    """How far a message came."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    SUPERSEDED = "superseded"  # by a later one to a sink that mirrors how it stands


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """A release that is known, under the id that `release_id` gives; `origin` says from where: a
    command, a source's type."""

    id: str
    release: Release
    state: State
    origin: str
    checklist: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """One judgement of a release, the `number`-th, from 1."""

    id: str
    release_id: str
    number: int
    at: datetime
    final: bool
    verdict: ReleaseVerdict
    headline: str


@dataclass(frozen=True, slots=True)
class FindingRecord:
    """A finding of one look at a release, in short; `began` is its onset, where it has one."""

    id: str
    release_id: str
    look_id: str
    at: datetime
    kpi: str
    segment: Segment
    total: bool
    verdict: Verdict
    fails: bool
    effect: float | None
    p_value: float | None
    began: datetime | None


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A message to one sink, from the decision on: `told` are the findings it calls failing, by id,
    with the sizes of their effects.

    It is sent from `next_try` on. `detail` is what the sink said last.
    """

    id: str
    release_id: str
    look_id: str
    sink: str
    action: Action
    why: str
    at: datetime
    next_try: datetime
    told: Mapping[str, float] = field(default_factory=dict)
    progress: Progress = Progress.PENDING
    attempts: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Ack:
    """What somebody said of a finding or of all findings of a release (`target` is its id): known,
    and an incident or none."""

    target: str
    at: datetime
    incident: bool
    note: str = ""


def told_of(messages: Sequence[OutboxMessage]) -> tuple[Receipt, ...]:
    """What became of messages, as receipts; those that a later one replaced are left out."""
    return tuple(
        Receipt(
            each.sink,
            delivered=each.progress is Progress.SENT,
            detail=_told(each),
            attempts=max(1, each.attempts),
        )
        for each in messages
        if each.progress is not Progress.SUPERSEDED
    )


def _told(message: OutboxMessage) -> str:
    waits = ", will be tried again" if message.progress is Progress.PENDING else ""
    said = f": {message.detail}" if message.detail else ""
    return f"{wording.clock(message.at, None)} UTC {message.action} ({message.why}){waits}{said}"


def release_id(release: Release) -> str:
    """The same for every message about one release: a digest of its service, environment, version
    and start."""
    return _digest(
        release.service, release.environment, release.version, wording.stamp(release.started_at)
    )


def finding_id(release: Release, finding: Finding) -> str:
    """The same for what is found of one KPI and segment at every look at a release."""
    segment = sorted(finding.segment.items())
    return _digest(release_id(release), finding.kpi, segment, finding.total)


def _digest(*named: object) -> str:
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()[:ID_LENGTH]
