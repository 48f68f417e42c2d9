"""How the series of a shard are heard, by whoever does the work."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice
from typing import TypeVar

import numpy as np
import pandas as pd

from anomaly.baseline.kept import Learner
from anomaly.baseline.sides import Sides, sides_of
from anomaly.contracts import Collected
from anomaly.decision.draft import MIN_HISTORY
from anomaly.decision.judge import LEARNER, TOGETHER, Batch, Settings, Testimony, batches, examine
from anomaly.engine.workers import CrashError, LostWorkerError, Progress, Workers
from anomaly.errors import AnomalyError, CollectError
from anomaly.model import Calendar, Kpi, Window
from anomaly.panel import (
    TOTAL,
    USAGE,
    LongForm,
    block,
    columns_at,
    extended,
    judged_panel,
    keys_of,
    rows_at,
    usage_weights,
)
from anomaly.partials.inquiry import Inquiry, Shard
from anomaly.partials.partial import Partial
from anomaly.reporting.report import EXPECTED_COLUMNS
from anomaly.steps import CalendarStep, later

BATCHES = 4  # in a task
AT_A_TIME = 64  # columns that are looked through

Value = TypeVar("Value")

log = logging.getLogger(__name__)


def divided(
    collected: Collected, shards: Iterable[Shard], *, is_whole: bool = False
) -> Iterator[tuple[Shard, Collected]]:
    """What was collected for each of the shards; a KPI that they do not name is left out. Where it
    `is_whole`, there are no other series, and small shards are put together."""
    panel, keys = collected.panel, keys_of(collected.panel)
    places: dict[str, list[int]] = {}
    for place, (name, _, _) in enumerate(keys):
        places.setdefault(name, []).append(place)
    series = Counter(name for name, _ in {key[:2] for key in keys})
    if is_whole:
        family = series.total() + len(places)  # each KPI may have a total
        shards = [
            replace(each, family=min(each.family, family)) for each in _joined(shards, series)
        ]
    for shard in shards:
        queries = [
            prefix + kpi.name
            for prefix in ("", TOTAL, USAGE)
            for kpi in (*shard.kpis, *shard.beside)
        ]
        mine = [place for name in queries for place in places.get(name, ())]
        yield (
            shard,
            Collected(
                columns_at(panel, mine),
                _those(collected.provenance, queries),
                _those(collected.errors, queries),
            ),
        )


def _joined(shards: Iterable[Shard], series: Mapping[str, int]) -> Iterator[Shard]:
    """The shards in their order, those next to each other that fit into a batch as one: a series
    costs the less, the more are judged together. `series` counts those of each KPI."""
    room, group = 0, list[Shard]()
    for shard in shards:
        size = sum(series.get(kpi.name, 0) + (1 if kpi.by else 0) for kpi in shard.kpis)
        if group and size > room:
            yield Shard.together(group)
            group = []
        room = (room if group else TOGETHER) - size
        group.append(shard)
    if group:
        yield Shard.together(group)


@dataclass(frozen=True, slots=True)
class Task:
    """Batches whose data are examined in one go."""

    batches: tuple[Batch, ...]
    sides: Sides
    kpis: tuple[Kpi, ...]
    settings: Settings
    learner: Learner


def examined(task: Task) -> tuple[Testimony, ...]:
    """What the data of a task say, window by window."""
    testimonies = [
        examine(batch, task.sides, task.kpis, task.settings, task.learner) for batch in task.batches
    ]
    return tuple(map(Testimony.together, zip(*testimonies, strict=True)))


@dataclass(slots=True)
class _Hearing:
    """A shard that is being heard: its `partial` so far, how many series each task that the workers
    were given has, and their `answers`. Mutable, for it grows."""

    shard: Shard
    collected: Collected | None
    partial: Partial
    counts: list[int] = field(default_factory=list)
    answers: list[tuple[Testimony, ...]] = field(default_factory=list)
    failure: Exception | None = None

    @property
    def is_answered(self) -> bool:
        """Whether all tasks that were given are done."""
        return len(self.answers) == len(self.counts)


class Hearings:
    """The hearings of an inquiry, with the help of workers. `progress` is told how many series were
    heard, of how many that are known; baselines are those of the `learner`."""

    def __init__(
        self,
        inquiry: Inquiry,
        workers: Workers,
        progress: Progress | None,
        learner: Learner = LEARNER,
    ) -> None:
        self._inquiry = inquiry
        self._workers = workers
        self._progress = progress
        self._learner = learner
        self._done = self._total = 0
        self._sides: Sides | None = None

    def partials(self, data: Iterable[tuple[Shard, Collected]]) -> Iterator[Partial]:
        """What each of the shards contributes, in their order.

        A KPI that makes the judgement crash is an error of its own and hides no other. Raises any
        AnomalyError.
        """
        waiting: deque[_Hearing] = deque()
        for outcome in self._workers.outcomes(examined, self._tasks(data, waiting)):
            while waiting[0].is_answered:
                yield self._closed(waiting.popleft())
            self._take(waiting[0], outcome)
        while waiting:
            yield self._closed(waiting.popleft())

    def _tasks(
        self, data: Iterable[tuple[Shard, Collected]], waiting: deque[_Hearing]
    ) -> Iterator[Task]:
        """The tasks of all shards, whose hearings are `waiting` from then on."""
        for shard, collected in data:
            partial = replace(
                nothing(shard, pd.DatetimeIndex(collected.panel.index)),
                provenance=_own(collected.provenance, shard),
                errors=_own(collected.errors, shard),
            )
            hearing = _Hearing(shard, collected, partial)
            waiting.append(hearing)
            try:
                yield from self._tasks_of(hearing)
            except AnomalyError:
                raise
            except Exception as error:  # noqa: BLE001  it is an error of its KPIs
                hearing.failure = error

    def _tasks_of(self, hearing: _Hearing) -> Iterator[Task]:
        shard, inquiry, collected = hearing.shard, self._inquiry, hearing.collected
        assert collected is not None  # noqa: S101  it is let go of at the end
        kpis = (*shard.kpis, *shard.beside)
        panel = extended(
            judged_panel(collected.panel, kpis, inquiry.step, inquiry.release.started_at),
            inquiry.step,
            inquiry.spans.horizon,
        )
        sides = self._sides_of(pd.DatetimeIndex(panel.index))
        own = panel if not shard.beside else panel.loc[:, _columns_of(panel, shard.kpis)]
        hearing.partial = Partial(
            index=sides.index,
            usage=usage_weights(collected.panel, shard.kpis, inquiry.spans.baseline, inquiry.step),
            steps={} if is_judgeable(panel, sides) else _steps_with_data(own, shard.kpis),
            data=_extent(collected.panel, inquiry.step),
            around=_around(own, sides),
            earlier=_earlier(own, sides, inquiry.step, inquiry.settings.calendar),
            provenance=_own(collected.provenance, shard),
            errors=_own(collected.errors, shard),
        )
        if not is_judgeable(panel, sides):
            return
        names = set(shard.names)
        pieces = batches(panel, kpis, names, shard.family)
        while taken := tuple(islice(pieces, BATCHES)):
            series = sum(each.own for each in taken)
            hearing.counts.append(series)
            self._total += series
            yield Task(taken, sides, _concerned(kpis, taken), inquiry.settings, self._learner)
        if shard.is_alone:
            hearing.collected = None  # it would not be heard again in another way

    def _sides_of(self, index: pd.DatetimeIndex) -> Sides:
        """The sides of a panel; all of an inquiry have the same rows."""
        if self._sides is None or not index.equals(self._sides.index):
            inquiry = self._inquiry
            self._sides = sides_of(index, inquiry.spans, inquiry.step, inquiry.settings.calendar)
        return self._sides

    def _take(self, hearing: _Hearing, outcome: tuple[Testimony, ...] | Exception) -> None:
        if isinstance(outcome, AnomalyError):
            raise outcome
        if isinstance(outcome, Exception):
            hearing.failure = hearing.failure or outcome
        self._done += hearing.counts[len(hearing.answers)]
        hearing.answers.append(() if isinstance(outcome, Exception) else outcome)
        if self._progress is not None:
            self._progress(self._done, self._total)

    def _closed(self, hearing: _Hearing) -> Partial:
        if hearing.failure is not None:
            return self._again(hearing, hearing.failure)
        together = tuple(map(Testimony.together, zip(*hearing.answers, strict=True)))
        around = hearing.partial.around
        if together:
            around = _with_expected(around, together[0].scored.before)
        return replace(hearing.partial, testimonies=together, around=around)

    def _again(self, hearing: _Hearing, error: Exception) -> Partial:
        """What is left of a shard that made the judgement crash: each of its KPIs is heard alone,
        without controls, and one that crashes then is an error."""
        shard = hearing.shard
        if shard.is_alone or hearing.collected is None:
            name = shard.kpis[0].name
            errors = {**hearing.partial.errors, name: crash(name, error)}
            return replace(hearing.partial, around=None, earlier=None, errors=errors)
        alone = (Shard((kpi,), family=shard.family) for kpi in shard.kpis)
        hearings = Hearings(self._inquiry, self._workers, None, self._learner)
        return Partial.together([*hearings.partials(divided(hearing.collected, alone))])


def nothing(shard: Shard, index: pd.DatetimeIndex) -> Partial:
    """What a shard contributes of which nothing is known yet."""
    usage = {kpi.name: 0.0 if isinstance(kpi.usage, str) else kpi.usage for kpi in shard.kpis}
    return Partial(index, usage)


def crash(kpi: str, error: Exception) -> CollectError:
    """The error of a KPI whose judgement crashed."""
    log.error("judging %s crashed", kpi, exc_info=error)
    if isinstance(error, LostWorkerError):
        return CollectError(
            "judging it ended the process that did so, twice; it may need more memory than there is"
        )
    kind = str(error) if isinstance(error, CrashError) else type(error).__name__
    return CollectError(f"judging it crashed: {kind}")


def is_judgeable(panel: pd.DataFrame, sides: Sides) -> bool:
    """Whether there is enough to learn from, and something to judge."""
    has_steps = sides.history.sum() >= MIN_HISTORY and sides.observation.any()
    return bool(has_steps and panel.shape[1])


def _own(of_queries: Mapping[str, Value], shard: Shard) -> dict[str, Value]:
    """What is said of the queries of a shard's own KPIs."""
    return _those(
        of_queries, [prefix + name for name in shard.names for prefix in ("", TOTAL, USAGE)]
    )


