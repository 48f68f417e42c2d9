"""The protocols of collectors, release sources and sinks, and the values they exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from anomaly.errors import CollectError
from anomaly.model import Changes, Kpi, Release, Window
from anomaly.reporting.message import Action, Message, NotifyReason, Receipt

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Action",
    "ChangeSource",
    "Collected",
    "Collector",
    "Message",
    "NotifyReason",
    "Provenance",
    "Receipt",
    "ReleaseSource",
    "Sink",
]


@dataclass(frozen=True, slots=True)
class Provenance:
    """The query of a KPI (placeholders resolved), a page that shows it (`link`), and notes on the
    answer."""

    query: str
    denominator: str | None = None
    notes: tuple[str, ...] = ()
    link: str = ""


@dataclass(frozen=True, slots=True)
class Collected:
    """A panel (see `anomaly.panel`) with the provenance of each KPI, or the error that left the KPI
    without columns, by KPI name."""

    panel: pd.DataFrame
    provenance: Mapping[str, Provenance] = field(default_factory=dict)
    errors: Mapping[str, CollectError] = field(default_factory=dict)


class Collector(Protocol):
    """Reads series from one source, for each step of `anomaly.panel.grid(window, step)`. A KPI
    that can't be read is an entry in `errors`; the others are still read."""

    def collect(self, kpis: Sequence[Kpi], window: Window, step: timedelta, /) -> Collected: ...


class ReleaseSource(Protocol):
    """Finds releases: those that began in the window, in order of time. Raises CollectError.

    A release with no service or environment gets that of the checklist. One that was aborted says
    when: it is not watched any more, and what was said about it is taken back.
    """

    def discover(self, window: Window, /) -> Sequence[Release]: ...


@runtime_checkable
class ChangeSource(Protocol):
    """A release source that also knows the commits of a release: those since the version `before`,
    or, where that is empty, since the one that the source knows to be released before. None if
    there is no such version. Raises CollectError.

    One with a method `check_commits()`, which raises CollectError where commits can't be read, is
    checked by `anomaly doctor` before there is a release.
    """

    def changes(self, release: Release, before: str, /) -> Changes | None: ...


class Sink(Protocol):
    """Notifies people or machines. `send` may be called again with the same message; it raises
    SinkError if the message could not be delivered.

    By default a sink gets only news: a new failure, a worse one, or the end of one. A class with
    `every_look = True` mirrors the current state and gets every look of a watch. One with
    `dedupes = True` merges messages with the same key, so it can be notified even when no history
    says what was sent before.
    """

    def send(self, message: Message, /) -> Receipt: ...
