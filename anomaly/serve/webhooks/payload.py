"""What the senders share: a payload whose cells are read one by one, names and times."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from anomaly.errors import UsageError

LONGEST_SEEN = 60  # characters


class NotAboutARelease(UsageError):
    """The event is understood, and nothing follows from it."""


def text(payload: Any, *path: str | int) -> str:
    """The text at this path. Raises UsageError that names it."""
    value = cell(payload, *path)
    if not isinstance(value, str) or not value:
        raise UsageError(
            f"{'.'.join(map(str, path))} is {value!r:.{LONGEST_SEEN}}; it must be text"
        )
    return value


def cell(payload: Any, *path: str | int) -> Any:
    """The value at this path, None if there is none."""
    for key in path:
        if isinstance(payload, Mapping) and isinstance(key, str):
            payload = payload.get(key)
        elif isinstance(payload, list) and isinstance(key, int) and key < len(payload):
            payload = payload[key]
        else:
            return None
    return payload


def moment(payload: Any, *path: str) -> datetime:
    """The time at this path: ISO-8601, or as GitLab writes it. Raises UsageError."""
    written = text(payload, *path)
    try:
        at = datetime.fromisoformat(written.removesuffix(" UTC").strip())
    except ValueError:
        try:
            at = datetime.strptime(written, "%Y-%m-%d %H:%M:%S %z")
        except ValueError:
            raise UsageError(
                f"{'.'.join(path)} is {written!r:.{LONGEST_SEEN}}; not a time"
            ) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
