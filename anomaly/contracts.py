"""What a collector, a baseline and a sink must do, and the small values they exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from anomaly.errors import CollectError
from anomaly.model import Kpi, Report, Window

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a KPI was asked for (placeholders resolved) and what is worth knowing about the answer."""

    query: str
    denominator: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Collected:
    """A panel (see `anomaly.panel`) with, per KPI name, its provenance, or the error that left it without columns."""

    panel: pd.DataFrame
    provenance: Mapping[str, Provenance] = field(default_factory=dict)
    errors: Mapping[str, CollectError] = field(default_factory=dict)


class Collector(Protocol):
    """Reads series from one source. A KPI that can't be read is an entry in `errors` and never hides the others."""

    def collect(self, kpis: Sequence[Kpi], window: Window, step: timedelta, /) -> Collected: ...


@dataclass(frozen=True, slots=True)
class Message:
    """What a sink is told: a report under a `key` that stays the same when it is told again."""

    key: str
    report: Report


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message at one sink; `detail` holds no secret."""

    sink: str
    delivered: bool
    detail: str = ""
    attempts: int = 1


class Sink(Protocol):
    """Tells people or machines. `send` may be repeated with the same message; it raises SinkError when it could not."""

    def send(self, message: Message, /) -> Receipt: ...
