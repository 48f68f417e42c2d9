"""Effects of a known size, put into what was collected."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from anomaly.contracts import Collected
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE
from anomaly.reporting.report import Report

MOST_EVENTS = 1e9  # in a step; beyond, drawing them one by one changes nothing
Key = tuple[str, str]  # a KPI and the text of its segment


def inject(
    collected: Collected,
    effects: Mapping[Key, float],
    quiet: Report,
    rng: np.random.Generator,
    *,
    rates: Collection[str] = (),
) -> Collected:
    """The data as if, from the start of the release of `quiet` on, each series were 1 + its effect
    times what it was.

    Values are multiplied, of a ratio its numerator. Counts stay counts: each event is kept with
    probability 1 + effect, or events are added as a Poisson process at `effect` times the rate that
    `quiet` expects; the numerator of a ratio that never exceeded its denominator does not then
    either. A series counts if all of its values are whole numbers and it is not among the `rates`.
    """
    panel = collected.panel.copy()
    after = panel.index >= quiet.release.started_at
    expected = {
        (str(key[0]), str(key[1])): part.set_index("time")["expected"]
        for key, part in quiet.points.groupby(["kpi", "segment"], sort=False, observed=True)
    }
    for (name, segment), effect in sorted(effects.items()):
        ratio = (name, segment, VALUE) not in panel.columns
        column = (name, segment, NUMERATOR if ratio else VALUE)
        below = panel[(name, segment, DENOMINATOR)].to_numpy() if ratio else np.ones(len(panel))
        values = panel[column].to_numpy()
        if name not in rates and _counts(values):
            rate = (
                expected.get((name, segment), pd.Series(dtype=float))
                .reindex(panel.index)
                .to_numpy()
                * below
            )
            shifted = _events(values[after], effect, rate[after], rng)
            if ratio and bool(np.all((values <= below) | ~np.isfinite(values + below))):
                shifted = np.fmin(shifted, below[after])
        else:
            shifted = values[after] * (1 + effect)
        panel.loc[after, column] = shifted
    return replace(collected, panel=panel)


def _counts(values: np.ndarray) -> bool:
    """Whether these are whole numbers of events, as far as they are known."""
    numbers = values[np.isfinite(values)]
    return bool(
        len(numbers)
        and numbers.min() >= 0
        and numbers.max() < MOST_EVENTS
        and (numbers == np.rint(numbers)).all()
    )


def _events(
    values: np.ndarray, effect: float, rate: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    present = np.isfinite(values)
    out = values.copy()
    if effect < 0:
        out[present] = rng.binomial(values[present].astype(np.int64), max(0.0, 1 + effect))
    else:
        usual = np.where(np.isfinite(rate), np.fmax(rate, 0.0), values)
        out[present] += rng.poisson(effect * usual[present])
    return out
