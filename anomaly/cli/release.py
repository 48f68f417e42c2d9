"""From the options of the command line to a checklist and a release."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from anomaly.checklist.checklist import Checklist, load
from anomaly.cli.session import Session, log
from anomaly.errors import UsageError
from anomaly.model import Release, Stage
from anomaly.timing.durations import parse_moment


@dataclass(frozen=True, slots=True)
class Words:
    """The options about the release, as text."""

    released_at: str | None
    finished_at: str | None = None
    version: str = ""
    until: str | None = None
    stages: Sequence[str] = ()
    next_release: str | None = None


def opened(path: Path, environment: str | None, session: Session) -> Checklist:
    """The checklist; its secrets are masked from now on. Raises ChecklistError."""
    checklist = load(path, environment=environment)
    session.keep_secret(checklist.secrets)
    log.info("read %s: %d KPIs, digest %s", path, len(checklist.kpis), checklist.digest)
    return checklist


def right_now() -> datetime:
    return datetime.now(UTC)


def release_of(checklist: Checklist, words: Words, now: datetime) -> Release:
    """The release; raises UsageError, also for a start in the future. Stages and the next release
    may be planned. A date alone is the midnight of the users' day."""
    zone = checklist.calendar.timezone
    if words.released_at is None:
        raise UsageError("--released-at is missing")
    return Release(
        started_at=past("--released-at", words.released_at, now, zone),
        finished_at=None
        if words.finished_at is None
        else past("--finished-at", words.finished_at, now, zone),
        service=checklist.service,
        version=words.version,
        environment=checklist.environment,
        stages=tuple(_stage(text, now, zone) for text in words.stages),
        followed_by=None
        if words.next_release is None
        else _next_release(words.next_release, now, zone),
    )


def _stage(text: str, now: datetime, zone: str) -> Stage:
    when, _, share = text.rpartition("=")
    try:
        part = float(share.removesuffix("%")) / (100 if share.endswith("%") else 1)
    except ValueError:
        part = math.nan
    if not when or not 0 < part <= 1:
        raise UsageError(
            f"--stage is {text!r}; give a time and a share of users up to 100 %, such as "
            "2025-06-03T10:00Z=5%"
        )
    return moment("--stage", when, now, zone), part


def _next_release(text: str, now: datetime, zone: str) -> Release:
    when, _, name = text.partition("=")
    return Release(moment("--next-release", when, now, zone), version=name)


def end_of_watch(
    release: Release, words: Words, now: datetime, zone: str | None = None
) -> datetime | None:
    """The time of `--until`; raises UsageError if it is in the future or not after the release."""
    if words.until is None:
        return None
    until = past("--until", words.until, now, zone)
    if until <= release.exposed_at:
        raise UsageError(
            f"--until {words.until} is not after the release, which ended at "
            f"{release.exposed_at.isoformat()}"
        )
    return until


def past(option: str, text: str, now: datetime, zone: str | None = None) -> datetime:
    """The time of an option; raises UsageError if it is in the future."""
    at = moment(option, text, now, zone)
    if at > now:
        raise UsageError(
            f"{option} {text} is in the future; now is {now.isoformat(timespec='seconds')}"
        )
    return at


def moment(option: str, text: str, now: datetime, zone: str | None = None) -> datetime:
    """The time of an option; raises UsageError."""
    try:
        return parse_moment(text, now=now, zone=zone)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from None
