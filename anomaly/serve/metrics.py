"""What Prometheus scrapes: the requests, the steps, and where the newest release of each service
stands, under the names that the sinks use."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anomaly import wording
from anomaly.checklist.checklist import Checklist
from anomaly.history.records import State
from anomaly.history.store import Store
from anomaly.model import ReleaseVerdict
from anomaly.serve.served import Served

LONGEST_VALUE = 200  # characters of a label
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)  # bounds of buckets
OTHER = "other"  # a path that is not served


class Metrics:
    """The metrics of one service."""

    def __init__(self, store: Store, served: Served) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Releases(store, served))
        self._requests = Counter(
            "anomaly_http_requests",
            "Requests by path and status.",
            ["path", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "anomaly_http_request_seconds",
            "Time until a request was answered.",
            ["path"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._steps = Counter(
            "anomaly_steps",
            "Steps of judging by exit code.",
            ["service", "environment", "exit_code"],
            registry=self._registry,
        )
        self._step_seconds = Gauge(
            "anomaly_step_seconds",
            "How long the last step took.",
            ["service", "environment"],
            registry=self._registry,
        )
        self._step_time = Gauge(
            "anomaly_step_timestamp_seconds",
            "When the last step ended, in seconds since 1970.",
            ["service", "environment"],
            registry=self._registry,
        )

    def stepped(self, checklist: Checklist, code: int, seconds: float, now: datetime) -> None:
        """Count a step."""
        where = (checklist.service, checklist.environment)
        self._steps.labels(*where, str(code)).inc()
        self._step_seconds.labels(*where).set(seconds)
        self._step_time.labels(*where).set(now.timestamp())

    def requested(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        """All of it in Prometheus' text format. Raises StoreError."""
        return generate_latest(self._registry)


class Counted:
    """Counts what it hands on."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            path: Any = getattr(scope.get("route"), "path", OTHER)
            self._metrics.requested(path, status, time.perf_counter() - began)


class _Releases(Collector):
    """The newest release of each service that is served, read when asked."""

    def __init__(self, store: Store, served: Served) -> None:
        self._store = store
        self._served = served

    def collect(self) -> Iterable[GaugeMetricFamily]:
        labels = ["service", "environment", "version"]
        verdicts = GaugeMetricFamily(
            "anomaly_release_verdict",
            "Verdict of the release: 1 for the current verdict, 0 for the others.",
            labels=[*labels, "verdict"],
        )
        final = GaugeMetricFamily(
            "anomaly_release_final", "Whether the watch is over: 1 or 0.", labels=labels
        )
        starts = GaugeMetricFamily(
            "anomaly_release_started_timestamp_seconds",
            "Start of the release, in seconds since 1970.",
            labels=labels,
        )
        for checklist in self._served.checklists:
            standing = self._store.standing(checklist.service, checklist.environment)
            if standing is None:
                continue
            release = standing.record.release
            where = [
                wording.plain(each, LONGEST_VALUE)
                for each in (release.service, release.environment, release.version)
            ]
            for verdict in ReleaseVerdict if standing.look else ():
                is_it = standing.look is not None and standing.look.verdict is verdict
                verdicts.add_metric([*where, str(verdict)], float(is_it))
            final.add_metric(where, float(standing.record.state is not State.WATCHED))
            starts.add_metric(where, release.started_at.timestamp())
        return [verdicts, final, starts]
