"""GitLab: a note on the merge request of a release, which later looks edit.

| request | what for |
|---|---|
| GET /projects/{project}/merge_requests/{iid}/notes | is there one with our mark? |
| GET /user | is it ours? Only asked if there is one |
| POST or PUT …/notes | write it |
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from anomaly import wording
from anomaly.contracts import Message, Receipt
from anomaly.errors import SinkError, UsageError
from anomaly.http.endpoint import checked_base
from anomaly.sinks.github_job import marker
from anomaly.sinks.hook import Hook
from anomaly.sinks.markdown import BREAK, markdown

API = "https://gitlab.com/api/v4"
PROJECT = re.compile(r"[1-9][0-9]{0,11}|[\w.-]+(/[\w.-]+)+")
NUMBER = re.compile(r"[1-9][0-9]{0,9}")
NOTES_A_PAGE, MOST_PAGES = 50, 50  # of the longest notes, a page can still be read
QUICK_ACTION = re.compile(r"^(\s*)/", re.MULTILINE)
REFERENCE = re.compile(r"(?:(?<=[\s(|>])|^)(!|%|~|&amp;|&#36;)(?=[\w\"\[])", re.MULTILINE)
HINTS = {
    401: "the token is wrong or has expired",
    403: "the token needs the scope api, and the role Reporter in the project",
    404: "the project or merge request does not exist, or the token may not see it",
}


class GitlabSink:
    """A note on a merge request, one per release, which later looks edit. Missing settings come
    from the variables of GitLab CI. Raises UsageError for invalid settings."""

    every_look: ClassVar[bool] = True
    dedupes: ClassVar[bool] = True
    outside: ClassVar[frozenset[str]] = frozenset({"environ", "clock"})

    def __init__(
        self,
        *,
        token: str,
        project: int | str | None = None,
        merge_request: int | str | None = None,
        api: str | None = None,
        timeout: timedelta = timedelta(seconds=10),
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._project = _checked(
            "project", project, environ.get("CI_PROJECT_ID", ""), PROJECT, "12 or group/name"
        )
        self._merge_request = _checked(
            "merge_request",
            merge_request,
            environ.get("CI_MERGE_REQUEST_IID", ""),
            NUMBER,
            "the number of a merge request",
        )
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise UsageError("token is empty, or has a space or a non-ASCII character")
        address = api or environ.get("CI_API_V4_URL") or API
        checked_base(address, "api")
        self._api = Hook(
            address.rstrip("/"), secrets={token}, timeout=timeout, clock=clock, setting="api"
        )
        self._headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "PRIVATE-TOKEN": token,
        }

    def send(self, message: Message, /) -> Receipt:
        lacks = [
            name
            for name, value in (
                ("project", self._project),
                ("merge_request", self._merge_request),
            )
            if not value
        ]
        if lacks:
            raise SinkError(
                f"{' and '.join(lacks)} not set, and this is no pipeline of a merge request; a "
                "note needs one"
            )
        number = self._ours(message.key)
        body = json.dumps({"body": note(message)}).encode("ascii")
        if number is None:
            self._ask("POST", self._notes, body)
        else:
            self._ask("PUT", f"{self._notes}/{number}", body)
        return Receipt("gitlab", delivered=True, detail=f"{self._api.where} accepted it")

    @property
    def _notes(self) -> str:
        project = quote(self._project, safe="")
        return f"/projects/{project}/merge_requests/{self._merge_request}/notes"

    def _ours(self, key: str) -> int | None:
        """The number of our note on the release; None if there is none. A note of somebody else
        that holds our mark is never edited."""
        marked = [each for each in self._all() if str(each.get("body")).startswith(marker(key))]
        if not marked:
            return None
        try:
            me = json.loads(self._ask("GET", "/user"))["id"]
            return next((int(each["id"]) for each in marked if each["author"]["id"] == me), None)
        except (ValueError, LookupError, TypeError, RecursionError):
            raise self._strange() from None

    def _all(self) -> Iterator[Mapping[str, Any]]:
        for page in range(1, MOST_PAGES + 1):
            query = f"per_page={NOTES_A_PAGE}&page={page}&sort=asc&order_by=created_at"
            try:
                notes = json.loads(self._ask("GET", f"{self._notes}?{query}"))
            except (ValueError, RecursionError):
                notes = None
            if not isinstance(notes, list) or not all(isinstance(each, dict) for each in notes):
                raise self._strange()
            yield from notes
            if len(notes) < NOTES_A_PAGE:
                return

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        return self._api.ask(
            method, body, self._headers, path=path, hints=HINTS, read=body is None
        ).body

    def _strange(self) -> SinkError:
        return SinkError(
            f"{self._api.where} answered, but not as the API of GitLab does; is api its address, "
            "like https://gitlab.example.com/api/v4?"
        )


def note(message: Message) -> str:
    """The text of a note. No name from outside becomes a quick action (`/close`) or a reference of
    GitLab (`!12`)."""
    text = REFERENCE.sub(lambda match: f"{match[1]}{BREAK}", markdown(message))
    return f"{marker(message.key)}\n" + QUICK_ACTION.sub(rf"\1{BREAK}/", text)


def _checked(
    name: str, value: int | str | None, otherwise: str, form: re.Pattern[str], example: str
) -> str:
    text = otherwise if value is None else str(value)
    if text and not form.fullmatch(text):
        raise UsageError(f"{name} is {wording.plain(text, 60)!r}; give {example}")
    return text
