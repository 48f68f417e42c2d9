"""The judge: all that one observation after another is scored and decided by."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from anomaly.baseline.correlogram import Correlogram, correlogram
from anomaly.baseline.kept import Learner
from anomaly.baseline.regime_start import Regime, since_regime_start
from anomaly.baseline.robust import Ints
from anomaly.baseline.seasonal import Baseline, SeasonalBaseline
from anomaly.baseline.sides import Sides
from anomaly.baseline.structural import with_structure
from anomaly.decision.decide import decide
from anomaly.decision.mix import Key, PastPart, PastShares, mixes, past_parts
from anomaly.decision.progress import WatchProgress
from anomaly.errors import UsageError
from anomaly.model import SMALL_FAMILY, Calendar, Correction, Finding, Kpi
from anomaly.panel import block, columns_at, keys_of, named, rows_at, steps_between
from anomaly.scoring.controlled import score_beside_controls
from anomaly.scoring.controls import controls_of
from anomaly.scoring.power import Doer, one_by_one
from anomaly.scoring.scored import Scored

TOGETHER = 24  # series that are judged together
LEARNER = SeasonalBaseline()  # which keeps nothing


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
class Testimony:
    """What the data of some series say of one window of the observation: their scores, and the
    parts that they have in their totals."""

    scored: Scored
    parts: Mapping[Key, PastPart]

    @classmethod
    def together(cls, testimonies: Sequence[Testimony]) -> Testimony:
        """What the data of all of them say of the same window."""
        return cls(
            Scored.together([each.scored for each in testimonies]),
            {key: part for each in testimonies for key, part in each.parts.items()},
        )

    def of(self, kpis: Collection[str]) -> Testimony:
        """What the data of some KPIs say."""
        rows = [row for row, key in enumerate(self.scored.keys) if key[0] in kpis]
        parts = {key: part for key, part in self.parts.items() if key[0] in kpis}
        return Testimony(self.scored.of(rows), parts)


@dataclass(frozen=True, slots=True)
class Batch:
    """A few series that are judged together, for what is computed for them fits into a cache.

    `panel` holds `own` series first, then the controls that these have beside them; `totals` those
    of which they are a part. The `family` is how many series are decided about together, or more.
    """

    own: int
    family: int
    panel: pd.DataFrame
    totals: pd.DataFrame


def batches(
    panel: pd.DataFrame, kpis: Sequence[Kpi], own_kpis: Collection[str], family: int
) -> Iterator[Batch]:
    """The series of some KPIs of a panel in their order, `TOGETHER` at a time; the others are there
    as controls. The `family` is that of `Batch`."""
    columns: dict[Key, list[int]] = {}
    every = keys_of(panel)
    for column, (kpi, segment, _) in enumerate(every):
        columns.setdefault((kpi, segment), []).append(column)
    keys = [*columns]
    with_total = {kpi.name for kpi in kpis if kpi.by}
    totals = {
        kpi: columns[kpi, segment] for kpi, segment in keys if not segment and kpi in with_total
    }
    controls = controls_of(keys, kpis)

    def frame(places: Sequence[int]) -> pd.DataFrame:
        # one layout, for the last digits of sums may depend on it
        values = np.asfortranarray(columns_at(panel, places).to_numpy(dtype=np.float64))
        names = named([every[column] for column in places])
        return pd.DataFrame(values, panel.index, names, copy=False)

    judged_rows = [row for row, (kpi, _) in enumerate(keys) if kpi in own_kpis]
    for first in range(0, len(judged_rows), TOGETHER):
        own = judged_rows[first : first + TOGETHER]
        beside = {int(row) for each in own for row in controls.get(each, ())}.difference(own)
        rows = [*own, *sorted(beside)]
        names = dict.fromkeys(keys[row][0] for row in own)
        yield Batch(
            own=len(own),
            family=family,
            panel=frame([column for row in rows for column in columns[keys[row]]]),
            totals=frame([column for name in names for column in totals.get(name, ())]),
        )


def learn(
    regime: Regime,
    sides: Sides,
    kpis: Sequence[Kpi],
    calendar: Calendar,
    learner: Learner = LEARNER,
) -> Baseline:
    """The baseline of every series, learned from its current regime."""
    baseline = learner.fit(regime.history, kpis, calendar)
    baseline = replace(baseline, just_on=regime.just_on)
    return with_structure(baseline, regime.history, sides.index[sides.observation])


def _regime(panel: pd.DataFrame, sides: Sides) -> Regime:
    return since_regime_start(sides.past(panel), int(sides.observation.sum()))


def examine(
    batch: Batch,
    sides: Sides,
    kpis: Sequence[Kpi],
    settings: Settings,
    learner: Learner = LEARNER,
) -> tuple[Testimony, ...]:
    """What the data of a batch say, window by window (`Sides.windows`)."""
    regime = _regime(batch.panel, sides)
    ages = regime.ages[: batch.own]
    rows = [np.flatnonzero(ages == age) for age in np.unique(ages)]
    if len(rows) == 1:
        return _of_one_age(batch, regime, sides, kpis, settings, learner)
    parts = [_some_of(batch, own, kpis) for own in rows]
    testimonies = [
        _of_one_age(part, _regime(part.panel, sides), sides, kpis, settings, learner)
        for part in parts
    ]
    order = np.argsort(np.concatenate(rows))
    together = [Testimony.together(window) for window in zip(*testimonies, strict=True)]
    return tuple(replace(each, scored=each.scored.of(order.tolist())) for each in together)


def _some_of(batch: Batch, own: Ints, kpis: Sequence[Kpi]) -> Batch:
    """The batch with some of its own series alone, and their controls."""
    columns: dict[Key, list[int]] = {}
    for column, (kpi, segment, _) in enumerate(keys_of(batch.panel)):
        columns.setdefault((kpi, segment), []).append(column)
    keys = [*columns]
    controls = controls_of(keys, kpis)
    beside = {int(row) for each in own for row in controls.get(int(each), ())}.difference(own)
    places = [column for row in (*own, *sorted(beside)) for column in columns[keys[row]]]
    return replace(batch, own=len(own), panel=columns_at(batch.panel, places))


def _of_one_age(
    batch: Batch,
    regime: Regime,
    sides: Sides,
    kpis: Sequence[Kpi],
    settings: Settings,
    learner: Learner,
) -> tuple[Testimony, ...]:
    """`examine` of series of one age. Young ones are not there at most placebo releases of the
    others, so nothing is replayed together with these."""
    history = regime.history
    baseline = learn(regime, sides, kpis, settings.calendar, learner)
    past_totals = sides.past(batch.totals)
    shares = PastShares.learned(history, past_totals, kpis, settings.calendar, learner)
    out = []
    for rows in sides.windows:
        observation = rows_at(batch.panel, rows)
        gap = steps_between(history, observation, baseline.step)
        scored = score_beside_controls(
            baseline,
            history,
            observation,
            kpis,
            gap,
            report_below=settings.false_alarms,
            hold_out=batch.family > SMALL_FAMILY,
        )
        totals = past_totals, rows_at(batch.totals, rows)
        parts = past_parts(history, observation, totals, shares, gap)
        own = scored if batch.own == len(scored.keys) else scored.of(range(batch.own))
        if regime.ages[0]:
            none = np.empty((batch.own, 0))
            own = replace(own, replayed=none, held_out=none)
        out.append(Testimony(own, parts))
    return tuple(out)


def correlograms(
    panel: pd.DataFrame, sides: Sides, kpis: Sequence[Kpi], calendar: Calendar
) -> Mapping[tuple[str, str], Correlogram]:
    """What is left of the autocorrelation of each series, by KPI and segment; without those that
    have too little history."""
    out = {}
    for batch in batches(panel, kpis, {kpi.name for kpi in kpis}, panel.shape[1]):
        regime = _regime(batch.panel, sides)
        baseline = learn(regime, sides, kpis, calendar)
        surprises = baseline.surprises(np.isfinite(block(regime.history).value))
        orders = (baseline.phi != 0).sum(axis=1)
        for key, row, order in zip(baseline.keys, surprises, orders, strict=True):
            if (test := correlogram(row, int(order))) is not None:
                out[key] = test
    return out


@dataclass(frozen=True, slots=True)
class Judge:
    """The KPIs with the weights of their usage, and the settings: what a testimony is judged by.
    The `doer` does what can be done by several at a time."""

    kpis: Sequence[Kpi]
    usage: Mapping[str, float]
    settings: Settings
    doer: Doer = one_by_one

    def decide(
        self, testimony: Testimony, progress: WatchProgress, share: float = 1.0
    ) -> tuple[Finding, ...]:
        """The findings about a window that may spend a `share` of the false alarms."""
        return decide(
            testimony.scored,
            self.kpis,
            self.usage,
            progress,
            false_alarms=self.settings.false_alarms,
            correction=self.settings.correction,
            share=share,
            mixes=mixes(testimony.scored, testimony.parts),
            doer=self.doer,
        )
