"""Releases from the events of Unleash: flags that were enabled, disabled or rolled out further.

docs.getunleash.io: "Search for events", "Get features in project", "Event types".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote, urlencode

from anomaly.errors import CollectError, UsageError
from anomaly.model import Release, Window
from anomaly.releases.api import AUTHORIZATION, Api
from anomaly.releases.event import Kind, ReleaseEvent
from anomaly.releases.flags import releases
from anomaly.releases.payload import NotAboutARelease, cell, cells, moment, text

SWITCHED = {
    "feature-environment-enabled": Kind.STARTED,
    "feature-environment-disabled": Kind.ABORTED,
}
STRATEGY = ("feature-strategy-add", "feature-strategy-update")
A_PAGE, MOST_PAGES = 200, 25
DAY = timedelta(days=1)  # the search knows days alone, and not in which time zone
HINTS = {
    401: "the token is wrong or has expired",
    403: "the token may not see the project",
    404: "is url the address of Unleash, without /api, and Unleash 6.2 or newer?",
}


@dataclass(frozen=True, slots=True)
class _Event:
    """What happened to a flag, by a switch or by a strategy."""

    what: ReleaseEvent
    is_switch: bool


class UnleashReleases:
    """Takes each flag of `project` that is enabled in `environment` for a release, and each rollout
    to more users for a stage. Raises UsageError for settings that can't be used."""

    def __init__(
        self,
        *,
        url: str,
        project: str,
        environment: str,
        token: str,
        flags: str = "*",
        timeout: timedelta = timedelta(seconds=10),
    ) -> None:
        settings = {"project": project, "environment": environment, "flags": flags}
        for name, value in settings.items():
            if not value.strip() or "," in value:
                raise UsageError(f"{name} is empty, or has a comma; give one name")
        headers = {"Accept": "application/json", AUTHORIZATION: token}
        self._api = Api(url, token, headers, hints=HINTS, timeout=timeout, setting="url")
        self._project, self._environment, self._flags = project, environment, flags

    def __repr__(self) -> str:
        return f"UnleashReleases({self._api.where})"

    def discover(self, window: Window, /) -> Sequence[Release]:
        """What became of flags in the window. Raises CollectError."""
        try:
            events = [*self._found(window)]
            return releases(each for each in events if window.start <= each.at < window.end)
        except UsageError as error:
            raise CollectError(f"{self._api.where}: {error}") from None

    def _found(self, window: Window) -> Iterator[ReleaseEvent]:
        """What users noticed since the window began, by flag and time."""
        by_flag: dict[str, list[_Event]] = {}
        oldest_first = reversed([*self._events(window)])  # also of those at the same moment
        for each in sorted(oldest_first, key=lambda each: each.what.at):
            by_flag.setdefault(each.what.version, []).append(each)
        switched = {
            flag: next((each.what.kind for each in events if each.is_switch), None)
            for flag, events in by_flag.items()
        }
        enabled = self._enabled() if None in switched.values() else set()
        for flag, first in switched.items():
            was_on = first is Kind.ABORTED or (first is None and flag in enabled)
            yield from _while_on(by_flag[flag], was_on=was_on)

    def _enabled(self) -> set[str]:
        """The flags that are enabled now."""
        answer = self._api.get(f"/api/admin/projects/{quote(self._project, safe='')}/features")
        return {
            text(flag, "name")
            for flag in cells(answer, "features")
            for state in cells(flag, "environments")
            if (cell(state, "name"), cell(state, "enabled")) == (self._environment, True)
        }

    def _events(self, window: Window) -> Iterator[_Event]:
        """What happened since the window began, the newest first."""
        for entry in self._entries(window):
            with suppress(NotAboutARelease):
                what = event_of(entry)
                if (
                    (what.service, what.environment) == (self._project, self._environment)
                    and fnmatchcase(what.version, self._flags)
                    and what.at >= window.start
                ):
                    yield _Event(what, is_switch=text(entry, "type") in SWITCHED)

    def _entries(self, window: Window) -> Iterator[Mapping[str, Any]]:
        """The events about switches and strategies, the newest first, each once."""
        query = {
            "project": f"IS:{self._project}",
            "environment": f"IS:{self._environment}",
            "type": f"IS_ANY_OF:{','.join([*SWITCHED, *STRATEGY])}",
            "from": f"IS:{window.start - DAY:%Y-%m-%d}",
            "limit": A_PAGE,
        }
        ids = set[str]()
        for page in range(MOST_PAGES):
            offset = {"offset": page * A_PAGE}
            path = f"/api/admin/search/events?{urlencode(query | offset)}"
            entries = cell(self._api.get(path), "events")
            if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
                raise self._api.unexpected("events")
            # what happens meanwhile moves the others to the next page
            yield from (each for each in entries if str(each.get("id")) not in ids)
            ids |= {str(each.get("id")) for each in entries}
            if len(entries) < A_PAGE:
                return
        raise CollectError(
            f"{self._api.where} lists more than {A_PAGE * MOST_PAGES:,} events of the project"
        )


def event_of(entry: Any) -> ReleaseEvent:
    """What happened: a flag that is enabled starts a release of its name, a strategy for more users
    is a stage, a flag that is disabled aborts it. Raises NotAboutARelease, UsageError."""
    event = text(entry, "type")
    share = None
    if event in STRATEGY:
        share = _share(cell(entry, "data", "parameters", "rollout"))
        if share is None:
            raise NotAboutARelease("the strategy has no rollout")
    elif event not in SWITCHED:
        raise NotAboutARelease(f"event {event!r:.60} says nothing about users")
    return ReleaseEvent(
        SWITCHED.get(event, Kind.STAGE) if share != 0 else Kind.ABORTED,
        service=text(entry, "project"),
        environment=text(entry, "environment"),
        version=text(entry, "featureName"),
        at=moment(entry, "createdAt"),
        share=share or None,
    )


def _while_on(events: Iterable[_Event], *, was_on: bool) -> Iterator[ReleaseEvent]:
    """What users noticed of what happened to a flag: a strategy matters while the flag is on."""
    is_on, share = was_on, None
    for each in events:
        if not each.is_switch:
            share = each.what.share or 0.0
            if is_on:
                yield each.what
            continue
        is_on = each.what.kind is Kind.STARTED
        if share != 0:
            yield replace(each.what, share=share if is_on else None)


def _share(rollout: Any) -> float | None:
    """The share of users; Unleash writes percents, as text."""
    try:
        share = float(rollout) / 100
    except (TypeError, ValueError, OverflowError):
        return None
    return share if 0 <= share <= 1 else None
