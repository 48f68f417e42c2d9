"""What could have been seen: the change of level that four of five placebo releases would have
shown.

A level that jumps moves every answer by an amount that follows from the question. Added to the
answers at the placebo releases, which hold the series' own noise, it says how often such a jump
would have been found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anomaly.baseline.noise import ORDER
from anomaly.baseline.robust import Floats, quantiles
from anomaly.baseline.seasonal import BOUND
from anomaly.model import Direction
from anomaly.scoring.effect import Effects
from anomaly.scoring.questions import (
    LEVELS,
    MATCHED,
    TAIL,
    TIGHT,
    WIDE,
    Question,
    QuestionKind,
    beyond,
)
from anomaly.scoring.replay import Scores, combine, normal_score, pointing, shrunk_scores
from anomaly.scoring.significance import NullDistribution, needed
from anomaly.scoring.timeline import Timeline

FOUND = (
    0.825  # share of the placebo releases, above 0.8 because the spreads were learned from the same
)
POWER = 0.8416  # Φ⁻¹(0.8)
# how many are asked, and which share of the most answers that one has they must have
PLACEBOS = 40
COMPLETE = 0.9
SAMPLE = 200  # quantiles of the history that stand for its steps
LARGEST, SMALLEST = 100.0, 0.02  # standard deviations
BRANCHES, ROUNDS = 8, 3  # of the search: so many sizes at a time, so many times
PLAIN = {
    QuestionKind.LEVEL: 0,
    QuestionKind.LEVEL_BEFORE: 0,
    QuestionKind.TYPICAL: 1,
    QuestionKind.TYPICAL_BEFORE: 1,
}  # columns of `Response.seen`
WHITENED = {
    QuestionKind.JUMP: 0,
    QuestionKind.RAMP: 0,
    QuestionKind.SPREAD: 1,
    QuestionKind.HIGH: 2,
    QuestionKind.LOW: 3,
}


@dataclass(frozen=True, slots=True)
class Power:
    """How the answers of one series follow a jump of its level: matrices `(questions, placebo
    releases)` or `(questions, 1)`."""

    questions: tuple[Question, ...]
    past: Floats
    local_volatility: Floats
    centre: Floats
    above: Floats
    below: Floats
    freedom: Floats
    response: Response
    effects: Effects
    series: int

    def detectable(
        self, level: float, direction: Direction, tolerance: float, floor: float
    ) -> tuple[float | None, float] | None:
        """The smallest change of level, relative (see `Effect.size`) and absolute, found at this
        `level` in four of five; None if none is.

        Its interval is then beyond tolerance and floor in four of five, too.
        """
        with np.errstate(all="ignore"):  # numbers too large to compute with end as infinity
            return self._detectable(self.jump(level, direction), tolerance, floor)

    def _detectable(
        self, jump: float | None, tolerance: float, floor: float
    ) -> tuple[float | None, float] | None:
        if jump is None:
            return None
        effect = self.effects.of(self.series)
        absolute = abs(self.effects.of_jump(self.series, jump))
        tolerated = max(tolerance * abs(effect.expected), floor)
        if tolerated > 0:
            _, margin = effect.size(
                float(np.copysign(effect.half_width() + POWER * effect.error, jump))
            )
            absolute = max(absolute, tolerated + abs(margin))
        return effect.relative(absolute), absolute

    def jump(self, level: float, direction: Direction) -> float | None:
        """The jump, in standard deviations of a step, that is found at this `level` in four of
        five; None if none is."""
        sign = -1.0 if direction is Direction.DOWN else 1.0
        enough = needed(
            level,
            NullDistribution.BOTH_WAYS
            if direction is Direction.EITHER
            else NullDistribution.ONE_WAY,
        )
        sizes = np.geomspace(SMALLEST, LARGEST, BRANCHES**ROUNDS + 1)
        if self.past.shape[1] == 0:
            return None
        low = 0
        for stride in (BRANCHES**left for left in reversed(range(ROUNDS))):
            above = low + stride * np.arange(1, BRANCHES + 1)
            found = self._found(sign * sizes[above], enough, direction) >= FOUND
            if (
                not found.any()
            ):  # not even at the largest: of later rounds the last was found before
                return None
            low = int(above[found.argmax()]) - stride
        return float(sign * sizes[low + 1])

    def _found(self, jumps: Floats, enough: float, direction: Direction) -> Floats:
        """Share of the placebo releases at which each of the jumps would have been found."""
        count, placebos = self.past.shape
        shift = self.response.to(jumps)
        moved = (
            self.past[:, None]
            + shift[:, :, None] / self.local_volatility[:, None]
            - self.centre[:, :, None]
        ).reshape(count, -1)
        scale = np.where(moved > 0, self.above, self.below)
        up = shrunk_scores(self.questions, normal_score(moved / scale, self.freedom))
        plus, minus = pointing(self.questions, direction)
        return np.asarray(
            (combine(np.concatenate([up[plus], -up[minus]])) > enough)
            .reshape(-1, placebos)
            .mean(axis=1)
        )


@dataclass(frozen=True, slots=True)
class Response:
    """How answers follow a jump of the level: `weights` `(questions, seen)` of what is seen of it,
    in samples of the history."""

    weights: Floats
    x: Floats
    z: Floats
    reach: Floats
    low: float
    high: float

    def to(self, jumps: Floats) -> Floats:
        """Change of every answer `(questions, jumps)`."""
        seen = self._seen(np.concatenate([[0.0], jumps]))
        return np.asarray(self.weights @ (seen[:, 1:] - seen[:, :1]))

    def _seen(self, jumps: Floats) -> Floats:
        """Mean of the residuals within each bound; of the innovations at each lag, of their size,
        of what is beyond their tails."""
        x, z = self.x + jumps[:, None], self.z + (self.reach[:, None] * jumps)[:, :, None]
        plain = np.stack([np.clip(x, -bound, bound).mean(axis=-1) for bound in (BOUND, TIGHT)])
        size = np.minimum(np.abs(z), WIDE)
        whitened = (np.clip(z, -WIDE, WIDE), size, beyond(z - self.high), beyond(self.low - z))
        return np.concatenate([plain, *(each.mean(axis=-1) for each in whitened)])


def power(
    line: Timeline,
    scores: Scores,
    volatility: Floats,
    effects: Effects,
    innovation_spread: Floats,
    i: int,
) -> Power:
    """The power of series `i`; `volatility` is the `local_volatility` of all."""
    past = np.stack([question.answers[i, :-1] for question in scores.questions])
    asked = np.isfinite(past).sum(axis=0)
    complete = np.flatnonzero((asked > 0) & (asked >= COMPLETE * asked.max(initial=0)))
    chosen = (
        complete[np.unique(np.linspace(0, len(complete) - 1, PLACEBOS).astype(int))]
        if len(complete)
        else complete
    )
    levels = np.array([[question.kind in LEVELS] for question in scores.questions])
    volatility = np.where(levels, volatility[i, chosen], 1.0)
    centre, above, below, freedom = (
        each[:, i : i + 1] for each in (scores.centre, scores.above, scores.below, scores.freedom)
    )
    response = _response(line, scores.questions, float(innovation_spread[i]), i)
    return Power(
        scores.questions,
        past[:, chosen],
        volatility,
        centre,
        above,
        below,
        freedom,
        response,
        effects,
        i,
    )


def _response(
    line: Timeline, questions: tuple[Question, ...], innovation_spread: float, i: int
) -> Response:
    n, phi = line.before, line.phi[i]
    x, z = line.x[i, :n][line.present[i, :n]], line.z[i, :n][line.known[i, :n]]
    at = (np.arange(SAMPLE) + 0.5) / SAMPLE
    reach = _whitened(np.ones(ORDER + 1), phi)
    weights = np.stack([_weights(question, phi) for question in questions])
    x, z = (
        quantiles(each, np.concatenate([[TAIL, 1 - TAIL], at])) if len(each) else np.zeros(3)
        for each in (x, z)
    )
    (low, high), x, z = z[:2], x[2:], z[2:]
    return Response(weights, x, z, reach / innovation_spread, float(low), float(high))


def _weights(question: Question, phi: Floats) -> Floats:
    """Row of `Response.weights`; counts of steps do not follow a jump of the level."""
    out = np.zeros(len(set(PLAIN.values())) + len(set(WHITENED.values())) * (ORDER + 1))
    if question.kind in PLAIN:
        out[PLAIN[question.kind]] = 1.0
    if question.kind in WHITENED:
        size = question.size
        share = np.full(size, 1 / size)
        if question.kind in MATCHED:
            share = _whitened(
                np.ones(size)
                if question.kind is QuestionKind.JUMP
                else np.arange(1, size + 1) / size,
                phi,
            )
            share /= np.sqrt((share**2).sum())
        begin = len(set(PLAIN.values())) + WHITENED[question.kind] * (ORDER + 1)
        out[begin : begin + min(size, ORDER)] = share[:ORDER]
        out[begin + ORDER] = share[ORDER:].sum()  # from then on all steps see the same
    return out


def _whitened(response: Floats, phi: Floats) -> Floats:
    out = response.copy()
    for lag, coefficient in enumerate(phi[: len(response) - 1], 1):
        out[lag:] -= coefficient * response[:-lag]
    return out
