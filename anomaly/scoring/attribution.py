"""What a significant change is, and whether it is over."""

from __future__ import annotations

import numpy as np
from scipy.special import bdtr

from anomaly.baseline.robust import Floats, quantiles, running_sums
from anomaly.baseline.seasonal import BOUND
from anomaly.model import ChangeKind
from anomaly.scoring.questions import LEVELS, TAIL, WIDE, Question, QuestionKind, beyond
from anomaly.scoring.timeline import Timeline

KINDS = {
    QuestionKind.HIGH: ChangeKind.SPIKES,
    QuestionKind.LOW: ChangeKind.SPIKES,
    QuestionKind.HIGHEST: ChangeKind.SPIKES,
    QuestionKind.LOWEST: ChangeKind.SPIKES,
    QuestionKind.SPREAD: ChangeKind.SPREAD,
    QuestionKind.ZERO: ChangeKind.OUTAGE,
    QuestionKind.STUCK: ChangeKind.SHAPE,
    QuestionKind.RHYTHM: ChangeKind.SHAPE,
}
NOISE = frozenset(
    {
        QuestionKind.SPREAD,
        QuestionKind.HIGH,
        QuestionKind.LOW,
        QuestionKind.HIGHEST,
        QuestionKind.LOWEST,
    }
)  # a series that drifts away shows these too
NOISY = NOISE | {
    QuestionKind.RHYTHM
}  # not about the level, which may be as expected while these go on
CHANCE = 0.05
LEVEL_LEADS = (
    0.7  # a level question this near to the strongest names the change: a level can be acted on
)
LAST_PART, LEAST_LAST = 4, 4  # `recovered` looks at the last quarter, at least four steps
COMPATIBLE = 2.0  # standard scores
# a series is back when its level came this near to expected, as a share of what it was off before
NEARER = 0.4
# times that far off again before what was clearly back is off anew: noise must not call people
# twice
LASTING = 2.0
FAR = 2.0  # standard deviations from which a step counts as far out
# standard scores of the last quarter that a series must have been off before, to be clearly back
CLEAR = 3.0
# steps from the onset, and last third against first, before a change can be a ramp
RAMP_STEPS = 8
RAMP_RATIO = 2.0

Answer = tuple[Question, float]  # a question and its one-sided normal score


def lead(answers: list[Answer]) -> Question | None:
    """The question that names the change: the strongest, or a level's if that is nearly as
    strong."""
    top = max(answers, key=lambda answer: answer[1], default=None)
    level = max(
        (answer for answer in answers if answer[0].kind in LEVELS),
        key=lambda answer: answer[1],
        default=None,
    )
    if top is None or level is None:
        return None if top is None else top[0]
    return level[0] if level[1] >= LEVEL_LEADS * top[1] else top[0]


def dates(named: Question, answers: list[Answer], p_other: float) -> Question:
    """The question that says when the change began: that which `named` it, or a level's, if nothing
    but the level changed.

    `p_other` is the p-value of what is left once the change of level is taken out.
    """
    levels = [answer for answer in answers if answer[0].kind in LEVELS and answer[1] > 0]
    if named.kind not in NOISE or p_other < CHANCE or not levels:
        return named
    return max(levels, key=lambda answer: answer[1])[0]


def peak(off: Floats) -> int:
    """The step at which a change that came back was over: where its cumulative sum is highest.

    `off` is how far each step of the observation is from expected in the direction of the change,
    in standard deviations (0 where missing).
    """
    bounded = np.clip(off, -BOUND, BOUND)
    return int(np.cumsum(bounded - 0.5 * max(float(bounded.mean()), 0.0)).argmax()) + 1


def is_ramp(off: Floats, began: int) -> bool:
    """Whether a line from the onset explains the residuals better than a step does."""
    rest = np.clip(off, -3 * BOUND, 3 * BOUND)[began:]
    if len(rest) < RAMP_STEPS:
        return False
    third = len(rest) // 3
    ramp = np.arange(1, len(rest) + 1) / len(rest)
    slope = (ramp * rest).sum() / (ramp**2).sum()
    grew = abs(rest[-third:].mean()) > RAMP_RATIO * abs(rest[:third].mean())
    return bool(grew and ((rest - slope * ramp) ** 2).sum() < ((rest - rest.mean()) ** 2).sum())


