"""Releases about which nobody who sees the plot would argue, each kind with its right answers.

A kind draws its parameters per seed. Quiet kinds and their broken twins stand beside each other.
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
Rng = np.random.Generator
TUESDAY = pd.Timestamp("2025-06-03T09:00Z")
QUIET, FOUND = 0.95, 0.9  # how often the right answer must be given


@dataclass(frozen=True, slots=True)
class Case:
    """A series around a release, with the arguments of `anomaly.check`."""

    values: Floats
    index: pd.DatetimeIndex
    released: pd.Timestamp
    options: Mapping[str, Any] = field(default_factory=dict)

    def report(self) -> Report:
        series = pd.Series(np.asarray(self.values, float), self.index, name="kpi")
        return anomaly.check(series, released_at=self.released, **self.options)


Answer = Callable[[Report], bool]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of release: how a case is made, which answer is right, how often it must be given."""

    name: str
    group: str
    make: Callable[[Rng], Case]
    is_right: Answer
    harmful: bool
    at_least: float
    at_most: float = 1.0


KINDS: dict[str, Kind] = {}


def kind(
    name: str,
    group: str,
    is_right: Answer,
    make: Callable[[Rng], Case],
    *,
    harmful: bool = False,
    at_least: float | None = None,
) -> None:
    """Add a kind to the catalogue."""
    assert name not in KINDS, name
    share = at_least if at_least is not None else FOUND if harmful else QUIET
    KINDS[name] = Kind(name, group, make, is_right, harmful, share)


def cases(which: Kind, seeds: int) -> list[Case]:
    """The cases of a kind, the same every time."""
    return [
        which.make(np.random.default_rng([seed, *which.name.encode()])) for seed in range(seeds)
    ]


# --- right answers -----------------------------------------------------------------------------


def only(report: Report) -> Finding:
    return report.findings[0]


def quiet(report: Report) -> bool:
    """The release passes; a KPI may have improved."""
    return report.verdict == "pass"


def no_alarm(report: Report) -> bool:
    """The release does not fail; that the evidence is too thin may be said."""
    return report.verdict != "fail"


def quiet_within(effect: float) -> Answer:
    """It passes, and the effect shown is at most this far from none."""

    def is_right(report: Report) -> bool:
        found = only(report).effect
        return quiet(report) and found is not None and abs(found) <= effect

    return is_right


def regressed(report: Report) -> bool:
    return only(report).verdict is Verdict.REGRESSED


def regressed_by(effect: float, within: float) -> Answer:
    """It regressed, by about this much."""

    def is_right(report: Report) -> bool:
        found = only(report).effect
        return regressed(report) and found is not None and abs(found - effect) <= within

    return is_right


def undecided(report: Report) -> bool:
    return only(report).verdict is Verdict.INCONCLUSIVE


def not_a_pass(report: Report) -> bool:
    return report.verdict != "pass"


def over(report: Report) -> bool:
    """What happened is over: the release passes."""
    return only(report).verdict in (Verdict.RECOVERED, Verdict.OK)


# --- parts of series ---------------------------------------------------------------------------


def grid(
    released: pd.Timestamp, days: float, hours: float, step: str = "5min"
) -> tuple[pd.DatetimeIndex, NDArray[np.bool_]]:
    """An index of so many days before a release and hours after, and which of it is after."""
    index = pd.date_range(
        released - pd.Timedelta(days=days),
        released + pd.Timedelta(hours=hours),
        freq=step,
        inclusive="left",
    )
    return index, np.asarray(index >= released)


def hour(index: pd.DatetimeIndex) -> Floats:
    return np.asarray(index.hour + index.minute / 60, float)


def weekend(index: pd.DatetimeIndex, share: float) -> Floats:
    """`share` on Saturdays and Sundays, 1 on other days."""
    return np.where(index.dayofweek >= 5, share, 1.0)


def day(index: pd.DatetimeIndex, height: float = 0.3, top: float = 15.0) -> Floats:
    """A smooth day around 1."""
    return np.asarray(1 + height * np.cos(2 * np.pi * (hour(index) - top) / 24))


def noisy(rng: Rng, level: Floats, share: float) -> Floats:
    return np.asarray(level * (1 + share * rng.normal(size=len(level))))
