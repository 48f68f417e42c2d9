"""What a collector, a source of releases and a sink must do, and the small values they exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from anomaly.errors import CollectError
from anomaly.model import Kpi, Release, ReleaseVerdict, Report, Window

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a KPI was asked for (placeholders resolved), where people see that (`link`), and what is worth knowing about the answer."""

    query: str
    denominator: str | None = None
    notes: tuple[str, ...] = ()
    link: str = ""


@dataclass(frozen=True, slots=True)
class Collected:
    """A panel (see `anomaly.panel`) with, per KPI name, its provenance, or the error that left it without columns."""

    panel: pd.DataFrame
    provenance: Mapping[str, Provenance] = field(default_factory=dict)
    errors: Mapping[str, CollectError] = field(default_factory=dict)


class Collector(Protocol):
    """Reads series from one source. A KPI that can't be read is an entry in `errors` and never hides the others."""

    def collect(self, kpis: Sequence[Kpi], window: Window, step: timedelta, /) -> Collected: ...


class ReleaseSource(Protocol):
    """Knows what was released: those that began in the window, in order of time. Raises CollectError.

    What it does not know of service and environment stays empty, and is the checklist's.
    """

    def discover(self, window: Window, /) -> Sequence[Release]: ...


class Action(StrEnum):
    """What a message wants of its receiver."""

    FIRE = "fire"  # a KPI fails: act
    RESOLVE = "resolve"  # what was fired is over
    INFORM = "inform"  # how it stands, with nothing to act on at once
    TRIAL = "trial"  # sent by hand, to see whether it arrives

    @classmethod
    def of(cls, report: Report) -> Action:
        """What a report alone asks for, when nothing is known of what was told before."""
        return cls.FIRE if report.verdict is ReleaseVerdict.FAIL else cls.INFORM


@dataclass(frozen=True, slots=True)
class Message:
    """What a sink is told: a report under a `key` that names its release, and is the same in all messages about it.

    `id` names this very message: it stays the same when that is told again, be it after a crash. `why` says in a word why it is told
    (`first`, `escalated`, …). `look` is what `anomaly show` takes to show the report, `link` where it can be read; empty if nowhere.
    """

    key: str
    report: Report
    action: Action = Action.INFORM
    id: str = ""
    why: str = ""
    look: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message at one sink; `detail` holds no secret. `again` says that it may take it when told later."""

    sink: str
    delivered: bool
    detail: str = ""
    attempts: int = 1
    again: bool = False


class Sink(Protocol):
    """Tells people or machines. `send` may be repeated with the same message; it raises SinkError when it could not.

    Without anything said, a sink is told news: what is new, grew, or is over. A class with `every_look = True` mirrors how it stands,
    and is told at every look of a watch. One with `dedupes = True` makes one of messages under the same key, so that it can be told
    even when nobody knows what was told before.
    """

    def send(self, message: Message, /) -> Receipt: ...
