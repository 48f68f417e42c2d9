"""What a collector, a source of releases and a sink must do, and the small values they exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from anomaly.errors import CollectError
from anomaly.model import Kpi, Release, Window
from anomaly.reporting.message import Action, Message, Receipt

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Action",
    "Collected",
    "Collector",
    "Message",
    "Provenance",
    "Receipt",
    "ReleaseSource",
    "Sink",
]


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a KPI was asked for (placeholders resolved), where people see that (`link`), and what is
    worth knowing about the answer."""

    query: str
    denominator: str | None = None
    notes: tuple[str, ...] = ()
    link: str = ""


@dataclass(frozen=True, slots=True)
class Collected:
    """A panel (see `anomaly.panel`) with, per KPI name, its provenance, or the error that left it
    without columns."""

    panel: pd.DataFrame
    provenance: Mapping[str, Provenance] = field(default_factory=dict)
    errors: Mapping[str, CollectError] = field(default_factory=dict)


class Collector(Protocol):
    """Reads series from one source. A KPI that can't be read is an entry in `errors` and never
    hides the others."""

    def collect(self, kpis: Sequence[Kpi], window: Window, step: timedelta, /) -> Collected: ...


class ReleaseSource(Protocol):
    """Knows what was released: those that began in the window, in order of time. Raises
    CollectError.

    What it does not know of service and environment stays empty, and is the checklist's.
    """

    def discover(self, window: Window, /) -> Sequence[Release]: ...


class Sink(Protocol):
    """Tells people or machines. `send` may be repeated with the same message; it raises SinkError
    when it could not.

    Without anything said, a sink is told news: what is new, grew, or is over. A class with
    `every_look = True` mirrors how it stands, and is told at every look of a watch. One with
    `dedupes = True` makes one of messages under the same key, so that it can be told even when
    nobody knows what was told before.
    """

    def send(self, message: Message, /) -> Receipt: ...
