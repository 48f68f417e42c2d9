"""The null distributions of the combined score G on quiet series.

    python -m benchmarks.calibrate [SERIES]

It makes the tables of `anomaly/scoring/significance.py`.

Half of the series are restless (their spread comes and goes, as that of real KPIs does), half are
of all the other kinds. Prints G at the probabilities of the table and the exponent of the tail, for
every set of questions: of the interval that so many series leave, the end that claims less, so that
chance in the calibration raises no alarms. Run it when a question changes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from anomaly.baseline.seasonal import SeasonalBaseline
from anomaly.model import Calendar, Direction
from anomaly.panel import assemble
from anomaly.scoring.directions import one_sided
from anomaly.scoring.questions import ask
from anomaly.scoring.replay import combine, scores, weights_of
from anomaly.scoring.significance import NullDistribution, P
from anomaly.scoring.timeline import timeline
from benchmarks.quiet import KINDS

RELEASE = datetime(2025, 6, 7, 10, tzinfo=UTC)  # a Saturday
SHAPES = (  # step in minutes, steps of history, steps of the watch
    (5, 7 * 288, 24),
    (5, 14 * 288, 72),
    (5, 28 * 288, 72),
    (5, 28 * 288, 12),
    (5, 28 * 288, 288),
    (60, 40 * 24, 24),
    (60, 60 * 24, 48),
    (1, 500, 60),
)
HARDEST = "restless"
WIDTH = 1.96  # standard errors: an interval of 95 %


def main(count: int) -> None:
    """Print the distributions, from `count` restless series and as many others for every shape."""
    found: dict[NullDistribution, list[float]] = {null: [] for null in NullDistribution}
    others = [kind for kind in KINDS if kind != HARDEST]
    for seed, shape in enumerate(SHAPES):
        for kind, series in [
            (HARDEST, count),
            *((kind, -(-count // len(others))) for kind in others),
        ]:
            for null, combined in _combined(kind, seed, shape, series):
                found[null].append(combined)
    series = len(found[NullDistribution.BOTH_WAYS])
    for null, answers in found.items():
        g, p = np.array(answers), np.array(P[1:])
        table = np.quantile(g, 1 - p + WIDTH * np.sqrt(p * (1 - p) / series))
        beyond = g[g > table[-1]]
        exponent = 1 / np.log(beyond / table[-1]).mean()  # Hill (1975)
        exponent -= WIDTH * exponent / np.sqrt(len(beyond))
        entries = ", ".join(f"{each:.3f}" for each in table)
        sys.stdout.write(
            f"{null.name} = ((1e-6, {entries}), {exponent:.1f})  # {series:,} series\n"
        )


def _combined(
    kind: str, seed: int, shape: tuple[int, int, int], count: int
) -> Iterator[tuple[NullDistribution, float]]:
    minutes, before, after = shape
    step = timedelta(minutes=minutes)
    index = pd.DatetimeIndex(
        pd.date_range(RELEASE - before * step, periods=before + after, freq=step, unit="ns")
    )
    values = KINDS[kind](np.random.default_rng([seed, *kind.encode()]), index, (len(index), count))
    panel = assemble({(f"k{i}", "", "value"): values[:, i] for i in range(count)}, index)
    history, observation = panel.iloc[:before], panel.iloc[before:]
    base = SeasonalBaseline().fit(history, [], Calendar())
    line = timeline(base, history, observation, 0)
    answers = scores(line, ask(line))
    for i in range(count):
        both, _ = one_sided(answers, i, Direction.EITHER)
        up, falling = one_sided(answers, i, Direction.UP)
        down, rising = one_sided(answers, i, Direction.DOWN)
        for null, each in (
            (NullDistribution.BOTH_WAYS, both),
            (NullDistribution.ONE_WAY, up),
            (NullDistribution.ONE_WAY, down),
            (NullDistribution.LEVEL, falling),
            (NullDistribution.LEVEL, rising),
        ):
            weights = weights_of([question for question, _ in each])
            yield null, float(combine(np.array([[z] for _, z in each]), weights)[0])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2500)
