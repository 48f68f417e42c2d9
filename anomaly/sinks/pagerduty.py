"""Incidents in PagerDuty (Events API v2), one for each release: triggered when a KPI fails,
resolved when that is over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

from anomaly.contracts import Action, Message, Receipt
from anomaly.errors import UsageError
from anomaly.model import ReleaseVerdict
from anomaly.reporting.notice import LONGEST_NAME, notice
from anomaly.sinks.hook import Hook
from anomaly.wording import CUT_MARK, plain

LONGEST_SUMMARY = 1024  # characters that PagerDuty takes
PUBLIC = "https://events.pagerduty.com/v2/enqueue"


class PagerdutySink:
    """Sends events to `url` with the `routing_key` of an integration of the type Events API v2.
    Raises UsageError for an empty key.

    The release is the incident's `dedup_key`: what is told twice is one incident.
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
                "routing_key is empty; it is that of an integration of the type Events API v2"
            )
        self._routing_key = routing_key
        self._endpoint = Hook(url, secrets=(routing_key,), timeout=timeout, clock=clock)

    def send(self, message: Message, /) -> Receipt:
        passed = message.action is Action.INFORM and message.report.verdict is ReleaseVerdict.PASS
        events = {
            Action.FIRE: ("trigger",),
            Action.RESOLVE: ("resolve",),
            Action.TRIAL: ("trigger", "resolve"),
            Action.INFORM: ("resolve",) if passed else (),
        }[message.action]
        for event in events:
            self._endpoint.ask(
                "POST",
                json.dumps(self._event(message, event)).encode("ascii"),
                {"Content-Type": "application/json"},
            )
        detail = (
            f"{self._endpoint.where} took it: {', '.join(events)}"
            if events
            else "nobody is paged for that"
        )
        return Receipt("pagerduty", delivered=True, detail=detail)

    def _event(self, message: Message, event: str) -> dict[str, Any]:
        key = f"{message.key}-trial" if message.action is Action.TRIAL else message.key
        named = {"routing_key": self._routing_key, "event_action": event, "dedup_key": key}
        if event == "resolve":
            return named
        said, release = notice(message), message.report.release
        service, environment = (
            plain(release.service, LONGEST_NAME),
            plain(release.environment, LONGEST_NAME),
        )
        summary = ": ".join([said.title, *said.facts[:1]])
        return named | {
            "client": "anomaly",
            **(
                {"client_url": said.link, "links": [{"href": said.link, "text": "report"}]}
                if said.link
                else {}
            ),
            "payload": {
                "summary": summary
                if len(summary) <= LONGEST_SUMMARY
                else summary[: LONGEST_SUMMARY - 1] + CUT_MARK,
                "source": service or "anomaly",
                "severity": str(said.severity),
                "component": service,
                "group": environment,
                "class": "release",
                "custom_details": {
                    "version": plain(release.version, LONGEST_NAME),
                    "facts": list(said.facts),
                    "todo": said.todo,
                },
            },
        }
