"""Series of Graphite, by its render API."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, ClassVar
from urllib.parse import urlencode

from anomaly.collectors.http_series import HttpSeriesCollector, Span, TimedSeries
from anomaly.collectors.sign_in import authorization
from anomaly.errors import CollectError
from anomaly.http.endpoint import Endpoint
from anomaly.timing.durations import duration_text

KEYS = "is bearer_token, or username and password, right?"
HINTS = {401: KEYS, 403: KEYS, 404: "is url the address before /render?"}
FORM = "application/x-www-form-urlencoded"
ALL_POINTS = 1_000_000  # Graphite itself has no limit, but systems with its API may have one
ENOUGH_TO_TELL = 24  # values: fewer may stand at even steps by chance
Point = tuple[float, float | None]


class GraphiteCollector(HttpSeriesCollector):
    """Asks the Graphite at `url` (without `/render`) for targets.

    `$step` is the length of a step, as in `summarize(…, "$step", "sum")`. The names in `by` are
    tags, or name the parts of each series' name, as `aliasByNode` makes them. Credentials are
    `bearer_token`, or `username` and `password`. Raises UsageError for settings that can't be used.
    """

    rows_at_once: ClassVar[int] = 1_000
    stepping: ClassVar[str] = 'write summarize(…, "$step", "sum"), or "avg" for what is no count'
    unit: ClassVar[str] = "s"

    def __init__(
        self,
        *,
        url: str,
        bearer_token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        timeout: timedelta = timedelta(seconds=30),
        budget: timedelta = timedelta(minutes=5),
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._headers = authorization(url, bearer_token, username, password)
        secrets = (bearer_token or "", password or "", *self._headers.values())
        super().__init__(
            Endpoint(url.rstrip("/"), secrets=secrets, timeout=timeout),
            budget=budget,
            sleep=sleep,
            monotonic=monotonic,
        )

    def read(self, query: str, span: Span, by: Sequence[str], /) -> list[TimedSeries]:
        """The series of a target, by their names and tags."""
        answer = self.render([query], span.begin, span.end, maxDataPoints=ALL_POINTS)
        is_tagged = any(name in (each.get("tags") or {}) for each in answer for name in by)
        series = []
        for each in answer:
            points = [(moment, value) for value, moment in each["datapoints"]]
            self._check_interval(points, span)
            series.append(TimedSeries(_labels(each, () if is_tagged else by), points))
        return series

    def render(
        self, targets: Sequence[str], begin: datetime, end: datetime, /, **more: object
    ) -> list[Any]:
        """The series of targets from one time until before another. Raises CollectError."""
        fields = {
            "target": targets,
            "from": int(begin.timestamp()) - 1,  # the value at `from` is left out
            "until": int(end.timestamp()) - 1,
            **more,
            "format": "json",
        }
        answer = self._asked("/render", fields)
        if not isinstance(answer, list):
            raise TypeError("no list of series")
        return answer

    def paths(self, patterns: Sequence[str], /) -> list[str]:
        """The paths of metrics in the tree that match. Raises CollectError."""
        fields = {"query": patterns, "leavesOnly": 1}
        return [str(each) for each in self._asked("/metrics/expand", fields)["results"]]

    def _asked(self, path: str, fields: Mapping[str, object]) -> Any:
        return self.ask(
            "POST",
            path,
            urlencode(fields, doseq=True).encode(),
            {**self._headers, "Accept": "application/json", "Content-Type": FORM},
            hints=HINTS,
        )

    def _check_interval(self, points: Sequence[Point], span: Span) -> None:
        """Raises CollectError for values at other intervals than the steps: of another resolution,
        or summed up from a coarser one."""
        moments = [moment for moment, value in points if value is not None]
        if not moments:
            return
        intervals = (later - earlier for (earlier, _), (later, _) in pairwise(points))
        interval = min(intervals, default=span.step_s)
        if interval != span.step_s:
            raise CollectError(
                f"bad query: the answer has an interval of {interval:g} s, the step is "
                f"{span.step_s} s; {self.stepping}"
            )
        apart = math.gcd(*(int(later - earlier) for earlier, later in pairwise(moments)))
        if len(moments) >= ENOUGH_TO_TELL and apart > span.step_s:
            raise CollectError(
                f"bad query: from {span.begin:%Y-%m-%d %H:%M} UTC there is a value only every "
                f"{duration_text(timedelta(seconds=apart))}: Graphite keeps no finer ones of that "
                "age, or is sent none; use a longer step, or a shorter history"
            )


def _labels(series: Mapping[str, Any], by: Sequence[str]) -> dict[str, str]:
    """Tags and name of a series, the parts of its name under the names of `by` if there are as
    many."""
    target = str(series["target"])
    parts = [target] if len(by) == 1 else target.split(".")
    pairs = zip(by, parts, strict=True) if len(by) == len(parts) else ()
    return {**(series.get("tags") or {}), "target": target, **dict(pairs)}
