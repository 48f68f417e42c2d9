"""A case: one series that can be judged, with all that its verdict depends on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from anomaly.decision.mix import at_usual_mix
from anomaly.decision.progress import WatchProgress
from anomaly.model import ChangeKind, Kpi
from anomaly.scoring import power
from anomaly.scoring.onset import Onset
from anomaly.scoring.power import Doer, Request
from anomaly.scoring.scored import Score
from anomaly.scoring.sizes import Sizes


@dataclass(frozen=True, slots=True)
class OnsetTime:
    """When a change began, and between which moments."""

    at: datetime
    interval: tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Case:
    """One series that can be judged: its score with the `sizes` in it, its p-value over the whole
    watch, the `alpha` that this has to undercut, of a total how much the mix moved it, and the
    number of `steps` with a sample."""

    kpi: Kpi
    score: Score
    sizes: Sizes
    p_value: float
    alpha: float
    mix_effect: float | None
    steps: int
    progress: WatchProgress

    @property
    def kind(self) -> ChangeKind | None:
        return self.score.kind

    @property
    def at_usual_mix(self) -> Sizes:
        """The change that the segments make up; the whole change without a mix."""
        return at_usual_mix(self.sizes, self.mix_effect)

    @property
    def onset(self) -> OnsetTime | None:
        """When the change began."""
        return None if self.score.onset is None else self.time_of(self.score.onset)

    def time_of(self, steps: Onset) -> OnsetTime:
        """An onset as moments."""
        first, last = self.progress.at(steps.first), self.progress.at(steps.last)
        return OnsetTime(self.progress.at(steps.step), (first, last))

    def is_significant(self, p: float) -> bool:
        """Whether a p-value of the steps so far undercuts alpha."""
        return self.progress.over_the_watch(p) < self.alpha


def detectable(cases: Sequence[Case], doer: Doer) -> list[tuple[float | None, float | None]]:
    """The smallest change of each case that would be found with a power of 80 %, relative and
    absolute; the `doer` looks for them."""
    questions = {
        i: Request(
            case.score.power,
            case.alpha * case.progress.share,
            case.kpi.direction,
            case.kpi.tolerance,
            case.kpi.floor,
        )
        for i, case in enumerate(cases)
        if case.score.power is not None
    }
    out: list[tuple[float | None, float | None]] = [(None, None)] * len(cases)
    for i, smallest in zip(questions, power.detectable([*questions.values()], doer), strict=True):
        if smallest is not None and math.isfinite(smallest[1]):
            out[i] = smallest
    return out
