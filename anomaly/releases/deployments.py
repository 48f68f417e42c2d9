"""What GitHub and GitLab share: lists of deployments over HTTP, their times, and what a version is
called."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from anomaly import wording
from anomaly.errors import CollectError, UsageError
from anomaly.model import Release, utc
from anomaly.releases.api import Api

VERSION = re.compile(r"v?\d+(\.\d+)+[\w.+-]*", re.ASCII)
SHORT = 8  # digits of a commit
A_PAGE, MOST_PAGES = 100, 50

Deployment = Mapping[str, Any]


class Deployments:
    """Lists of deployments at the API of GitHub or GitLab, which are asked with `headers`; in one
    of them stands the token. Raises UsageError for an address or a token that can't be used."""

    def __init__(
        self,
        api: str,
        token: str,
        headers: Mapping[str, str],
        *,
        hints: Mapping[int, str],
        timeout: timedelta,
    ) -> None:
        self._api = Api(api, token, headers, hints=hints, timeout=timeout)

    @property
    def where(self) -> str:
        return self._api.where

    def each(
        self, path: str, *, until: Callable[[Deployment], bool] = lambda _: False
    ) -> Iterator[Deployment]:
        """The entries of a list of many pages, up to a page of which every entry is beyond
        `until`. Raises CollectError."""
        sign = "&" if "?" in path else "?"
        for page in range(1, MOST_PAGES + 1):
            entries = self._list(f"{path}{sign}per_page={A_PAGE}&page={page}")
            yield from entries
            if len(entries) < A_PAGE or all(until(each) for each in entries):
                return
        raise CollectError(
            f"{self.where} lists more than {A_PAGE * MOST_PAGES:,} deployments; name one "
            "environment"
        )

    def answer(self, path: str, hints: Mapping[int, str]) -> Any:
        """What the API answers in JSON. Raises CollectError."""
        return self._api.get(path, hints)

    def _list(self, path: str) -> list[Deployment]:
        entries = self._api.get(path)
        if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
            raise self._api.unexpected("a list of deployments")
        return entries

    def moment(self, entry: Deployment, key: str) -> datetime:
        """A time of an entry. Raises CollectError if it has none, or one without a zone."""
        value = entry.get(key)
        try:
            return utc(datetime.fromisoformat(value), key)  # type: ignore[arg-type]
        except UsageError as error:
            raise CollectError(f"{self.where}: {error}") from None
        except (TypeError, ValueError, OverflowError):
            raise CollectError(
                f"{self.where}: {key} of a deployment is {wording.plain(repr(value), 60)}, not a "
                "time with a zone"
            ) from None

    def number(self, entry: Deployment) -> int:
        """The number of an entry. Raises CollectError if it has none."""
        value = entry.get("id")
        if isinstance(value, bool) or not isinstance(value, int):
            raise CollectError(
                f"{self.where}: id of a deployment is {wording.plain(repr(value), 60)}; it must "
                "be a number"
            )
        return value

    def release(self, entry: Deployment, start: datetime, end: datetime) -> Release:
        """The release that a deployment was; its service and environment are the checklist's."""
        version = version_of(str(entry.get("ref") or ""), str(entry.get("sha") or ""))
        return Release(start, max(start, end), version=version)


def version_of(ref: str, commit: str) -> str:
    """The name of a version: a tag that looks like one, else the commit in short."""
    name = ref.removeprefix("refs/tags/")
    return name if VERSION.fullmatch(name) else commit[:SHORT]
