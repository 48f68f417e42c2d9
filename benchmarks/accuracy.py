"""How well releases with known answers are judged, beside simple judges that are in use and other
packages.

python -m benchmarks.accuracy [--cases N] [--seed S] [--write]

ROC-AUC and average precision of −log10 p (or of the judge's own score), alarms on harmless releases
and recall at the judge's own verdict, recall at a measured 5 % of false alarms, releases without an
answer, and milliseconds per release. Brackets hold 95 % of a bootstrap by series. `--write` puts
the table into docs/accuracy.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.generated import Case, cases
from benchmarks.judges import JUDGES, Judge, Judged, looked
from benchmarks.peers import peers
from benchmarks.quiet import Floats
from benchmarks.tables import options, publish

RESAMPLES = 400
LOOKS = 8


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
        return Answers(
            self.entity[keep],
            self.harmful[keep],
            self.score[keep],
            self.alarm[keep],
            self.answered[keep],
        )


def answers(judge: Judge, of: Sequence[Case]) -> Answers:
    """What a judge says of the cases."""
    return gathered([judge(case) for case in of], of)


def gathered(judged: Sequence[Judged], of: Sequence[Case]) -> Answers:
    """The answers to the cases, as columns."""
    return Answers(
        np.array([case.entity for case in of]),
        np.array([bool(case.effect) for case in of]),
        np.array([each.score for each in judged]),
        np.array([each.alarm for each in judged]),
        np.array([each.answered for each in judged]),
    )


def auc(of: Answers) -> float:
    """Area under the ROC curve: the chance that a harmful release ranks before a harmless one."""
    ranks = rankdata(of.score)
    bad, good = int(of.harmful.sum()), int((~of.harmful).sum())
    return (
        float((ranks[of.harmful].sum() - bad * (bad + 1) / 2) / (bad * good))
        if bad and good
        else math.nan
    )


def average_precision(of: Answers) -> float:
    """Mean over the harmful releases of the share that is harmful among those ranked as high; among
    equals the harmless come first."""
    hits = of.harmful[np.lexsort((of.harmful, -of.score))]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


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
    "AUC": auc,
    "AP": average_precision,
    "false alarms": false_alarms,
    "recall": recall,
    "recall at 5 %": lambda of: recall_at(of, 0.05),
}


def resampled(entity: NDArray[np.str_], seed: int) -> list[NDArray[np.intp]]:
    """Rows of bootstrap samples: whole series are drawn, for their cases are not independent."""
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(entity == name) for name in np.unique(entity)]
    return [
        np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))])
        for _ in range(RESAMPLES)
    ]


def main(count: int, seed: int, *, write: bool) -> None:
    """Print the table."""
    chosen = cases(count, seed)
    quiet = sum(not case.effect for case in chosen)
    others, missing = peers()
    rows = resampled(np.array([case.entity for case in chosen]), seed)
    lines = [
        (
            f"{len(chosen)} releases of {quiet} series, {len(chosen) - quiet} of them harmful; "
            "seed "
            f"{seed}."
        ),
        "",
    ]
    lines += [
        "| judge | " + " | ".join(MEASURES) + " | no answer | ms |",
        "|---" * (len(MEASURES) + 3) + "|",
    ]
    for name, judge in (JUDGES | others).items():
        judge(chosen[0])  # the imports are not the method's cost
        began = time.perf_counter()
        found = answers(judge, chosen)
        cost = 1000 * (time.perf_counter() - began) / len(chosen)
        draws = [found.rows(each) for each in rows]
        cells = [
            _cell(measure(found), [measure(draw) for draw in draws])
            for measure in MEASURES.values()
        ]
        lines.append(
            f"| {name} | {' | '.join(cells)} | {(~found.answered).mean():.3f} | {cost:.1f} |"
        )
    lines += [
        f"| {package} | not installed; `make peers` installs it |" + " |" * (len(MEASURES) + 1)
        for package in missing
    ]
    publish("accuracy", [*lines, "", *_early(chosen, seed)], write=write)


def _early(chosen: Sequence[Case], seed: int) -> list[str]:
    quiet = [case for case in chosen if not case.effect]
    ever = gathered([_ever(case) for case in quiet], quiet)
    false = _cell(
        false_alarms(ever), [false_alarms(ever.rows(draw)) for draw in resampled(ever.entity, seed)]
    )
    # the largest
    large = [case for case in chosen if case.effect.startswith("level") and case.size == 5]  # noqa: PLR2004
    seen = [case for case in large if looked(case, len(case.values)).alarm]
    half = sum(
        any(
            looked(case, end).alarm
            for end in _ends(case)
            if 2 * (end - case.before) <= len(case.values) - case.before
        )
        for case in seen
    )
    return [
        f"`anomaly` over {LOOKS} looks of each watch: false alarms at any look {false};",
        (
            f"of {len(seen)} level shifts of 5 standard deviations that alarm at the end, {half} "
            "alarm by half the watch."
        ),
    ]


def _ever(case: Case) -> Judged:
    found = [looked(case, end) for end in _ends(case)]
    return Judged(max(each.score for each in found), any(each.alarm for each in found))


def _ends(case: Case) -> list[int]:
    return sorted(
        {int(end) for end in np.linspace(case.before + 1, len(case.values), LOOKS).round()}
    )


def _cell(value: float, draws: Sequence[float]) -> str:
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    asked = options(__doc__)
    main(asked.cases, asked.seed, write=asked.write)
