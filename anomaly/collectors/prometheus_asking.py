"""Queries over the rows of a panel: cut into questions, which are asked side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from types import TracebackType
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from anomaly.collectors.lanes import Lanes
from anomaly.collectors.prometheus_http import Answer, Api, Budget, Question
from anomaly.collectors.prometheus_series import Merged, plan
from anomaly.panel import edges

POINTS = 10_000  # of a series in one request; Prometheus refuses more than 11,000
POINTS_OF_MANY = 1_000  # of each series where a query returns one per segment
SECOND = timedelta(seconds=1)
Query = Callable[[timedelta], str]  # as it is written for rows of a length


class Asking:
    """What one collection asks of a server: over the rows of `index`, within a budget, as many
    questions at once as there are lanes. An answer may hold `limit` series. Most rows are as long
    as the `usual` one."""

    def __init__(
        self,
        api: Api,
        lanes: Lanes,
        budget: Budget,
        index: pd.DatetimeIndex,
        step: timedelta,
        limit: int,
    ) -> None:
        self._api, self._lanes, self._budget, self._limit = api, lanes, budget, limit
        # when the rows start, and the last one ends: seconds since 1970
        self._seconds: NDArray[np.int64] = edges(index, step) // 1_000_000_000
        lengths = np.diff(self._seconds)
        changes = [0, *(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(lengths)]
        self._alike = [
            (begin, end, timedelta(seconds=int(lengths[begin]))) for begin, end in pairwise(changes)
        ]
        different, counts = np.unique(lengths, return_counts=True)
        self.usual = timedelta(seconds=int(different[counts.argmax()]))

    def queries(self, by: Sequence[str]) -> Queries:
        """The queries of one KPI."""
        return Queries(self, POINTS_OF_MANY if by else POINTS)

    def ask(self, query: Query, points: int) -> Asked:
        """Begins to ask a query, in questions of at most so many moments."""
        is_over = threading.Event()

        def answer(question: Question) -> Answer:
            if is_over.is_set():
                raise CancelledError
            try:
                return self._api.ask(question, self._budget)
            except BaseException:
                is_over.set()  # the later parts will not be needed
                raise

        parts = [
            Part(chunk, question, self._lanes.submit(partial(answer, question)))
            for chunk, question in self._questions(query, points)
        ]
        return Asked(parts, len(self._seconds) - 1, self._limit, is_over)

    def _questions(self, query: Query, points: int) -> Iterator[tuple[range, Question]]:
        for begin, end, length in self._alike:
            text = query(length)
            for chunk in plan(end - begin, points, begin):
                first, last = self._moment(chunk[0]), self._moment(chunk[-1])
                yield chunk, Question(text, first, last, length // SECOND)

    def _moment(self, row: int) -> datetime:
        """When a row ends."""
        return datetime.fromtimestamp(int(self._seconds[row + 1]), UTC)


class Queries:
    """The queries of one KPI; a context manager after whose end nothing more of them is asked."""

    def __init__(self, asking: Asking, points: int) -> None:
        self._asking, self._points = asking, points
        self._asked: dict[str, Asked] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for asked in self._asked.values():
            asked.is_over.set()

    def begin(self, query: Query) -> None:
        """Asks a query whose answer will be needed."""
        text = query(self._asking.usual)
        if text not in self._asked:
            self._asked[text] = self._asking.ask(query, self._points)

    def answer(self, query: Query) -> Merged:
        """The merged series of a query over all rows. Raises CollectError."""
        self.begin(query)
        return self._asked[query(self._asking.usual)].merged()


@dataclass(frozen=True, slots=True)
class Part:
    """The question about the rows `chunk`, and the answer to come."""

    chunk: range
    question: Question
    answer: Future[Answer]


@dataclass(frozen=True, slots=True)
class Asked:
    """A query that is under way; once it `is_over`, no further part of it is asked."""

    parts: Sequence[Part]
    rows: int
    limit: int
    is_over: threading.Event

    def merged(self) -> Merged:
        """The series of all answers; the first error in the order of the questions is raised."""
        merged = Merged(self.rows, self.limit)
        for part in self.parts:
            start_s, step_s = round(part.question.start.timestamp()), part.question.step_s
            merged.add(part.chunk, start_s, step_s, part.answer.result())
        return merged
