"""Grafana: an annotation over the time of a release, which follows its state.

| request | what for |
|---|---|
| GET /api/annotations?tags=anomaly:… | is there one of this release? |
| POST /api/annotations | make it |
| PATCH /api/annotations/{id} | change it |
"""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from anomaly import wording
from anomaly.contracts import Message, Receipt
from anomaly.errors import SinkError, UsageError
from anomaly.http.endpoint import checked_base
from anomaly.reporting.notice import notice
from anomaly.sinks.hook import Hook

LONGEST_TAG = 100  # characters that Grafana keeps
UID = re.compile(r"[A-Za-z0-9_-]{1,40}")
HINTS = {
    401: "the token is wrong or has expired",
    403: "the service account of the token needs the role Editor, or may not write annotations",
    404: "write the address of Grafana, with its path if it has one, without /api",
}


class GrafanaSink:
    """An annotation over the time of a release, which later looks change. Raises UsageError for
    invalid settings."""

    every_look: ClassVar[bool] = True
    dedupes: ClassVar[bool] = True
    outside: ClassVar[frozenset[str]] = frozenset({"clock"})

    def __init__(
        self,
        *,
        url: str,
        token: str,
        dashboard: str | None = None,
        tags: tuple[str, ...] = (),
        timeout: timedelta = timedelta(seconds=10),
        clock: Callable[[], float] = time.time,
    ) -> None:
        if checked_base(url).username is not None:
            raise UsageError("url holds a user; a token is what Grafana is asked with")
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise UsageError("token is empty, or has a space or a non-ASCII character")
        if dashboard is not None and not UID.fullmatch(dashboard):
            raise UsageError(
                f"dashboard is {wording.plain(dashboard, 60)!r}; give its uid, from its address: "
                "/d/UID/name"
            )
        self._dashboard = dashboard
        self._tags = tags
        self._api = Hook(url.rstrip("/"), secrets={token}, timeout=timeout, clock=clock)
        self._headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "Authorization": f"Bearer {token}",
        }

    def send(self, message: Message, /) -> Receipt:
        body = annotation(message, self._tags)
        number = self._existing(_mark(message.key))
        if number is None:
            place = {"dashboardUID": self._dashboard} if self._dashboard else {}
            self._ask("POST", "/api/annotations", body | place)
        else:
            self._ask("PATCH", f"/api/annotations/{number}", body)
        return Receipt("grafana", delivered=True, detail=f"{self._api.where} accepted it")

    def _existing(self, tag: str) -> int | None:
        """The number of our annotation of the release; None if there is none yet."""
        query = urlencode({"tags": tag, "type": "annotation", "limit": "1"})
        answer = self._api.ask(
            "GET", None, self._headers, path=f"/api/annotations?{query}", hints=HINTS, read=True
        )
        try:
            content = json.loads(answer.body)
            return int(content[0]["id"]) if content else None
        except (ValueError, LookupError, TypeError, RecursionError):
            raise SinkError(
                f"{self._api.where} answered {answer.status}, but not with a list of annotations; "
                "is url the address of a Grafana?"
            ) from None

    def _ask(self, method: str, path: str, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode("ascii")
        self._api.ask(method, content, self._headers, path=path, hints=HINTS)


def annotation(message: Message, tags: tuple[str, ...] = ()) -> dict[str, Any]:
    """The body of an annotation: a region from the start of the release to the end of what was
    observed, in milliseconds since 1970. Grafana shows the text as HTML, so it is escaped."""
    words, report = notice(message), message.report
    start = report.release.started_at
    end = max(start, report.observation.end)
    own = ["anomaly", _mark(message.key), report.verdict.value]
    names = [report.release.service, report.release.environment, report.release.version]
    every = [wording.plain(each, LONGEST_TAG) for each in (*own, *names, *tags) if each]
    return {
        "time": int(start.timestamp() * 1000),
        "timeEnd": int(end.timestamp() * 1000),
        "tags": list(dict.fromkeys(every)),
        "text": "<br>".join(html.escape(line) for line in words.lines),
    }


def _mark(key: str) -> str:
    """The tag that identifies the annotation of a release."""
    return wording.plain(f"anomaly:{key}", LONGEST_TAG)
