"""What the first samples of new series count: `increase` and `rate` see no change in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anomaly.collectors.prometheus_series import Series, finite, first_row

AFTER = 2  # rows after the first of a source in which its series may still be scraped at first
MOST_AT_BIRTH = 1000  # events in one step of processes that have just started, at least possible
MOST_TIMES = 10  # of the most that was ever counted in a step, which is possible, too
ROUNDING = 1e-6  # share by which two answers to the same may differ


@dataclass(frozen=True, slots=True)
class Births:
    """A series with what is believed of its births: how much they `counted`; how much was not,
    because it is `unproven` that the source had data before, or `too_many` for a new process."""

    series: Series
    counted: float = 0.0
    unproven: float = 0.0
    too_many: float = 0.0


def with_births(
    plain: Series | None, amended: Series, alive: int | None, seconds: float
) -> Births | None:
    """The series with births, from its answers without and with them; None if these contradict each
    other.

    `alive` is the row at which anything of the source had data first. Values are per `seconds`: 1
    for counts.
    """
    whole, _ = finite(amended)
    if plain is None:
        plain = Series(np.full(len(whole.values), np.nan), np.zeros(len(whole.values), np.bool_))
    if np.array_equal(whole.values, plain.values, equal_nan=True):  # none, as nearly always
        return Births(plain)
    usual = np.nan_to_num(plain.values)
    births = np.where(np.isnan(whole.values), 0.0, whole.values - usual)
    slack = ROUNDING * np.maximum(1 / seconds, np.abs(usual))
    if (births < -slack).any():
        return None
    births = np.where(births > slack, births, 0.0)
    rows = np.arange(len(births))
    began = first_row([whole.values])
    first = min(each for each in (alive, began, len(rows)) if each is not None)
    possible = births <= max(MOST_TIMES * float(usual.max(initial=0.0)), MOST_AT_BIRTH / seconds)
    proven = rows > first + AFTER
    new = possible & proven & ((births > 0) | (np.isnan(plain.values) & ~np.isnan(whole.values)))
    return Births(
        Series(np.where(new, usual + births, plain.values), plain.answered | new),
        float(births[new].sum() * seconds),
        float(births[possible & ~proven].sum() * seconds),
        float(births[~possible & proven].sum() * seconds),
    )
