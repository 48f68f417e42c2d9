"""What a significant change is, and whether it is over."""

from __future__ import annotations

import numpy as np

from anomaly.baseline.robust import Bools, Floats, quantiles, running_sums
from anomaly.baseline.seasonal import BOUND
from anomaly.model import ChangeKind
from anomaly.scoring.question_kinds import StepMeasure
from anomaly.scoring.questions import Question, beyond
from anomaly.scoring.timeline import TAIL, WIDE, Timeline

CHANCE = 0.05  # probability under which chance is ruled out
LEVEL_LEADS = 0.7  # a level this near to the strongest names the change: it can be acted on
LAST_PART, LEAST_LAST = 4, 4  # recovery is looked for in the last quarter, at least four steps
COMPATIBLE = 2.0  # standard scores within which a mean is as expected
# A series has recovered when its level came this near to expected, as a share of what it was off.
NEARER = 0.4
LEFT = 0.15  # share of a change that may be left when it is over
# What had clearly recovered is off anew only beyond so many times that: noise must not alert twice.
LASTING = 2.0
CLEAR = 3.0  # standard scores of the last quarter that a clear recovery must have been off before
# Twice the log-likelihood by which a change that ended must beat one that lasts: of changes that
# last, one in a hundred seems to have ended.
ENDED = 9.0
OVER = 2
MOST_ENDS = 256  # steps at which a change is tried to begin and to end
STRETCH_ROUNDS = 5  # of the search for the stretch of a change
# Steps from the onset on, and last third against first, before a change can be a ramp.
RAMP_STEPS = 8
RAMP_RATIO = 2.0
TINY = 1e-12

QuestionScore = tuple[Question, float]  # a question and its one-sided normal score


def strongest(answers: list[QuestionScore]) -> Question | None:
    """The question with the largest score, None without one."""
    top = max(answers, key=lambda answer: answer[1], default=None)
    return None if top is None else top[0]


def naming_question(answers: list[QuestionScore]) -> Question | None:
    """The question that names the change: the strongest, or a level's if that is nearly as
    strong."""
    levels = [answer for answer in answers if answer[0].spec.is_level]
    level = max((score for _, score in levels), default=None)
    top = max((score for _, score in answers), default=None)
    if top is None or level is None or level < LEVEL_LEADS * top:
        return strongest(answers)
    return strongest(levels)


def other_question(
    answers: list[QuestionScore], p_other: float, change: ChangeKind
) -> Question | None:
    """The question about such a change, not one of level, that is nearly as strong as any other, if
    it is left with something once a change of level is taken out (`p_other`)."""
    if p_other >= CHANCE:
        return None
    top = max((score for _, score in answers), default=0.0)
    about_it = [
        (question, score)
        for question, score in answers
        if question.spec.change is change and score >= LEVEL_LEADS * top
    ]
    return strongest(about_it)


def dating_question(named_by: Question, answers: list[QuestionScore], p_other: float) -> Question:
    """The question that says when the change began: the one that it was `named_by`, or a level's if
    nothing but the level changed.

    `p_other` is the p-value of what is left once the change of level is taken out.
    """
    if not named_by.spec.shown_by_drift or p_other < CHANCE:
        return named_by
    levels = [answer for answer in answers if answer[0].spec.is_level and answer[1] > 0]
    return strongest(levels) or named_by


def stretch_off(off: Floats) -> tuple[int, int]:
    """The steps, from the first to before the second, over which a change lasted: those whose sum
    beyond half of their own mean is largest.

    `off` is how far each step of the observation is from expected in the direction of the change,
    in standard deviations (0 where missing).
    """
    distance = np.clip(off, -BOUND, BOUND)
    start, stop = 0, len(distance)
    for _ in range(STRETCH_ROUNDS):
        half = 0.5 * max(float(distance[start:stop].mean()), 0.0)
        total = np.concatenate([[0.0], np.cumsum(distance - half)])
        gain = total - np.minimum.accumulate(total)
        last = int(gain[1:].argmax()) + 1
        first = int(total[:last].argmin())
        if (first, last) == (start, stop):
            break
        start, stop = first, last
    return start, stop


def is_ramp(off: Floats, factor: Floats, onset: int) -> bool:
    """Whether a line from the onset on explains the residuals better than a step does, or than a
    `factor` on everything, which moves each step by so much."""
    rest = np.clip(off, -3 * BOUND, 3 * BOUND)[onset:]
    if len(rest) < RAMP_STEPS:
        return False
    third = len(rest) // 3
    ramp = np.arange(1, len(rest) + 1) / len(rest)
    slope = (ramp * rest).sum() / (ramp**2).sum()
    grew = abs(rest[-third:].mean()) > RAMP_RATIO * abs(rest[:third].mean())
    moves = np.nan_to_num(factor[onset:])
    times = (moves * rest).sum() / max((moves**2).sum(), TINY)
    left = ((rest - slope * ramp) ** 2).sum()
    others = ((rest - rest.mean()) ** 2).sum(), ((rest - times * moves) ** 2).sum()
    return bool(grew and left < min(others))


def noisiness(line: Timeline, i: int, measure: StepMeasure) -> Floats:
    """How noisy each step of series `i` is by the measure of a question that is not about the
    level, in standard deviations of the history, NaN where unknown.

    That is the size of the innovations, their excess over the tails, or the size of the residuals,
    which follow a rhythm that is gone.
    """
    n, z = line.before, np.where(line.has_innovation[i], line.z[i], np.nan)
    if measure is StepMeasure.SEASON_MISFIT:
        size = np.abs(np.where(line.present[i], line.residual[i], np.nan))
    elif measure in (StepMeasure.HIGH_EXCESS, StepMeasure.LOW_EXCESS):
        low, high = quantiles(z[:n], np.array([TAIL, 1 - TAIL]))
        size = beyond(z - high) if measure is StepMeasure.HIGH_EXCESS else beyond(low - z)
    else:
        size = np.minimum(np.abs(z), WIDE)
    past = size[:n][np.isfinite(size[:n])]
    if not len(past):
        return np.full(len(size), np.nan)
    return np.asarray((size - past.mean()) / (past.std() or 1.0))


