"""Queries over the rows of a panel: cut into questions, which are asked side by side."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
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

from anomaly.collectors import promql
from anomaly.collectors.answers import Answers, key_of
from anomaly.collectors.lanes import Lanes
from anomaly.collectors.prometheus_http import Answer, Api, Budget, Found, Question
from anomaly.collectors.prometheus_series import Merged, plan
from anomaly.collectors.stretch import Stretch, joined
from anomaly.errors import CollectError, RetryableCollectError
from anomaly.panel import edges
from anomaly.steps import CalendarStep

POINTS = 10_000  # of a series in one request; Prometheus refuses more than 11,000
POINTS_OF_MANY = 1_000  # of each series where a query returns one per segment
OVERLAP = 12  # rows that are known and asked again: the newest
SECOND = timedelta(seconds=1)
Query = Callable[[timedelta], str]  # as it is written for rows of a length

LOG = logging.getLogger(__name__)


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
        answers: Answers | None = None,
    ) -> None:
        self._api, self._lanes, self._budget, self.limit = api, lanes, budget, limit
        # when the rows start, and the last one ends: seconds since 1970
        self._seconds: NDArray[np.int64] = edges(index, step) // 1_000_000_000
        lengths = np.diff(self._seconds)
        changes = [0, *(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(lengths)]
        self._alike = [
            (begin, end, timedelta(seconds=int(lengths[begin]))) for begin, end in pairwise(changes)
        ]
        different, counts = np.unique(lengths, return_counts=True)
        self.usual = timedelta(seconds=int(different[counts.argmax()]))
        self.answers = None if isinstance(step, CalendarStep) else answers

    def queries(self, by: Sequence[str]) -> Queries:
        """The queries of one KPI."""
        return Queries(self, POINTS_OF_MANY if by else POINTS)

    def ask(self, query: Query, points: int) -> Asked | Recalled:
        """Begins to ask a query, in questions of at most so many moments: about all rows, or about
        those that are not known."""
        text = query(self.usual)
        if self.answers is None or promql.knows_its_range(text):
            return self._asked(self._questions(query, points), len(self._seconds) - 1)
        step_s = self.usual // SECOND
        first = int(self._seconds[1]) // step_s
        rows = range(first, first + len(self._seconds) - 1)
        reach = self.answers.reach(rows, self.usual)
        key = key_of(*self._api.identity, text, str(step_s))
        return Recalled(self, self.answers, key, rows, reach, partial(self._rows, text, points))

    def _rows(self, text: str, points: int, rows: range) -> Asked:
        """Begins to ask about rows that are as long as the usual one, numbered by their ends."""
        step_s = self.usual // SECOND
        questions = []
        for chunk in plan(len(rows), points):
            first, last = rows[chunk[0]] * step_s, rows[chunk[-1]] * step_s
            start, end = datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC)
            questions.append((chunk, Question(text, start, end, step_s)))
        return self._asked(questions, len(rows))

    def _asked(self, questions: Iterable[tuple[range, Question]], rows: int) -> Asked:
        is_over, found = threading.Event(), Found()

        def answer(question: Question) -> Answer:
            if is_over.is_set():
                raise CancelledError
            try:
                return self._api.ask(question, self._budget, found)
            except BaseException:
                is_over.set()  # the later parts will not be needed
                raise

        parts = [
            Part(chunk, question, self._lanes.submit(partial(answer, question)))
            for chunk, question in questions
        ]
        return Asked(parts, rows, self.limit, is_over)

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
        self._queries: dict[str, Asked | Recalled] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for each in self._queries.values():
            each.end()

    def begin(self, query: Query) -> None:
        """Asks a query whose answer will be needed."""
        text = query(self._asking.usual)
        if text not in self._queries:
            self._queries[text] = self._asking.ask(query, self._points)

    def answer(self, query: Query) -> Merged:
        """The merged series of a query over all rows. Raises CollectError."""
        self.begin(query)
        return self._queries[query(self._asking.usual)].merged()


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

    def end(self) -> None:
        """Lets no further part be asked."""
        self.is_over.set()


class Recalled:
    """A query of which a part may be known: the rest is under way, and so are some rows that show
    whether the source still says the same of its past."""

    def __init__(
        self,
        asking: Asking,
        answers: Answers,
        key: str,
        rows: range,
        reach: range,
        ask: Callable[[range], Asked],
    ) -> None:
        self._limit, self._answers, self._key, self._ask = asking.limit, answers, key, ask
        self._rows, self._reach = rows, reach
        self._past, self._is_checked = answers.known(key, reach)
        self._queries = {each: ask(each) for each in self._unknown() if each}

    def _unknown(self) -> Iterator[range]:
        """The rows to ask for."""
        past, reach = self._past, self._reach
        if past is None:
            yield reach
            return
        stop = min(past.rows.stop, reach.stop)
        again = 0 if self._is_checked else OVERLAP
        yield range(reach.start, past.rows.start)
        yield range(max(reach.start, past.rows.start, stop - again), reach.stop)

    def merged(self) -> Merged:
        """The series over the rows, as if all had been asked. Raises CollectError."""
        try:
            whole = self._whole()
        except RetryableCollectError:
            raise
        except CollectError:
            if self._reach == self._rows:
                raise
        else:
            return whole.within(self._rows).merged(self._limit)
        return self._anew(self._rows).merged(self._limit)  # other windows may ask for too much

    def _whole(self) -> Stretch:
        """What is known now."""
        past = self._past
        parts = [Stretch.of(rows.start, query.merged()) for rows, query in self._queries.items()]
        if past is not None and not all(past.agrees(part) for part in parts):
            LOG.info("the past of %s changed at the source; it is asked again", self._key[:8])
            self._answers.drop(self._key)
            past, parts = None, [self._anew(self._reach)]
        if past is not None and not parts:
            return past
        whole = joined(parts if past is None else [past, *parts])
        fresh = [] if past is None else _beside(whole.rows, past.rows)
        self._answers.keep(self._key, whole, fresh, anew=past is None)
        return whole

    def _anew(self, rows: range) -> Stretch:
        query = self._ask(rows)
        self._queries[rows] = query
        return Stretch.of(rows.start, query.merged())

    def end(self) -> None:
        """Lets nothing further be asked."""
        for query in self._queries.values():
            query.end()


def _beside(rows: range, middle: range) -> list[range]:
    """The rows before and after those that are known."""
    beside = [range(rows.start, middle.start), range(middle.stop, rows.stop)]
    return [each for each in beside if each]
