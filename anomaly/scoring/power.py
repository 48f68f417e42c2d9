"""What could have been detected: the smallest change of level that four of five placebo releases
would have shown.

A jump of the level moves every answer by an amount that follows from the question. Added to the
answers at the placebo releases, which hold the series' own noise, it tells how often such a jump
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
from anomaly.scoring.question_kinds import QuestionKind, StepMeasure
from anomaly.scoring.questions import TAIL, TIGHT, WIDE, Question, beyond
from anomaly.scoring.replay import (
    Scores,
    combine,
    is_complete,
    normal_score,
    pointing,
    shrunk_scores,
)
from anomaly.scoring.significance import g_at, null_of
from anomaly.scoring.timeline import Timeline

# Share of the placebo releases: above 0.8, for the spreads were learned from the same ones.
DETECTED_SHARE = 0.86
POWER = 0.8416  # Φ⁻¹(0.8)
PLACEBOS = 40  # placebo releases that stand for all
SAMPLE = 200  # quantiles of the history that stand for its steps
LARGEST, SMALLEST = 100.0, 0.02  # standard deviations
BRANCHES, ROUNDS = 8, 3  # of the search: sizes tried at a time, and how many times
# The numbers of a step that a jump moves: these by itself ...
PLAIN = (StepMeasure.RESIDUAL, StepMeasure.CENTRAL_RESIDUAL)
# ... and these by what the autoregression leaves of it, 0, 1, … `ORDER` steps later.
WHITENED = (
    StepMeasure.INNOVATION,
    StepMeasure.INNOVATION_SIZE,
    StepMeasure.HIGH_EXCESS,
    StepMeasure.LOW_EXCESS,
)


@dataclass(frozen=True, slots=True)
class Power:
    """How the answers of one series follow a jump of its level: matrices `(questions, placebo
    releases)` or `(questions, 1)`."""

    questions: tuple[Question, ...]
    past: Floats
    volatility: Floats
    centre: Floats
    above: Floats
    below: Floats
    freedom: Floats
    response: Response
    effects: Effects
    series: int

    def detectable(
        self, alpha: float, direction: Direction, tolerance: float, floor: float
    ) -> tuple[float | None, float] | None:
        """The smallest change of level, relative (see `Effect.size`) and absolute, that is
        significant at `alpha` in four of five releases; None if none is.

        Its interval is then beyond tolerance and floor in four of five, too.
        """
        with np.errstate(all="ignore"):  # numbers too large to compute with end as infinity
            return self._detectable(self.jump(alpha, direction), tolerance, floor)

    def _detectable(
        self, jump: float | None, tolerance: float, floor: float
    ) -> tuple[float | None, float] | None:
        if jump is None:
            return None
        effect = self.effects.of(self.series)
        absolute = abs(self.effects.of_jump(self.series, jump))
        tolerable = max(tolerance * abs(effect.expected), floor)
        if tolerable > 0:
            _, margin = effect.size(
                float(np.copysign(effect.half_width() + POWER * effect.error, jump))
            )
            absolute = max(absolute, tolerable + abs(margin))
        return effect.relative(absolute), absolute

    def jump(self, alpha: float, direction: Direction) -> float | None:
        """The jump, in standard deviations of a step, that is significant at `alpha` in four of
        five releases; None if none is."""
        sign = -1.0 if direction is Direction.DOWN else 1.0
        threshold = g_at(alpha, null_of(direction))
        sizes = np.geomspace(SMALLEST, LARGEST, BRANCHES**ROUNDS + 1)
        if self.past.shape[1] == 0:
            return None
        low = 0
        for stride in (BRANCHES**left for left in reversed(range(ROUNDS))):
            above = low + stride * np.arange(1, BRANCHES + 1)
            shares = self._significant_shares(sign * sizes[above], threshold, direction)
            enough = shares >= DETECTED_SHARE
            if not enough.any():  # can only be in the first round: later ones end where one was
                return None
            low = int(above[enough.argmax()]) - stride
        return float(sign * sizes[low + 1])

    def _significant_shares(self, jumps: Floats, threshold: float, direction: Direction) -> Floats:
        """Share of the placebo releases at which each of the jumps would have exceeded the
        threshold."""
        count, placebos = self.past.shape
        shift = self.response.to(jumps)
        move = (
            self.past[:, None]
            + shift[:, :, None] / self.volatility[:, None]
            - self.centre[:, :, None]
        ).reshape(count, -1)
        scale = np.where(move > 0, self.above, self.below)
        up = shrunk_scores(self.questions, normal_score(move / scale, self.freedom))
        rising, falling = pointing(self.questions, direction)
        g = combine(np.concatenate([up[rising], -up[falling]]))
        return np.asarray((g > threshold).reshape(-1, placebos).mean(axis=1))


@dataclass(frozen=True, slots=True)
class Response:
    """How answers follow a jump of the level: `weights` `(questions, moments)` of the moments of a
    step that it moves, by samples `x` and `z` of the history.

    `reach` is what a jump of 1 leaves in the innovations 0, 1, … `ORDER` steps later; `low` and
    `high` are the tails.
    """

    weights: Floats
    x: Floats
    z: Floats
    reach: Floats
    low: float
    high: float

    def to(self, jumps: Floats) -> Floats:
        """Change of every answer `(questions, jumps)`."""
        moments = self._moments(np.concatenate([[0.0], jumps]))
        return np.asarray(self.weights @ (moments[:, 1:] - moments[:, :1]))

    def _moments(self, jumps: Floats) -> Floats:
        """The means of the `PLAIN` numbers of a step, and those of the `WHITENED` ones at each
        lag."""
        x, z = self.x + jumps[:, None], self.z + (self.reach[:, None] * jumps)[:, :, None]
        plain = np.stack([np.clip(x, -bound, bound).mean(axis=-1) for bound in (BOUND, TIGHT)])
        size = np.minimum(np.abs(z), WIDE)
        excess = beyond(z - self.high), beyond(self.low - z)
        whitened = (np.clip(z, -WIDE, WIDE), size, *excess)
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
    complete = np.flatnonzero(is_complete(past))
    if len(complete):
        complete = complete[np.unique(np.linspace(0, len(complete) - 1, PLACEBOS).astype(int))]
    level = np.array([[question.spec.is_level] for question in scores.questions])
    one = slice(i, i + 1)
    return Power(
        questions=scores.questions,
        past=past[:, complete],
        volatility=np.where(level, volatility[i, complete], 1.0),
        centre=scores.centre[:, one],
        above=scores.above[:, one],
        below=scores.below[:, one],
        freedom=scores.freedom[:, one],
        response=_response(line, scores.questions, float(innovation_spread[i]), i),
        effects=effects,
        series=i,
    )


def _response(
    line: Timeline, questions: tuple[Question, ...], innovation_spread: float, i: int
) -> Response:
    n, phi = line.before, line.phi[i]
    x = _sample(line.x[i, :n][line.present[i, :n]])
    z = _sample(line.z[i, :n][line.has_innovation[i, :n]])
    weights = np.stack([_weights(question, phi) for question in questions])
    reach = _whitened(np.ones(ORDER + 1), phi) / innovation_spread
    return Response(weights, x[2:], z[2:], reach, float(z[0]), float(z[1]))


def _sample(values: Floats) -> Floats:
    """The quantiles of both tails, and those that stand for the values; zeros without any."""
    middle = (np.arange(SAMPLE) + 0.5) / SAMPLE
    return (
        quantiles(values, np.concatenate([[TAIL, 1 - TAIL], middle]))
        if len(values)
        else np.zeros(3)
    )


def _weights(question: Question, phi: Floats) -> Floats:
    """Row of `Response.weights`; zeros where a jump of the level does not move the answer."""
    weights = np.zeros(len(PLAIN) + len(WHITENED) * (ORDER + 1))
    if not question.spec.responds:
        return weights
    if question.spec.measure in PLAIN:
        weights[PLAIN.index(question.spec.measure)] = 1.0
        return weights
    size = question.size
    share = np.full(size, 1 / size)
    if question.spec.is_matched:
        is_jump = question.kind is QuestionKind.JUMP
        share = _whitened(np.ones(size) if is_jump else np.arange(1, size + 1) / size, phi)
        share /= np.sqrt((share**2).sum())
    begin = len(PLAIN) + WHITENED.index(question.spec.measure) * (ORDER + 1)
    weights[begin : begin + min(size, ORDER)] = share[:ORDER]
    weights[begin + ORDER] = share[ORDER:].sum()  # from there on every step is moved alike
    return weights


def _whitened(response: Floats, phi: Floats) -> Floats:
    """A response of the level as it reaches the innovations."""
    out = response.copy()
    for lag, coefficient in enumerate(phi[: len(response) - 1], 1):
        out[lag:] -= coefficient * response[:-lag]
    return out
