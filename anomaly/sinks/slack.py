"""Messages for Slack in blocks: by an incoming webhook, or as an app with a thread per release.

| request of an app | what for |
|---|---|
| POST chat.update | let the first message about the release show how it stands now |
| POST chat.postMessage | the first message, or an answer in its thread |
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any, ClassVar

from anomaly.contracts import Action, Message, Receipt
from anomaly.errors import RetryableSinkError, SinkError, UsageError
from anomaly.http.endpoint import checked_base
from anomaly.reporting.notice import Severity, notice
from anomaly.sinks.hook import Hook
from anomaly.wording import plain, shortened

API = "https://slack.com/api"
THREAD = re.compile(r"([A-Z0-9]{1,40}):(\d{1,20}\.\d{1,20})")  # a channel and its first message
GONE = frozenset({"message_not_found", "channel_not_found"})  # a new thread begins
FIXED = frozenset({"cant_update_message", "edit_window_closed"})  # its first message stays as it is
PASSING = frozenset(
    {
        "rate_limited",
        "ratelimited",
        "fatal_error",
        "internal_error",
        "request_timeout",
        "service_unavailable",
        "team_added_to_org",
    }
)
HINTS = {
    "not_authed": "the token is wrong",
    "invalid_auth": "the token is wrong",
    "account_inactive": "the app was removed, or its token revoked",
    "token_revoked": "the app was removed, or its token revoked",
    "missing_scope": "the app needs the scope chat:write",
    "channel_not_found": "there is no such channel, or it is private and the app is no member",
    "not_in_channel": "invite the app into the channel",
    "is_archived": "the channel is archived",
}
LONGEST_HEADER, LONGEST_TEXT = 150, 3000  # characters that Slack accepts
MARKS = {
    Severity.CRITICAL: ":rotating_light:",
    Severity.ERROR: ":red_circle:",
    Severity.WARNING: ":warning:",
    Severity.INFO: ":hourglass_flowing_sand:",
}


class SlackSink:
    """Posts to the incoming webhook `url`, or to a `channel` as the app whose `token` is given.

    As an app, it answers later news about a release in the thread of its first message, and keeps
    that one up to date. Foreign text can't mention anybody or become a link. Raises UsageError for
    settings that don't belong together.
    """

    outside: ClassVar[frozenset[str]] = frozenset({"clock"})

    def __init__(
        self,
        *,
        url: str | None = None,
        token: str | None = None,
        channel: str | None = None,
        api: str = API,
        timeout: timedelta = timedelta(seconds=10),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._channel = channel or ""
        self._headers = {"Content-Type": "application/json; charset=utf-8"}
        if url is not None and token is None and channel is None:
            self._endpoint = Hook(url, timeout=timeout, clock=clock)
            return
        if url is not None or not token or not channel:
            raise UsageError("give url, or token and channel")
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise UsageError("token has a space or a non-ASCII character")
        if checked_base(api, "api").username is not None:
            raise UsageError("api holds a user; a token is what Slack is asked with")
        self._endpoint = Hook(
            api.rstrip("/"), secrets={token}, timeout=timeout, clock=clock, setting="api"
        )
        self._headers["Authorization"] = f"Bearer {token}"

    def send(self, message: Message, /) -> Receipt:
        thread = ""
        if self._channel:
            thread = self._thread(message)
        else:
            self._endpoint.ask("POST", json.dumps(blocks(message)).encode("ascii"), self._headers)
        return Receipt(
            "slack", delivered=True, detail=f"{self._endpoint.where} accepted it", thread=thread
        )

    def _thread(self, message: Message) -> str:
        """Posts a message as an app; the thread that it is in.

        A failure is shown in the channel, too. The first message is changed before the answer is
        posted, so that no answer is there twice if another attempt is needed.
        """
        words = blocks(message)
        if first := THREAD.fullmatch(message.thread):
            channel, moment = first.groups()
            changed = self._call(
                "chat.update", {"channel": channel, "ts": moment, **words}, GONE | FIXED
            )
            if changed.get("error") not in GONE:
                is_failure = message.action is Action.FIRE
                where = {"channel": channel, "thread_ts": moment, "reply_broadcast": is_failure}
                self._call("chat.postMessage", {**where, **words})
                return message.thread
        answer = self._call("chat.postMessage", {"channel": self._channel, **words})
        return f"{answer.get('channel')}:{answer.get('ts')}"

    def _call(
        self, method: str, body: dict[str, Any], accepted: Collection[str] = ()
    ) -> dict[str, Any]:
        """The answer of a method of the API, which may be one of the accepted errors."""
        content = json.dumps(body).encode("ascii")
        reply = self._endpoint.ask("POST", content, self._headers, path=f"/{method}", read=True)
        try:
            answer = json.loads(reply.body)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
            raise SinkError(
                f"{self._endpoint.where} answered, but not as the API of Slack does; is api its "
                f"address, like {API}?"
            )
        error = str(answer.get("error"))
        if answer["ok"] or error in accepted:
            return answer
        hint = f"; {HINTS[error]}" if error in HINTS else ""
        problem = f"{self._endpoint.where} refused {method}: {plain(error, 80)}{hint}"
        raise (RetryableSinkError if error in PASSING else SinkError)(problem)


def blocks(message: Message) -> dict[str, Any]:
    """The message in Slack's blocks: a header, the facts, what to do, and a button to the report.

    All blocks are plain text, where Slack ignores mentions, links and markup; the text of the
    notification is escaped.
    """
    words = notice(message)
    out: list[dict[str, Any]] = [
        {
            "type": "header",
            "text": _text(
                f"{_mark(message, words.severity)} {words.title}", LONGEST_HEADER, emoji=True
            ),
        }
    ]
    if words.body:
        out.append(
            {
                "type": "section",
                "text": _text("\n".join(f"• {fact}" for fact in words.body), LONGEST_TEXT),
            }
        )
    out.append({"type": "context", "elements": [_text(words.todo, LONGEST_TEXT)]})
    if words.link:
        out.append(
            {
                "type": "actions",
                "elements": [
                    {"type": "button", "text": _text("Report", LONGEST_HEADER), "url": words.link}
                ],
            }
        )
    return {
        "text": shortened(words.title, LONGEST_HEADER)
        .replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;"),
        "blocks": out,
    }


def _mark(message: Message, severity: Severity) -> str:
    if message.action is Action.TRIAL:
        return ":test_tube:"
    if message.is_good_news:
        return ":white_check_mark:"
    return MARKS[severity]


def _text(text: str, most: int, *, emoji: bool = False) -> dict[str, Any]:
    return {"type": "plain_text", "text": shortened(text, most), "emoji": emoji}