def _those(of_queries: Mapping[str, Value], queries: Iterable[str]) -> dict[str, Value]:
    return {query: of_queries[query] for query in queries if query in of_queries}


def _columns_of(panel: pd.DataFrame, kpis: Sequence[Kpi]) -> np.ndarray:
    """Which columns of a panel hold these KPIs."""
    names = [kpi.name for kpi in kpis]
    return np.asarray(panel.columns.get_level_values("kpi").isin(names))


def _concerned(kpis: Sequence[Kpi], taken: Sequence[Batch]) -> tuple[Kpi, ...]:
    """The KPIs of some batches, and all of their controls, with data or without."""
    names = {name for batch in taken for name, _, _ in keys_of(batch.panel)}
    return tuple(kpi for kpi in kpis if kpi.name in names or not names.isdisjoint(kpi.control_for))


def _steps_with_data(panel: pd.DataFrame, kpis: Sequence[Kpi]) -> dict[str, int]:
    """How many steps have data, of each KPI, and of each total that has a query of its own."""
    keys = keys_of(panel)
    out = {}
    for kpi in kpis:
        for query, is_total in ((TOTAL + kpi.name, True), (kpi.name, False)):
            columns = [
                name == kpi.name and (kpi.total is None or (segment == "") is is_total)
                for name, segment, _ in keys
            ]
            out[query] = int(panel.loc[:, columns].notna().any(axis=1).sum())
    return out


