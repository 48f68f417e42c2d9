"""Placebo replay: how surprising is an answer at the release, given the answers at hundreds of
moments without one?

Each answer becomes a normal score by the spread of its placebo answers, with the degrees of freedom
of the independent windows behind it. The scores of a series are combined by their average
likelihood: it gains from several questions that point the same way, and their correlation does no
harm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from anomaly.baseline.robust import Bools, Floats, Ints, choice
from anomaly.model import Direction
from anomaly.scoring.question_kinds import SPECS, Centre, Counterpart, QuestionKind, Side
from anomaly.scoring.questions import Question
from anomaly.scoring.significance import null_of, p_value
from anomaly.scoring.timeline import Timeline

PRIOR = 4.0  # windows' worth of belief in the next shorter window's spread
COUNT_SPREAD = 1.5  # prior spread of counts on the 2 √(count + ½) scale
SCORE_WEIGHT = 0.25  # of the squared score in the average likelihood
# Placebos on one side, and independent windows, before up and down get spreads of their own.
ENOUGH_SIDES = 8
ENOUGH_WINDOWS = 12
# Independent windows from which on a median is believed in full, and at which a slope is by half.
HALF_BELIEF = 10
LEAST_SLOPE, LARGEST_SLOPE = -0.5, 0.6  # of a spread, as a power of the window's size
COUNT_QUANTILE = 2.5  # standard deviations at which the largest placebo count lies, at most
LARGEST_SHARE = 0.6  # of the history that a window is taken to be
LEAST_PLACEBOS = 3
# The spread of absolute deviations: clipped root mean square, and two quantiles of |N(0, 1)|.
CLIP = 5
MEDIAN_OF_NORMAL = 0.6745  # Φ⁻¹(3/4)
QUANTILE_90 = 1.645  # Φ⁻¹(0.95)
QUANTILE_975 = 2.24  # Φ⁻¹(0.9875)
# From this score on an answer is held against its counterpart: how strongly, and down to where.
SHRINK_FROM = 1.5
SHRINKAGE = 0.3
LEAST_FACTOR = 0.4
TINY, ROUNDING = 1e-12, 1e-9
# Placebo releases replayed for all series together, at most, and the share of the most answers that
# such a one must have.
JOINT = 100
COMPLETE = 0.9
HELD_OUT = 4  # the last one of so many parts of the history is judged by those before it
LEAST_HELD_OUT = 4  # placebo releases in it


@dataclass(frozen=True, slots=True)
class Scores:
    """Normal scores `up` of the release, positive = upwards or more, NaN where there is no answer;
    all `(questions, series)`.

    They are the distances of the `answers` `(questions, series, origins)` from `centre`, in units
    of `above` or `below`, as Student's t with `freedom`.
    """

    questions: tuple[Question, ...]
    answers: Floats
    up: Floats
    centre: Floats
    above: Floats
    below: Floats
    freedom: Floats


def scores(line: Timeline, questions: list[Question]) -> Scores:
    """Every question's answer at the release as a normal score."""
    if not questions:
        none = np.empty((0, len(line.x)))
        return Scores((), none[..., None], none, none, none, none, none)
    return _scores(line, questions, np.stack([question.answers for question in questions]))


def _scores(line: Timeline, questions: Sequence[Question], answers: Floats) -> Scores:
    """The same from the answers `(questions, series, origins)`."""
    origin = line.origins
    past, real = answers[:, :, :-1], answers[:, :, -1]
    has_answer = np.isfinite(past)
    size = has_answer.sum(axis=2)
    first = has_answer.argmax(axis=2)
    last = past.shape[2] - 1 - has_answer[:, :, ::-1].argmax(axis=2)
    span = origin[last] - origin[first] + 1
    lengths = [
        line.after if question.spec.side is Side.COUNT else question.size for question in questions
    ]
    windows = np.minimum(np.maximum(1.0, span / np.array(lengths)[:, None] + 1), size)
    ranked = np.sort(past, axis=2)  # NaN last
    centre = _centres(questions, past, ranked, size, windows)
    spreads = _spreads(ranked - centre[:, :, None], size, windows)
    _steady(line, questions, past, windows, centre, spreads)
    above, below = spreads
    freedom = windows + PRIOR - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        move = real - centre
        up = normal_score(move / np.where(move > 0, above, below), freedom)
    usable = np.isfinite(real) & (size >= LEAST_PLACEBOS)
    up = np.where(usable, up, np.nan)
    own = tuple(  # the same numbers are kept once
        question.answered(mine) for question, mine in zip(questions, answers, strict=True)
    )
    return Scores(own, answers, shrunk_scores(own, up), centre, above, below, freedom)


