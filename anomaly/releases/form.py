"""How releases are written down: a list in JSON, or one after the other in lines of JSON, as
`anomaly release list` prints them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from anomaly.checklist.strict_yaml import shown
from anomaly.errors import UsageError
from anomaly.model import Release, Stage, utc
from anomaly.wording import did_you_mean

NAMES = ("service", "version", "environment")
KEYS = (*NAMES, "started_at", "finished_at", "stages", "aborted_at")
OF_A_LIST = ("id", "state", "origin", "followed_by")  # what `release list` says besides
STAGE = ("at", "share")
ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class Written:
    """A release as it was written; `aborted` says that it was rolled back, even where nobody knows
    when."""

    release: Release
    aborted: bool = False


def read(text: str) -> list[Written]:
    """The releases in order of time. Raises UsageError: which, by its place in the list or its
    line, what is wrong, what is allowed."""
    return sorted(
        (_written(item, place) for place, item in _items(text.removeprefix("\ufeff"))),
        key=lambda each: each.release.started_at,
    )


def _items(text: str) -> list[tuple[str, Any]]:
    if text.lstrip().startswith("["):
        return [(f"release {number}", item) for number, item in enumerate(_parsed(text, ""), 1)]
    lines = [
        (f"line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip()
    ]
    return [(place, _parsed(line, f"{place}: ")) for place, line in lines]


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at = where or f"line {error.lineno}: "
        raise UsageError(
            f"{at}is not JSON ({error.msg}); write a list of releases, or one in each line"
        ) from None
    except (RecursionError, ValueError):
        raise UsageError(
            f"{where}is not readable JSON: it is nested too deeply, or a number is too long"
        ) from None


def _written(item: Any, place: str) -> Written:
    if not isinstance(item, Mapping):
        raise UsageError(
            f"{place} is {shown(item)}; it must be an object like {{'version': …, 'started_at': …}}"
        )
    _refuse_unknown(item, KEYS + OF_A_LIST, KEYS, place)
    service = _name(item, "service", place)
    version = _name(item, "version", place)
    environment = _name(item, "environment", place)
    start = _moment(item, "started_at", place)
    if start is None:
        raise UsageError(f"{place}: started_at is missing")
    finished, aborted = _moment(item, "finished_at", place), _moment(item, "aborted_at", place)
    stages = item.get("stages") or []
    if not isinstance(stages, list):
        raise UsageError(f"{place}: stages is {shown(stages)}; it must be a list")
    stage_values = tuple(
        _stage(stage, f"{place}: stages[{number}]") for number, stage in enumerate(stages)
    )
    if aborted is not None and aborted <= start:
        raise UsageError(f"{place}: aborted_at is not after started_at")
    try:
        release = Release(
            start,
            finished,
            service=service,
            version=version,
            environment=environment,
            stages=stage_values,
            aborted_at=aborted,
        )
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from None
    return Written(release, aborted is not None or item.get("state") == ABORTED)


def _stage(item: Any, place: str) -> Stage:
    if not isinstance(item, Mapping):
        raise UsageError(f"{place} is {shown(item)}; it must be an object with at and share")
    _refuse_unknown(item, STAGE, STAGE, place)
    at, share = _moment(item, "at", place), item.get("share")
    if at is None or share is None:
        raise UsageError(f"{place}: {'at' if at is None else 'share'} is missing")
    if isinstance(share, bool) or not isinstance(share, int | float):
        raise UsageError(f"{place}: share is {shown(share)}; it must be a number up to 1")
    return at, share


def _refuse_unknown(
    item: Mapping[str, Any], keys: tuple[str, ...], advice: tuple[str, ...], place: str
) -> None:
    for key in item:
        if key not in keys:
            raise UsageError(
                f"{place}: {shown(key)} is an unknown key; use one of "
                f"{', '.join(advice)}{did_you_mean(key, advice)}"
            )


def _name(item: Mapping[str, Any], key: str, place: str) -> str:
    value = item.get(key, "")
    if not isinstance(value, str):
        raise UsageError(f"{place}: {key} is {shown(value)}; it must be text, in quotes")
    return value


def _moment(item: Mapping[str, Any], key: str, place: str) -> datetime | None:
    value = item.get(key)
    if value is None:
        return None
    try:
        return utc(datetime.fromisoformat(value), key)
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from None
    except (TypeError, ValueError, OverflowError):
        raise UsageError(
            f"{place}: {key} is {shown(value)}; write a time with a zone, like 2025-06-03T10:00:00Z"
        ) from None
