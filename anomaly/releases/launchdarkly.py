"""Releases from the audit log of LaunchDarkly: flags that were switched or rolled out further.

launchdarkly.com/docs/api: "List audit log entries", "Get audit log entry".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from anomaly import wording
from anomaly.errors import CollectError, UsageError
from anomaly.model import Release, Window
from anomaly.releases.api import AUTHORIZATION, Api
from anomaly.releases.event import Kind, ReleaseEvent
from anomaly.releases.flags import releases
from anomaly.releases.payload import NotAboutARelease, cell, cells, text

KEY = re.compile(r"[A-Za-z0-9._-]+")
PATTERN = re.compile(r"[A-Za-z0-9._*-]+(;[A-Za-z0-9._-]+)*")  # keys of flags, and their tags
RESOURCE = re.compile(r"proj/([^:;/]+)[^:]*:env/([^:;/]+)[^:]*:flag/([^:;/]+)")
ACTIONS = SWITCH, ROLLOUT = "updateOn", "updateFallthrough"
WHOLE = 100_000  # the weights of a rollout add up to this
A_PAGE, MOST_PAGES = 20, 25
MILLISECOND = timedelta(milliseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HINTS = {
    401: "the token is wrong or has expired; it must be an access token, not an SDK key",
    403: "the token needs a role that may read the project, such as Reader",
    404: "is api the address of its API, like https://app.launchdarkly.com/api/v2?",
}


class LaunchDarklyReleases:
    """Takes each flag of `project` that is switched on in `environment` for a release, and each
    rollout to more users for a stage. Raises UsageError for settings that can't be used."""

    def __init__(
        self,
        *,
        project: str,
        environment: str,
        token: str,
        flags: str = "*",
        api: str = "https://app.launchdarkly.com/api/v2",
        timeout: timedelta = timedelta(seconds=10),
    ) -> None:
        for name, value in (("project", project), ("environment", environment)):
            if not KEY.fullmatch(value):
                raise UsageError(
                    f"{name} is {wording.plain(value, 60)!r}; give its key, which has letters, "
                    "digits, and . _ - alone"
                )
        if not PATTERN.fullmatch(flags):
            raise UsageError(
                f"flags is {wording.plain(flags, 60)!r}; give a key, with * for what varies, like "
                "checkout-*, or a tag, like *;checkout"
            )
        headers = {
            "Accept": "application/json",
            "LD-API-Version": "20240415",
            AUTHORIZATION: token,
        }
        self._api = Api(api, token, headers, hints=HINTS, timeout=timeout)
        self._place = project, environment
        self._spec = f"proj/{project}:env/{environment}:flag/{flags}"

    def __repr__(self) -> str:
        return f"LaunchDarklyReleases({self._api.where})"

    def discover(self, window: Window, /) -> Sequence[Release]:
        """What became of flags in the window. Raises CollectError."""
        try:
            return releases(reversed([*self._events(window)]))
        except UsageError as error:
            raise CollectError(f"{self._api.where}: {error}") from None

    def _events(self, window: Window) -> Iterator[ReleaseEvent]:
        """What happened in the window, the newest first."""
        for entry in self._entries(window):
            if not window.start <= moment(entry) < window.end:
                continue
            ours = [each for each in cells(entry, "accesses") if self._is_ours(each)]
            if ours:  # the list does not say what became of the flag
                whole = self._api.get(f"/auditlog/{quote(text(entry, '_id'), safe='')}")
                version = {"currentVersion": cell(whole, "currentVersion")}
                with suppress(NotAboutARelease):
                    yield event_of({**entry, **version, "accesses": ours})

    def _is_ours(self, access: Any) -> bool:
        change = _change_of(access)
        return change is not None and change[1:3] == self._place

    def _entries(self, window: Window) -> Iterator[Mapping[str, Any]]:
        """The entries of the list about the flags, the newest first, each once."""
        after, before = _milliseconds(window.start) - 1, _milliseconds(window.end) + 1
        ids = set[str]()
        for _ in range(MOST_PAGES):
            query = {"spec": self._spec, "after": after, "before": before, "limit": A_PAGE}
            entries = cell(self._api.get(f"/auditlog?{urlencode(query)}"), "items")
            if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
                raise self._api.unexpected("entries of an audit log")
            fresh = [each for each in entries if text(each, "_id") not in ids]
            ids |= {text(each, "_id") for each in fresh}
            yield from fresh
            if len(entries) < A_PAGE:
                return
            # the last one's moment is asked for again: others may have it too
            before = min(_milliseconds(moment(each)) for each in entries) + (1 if fresh else 0)
        raise CollectError(
            f"{self._api.where} lists more than {A_PAGE * MOST_PAGES} changes of flags; name fewer "
            "in flags"
        )


def event_of(entry: Any) -> ReleaseEvent:
    """What happened: a flag that is switched on starts a release of its name, a rollout to more
    users is a stage, a flag that is switched off aborts it. Raises NotAboutARelease, UsageError."""
    for access in cells(entry, "accesses"):
        if change := _change_of(access):
            action, project, environment, flag = change
            state = cell(entry, "currentVersion", "environments", environment)
            kind, share = _effect(action, state)
            return ReleaseEvent(kind, project, environment, flag, moment(entry), share)
    raise NotAboutARelease("no flag was switched, and no rollout changed")


def _change_of(access: Any) -> tuple[str, str, str, str] | None:
    """The action that matters to users, with its project, environment and flag."""
    action, match = cell(access, "action"), RESOURCE.match(str(cell(access, "resource")))
    return (action, match[1], match[2], match[3]) if match and action in ACTIONS else None


def _effect(action: str, state: Any) -> tuple[Kind, float | None]:
    """What the flag's state after the change means for users."""
    is_on = cell(state, "on")
    if not isinstance(is_on, bool):
        raise UsageError(
            f"currentVersion.environments has 'on' {is_on!r:.40}; it must be a boolean"
        )
    if not is_on:
        if action == SWITCH:
            return Kind.ABORTED, None
        raise NotAboutARelease("the rollout of a flag that is off changed")
    share = _share(state)
    if share is None:
        return Kind.STARTED, None
    return (Kind.STAGE, share) if share else (Kind.ABORTED, None)


def _share(state: Any) -> float | None:
    """The share of users who get another variation than with the flag off; None if that can't be
    told."""
    off, fixed = cell(state, "offVariation"), cell(state, "fallthrough", "variation")
    if isinstance(fixed, int):
        return None if off is None else float(fixed != off)
    weights = [
        (cell(each, "variation"), cell(each, "weight"))
        for each in cells(state, "fallthrough", "rollout", "variations")
    ]
    if not weights or not all(isinstance(weight, int) for _, weight in weights):
        return None
    share = sum(weight for variation, weight in weights if variation != off) / WHOLE
    return share if 0 <= share <= 1 else None


def moment(entry: Any) -> datetime:
    """When the entry was made. Raises UsageError."""
    date = cell(entry, "date")
    try:
        return datetime.fromtimestamp(date / 1000, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise UsageError(f"date is {date!r:.40}; it must be milliseconds since 1970") from None


def _milliseconds(at: datetime) -> int:
    return (at - EPOCH) // MILLISECOND