def scores_of_each(line: Timeline, questions: list[Question]) -> list[tuple[Scores, int]]:
    """For every series scores and its place in them, as if it were alone: of the questions that it
    has an answer to."""
    if not questions:
        return [(scores(line, questions), i) for i in range(len(line.x))]
    answers = np.stack([question.answers for question in questions])
    has_answer = np.isfinite(answers[:, :, -1])
    out: dict[int, tuple[Scores, int]] = {}
    for pattern in dict.fromkeys(map(tuple, has_answer.T.tolist())):
        series = np.flatnonzero((has_answer == np.array(pattern)[:, None]).all(axis=0))
        some = [question for question, mine in zip(questions, pattern, strict=True) if mine]
        if all(pattern) and len(series) == answers.shape[1]:
            result = _scores(line, some, answers)
        elif some:
            result = _scores(line, some, answers[np.ix_(pattern, series)])
        else:
            result = scores(line, [])
        out |= {int(i): (result, place) for place, i in enumerate(series)}
    return [out[i] for i in range(answers.shape[1])]


def at_placebos(scores: Scores, sample: slice = slice(None, -1)) -> Floats:
    """The normal scores of all series at the placebo origins, `(questions, series, origins)`, as
    `Scores.up` has them at the release."""
    move = scores.answers[:, :, sample] - scores.centre[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        spreads = choice(move > 0, scores.above[..., None], scores.below[..., None])
        up = normal_score(move / spreads, scores.freedom[..., None])
        return shrunk_scores(scores.questions, up)


def _combined_bad(
    scores: Scores, directions: Sequence[Direction], sample: slice
) -> tuple[Floats, Bools]:
    """The combined score of each series' bad answers at placebo origins, and where there are
    enough of them; both `(series, origins)`."""
    up = at_placebos(scores, sample)
    complete, combined = is_complete(up), np.empty(up.shape[1:])
    for direction in dict.fromkeys(directions):
        mine = [i for i, each in enumerate(directions) if each is direction]
        of_mine = up if len(mine) == len(directions) else up[:, mine]
        combined[mine] = combine(*bad_answers(scores.questions, of_mine, direction))
    return combined, complete


def joint_replay(scores: Scores, directions: Sequence[Direction]) -> Floats:
    """The combined score of each series' bad answers at the same placebo releases, `(series, up to
    JOINT)`, as at a release; NaN where there are too few answers.

    The spreads were learned from the same answers. So only the ranks count: they tell which series
    are surprising together.
    """
    if not scores.questions:
        return np.empty((len(directions), 0))
    count = scores.answers.shape[2] - 1
    combined, complete = _combined_bad(
        scores, directions, slice(0, count, max(1, -(-count // JOINT)))
    )
    return np.where(complete, combined, np.nan)


def held_out_replay(line: Timeline, scores: Scores, directions: Sequence[Direction]) -> Floats:
    """The p-value of each series' bad answers at placebo releases in the last part of the history,
    `(series, releases)`, each a whole observation from the next; NaN where there are too few
    answers.

    They are the same moments for all series. Spreads come from placebo releases before that part
    alone: they are as new to these answers as to those at the release, and so the sizes count, too.
    """
    origin, end = line.origins[:-1], line.before
    begin = end - end // HELD_OUT
    judged: list[int] = []
    for j in np.flatnonzero(origin >= begin)[::-1]:
        if origin[j] + line.after <= end:
            judged.append(int(j))
            end = int(origin[j])
    teachers = np.flatnonzero(origin + line.after <= begin)
    teachers = teachers[:: max(1, -(-len(teachers) // JOINT))]
    if len(judged) < LEAST_HELD_OUT or len(teachers) < LEAST_PLACEBOS or not scores.questions:
        return np.empty((len(directions), 0))
    taught = np.append(teachers, judged[0])
    learned = _scores(
        replace(line, origins=line.origins[taught]), scores.questions, scores.answers[:, :, taught]
    )
    at_releases = replace(learned, answers=scores.answers[:, :, judged[::-1]])
    combined, complete = _combined_bad(at_releases, directions, slice(None))
    out = np.full(combined.shape, np.nan)
    for i, direction in enumerate(directions):
        out[i, complete[i]] = p_value(combined[i, complete[i]], null_of(direction))
    return out


def is_complete(answers: Floats) -> Bools:
    """At which origins of `(questions, ..., origins)` nearly as many questions have an answer as
    at any."""
    count = np.isfinite(answers).sum(axis=0)
    most = count.max(axis=-1, initial=0, keepdims=True)
    return np.asarray((count > 0) & (count >= COMPLETE * most))


def _centres(
    questions: Sequence[Question],
    past: Floats,
    ranked: Floats,
    size: np.ndarray,
    windows: Floats,
) -> Floats:
    """Around which value the placebo answers lie, `(questions, series)`; `ranked` are they in
    order."""
    last = np.maximum(size - 1, 0)
    rows = np.arange(past.shape[0])[:, None], np.arange(past.shape[1])[None, :]
    centre = (ranked[(*rows, last // 2)] + ranked[(*rows, (last + 1) // 2)]) / 2
    for j, question in enumerate(questions):
        if question.spec.centre is Centre.MEAN:
            centre[j] = np.nansum(past[j], axis=1) / np.maximum(size[j], 1)
        elif question.spec.centre is Centre.SHRUNK_MEDIAN:
            centre[j] *= np.minimum(1, windows[j] / HALF_BELIEF)
        elif question.spec.centre is Centre.ZERO:
            centre[j] = 0.0
    return np.asarray(centre)


def _spreads(ranked: Floats, size: np.ndarray, windows: Floats) -> Floats:
    """The spread of the placebo answers above their centre and below it, `(2, questions,
    series)`; the same where few are on one side. `ranked` is how far they are away, in order."""
    # a tie must not count as up or down by its last bit
    ranked = ranked * (np.abs(ranked) >= ROUNDING)
    both = spread_of(np.sort(np.abs(ranked), axis=2), size)
    spreads = np.stack([both, both])
    above, below = (ranked > 0).sum(axis=2), (ranked < 0).sum(axis=2)
    away = _finite(ranked)
    sides = (
        (away, above, lambda place: size - above + place),
        (-away, below, lambda place: below - 1 - place),
    )
    for (side, count, position), spread in zip(sides, spreads, strict=True):
        enough = (count >= ENOUGH_SIDES) & (windows >= ENOUGH_WINDOWS)
        if enough.any():
            spread[enough] = _spread(side, count, position)[enough]
    return spreads


def spread_of(ranked: Floats, size: np.ndarray) -> Floats:
    """Spread of sorted absolute deviations (NaN last): the largest of a clipped root mean square
    and two upper quantiles."""
    return _spread(_finite(ranked), size, lambda place: place)


def _finite(values: Floats) -> Floats:
    """Numbers instead of NaN and infinities; the values themselves where all are."""
    return values if np.isfinite(values).all() else np.nan_to_num(values)


def _spread(away: Floats, count: np.ndarray, position: Callable[[Ints], Ints]) -> Floats:
    """The same of the deviations above 0, of which there are `count`; `position` says where the
    one at each place in their order is."""
    rows = np.arange(away.shape[0])[:, None], np.arange(away.shape[1])[None, :]

    def quantile(share: float) -> Floats:
        place = position(((count - 1) * share).astype(int))
        return np.asarray(away[(*rows, np.minimum(np.maximum(place, 0), away.shape[2] - 1))])

    sigma = np.maximum(quantile(0.5) / MEDIAN_OF_NORMAL, TINY)
    cap = np.where(sigma > 10 * TINY, CLIP * sigma, np.inf)[:, :, None]
    within = np.clip(away, 0.0, cap)
    square = np.sqrt(np.einsum("...i,...i", within, within) / np.maximum(count, 1))
    upper = quantile(0.9) / QUANTILE_90, quantile(0.975) / QUANTILE_975
    return np.asarray(np.maximum(np.maximum(square, upper[0]), upper[1]))


@dataclass(frozen=True, slots=True)
class _Shorter:
    """What the next shorter window of a kind says: its size and spreads, and how these change with
    the size, as a power of it; per series."""

    size: int
    spreads: Floats
    slope: Floats

    def expected(self, size: int) -> Floats:
        """The spreads over windows of `size` steps."""
        return np.asarray(self.spreads * (size / self.size) ** self.slope)

    def slope_to(self, size: int, spreads: Floats, windows: Floats) -> Floats:
        """The slope with what the spreads of `size` steps teach, believed by the independent
        `windows` behind them."""
        own = np.maximum(np.sqrt(self.spreads[0] * self.spreads[1]), TINY)
        longer = np.maximum(np.sqrt(spreads[0] * spreads[1]), TINY)
        slope = np.log(longer / own) / np.log(size / self.size)
        weight = windows / (windows + HALF_BELIEF)
        mean = weight * np.where(np.isfinite(slope), slope, 0.0) + (1 - weight) * self.slope
        return np.minimum(np.maximum(mean, LEAST_SLOPE), LARGEST_SLOPE)


def _steady(
    line: Timeline,
    questions: Sequence[Question],
    past: Floats,
    windows: Floats,
    centre: Floats,
    spreads: Floats,
) -> None:
    """Steady the `spreads` `(2, questions, series)` in place: `PRIOR` windows' worth of belief in
    what the next shorter window of the kind says, and the error of a centre that few windows tell.
    """
    shorter: dict[QuestionKind, _Shorter] = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        for j, question in enumerate(questions):
            spec, size, own = question.spec, question.size, spreads[:, j]
            if spec.side is Side.COUNT:
                largest = np.fmax(own[0], own[1])
                spreads[:, j] = _count_spreads(past[j], windows[j], centre[j], largest)
                continue
            prior = shorter.get(spec.borrows_from or question.kind)
            if prior is None:
                slope = np.full(own.shape[1], spec.spread_slope)
            else:
                own = _pooled(own, prior.expected(size), windows[j])
                slope = prior.slope_to(size, own, windows[j])
            shorter[question.kind] = _Shorter(size, own.copy(), slope)
            least = spec.least_spread_of(size)
            # a further answer is off by its own spread, and by the error of their centre
            factor = np.sqrt(1 + 1 / windows[j])
            if spec.uses_history:  # a part of which is the window itself
                share = size / line.before
                factor = factor * np.sqrt((1 + share) / (1 - min(LARGEST_SHARE, share)))
            spreads[:, j] = np.maximum(own, least) * factor


def _pooled(spread: Floats, prior: Floats, windows: Floats) -> Floats:
    """A spread from `windows` independent windows, and `PRIOR` windows' worth of a prior one."""
    return np.asarray(np.sqrt((windows * spread**2 + PRIOR * prior**2) / (windows + PRIOR)))


def _count_spreads(
    past: Floats, windows: Floats, centre: Floats, spread: Floats
) -> tuple[Floats, Floats]:
    """The spreads of counts `(series,)` above and below: the largest of the past counts as no
    surprise."""
    both = np.sqrt((spread**2 * windows + COUNT_SPREAD**2 * PRIOR) / (windows + PRIOR))
    most = np.nanmax(np.where(np.isfinite(past), past, -np.inf), axis=1) - centre
    return np.maximum(both, most / COUNT_QUANTILE), both


def shrunk_scores(questions: Sequence[Question], up: Floats) -> Floats:
    """The normal scores, an answer nearer to 0 where its counterpart does not share it.

    An incident that ended is not a change: a local level must show in the lasting level over the
    shortest window that is at least as long. Nor is what was so before: a level against the whole
    history must show in the same window against just before.
    """
    rows, one, other = _counterparts(tuple((each.kind, each.size) for each in questions))
    claim = up[rows]
    sign = np.sign(claim)
    agreement = np.fmax(sign * up[one], sign * up[other])
    factor = np.maximum(LEAST_FACTOR, 1 - SHRINKAGE * (1 - np.clip(agreement, -1, 1)))
    out = up.copy()
    out[rows] = np.where((np.abs(claim) > SHRINK_FROM) & (agreement < 1), claim * factor, claim)
    return out


@lru_cache
def _counterparts(questions: tuple[tuple[QuestionKind, int], ...]) -> tuple[Ints, Ints, Ints]:
    """The positions of the questions that have a counterpart, and for each those of two (or twice
    one) of which the better must agree; `questions` holds their kinds and sizes."""
    rows: dict[QuestionKind, dict[int, int]] = {}
    for j, (kind, size) in enumerate(questions):
        rows.setdefault(kind, {})[size] = j
    lasting = rows.get(QuestionKind.LEVEL, {})
    before = rows.get(QuestionKind.LEVEL_BEFORE, {})
    typical = rows.get(QuestionKind.TYPICAL_BEFORE, {})
    pairs: dict[int, tuple[int, int]] = {}
    for j, (kind, size) in enumerate(questions):
        counterpart = SPECS[kind].counterpart
        if counterpart is Counterpart.LASTING_LEVEL:
            longer = [row for length, row in lasting.items() if length >= size]
            if longer:
                pairs[j] = (longer[0], longer[0])
        elif counterpart is Counterpart.JUST_BEFORE and size in before:
            pairs[j] = (before[size], typical.get(size, before[size]))
    one, other = np.array([*pairs.values()], dtype=int).reshape(-1, 2).T
    return np.array([*pairs], dtype=int), one, other


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
    is wider, unless any move is bad."""
    return _pointing(tuple(question.kind for question in questions), direction)


@lru_cache
def _pointing(kinds: tuple[QuestionKind, ...], direction: Direction) -> tuple[Bools, Bools]:
    specs = [SPECS[kind] for kind in kinds]
    if direction is Direction.EITHER:
        both = np.array([spec.side is Side.BOTH for spec in specs], dtype=bool)
        return np.ones(len(specs), bool), both
    level = np.array([spec.is_level for spec in specs], dtype=bool)
    bad = np.array([direction in spec.bad_for for spec in specs], dtype=bool)
    is_up = direction is Direction.UP
    return (level & is_up) | bad, level & (not is_up)


def bad_answers(
    questions: Sequence[Question], up: Floats, direction: Direction
) -> tuple[Floats, Floats]:
    """The one-sided scores `(answers, ...)` of the `pointing` answers of `up` `(questions, ...)`,
    and their weights: what `combine` needs."""
    rising, falling = pointing(questions, direction)
    weights = weights_of(questions)
    return (
        np.concatenate([up[rising], -up[falling]]),
        np.concatenate([weights[rising], weights[falling]]),
    )


def weights_of(questions: Sequence[Question]) -> Floats:
    """The weights of the questions' answers."""
    return np.array([question.weight for question in questions])


def combine(one_sided: Floats, weights: Floats) -> Floats:
    """G = log of the weighted mean of exp(`SCORE_WEIGHT` max(z, 0)²) over the answers `(answers,
    ...)` with their `weights` `(answers,)`; a NaN is no answer and does not count."""
    has_answer = np.isfinite(one_sided)
    power = SCORE_WEIGHT * np.where(has_answer, np.clip(one_sided, 0.0, np.inf), 0.0) ** 2
    top = power.max(axis=0, initial=0.0)
    # not as a product of matrices: its last bits depend on how many series there are
    weight = weights.reshape(-1, *[1] * (one_sided.ndim - 1))
    likelihood = np.exp(power - top)
    likelihood *= weight
    if has_answer.all():
        count = weights.sum()
    else:
        likelihood *= has_answer
        count = (weight * has_answer).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        g = top + np.log(likelihood.sum(axis=0) / count)
        return np.asarray(np.where(has_answer.any(axis=0), g, 0.0))
