"""Incidents in PagerDuty (Events API v2), one per release: triggered when a KPI fails, resolved
afterwards."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

from anomaly.contracts import Action, Message, Receipt
from anomaly.errors import UsageError
from anomaly.reporting.notice import LONGEST_NAME, notice
from anomaly.sinks.hook import Hook
from anomaly.wording import plain, shortened

LONGEST_SUMMARY = 1024  # characters that PagerDuty takes
PUBLIC = "https://events.pagerduty.com/v2/enqueue"


class PagerdutySink:
    """Sends events to `url` with the `routing_key` of an integration of the type Events API v2.
    Raises UsageError for an empty key.

    The release is the incident's `dedup_key`: repeated messages are one incident.
    """

    outside: ClassVar[frozenset[str]] = frozenset({"clock"})
    dedupes: ClassVar[bool] = True

    def __init__(
        self,
        *,
        routing_key: str,
        url: str = PUBLIC,
        timeout: timedelta = timedelta(seconds=10),
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not routing_key.strip():
            raise UsageError(
                "routing_key is empty; use the key of an integration of the type Events API v2"
            )
        self._routing_key = routing_key
        self._endpoint = Hook(url, secrets=(routing_key,), timeout=timeout, clock=clock)

    def send(self, message: Message, /) -> Receipt:
        events = {
            Action.FIRE: ("trigger",),
            Action.RESOLVE: ("resolve",),
            Action.TRIAL: ("trigger", "resolve"),
            Action.INFORM: ("resolve",) if message.is_good_news else (),
        }[message.action]
        for event in events:
            self._endpoint.ask(
                "POST",
                json.dumps(self._event(message, event)).encode("ascii"),
                {"Content-Type": "application/json"},
            )
        detail = (
            f"{self._endpoint.where} accepted it: {', '.join(events)}"
            if events
            else "no page needed"
        )
        return Receipt("pagerduty", delivered=True, detail=detail)

    def _event(self, message: Message, event: str) -> dict[str, Any]:
        key = f"{message.key}-trial" if message.action is Action.TRIAL else message.key
        event_data = {"routing_key": self._routing_key, "event_action": event, "dedup_key": key}
        if event == "resolve":
            return event_data
        words, release = notice(message), message.report.release
        service, environment = (
            plain(release.service, LONGEST_NAME),
            plain(release.environment, LONGEST_NAME),
        )
        summary = ": ".join([words.title, *words.facts[:1]])
        return event_data | {
            "client": "anomaly",
            **(
                {"client_url": words.link, "links": [{"href": words.link, "text": "report"}]}
                if words.link
                else {}
            ),
            "payload": {
                "summary": shortened(summary, LONGEST_SUMMARY),
                "source": service or "anomaly",
                "severity": str(words.severity),
                "component": service,
                "group": environment,
                "class": "release",
                "custom_details": {
                    "version": plain(release.version, LONGEST_NAME),
                    "facts": list(words.body),
                    "todo": words.todo,
                },
            },
        }
