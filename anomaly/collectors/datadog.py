"""Metrics of Datadog, by its API for time series (`/api/v1/query`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import ClassVar
from urllib.parse import urlencode

from anomaly.collectors.http_series import HttpSeriesCollector, Span, TimedSeries
from anomaly.errors import CollectError
from anomaly.http.endpoint import Endpoint, checked_base

LISTING = "are DD_API_KEY and DD_APP_KEY right, of this site, and with metrics_read?"
KEYS = "are api_key and application_key right, of this site, and with timeseries_query?"


class DatadogCollector(HttpSeriesCollector):
    """Asks Datadog's API at `url`, which is that of your site, for metrics queries.

    `$step` is the seconds of a step, for `.rollup(sum, $step)`. A row is the interval that Datadog
    stamps by its start. Raises UsageError for settings that can't be used.
    """

    rows_at_once: ClassVar[int] = 1_000  # Datadog makes intervals longer beyond 1,500
    stepping: ClassVar[str] = "write .rollup(sum, $step), or avg for what is no count"

    def __init__(
        self,
        *,
        api_key: str,
        application_key: str,
        url: str = "https://api.datadoghq.com",
        timeout: timedelta = timedelta(seconds=30),
        budget: timedelta = timedelta(minutes=5),
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        checked_base(url)
        endpoint = Endpoint(url.rstrip("/"), secrets=(api_key, application_key), timeout=timeout)
        super().__init__(endpoint, budget=budget, sleep=sleep, monotonic=monotonic)
        self._keys = {"DD-API-KEY": api_key, "DD-APPLICATION-KEY": application_key}

    def active(self, tags: str, since: datetime, /) -> list[str]:
        """The names of the metrics that were sent since then, if they have these tags. Raises
        CollectError."""
        fields = {"from": int(since.timestamp())} | ({"tag_filter": tags} if tags else {})
        answer = self.ask(
            "GET",
            f"/api/v1/metrics?{urlencode(fields)}",
            headers={**self._keys, "Accept": "application/json"},
            hints={401: LISTING, 403: LISTING},
        )
        names = answer.get("metrics") if isinstance(answer, dict) else None
        if not isinstance(names, list):
            raise CollectError("unreadable: it lists no metrics; is the URL that of the API?")
        return [str(each) for each in names]

    def read(self, query: str, span: Span, _by: Sequence[str], /) -> list[TimedSeries]:
        """The series of a metrics query, by their tags."""
        begin, end = int(span.begin.timestamp()), int(span.end.timestamp())
        fields = urlencode({"from": begin, "to": end - 1, "query": query})
        answer = self.ask(
            "GET",
            f"/api/v1/query?{fields}",
            headers={**self._keys, "Accept": "application/json"},
            hints={401: KEYS, 403: KEYS},
        )
        if answer["status"] != "ok":
            reason = answer.get("error") or answer.get("message") or answer["status"]
            raise CollectError(f"bad query: Datadog says: {self.said(reason)}")
        series = []
        for each in answer["series"]:
            if (interval := each["interval"]) != span.step_s and len(each["pointlist"]) > 1:
                raise CollectError(
                    f"bad query: the answer has an interval of {interval:g} s, the step is "
                    f"{span.step_s} s; {self.stepping}"
                )
            tags = (str(tag).partition(":") for tag in each["tag_set"])
            points = [(moment / 1000, value) for moment, value in each["pointlist"]]
            series.append(TimedSeries({name: value for name, _, value in tags}, points))
        return series
