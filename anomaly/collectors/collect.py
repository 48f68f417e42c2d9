"""Collect: ask every source of a checklist for its KPIs, one source after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import pandas as pd

from anomaly.collectors import promql
from anomaly.collectors.replicas import settled
from anomaly.contracts import Collected, Provenance
from anomaly.errors import CollectError, UsageError
from anomaly.model import Kpi, KpiKind, Window, select_kpis
from anomaly.panel import TOTAL, USAGE, assemble, grid, keys_of
from anomaly.redaction import Redactor

if TYPE_CHECKING:
    from anomaly.checklist.checklist import Checklist
    from anomaly.collectors.answers import Answers

Progress = Callable[[int, int], None]  # how many of how many queries are answered
log = logging.getLogger(__name__)


def collect_window(
    checklist: Checklist,
    window: Window,
    only: Sequence[str] = (),
    progress: Progress | None = None,
    answers: Answers | None = None,
    *,
    dead: Mapping[str, CollectError] = MappingProxyType({}),
) -> Collected:
    """What the sources say about the steps of a window; a KPI that can't be read is in `errors`.

    A usage or a total given as a query is collected beside its KPI, under the name `usage of
    <KPI>`, `total of <KPI>`. `only` names KPIs to collect alone. What is known of `answers` is not
    asked again, and the result is the same. Sources that are `dead` are not asked: that is the
    error of their KPIs.
    """
    queries = queries_of(select_kpis(checklist.kpis, only))
    parts: list[Collected] = []
    redactor = Redactor(checklist.secrets)
    count = 0
    for source in dict.fromkeys(query.source for query in queries):
        if progress is not None:
            progress(count, len(queries))
        of_source = [query for query in queries if query.source == source]
        parts.append(
            _unanswered(checklist, of_source, window, dead[source])
            if source in dead
            else _from_source(checklist, source, of_source, window, redactor, answers)
        )
        count += len(of_source)
    if progress is not None:
        progress(count, len(queries))
    index = grid(window, checklist.windows.step)
    return Collected(
        pd.concat([part.panel.reindex(index) for part in parts], axis=1),
        {name: each for part in parts for name, each in part.provenance.items()},
        {name: each for part in parts for name, each in part.errors.items()},
    )


def queries_of(kpis: Sequence[Kpi]) -> list[Kpi]:
    """The KPIs, and after them each query for a usage or a total, as a KPI of its own."""
    return [
        *kpis,
        *(
            Kpi(prefix + kpi.name, kpi.source, query)
            for kpi in kpis
            for prefix, query in ((USAGE, kpi.usage), (TOTAL, kpi.total))
            if isinstance(query, str)
        ),
    ]


def _from_source(
    checklist: Checklist,
    source: str,
    kpis: Sequence[Kpi],
    window: Window,
    redactor: Redactor,
    answers: Answers | None,
) -> Collected:
    """What one source answers; whatever it does wrong is the error of its KPIs alone."""
    from anomaly.checklist import registry

    try:
        outside = {} if answers is None else {"answers": answers, "shared": answers.shared}
        collector = registry.collector(checklist.sources[source], **outside)
        collected = collector.collect(kpis, window, checklist.windows.step)
    except CollectError as error:
        failure = error
    except UsageError:
        raise
    except Exception as error:
        log.exception("the collector of source %s crashed", source)
        failure = CollectError(f"the collector of source {source} crashed: {type(error).__name__}")
    else:
        collected = _with_settled_labels(collected, kpis)
        if not collected.errors:
            return collected
        mask = redactor.text
        return replace(
            collected,
            errors={
                name: CollectError(mask(str(error))) for name, error in collected.errors.items()
            },
        )
    return _unanswered(checklist, kpis, window, failure)


def _unanswered(
    checklist: Checklist, kpis: Sequence[Kpi], window: Window, failure: CollectError
) -> Collected:
    return Collected(
        assemble({}, grid(window, checklist.windows.step)),
        {},
        dict.fromkeys((kpi.name for kpi in kpis), failure),
    )


def is_read_once(checklist: Checklist) -> bool:
    """Whether a source can be asked but once: the standard input is gone when it has been read."""
    return any(str(source.settings.get("path")) == "-" for source in checklist.sources.values())


def _with_settled_labels(collected: Collected, kpis: Sequence[Kpi]) -> Collected:
    """The series, in which what comes and goes with each release is judged together."""
    columns = dict(zip(keys_of(collected.panel), collected.panel.to_numpy().T, strict=True))
    provenance = dict(collected.provenance)
    for kpi in kpis:
        if not kpi.by:
            continue
        mine = {key: values for key, values in columns.items() if key[0] == kpi.name}
        additive = (
            kpi.denominator is not None
            or kpi.kind is KpiKind.COUNTS
            or promql.is_sum(kpi.query)  # of another language it is none
        )
        together, notes = settled(mine, kpi.by, additive=additive)
        if notes:
            others = {key: each for key, each in columns.items() if key not in mine}
            columns = {**others, **together}
            about = provenance.get(kpi.name, Provenance(kpi.query, kpi.denominator))
            provenance[kpi.name] = replace(about, notes=(*about.notes, *notes))
    if provenance == collected.provenance:
        return collected
    panel = assemble(columns, pd.DatetimeIndex(collected.panel.index))
    return replace(collected, panel=panel, provenance=provenance)
