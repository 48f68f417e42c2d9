"""GitHub: a commit status, a comment on the pull request, the summary of a job, and annotations.

| part | where | again under the same key |
|---|---|---|
| `status` | POST /repos/{owner}/{repo}/statuses/{sha} | the newest status of a context counts |
| `comment` | POST or PATCH, /repos/{owner}/{repo}/issues/… | our marked comment is edited |
| `summary` | the file at $GITHUB_STEP_SUMMARY | our section is replaced |
| `annotations` | `::error title=…::…` on standard output | only news, never twice in a row |
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar, TextIO

from anomaly import wording
from anomaly.checklist.settings import SettingError, one_of
from anomaly.contracts import Action, Message, NotifyReason, Receipt
from anomaly.errors import RetryableSinkError, SinkError, UsageError
from anomaly.http.endpoint import checked_url
from anomaly.model import ReleaseVerdict
from anomaly.reporting.message import NEWS
from anomaly.reporting.notice import notice
from anomaly.sinks.github_job import Job, commands, marker, replace_section
from anomaly.sinks.hook import Hook
from anomaly.sinks.markdown import markdown

API = "https://api.github.com"
STATUS, COMMENT, SUMMARY, ANNOTATIONS = PARTS = ("status", "comment", "summary", "annotations")
REPOSITORY = re.compile(r"(?!\.)[A-Za-z0-9_.-]+/(?!\.{1,2}$)[A-Za-z0-9_.-]+")
SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
NUMBER = re.compile(r"[1-9][0-9]{0,9}")
LONGEST_DESCRIPTION = 140  # characters
LONGEST_CONTEXT = 255
# a page of the longest comments can still be read; no pull request has more pages
COMMENTS_A_PAGE = 50
MOST_PAGES = 50
SECONDARY_LIMIT_S = 60.0  # to wait where a rate limit is met that names no time
# other messages only repeat the current state; without a history (UNKNOWN) each is news
ANNOTATED = NEWS - {NotifyReason.SILENCED} | {NotifyReason.UNKNOWN}
TRUSTED = frozenset(
    {"OWNER", "MEMBER", "COLLABORATOR"}
)  # a stranger's comment that holds our marker is not ours
HINTS = {
    401: "the token is wrong or has expired",
    403: (
        "the token lacks a permission: statuses: write for the status, pull-requests: write for "
        "the comment"
    ),
    404: "the repository, commit or pull request does not exist, or the token may not see it",
    410: "the pull request is gone",
}
STATES = {
    ReleaseVerdict.PASS: "success",
    ReleaseVerdict.FAIL: "failure",
    ReleaseVerdict.HOLD: "failure",
    ReleaseVerdict.ERROR: "error",
}


class GithubSink:
    """Reports the state of a release to GitHub: `what` of status, comment, summary and annotations,
    by default all that are possible.

    Missing settings come from the variables of GitHub Actions. `token` needs the permissions
    `statuses: write` and `pull-requests: write`; `context` names the status, by default `anomaly/`
    and the environment. Raises UsageError for invalid settings, and for a part of `what` that lacks
    a setting.
    """

    every_look: ClassVar[bool] = True
    dedupes: ClassVar[bool] = True
    outside: ClassVar[frozenset[str]] = frozenset({"environ", "stream", "clock"})

    def __init__(
        self,
        *,
        token: str | None = None,
        repository: str | None = None,
        sha: str | None = None,
        pull_request: int | str | None = None,
        context: str | None = None,
        api: str | None = None,
        what: tuple[str, ...] | None = None,
        timeout: timedelta = timedelta(seconds=10),
        environ: Mapping[str, str] = os.environ,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._job = job = Job.of(environ)
        self._repository = _checked(
            "repository", repository or job.repository, REPOSITORY, "owner/name"
        )
        self._sha = _checked("sha", sha or job.sha, SHA, "all 40 digits of a commit")
        self._pull_request = _checked(
            "pull_request",
            job.pull_request if pull_request is None else str(pull_request),
            NUMBER,
            "the number of a pull request",
        )
        self._context = context
        self._stream = stream
        self._annotated: tuple[str, ...] = ()
        self._headers = {
            "Accept": "application/vnd.github+json",
            "Content-Type": "application/json",
            "X-GitHub-Api-Version": "2022-11-28",
            "Authorization": f"Bearer {token}",
        }
        self._token = token
        self._api = _endpoint(api or job.api or API, token or "", timeout, clock)
        self._what = self._possible() if what is None else self._wanted(what)

    def send(self, message: Message, /) -> Receipt:
        if not self._what:
            raise SinkError(
                "nothing to write to: this is not a job of GitHub Actions, and token, repository "
                "and sha are not all set"
            )
        write = {
            STATUS: self._set_status,
            COMMENT: self._comment,
            SUMMARY: self._summarise,
            ANNOTATIONS: self._annotate,
        }
        failures = []
        for part in self._what:  # a failing part must not hide the others; a repeat is harmless
            try:
                write[part](message)
            except SinkError as error:
                failures.append((part, error))
        if failures:
            raise _joined(failures)
        return Receipt("github", delivered=True, detail=", ".join(self._what))

    def _lacks(self, part: str) -> str:
        """The settings that a part lacks; empty if it can be written."""
        needs: dict[str, dict[str, object]] = {
            STATUS: {"token": self._token, "repository": self._repository, "sha": self._sha},
            COMMENT: {
                "token": self._token,
                "repository": self._repository,
                "pull_request": self._pull_request,
            },
            SUMMARY: {"the variable GITHUB_STEP_SUMMARY": self._job.summary},
            ANNOTATIONS: {},
        }
        return ", ".join(name for name, value in needs[part].items() if not value)

    def _possible(self) -> tuple[str, ...]:
        return tuple(
            part
            for part in PARTS
            if not self._lacks(part) and (part != ANNOTATIONS or self._job.runs)
        )

    def _wanted(self, what: tuple[str, ...]) -> tuple[str, ...]:
        for part in what:
            try:
                one_of(part, PARTS)
            except SettingError as error:
                raise UsageError(f"what contains {wording.plain(part, 40)!r}; {error}") from None
            if lacks := self._lacks(part):
                raise UsageError(f"what contains {part}, which needs {lacks}")
        return tuple(part for part in PARTS if part in what)

    def _set_status(self, message: Message) -> None:
        summary = notice(message)
        body = {
            "state": _state(message),
            "context": self._context_of(message),
            "description": wording.plain(
                ": ".join((summary.title, *summary.facts[:1])), LONGEST_DESCRIPTION
            ),
        }
        if summary.link:
            body["target_url"] = summary.link
        self._ask("POST", f"/statuses/{self._sha}", body)

    def _context_of(self, message: Message) -> str:
        if message.action is Action.TRIAL:
            return "anomaly/trial"  # the real status stays unchanged
        return wording.plain(
            self._context or f"anomaly/{message.report.release.environment}".rstrip("/"),
            LONGEST_CONTEXT,
        )

    def _comment(self, message: Message) -> None:
        body = {"body": f"{marker(message.key)}\n{markdown(message)}"}
        ours = next((each["id"] for each in self._comments() if _is_ours(each, message.key)), None)
        if ours is None:
            self._ask("POST", f"/issues/{self._pull_request}/comments", body)
        else:
            self._ask("PATCH", f"/issues/comments/{ours}", body)

    def _comments(self) -> Iterator[Mapping[str, Any]]:
        for page in range(1, MOST_PAGES + 1):
            comments = self._ask(
                "GET",
                f"/issues/{self._pull_request}/comments?per_page={COMMENTS_A_PAGE}&page={page}",
            )
            yield from comments
            if len(comments) < COMMENTS_A_PAGE:
                return

    def _ask(
        self, method: str, path: str, body: Mapping[str, str] | None = None
    ) -> list[Mapping[str, Any]]:
        """The list in the answer; empty for a request with a body."""
        content = None if body is None else json.dumps(body).encode("ascii")
        try:
            answer = self._api.ask(
                method,
                content,
                self._headers,
                path=f"/repos/{self._repository}{path}",
                hints=HINTS,
                read=body is None,
            )
        except RetryableSinkError:
            raise
        except SinkError as error:
            if "rate limit" in str(error):
                raise RetryableSinkError(str(error), retry_after_s=SECONDARY_LIMIT_S) from None
            raise
        if body is not None:
            return []
        try:
            comments = json.loads(answer.body)
        except (ValueError, RecursionError):
            comments = None
        if not isinstance(comments, list) or not all(
            isinstance(each, dict) and isinstance(each.get("id"), int) for each in comments
        ):
            raise SinkError(
                f"{self._api.where} answered {answer.status}, but not with a list of comments; is "
                "api the address of a GitHub API?"
            )
        return comments

    def _summarise(self, message: Message) -> None:
        assert self._job.summary is not None  # noqa: S101  the part needs it
        replace_section(self._job.summary, message.key, markdown(message))

    def _annotate(self, message: Message) -> None:
        lines = tuple(commands(message)) if message.why in ANNOTATED else ()
        if not lines or lines == self._annotated:
            return
        try:
            stream = self._stream or sys.stdout
            stream.write("".join(f"{line}\n" for line in lines))
            stream.flush()
        except (OSError, ValueError) as error:  # ValueError: closed, or the text can't be encoded
            raise SinkError(f"standard output: {error}") from error
        self._annotated = lines


def _checked(name: str, value: str, form: re.Pattern[str], example: str) -> str:
    if value and not form.fullmatch(value):
        raise UsageError(f"{name} is {wording.plain(value, 60)!r}; give {example}")
    return value


def _endpoint(url: str, token: str, timeout: timedelta, clock: Callable[[], float]) -> Hook:
    target = checked_url(url, "api")
    if target.query or target.fragment or target.username:
        raise UsageError("api must be only an address, like https://github.example.com/api/v3")
    if not re.fullmatch(r"[\x21-\x7e]*", token):
        raise UsageError("token has a space or a non-ASCII character")
    return Hook(url.rstrip("/"), secrets={token}, timeout=timeout, clock=clock, setting="api")


def _state(message: Message) -> str:
    """The state of a commit status; a release that could not be judged is an error, because missing
    evidence is not a success."""
    report = message.report
    if message.action is Action.TRIAL:
        return "success"
    if report.verdict is ReleaseVerdict.INCONCLUSIVE:
        return "error" if report.final else "pending"
    return STATES[report.verdict]


def _is_ours(comment: Mapping[str, Any], key: str) -> bool:
    user = comment.get("user")
    is_trusted = comment.get("author_association") in TRUSTED or (
        isinstance(user, dict) and user.get("type") == "Bot"
    )
    return is_trusted and str(comment.get("body") or "").startswith(marker(key))


def _joined(failures: list[tuple[str, SinkError]]) -> SinkError:
    """One error for the parts that failed; retryable if any of them is."""
    text = "; ".join(f"{part}: {error}" for part, error in failures)
    waits = [
        error.retry_after_s or 0.0 for _, error in failures if isinstance(error, RetryableSinkError)
    ]
    return RetryableSinkError(text, retry_after_s=max(waits) or None) if waits else SinkError(text)
