"""What each part of the method is worth: the accuracy without it, on the releases of
`benchmarks.accuracy`.

python -m benchmarks.ablation [--cases N] [--seed S] [--write]

Differences are without the part less with it, on the same releases, with 95 % of a bootstrap by
series: a part pays where they are below 0, or raises false alarms without it. The law of the
p-value stays that of the whole method. `--write` puts the table into docs/accuracy.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np

from anomaly.baseline.noise import ORDER
from anomaly.scoring import questions, replay
from anomaly.scoring.question_kinds import QuestionKind
from benchmarks.accuracy import Answers, answers, auc, false_alarms, recall_at, resampled
from benchmarks.generated import cases
from benchmarks.judges import ours
from benchmarks.quiet import Floats
from benchmarks.tables import options, publish


def _without(*kinds: QuestionKind) -> dict[str, Any]:
    return {
        "anomaly.scoring.score.ask": lambda line, **how: [
            each for each in questions.ask(line, **how) if each.kind not in kinds
        ]
    }


def _strongest(one_sided: Floats, _weights: Floats) -> Floats:
    return np.asarray(
        np.nanmax(
            np.where(np.isfinite(one_sided), np.maximum(one_sided, 0), 0.0), axis=0, initial=0.0
        )
        ** 2
        * replay.SCORE_WEIGHT
    )


PARTS: dict[str, Mapping[str, Any]] = {  # what stands in for a part: a name that is gone raises
    "autocorrelation (whitening)": {
        "anomaly.baseline.noise.autoregression": lambda x, _present: np.zeros((len(x), ORDER))
    },
    "season of the day": {"anomaly.baseline.season.DAY_GAIN": 0.0},
    "season of the week": {"anomaly.baseline.season.WEEK_GAIN": 0.0},
    "spread by the hour": {"anomaly.baseline.seasonal._hours": lambda x, *_: np.ones((len(x), 24))},
    "scale (logarithm, root)": {
        "anomaly.baseline.transform.choose": lambda history, _kinds: np.zeros((2, len(history)))
    },
    "regime start": {
        "anomaly.baseline.regime_start.regime_starts": lambda x, *_: np.zeros(len(x), dtype=int),
        "anomaly.baseline.regime_start.switched_on": lambda x: np.zeros(len(x), dtype=int),
    },
    "following local volatility": {
        "anomaly.scoring.timeline.Timeline.volatility": property(
            lambda line: np.ones((len(line.x), len(line.origins)))
        )
    },
    "borrowing from shorter windows": {"anomaly.scoring.replay.PRIOR": 1e-9},
    "Student's t": {"anomaly.scoring.replay.normal_score": lambda t, _freedom: t},
    "average likelihood (else the strongest)": {"anomaly.scoring.directions.combine": _strongest},
    "weights of the questions": {
        "anomaly.scoring.question_kinds.QuestionSpec.weight_of": lambda *_: 1.0
    },
    "shrinking of unshared claims": {
        "anomaly.scoring.replay.shrunk_scores": lambda _questions, up: up
    },
    "guard of nearly constant series": {"anomaly.scoring.exceptions.MOSTLY": 2.0},
    "question: level": _without(QuestionKind.LEVEL),
    "question: level before": _without(QuestionKind.LEVEL_BEFORE),
    "question: typical level": _without(QuestionKind.TYPICAL, QuestionKind.TYPICAL_BEFORE),
    "question: jump": _without(QuestionKind.JUMP, QuestionKind.RAMP),
    "question: ramp": _without(QuestionKind.RAMP),
    "question: total": _without(QuestionKind.TOTAL),
    "question: spread": _without(QuestionKind.SPREAD),
    "question: high and low values": _without(QuestionKind.HIGH, QuestionKind.LOW),
    "question: highest and lowest values": _without(QuestionKind.HIGHEST, QuestionKind.LOWEST),
    "question: rhythm": _without(QuestionKind.RHYTHM),
    "question: missing, zero, repeated": _without(
        QuestionKind.MISSING, QuestionKind.ZERO, QuestionKind.STUCK
    ),
}


MEASURES = {
    "AUC": auc,
    "recall at 5 %": lambda of: recall_at(of, 0.05),
    "false alarms": false_alarms,
}


def left(count: int, seed: int, part: str | None) -> Answers:
    """The answers without a part, or with all of them."""
    with ExitStack() as stack:
        for target, value in (PARTS[part] if part else {}).items():
            stack.enter_context(patch(target, value))
        return answers(ours, cases(count, seed))


def main(count: int, seed: int, *, write: bool) -> None:
    """Print the table."""
    with ProcessPoolExecutor() as pool:  # a patch holds for a whole process
        whole, *without = pool.map(partial(left, count, seed), [None, *PARTS])
    rows = resampled(whole.entity, seed)
    lines = [
        (
            f"{len(whole.score)} releases, seed {seed}; with everything AUC {auc(whole):.3f}, "
            "recall "
            f"at 5 % {recall_at(whole, 0.05):.3f}."
        ),
        "",
        "| without | " + " | ".join(MEASURES) + " |",
        "|---" * (len(MEASURES) + 1) + "|",
    ]
    for name, less in zip(PARTS, without, strict=True):
        cells = []
        for measure in MEASURES.values():
            low, high = np.nanquantile(
                [measure(less.rows(draw)) - measure(whole.rows(draw)) for draw in rows],
                [0.025, 0.975],
            )
            cells.append(f"{measure(less) - measure(whole):+.3f} [{low:+.3f}, {high:+.3f}]")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    publish("ablations", lines, write=write)


if __name__ == "__main__":
    asked = options(__doc__)
    main(asked.cases, asked.seed, write=asked.write)
