"""Judges made of other packages, each at its documented defaults. `make peers` installs what is
missing."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import numpy as np
from scipy.stats import norm

from benchmarks.generated import Case
from benchmarks.judges import SILENT, TINY, Judge, Judged, known, surprise
from benchmarks.quiet import Floats

EIGHTHS, LEAST = 8, 10  # windows of the observation, and how many the history must have
DELTAS = (0.05, 0.002, 1e-4, 1e-6, 1e-9, 1e-12)
DEFAULT_DELTA = 0.002
ALPHA = 0.05


def neighbours(case: Case) -> Judged:
    """Mean distance of eighths of the observation to their fifth nearest neighbour among windows of
    the history (pyod's KNN).

    An alarm where it is beyond pyod's threshold, at its contamination of 0.1. Windows don't
    overlap, for those that do are neighbours.
    """
    from pyod.models.knn import KNN

    after = len(case.values) - case.before
    length = max(after // EIGHTHS, 2)
    history, release = (
        _looks(side, length)
        for side in (case.values[case.before % length : case.before], case.values[case.before :])
    )
    if len(release) == 0 or len(history) < LEAST:
        return SILENT
    middle, spread = history.mean(axis=0), np.maximum(history.std(axis=0), TINY)
    model = KNN().fit((history - middle) / spread)
    score = float(model.decision_function((release - middle) / spread).mean())
    return Judged(score / max(float(model.threshold_), TINY), score > model.threshold_)


def _looks(values: Floats, length: int) -> Floats:
    windows = [
        known(values[start : start + length])
        for start in range(0, len(values) - length + 1, length)
    ]
    return np.array(
        [[w.mean(), w.std(), w.min(), np.median(w), w.max()] for w in windows if len(w)]
    )


def adaptive_window(case: Case) -> Judged:
    """A drift that ADWIN sees after the release (river: delta 0.002; Bifet and Gavaldà 2007), the
    history scaled to 0 … 1.

    The score is how small delta may be until nothing is seen.
    """
    from river.drift import ADWIN

    history = known(case.values[: case.before])
    scaled = (case.values - history.min()) / max(float(np.ptp(history)), TINY)
    before, whole = known(scaled[: case.before]), known(scaled)
    if len(whole) == len(before):
        return SILENT

    def seen(delta: float) -> bool:
        detector = ADWIN(delta=delta)
        drifts = np.empty(len(whole), dtype=bool)
        for at, value in enumerate(whole):
            detector.update(value)
            drifts[at] = detector.drift_detected
        return bool(drifts[len(before) :].any())

    found = [delta for delta in DELTAS if seen(delta)]
    return Judged(surprise(min(found)) if found else 0.0, DEFAULT_DELTA in found)


def local_level(case: Case) -> Judged:
    """Mean after the release against the forecast of a local level, at 5 % (statsmodels;
    CausalImpact's model without covariates).

    The forecast's mean over m steps varies by the level's uncertainty P, by σ²_level (m + 1)(2m +
    1)/(6m) and by σ²_noise/m (Durbin and Koopman 2012, 2.2).
    """
    from statsmodels.tsa.statespace.structural import UnobservedComponents

    history, after = case.values[: case.before], known(case.values[case.before :])
    if len(after) == 0:
        return SILENT
    middle, spread = float(np.nanmean(history)), max(float(np.nanstd(history)), TINY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the fit did not converge is the peer's own affair
        fit = UnobservedComponents((history - middle) / spread, level="llevel").fit(disp=False)
    noise, drift = fit.params
    m = len(case.values) - case.before
    variance = (
        float(fit.predicted_state_cov[0, 0, -1])
        - drift
        + drift * (m + 1) * (2 * m + 1) / (6 * m)
        + noise / m
    )
    z = (
        abs((after.mean() - middle) / spread - float(fit.predicted_state[0, -1]))
        / max(variance, TINY) ** 0.5
    )
    return Judged(float(z), bool(2 * norm.sf(z) < ALPHA))


PACKAGES: dict[str, tuple[str, Judge]] = {
    "pyod KNN": ("pyod", neighbours),
    "river ADWIN": ("river", adaptive_window),
    "statsmodels local level": ("statsmodels", local_level),
}


def peers() -> tuple[dict[str, Judge], list[str]]:
    """The judges whose package is installed, and the packages that are missing."""
    there = {name: judge for name, (package, judge) in PACKAGES.items() if find_spec(package)}
    return there, [package for package, _ in PACKAGES.values() if not find_spec(package)]
