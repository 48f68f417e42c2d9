"""KPIs from Prometheus and what speaks its API: Thanos, Mimir, Cortex, VictoriaMetrics.

A row stamped t holds the value of the query at the end of its step, and `$step` is the length of
that step, so that `increase(…[$step])` counts exactly that row's step. Days and months that differ
in length are asked for separately.
"""

from __future__ import annotations

import logging
import queue
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import ClassVar, Unpack
from urllib.parse import urlencode

import numpy as np
import pandas as pd

from anomaly.collectors import promql
from anomaly.collectors.answers import Answers
from anomaly.collectors.births import with_births
from anomaly.collectors.lanes import Lanes
from anomaly.collectors.prometheus_access import Access, AccessSettings
from anomaly.collectors.prometheus_asking import Asking, Queries
from anomaly.collectors.prometheus_http import Api, Budget, Outside, Question, RefusedError
from anomaly.collectors.prometheus_series import (
    BoolArray,
    FloatArray,
    Series,
    by_segment,
    finite,
    first_row,
    numerator,
    only_rows,
    trusted_rows,
)
from anomaly.contracts import Collected, Provenance
from anomaly.errors import CollectError, RetryableCollectError, UsageError
from anomaly.model import Empty, Kpi, Window
from anomaly.panel import (
    BORN_LATE,
    DENOMINATOR,
    NUMERATOR,
    VALUE,
    assemble,
    expects_new_kinds,
    grid,
    only_grows,
    with_new_kinds,
)
from anomaly.steps import later
from anomaly.timing.durations import duration_text
from anomaly.wording import did_you_mean, number

LOG = logging.getLogger(__name__)

GRACE_S = 1.0  # for a thread to report that its time is over
SHORT_HISTORY = 0.02  # share of the window that may be missing at its start without a note
WORTH_A_NOTE = 0.01  # share of all that is counted
METRIC = re.compile(r"([A-Za-z_:][\w:]*)\s*(\{.*\})?", re.DOTALL)  # at the start of a selector
TOLD_BY, LOOK_UP_S = 4, 5.0  # letters that a misspelt name has right; how long to look for it
LINKED_RANGE = "2d"  # before the end of the rows, of the graph that a report links to
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)

Columns = Mapping[tuple[str, str, str], FloatArray]


@dataclass(frozen=True, slots=True)
class _Part:
    """What one KPI adds to the answer."""

    columns: Columns
    provenance: Provenance


@dataclass(slots=True)
class _Side:
    """A query's series by segment: as answered, and as far as they are believed."""

    query: str
    answered: Mapping[str, Series]
    series: dict[str, Series]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Task:
    """What is asked: these rows, of this server."""

    index: pd.DatetimeIndex
    step: timedelta
    usual: timedelta
    asking: Asking


