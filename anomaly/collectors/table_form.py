"""What a table in a file is, and what may be known of its form before it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from anomaly.collectors import written_dates
from anomaly.errors import CollectError

COLUMNS_AT_MOST = 10_000
HEADER_WITHIN = 20  # records from the start
OF_MOMENTS = 2  # cells of a header that holds moments, at least


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive records of a table: the number of the first (from 0) and the asked columns,
    equally long."""

    first: int
    columns: dict[str, pd.Series]


class Table(Protocol):
    """A table whose columns are named by `header`. `delimiter` parts cells that are text (empty:
    they have types), `read_as` says what of its form was found out (`; separated`), `place` names a
    record for people (`kpis.csv:17`)."""

    @property
    def name(self) -> str: ...

    @property
    def header(self) -> tuple[str, ...]: ...

    @property
    def delimiter(self) -> str: ...

    @property
    def read_as(self) -> tuple[str, ...]: ...

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]: ...

    def place(self, record: int) -> str: ...


@dataclass(frozen=True, slots=True)
class TextForm:
    """How a text file is a table; what is None is found out. `names` are columns that it should
    have: the line that holds most of them is the header. `sheet` is of a workbook."""

    encoding: str | None = None
    delimiter: str | None = None
    names: tuple[str, ...] = ()
    sheet: str | None = None

    def fit(self, cells: Sequence[str]) -> int:
        """How well a row of cells would do as the header: how many of the names it holds, or that
        it is mostly moments."""
        matches = len({*cells} & {*self.names})
        dates = sum(map(written_dates.is_date, cells))
        return max(matches, OF_MOMENTS if dates >= max(OF_MOMENTS, len(cells) / 2) else 0)


def too_large(name: str, max_bytes: int) -> CollectError:
    return CollectError(
        f"{name}: larger than {max_bytes:,} bytes; cut it to the asked time or raise max_bytes"
    )
