"""Bitbucket Cloud: a comment on the pull request of a release, which later looks edit.

| request | what for |
|---|---|
| GET …/pullrequests/{id}/comments | is there one with our mark? |
| PUT …/comments/{id} | edit it; Bitbucket refuses that for a comment of somebody else |
| POST …/comments | write one, if there is none that is ours |
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from anomaly import wording
from anomaly.contracts import Message, Receipt
from anomaly.errors import RetryableSinkError, SinkError, UsageError
from anomaly.http.endpoint import checked_base
from anomaly.reporting.notice import notice
from anomaly.sinks.hook import Hook

API = "https://api.bitbucket.org/2.0"
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
NUMBER = re.compile(r"[1-9][0-9]{0,9}")
COMMENTS_A_PAGE, MOST_PAGES = 50, 50
LONGEST_LINE, LONGEST_KEY = 1000, 60
HINTS = {
    401: "the token is wrong or has expired",
    403: "the token needs the permissions to read the repository and to write pull requests",
    404: "the repository or pull request does not exist, or the token may not see it",
}


class BitbucketSink:
    """A comment on a pull request of Bitbucket Cloud, one per release, which later looks edit.
    Missing settings come from the variables of Bitbucket Pipelines. Raises UsageError for invalid
    settings."""

    every_look: ClassVar[bool] = True
    dedupes: ClassVar[bool] = True
    outside: ClassVar[frozenset[str]] = frozenset({"environ", "clock"})

    def __init__(
        self,
        *,
        token: str,
        repository: str | None = None,
        pull_request: int | str | None = None,
        api: str = API,
        timeout: timedelta = timedelta(seconds=10),
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._repository = _checked(
            "repository",
            environ.get("BITBUCKET_REPO_FULL_NAME", "") if repository is None else repository,
            REPOSITORY,
            "workspace/name",
        )
        self._pull_request = _checked(
            "pull_request",
            environ.get("BITBUCKET_PR_ID", "") if pull_request is None else str(pull_request),
            NUMBER,
            "the number of a pull request",
        )
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise UsageError("token is empty, or has a space or a non-ASCII character")
        if checked_base(api, "api").username is not None:
            raise UsageError("api holds a user; a token is what Bitbucket is asked with")
        self._api = Hook(
            api.rstrip("/"), secrets={token}, timeout=timeout, clock=clock, setting="api"
        )
        self._headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "Authorization": f"Bearer {token}",
        }

    def send(self, message: Message, /) -> Receipt:
        settings = {"repository": self._repository, "pull_request": self._pull_request}
        if lacks := [name for name, value in settings.items() if not value]:
            raise SinkError(
                f"{' and '.join(lacks)} not set, and this is no pipeline of a pull request; a "
                "comment needs one"
            )
        body = json.dumps({"content": {"raw": comment(message)}}).encode("ascii")
        if not any(self._edited(number, body) for number in self._marked(mark(message.key))):
            self._ask("POST", self._comments, body)
        return Receipt("bitbucket", delivered=True, detail=f"{self._api.where} accepted it")

    @property
    def _comments(self) -> str:
        return f"/repositories/{self._repository}/pullrequests/{self._pull_request}/comments"

    def _marked(self, text: str) -> list[int]:
        """The numbers of the comments that hold our mark of a release."""
        try:
            return [
                int(each["id"])
                for each in self._all()
                if text in str(each["content"]["raw"]).splitlines() and not each.get("deleted")
            ]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise SinkError(
                f"{self._api.where} answered, but not as the API of Bitbucket Cloud does; is api "
                f"its address, like {API}?"
            ) from None

    def _all(self) -> Iterator[Mapping[str, Any]]:
        for number in range(1, MOST_PAGES + 1):
            fields = f"pagelen={COMMENTS_A_PAGE}&page={number}"
            page = json.loads(self._ask("GET", f"{self._comments}?{fields}"))
            yield from page["values"]
            if not page.get("next"):
                return

    def _edited(self, number: int, body: bytes) -> bool:
        """Whether a comment could be edited, and so is ours and still there."""
        try:
            self._ask("PUT", f"{self._comments}/{number}", body)
        except RetryableSinkError:
            raise
        except SinkError:
            return False
        return True

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        return self._api.ask(
            method, body, self._headers, path=path, hints=HINTS, read=body is None
        ).body


def mark(key: str) -> str:
    """The line of a comment that says which release it is about."""
    return f"anomaly:{re.sub(r'[^A-Za-z0-9]', '_', key[:LONGEST_KEY])}"


def comment(message: Message) -> str:
    """The text of a comment: a block of code, in which no text from outside is markup or a mention,
    and below it the address of the report."""
    words = notice(message)
    lines = [words.title, *(f"• {fact}" for fact in words.facts), f"→ {words.todo}"]
    block = [*(wording.shortened(line, LONGEST_LINE) for line in lines), mark(message.key)]
    fenced = "\n".join(["```text", *block, "```"])
    return f"{fenced}\n\n{words.link}" if words.link else fenced


def _checked(name: str, text: str, form: re.Pattern[str], example: str) -> str:
    if text and not form.fullmatch(text):
        raise UsageError(f"{name} is {wording.plain(text, 60)!r}; give {example}")
    return text
