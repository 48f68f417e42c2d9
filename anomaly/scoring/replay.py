"""Placebo replay: how surprising is an answer at the release, given the answers at hundreds of
moments without one?

Each answer becomes a normal score by the spread of its placebo answers, with the degrees of freedom
of the independent windows behind it; the scores of a series are combined by their average
likelihood, which gains from several questions pointing the same way and does not fear that they are
correlated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.baseline.robust import Bools, Floats
from anomaly.model import Direction
from anomaly.scoring.questions import LEVELS, LOCAL, MATCHED, Question, QuestionKind, Side
from anomaly.scoring.timeline import Timeline, origins

PRIOR = 4.0  # windows' worth of belief in the next shorter window's spread
COUNT_SPREAD = 1.5  # prior spread of counts on the 2 √(count + ½) scale
SCORE_WEIGHT = 0.25  # weight of the squared score in the average likelihood
AGAINST_PAST = frozenset(  # what is held against the whole history, or much of it
    {
        QuestionKind.LEVEL,
        QuestionKind.TYPICAL,
        QuestionKind.TOTAL,
        QuestionKind.SPREAD,
        QuestionKind.HIGH,
        QuestionKind.LOW,
    }
)
# placebos on one side, independent windows, before up and down get spreads of their own
ENOUGH_SIDES = 8
ENOUGH_WINDOWS = 12
ALWAYS = frozenset(
    {QuestionKind.SPREAD, QuestionKind.RHYTHM, QuestionKind.MISSING, QuestionKind.STUCK}
)
BESIDES = {  # what is bad besides a level that moves the bad way
    Direction.UP: ALWAYS | {QuestionKind.HIGH, QuestionKind.HIGHEST},
    Direction.DOWN: ALWAYS | {QuestionKind.LOW, QuestionKind.LOWEST, QuestionKind.ZERO},
    Direction.EITHER: ALWAYS
    | {
        QuestionKind.HIGH,
        QuestionKind.HIGHEST,
        QuestionKind.LOW,
        QuestionKind.LOWEST,
        QuestionKind.ZERO,
    },
}
SLOPES = {
    QuestionKind.LEVEL: -0.25,
    QuestionKind.JUMP: 0.15,
    QuestionKind.TYPICAL: -0.25,
    QuestionKind.SPREAD: -0.3,
    QuestionKind.HIGH: -0.25,
    QuestionKind.LOW: -0.25,
}
SLOPE = -0.1  # how the spread usually changes with the window, as a power of its size
LEAST = {
    QuestionKind.SPREAD: 0.35,
    QuestionKind.HIGH: 0.35,
    QuestionKind.LOW: 0.35,
}  # × size ** -1/2
LEAST_LEVEL = 0.05
LEAST_PLACEBOS = 3
# scores from which a claim is held against its counterpart, how strongly, how far
SHRINK_FROM = 1.5
SHRINKAGE = 0.3
LEAST_FACTOR = 0.4
TINY, ROUNDING = 1e-12, 1e-9
# placebo releases replayed for all series together, and which share of the most answers such a one
# must have
JOINT = 100
COMPLETE = 0.9


@dataclass(frozen=True, slots=True)
class Scores:
    """Normal scores `up` of the release, positive = upwards or more, NaN where there is no answer;
    all `(questions, series)`.

    They are the answers' distances from `centre`, in units of `above` or `below`, as Student's t
    with `freedom`.
    """

    questions: tuple[Question, ...]
    up: Floats
    centre: Floats
    above: Floats
    below: Floats
    freedom: Floats


def scores(line: Timeline, questions: list[Question]) -> Scores:
    """Every question's answer at the release as a normal score."""
    if not questions:
        return Scores((), *np.empty((5, 0, len(line.x))))
    origin = origins(line.before)
    answers = np.stack([q.answers for q in questions])
    past, real = answers[:, :, :-1], answers[:, :, -1]
    known = np.isfinite(past)
    size = known.sum(axis=2)
    first, last = known.argmax(axis=2), past.shape[2] - 1 - known[:, :, ::-1].argmax(axis=2)
    span = origin[last] - origin[first] + 1
    length = np.array([line.after if q.side is Side.COUNT else q.size for q in questions])[:, None]
    windows = np.minimum(np.maximum(1.0, span / length + 1), size)
    centre = _centres(questions, past, size, windows)
    away = past - centre[:, :, None]
    away = np.where(
        np.abs(away) < ROUNDING, 0.0, away
    )  # ties must not be split into up and down by the last bit
    both = spread_of(np.sort(np.abs(away), axis=2), size)
    above, below = both.copy(), both.copy()
    for sign, side in ((1, above), (-1, below)):
        one = np.where(sign * away > 0, sign * away, np.nan)
        count = np.isfinite(one).sum(axis=2)
        own = (count >= ENOUGH_SIDES) & (windows >= ENOUGH_WINDOWS)
        side[own] = spread_of(np.sort(one, axis=2), count)[own]
    freedom = _steady(line, questions, past, windows, centre, above, below)
    with np.errstate(invalid="ignore", divide="ignore"):
        moved = real - centre
        up = normal_score(np.where(moved > 0, moved / above, moved / below), freedom)
    usable = np.isfinite(real) & (size >= LEAST_PLACEBOS)
    up = np.where(usable, up, np.nan)
    return Scores(tuple(questions), shrunk_scores(questions, up), centre, above, below, freedom)


