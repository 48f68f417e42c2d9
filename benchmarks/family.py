"""A family of ten thousand series: how often harmless releases fail, and what is found where a few
series moved.

    python -m benchmarks.family [--kpis N] [--sets N] [--seed N] [--write]

A family has `--kpis` KPIs of SEGMENTS segments each. The segments of a KPI are of one kind
(autocorrelated, seasonal, restless, …) and share a part of their noise. The baseline of a series is
learned once, from its history. Then every day after it is judged as a release, by the questions and
the placebo releases of `anomaly check`, so that one family gives RELEASES harmless releases
together. Series that wander are left out, for the days come from up to RELEASES days after the
history. A series that moved is the same with a step on every second day. The decisions are those of
`anomaly.decision.multiplicity`; no finding is made. `--sets` families are generated one after the
other. `--write` puts the tables into docs/accuracy.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from anomaly.baseline.seasonal import Baseline, SeasonalBaseline
from anomaly.decision.draft import Draft
from anomaly.decision.multiplicity import allowances
from anomaly.model import Calendar, Correction, Direction, Kpi
from anomaly.panel import assemble
from anomaly.scoring.questions import ask
from anomaly.scoring.replay import (
    Scores,
    at_placebos,
    bad_answers,
    combine,
    held_out_replay,
    scores,
)
from anomaly.scoring.significance import null_of, p_value
from anomaly.scoring.timeline import timeline
from benchmarks.generated import SERIES
from benchmarks.quiet import KINDS, remembering
from benchmarks.tables import publish

Floats = np.ndarray
BEFORE, WATCH, RELEASES = 40 * 24, 24, 40  # steps of an hour; a release a day
SEGMENTS = 50
ALARMS = 0.01
COMMON = 0.5  # of the noise that the segments of a KPI share, in units of their own
MOVED = (1, 10, 100)
SIZES = (3.0, 5.0, 10.0)
FAMILIES = {
    "calm": ("independent", "memory 0.5", "memory 0.8", "daily", "weekly", "gappy"),
    "mixed": (
        *("independent", "memory 0.5", "memory 0.8", "daily", "weekly", "gappy", "skewed"),
        *("heavy tails", "restless", "spiky", "errors"),
    ),
}


@dataclass(frozen=True, slots=True)
class Judged:
    """The p-values of some series: `quiet` `(series, releases)`, `held_out` `(series, placebo
    releases)`, and with a step of each of the `SIZES` on every second day `(sizes, series, releases
    / 2)`."""

    quiet: Floats
    held_out: Floats
    moved: Floats


def main(kpis: int, sets: int, seed: int, *, write: bool) -> None:
    """Print a table per kind of family."""
    for name, kinds in FAMILIES.items():
        quiet, found = [], []
        for number in range(sets):
            judged = [_judged(kinds[i % len(kinds)], [seed, number, i]) for i in range(kpis)]
            family = Judged(
                np.concatenate([each.quiet for each in judged]),
                np.concatenate([each.held_out for each in judged]),
                np.concatenate([each.moved for each in judged], axis=1),
            )
            quiet.append(_quiet(family))
            found.append(_found(family, np.random.default_rng([seed, number])))
        publish(f"family {name}", _table(kpis, np.concatenate(quiet), found), write=write)


def _judged(kind: str, seed: Sequence[int]) -> Judged:
    """The segments of a KPI of this kind."""
    rng = np.random.default_rng(seed)
    steps = BEFORE + RELEASES * WATCH
    index = pd.DatetimeIndex(pd.date_range("2025-06-07T10:00Z", periods=steps, freq="h", unit="ns"))
    values = (
        KINDS[kind](rng, index, (steps, SEGMENTS))
        if kind in KINDS
        else np.stack([SERIES[kind](rng, index) for _ in range(SEGMENTS)], axis=1)
    )
    rest = values - pd.DataFrame(values).groupby(index.hour).transform("median").to_numpy()
    sigma = 1.4826 * np.nanmedian(np.abs(rest), axis=0)
    values = values + COMMON * sigma * remembering(rng, 0.6, (steps, 1))
    sigma = sigma * np.sqrt(1 + COMMON**2)
    base = SeasonalBaseline().fit(_panel(values, index).iloc[:BEFORE], [], Calendar())
    quiet, held_out = _p_values(base, _panel(values, index))
    moved = []
    for size in SIZES:
        stepped = values.copy()
        for release in range(0, RELEASES, 2):
            stepped[BEFORE + release * WATCH :][:WATCH] += size * sigma
        moved.append(_p_values(base, _panel(stepped, index))[0][:, ::2])
    return Judged(quiet, held_out, np.stack(moved))


def _panel(values: Floats, index: pd.DatetimeIndex) -> pd.DataFrame:
    return assemble({(f"k{i}", "", "value"): values[:, i] for i in range(values.shape[1])}, index)


def _p_values(base: Baseline, panel: pd.DataFrame) -> tuple[Floats, Floats]:
    """The p-values at every day after the history, and at the placebo releases held out."""
    line = timeline(base, panel.iloc[:BEFORE], panel.iloc[BEFORE:], 0)
    past = line.origins[line.origins + WATCH <= BEFORE]
    days = BEFORE + np.arange(RELEASES) * WATCH
    longer = replace(line, before=len(panel) - WATCH, origins=np.concatenate([past, days]))
    questions = ask(longer)
    taught = replace(line, x=line.x[:, : BEFORE + WATCH], origins=longer.origins[: len(past) + 1])
    learned = scores(
        taught, [replace(each, answers=each.answers[:, : len(past) + 1]) for each in questions]
    )
    answers = np.stack([each.answers[:, len(past) :] for each in questions])
    either = [Direction.EITHER] * len(line.x)
    held_out = held_out_replay(taught, learned, either)
    return _at(replace(learned, answers=answers), Direction.EITHER), held_out


def _at(answers: Scores, direction: Direction) -> Floats:
    """The p-value of each series at each origin."""
    up = at_placebos(answers, slice(None))
    return p_value(combine(*bad_answers(answers.questions, up, direction)), null_of(direction))


METHODS: dict[str, Callable[[Floats, Judged], Floats]] = {
    "among 20": lambda p, _: np.full(len(p), ALARMS / 20),
    "equal shares": lambda p, _: np.full(len(p), ALARMS / len(p)),
    "holm": lambda p, family: _alphas(p, family, Correction.HOLM),
    "benjamini-hochberg": lambda p, family: _alphas(p, family, Correction.BENJAMINI_HOCHBERG),
}


def _alphas(p: Floats, family: Judged, correction: Correction) -> Floats:
    """What each p-value has to undercut."""
    kpis = [Kpi(f"kpi {i}", by=("segment",)) for i in range(-(-len(p) // SEGMENTS))]
    drafts = [
        Draft(kpis[i // SEGMENTS], 1.0, segment=f"segment={i}", p_value=float(each))
        for i, each in enumerate(p)
    ]
    allowed = allowances(
        drafts,
        {kpi.name: 1.0 for kpi in kpis},
        ALARMS,
        correction,
        np.empty((len(p), 0)),
        windows=BEFORE // WATCH,
        held_out=family.held_out,
        watched=1.0,
    )
    return np.array([each.alpha for each in allowed])


def _quiet(family: Judged) -> Floats:
    """Whether each harmless release fails, `(releases, methods)`."""
    return np.array(
        [[(p < alphas(p, family)).any() for alphas in METHODS.values()] for p in family.quiet.T]
    )


def _found(family: Judged, rng: np.random.Generator) -> Floats:
    """For each of the `SIZES`, of `MOVED`, and each method: the share of releases that fail, of the
    series that moved and were found, and of the others among those found."""
    count, releases = len(family.quiet), family.moved.shape[2]
    out = np.zeros((len(SIZES), len(MOVED), len(METHODS), 3))
    for s, n in np.ndindex(out.shape[:2]):
        for release in range(releases):
            first = SEGMENTS * int(rng.integers(count // SEGMENTS))
            # of one KPI, and of the next where they are more than it has
            moved = (first + rng.permutation(max(SEGMENTS, MOVED[n]))[: MOVED[n]]) % count
            p = family.quiet[:, 2 * release].copy()
            p[moved] = family.moved[s, moved, release]
            for m, alphas in enumerate(METHODS.values()):
                found = p < alphas(p, family)
                right = found[moved].sum()
                out[s, n, m] += found.any(), right / len(moved), found.sum() - right
    return np.asarray(out / releases)


def _table(kpis: int, quiet: Floats, found: Sequence[Floats]) -> list[str]:
    fails, right, wrong = np.moveaxis(np.mean(found, axis=0), 3, 0)
    names = " | ".join(METHODS)
    lines = [
        f"{kpis * SEGMENTS:,} series of {kpis} KPIs.",
        "",
        f"| moved | releases that fail: {names} | series found: {names} |",
        "|---" * (1 + 2 * len(METHODS)) + "|",
        f"| none ({len(quiet)} releases) | {_shares(quiet.mean(axis=0), 1)} |"
        + " – |" * len(METHODS),
    ]
    for n, s in np.ndindex(len(MOVED), len(SIZES)):
        lines.append(
            f"| {MOVED[n]} by {SIZES[s]:.0f} σ | {_shares(fails[s, n])} | {_shares(right[s, n])} |"
        )
    others = ", ".join(f"{each:.2g}" for each in wrong.mean(axis=(0, 1)))
    return [*lines, "", f"Series found beside those that moved, on average: {others}."]


def _shares(shares: Floats, digits: int = 0) -> str:
    return " | ".join(f"{100 * each:.{digits}f} %" for each in shares)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kpis", type=int, default=200)
    parser.add_argument("--sets", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/accuracy.md")
    options = parser.parse_args()
    main(options.kpis, options.sets, options.seed, write=options.write)