def noisiness(line: Timeline, i: int, kind: QuestionKind) -> Floats:
    """How far each step of series `i` is from what a question of `kind` that is not about the
    level expects, NaN where unknown.

    In standard deviations of the history: the size of the innovations, what is beyond their tails,
    or the size of the residuals, which follow a rhythm that is not there any more.
    """
    n, z = line.before, np.where(line.known[i], line.z[i], np.nan)
    if kind is QuestionKind.RHYTHM:
        size = np.abs(np.where(line.present[i], line.residual[i], np.nan))
    elif kind in (QuestionKind.HIGH, QuestionKind.HIGHEST, QuestionKind.LOW, QuestionKind.LOWEST):
        low, high = quantiles(z[:n], np.array([TAIL, 1 - TAIL]))
        size = (
            beyond(z - high)
            if kind in (QuestionKind.HIGH, QuestionKind.HIGHEST)
            else beyond(low - z)
        )
    else:
        size = np.minimum(np.abs(z), WIDE)
    known = size[:n][np.isfinite(size[:n])]
    return (
        np.asarray((size - known.mean()) / (known.std() or 1.0))
        if len(known)
        else np.full(len(size), np.nan)
    )


def past_means(values: Floats, after: int) -> Floats:
    """Means over all stretches of the past that are about as long as the last part of the
    observation."""
    length = min(last_part(after), len(values))
    known = np.isfinite(values)
    total, count = running_sums(np.where(known, values, 0.0)[None])[0], running_sums(known[None])[0]
    steps = count[length:] - count[:-length]
    return np.asarray((total[length:] - total[:-length])[steps > 0] / steps[steps > 0])


def last_part(after: int) -> int:
    """Steps of the last quarter of the observation."""
    return max(LEAST_LAST, after // LAST_PART)


def has_recovered(off: Floats, usual: Floats) -> bool:
    """Whether the last quarter of the observation is as expected again, or clearly was at an
    earlier look and is not much off anew.

    `off` are the standardised deviations of the observation, NaN where missing; `usual` past means
    over windows about as long.
    """
    if _is_near_again(off, usual):
        return True
    lengths = range(2 * LEAST_LAST, len(off))
    return _is_near_again(off, usual, times=LASTING) and any(
        _is_near_again(off[:length], usual, clear=CLEAR) for length in lengths
    )


def has_settled(noisiness_values: Floats, usual: Floats) -> bool:
    """Whether the last quarter of the observation is as wild as expected again; see `wildness`."""
    return _is_near_again(noisiness_values, usual, swings=False)


def has_surely_settled(noisiness_values: Floats) -> bool:
    """Whether the last quarter has fewer steps far out than chance would leave it, had it gone on
    as while it lasted."""
    length = last_part(len(noisiness_values))
    if len(noisiness_values) <= length:  # nothing is left that could have lasted
        return False
    earlier, later = noisiness_values[:-length], noisiness_values[-length:]
    lasted = earlier[: peak(np.nan_to_num(earlier))]
    before, last = (part[np.isfinite(part)] > FAR for part in (lasted, later))
    return bool(len(before) and bdtr(int(last.sum()), len(last), float(before.mean())) < CHANCE)


def _is_near_again(
    off: Floats, usual: Floats, *, swings: bool = True, times: float = 1.0, clear: float = 0.0
) -> bool:
    """Whether the last quarter is at most so many times as far off as a series that is back, and
    the rest was clearly off.

    What `swings` may have been off on both sides, so that its mean does not say by how much.
    """
    length = last_part(len(off))
    if len(off) < 2 * LEAST_LAST:
        return False
    earlier, last = np.clip(off[:-length], -BOUND, BOUND), off[-length:]
    earlier, last = earlier[np.isfinite(earlier)], last[np.isfinite(last)]
    if len(last) < LEAST_LAST or len(earlier) == 0:
        return False
    now, before = abs(float(last.clip(-BOUND, BOUND).mean())), abs(float(earlier.mean()))
    nearer = now < times * NEARER * (max(before, float(earlier.std())) if swings else before)
    common = max(float(np.sqrt(np.mean(usual**2))) if len(usual) else 1.0, 1 / np.sqrt(len(last)))
    near = now < times * COMPATIBLE * common and float(np.abs(last).mean()) < times * COMPATIBLE
    return nearer and near and before >= clear * common
