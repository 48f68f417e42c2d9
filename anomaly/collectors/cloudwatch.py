"""Metrics of Amazon CloudWatch, by GetMetricData."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any, ClassVar

from anomaly.collectors.http_series import HttpSeriesCollector, Span, TimedSeries
from anomaly.collectors.sign_in import AwsSignature, signed_headers
from anomaly.errors import CollectError, RetryableCollectError, UsageError
from anomaly.http.endpoint import Endpoint, checked_base
from anomaly.timing.durations import duration_text

TARGET = "GraniteServiceVersion20100801.GetMetricData"
LIST = "GraniteServiceVersion20100801.ListMetrics"
JSON = "application/x-amz-json-1.0"
REGION = re.compile(r"[a-z]{2,}(-[a-z0-9]+)+")
MINUTE, SHORT = timedelta(minutes=1), frozenset({1, 5, 10, 20, 30})  # seconds of other periods
MOST_PAGES = 100
REFUSED = (
    "is the query a metric maths expression, or a JSON list of MetricDataQueries, and may the "
    "keys do cloudwatch:GetMetricData?"
)
HINTS = MappingProxyType({400: REFUSED, 403: REFUSED})
LISTING = "may the keys do cloudwatch:ListMetrics?"
Metric = Mapping[str, str]  # the dimensions of a metric
LISTS = ("[", "{")


class CloudWatchCollector(HttpSeriesCollector):
    """Asks Amazon CloudWatch for metric maths, signed by the keys that the AWS command line uses.

    A query is an expression, or a JSON list of MetricDataQueries as the AWS command line takes it.
    `$step` is the seconds of a step, for its period. With one name in `by`, the label of a series
    is its value. `url` is by default that of the region. Raises UsageError for settings that can't
    be used.
    """

    rows_at_once: ClassVar[int] = 10_000
    stepping: ClassVar[str] = "let the period be $step"
    throttled: ClassVar[re.Pattern[str] | None] = re.compile(r"Throttl|LimitExceeded")

    def __init__(
        self,
        *,
        region: str,
        profile: str | None = None,
        url: str | None = None,
        timeout: timedelta = timedelta(seconds=30),
        budget: timedelta = timedelta(minutes=5),
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not REGION.fullmatch(region):
            raise UsageError("region is not one of AWS; write one like eu-central-1")
        china = ".cn" if region.startswith("cn-") else ""
        self._url = url or f"https://monitoring.{region}.amazonaws.com{china}"
        if checked_base(self._url).username is not None:
            raise UsageError("url holds a user; requests are signed by AWS keys")
        super().__init__(
            Endpoint(self._url, timeout=timeout),
            budget=budget,
            sleep=sleep,
            monotonic=monotonic,
        )
        self._signature = AwsSignature("monitoring", region, profile)

    def check(self, step: timedelta, /) -> None:
        """Raises UsageError for a step that is no period of CloudWatch."""
        super().check(step)
        if step % MINUTE and step.total_seconds() not in SHORT:
            raise UsageError(
                f"step is {duration_text(step)}; CloudWatch has periods of 1, 5, 10, 20 and 30 s "
                "and of whole minutes"
            )

    def read(self, query: str, span: Span, by: Sequence[str], /) -> list[TimedSeries]:
        """The series of an expression, page by page."""
        if len(by) > 1:
            raise CollectError(
                "bad query: by has several names; a series of CloudWatch has one label, so give "
                "one name"
            )
        request = {
            "MetricDataQueries": _queries(query, span.step_s),
            "StartTime": int(span.begin.timestamp()),
            "EndTime": int(span.end.timestamp()),
            "ScanBy": "TimestampAscending",
        }
        by_query: dict[tuple[str, str], list[tuple[float, float | None]]] = {}
        complete: dict[tuple[str, str], str] = {}
        for page in self._pages(request):
            for each in page["MetricDataResults"]:
                key = (str(each["Id"]), str(each.get("Label", "")))
                complete[key] = str(each["StatusCode"])
                points = zip(each["Timestamps"], each["Values"], strict=True)
                by_query.setdefault(key, []).extend(points)
        for (_, label), status in complete.items():
            if status != "Complete":
                raise _incomplete(self.said(status), self.said(label))
        return [
            TimedSeries({by[0]: label} if by else {"Id": name, "Label": label}, points)
            for (name, label), points in by_query.items()
        ]

    def listed(self, namespace: str, name: str, /) -> list[Metric]:
        """The dimensions of each metric of that name that had data in the last three hours. Raises
        CollectError."""
        request = {"Namespace": namespace, "MetricName": name, "RecentlyActive": "PT3H"}
        try:
            return [
                {str(each["Name"]): str(each["Value"]) for each in metric["Dimensions"]}
                for page in self._pages(request, LIST, {400: LISTING, 403: LISTING})
                for metric in page["Metrics"]
            ]
        except (KeyError, TypeError, AttributeError):
            raise CollectError("unreadable: CloudWatch lists no metrics in its answer") from None

    def _pages(
        self,
        request: Mapping[str, Any],
        target: str = TARGET,
        hints: Mapping[int, str] = HINTS,
    ) -> Iterator[Mapping[str, Any]]:
        more: dict[str, str] = {}
        for _ in range(MOST_PAGES):
            body = json.dumps({**request, **more}).encode()
            page = self.ask("POST", "/", body, self._headers(body, target), hints=hints)
            yield page
            if not page.get("NextToken"):
                return
            more = {"NextToken": str(page["NextToken"])}
        raise CollectError(f"limit: more than {MOST_PAGES} pages; sum series in the query")

    def _headers(self, body: bytes, target: str) -> dict[str, str]:
        return signed_headers(
            self._signature,
            f"{self._url.rstrip('/')}/",
            body,
            {"Content-Type": JSON, "X-Amz-Target": target},
            self._endpoint.keep_secret,
        )


def _queries(query: str, step_s: int) -> list[dict[str, Any]]:
    """What GetMetricData is asked. Raises CollectError."""
    if not query.lstrip().startswith(LISTS):
        return [{"Id": "kpi", "Expression": query.strip(), "Period": step_s}]
    try:
        queries = json.loads(query)
    except (ValueError, RecursionError) as error:
        raise CollectError(f"bad query: it begins like JSON, but is none: {error}") from None
    queries = queries if isinstance(queries, list) else [queries]
    if not all(isinstance(each, dict) for each in queries):
        raise CollectError("bad query: a list of MetricDataQueries holds objects alone")
    return queries


def _incomplete(status: str, label: str) -> CollectError:
    if status == "InternalError":
        return RetryableCollectError(f"unavailable: CloudWatch had an error of its own: {label}")
    if status == "Forbidden":
        return CollectError(f"auth: CloudWatch refuses {label}; allow cloudwatch:GetMetricData")
    return CollectError(f"partial: CloudWatch answered {status} for {label}")
