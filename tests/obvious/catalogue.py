"""Releases about which nobody who sees the plot would argue, in kinds.

A *kind* says how its cases are made and which answer is right. A *case* is one series around one
release, its parameters drawn from the seed: how high, how noisy, how long, when. Harmless kinds and
their broken twins stand beside each other, so that a judge can't be right on both by always saying
the same.

Some of the right answers may be missed by chance, so a kind also says how often its right answer
must be given, as a share of the seeds:

- 95 % where nothing happened, and where a catastrophe did (`CERTAIN`);
- 90 % where an effect must be found (`FOUND`);
- 70 to 95 % where the effect is exactly the one that the report called detectable. It says that
  four of five are found; far more would mean that it promises too little.

The kinds lie in one module per group. `tests.obvious.kinds` gives all of them, in a stable order.
They are tested with few seeds in `test_obvious.py`, judged with many and beside other judges by
`make obvious`, and shown as pictures on the page `docs/gallery.md`.

To add a kind, write a function that makes a case from a random generator, and call `kind` in the
module of its group. A case has to be judged in a fifth of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import anomaly
from anomaly import Finding, Report, Verdict

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rng = np.random.Generator
TUESDAY = pd.Timestamp("2025-06-03T09:00Z")
CERTAIN, FOUND = 0.95, 0.9  # how often the right answer must be given
HALVED = 0.5
UP, DOWN, EITHER = {"direction": "up"}, {"direction": "down"}, {"direction": "either"}


@dataclass(frozen=True, slots=True)
class Case:
    """A series around a release, with the further arguments of `anomaly.check`."""

    values: Floats
    index: pd.DatetimeIndex
    released: pd.Timestamp
    options: Mapping[str, Any] = field(default_factory=dict)

    def series(self) -> pd.Series:
        """The values as a series of the name `kpi`."""
        return pd.Series(np.asarray(self.values, float), self.index, name="kpi")

    def report(self) -> Report:
        """The report of `anomaly.check`; raises what that raises."""
        return anomaly.check(self.series(), released_at=self.released, **self.options)

    @property
    def after(self) -> Bools:
        """Which steps are after the release."""
        return np.asarray(self.index >= self.released)


Answer = Callable[[Report], bool]
Maker = Callable[[Rng], Case]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of release: how a case is made, which answer is right, and the least and the largest
    share of the seeds that may get it."""

    name: str
    group: str
    make: Maker
    is_right: Answer
    harmful: bool
    at_least: float
    at_most: float = 1.0

    def holds(self, share: float) -> bool:
        """Whether it is enough, and not too much, that this share of the seeds is right."""
        return self.at_least <= share <= self.at_most

    def case(self, seed: int) -> Case:
        """The case of a seed, the same every time."""
        return self.make(np.random.default_rng([seed, *self.name.encode()]))

    def answer(self, seed: int) -> bool:
        """Whether the case of a seed is answered right; no answer is a wrong one."""
        try:
            return self.is_right(self.case(seed).report())
        except anomaly.AnomalyError:
            return False


KINDS: dict[str, Kind] = {}  # as they were added; `tests.obvious.kinds` has them all


def kind(
    name: str,
    group: str,
    is_right: Answer,
    make: Maker,
    *,
    harmful: bool = False,
    at_least: float | None = None,
    at_most: float = 1.0,
) -> None:
    """Add a kind. Unless said otherwise, harm must be found in 90 % of the seeds, and everything
    else answered right in 95 %."""
    assert name not in KINDS, f"two kinds are called {name!r}"
    share = at_least if at_least is not None else FOUND if harmful else CERTAIN
    KINDS[name] = Kind(name, group, make, is_right, harmful, share, at_most)


def cases(which: Kind, seeds: int) -> list[Case]:
    """The cases of the first seeds of a kind."""
    return [which.case(seed) for seed in range(seeds)]


# --- right answers -----------------------------------------------------------------------------


def only(report: Report) -> Finding:
    """The finding about the one series."""
    return report.findings[0]


def passes(report: Report) -> bool:
    """The release passes; a KPI may have improved."""
    return report.verdict == "pass"


def does_not_pass(report: Report) -> bool:
    """The release fails, or is left undecided."""
    return report.verdict != "pass"


def does_not_fail(report: Report) -> bool:
    """The release does not fail; that the evidence is too thin may be said."""
    return report.verdict != "fail"


def passes_within(effect: float) -> Answer:
    """It passes, and the effect shown is at most this far from none."""

    def is_right(report: Report) -> bool:
        size = only(report).effect
        return passes(report) and size is not None and abs(size) <= effect

    return is_right


def passes_surely(effect: float, width: float) -> Answer:
    """The same, and the interval of the effect is at most so wide."""

    def is_right(report: Report) -> bool:
        interval = only(report).effect_interval
        is_narrow = interval is not None and interval[1] - interval[0] <= width
        return passes_within(effect)(report) and is_narrow

    return is_right


def regresses(report: Report) -> bool:
    """The KPI regressed."""
    return only(report).verdict is Verdict.REGRESSED


def regresses_by(effect: float, within: float) -> Answer:
    """It regressed, by about this much."""

    def is_right(report: Report) -> bool:
        size = only(report).effect
        return regresses(report) and size is not None and abs(size - effect) <= within

    return is_right


def regresses_since(onset: pd.Timestamp, within: pd.Timedelta) -> Answer:
    """It regressed, and the onset shown is at most this far from the true one."""

    def is_right(report: Report) -> bool:
        began = only(report).onset
        return regresses(report) and began is not None and abs(began - onset) <= within

    return is_right


def is_left_open(report: Report) -> bool:
    """The release is neither blamed nor cleared."""
    return only(report).verdict is Verdict.INCONCLUSIVE


def is_over(report: Report) -> bool:
    """What happened is over: the release passes."""
    return only(report).verdict in (Verdict.RECOVERED, Verdict.OK)


# --- parts of series ---------------------------------------------------------------------------


def grid(
    released: pd.Timestamp, days: float, hours: float, step: str = "5min"
) -> tuple[pd.DatetimeIndex, Bools]:
    """An index of so many days before a release and hours after, and which of it is after."""
    index = pd.date_range(
        released - pd.Timedelta(days=days),
        released + pd.Timedelta(hours=hours),
        freq=step,
        inclusive="left",
    )
    return index, np.asarray(index >= released)


def hour(index: pd.DatetimeIndex) -> Floats:
    """The time of the day, in hours."""
    return np.asarray(index.hour + index.minute / 60, float)


def weekend(index: pd.DatetimeIndex, share: float) -> Floats:
    """`share` on Saturdays and Sundays, 1 on other days."""
    return np.where(index.day_of_week >= 5, share, 1.0)


def day(index: pd.DatetimeIndex, height: float = 0.3, top: float = 15.0) -> Floats:
    """A smooth day around 1, `height` above it at the hour `top`."""
    return np.asarray(1 + height * np.cos(2 * np.pi * (hour(index) - top) / 24))


def noisy(rng: Rng, level: Floats, share: float) -> Floats:
    """A level with Gaussian noise of this share of it."""
    return np.asarray(level * (1 + share * rng.normal(size=len(level))))


def counted(rng: Rng, level: Floats) -> Floats:
    """Counts of this mean (Poisson)."""
    return rng.poisson(level).astype(float)


def ratio(
    rng: Rng, index: pd.DatetimeIndex, requests: Floats, share: Floats
) -> tuple[Floats, pd.Series]:
    """Events among so many requests at this share (Poisson, binomial), and the requests."""
    total = rng.poisson(requests)
    return rng.binomial(total, share).astype(float), pd.Series(total.astype(float), index)
