"""Alerts for Prometheus's Alertmanager (API v2), one per release: it fires while a KPI fails and
resolves afterwards."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from anomaly.contracts import Action, Message, Receipt
from anomaly.errors import UsageError
from anomaly.history.records import SHORT
from anomaly.http.endpoint import checked_base, checked_headers
from anomaly.reporting.notice import notice
from anomaly.sinks.hook import Hook
from anomaly.wording import plain, stamp

LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
OWN = ("alertname", "service", "environment", "version", "release", "trial")
ALERTNAME = "ReleaseRegression"
LONGEST_VALUE = 200  # characters of a label
TRIAL_LASTS = timedelta(minutes=5)  # longer than the group_wait of most routes


class AlertmanagerSink:
    """Posts to `url` (`/api/v2/alerts` is appended), with extra `labels` such as
    `{severity: page}`.

    An alert ends by itself after `lasts`, unless a look renews it: make it longer than the time
    between looks. `headers` may carry credentials. Raises UsageError for invalid labels or headers.
    """

    outside: ClassVar[frozenset[str]] = frozenset({"clock"})
    every_look: ClassVar[bool] = True
    dedupes: ClassVar[bool] = True

    def __init__(
        self,
        *,
        url: str,
        labels: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        lasts: timedelta = timedelta(hours=1),
        timeout: timedelta = timedelta(seconds=10),
        clock: Callable[[], float] = time.time,
    ) -> None:
        checked_base(url)
        self._headers = checked_headers(headers or {}, ())
        self._endpoint = Hook(
            url.rstrip("/"), secrets=self._headers.values(), timeout=timeout, clock=clock
        )
        self._labels = dict(labels or {})
        self._lasts = lasts
        self._clock = clock
        for name, value in self._labels.items():
            if not value:
                raise UsageError(f"labels: {name[:60]!r} is empty; leave it out")
            if not LABEL.fullmatch(name) or name in OWN:
                problem = (
                    "is set by the sink itself"
                    if name in OWN
                    else "is not a label name; use letters, digits and _"
                )
                raise UsageError(f"labels: {name[:60]!r} {problem}")
        if lasts <= timedelta(0):
            raise UsageError(f"lasts is {lasts}; it must be longer than zero")

    def send(self, message: Message, /) -> Receipt:
        over = message.is_good_news
        if message.action is Action.INFORM and not over:
            return Receipt("alertmanager", delivered=True, detail="nothing to fire")
        body = json.dumps([self._alert(message, over=over)]).encode("ascii")
        self._endpoint.ask(
            "POST",
            body,
            {**self._headers, "Content-Type": "application/json"},
            path="/api/v2/alerts",
        )
        return Receipt(
            "alertmanager",
            delivered=True,
            detail=f"{self._endpoint.where} accepted it as {'resolved' if over else 'firing'}",
        )

    def _alert(self, message: Message, *, over: bool) -> dict[str, Any]:
        summary, release = notice(message), message.report.release
        now = datetime.fromtimestamp(self._clock(), UTC)
        began = min(
            (
                finding.onset
                for finding in message.report.findings
                if finding.fails and finding.onset
            ),
            default=release.started_at,
        )
        trial = message.action is Action.TRIAL
        lasts = timedelta(0) if over else TRIAL_LASTS if trial else self._lasts
        labels = {
            "alertname": ALERTNAME,
            "service": plain(release.service, LONGEST_VALUE),
            "environment": plain(release.environment, LONGEST_VALUE),
            "version": plain(release.version, LONGEST_VALUE),
            "release": message.key[:SHORT],
            "trial": "true" if trial else "",
            **self._labels,
        }
        annotations = {
            "summary": summary.title,
            "description": "\n".join(summary.body),
            "todo": summary.todo,
            "severity": str(summary.severity),
        }
        return {
            "labels": {name: value for name, value in labels.items() if value},
            "annotations": annotations,
            "startsAt": stamp(min(began, now)),
            "endsAt": stamp(now + lasts),
            **({"generatorURL": summary.link} if summary.link else {}),
        }
