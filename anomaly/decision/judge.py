"""The judge: all that one observation after another is scored and decided by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from anomaly.baseline.correlogram import Correlogram, correlogram
from anomaly.baseline.regime_start import since_regime_start
from anomaly.baseline.seasonal import Baseline, SeasonalBaseline
from anomaly.baseline.sides import Sides
from anomaly.baseline.structural import with_structure
from anomaly.decision.decide import decide
from anomaly.decision.mix import mixes, usual_shares
from anomaly.decision.progress import WatchProgress
from anomaly.errors import UsageError
from anomaly.model import Calendar, Correction, Finding, Kpi
from anomaly.panel import block, steps_between
from anomaly.scoring.controlled import score_beside_controls
from anomaly.scoring.score import Scored


@dataclass(frozen=True, slots=True)
class Settings:
    """What a verdict depends on besides the data and the KPIs; raises UsageError for an impossible
    share of false alarms."""

    calendar: Calendar
    false_alarms: float
    correction: Correction

    def __post_init__(self) -> None:
        if not 0 < self.false_alarms < 1:
            raise UsageError(
                f"false_alarms is {self.false_alarms}; use a share between 0 and 1, such as 0.01"
            )


@dataclass(frozen=True, slots=True)
class Judge:
    """A baseline fitted to a history, the KPIs with the weights of their usage, and the
    settings."""

    baseline: Baseline
    history: pd.DataFrame
    kpis: Sequence[Kpi]
    usage: Mapping[str, float]
    settings: Settings

    @classmethod
    def fit(
        cls, sides: Sides, kpis: Sequence[Kpi], usage: Mapping[str, float], settings: Settings
    ) -> Judge:
        """Learn from the history since its current regime started."""
        history = since_regime_start(sides.history, len(sides.observation))
        baseline = with_structure(
            SeasonalBaseline().fit(history, kpis, settings.calendar),
            history,
            pd.DatetimeIndex(sides.observation.index),
        )
        return cls(baseline, history, kpis, usage, settings)

    def correlograms(self) -> Mapping[tuple[str, str], Correlogram]:
        """What is left of the autocorrelation of each series, by KPI and segment; without those
        that have too little history."""
        present = np.isfinite(block(self.history).value)
        surprises, orders = self.baseline.surprises(present), (self.baseline.phi != 0).sum(axis=1)
        tests = (correlogram(row, int(order)) for row, order in zip(surprises, orders, strict=True))
        keys = self.baseline.keys
        return {key: test for key, test in zip(keys, tests, strict=True) if test is not None}

    def verifiable(self, planned_steps: int) -> float:
        """The least rate of false alarms that this history can confirm for a watch so long."""
        return 1 / (1 + len(self.history) // planned_steps)

    def score(self, observation: pd.DataFrame) -> Scored:
        """What the data of each series say."""
        return score_beside_controls(
            self.baseline,
            self.history,
            observation,
            self.kpis,
            self._gap(observation),
            report_below=self.settings.false_alarms,
        )

    def decide(
        self, scored: Scored, observation: pd.DataFrame, progress: WatchProgress, share: float = 1.0
    ) -> tuple[Finding, ...]:
        """The findings about an observation that may spend a `share` of the false alarms."""
        usual = usual_shares(
            self.history, observation, self.kpis, self.settings.calendar, self._gap(observation)
        )
        return decide(
            scored,
            self.kpis,
            self.usage,
            progress,
            false_alarms=self.settings.false_alarms,
            correction=self.settings.correction,
            share=share,
            mixes=mixes(scored, usual),
        )

    def _gap(self, observation: pd.DataFrame) -> int:
        """How many steps lie between the history and the observation."""
        return steps_between(self.history, observation, self.baseline.step)
