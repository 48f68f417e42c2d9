"""What sources share that answer a query with series in JSON over HTTP.

A source of this kind is a class with `read`: it asks one query over whole steps, and returns the
series of the answer. Everything else is here: the threads, the parts in which a long window is
asked, what is repeated, the rows of the panel, and the errors.
"""

from __future__ import annotations

import json
import logging
import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from anomaly.collectors.lanes import Lanes
from anomaly.contracts import Collected, Provenance
from anomaly.errors import (
    CollectError,
    RequestError,
    RetryableCollectError,
    RetryableRequestError,
    UsageError,
)
from anomaly.http.endpoint import LONGEST_BODY, Answer, Endpoint
from anomaly.model import Kpi, Window
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE, assemble, grid, segment_text
from anomaly.steps import CalendarStep
from anomaly.timing.durations import duration_text
from anomaly.wording import plain

LOG = logging.getLogger(__name__)
PLACEHOLDER = re.compile(r"\$(?:step\b|\{step\})")
AT_ONCE, MOST_SERIES = 4, 1000
ATTEMPTS = 4
LONGEST_SAID = 200  # characters of what a server says
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
GRACE_S = 1.0  # for a thread to report that its time is over
SECOND = timedelta(seconds=1)
OTHER_FORM = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
Sides = Sequence[Mapping[str, NDArray[np.float64]]]  # of a KPI: by segment


@dataclass(frozen=True, slots=True)
class Span:
    """Whole steps from `begin` to `end` (UTC), each `step_s` seconds long."""

    begin: datetime
    end: datetime
    step_s: int


