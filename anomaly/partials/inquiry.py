"""What is asked about a release, and how the question is divided."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from anomaly.decision.judge import Settings
from anomaly.model import Kpi, Release
from anomaly.timing.spans import Plan

MOST = 96  # KPIs without segments in a shard: as many as fill a task

UNKNOWN = sys.maxsize  # how many series there are, before the first are collected


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What is asked: whether the KPIs got worse with a release, over which spans, in which steps,
    and what a verdict depends on besides."""

    kpis: tuple[Kpi, ...]
    release: Release
    spans: Plan
    step: timedelta
    settings: Settings


@dataclass(frozen=True, slots=True)
class Shard:
    """KPIs whose data are prepared together, in their order, and the controls `beside` them. The
    `family` is how many series the whole inquiry has at most."""

    kpis: tuple[Kpi, ...]
    beside: tuple[Kpi, ...] = ()
    family: int = UNKNOWN

    @classmethod
    def of(cls, kpis: Sequence[Kpi], every: Sequence[Kpi]) -> Shard:
        """Some of the KPIs as a shard."""
        own = {kpi.name for kpi in kpis}
        beside = (
            kpi for kpi in every if kpi.name not in own and not own.isdisjoint(kpi.control_for)
        )
        family = UNKNOWN if any(kpi.by for kpi in every) else len(every)
        return cls(tuple(kpis), tuple(beside), family)

    @classmethod
    def together(cls, parts: Sequence[Shard]) -> Shard:
        """Shards of one inquiry as one; there must be one."""
        if len(parts) == 1:
            return parts[0]
        kpis = tuple(kpi for part in parts for kpi in part.kpis)
        beside = dict.fromkeys(kpi for part in parts for kpi in part.beside if kpi not in kpis)
        return cls(kpis, tuple(beside), parts[0].family)

    @property
    def names(self) -> tuple[str, ...]:
        """Of its own KPIs."""
        return tuple(kpi.name for kpi in self.kpis)

    @property
    def is_alone(self) -> bool:
        """Whether it is one KPI without controls."""
        return len(self.kpis) == 1 and not self.beside


def shards(kpis: Sequence[Kpi]) -> Iterator[Shard]:
    """The KPIs in their order: each with segments alone, the others up to `MOST` together. This
    depends on nothing else, so that whoever divides the work does it alike."""
    together: list[Kpi] = []
    for kpi in kpis:
        if together and (kpi.by or len(together) == MOST):
            yield Shard.of(together, kpis)
            together = []
        if kpi.by:
            yield Shard.of([kpi], kpis)
        else:
            together.append(kpi)
    if together:
        yield Shard.of(together, kpis)
