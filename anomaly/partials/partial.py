"""What the data of some KPIs contribute to a report."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pandas as pd

from anomaly.contracts import Provenance
from anomaly.decision.judge import Testimony
from anomaly.errors import CollectError
from anomaly.model import Window
from anomaly.panel import LongForm

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Partial:
    """What the data of some KPIs contribute to a report.

    `index` holds the rows of their panel, `usage` the weight of each KPI. `testimonies` are those
    of the windows (`Sides.windows`), none where nothing can be judged. `steps` counts the steps
    with data of each query (a KPI, or `total of <KPI>`) without a testimony. `data`, `around` and
    `earlier` are parts of those of a report.
    """

    index: pd.DatetimeIndex
    usage: Mapping[str, float]
    testimonies: tuple[Testimony, ...] = ()
    steps: Mapping[str, int] = field(default_factory=dict)
    data: Window | None = None
    around: LongForm | None = None
    earlier: LongForm | None = None
    provenance: Mapping[str, Provenance] = field(default_factory=dict)
    errors: Mapping[str, CollectError] = field(default_factory=dict)

    @classmethod
    def together(cls, partials: Sequence[Partial]) -> Partial:
        """What the data of all of them contribute to the same report; there must be one."""
        if len(partials) == 1:
            return partials[0]
        heard = [each.testimonies for each in partials if each.testimonies]
        data = [each.data for each in partials if each.data is not None]
        return cls(
            index=partials[0].index,
            usage=_merged(each.usage for each in partials),
            testimonies=tuple(map(Testimony.together, zip(*heard, strict=True))),
            steps=_merged(each.steps for each in partials),
            data=Window(min(each.start for each in data), max(each.end for each in data))
            if data
            else None,
            around=_together([each.around for each in partials]),
            earlier=_together([each.earlier for each in partials]),
            provenance=_merged(each.provenance for each in partials),
            errors=_merged(each.errors for each in partials),
        )

    def of(self, kpis: Collection[str]) -> Partial:
        """What some of the KPIs contribute."""

        def mine(numbers: LongForm | None) -> LongForm | None:
            if numbers is None:
                return None
            return numbers.of([row for row, (kpi, _) in enumerate(numbers.keys) if kpi in kpis])

        testimonies = tuple(each.of(kpis) for each in self.testimonies)
        return replace(
            self,
            testimonies=testimonies if any(each.scored.keys for each in testimonies) else (),
            around=mine(self.around),
            earlier=mine(self.earlier),
        )


def _merged(parts: Iterable[Mapping[str, Value]]) -> dict[str, Value]:
    return {name: value for part in parts for name, value in part.items()}


def _together(parts: Sequence[LongForm | None]) -> LongForm | None:
    present = [part for part in parts if part is not None]
    return LongForm.together(present) if present else None