def past_means(values: Floats, after: int) -> Floats:
    """Means over all stretches of the past that are about as long as the last part of the
    observation."""
    length = min(last_part(after), len(values))
    present = np.isfinite(values)
    total = running_sums(np.where(present, values, 0.0)[None])[0]
    count = running_sums(present[None])[0]
    steps = count[length:] - count[:-length]
    return np.asarray((total[length:] - total[:-length])[steps > 0] / steps[steps > 0])


def last_part(after: int) -> int:
    """Steps of the last quarter of the observation."""
    return max(LEAST_LAST, after // LAST_PART)


def has_recovered(off: Floats, usual: Floats, lasting: Floats | None) -> bool:
    """Whether the last quarter of the observation is as expected again, or clearly was at an
    earlier look and is not much off anew.

    `off` are the standardised deviations of the observation, NaN where missing; `usual` past means
    over windows about as long; `lasting` the deviations if the change had gone on, None for a
    change that is not one of level. Where little is expected, as at night, nothing shows that it
    did not.
    """
    if _is_near_again(off, usual, lasting):
        return True
    lengths = range(2 * LEAST_LAST, len(off))
    return _is_near_again(off, usual, lasting, times=LASTING) and any(
        _is_near_again(
            off[:length], usual, None if lasting is None else lasting[:length], clear=CLEAR
        )
        for length in lengths
    )


def has_settled(noise: Floats, usual: Floats) -> bool:
    """Whether the last quarter of the observation is as noisy as expected again; see
    `noisiness`."""
    return _is_near_again(noise, usual, None, swings=False)


def stretch_end(marks: Bools) -> int | None:
    """From which step on none is marked, if the marks are in one stretch that has been over for
    `OVER` times as long."""
    marked = np.flatnonzero(marks)
    if not len(marked) or marked[-1] - marked[0] >= len(marked):
        return None
    end = int(marked[-1]) + 1
    return end if len(marks) - end >= max(LEAST_LAST, OVER * len(marked)) else None


def has_ended(change: Floats, lasting: Floats, usual: Floats) -> bool:
    """Whether a change that ended explains the observation clearly better than one that lasts.

    `change` is how far off each step is in the direction of the change, in standard deviations (NaN
    where missing), `lasting` how far it would be if the change had gone on, `usual` past means over
    windows as long as the last part. Twice the difference of the log-likelihoods must exceed
    `ENDED`, times how much larger the variance is than that of independent steps at rest.
    """
    present = np.isfinite(change) & np.isfinite(lasting)
    shape = np.where(present, np.clip(lasting, 0, BOUND), 0.0)
    off = np.where(present, np.clip(change, -BOUND, BOUND), 0.0)
    fit = np.concatenate([[0.0], np.cumsum(off * shape)])
    power = np.concatenate([[0.0], np.cumsum(shape**2)])
    ends = np.unique(np.linspace(0, len(off), MOST_ENDS).astype(int))
    with np.errstate(invalid="ignore", divide="ignore"):
        gain = np.maximum(fit[ends] - fit[ends, None], 0) ** 2 / (power[ends] - power[ends, None])
    gain = np.triu(np.nan_to_num(gain, posinf=0.0), 1)
    length = last_part(len(off))
    ended = gain[:, ends <= len(off) - length].max(initial=0.0)
    left = (float((off**2).sum()) - ended) / max(int(present.sum()), 1)  # noise, if it ended
    inflation = max(1.0, left, length * float(np.mean(usual**2)) if len(usual) else 1.0)
    return bool(ended - gain[:, -1].max() > ENDED * inflation)


def _is_near_again(
    off: Floats,
    usual: Floats,
    lasting: Floats | None,
    *,
    swings: bool = True,
    times: float = 1.0,
    clear: float = 0.0,
) -> bool:
    """Whether the last quarter is at most so many `times` as far off as a series that has
    recovered, and the rest was off by at least `clear` standard scores.

    What `swings` may have been off on both sides, so that its mean does not tell how far. Against a
    `lasting` change the last quarter must be off by less of it, and by more than chance.
    """
    length = last_part(len(off))
    if len(off) < 2 * LEAST_LAST:
        return False
    earlier, last = np.clip(off[:-length], -BOUND, BOUND), off[-length:]
    side = np.sign(np.nansum(earlier))
    changed = earlier[slice(*stretch_off(np.nan_to_num(side * earlier)))]
    earlier, present = changed[np.isfinite(changed)], np.isfinite(last)
    last = last[present]
    if len(last) < LEAST_LAST or len(earlier) == 0:
        return False
    mean, before = float(last.clip(-BOUND, BOUND).mean()), abs(float(earlier.mean()))
    now = abs(mean)
    common = max(float(np.sqrt(np.mean(usual**2))) if len(usual) else 1.0, 1 / np.sqrt(len(last)))
    if lasting is None:
        nearer = now < times * NEARER * (max(before, float(earlier.std())) if swings else before)
    else:
        shift = float(np.clip(lasting[-length:][present], -BOUND, BOUND).mean())
        apart = np.sign(shift) * (shift - mean)
        nearer = now < times * NEARER * abs(shift) and apart > COMPATIBLE * common
    rest = max(COMPATIBLE * common, LEFT * before)
    near = now < times * rest and float(np.abs(last).mean()) < times * COMPATIBLE
    return nearer and near and before >= clear * common
