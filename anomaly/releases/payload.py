"""What others send about releases: a payload whose cells are read one by one, names and times."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from anomaly.errors import UsageError
from anomaly.model import utc

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


def cells(payload: Any, *path: str | int) -> list[Any]:
    """The values of the list at this path; none if there is no list."""
    value = cell(payload, *path)
    return value if isinstance(value, list) else []


def moment(payload: Any, *path: str) -> datetime:
    """The time at this path: ISO-8601, or as GitLab writes it. Raises UsageError, also for a time
    without a zone."""
    written, name = text(payload, *path), ".".join(path)
    try:
        return utc(_parsed(written), name)
    except (ValueError, OverflowError):
        raise UsageError(f"{name} is {written!r:.{LONGEST_SEEN}}; not a time") from None


def _parsed(written: str) -> datetime:
    try:
        return datetime.fromisoformat(re.sub(" UTC$", "+00:00", written))
    except ValueError:
        return datetime.strptime(written, "%Y-%m-%d %H:%M:%S %z")
