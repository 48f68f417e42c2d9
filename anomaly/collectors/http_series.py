"""What sources share that answer a query with series in JSON over HTTP.

A source of this kind is a class with `read`: it asks one query over whole steps, and returns the
series of the answer. Everything else is here: the threads, the parts in which a long window is
asked, what is repeated, the rows of the panel, and the errors.
"""

from __future__ import annotations

import logging
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from anomaly.collectors.http_source import HttpSource
from anomaly.collectors.lanes import Lanes
from anomaly.contracts import Collected, Provenance
from anomaly.errors import (
    CollectError,
    RetryableCollectError,
    UsageError,
)
from anomaly.model import Kpi, Window
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE, assemble, grid, segment_text
from anomaly.steps import CalendarStep
from anomaly.timing.durations import duration_text
from anomaly.wording import plain

LOG = logging.getLogger(__name__)
PLACEHOLDER = re.compile(r"\$(?:step\b|\{step\})")
AT_ONCE, MOST_SERIES = 4, 1000
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


class HttpSeriesCollector(HttpSource, ABC):
    """The shared part of a source; `rows_at_once` are asked in one request, and `stepping` says how
    a query gets the steps of the checklist."""

    rows_at_once: ClassVar[int]
    stepping: ClassVar[str]
    unit: ClassVar[str] = ""  # behind the seconds of a step in a query

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
        self.begin()
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

    def _resolved(self, query: str, step: timedelta) -> str:
        """The query with the seconds of a step in place of `$step`."""
        return PLACEHOLDER.sub(f"{step // SECOND}{self.unit}", query)

    # --- one query -------------------------------------------------------------------------------

    def _answer(
        self, query: str, by: Sequence[str], index: pd.DatetimeIndex, step: timedelta
    ) -> dict[str, NDArray[np.float64]]:
        """The values of a query by segment, a row for each step; what was answered and is no
        finite number is infinite."""
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
                segments[segment][first + int(row)] = number if math.isfinite(number) else np.inf

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
            try:
                side = answers[text, tuple(kpi.by)].result(timeout=self.left_s + GRACE_S)
            except FutureTimeoutError:
                raise RetryableCollectError(
                    f"unavailable: {self._endpoint.where}: no answer within the "
                    f"{duration_text(self._budget)} for this source"
                ) from None
            if not side:
                notes.append(f"{prefix}no series matched")
            if odd := sum(int(np.isinf(values).sum()) for values in side.values()):
                notes.append(f"{prefix}{odd:,} NaN or infinite values count as missing")
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
        above, below = sides[0].get(segment, missing), sides[1].get(segment, missing)
        is_zero = np.isnan(above) & np.isfinite(below)
        columns[kpi.name, segment, NUMERATOR] = np.where(is_zero, 0.0, above)
        columns[kpi.name, segment, DENOMINATOR] = below
    return columns
