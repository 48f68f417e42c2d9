"""What could have been detected: the smallest change of level that four of five placebo releases
would have shown.

A jump of the level moves every answer by an amount that follows from the question. Added to the
answers at the placebo releases, which hold the series' own noise, it tells how often such a jump
would have been found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np

from anomaly.baseline.noise import ORDER
from anomaly.baseline.robust import Bools, Floats, Ints, choice
from anomaly.baseline.seasonal import BOUND, Baseline
from anomaly.baseline.transform import Scale
from anomaly.model import Direction
from anomaly.scoring.effect import Effects
from anomaly.scoring.jump_search import JUMPS, Search
from anomaly.scoring.question_kinds import QuestionKind, StepMeasure
from anomaly.scoring.questions import TIGHT, Question, beyond
from anomaly.scoring.replay import (
    SCORE_WEIGHT,
    Scores,
    is_complete,
    pointing,
    shrunk_scores,
    weights_of,
)
from anomaly.scoring.significance import g_at, null_of
from anomaly.scoring.timeline import SAMPLE, WIDE, Timeline, bounded, sample_of

# Share of the placebo releases: above 0.8, for the spreads were learned from the same ones.
DETECTED_SHARE = 0.86
POWER = 0.8416  # Φ⁻¹(0.8)
PLACEBOS = 40  # placebo releases that stand for all
TOGETHER = 16  # series that are tried at a time
# For each of a sample others, as if drawn: primes that do not divide its size go all round it.
OTHERS = np.multiply.outer([79, 31, 113, 17, 149, 61, 97, 43], np.arange(SAMPLE)) % SAMPLE
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
class Powers:
    """How the answers of the series of a panel follow a jump of their level: all that this needs of
    the panel.

    `past` `(questions, series, PLACEBOS)` are the answers at the placebo releases that stand for
    all, NaN where there are fewer; those are `counted` `(series, PLACEBOS)`, and `volatility` is
    that of the timeline there. `centre` to `freedom` are those of `Scores`. `phi` is the
    autoregression, `innovation_spread` that of the baseline; `x` and `z` `(series, sample)` stand
    for the residuals and the innovations of the history, `low` and `high` are the tails of these.
    `events` `(series, sample)` are what a step holds beside nothing, in standard deviations, where
    events are few. `growth` is which share of the level one standard deviation is, where noise
    grows with its root. Elsewhere they are 0.
    """

    questions: tuple[Question, ...]
    past: Floats
    counted: Bools
    volatility: Floats
    centre: Floats
    above: Floats
    below: Floats
    freedom: Floats
    phi: Floats
    innovation_spread: Floats
    x: Floats
    z: Floats
    low: Floats
    high: Floats
    events: Floats
    growth: Floats
    effects: Effects

    @classmethod
    def of(cls, base: Baseline, line: Timeline, scores: Scores, effects: Effects) -> Powers:
        """What is needed of a panel."""
        count = len(line.x)
        past = np.full((len(scores.questions), count, PLACEBOS), np.nan)
        at_placebos, counted = np.ones(past.shape[1:]), np.zeros(past.shape[1:], bool)
        are_complete = is_complete(scores.answers[:, :, :-1])
        for i in range(count):
            answers, complete = scores.answers[:, i, :-1], np.flatnonzero(are_complete[i])
            if not len(complete):
                continue
            sample = complete[np.unique(np.linspace(0, len(complete) - 1, PLACEBOS).astype(int))]
            past[:, i, : len(sample)] = answers[:, sample]
            at_placebos[i, : len(sample)] = line.volatility[i, sample]
            counted[i, : len(sample)] = True
        none = np.empty((count, 0))
        low, high = line.innovation_quantiles[:, :2].T
        x = sample_of(line.x[:, : line.before], line.present[:, : line.before])[:, 2:]
        growth = _growth(effects)
        return cls(
            questions=tuple(each.answered(none) for each in scores.questions),
            past=past,
            counted=counted,
            volatility=at_placebos,
            centre=scores.centre,
            above=scores.above,
            below=scores.below,
            freedom=scores.freedom,
            phi=line.phi,
            innovation_spread=base.innovation_spread,
            x=x,
            z=line.innovation_quantiles[:, 2:],
            low=low,
            high=high,
            events=_events(base, line, x, growth),
            growth=growth,
            effects=replace(effects, at=none, lower=none, upper=none, z=none, before=none),
        )

    def jumps(self, rows: Ints, alphas: Sequence[float], direction: Direction) -> Floats:
        """The jump of each of these series, in standard deviations of a step, that is significant
        at its one of the `alphas` in four of five releases; NaN if none is."""
        null = null_of(direction)
        threshold = np.array([g_at(alpha, null) for alpha in alphas])
        weights = _weights(self.questions, self.phi[rows])
        parts = [slice(i, i + TOGETHER) for i in range(0, len(rows), TOGETHER)]
        by_part = [
            _Answers.of(self, rows[part], weights[part]).jumps(threshold[part], direction)
            for part in parts
        ]
        return np.concatenate([np.empty(0), *by_part])


@dataclass(frozen=True, slots=True)
class Power:
    """The power of one `series` of a panel."""

    panel: Powers
    series: int

    def change(self, jump: float, tolerance: float, floor: float) -> tuple[float | None, float]:
        """The change of a level that jumps, relative (see `Effect.size`) and absolute, or the least
        whose interval is then beyond tolerance and floor in four of five releases, too."""
        effects = self.panel.effects
        effect = effects.of(self.series)
        absolute = abs(effects.of_jump(self.series, jump))
        tolerable = max(tolerance * abs(effect.expected), floor)
        if tolerable > 0:
            _, margin = effect.size(
                float(np.copysign(effect.half_width() + POWER * effect.error, jump))
            )
            absolute = max(absolute, tolerable + abs(margin))
        return effect.relative(absolute), absolute


@dataclass(frozen=True, slots=True)
class Request:
    """Of which series the smallest change is asked that can be detected, and by which measure."""

    power: Power
    alpha: float
    direction: Direction
    tolerance: float
    floor: float


Smallest = tuple[float | None, float] | None
Task = TypeVar("Task")
Result = TypeVar("Result")


class Doer(Protocol):
    """Whoever does some tasks and answers in their order, as `map` does."""

    def __call__(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], /
    ) -> Iterable[Result]: ...


def one_by_one(function: Callable[[Task], Result], tasks: Sequence[Task], /) -> Iterable[Result]:
    """The answers to the tasks by this process."""
    return map(function, tasks)


def detectable(requests: Sequence[Request], doer: Doer = one_by_one) -> list[Smallest]:
    """For each the smallest change of level, relative (see `Effect.size`) and absolute, that is
    significant at `alpha` in four of five releases; None if none is.

    Its interval is then beyond tolerance and floor in four of five, too. The `doer` looks for those
    of a panel at a time.
    """
    out: list[Smallest] = [None] * len(requests)
    together: dict[tuple[int, Direction], list[int]] = {}
    for i, each in enumerate(requests):
        together.setdefault((id(each.power.panel), each.direction), []).append(i)
    tasks = [tuple(requests[i] for i in mine) for mine in together.values()]
    for mine, sizes in zip(together.values(), doer(_of_a_panel, tasks), strict=True):
        for i, smallest in zip(mine, sizes, strict=True):
            out[i] = smallest
    return out


def _of_a_panel(requests: Sequence[Request]) -> list[Smallest]:
    """`detectable` of series of one panel that have the same direction."""
    panel, direction = requests[0].power.panel, requests[0].direction
    with np.errstate(all="ignore"):  # numbers too large to compute with end as infinity
        jumps = panel.jumps(
            np.array([each.power.series for each in requests]),
            [each.alpha for each in requests],
            direction,
        )
        return [
            each.power.change(float(jump), each.tolerance, each.floor)
            if np.isfinite(jump)
            else None
            for each, jump in zip(requests, jumps, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Answers:
    """The answers of some series at the placebo releases that stand for all: how far they are
    `away` from their centre `(questions, series, placebo releases)`, NaN where there are fewer.

    A jump moves them by its response times `steadiness`, the inverse of the volatility; `above` and
    `below` are the inverse spreads, of one column as `freedom`. After a jump upwards they are
    farther away, by `growth`.
    """

    questions: tuple[Question, ...]
    away: Floats
    counted: Bools
    steadiness: Floats
    above: Floats
    below: Floats
    freedom: Floats
    growth: Floats
    response: _Response

    @classmethod
    def of(cls, panel: Powers, rows: Ints, weights: Floats) -> _Answers:
        steadiness = np.ones((len(panel.questions), len(rows), PLACEBOS))
        level = [question.spec.is_level for question in panel.questions]
        steadiness[level] = 1 / panel.volatility[rows]
        return cls(
            questions=panel.questions,
            away=panel.past[:, rows] - panel.centre[:, rows, None],
            counted=panel.counted[rows],
            steadiness=steadiness,
            above=1 / panel.above[:, rows, None],
            below=1 / panel.below[:, rows, None],
            freedom=panel.freedom[:, rows, None],
            growth=panel.growth[rows],
            response=_response(panel, rows, weights),
        )

    def jumps(self, threshold: Floats, direction: Direction) -> Floats:
        """The smallest jump of each series that exceeds its threshold often enough; NaN where none
        does."""
        sign = -1.0 if direction is Direction.DOWN else 1.0
        out = np.full(len(threshold), np.nan)
        rows = np.flatnonzero(self.counted.any(axis=1))
        search = Search.of(threshold[rows])
        while len(is_open := search.open()):
            tried = search.next(is_open)
            jumps = sign * JUMPS[tried]
            search.learn(is_open, tried, self._exceeded(rows[is_open], jumps, direction))
        has_jump = search.enough < len(JUMPS)
        out[rows[has_jump]] = sign * JUMPS[search.enough[has_jump]]
        return out

    def _exceeded(self, rows: Ints, jumps: Floats, direction: Direction) -> Floats:
        """The G that the answers of each series exceed at enough of the placebo releases, after a
        jump of it."""
        everyone = len(rows) == len(self.counted)

        def of(each: Floats) -> Floats:
            return each if everyone else each[:, rows]

        noise = np.sqrt(np.maximum(1 + self.growth[rows] * jumps, 1.0))
        move = of(self.away) * noise[:, None]
        move += self.response.to(rows, jumps)[..., None] * of(self.steadiness)
        move *= choice(move > 0, of(self.above), of(self.below))
        up = shrunk_scores(self.questions, _about_normal(move, of(self.freedom)))
        counted = self.counted[rows]
        g = np.where(counted, _combined(self.questions, up, direction), -np.inf)
        need = np.ceil(DETECTED_SHARE * counted.sum(axis=1)).astype(int)
        ranked = np.sort(np.fmax(g, -np.inf), axis=1)  # what is NaN exceeds nothing
        return np.asarray(ranked[np.arange(len(rows)), PLACEBOS - need])


def _about_normal(t: Floats, freedom: Floats) -> Floats:
    """`normal_score` without care for the last digits of the smallest."""
    factor = (8 * freedom + 1) / (8 * freedom + 3) * np.sqrt(freedom)
    return np.asarray(np.copysign(factor * np.sqrt(np.log(1 + t * t / freedom)), t))


def _combined(questions: Sequence[Question], up: Floats, direction: Direction) -> Floats:
    """What the bad ones of the scores `(questions, ...)` `combine` to.

    A score that points the other way counts as 0: of those that are bad on both sides one always
    does.
    """
    rising, falling = pointing(questions, direction)
    both, of_question = rising & falling, weights_of(questions)
    weights = np.concatenate(
        [of_question[both], of_question[rising & ~both], of_question[falling & ~both]]
    )
    bad = np.concatenate(
        [
            np.abs(up[both]),
            np.clip(up[rising & ~both], 0.0, np.inf),
            np.clip(-up[falling & ~both], 0.0, np.inf),
        ]
    )
    weight = weights.reshape(-1, *[1] * (up.ndim - 1))
    likelihood = np.exp(SCORE_WEIGHT * bad * bad)
    likelihood *= weight
    has_answer, pairs = np.isfinite(bad), both.sum()
    if has_answer.all():
        count, zeros = weights.sum(), weights[:pairs].sum()
    else:
        likelihood = np.where(has_answer, likelihood, 0.0)
        counted = weight * has_answer
        count, zeros = counted.sum(axis=0), counted[:pairs].sum(axis=0)
    return np.asarray(np.log((likelihood.sum(axis=0) + zeros) / (count + zeros)))


@dataclass(frozen=True, slots=True)
class _Response:
    """How the answers of some series follow a jump of the level: `weights` `(series, questions,
    moments)` of the moments of a step that it moves, by samples `x` and `z` `(series, sample)` of
    the history.

    `reach` `(series, lags)` is what a jump of 1 leaves in the innovations 0, 1, … `ORDER` steps
    later; `low` and `high` are the tails; `usual` are the moments without a jump. Where events are
    few, a jump comes in whole ones: by each `level` of it every step gets those of another one,
    `more` `(series, times, sample)`, or loses its own, `fewer`; by a part of it, so do as many
    steps.
    """

    weights: Floats
    x: Floats
    z: Floats
    reach: Floats
    low: Floats
    high: Floats
    level: Floats
    more: Floats
    fewer: Floats
    usual: Floats

    def to(self, rows: Ints, jumps: Floats) -> Floats:
        """Change of every answer of some series, `(questions, series)`, by a jump of each."""
        moments = self._moments(rows, np.where(self.level[rows] > 0, 0.0, jumps)[:, None])
        few = np.flatnonzero(self.level[rows])
        if len(few):
            moments[few] = self._with_events(rows[few], jumps[few])
        change = moments - self.usual[rows]
        return np.asarray(np.einsum("sqm,sm->qs", self.weights[rows], change))

    def _with_events(self, rows: Ints, jumps: Floats) -> Floats:
        """`_moments` where events are few."""
        more = self.more[rows] if jumps[0] > 0 else self.fewer[rows]
        most, times = more.shape[1] - 1, np.abs(jumps) / self.level[rows]
        whole, each = np.minimum(times, most).astype(int), np.arange(len(rows))
        beyond_most = np.maximum(times / most, 1.0)[:, None]
        share = np.clip(times - whole, 0.0, 1.0) * (times < most)
        low = self._moments(rows, more[each, whole] * beyond_most)
        high = self._moments(rows, more[each, np.minimum(whole + 1, most)])
        return np.asarray(low + share[:, None] * (high - low))

    def _moments(self, rows: Ints, jumps: Floats) -> Floats:
        return _moments(
            self.x[rows], self.z[rows], self.reach[rows], self.low[rows], self.high[rows], jumps
        )


def _moments(
    x: Floats, z: Floats, reach: Floats, low: Floats, high: Floats, jumps: Floats
) -> Floats:
    """The means of the `PLAIN` numbers of a step, and those of the `WHITENED` ones at each lag,
    `(series, moments)`, with jumps of each series, of one column or one for each of the sample."""
    before, x = bounded(x, BOUND), x + jumps
    after = bounded(x, BOUND)
    lags = (len(x), ORDER + 1)
    if not np.ptp(reach):  # without autocorrelation all lags are alike
        reach = reach[:, :1]
    z = z[:, None] + reach[..., None] * (after - before)[:, None]
    plain = [each.mean(axis=-1)[:, None] for each in (after, np.clip(x, -TIGHT, TIGHT))]
    low, high = low[:, None, None], high[:, None, None]
    whitened = (
        np.clip(z, -WIDE, WIDE),
        np.clip(np.abs(z), 0.0, WIDE),
        beyond(z - high),
        beyond(low - z),
    )
    means = [np.broadcast_to(each.mean(axis=-1), lags) for each in whitened]
    return np.concatenate([*plain, *means], axis=1)


def _response(panel: Powers, rows: Ints, weights: Floats) -> _Response:
    x, z, low, high = panel.x[rows], panel.z[rows], panel.low[rows], panel.high[rows]
    reach = _whitened(np.ones((len(rows), ORDER + 1)), panel.phi[rows])
    reach = reach / panel.innovation_spread[rows, None]
    usual = _moments(x, z, reach, low, high, np.zeros((len(rows), 1)))
    events = panel.events[rows]
    none = np.zeros_like(events)[:, None]
    more = np.concatenate([none, np.cumsum(events[:, OTHERS], axis=1)], axis=1)
    fewer = np.concatenate([none, -events[:, None]], axis=1)
    return _Response(weights, x, z, reach, low, high, events.mean(axis=1), more, fewer, usual)


def _weights(questions: Sequence[Question], phi: Floats) -> Floats:
    """`Response.weights`; zeros where a jump of the level does not move the answer."""
    out = np.zeros((len(phi), len(questions), len(PLAIN) + len(WHITENED) * (ORDER + 1)))
    for weights, question in zip(out.swapaxes(0, 1), questions, strict=True):
        spec, size = question.spec, question.size
        if not spec.responds:
            continue
        if spec.measure in PLAIN:
            weights[:, PLAIN.index(spec.measure)] = 1.0
            continue
        begin = len(PLAIN) + WHITENED.index(spec.measure) * (ORDER + 1)
        if not spec.is_matched:  # every step has the same share
            weights[:, begin : begin + min(size, ORDER)] = 1 / size
            weights[:, begin + ORDER] = max(size - ORDER, 0) / size
            continue
        is_jump = question.kind is QuestionKind.JUMP
        shape = np.ones(size) if is_jump else np.arange(1, size + 1) / size
        share = _whitened(np.tile(shape, (len(phi), 1)), phi)
        share /= np.sqrt((share**2).sum(axis=1, keepdims=True))
        weights[:, begin : begin + min(size, ORDER)] = share[:, :ORDER]
        # from there on every step is moved alike
        weights[:, begin + ORDER] = share[:, ORDER:].sum(axis=1)
    return out


def _growth(effects: Effects) -> Floats:
    """Which share of the level one standard deviation is, where noise is assumed to grow with the
    root of the level; elsewhere 0."""
    grows = (effects.link == Scale.ROOT) & (effects.scale == Scale.IDENTITY)
    width = (effects.width * effects.weight).sum(axis=1)
    level = (effects.location * effects.weight).sum(axis=1)
    return np.where(grows, _share(width, level), 0.0)


def _events(base: Baseline, line: Timeline, x: Floats, growth: Floats) -> Floats:
    """`Powers.events`: how far the residuals `x`, in order, are above those of steps with nothing.
    Their mean is the level."""
    present = line.present[:, : line.before]
    nothing = present & (line.series.amount[:, : line.before] == 0)
    zeros = _share(nothing.sum(axis=1), present.sum(axis=1))[:, None]
    level = _share(np.ones(len(x)), growth)[:, None]
    has_events = (np.arange(SAMPLE) + 0.5) / SAMPLE > zeros
    events = np.where(base.few[:, None] & has_events, np.maximum(x + level, 0.0), 0.0)
    return events * _share(level[:, 0], events.mean(axis=1))[:, None]


def _share(part: Floats | Ints, whole: Floats | Ints) -> Floats:
    """The one as a share of the other; of nothing it is 0."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def _whitened(response: Floats, phi: Floats) -> Floats:
    """Responses of the level `(series, steps)` as they reach the innovations."""
    out = response.copy()
    for lag in range(1, min(phi.shape[1], response.shape[1] - 1) + 1):
        out[:, lag:] -= phi[:, lag - 1, None] * response[:, :-lag]
    return out