def at_placebos(asked: Scores, i: int, chosen: slice = slice(None, -1)) -> Floats:
    """The normal scores of series `i` at the placebo origins, `(questions, origins)`, as
    `Scores.up` has them at the release."""
    moved = (
        np.stack([question.answers[i, chosen] for question in asked.questions])
        - asked.centre[:, i, None]
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        spreads = np.where(moved > 0, asked.above[:, i, None], asked.below[:, i, None])
        return shrunk_scores(
            asked.questions, normal_score(moved / spreads, asked.freedom[:, i, None])
        )


def joint_replay(scores: Scores, directions: Sequence[Direction]) -> Floats:
    """The combined score of each series' bad answers at the same placebo releases, `(series, up to
    JOINT)`, as at a release.

    NaN where too little could be asked. Their spreads were learned from the same answers: what they
    tell is which series are surprising together, by their ranks.
    """
    if not scores.questions:
        return np.empty((len(directions), 0))
    count = scores.questions[0].answers.shape[1] - 1
    chosen = slice(0, count, max(1, -(-count // JOINT)))
    out = np.full((len(directions), len(range(count)[chosen])), np.nan)
    for i, direction in enumerate(
        directions
    ):  # one after the other: all of them at once are too large for a cache, or a memory
        up = at_placebos(scores, i, chosen)
        plus, minus = pointing(scores.questions, direction)
        asked = np.isfinite(up).sum(axis=0)
        complete = (asked > 0) & (asked >= COMPLETE * asked.max(initial=0))
        out[i, complete] = combine(np.concatenate([up[plus], -up[minus]]))[complete]
    return out


def _centres(questions: list[Question], past: Floats, size: np.ndarray, windows: Floats) -> Floats:
    ranked = np.sort(past, axis=2)
    last = np.maximum(size - 1, 0)
    rows = np.arange(past.shape[0])[:, None], np.arange(past.shape[1])[None, :]
    centre = (ranked[(*rows, last // 2)] + ranked[(*rows, (last + 1) // 2)]) / 2
    for j, question in enumerate(questions):
        if question.side is Side.COUNT:
            centre[j] = np.nansum(past[j], axis=1) / np.maximum(size[j], 1)
        elif question.kind in (QuestionKind.LEVEL, QuestionKind.TYPICAL, QuestionKind.TOTAL):
            centre[j] *= np.minimum(1, windows[j] / 10)
        elif question.kind in MATCHED:
            centre[j] = 0.0
    return np.asarray(centre)


def spread_of(ranked: Floats, size: np.ndarray) -> Floats:
    """Spread of sorted absolute deviations (NaN last): the largest of a clipped root mean square
    and two upper quantiles."""
    rows = np.arange(ranked.shape[0])[:, None], np.arange(ranked.shape[1])[None, :]

    def quantile(share: float) -> Floats:
        return np.asarray(
            ranked[(*rows, np.clip(((size - 1) * share).astype(int), 0, ranked.shape[2] - 1))]
        )

    sigma = np.maximum(quantile(0.5) / 0.6745, TINY)
    cap = np.where(sigma > 10 * TINY, 5 * sigma, np.inf)[:, :, None]
    square = np.sqrt(np.nansum(np.minimum(ranked, cap) ** 2, axis=2) / np.maximum(size, 1))
    return np.asarray(np.fmax(np.fmax(square, quantile(0.9) / 1.645), quantile(0.975) / 2.24))


def _steady(
    line: Timeline,
    questions: list[Question],
    past: Floats,
    windows: Floats,
    centre: Floats,
    above: Floats,
    below: Floats,
) -> Floats:
    """Steady the spreads in place by the next shorter window of its kind; degrees of freedom
    `(questions, series)`."""
    freedom = windows + PRIOR - 1
    shorter: dict[QuestionKind, tuple[int, Floats, Floats, Floats]] = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        for j, question in enumerate(questions):
            if question.side is Side.COUNT:
                both = np.sqrt(
                    (np.fmax(above[j], below[j]) ** 2 * windows[j] + COUNT_SPREAD**2 * PRIOR)
                    / (windows[j] + PRIOR)
                )
                most = (
                    np.nanmax(np.where(np.isfinite(past[j]), past[j], -np.inf), axis=1) - centre[j]
                )
                above[j], below[j] = np.maximum(both, most / 2.5), both
                continue
            kind = (
                QuestionKind.JUMP if question.kind is QuestionKind.RAMP else question.kind
            )  # both have the same variance
            if kind in shorter:
                length, up, down, slope = shorter[kind]
                ratio = (question.size / length) ** slope
                above[j] = np.sqrt(
                    (windows[j] * above[j] ** 2 + PRIOR * (up * ratio) ** 2) / (windows[j] + PRIOR)
                )
                below[j] = np.sqrt(
                    (windows[j] * below[j] ** 2 + PRIOR * (down * ratio) ** 2)
                    / (windows[j] + PRIOR)
                )
                seen = np.log(
                    np.maximum(np.sqrt(above[j] * below[j]), TINY)
                    / np.maximum(np.sqrt(up * down), TINY)
                ) / np.log(question.size / length)
                weight = windows[j] / (windows[j] + 10)
                slope = np.minimum(
                    np.maximum(
                        weight * np.where(np.isfinite(seen), seen, 0.0) + (1 - weight) * slope, -0.5
                    ),
                    0.6,
                )
            else:
                slope = np.full(above.shape[1], SLOPES.get(question.kind, SLOPE))
            shorter[question.kind] = (question.size, above[j].copy(), below[j].copy(), slope)
            least = (
                LEAST_LEVEL
                if question.kind in LEVELS - MATCHED
                else LEAST.get(question.kind, 1e-3 * question.size**0.5) / question.size**0.5
            )
            factor = 1.0
            if question.kind in AGAINST_PAST:
                part = min(0.6, question.size / line.before)
                factor = np.sqrt(
                    (1 + question.size / line.before) / (1 - part)
                )  # the level was learned from the same history
            above[j], below[j] = (
                np.maximum(above[j], least) * factor,
                np.maximum(below[j], least) * factor,
            )
    return freedom


def shrunk_scores(questions: Sequence[Question], up: Floats) -> Floats:
    """A claim counts for less if its counterpart does not share it.

    An incident that ended is not a change: a local claim is held against the level over the
    shortest window that is at least as long as its own. Nor is what was so before: a level against
    the whole history is held against the same window's against just before.
    """
    levels = [
        (q.size, j) for j, q in enumerate(questions) if q.kind is QuestionKind.LEVEL
    ]  # short windows before long ones
    before = {q.size: j for j, q in enumerate(questions) if q.kind is QuestionKind.LEVEL_BEFORE}
    typical = {q.size: j for j, q in enumerate(questions) if q.kind is QuestionKind.TYPICAL_BEFORE}
    pairs = [
        (j, (level, level))
        for j, q in enumerate(questions)
        if q.kind in LOCAL
        for size, level in levels
        if size >= q.size
    ]
    whole = [
        (j, q.size)
        for j, q in enumerate(questions)
        if q.kind in (QuestionKind.LEVEL, QuestionKind.TYPICAL) and q.size in before
    ]
    first = dict(reversed(pairs)) | {
        j: (before[size], typical.get(size, before[size])) for j, size in whole
    }
    made, (one, other) = (
        np.array([*first], dtype=int),
        np.array([*first.values()], dtype=int).reshape(-1, 2).T,
    )
    claim = up[made]
    shared = np.sign(claim) * np.where(
        claim > 0, np.fmax(up[one], up[other]), np.fmin(up[one], up[other])
    )
    factor = np.maximum(LEAST_FACTOR, 1 - SHRINKAGE * (1 - np.clip(shared, -1, 1)))
    out = up.copy()
    out[made] = np.where((np.abs(claim) > SHRINK_FROM) & (shared < 1), claim * factor, claim)
    return out


def normal_score(t: Floats, freedom: Floats) -> Floats:
    """Student's t as a normal score (Wallace 1959)."""
    return np.asarray(
        np.sign(t)
        * (8 * freedom + 1)
        / (8 * freedom + 3)
        * np.sqrt(freedom * np.log1p(t * t / freedom))
    )


def pointing(questions: Sequence[Question], direction: Direction) -> tuple[Bools, Bools]:
    """Of which questions an answer upwards is bad, and of which one downwards; a spread only if it
    is wider, unless any move is."""
    both = np.array([question.side is Side.BOTH for question in questions], dtype=bool)
    if direction is Direction.EITHER:
        return np.ones(len(questions), bool), both
    level = np.array([question.kind in LEVELS for question in questions], dtype=bool)
    besides = np.array([question.kind in BESIDES[direction] for question in questions], dtype=bool)
    rising = direction is Direction.UP
    return (level & rising) | besides, level & (not rising)


def combine(one_sided: Floats) -> Floats:
    """G = log of the mean of exp(`SCORE_WEIGHT` max(z, 0)²) over the questions `(questions,
    series)`; a NaN is no answer and does not count."""
    asked = np.isfinite(one_sided)
    power = SCORE_WEIGHT * np.where(asked, np.maximum(one_sided, 0), 0.0) ** 2
    top = power.max(axis=0, initial=0.0)
    total = np.where(asked, np.exp(power - top), 0.0).sum(axis=0)
    with np.errstate(divide="ignore"):
        return np.asarray(
            np.where(asked.any(axis=0), top + np.log(total / np.maximum(asked.sum(axis=0), 1)), 0.0)
        )
