"""How well releases with known answers are judged, beside simple judges that are in use.

python -m benchmarks.accuracy [--cases N] [--seed S]

ROC-AUC of −log10 p (or of the judge's own score), alarms on harmless releases and recall at the judge's own verdict, recall at a
measured 5 % of false alarms, releases without an answer, and milliseconds per release. Brackets hold 95 % of a bootstrap by series.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, rankdata

import anomaly
from anomaly.model import NoData, Verdict
from benchmarks.generated import Case, cases
from benchmarks.quiet import Floats

ALARMS = frozenset({Verdict.REGRESSED, Verdict.RECOVERED, Verdict.NO_DATA})
RESAMPLES = 400
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Judged:
    """A judge's answer: how surprising the release is, whether it raises an alarm, whether it has an answer at all."""

    score: float
    alarm: bool
    answered: bool = True


Judge = Callable[[Case], Judged]


def ours(case: Case) -> Judged:
    """`anomaly.check`, at its defaults."""
    series = pd.Series(case.values, case.index, name="kpi")
    finding = anomaly.check(series, released_at=case.index[case.before], no_data=NoData.FAIL).findings[0]
    score = 0.0 if finding.p_value is None else -math.log10(max(finding.p_value, 1e-300))
    return Judged(score, finding.verdict in ALARMS, finding.verdict not in (Verdict.INCONCLUSIVE, Verdict.ERROR))


def _sides(case: Case) -> tuple[Floats, Floats]:
    before, after = case.values[: case.before], case.values[case.before :]
    return before[np.isfinite(before)], after[np.isfinite(after)]


def canary(case: Case) -> Judged:
    """Mann–Whitney of the window before against the window after, as automated canary analysis does: p < 0.02, effect beyond 25 %.

    The confidence of 98 % and the allowed change of 0.25 are the defaults of Kayenta's NetflixACAJudge.
    """
    length = min(len(case.values) - case.before, case.before)
    before, after = case.values[case.before - length : case.before], case.values[case.before :]
    before, after = before[np.isfinite(before)], after[np.isfinite(after)]
    if len(before) < 2 or len(after) < 2:  # noqa: PLR2004
        return Judged(0.0, alarm=False, answered=False)
    p = float(mannwhitneyu(before, after).pvalue)
    beyond = abs(float(after.mean()) - float(before.mean())) > 0.25 * abs(float(before.mean()))
    return Judged(-math.log10(max(p, 1e-300)), p < 0.02 and beyond)  # noqa: PLR2004


def three_sigma(case: Case) -> Judged:
    """Mean after the release against mean and standard deviation of the history: beyond three."""
    before, after = _sides(case)
    if len(after) == 0:
        return Judged(0.0, alarm=False, answered=False)
    z = abs(float(after.mean() - before.mean())) / max(float(before.std()), 1e-12)
    return Judged(z, z > 3)  # noqa: PLR2004


def seasonal_naive(case: Case) -> Judged:
    """Median deviation from the same time a day before, in robust standard deviations of such deviations (Hyndman 2021, 5.2)."""
    seconds = int((case.index[1] - case.index[0]).total_seconds())
    day = DAY // seconds
    lag = day if case.before > 2 * day else 1
    change = case.values[lag:] - case.values[:-lag]
    past, after = change[: case.before - lag], change[case.before - lag :]
    past, after = past[np.isfinite(past)], after[np.isfinite(after)]
    if len(after) == 0 or len(past) == 0:
        return Judged(0.0, alarm=False, answered=False)
    sigma = 1.4826 * float(np.median(np.abs(past - np.median(past)))) or float(past.std()) or 1e-12
    z = abs(float(np.median(after) - np.median(past))) / sigma
    return Judged(z, z > 3)  # noqa: PLR2004


def cusum(case: Case) -> Judged:
    """Two-sided CUSUM of the observation, allowance ½ and decision limit 5 standard deviations (Page 1954; Montgomery 2012)."""
    before, after = _sides(case)
    if len(after) == 0:
        return Judged(0.0, alarm=False, answered=False)
    z = (after - before.mean()) / max(float(before.std()), 1e-12)
    highest = 0.0
    for sign in (1, -1):
        total = np.cumsum(sign * z - 0.5)
        highest = max(highest, float((total - np.minimum(np.minimum.accumulate(total), 0.0)).max()))
    return Judged(highest, highest > 5)  # noqa: PLR2004


