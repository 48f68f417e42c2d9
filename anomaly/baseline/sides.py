"""The two sides of a release: the history that teaches, and the steps after it that are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from anomaly.baseline.exclusions import exclusion_reasons
from anomaly.baseline.robust import Bools
from anomaly.model import Calendar, Plateau
from anomaly.panel import rows_at, rows_within
from anomaly.timing.spans import Plan

STEPS_BEFORE = 72  # that a report shows of the time before a release


@dataclass(frozen=True, slots=True)
class Sides:
    """Which rows of a panel lie on which side of a release, `(time,)` each.

    Of the `history` the excluded steps, those that are not `ordinary`, are missing; the
    `observation` is without them, as are the parts of it by plateau, of those that data reach.
    `exclusions` holds a reason for each excluded step of the watch, `planned_steps` counts the
    others of the whole watch. `context` are the rows that a report shows besides: the last steps
    before the release, and the steps after it that are not judged.
    """

    index: pd.DatetimeIndex
    history: Bools
    ordinary: Bools
    observation: Bools
    plateaus: tuple[tuple[Plateau, Bools], ...]
    exclusions: Sequence[str]
    planned_steps: int
    context: Bools

    @property
    def starts(self) -> tuple[datetime, ...]:
        """When the steps of the observation start."""
        return tuple(self.index[self.observation].to_pydatetime())

    @property
    def windows(self) -> tuple[Bools, ...]:
        """The rows that are judged together: the observation and, if there are several, each of
        its plateaus."""
        return (self.observation, *(rows for _, rows in self.plateaus if len(self.plateaus) > 1))

    def past(self, panel: pd.DataFrame) -> pd.DataFrame:
        """The history of a panel with these rows."""
        history, ordinary = rows_at(panel, self.history), self.ordinary[self.history]
        if ordinary.all():
            return history
        return history.where(np.broadcast_to(ordinary[:, None], history.shape))


def sides_of(index: pd.DatetimeIndex, spans: Plan, step: timedelta, calendar: Calendar) -> Sides:
    """The two sides of a panel whose rows reach from the baseline window to the horizon."""
    reasons = exclusion_reasons(index, step, calendar)
    ordinary = reasons == ""
    on_plateaus = [rows_within(index, plateau.window, step) for plateau in spans.reached]
    watched = np.logical_or.reduce([np.zeros(len(index), bool), *on_plateaus])
    exclusions = reasons[watched & ~ordinary]
    planned = spans.steps(index[0].to_pydatetime(), step) if len(index) else 0
    since = spans.baseline.end - STEPS_BEFORE * step
    return Sides(
        index=index,
        history=rows_within(index, spans.baseline, step),
        ordinary=ordinary,
        observation=watched & ordinary,
        plateaus=tuple(
            (plateau, rows & ordinary)
            for plateau, rows in zip(spans.reached, on_plateaus, strict=True)
            if (rows & ordinary).any()
        ),
        exclusions=exclusions,
        planned_steps=max(1, planned - len(exclusions)),
        context=np.asarray(index >= pd.Timestamp(since)) & ~(watched & ordinary),
    )
