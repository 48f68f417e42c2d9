"""Messages for Slack, by an incoming webhook, in blocks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

from anomaly.contracts import Action, Message, Receipt
from anomaly.reporting.notice import Severity, notice
from anomaly.sinks.hook import Hook
from anomaly.wording import shortened

LONGEST_HEADER, LONGEST_TEXT = 150, 3000  # characters that Slack accepts
MARKS = {
    Severity.CRITICAL: ":rotating_light:",
    Severity.ERROR: ":red_circle:",
    Severity.WARNING: ":warning:",
    Severity.INFO: ":hourglass_flowing_sand:",
}


class SlackSink:
    """Posts to the incoming webhook `url`. Foreign text can't mention anybody or become a link."""

    outside: ClassVar[frozenset[str]] = frozenset({"clock"})

    def __init__(
        self,
        *,
        url: str,
        timeout: timedelta = timedelta(seconds=10),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._endpoint = Hook(url, timeout=timeout, clock=clock)

    def send(self, message: Message, /) -> Receipt:
        body = json.dumps(blocks(message)).encode("ascii")
        self._endpoint.ask("POST", body, {"Content-Type": "application/json"})
        return Receipt("slack", delivered=True, detail=f"{self._endpoint.where} accepted it")


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
    if words.facts:
        out.append(
            {
                "type": "section",
                "text": _text("\n".join(f"• {fact}" for fact in words.facts), LONGEST_TEXT),
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
