"""Releases from Prometheus: a version that was not there before, in a label or as the value of a
query."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Unpack

import numpy as np

from anomaly.collectors.prometheus_access import Access, AccessSettings
from anomaly.collectors.prometheus_http import Api, Budget, Outside, Question
from anomaly.collectors.prometheus_series import Merged, plan
from anomaly.errors import CollectError, UsageError
from anomaly.model import Release, Window
from anomaly.releases.changes import Instance, releases
from anomaly.timing.durations import duration_text
from anomaly.wording import plain

POINTS = 10_000  # of a series in one request; Prometheus refuses more than 11,000
LOST = timedelta(minutes=5)  # an instance that is missing for longer is gone
SHORTEST_STEP, SECOND = timedelta(seconds=10), timedelta(seconds=1)
MOST_SERIES, MOST_VERSIONS = 1000, 100
MOST_BYTES = 33_554_432  # of an answer


class PrometheusReleases:
    """Asks the Prometheus API under `url` (without `/api/v1`) for `query` every `step`, all in
    `timeout`.

    `label` is the one that holds the version, and the value says how many instances have it:
    `build_info` is 1 for each, and where it is 0 there are none. Without `label` the value itself
    is the version. Credentials are as for the source `prometheus`. Raises UsageError for settings
    that can't be used.
    """

    outside: ClassVar[frozenset[str]] = frozenset({"monotonic", "now", "sleep", "chance"})

    def __init__(
        self,
        *,
        query: str,
        label: str = "",
        step: timedelta = timedelta(minutes=1),
        timeout: timedelta = timedelta(seconds=30),
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
        **settings: Unpack[AccessSettings],
    ) -> None:
        if not query.strip():
            raise UsageError("query is empty; write one like build_info{service='shop'}")
        if timeout <= timedelta(0):
            raise UsageError(f"timeout is {timeout}; it must be longer than zero")
        if step < SHORTEST_STEP or step % SECOND:
            raise UsageError(
                f"step is {duration_text(step)}; use whole seconds, at least "
                f"{duration_text(SHORTEST_STEP)}"
            )
        access = Access(**settings)
        outside = Outside(monotonic=monotonic, now=now, sleep=sleep, chance=chance)
        self._query, self._label, self._step = query, label, step
        self._timeout_s, self._monotonic = timeout.total_seconds(), monotonic
        self._api = Api(
            access, timeout_s=self._timeout_s, max_bytes=MOST_BYTES, connections=1, outside=outside
        )
        self._where = access.where

    def __repr__(self) -> str:
        return f"PrometheusReleases({self._where})"

    def discover(self, window: Window, /) -> Sequence[Release]:
        """The changes of version in the window, each at the first step of the grid at which it was
        there. Raises CollectError."""
        patience = max(1, LOST // self._step)
        step_s = self._step // SECOND
        first = int(window.start.timestamp() // step_s) - patience - 1
        moments = [
            datetime.fromtimestamp(row * step_s, UTC)
            for row in range(first, int(window.end.timestamp() // step_s) + 1)
        ]
        instances = list(self._instances(self._asked(moments)))
        if len({instance.version for instance in instances}) > MOST_VERSIONS:
            hint = (
                "it does not hold versions"
                if self._label
                else "name the label that holds the version"
            )
            raise CollectError(
                f"limit: {self._where}: more than {MOST_VERSIONS} versions; {hint}: {self._query}"
            )
        return [
            each
            for each in releases(moments, instances, patience)
            if window.start <= each.started_at < window.end
        ]

    def _asked(self, moments: Sequence[datetime]) -> Merged:
        budget = Budget(self._monotonic() + self._timeout_s, self._monotonic)
        answer = Merged(len(moments), MOST_SERIES)
        for chunk in plan(len(moments), POINTS):
            question = Question(
                self._query, moments[chunk[0]], moments[chunk[-1]], self._step // SECOND
            )
            answer.add(
                chunk,
                round(question.start.timestamp()),
                question.step_s,
                self._api.ask(question, budget),
            )
        if not answer.series:
            raise CollectError(f"bad query: {self._where}: no series matched: {self._query}")
        return answer

    def _instances(self, answer: Merged) -> Iterator[Instance]:
        """Which series had which version; raises CollectError if none has the label."""
        if self._label and not any(dict(labels).get(self._label) for labels in answer.series):
            there = (
                ", ".join(
                    sorted({plain(name, 60) for labels in answer.series for name, _ in labels})
                )
                or "no labels"
            )
            raise CollectError(
                f"bad query: {self._where}: no series has the label {self._label}, only {there}: "
                f"{self._query}"
            )
        for labels, series in answer.series.items():
            counts = np.where(np.isfinite(series.values), series.values, 0.0)
            version = dict(labels).get(self._label, "")
            if version:
                yield Instance(version, np.maximum(counts, 0.0))
            elif not self._label:
                for value in np.unique(series.values[np.isfinite(series.values)])[
                    : MOST_VERSIONS + 1
                ]:
                    yield Instance(
                        _written(float(value)), (series.values == value).astype(np.float64)
                    )


def _written(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