class PrometheusCollector:
    """Asks the Prometheus API under `url` (without `/api/v1`).

    Credentials are one of `bearer_token`, `bearer_token_file` (read for every request), `username`
    and `password`; beside them `cert_file` with `key_file`, where the server demands a client's
    certificate. `sign_in` takes their place at a managed service. `headers` are sent with every
    request, such as a tenant's `X-Scope-OrgID`, and `parameters` with every query.
    `timeout` is for one answer, `budget` for a whole collection; up to `concurrency` questions are
    asked at once, and none about what is known of `answers`. A query may return `max_series`
    series, an answer `max_bytes`. Raises UsageError for settings that can't be used.
    """

    outside: ClassVar[frozenset[str]] = frozenset(
        {"monotonic", "now", "sleep", "chance", "answers"}
    )

    def __init__(
        self,
        *,
        timeout: timedelta = timedelta(seconds=30),
        budget: timedelta = timedelta(minutes=5),
        concurrency: int = 4,
        max_series: int = 1000,
        max_bytes: int = 33_554_432,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
        answers: Answers | None = None,
        **settings: Unpack[AccessSettings],
    ) -> None:
        for name, value in {"timeout": timeout, "budget": budget}.items():
            if value <= timedelta(0):
                raise UsageError(f"{name} is {value}; it must be longer than zero")
        for name, count in {
            "concurrency": concurrency,
            "max_series": max_series,
            "max_bytes": max_bytes,
        }.items():
            if count < 1:
                raise UsageError(f"{name} is {count}; it must be at least 1")
        access = Access(**settings)
        outside = Outside(monotonic=monotonic, now=now, sleep=sleep, chance=chance)
        self._where, self._budget, self._monotonic = access.where, budget, monotonic
        self._page = access.page
        self._concurrency, self._max_series, self._answers = concurrency, max_series, answers
        self._api = Api(
            access,
            timeout_s=timeout.total_seconds(),
            max_bytes=max_bytes,
            connections=concurrency,
            outside=outside,
        )

    def __repr__(self) -> str:
        return f"PrometheusCollector({self._where})"

    @property
    def clock_skew(self) -> timedelta | None:
        """How far the server's clock is ahead of this machine's; None if that is not known."""
        return self._api.clock_skew

    def collect(self, kpis: Sequence[Kpi], window: Window, step: timedelta, /) -> Collected:
        """The panel of `kpis` over the whole steps of `window`. Raises UsageError for a step that
        is not whole seconds."""
        if step < SECOND or step % SECOND:
            raise UsageError(f"step is {duration_text(step)}; use whole seconds")
        budget = Budget(self._monotonic() + self._budget.total_seconds(), self._monotonic)
        index = grid(window, step)
        outcomes = self._in_threads(kpis, index, step, budget) if len(index) else {}
        parts = {
            kpi.name: outcome
            for kpi in kpis
            if isinstance(outcome := outcomes.get(kpi.name), _Part)
        }
        return Collected(
            assemble(
                {key: values for part in parts.values() for key, values in part.columns.items()},
                index,
            ),
            {name: part.provenance for name, part in parts.items()},
            {
                kpi.name: outcome
                for kpi in kpis
                if isinstance(outcome := outcomes.get(kpi.name), CollectError)
            },
        )

    def _in_threads(
        self, kpis: Sequence[Kpi], index: pd.DatetimeIndex, step: timedelta, budget: Budget
    ) -> dict[str, _Part | CollectError]:
        """The outcome of each KPI. Threads are daemons and not waited for beyond the budget:
        nothing can hold the caller."""
        with Lanes(self._concurrency, "prometheus") as lanes:
            asking = Asking(self._api, lanes, budget, index, step, self._max_series, self._answers)
            return self._outcomes(kpis, _Task(index, step, asking.usual, asking), budget)

    def _outcomes(
        self, kpis: Sequence[Kpi], task: _Task, budget: Budget
    ) -> dict[str, _Part | CollectError]:
        todo: queue.SimpleQueue[Kpi] = queue.SimpleQueue()
        results: queue.SimpleQueue[tuple[str, _Part | Exception]] = queue.SimpleQueue()
        for kpi in kpis:
            todo.put(kpi)

        def work() -> None:
            while True:
                try:
                    kpi = todo.get_nowait()
                except queue.Empty:
                    return
                results.put((kpi.name, self._outcome(kpi, task)))

        for _ in range(min(self._concurrency, len(kpis))):
            threading.Thread(target=work, name="prometheus KPIs", daemon=True).start()
        late = RetryableCollectError(
            f"unavailable: {self._where}: no answer within the {duration_text(self._budget)} for "
            "this source"
        )
        outcomes: dict[str, _Part | CollectError] = dict.fromkeys((kpi.name for kpi in kpis), late)
        for _ in kpis:
            try:
                name, outcome = results.get(timeout=max(0.0, budget.left()) + GRACE_S)
            except queue.Empty:
                break
            if not isinstance(outcome, _Part | CollectError):
                raise outcome
            outcomes[name] = outcome
        return outcomes

    def _outcome(self, kpi: Kpi, task: _Task) -> _Part | Exception:
        try:
            with task.asking.queries(kpi.by) as queries:
                return self._part(kpi, task, queries)
        except Exception as error:  # noqa: BLE001  a thread's error is raised, or kept as a KPI's, by the caller
            LOG.info(
                "%s: %s: %s",
                self._where,
                kpi.name,
                error if isinstance(error, CollectError) else type(error).__name__,
            )
            return error

    def _part(self, kpi: Kpi, task: _Task, queries: Queries) -> _Part:
        templates = [each for each in (kpi.query, kpi.denominator) if each is not None]
        for template in templates:
            if template.strip():
                queries.begin(partial(promql.resolve, template))
        sides, late = self._sides(templates, kpi, task, queries)
        value, below = sides[0], sides[1] if kpi.denominator is not None else None
        columns = (
            _values(kpi, value) if below is None else _ratio(kpi, value, below, len(task.index))
        )
        if expects_new_kinds(kpi) and _is_count(kpi) and columns:
            filled = with_new_kinds(np.column_stack([*columns.values()]))
            columns = dict(zip(columns, np.ascontiguousarray(filled.T), strict=True))
        notes = [
            *value.notes,
            *([] if below is None else (f"denominator: {note}" for note in below.notes)),
            *([] if late and kpi.empty is Empty.ZERO else _history(columns, task)),
            *_advice(kpi, value, appears_late=late),
        ]
        rows = max(
            (int(np.count_nonzero(~np.isnan(values))) for values in columns.values()), default=0
        )
        LOG.info(
            "%s: %s: %d columns, up to %d of %d steps",
            self._where,
            kpi.name,
            len(columns),
            rows,
            len(task.index),
        )
        under = None if below is None else below.query
        return _Part(
            columns,
            Provenance(
                value.query,
                under,
                tuple(dict.fromkeys(notes)),
                self._link((value.query, under), task),
            ),
        )

    def _sides(
        self, templates: Sequence[str], kpi: Kpi, task: _Task, queries: Queries
    ) -> tuple[list[_Side], bool]:
        """The series of each template, what new ones counted at their births included, and whether
        the first of them appears late."""
        sides = []
        for template in templates:
            sides.append(self._side(template, kpi.by, task, queries))
            if _misses_births(template, task):
                queries.begin(partial(_with_births, template))
        alive = first_row(side.series[segment].values for side in sides for segment in side.series)
        late = alive is None or alive >= BORN_LATE * len(task.index)
        if late and kpi.empty is Empty.ZERO:  # what is absent before is known to be nothing
            alive = 0
        for template, side in zip(templates, sides, strict=True):
            if _misses_births(template, task):
                self._count_births(side, template, kpi.by, alive, task, queries)
        return sides, late

    def _link(self, queries: Sequence[str | None], task: _Task) -> str:
        """Where the server shows its own graphs of the queries over the last part of the rows."""
        if not self._page:
            return ""
        end = later(task.index[-1].to_pydatetime(), task.step)
        about = {"tab": "0", "range_input": LINKED_RANGE, "end_input": f"{end:%Y-%m-%d %H:%M:%S}"}
        queries_of_page = [{"expr": query, **about} for query in queries if query is not None]
        fields = {
            f"g{i}.{name}": value
            for i, each in enumerate(queries_of_page)
            for name, value in each.items()
        }
        return f"{self._page}/graph?{urlencode(fields)}"

    def _side(self, template: str, by: Sequence[str], task: _Task, queries: Queries) -> _Side:
        if not template.strip():
            raise CollectError("bad query: it is empty")
        if unknown := promql.variables(template):
            raise CollectError(f"bad query: it has {unknown[0]}, {promql.NOT_FILLED_IN}")
        query = promql.resolve(template, task.usual)
        merged = queries.answer(partial(promql.resolve, template))
        answers = by_segment(merged.series, by, query)
        finite_series = {segment: finite(series) for segment, series in answers.items()}
        side = _Side(
            query, answers, {segment: series for segment, (series, _) in finite_series.items()}
        )
        side.notes += [f"the server says: {text}" for text in merged.notes]
        reading = promql.read(query)
        if not answers:
            side.notes.append(
                f"no series matched{self._why_nothing(query, reading, task, queries)}"
            )
        if odd := sum(count for _, count in finite_series.values()):
            side.notes.append(f"{odd} samples are NaN or infinite and taken as missing")
        step = duration_text(task.step)
        side.notes += [
            f"selector range [{reach}] differs from the step of {step}"
            for reach in promql.other_ranges(reading, task.usual)
        ]
        late = promql.delay(query, task.usual)
        if late is not None:
            side.notes.append(f"the query {promql.DELAYED.format(duration_text(late))}")
        if answers:
            self._cover(side, reading, by, task, queries)
        return side

    def _why_nothing(
        self, query: str, reading: promql.Reading, task: _Task, queries: Queries
    ) -> str:
        """What a query does that gives no value, where there are samples that it reads."""
        for selector in reading.selectors:
            try:
                present = self._present(selector, (), queries)
            except CollectError as error:  # the note stands without
                LOG.info("%s: no presence of %s: %s", self._where, selector.text, error)
                return ""
            if not any(rows.any() for rows in present.values()):
                return self._what_there_is(selector, task)
        if not reading.selectors or reading.joined:
            return ""
        return f": {promql.why_nothing(query, reading, task.usual)}"

    def _what_there_is(self, selector: promql.Selector, task: _Task) -> str:
        """What is spelt like the metric of a selector that has no samples, or that the metric has
        some with other labels."""
        match = METRIC.match(selector.text)
        if match is None:
            return ""
        name, labels = match.groups()
        at = later(task.index[-1].to_pydatetime(), task.step)
        names = f'group by (__name__) ({{__name__=~"{name[:TOLD_BY]}.*"}})'
        budget = Budget(self._monotonic() + LOOK_UP_S, self._monotonic)
        try:
            answer = self._api.ask(Question(names, at, at, task.usual // SECOND), budget)
            metric_names = [str(series["metric"]["__name__"]) for series in answer]
        except (CollectError, KeyError, TypeError) as error:  # the note stands without
            LOG.info("%s: no names like %s: %s", self._where, name, error)
            return ""
        if name in metric_names:
            return f": {name} has samples, but none with {labels}" if labels else ""
        return f": no metric is called {name}{did_you_mean(name, metric_names)}"

    def _cover(
        self,
        side: _Side,
        reading: promql.Reading,
        by: Sequence[str],
        task: _Task,
        queries: Queries,
    ) -> None:
        """Takes away values that are no more than earlier samples, repeated over a gap.

        An instant selector repeats its last sample for five minutes, a long range keeps it for its
        length. So it is asked separately in which steps those selectors have samples of their own.
        """
        doubtful = promql.repeating(reading, task.usual)
        if not doubtful and reading.selectors:
            return
        if reading.joined or not reading.selectors:
            side.notes.append(
                "in which steps there are samples can't be told from this query; short gaps may "
                "be filled"
            )
            return
        removals = 0
        for selector in doubtful:
            queries.begin(partial(promql.presence, selector, by))
        for selector in doubtful:
            present = self._present(selector, by, queries)
            if not present:
                side.notes.append(
                    f"no samples were found for {selector.text} by itself; short gaps may be filled"
                )
                continue
            anywhere: BoolArray = np.logical_or.reduce([*present.values()])
            for segment, series in side.series.items():
                side.series[segment], count = only_rows(
                    series, trusted_rows(present.get(segment, anywhere))
                )
                removals += count
        if removals:
            side.notes.append(
                f"{removals} values repeat an earlier sample over a gap and are taken as missing"
            )

    def _count_births(
        self,
        side: _Side,
        template: str,
        by: Sequence[str],
        alive: int | None,
        task: _Task,
        queries: Queries,
    ) -> None:
        """Adds what the first samples of new series count, which `increase` leaves out, from a
        little after the row at which anything was `alive`: before, all is new to the source."""
        try:
            merged = queries.answer(partial(_with_births, template))
            amended = by_segment(merged.series, by, side.query)
        except CollectError as error:  # the answer stands without
            LOG.info("%s: no births of %s: %s", self._where, side.query, error)
            side.notes.append("what the first samples of new series count could not be asked")
            return
        is_rate = promql.is_rate(side.query)
        seconds = task.usual / SECOND if is_rate else 1.0
        candidates = {
            segment: with_births(side.series.get(segment), series, alive, seconds)
            for segment, series in amended.items()
        }
        births = {segment: each for segment, each in candidates.items() if each is not None}
        if len(births) < len(candidates):
            LOG.info("%s: births of %s contradict its answer", self._where, side.query)
            return
        side.series = {
            segment: births[segment].series if segment in births else side.series[segment]
            for segment in sorted({*side.series, *births})
        }
        side.answered = {**side.answered, **{name: each.series for name, each in births.items()}}
        whole = seconds * sum(float(np.nansum(each.values)) for each in side.series.values())
        function = "rate()" if is_rate else "increase()"
        for amount, text in (
            (
                sum(each.counted for each in births.values()),
                f"are the first samples of new series, which {function} leaves out",
            ),
            (
                sum(each.unproven for each in births.values()),
                "in the first samples of all are not counted: nothing shows that the source had "
                "data before",
            ),
            (
                sum(each.too_many for each in births.values()),
                "in the first samples of new series are not counted: too many for a process that "
                "has just started",
            ),
        ):
            if amount > WORTH_A_NOTE * whole:
                side.notes.append(f"{number(amount)} {text}")

    def _present(
        self, selector: promql.Selector, by: Sequence[str], queries: Queries
    ) -> dict[str, BoolArray]:
        """The rows in which `selector` has samples, by segment; under "" for all if its series lack
        the labels of `by`."""
        try:
            presence = queries.answer(partial(promql.presence, selector, by)).series
        except RefusedError as error:  # by a server that reads the selector differently
            LOG.info("%s: no coverage of %s: %s", self._where, selector.text, error)
            return {}
        labelled = any(labels for labels in presence)
        return {
            segment: series.answered
            for segment, series in by_segment(
                presence, by if labelled else (), selector.text
            ).items()
        }


def _misses_births(template: str, task: _Task) -> bool:
    """Whether the query is a sum of what leaves out the first samples of new series."""
    return promql.is_sum(template) and bool(_with_births(template, task.usual))


def _with_births(template: str, length: timedelta) -> str:
    """The query in which they count, for rows of a length; empty if there is none."""
    return promql.since_birth(promql.resolve(template, length), length) or ""


def _values(kpi: Kpi, side: _Side) -> Columns:
    return {(kpi.name, segment, VALUE): series.values for segment, series in side.series.items()}


def _ratio(kpi: Kpi, above: _Side, below: _Side, rows: int) -> Columns:
    columns = {}
    for segment in sorted({*above.series, *below.series}):
        counts = below.series.get(segment)
        denominator = np.full(rows, np.nan) if counts is None else counts.values
        columns[kpi.name, segment, NUMERATOR] = numerator(
            above.series.get(segment), above.answered.get(segment), denominator
        )
        columns[kpi.name, segment, DENOMINATOR] = denominator
    return columns


def _history(columns: Columns, task: _Task) -> list[str]:
    """A note if the source has nothing of the beginning of the window, as when its retention is
    shorter."""
    first = first_row(columns.values())
    rows = len(task.index)
    if first is None or first <= rows * SHORT_HISTORY:
        return []
    return [f"history {_days((rows - first) * task.step)} of {_days(rows * task.step)} asked"]


def _is_count(kpi: Kpi) -> bool:
    """Whether the query says how often something happened."""
    return kpi.denominator is None and promql.is_sum(kpi.query) and promql.counts(kpi.query)


def _advice(kpi: Kpi, side: _Side, *, appears_late: bool) -> Iterator[str]:
    """What to write instead of a query that can't mean what it says."""
    parts = None if kpi.denominator is not None else promql.division(kpi.query)
    if parts is not None and not _is_whole([each.answered for each in side.answered.values()]):
        yield (
            "the query divides, and has no value where one side has none, as before the first "
            f"error; write both apart, query: {parts[0]} and denominator: {parts[1]}, and such "
            "steps count as 0"
        )
    counters = promql.raw_counters(kpi.query)
    if appears_late and side.answered and _is_count(kpi) and kpi.empty is Empty.MISSING:
        yield (
            "the series first appears at the end of the window; if none means that nothing "
            "happened, as before a first error, write empty: zero"
        )
    grows = any(only_grows(each.values) for each in side.series.values())
    if counters or (grows and not promql.counts(kpi.query)):
        name = counters[0] if counters else "what the query returns"
        yield (
            f"{name} is a counter: it only grows, and falls to 0 when its process starts; write "
            f"sum(increase({counters[0] if counters else 'NAME'}[$step])) for what it counts in a "
            "step"
        )


def _is_whole(present: Sequence[BoolArray]) -> bool:
    """Whether nearly all rows have a sample."""
    return bool(present) and bool(np.logical_or.reduce(present).mean() >= 1 - SHORT_HISTORY)


def _days(length: timedelta) -> str:
    return f"{length / DAY:.3g} d" if length >= DAY else duration_text(length)
