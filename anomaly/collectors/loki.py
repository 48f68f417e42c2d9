"""Counts of log lines in Grafana Loki, by range queries in LogQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from anomaly.collectors.http_series import HttpSeriesCollector, Span, TimedSeries
from anomaly.collectors.sign_in import authorization
from anomaly.errors import CollectError
from anomaly.http.endpoint import Endpoint, checked_headers

KEYS = "are bearer_token, username and password, and X-Scope-OrgID among headers right?"


class LokiCollector(HttpSeriesCollector):
    """Asks the Loki at `url` (without `/loki/api`) for metric queries, such as counts of lines.

    `$step` is the length of a step, as in `[$step]`; a row holds the value at the end of its step.
    Credentials are `bearer_token`, or `username` and `password`. `headers` are sent with every
    request, such as a tenant's `X-Scope-OrgID`. Raises UsageError for settings that can't be used.
    """

    rows_at_once: ClassVar[int] = 5_000  # Loki refuses more than 11,000
    stepping: ClassVar[str] = "write a metric query, such as sum(count_over_time({…}[$step]))"
    unit: ClassVar[str] = "s"

    def __init__(
        self,
        *,
        url: str,
        bearer_token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: timedelta = timedelta(seconds=30),
        budget: timedelta = timedelta(minutes=5),
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        sign_in = authorization(url, bearer_token, username, password)
        self._headers = checked_headers(headers or {}, ("Accept", *sign_in)) | sign_in
        secrets = (bearer_token or "", password or "", *self._headers.values())
        super().__init__(
            Endpoint(url.rstrip("/"), secrets=secrets, timeout=timeout),
            budget=budget,
            sleep=sleep,
            monotonic=monotonic,
        )

    def read(self, query: str, span: Span, _by: Sequence[str], /) -> list[TimedSeries]:
        """The series of a metric query, by their labels."""
        begin, end = int(span.begin.timestamp()) + span.step_s, int(span.end.timestamp())
        fields = {"query": query, "start": begin, "end": end, "step": span.step_s}
        answer = self.asked("query_range", fields)
        if (kind := answer["resultType"]) != "matrix":
            raise CollectError(
                f"bad query: it returns {self.said(kind)}, no numbers; {self.stepping}"
            )
        return [
            TimedSeries(
                {str(name): str(value) for name, value in each["metric"].items()},
                [(moment - span.step_s, float(value)) for moment, value in each["values"]],
            )
            for each in answer["result"]
        ]

    def asked(self, path: str, fields: Mapping[str, object], /) -> Any:
        """The data that Loki answers at a path of its API. Raises CollectError."""
        answer = self.ask(
            "GET",
            f"/loki/api/v1/{path}?{urlencode(fields)}",
            headers={**self._headers, "Accept": "application/json"},
            hints={401: KEYS, 403: KEYS},
        )
        if answer["status"] != "success":
            reason = self.said(answer.get("error", answer["status"]))
            raise CollectError(f"bad query: Loki says: {reason}")
        return answer.get("data", {})  # left out where there is none
