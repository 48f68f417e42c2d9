"""The two sides of a release: the history that teaches, and the steps after it that are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from anomaly.baseline.exclusions import exclusion_reasons
from anomaly.model import Calendar, Plateau
from anomaly.panel import block, long_form, rows_within, times
from anomaly.timing.spans import Plan

STEPS_BEFORE = 72  # that a report shows of the time before a release


@dataclass(frozen=True, slots=True)
class Sides:
    """A panel on both sides of a release.

    In `history` the excluded steps are missing; `observation` is without them, as are the parts of
    it by plateau, of those that data reach. `exclusions` holds a reason for each excluded step of
    the watch, `planned_steps` counts the others of the whole watch. `context` holds in long form
    what a report shows besides: the last steps before the release, and the steps after it that are
    not judged.
    """

    history: pd.DataFrame
    observation: pd.DataFrame
    plateaus: tuple[tuple[Plateau, pd.DataFrame], ...]
    exclusions: Sequence[str]
    planned_steps: int
    context: pd.DataFrame

    @property
    def starts(self) -> tuple[datetime, ...]:
        """When the steps of the observation start."""
        return times(self.observation)


def split(panel: pd.DataFrame, spans: Plan, step: timedelta, calendar: Calendar) -> Sides:
    """The two sides of a panel that reaches from the baseline window to the horizon."""
    reasons = exclusion_reasons(pd.DatetimeIndex(panel.index), step, calendar)
    ordinary = reasons == ""
    before = rows_within(panel, spans.baseline, step)
    history = panel[before]
    if not ordinary[before].all():
        history = history.where(np.broadcast_to(ordinary[before, None], history.shape))
    on_plateaus = [rows_within(panel, plateau.window, step) for plateau in spans.reached]
    watched = np.logical_or.reduce([np.zeros(len(panel), bool), *on_plateaus])
    exclusions = reasons[watched & ~ordinary]
    planned = spans.steps(panel.index[0].to_pydatetime(), step) if len(panel) else 0
    return Sides(
        history=history,
        observation=panel[watched & ordinary],
        plateaus=tuple(
            (plateau, panel[rows & ordinary])
            for plateau, rows in zip(spans.reached, on_plateaus, strict=True)
        ),
        exclusions=exclusions,
        planned_steps=max(1, planned - len(exclusions)),
        context=_context(panel, watched & ordinary, spans.baseline.end - STEPS_BEFORE * step),
    )


def _context(panel: pd.DataFrame, judged_mask: np.ndarray, since: datetime) -> pd.DataFrame:
    """The steps that are not judged, in long form, series after series."""
    context = panel[(panel.index >= since) & ~judged_mask]
    series = block(context)
    return long_form(series.keys, pd.DatetimeIndex(context.index), {"observed": series.value})