def _extent(panel: pd.DataFrame, step: timedelta) -> Window | None:
    """From the first step with a value to the end of the last; None without any."""
    has_value = np.zeros(len(panel), bool)
    for first in range(0, panel.shape[1], AT_A_TIME):
        values = panel.iloc[:, first : first + AT_A_TIME].to_numpy()
        has_value |= ~np.isnan(values).all(axis=1)
    rows = np.flatnonzero(has_value)
    if not len(rows):
        return None
    first, last = pd.DatetimeIndex(panel.index[rows[[0, -1]]]).to_pydatetime()
    return Window(first, later(last, step, 1))


def _around(panel: pd.DataFrame, sides: Sides) -> LongForm:
    """The steps shown that are not judged, without what was expected."""
    series, index = block(rows_at(panel, sides.context)), sides.index[sides.context]
    nothing_expected = np.full((len(series.keys), len(index)), np.nan)
    matrices = {"observed": series.value, **dict.fromkeys(EXPECTED_COLUMNS, nothing_expected)}
    return LongForm(series.keys, index, matrices)


def _with_expected(around: LongForm | None, before: LongForm) -> LongForm | None:
    """The steps shown that are not judged, with what was expected of the last ones before the
    release."""
    if around is None:
        return None
    place = around.index.get_indexer(before.index)
    matrices = {**around.matrices}
    for name in EXPECTED_COLUMNS:
        matrices[name] = np.full((len(around.keys), len(around.index)), np.nan)
        matrices[name][:, place[place >= 0]] = before.matrices[name][:, place >= 0]
    return replace(around, matrices=matrices)


def _earlier(
    panel: pd.DataFrame, sides: Sides, step: timedelta, calendar: Calendar
) -> LongForm | None:
    """What was observed at the same hour of the day before and of the week before, for the steps
    that a report shows; None where steps are days or longer."""
    shown = sides.index[sides.context | sides.observation]
    if isinstance(step, CalendarStep) or not len(shown):
        return None
    clock = shown.tz_convert(calendar.timezone).tz_localize(None)

    def before(days: int) -> np.ndarray:
        """The rows of these times; -1 where there is none."""
        moments = (clock - pd.Timedelta(days=days)).tz_localize(
            calendar.timezone, ambiguous="NaT", nonexistent="NaT"
        )
        return sides.index.get_indexer(moments.tz_convert("UTC"))

    rows = {"day": before(1), "week": before(7)}
    taken = np.unique(np.concatenate([*rows.values()]))
    taken = taken[taken >= 0]
    series = block(panel.iloc[taken])
    matrices = {
        name: np.where(each >= 0, series.value[:, np.searchsorted(taken, each)], np.nan)
        if len(taken)
        else np.full((len(series.keys), len(shown)), np.nan)
        for name, each in rows.items()
    }
    return LongForm(series.keys, shown, matrices)
