"""Where the current regime of a series starts: one that was switched on, or re-scaled, is another
series since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from anomaly.baseline.robust import Bools, Floats, Ints, median
from anomaly.panel import block, step_of

BLOCKS = 48  # medians that stand for the history
LEAST_STEPS, LEAST_WATCHES = 64, 2  # steps, and watches, that must be left
# after a move: what is newer may be an incident of a night and a day
SETTLED = timedelta(hours=36)
# the levels on both sides lie so many of their ranges apart; as logarithms, where all are positive
APART = 2.0
SCALED = float(np.log(3.0))  # and then at least so far: lesser moves are part of what a series does
LONG_OFF = 8  # steps of nothing, in a row, that end what was on
MOSTLY_ON, HARDLY_ON = 0.5, 0.05  # share of steps with more than nothing, since then and before
LONGEST_ON = 0.25  # of the time since: as long has nothing been on before


@dataclass(frozen=True, slots=True)
class Regime:
    """The `history` with all before the current regime missing, and of its series, in the order of
    its block, which were `just_on`, nothing until less than a night and a day before its end, and
    their `ages`: 0 of those whose regime fills half of the history, 1 where it fills a quarter, and
    so on."""

    history: pd.DataFrame
    just_on: Bools
    ages: Ints


def since_regime_start(history: pd.DataFrame, watch: int) -> Regime:
    """The current regime of every series; `watch` is the number of steps that are judged."""
    series = block(history)
    least = max(LEAST_STEPS, LEAST_WATCHES * watch)
    settled = round(SETTLED / step_of(history))
    on = switched_on(series.value)
    begin = np.maximum(regime_starts(series.value, least, settled), on)
    rows = len(history)
    lasts = rows - np.maximum(begin, series.present.argmax(axis=1))
    ages = np.floor(np.log2(rows / lasts)).astype(int)
    if begin.any():
        since = dict(zip(series.keys, begin, strict=True))
        first = np.array([since[str(key[0]), str(key[1])] for key in history.columns])
        history = history.where(np.arange(rows)[:, None] >= first)
    return Regime(history, on > max(0, rows - settled), ages)


def switched_on(values: Floats) -> Ints:
    """The first row since which each series `(series, time)` is more than nothing, where it was
    hardly ever before; 0 for all others."""
    out = np.zeros(len(values), dtype=int)
    is_on, is_off = values > 0, values == 0
    ends_on = is_on[:, -LONG_OFF:].any(axis=1) & is_off.any(axis=1)
    for i in np.flatnonzero(ends_on):
        present = np.flatnonzero(is_on[i] | is_off[i])
        on = is_on[i, present]
        lengths, ends = _runs(~on)
        long = ends[lengths >= LONG_OFF]
        if not len(long):
            continue
        since, before = on[long[-1] :], on[: long[-1]]
        longest = _runs(before)[0].max(initial=0)
        if (
            len(since) >= LONG_OFF
            and since.mean() >= MOSTLY_ON
            and before.mean() <= HARDLY_ON
            and longest <= LONGEST_ON * len(since)
        ):
            out[i] = present[long[-1]]
    return out


def _runs(marks: Bools) -> tuple[Ints, Ints]:
    """How long each run of marks is, and the position after it."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]])))
    return edges[1::2] - edges[::2], edges[1::2]


def regime_starts(values: Floats, least: int, settled: int = 0) -> Ints:
    """The first row of the current regime of each series `(series, time)`, at least `least` before
    the end, and `settled` unless it was off before; 0 where there is only one."""
    count, n = values.shape
    length = max(4, n // BLOCKS)
    blocks = n // length
    rest = n - blocks * length
    level = median(values[:, rest:].reshape(count, blocks, length))
    with np.errstate(all="ignore"):
        positive = np.fmin.reduce(level, axis=1) > 0
        level[positive] = np.log(level[positive])
        cuts = np.array(
            [cut for cut in range(1, blocks) if (blocks - cut - 1) * length >= least], dtype=int
        )
        if len(cuts) == 0:
            return np.zeros(count, dtype=int)
        low_before = np.fmin.accumulate(level, axis=1)[:, cuts - 1]
        high_before = np.fmax.accumulate(level, axis=1)[:, cuts - 1]
        low_after = np.fmin.accumulate(level[:, ::-1], axis=1)[:, ::-1][:, cuts]
        high_after = np.fmax.accumulate(level[:, ::-1], axis=1)[:, ::-1][:, cuts]
        gap = np.fmax(low_after - high_before, low_before - high_after)
        wide = np.fmax(high_before - low_before, high_after - low_after)
        was_off = (low_before == 0) & (high_before == 0)
        far = gap > np.maximum(APART * wide, np.where(positive, SCALED, 0.0)[:, None])
        has_settled = (blocks - cuts - 1) * length >= settled
        is_cut = (gap > 0) & ((far & has_settled) | (was_off & ~positive[:, None]))
    last = is_cut.shape[1] - 1 - is_cut[:, ::-1].argmax(axis=1)
    return np.where(
        is_cut.any(axis=1), rest + (cuts[last] + 1) * length, 0
    )  # the first block may hold some of both
