"""Judges of a release: `anomaly`, and simple ones that are in use, each with its source and at its
known thresholds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu, norm

import anomaly
from anomaly.model import NoData, Verdict
from benchmarks.generated import Case
from benchmarks.quiet import Floats

ALARMS = frozenset({Verdict.REGRESSED, Verdict.RECOVERED, Verdict.NO_DATA})
MAD_TO_SIGMA = 1.4826  # 1 / Φ⁻¹(3/4)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Judged:
    """A judge's answer: how surprising the release is, whether it raises an alarm, whether it has
    an answer at all."""

    score: float
    alarm: bool
    answered: bool = True


Judge = Callable[[Case], Judged]
SILENT = Judged(0.0, alarm=False, answered=False)


def ours(case: Case) -> Judged:
    """`anomaly.check`, at its defaults."""
    return looked(case, len(case.values))


def looked(case: Case, upto: int) -> Judged:
    """`anomaly.check` of the first `upto` steps, as a look during the watch."""
    series = pd.Series(case.values[:upto], case.index[:upto], name="kpi")
    watch = (len(case.values) - case.before) * (case.index[1] - case.index[0])
    finding = anomaly.check(
        series, released_at=case.index[case.before], watch=watch, no_data=NoData.FAIL
    ).findings[0]
    score = 0.0 if finding.p_value is None else surprise(finding.p_value)
    return Judged(
        score,
        finding.verdict in ALARMS,
        finding.verdict not in (Verdict.INCONCLUSIVE, Verdict.ERROR),
    )


def surprise(p: float) -> float:
    """A p-value as a score."""
    return -math.log10(max(p, 1e-300))


def known(values: Floats) -> Floats:
    """The values that are not missing."""
    return np.asarray(values[np.isfinite(values)])


def sides(case: Case) -> tuple[Floats, Floats]:
    """What is known before and after the release."""
    return known(case.values[: case.before]), known(case.values[case.before :])


def canary(case: Case) -> Judged:
    """Mann–Whitney of the window before against the window after, as automated canary analysis
    does.

    An alarm as in Kayenta's NetflixACAJudge: the 98 % interval of the shift lies beyond 0.25 of the
    Hodges–Lehmann estimate. The interval is that of Hollander and Wolfe (1999, 4.3), by order
    statistics of all differences.
    """
    length = min(len(case.values) - case.before, case.before)
    before, after = (
        known(case.values[case.before - length : case.before]),
        known(case.values[case.before :]),
    )
    if len(before) == 0 or len(after) == 0:
        return SILENT
    differences = np.sort(np.subtract.outer(after, before), axis=None)
    pairs = len(differences)
    spread = math.sqrt(pairs * (len(before) + len(after) + 1) / 12)
    outside = max(int(pairs / 2 - norm.ppf(0.99) * spread), 0)
    bound = 0.25 * abs(float(np.median(differences)))
    alarm = differences[outside] > bound or differences[pairs - 1 - outside] < -bound
    return Judged(surprise(float(mannwhitneyu(before, after).pvalue)), bool(alarm))


def three_sigma(case: Case) -> Judged:
    """Mean after the release against mean and standard deviation of the history: beyond three
    (Shewhart 1931)."""
    before, after = sides(case)
    if len(after) == 0:
        return SILENT
    z = abs(float(after.mean() - before.mean())) / max(float(before.std()), TINY)
    return Judged(z, z > 3)  # noqa: PLR2004


def seasonal_naive(case: Case) -> Judged:
    """Median deviation from the same time a day before, in robust standard deviations of such
    deviations (Hyndman 2021, 5.2)."""
    day = max(DAY // (case.index[1] - case.index[0]), 1)
    lag = day if case.before > 2 * day else 1
    change = case.values[lag:] - case.values[:-lag]
    past, after = known(change[: case.before - lag]), known(change[case.before - lag :])
    if len(after) == 0 or len(past) == 0:
        return SILENT
    sigma = (
        MAD_TO_SIGMA * float(np.median(np.abs(past - np.median(past)))) or float(past.std()) or TINY
    )
    z = abs(float(np.median(after) - np.median(past))) / sigma
    return Judged(z, z > 3)  # noqa: PLR2004


def cusum(case: Case) -> Judged:
    """Two-sided CUSUM of the observation, allowance ½ and decision limit 5 standard deviations
    (Page 1954; Montgomery 2012)."""
    before, after = sides(case)
    if len(after) == 0:
        return SILENT
    z = (after - before.mean()) / max(float(before.std()), TINY)
    highest = 0.0
    for sign in (1, -1):
        total = np.cumsum(sign * z - 0.5)
        highest = max(highest, float((total - np.minimum(np.minimum.accumulate(total), 0.0)).max()))
    return Judged(highest, highest > 5)  # noqa: PLR2004


def robust_bands(case: Case) -> Judged:
    """Median of the last hour against bands of two median absolute deviations (Grafana's
    promql-anomaly-detection, `robust.yml`).

    The bands are those of the last day, of half the median beside it, and of the hour one day and
    one week ago, whichever is widest; zeros are left out. An alarm stands for 5 minutes. The score
    is the largest excursion in half-widths of the bands.
    """
    seen = pd.Series(case.values, case.index).where(lambda value: value > 0)
    level, middle = seen.rolling(HOUR).median(), seen.rolling(DAY).median()
    off = (seen - middle).abs().rolling(DAY).median()
    lows, highs = [middle - 2 * off, middle / 2], [middle + 2 * off, middle * 1.5]
    for ago in (DAY, 7 * DAY):
        then = [
            each.shift(freq=ago - HOUR / 4).reindex(case.index, method="ffill")
            for each in (level, (seen - level).abs().rolling(HOUR).median())
        ]
        lows.append(then[0] - 2 * then[1])
        highs.append(then[0] + 2 * then[1])
    low, high = (
        pd.concat(lows, axis=1).min(axis=1).clip(lower=0.0),
        pd.concat(highs, axis=1).max(axis=1),
    )
    out = ((level - (low + high) / 2).abs() / ((high - low) / 2).clip(lower=TINY))[case.before :]
    if out.isna().all():
        return SILENT
    steps = max(timedelta(minutes=5) // (case.index[1] - case.index[0]), 1)
    return Judged(float(out.max()), bool(((out > 1).rolling(steps).sum() == steps).any()))


JUDGES: dict[str, Judge] = {
    "anomaly": ours,
    "Mann–Whitney (canary)": canary,
    "seasonal naive": seasonal_naive,
    "3 sigma": three_sigma,
    "CUSUM": cusum,
    "robust bands (PromQL)": robust_bands,
}
