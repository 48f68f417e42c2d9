"""Series of InfluxDB, by InfluxQL over `/query`, which all of its versions answer."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from anomaly.collectors.http_series import HttpSeriesCollector, Span, TimedSeries
from anomaly.collectors.http_source import LONGEST_SAID
from anomaly.collectors.sign_in import authorization
from anomaly.errors import CollectError
from anomaly.http.endpoint import Endpoint
from anomaly.panel import segment_labels
from anomaly.wording import plain

KEYS = "is token, or username and password, right, and may it read the database?"
BOUND = re.compile(r"\$(?:(start|end)\b|\{(start|end)\})")
QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
WRITES = re.compile(r";|\binto\b", re.IGNORECASE)
MEASUREMENT = "measurement"


class InfluxdbCollector(HttpSeriesCollector):
    """Asks the InfluxDB at `url` for InfluxQL queries: version 1, 2 or 3.

    `$start` and `$end` in a query are the bounds of the time asked for, `$step` is the length of
    a step, as in `GROUP BY time($step)`. `database` is that of version 1 and 3, and a bucket of
    version 2. Credentials are `token`, or `username` and `password`. Raises UsageError for settings
    that can't be used.
    """

    rows_at_once: ClassVar[int] = 2_000
    stepping: ClassVar[str] = "write GROUP BY time($step)"
    unit: ClassVar[str] = "s"

    def __init__(
        self,
        *,
        url: str,
        database: str,
        token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        timeout: timedelta = timedelta(seconds=30),
        budget: timedelta = timedelta(minutes=5),
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._headers = authorization(
            url, token, username, password, scheme="Token", setting="token"
        )
        self._database = database
        secrets = (token or "", password or "", *self._headers.values())
        super().__init__(
            Endpoint(url.rstrip("/"), secrets=secrets, timeout=timeout),
            budget=budget,
            sleep=sleep,
            monotonic=monotonic,
        )

    def read(self, query: str, span: Span, _by: Sequence[str], /) -> list[TimedSeries]:
        """The series of a SELECT, by their tags."""
        by_labels: dict[tuple[tuple[str, str], ...], list[tuple[float, float | None]]] = {}
        for series in self.asked(_bounded(query, span)):
            by_labels.setdefault(_labels(series), []).extend(_points(series))
        return [TimedSeries(dict(labels), points) for labels, points in by_labels.items()]

    def _answer(
        self, query: str, by: Sequence[str], index: pd.DatetimeIndex, step: timedelta
    ) -> dict[str, NDArray[np.float64]]:
        segments = super()._answer(query, by, index, step)
        for name in by if segments else ():  # a tag that there is not is answered, and empty
            if not any(segment_labels(segment)[name] for segment in segments):
                raise CollectError(
                    f"bad query: no point has the tag {plain(name, 40)}, which GROUP BY and by name"
                )
        return segments

    def asked(self, query: str, database: str = "", /) -> Iterator[Any]:
        """The series that InfluxDB answers to one statement, in chunks. Raises CollectError."""
        fields = {
            "db": database or self._database,
            "q": query,
            "epoch": "s",
            "chunked": "true",  # whole answers are cut off at max-row-limit
        }
        documents = self.ask(
            "GET",
            f"/query?{urlencode(fields)}",
            headers={**self._headers, "Accept": "application/json"},
            hints={401: KEYS, 403: KEYS, 404: "is url the address before /query?"},
            decode=_documents,
        )
        for document in documents:
            for result in [document] if "error" in document else document["results"]:
                if "error" in result:
                    raise CollectError(f"bad query: InfluxDB says: {self.said(result['error'])}")
                yield from result.get("series", ())


def _bounded(query: str, span: Span) -> str:
    """The query over a span. Raises CollectError for one that is no SELECT of whole steps: even in
    a GET request, version 1 carries out a DROP."""
    bare = QUOTED.sub("", query).strip().removesuffix(";")
    if "|>" in bare:
        raise CollectError("bad query: it is Flux; write it in InfluxQL, which all versions answer")
    if bare[:6].casefold() != "select" or WRITES.search(bare):
        raise CollectError("bad query: write one SELECT without INTO; nothing else is sent")
    if {name or braced for name, braced in BOUND.findall(bare)} != {"start", "end"}:
        raise CollectError("bad query: write WHERE time >= $start AND time < $end")
    if f"time({span.step_s}s" not in "".join(bare.casefold().split()):
        raise CollectError(f"bad query: {InfluxdbCollector.stepping}")
    bounds = {"start": span.begin, "end": span.end}
    return BOUND.sub(lambda match: f"'{bounds[match[1] or match[2]]:%Y-%m-%dT%H:%M:%SZ}'", query)


def _documents(body: bytes) -> list[Any]:
    """The parts of an answer, a line each. Raises ValueError if one is no JSON, CollectError if the
    last one is missing."""
    documents = [json.loads(line) for line in body.splitlines() if line.strip()]
    if not documents:
        raise ValueError("empty")
    for result in documents[-1].get("results", ()):
        if any(each.get("partial") for each in (result, *result.get("series", ()))):
            raise CollectError("partial: InfluxDB cut the answer off; group by fewer tags")
    return documents


def _labels(series: Any) -> tuple[tuple[str, str], ...]:
    tags = series.get("tags") or {}
    return (
        (MEASUREMENT, str(series["name"])),
        *((name, str(value or "")) for name, value in sorted(tags.items())),
    )


def _points(series: Any) -> list[tuple[float, float | None]]:
    """The points of a series. Raises CollectError where they have no value, or several."""
    time_column, *columns = series["columns"]
    if time_column != "time" or len(columns) != 1:
        raise CollectError(
            f"bad query: it returns {plain(', '.join(series['columns']), LONGEST_SAID)}; select "
            "one value, and tags by GROUP BY"
        )
    points = [(moment, value) for moment, value in series["values"]]
    if any(isinstance(value, str) for _, value in points):
        raise CollectError(
            f"bad query: {plain(columns[0], 40)} is text; select a field with numbers, or count it"
        )
    return points