JUDGES: dict[str, Judge] = {
    "anomaly": ours,
    "Mann–Whitney (canary)": canary,
    "seasonal naive": seasonal_naive,
    "3 sigma": three_sigma,
    "CUSUM": cusum,
}


@dataclass(frozen=True, slots=True)
class Answers:
    """A judge's answers to all cases, and what is true."""

    entity: NDArray[np.str_]
    harmful: NDArray[np.bool_]
    score: Floats
    alarm: NDArray[np.bool_]
    answered: NDArray[np.bool_]

    def rows(self, keep: NDArray[np.intp]) -> Answers:
        """Some of the cases."""
        return Answers(self.entity[keep], self.harmful[keep], self.score[keep], self.alarm[keep], self.answered[keep])


def answers(judge: Judge, of: Sequence[Case]) -> Answers:
    """What a judge says of the cases."""
    judged = [judge(case) for case in of]
    return Answers(
        np.array([case.entity for case in of]), np.array([bool(case.effect) for case in of]), np.array([each.score for each in judged]),
        np.array([each.alarm for each in judged]), np.array([each.answered for each in judged]),
    )  # fmt: skip


def auc(of: Answers) -> float:
    """Area under the ROC curve: the chance that a harmful release ranks before a harmless one."""
    ranks = rankdata(of.score)
    bad, good = int(of.harmful.sum()), int((~of.harmful).sum())
    return float((ranks[of.harmful].sum() - bad * (bad + 1) / 2) / (bad * good)) if bad and good else math.nan


def recall_at(of: Answers, rate: float) -> float:
    """Recall where the threshold lets a share `rate` of the harmless releases through."""
    quiet = np.sort(of.score[~of.harmful])[::-1]
    return float((of.score[of.harmful] > quiet[min(int(rate * len(quiet)), len(quiet) - 1)]).mean())


def false_alarms(of: Answers) -> float:
    """Share of the harmless releases that raise an alarm."""
    return float(of.alarm[~of.harmful].mean())


def recall(of: Answers) -> float:
    """Share of the harmful releases that raise an alarm."""
    return float(of.alarm[of.harmful].mean())


MEASURES: dict[str, Callable[[Answers], float]] = {
    "AUC": auc, "false alarms": false_alarms, "recall": recall, "recall at 5 %": lambda of: recall_at(of, 0.05),
}  # fmt: skip


def resampled(entity: NDArray[np.str_], seed: int) -> list[NDArray[np.intp]]:
    """Rows of bootstrap samples: whole series are drawn, for their cases are not independent."""
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(entity == name) for name in np.unique(entity)]
    return [np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))]) for _ in range(RESAMPLES)]


def main(count: int, seed: int) -> None:
    """Print the table."""
    chosen = cases(count, seed)
    quiet = sum(not case.effect for case in chosen)
    sys.stdout.write(f"{len(chosen)} releases of {quiet} series, {len(chosen) - quiet} of them harmful; seed {seed}\n\n")
    sys.stdout.write("| judge | " + " | ".join(MEASURES) + " | no answer | ms |\n|---" + "|---" * (len(MEASURES) + 2) + "|\n")
    for name, judge in JUDGES.items():
        judge(chosen[0])  # the imports are not the method's cost
        began = time.perf_counter()
        found = answers(judge, chosen)
        cost = 1000 * (time.perf_counter() - began) / len(chosen)
        draws = [found.rows(rows) for rows in resampled(found.entity, seed)]
        cells = [_cell(measure(found), [measure(draw) for draw in draws]) for measure in MEASURES.values()]
        sys.stdout.write(f"| {name} | {' | '.join(cells)} | {(~found.answered).mean():.3f} | {cost:.1f} |\n")


def _cell(value: float, draws: Sequence[float]) -> str:
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    main(options.cases, options.seed)
