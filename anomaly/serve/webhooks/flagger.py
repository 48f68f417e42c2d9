"""Event webhooks of Flagger, which can set no header: a token of ours is in the address, as the
password of basic authentication.

docs.flagger.app: "Webhooks", the event payload.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from anomaly.errors import UsageError
from anomaly.releases.event import Kind, ReleaseEvent
from anomaly.releases.payload import NotAboutARelease, text

KINDS = {"Progressing": Kind.STARTED, "Succeeded": Kind.FINISHED, "Failed": Kind.ABORTED}


def told(headers: Mapping[str, str], payload: Any) -> ReleaseEvent:  # noqa: ARG001  as of all senders
    """What happened to a canary. It has no version: the checksum of its specification names the
    release. Raises NotAboutARelease, UsageError."""
    phase = text(payload, "phase")
    if phase not in KINDS:
        raise NotAboutARelease(f"phase {phase!r:.40} says nothing about users")
    return ReleaseEvent(
        KINDS[phase],
        service=text(payload, "name"),
        environment=text(payload, "namespace"),
        version=text(payload, "checksum"),
        at=_moment(text(payload, "metadata", "timestamp")),
    )


def _moment(written: str) -> datetime:
    try:
        return datetime.fromtimestamp(int(written) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"metadata.timestamp is {written!r:.40}; it must be milliseconds since 1970"
        ) from None
