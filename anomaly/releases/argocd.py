"""Releases from the history of an application of Argo CD.

Argo CD's Swagger description: `GET /api/v1/applications/{name}`, v1alpha1RevisionHistory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import zip_longest
from typing import Any
from urllib.parse import quote, urlencode

from anomaly import wording
from anomaly.errors import CollectError, UsageError
from anomaly.model import Release, Window
from anomaly.releases.api import AUTHORIZATION, Api
from anomaly.releases.deployments import SHORT, VERSION, version_of
from anomaly.releases.payload import cell, cells, moment, text

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
KUSTOMIZED = re.compile(r"(?:([^=]+)=)?(.+?)(?:@sha256:([0-9a-f]+)|:([\w][\w.-]*))", re.ASCII)
DIGEST = "sha256:"
HINTS = {
    401: "the token is wrong or has expired",
    403: "the application does not exist, or the account of the token may not get it",
    404: "the application does not exist; is url the address of Argo CD, without /api?",
}


class ArgocdReleases:
    """Takes each sync of `application` that succeeded for a release: from its start to its end.
    Raises UsageError for settings that can't be used."""

    def __init__(
        self,
        *,
        url: str,
        application: str,
        token: str,
        namespace: str = "",
        image: str = "",
        timeout: timedelta = timedelta(seconds=10),
    ) -> None:
        names = {"application": application} | ({"namespace": namespace} if namespace else {})
        for name, value in names.items():
            if not NAME.fullmatch(value):
                raise UsageError(
                    f"{name} is {wording.plain(value, 60)!r}; give its name in Kubernetes, in "
                    "lower case"
                )
        headers = {"Accept": "application/json", AUTHORIZATION: f"Bearer {token}"}
        self._api = Api(url, token, headers, hints=HINTS, timeout=timeout, setting="url")
        query = f"?{urlencode({'appNamespace': namespace})}" if namespace else ""
        self._path = f"/api/v1/applications/{quote(application, safe='')}{query}"
        self._image = image

    def __repr__(self) -> str:
        return f"ArgocdReleases({self._api.where})"

    def discover(self, window: Window, /) -> Sequence[Release]:
        """Those that began in the window and have succeeded. Raises CollectError."""
        application = self._api.get(self._path)
        if not cell(application, "metadata", "name"):
            raise self._api.unexpected("an application")
        try:
            releases = [*self._found(cells(application, "status", "history"), window)]
        except UsageError as error:
            raise CollectError(f"{self._api.where}: {error}") from None
        return sorted(releases, key=lambda each: each.started_at)

    def _found(self, history: Sequence[Any], window: Window) -> Iterator[Release]:
        for entry in history:
            end = moment(entry, "deployedAt")
            # older versions of Argo CD say only when it ended
            start = moment(entry, "deployStartedAt") if cell(entry, "deployStartedAt") else end
            if window.start <= start < window.end:
                yield Release(start, max(start, end), version=self._version(entry))

    def _version(self, entry: Any) -> str:
        sources = cells(entry, "sources") or [cell(entry, "source")]
        if not self._image:
            revisions = cells(entry, "revisions") or [text(entry, "revision")]
            return "+".join(
                _name(str(revision), str(cell(source, "targetRevision") or ""))
                for revision, source in zip_longest(revisions, sources)
                if revision
            )
        tags = dict(pair for source in sources for pair in _tags(source))
        if self._image not in tags:
            there = ", ".join(wording.plain(name, 60) for name in sorted(tags)[:10]) or "none"
            raise UsageError(
                f"the sync of {text(entry, 'deployedAt')} sets no tag of image "
                f"{wording.plain(self._image, 60)!r}; there: {there}"
            )
        return tags[self._image]


def _name(revision: str, target: str) -> str:
    """What a source of a revision is called: the version of its chart, its tag, else its commit."""
    commit = revision.removeprefix(DIGEST)
    return version_of(revision if VERSION.fullmatch(revision) else target, commit)


def _tags(source: Any) -> Iterator[tuple[str, str]]:
    """The images that the application sets for Kustomize, by both of their names, and the
    parameters that it sets for Helm."""
    for image in cells(source, "kustomize", "images"):
        if match := KUSTOMIZED.fullmatch(str(image)):
            old, new, digest, tag = match.groups()
            for name in filter(None, (old, new)):
                yield name, tag or digest[:SHORT]
    for parameter in cells(source, "helm", "parameters"):
        name, value = cell(parameter, "name"), cell(parameter, "value")
        if isinstance(name, str) and isinstance(value, str) and value:
            yield name, value
