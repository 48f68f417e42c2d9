"""The rows of the tables as records, and records as rows. Cells may hold what no version writes:
what is of another type raises ValueError, TypeError or LookupError."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model
from sqlalchemy.engine import RowMapping

from anomaly.contracts import Action, NotifyReason
from anomaly.errors import UsageError
from anomaly.history.records import (
    Ack,
    FindingRecord,
    Look,
    OutboxMessage,
    Progress,
    ReleaseRecord,
    State,
    finding_id,
    release_id,
)
from anomaly.model import Finding, KpiSeverity, Release, ReleaseVerdict, Verdict

ID = re.compile(r"[\x21-\x7e]+")
Row = RowMapping
R = TypeVar("R")


def release_row(release: Release, *, origin: str, checklist: str) -> dict[str, Any]:
    """The row of a release that is new."""
    return {
        "id": release_id(release),
        "service": release.service,
        "environment": release.environment,
        "version": release.version,
        "started_at": release.started_at,
        **extent(release),
        "state": State.WATCHED if release.aborted_at is None else State.ABORTED,
        "origin": origin,
        "checklist": checklist,
    }


def extent(release: Release) -> dict[str, Any]:
    """The cells of a release that change while it goes on."""
    return {
        "finished_at": release.finished,
        "stages": [[at.isoformat(), share] for at, share in release.stages],
    }


def release_record(row: Row | Mapping[str, Any]) -> ReleaseRecord:
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


def look_row(look: Look) -> dict[str, Any]:
    """The row of a look, but for its report."""
    return {
        "id": look.id,
        "release_id": look.release_id,
        "number": look.number,
        "at": look.at,
        "final": look.final,
        "verdict": str(look.verdict),
        "headline": look.headline,
    }


def look_record(row: Row | Mapping[str, Any]) -> Look:
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


def finding_row(look: Look, release: Release, finding: Finding) -> dict[str, Any]:
    return {
        "look_id": look.id,
        "id": finding_id(release, finding),
        "release_id": look.release_id,
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


def finding_record(row: Row) -> FindingRecord:
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


def message_row(message: OutboxMessage, number: int) -> dict[str, Any]:
    """The row of a message, the `number`-th about its release to its sink."""
    return {
        "id": message.id,
        "release_id": message.release_id,
        "look_id": message.look_id,
        "sink": message.sink,
        "action": str(message.action),
        "number": number,
        "why": str(message.why),
        "told": dict(message.reported_effects),
        "at": message.at,
        **delivery(message),
    }


def delivery(message: OutboxMessage) -> dict[str, Any]:
    """The cells of a message that say where its delivery stands."""
    return {
        "progress": str(message.progress),
        "attempts": message.attempts,
        "next_try": message.next_try,
        "detail": message.detail,
        "thread": message.thread,
    }


def outbox_message(row: Row) -> OutboxMessage:
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


def ack(row: Row) -> Ack:
    return _checked(Ack, **{name: row[name] for name in ("target", "at", "incident", "note")})


def part(row: Row, prefix: str) -> dict[str, Any]:
    """The columns of one table in a row of several."""
    return {
        name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)
    }


def packed(cell: Any) -> bytes:
    """What a cell of bytes holds; empty where it holds something else."""
    return cell if isinstance(cell, bytes) else b""


def _checked(kind: type[R], **cells: Any) -> R:
    """The record of these cells. Raises ValueError for a cell of another type."""
    _form(cast("Any", kind), tuple(cells)).model_validate(cells)
    return kind(**cells)


@cache
def _form(kind: type, names: tuple[str, ...]) -> type[BaseModel]:
    types: Any = get_type_hints(kind)
    fields: Any = {name: (types[name], ...) for name in names}
    return create_model(kind.__name__, __config__=ConfigDict(strict=True), **fields)


def _id(text: Any) -> Any:
    """An id as it may be printed. Raises ValueError."""
    if not isinstance(text, str) or not ID.fullmatch(text):
        raise ValueError(f"{text!r:.40} is not an id")
    return text


def _finite(value: float | None) -> float | None:
    """JSON has no infinity."""
    return value if isinstance(value, float) and math.isfinite(value) else None
