"""A first checklist from a file, or from a table of a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from anomaly.collectors.files import FilesCollector
from anomaly.collectors.sql import SqlCollector
from anomaly.errors import UsageError
from anomaly.setup.frame_proposal import (
    ROWS,
    Finding,
    described,
    events_of,
    kpis_of,
    of_table,
    read,
)
from anomaly.setup.proposal import Proposal, ProposedKpi

MOST_ROWS = 500_000  # that are looked at


def from_file(path: Path, place: str) -> tuple[Proposal, datetime]:
    """The proposal for a file, under the path that the checklist is to name, and when its data end.
    Raises UsageError, CollectError."""
    finding = read(FilesCollector(path=path).cells(MOST_ROWS), str(path))
    proposal = of_table(finding, path.stem or "data", {"type": "files", "path": place})
    return proposal, finding.ends


def from_database(
    settings: Mapping[str, str], table: str, *, url: str | None = None, path: Path | None = None
) -> tuple[Proposal, datetime]:
    """The proposal for a table of a database, and when its data end; `settings` are those of the
    source. Raises UsageError, CollectError."""
    frame, quote = SqlCollector(url=url, path=path).cells(table, MOST_ROWS)
    finding = read(frame.apply(_typed).rename(columns=str), table)
    name = ".".join(quote(part) for part in table.split("."))
    more = dict(settings)
    if finding.unit:
        more["time_unit"] = finding.unit
    if finding.events:
        more["resample"] = "sum"
    kpis = [*_statements(finding, name, quote)]
    if finding.naive and not finding.unit:
        more["timezone"] = "UTC"
    return described(finding, table, {"data": more}, kpis, "UTC", ()), finding.ends


def _statements(finding: Finding, table: str, quote: Callable[[str], str]) -> Iterator[ProposedKpi]:
    """The KPIs with a statement each: the number of events, and what is in the columns."""
    if finding.kpi_column:
        raise UsageError(
            f"{table} has a row per KPI ({finding.kpi_column}); write a statement with time and "
            "value for each that you want"
        )
    time = quote(finding.time)
    labels = [] if finding.events else [quote(each) for each in finding.labels]

    def statement(value: str) -> str:
        columns = ", ".join([f"{time} AS time", f"{value} AS value", *labels])
        every = f"SELECT {columns} FROM {table}"  # noqa: S608  its names are quoted
        # a number is compared with no time
        return every if finding.unit else f"{every} WHERE {time} >= :start AND {time} < :end"

    if finding.events:
        yield replace(ROWS, kpi=replace(ROWS.kpi, query=statement("1")))
        for each in events_of(finding):
            yield replace(each, kpi=replace(each.kpi, query=statement(quote(each.kpi.query))))
        return
    for each in kpis_of(finding.values):
        below = each.kpi.denominator
        yield replace(
            each,
            kpi=replace(
                each.kpi,
                query=statement(quote(each.kpi.query)),
                denominator=None if below is None else statement(quote(below)),
                by=tuple(finding.labels),
            ),
        )


def _typed(cells: pd.Series) -> pd.Series:
    """What a database gave as objects, by its type: numbers, times, or text."""
    if cells.dtype != object:
        return cells
    there = cells.dropna()
    if len(there) and there.map(lambda each: isinstance(each, datetime)).all():
        zoned = there.map(lambda each: each.tzinfo is not None).all()
        return pd.to_datetime(cells, utc=True) if zoned else pd.to_datetime(cells)
    if len(there) and there.map(lambda each: not isinstance(each, str | bytes)).all():
        try:
            return pd.Series(np.asarray(cells, dtype=float), index=cells.index)
        except (TypeError, ValueError):
            return cells.astype(str)
    return cells