@dataclass(frozen=True, slots=True)
class TimedSeries:
    """A series as answered: its labels, and its points (seconds since 1970 at the start of a step,
    value; None is missing)."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float | None]]


class HttpSeriesCollector(ABC):
    """The shared part of a source; `rows_at_once` are asked in one request, and `stepping` says how
    a query gets the steps of the checklist."""

    outside: ClassVar[frozenset[str]] = frozenset({"sleep", "monotonic"})
    rows_at_once: ClassVar[int]
    stepping: ClassVar[str]
    unit: ClassVar[str] = ""  # behind the seconds of a step in a query
    throttled: ClassVar[re.Pattern[str] | None] = None  # in an answer: it may pass

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        budget: timedelta,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if budget <= timedelta(0):
            raise UsageError(f"budget is {budget}; it must be longer than zero")
        self._endpoint, self._budget = endpoint, budget
        self._sleep, self._monotonic = sleep, monotonic
        self._ends = math.inf

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._endpoint.where})"

    @abstractmethod
    def read(self, query: str, span: Span, by: Sequence[str], /) -> list[TimedSeries]:
        """The series of a query over a span. Raises CollectError; a KeyError, TypeError, ValueError
        or AttributeError says that the answer has another shape."""

    def check(self, step: timedelta, /) -> None:
        """Raises UsageError for a step that the source does not have."""
        if isinstance(step, CalendarStep) or step < SECOND or step % SECOND:
            raise UsageError(
                f"step is {duration_text(step)}; this source has steps of whole seconds, minutes "
                "and hours, and no calendar days"
            )

    def collect(self, kpis: Sequence[Kpi], window: Window, step: timedelta, /) -> Collected:
        """The panel of `kpis` over the whole steps of `window`. Raises UsageError for a step that
        the source does not have."""
        self.check(step)
        index = grid(window, step)
        self._ends = self._monotonic() + self._budget.total_seconds()
        queries = [
            (text, tuple(kpi.by))
            for kpi in kpis
            for text in (kpi.query, kpi.denominator)
            if text is not None
        ]
        columns: dict[tuple[str, str, str], NDArray[np.float64]] = {}
        provenance, errors = dict[str, Provenance](), dict[str, CollectError]()
        with Lanes(AT_ONCE, "series") as lanes:
            answers = {
                each: lanes.submit(partial(self._answer, *each, index, step))
                for each in (dict.fromkeys(queries) if len(index) else ())
            }
            for kpi in kpis if len(index) else ():
                try:
                    sides, notes = self._sides(kpi, answers)
                except CollectError as error:  # one KPI must not hide the others
                    LOG.info("%s: %s: %s", self._endpoint.where, kpi.name, error)
                    errors[kpi.name] = error
                    continue
                columns |= _columns(kpi, sides, len(index))
                texts = [
                    self._resolved(text, step) for text in (kpi.query, kpi.denominator) if text
                ]
                under = texts[1] if kpi.denominator is not None else None
                provenance[kpi.name] = Provenance(texts[0], under, tuple(dict.fromkeys(notes)))
        return Collected(assemble(columns, index), provenance, errors)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        hints: Mapping[int, str] | None = None,
        decode: Callable[[bytes], Any] = json.loads,
        passing: Callable[[Any], str] = lambda _: "",
    ) -> Any:
        """The JSON of an answer, asked for again after what may pass: by its status, or because
        `passing` finds an error in it. `decode` raises ValueError for what is no JSON. Raises
        CollectError."""
        if self._monotonic() >= self._ends:
            raise RetryableCollectError(
                f"unavailable: {self._endpoint.where}: the time for this source is used up"
            )
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self._once(method, path, body, headers, hints)
                if len(answer.body) >= LONGEST_BODY:
                    raise CollectError(
                        f"limit: {self._endpoint.where} answered more than "
                        f"{LONGEST_BODY >> 20} MiB; ask for fewer series in the query"
                    )
                found = decode(answer.body)
                if not (said := passing(found)):
                    return found
                raise RetryableRequestError(said)  # noqa: TRY301  handled like its status
            except RetryableRequestError as error:
                wanted = error.retry_after_s
                pause = min(
                    FIRST_PAUSE_S * 2 ** (attempt - 1) if wanted is None else wanted,
                    LONGEST_PAUSE_S,
                )
                if attempt == ATTEMPTS or pause >= self._ends - self._monotonic():
                    raise RetryableCollectError(
                        f"unavailable: {error} (asked {attempt} times)", retry_after_s=wanted
                    ) from None
                LOG.info("%s; asking again in %.1f s", error, pause)
                self._sleep(pause)
            except RequestError as error:
                raise CollectError(str(error)) from None
            except (ValueError, RecursionError):
                raise CollectError(
                    f"unreadable: {self._endpoint.where} answered {len(answer.body):,} bytes that "
                    "are no JSON, or cut off; is url that of the API?"
                ) from None
        raise AssertionError("the last attempt returns or raises")

    def said(self, words: object) -> str:
        """What a server says, short and without the secrets that it may repeat."""
        return plain(" ".join(self._endpoint.masked(str(words)).split()), LONGEST_SAID)

    def _once(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        hints: Mapping[int, str] | None,
    ) -> Answer:
        try:
            return self._endpoint.ask(method, body, headers, path=path, hints=hints, read=True)
        except RetryableRequestError:
            raise
        except RequestError as error:
            if self.throttled is not None and self.throttled.search(str(error)):
                raise RetryableRequestError(str(error)) from None
            raise

    def _resolved(self, query: str, step: timedelta) -> str:
        """The query with the seconds of a step in place of `$step`."""
        return PLACEHOLDER.sub(f"{step // SECOND}{self.unit}", query)

    # --- one query -------------------------------------------------------------------------------

    def _answer(
        self, query: str, by: Sequence[str], index: pd.DatetimeIndex, step: timedelta
    ) -> dict[str, NDArray[np.float64]]:
        """The values of a query by segment, a row for each step."""
        if not query.strip():
            raise CollectError("bad query: it is empty")
        text = self._resolved(query, step)
        segments: dict[str, NDArray[np.float64]] = {}
        for first, span in _spans(index, step, self.rows_at_once):
            try:
                self._add(self.read(text, span, by), by, first, span, segments, len(index))
            except OTHER_FORM as error:
                raise CollectError(
                    f"unreadable: {self._endpoint.where} answered JSON of another form "
                    f"({type(error).__name__}); is url that of the API?"
                ) from None
        return segments

    def _add(
        self,
        series: Sequence[TimedSeries],
        by: Sequence[str],
        first: int,
        span: Span,
        segments: dict[str, NDArray[np.float64]],
        rows: int,
    ) -> None:
        """Writes the points of a span into the rows from `first`."""
        here: set[str] = set()
        for each in series:
            segment = self._segment(each.labels, by)
            if segment in here:
                raise CollectError(self._ambiguous(series, by))
            here.add(segment)
            if segment not in segments:
                if len(segments) == MOST_SERIES:
                    raise CollectError(
                        f"limit: {self._endpoint.where}: more than {MOST_SERIES:,} series; sum "
                        "over labels in the query"
                    )
                segments[segment] = np.full(rows, np.nan)
            begin = span.begin.timestamp()
            for moment, value in each.points:
                if value is None or not begin <= moment < span.end.timestamp():
                    continue
                row, beside = divmod(moment - begin, span.step_s)
                if beside:
                    at = datetime.fromtimestamp(moment, UTC)
                    raise CollectError(
                        f"bad query: the answer has a value at {at:%Y-%m-%d %H:%M:%S} UTC, which "
                        f"starts no step of {duration_text(timedelta(seconds=span.step_s))}; "
                        f"{self.stepping}"
                    )
                number = float(value)
                segments[segment][first + int(row)] = number if math.isfinite(number) else np.nan

    def _segment(self, labels: Mapping[str, str], by: Sequence[str]) -> str:
        if missing := [name for name in by if name not in labels]:
            there = ", ".join(sorted(labels)) or "none"
            raise CollectError(
                f"bad query: a series has no {plain(missing[0], 40)}, which by names; its labels: "
                f"{plain(there, 200)}"
            )
        return segment_text({name: labels[name] for name in by})

    def _ambiguous(self, series: Sequence[TimedSeries], by: Sequence[str]) -> str:
        differing = sorted(
            name
            for name in {name for each in series for name in each.labels} - set(by)
            if len({each.labels.get(name) for each in series}) > 1
        )
        names = f" differ by {plain(', '.join(differing), 200)}" if differing else " look alike"
        return (
            f"bad query: {len(series)} series{names}; sum them in the query, or list the labels "
            "under by"
        )

    # --- one KPI ---------------------------------------------------------------------------------

    def _sides(
        self,
        kpi: Kpi,
        answers: Mapping[tuple[str, tuple[str, ...]], Future[dict[str, NDArray[np.float64]]]],
    ) -> tuple[Sides, list[str]]:
        sides, notes = [], []
        for prefix, text in (("", kpi.query), ("denominator: ", kpi.denominator)):
            if text is None:
                continue
            left = max(0.0, self._ends - self._monotonic()) + GRACE_S
            try:
                side = answers[text, tuple(kpi.by)].result(timeout=left)
            except FutureTimeoutError:
                raise RetryableCollectError(
                    f"unavailable: {self._endpoint.where}: no answer within the "
                    f"{duration_text(self._budget)} for this source"
                ) from None
            if not side:
                notes.append(f"{prefix}no series matched")
            sides.append(side)
        return sides, notes


def _spans(index: pd.DatetimeIndex, step: timedelta, most: int) -> Iterator[tuple[int, Span]]:
    """The parts of at most so many rows that are asked at once, each with its first row."""
    for first in range(0, len(index), most):
        rows = index[first : first + most]
        begin, end = rows[0].to_pydatetime(), rows[-1].to_pydatetime() + step
        yield first, Span(begin, end, step // SECOND)


def _columns(kpi: Kpi, sides: Sides, rows: int) -> dict[tuple[str, str, str], NDArray[np.float64]]:
    """The columns of a KPI; a numerator is 0 where only its denominator has a value."""
    if kpi.denominator is None:
        return {(kpi.name, segment, VALUE): values for segment, values in sides[0].items()}
    columns = {}
    missing = np.full(rows, np.nan)
    for segment in sorted({*sides[0], *sides[1]}):
        above, below = (side.get(segment, missing) for side in sides)
        is_zero = np.isnan(above) & np.isfinite(below)
        columns[kpi.name, segment, NUMERATOR] = np.where(is_zero, 0.0, above)
        columns[kpi.name, segment, DENOMINATOR] = below
    return columns
