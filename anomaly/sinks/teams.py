"""Messages for Microsoft Teams: an Adaptive Card, posted to the webhook of a workflow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

from anomaly.contracts import Message, Receipt
from anomaly.reporting.notice import Severity, notice
from anomaly.sinks.hook import Hook
from anomaly.wording import shortened

LONGEST_TEXT = 400  # characters; Teams takes a card of 28 KB
COLOURS = {
    Severity.CRITICAL: "Attention",
    Severity.ERROR: "Attention",
    Severity.WARNING: "Warning",
    Severity.INFO: "Default",
}


class TeamsSink:
    """Posts a card to the webhook `url` of a Teams workflow. Foreign text can't mention anybody or
    become a link."""

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
        body = json.dumps(card(message)).encode("ascii")
        self._endpoint.ask("POST", body, {"Content-Type": "application/json"})
        return Receipt("teams", delivered=True, detail=f"{self._endpoint.where} accepted it")


def card(message: Message) -> dict[str, Any]:
    """The message with an Adaptive Card: the title, the facts, what to do, and a button to the
    report. All text is in text runs, where Teams knows no markup."""
    words = notice(message)
    colour = "Good" if message.is_good_news else COLOURS[words.severity]
    title = {"size": "Medium", "weight": "Bolder", "color": colour}
    content: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": [
            _text(words.title, **title),
            *(_text(f"• {fact}") for fact in words.facts),
            _text(words.todo, isSubtle=True),
        ],
    }
    if words.link:
        content["actions"] = [{"type": "Action.OpenUrl", "title": "Report", "url": words.link}]
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": content,
    }
    return {"type": "message", "attachments": [attachment]}


def _text(text: str, **form: Any) -> dict[str, Any]:
    run = {"type": "TextRun", "text": shortened(text, LONGEST_TEXT), **form}
    return {"type": "RichTextBlock", "inlines": [run]}
