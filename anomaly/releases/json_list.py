"""Releases from a file or an address that lists them in JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from anomaly.errors import (
    CollectError,
    RequestError,
    RetryableCollectError,
    RetryableRequestError,
    UsageError,
)
from anomaly.http.endpoint import Endpoint, checked_headers
from anomaly.model import Release, Window
from anomaly.releases.form import Written, read

MOST_BYTES = 1 << 24


class JsonReleases:
    """Reads the list at `path` or `url` (see `anomaly.releases.form`), which is asked with
    `headers` and answers within `timeout`.

    What was aborted says when, and is followed by a release of the version before. Raises
    UsageError for settings that can't be used.
    """

    def __init__(
        self,
        *,
        path: Path | None = None,
        url: str = "",
        headers: Mapping[str, str] | None = None,
        timeout: timedelta = timedelta(seconds=10),
    ) -> None:
        if (path is None) == (not url):
            raise UsageError("give one of path and url")
        self._headers = checked_headers(headers or {}, ("accept", "accept-encoding"))
        self._endpoint = (
            Endpoint(url, secrets=self._headers.values(), timeout=timeout) if url else None
        )
        self._path = path

    def __repr__(self) -> str:
        return f"JsonReleases({self._where})"

    @property
    def _where(self) -> str:
        return self._endpoint.where if self._endpoint is not None else str(self._path)

    def discover(self, window: Window, /) -> Sequence[Release]:
        """Those of the list that began in the window. Raises CollectError."""
        try:
            entries = read(self._content().decode("utf-8"))
        except UnicodeDecodeError:
            raise CollectError(f"{self._where} is not text in UTF-8") from None
        except UsageError as error:
            raise CollectError(f"{self._where}: {error}") from None
        releases = sorted(_told(entries), key=lambda each: each.started_at)
        return [
            _known_at(window.end, each)
            for each in releases
            if window.start <= each.started_at < window.end
        ]

    def _content(self) -> bytes:
        if self._endpoint is not None:
            try:
                body = self._endpoint.ask(
                    "GET", headers={"Accept": "application/json", **self._headers}, read=True
                ).body
            except RetryableRequestError as error:
                raise RetryableCollectError(str(error), retry_after_s=error.retry_after_s) from None
            except RequestError as error:
                raise CollectError(str(error)) from None
            if not body.strip():  # or it broke off
                raise CollectError(
                    f"{self._where} answered with nothing; for no releases, answer []"
                )
            return body
        assert self._path is not None  # noqa: S101  or there is an address
        try:
            if not self._path.is_file():
                raise CollectError(f"{self._path} does not exist or is not a file")
            with self._path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise CollectError(f"{self._path} can't be read: {error.strerror}") from None
        if len(content) > MOST_BYTES:
            raise CollectError(
                f"{self._path} is larger than {MOST_BYTES:,} bytes; leave old releases out"
            )
        return content


def _told(entries: Sequence[Written]) -> Iterator[Release]:
    """The releases, and after one that was aborted what came back; one of which nobody says when it
    was aborted is left out."""
    for number, each in enumerate(entries):
        release = each.release
        if release.aborted_at is not None:
            yield release
            alike = [
                other.release
                for other in entries[:number]
                if not other.aborted and _of(other.release) == _of(release)
            ]
            back = alike[-1].version if alike else f"before {release.version}"
            yield Release(
                release.aborted_at,
                service=release.service,
                version=back,
                environment=release.environment,
            )
        elif not each.aborted:
            yield release


def _known_at(now: datetime, release: Release) -> Release:
    """The release without an abort that is still to come."""
    is_to_come = release.aborted_at is not None and release.aborted_at >= now
    return replace(release, aborted_at=None) if is_to_come else release


def _of(release: Release) -> tuple[str, str]:
    return release.service, release.environment
