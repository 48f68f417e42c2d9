"""What a significant change is, when it began, whether it is the release's, and whether it is over."""

from __future__ import annotations

import numpy as np

from anomaly.baseline.robust import Floats
from anomaly.baseline.seasonal import BOUND
from anomaly.model import ChangeKind
from anomaly.scoring.questions import LEVELS, Family, Question
from anomaly.scoring.timeline import Timeline

KINDS = {
    Family.HIGH: ChangeKind.SPIKES,
    Family.LOW: ChangeKind.SPIKES,
    Family.SPREAD: ChangeKind.SPREAD,
    Family.SPREAD_BEFORE: ChangeKind.SPREAD,
    Family.ZERO: ChangeKind.OUTAGE,
    Family.STUCK: ChangeKind.SHAPE,
}
LEVEL_LEADS = 0.7  # a level question this near to the strongest names the change: a level can be acted on
LAST_PART, LEAST_LAST = 4, 4  # `recovered` looks at the last quarter, at least four steps
COMPATIBLE = 2.0  # standard scores
NEARER = 0.4  # a series is back when its level came this near to expected, as a share of what it was off before
EARLIER = 4.0  # standard score from which a stretch just before the release counts as changed already
EARLIER_STEPS, EARLIER_SHARE = 4, 0.5  # its least length, and its least level as a share of the level after the release
WORSE, WORSE_SHARE = 3.0, 1.5  # standard score, and ratio of levels, from which the release made it worse
RAMP_STEPS, RAMP_RATIO = 8, 2.0  # steps from the onset, and last third against first, before a change can be a ramp

Answer = tuple[Question, float]  # a question and its one-sided normal score


def lead(answers: list[Answer]) -> Question | None:
    """The question that names the change: the strongest, or a level's if that is nearly as strong."""
    top = max(answers, key=lambda answer: answer[1], default=None)
    level = max((answer for answer in answers if answer[0].family in LEVELS), key=lambda answer: answer[1], default=None)
    if top is None or level is None:
        return None if top is None else top[0]
    return level[0] if level[1] >= LEVEL_LEADS * top[1] else top[0]


def onset(line: Timeline, i: int, off: Floats, kind: ChangeKind, question: Question, sign: float) -> int:
    """The step after the release at which the change began: where its cumulative sum is lowest before its highest.

    `off` is how far each step of the observation is from expected, in standard deviations (0 where missing).
    """
    later = line.value[i, line.before :]
    bounded = np.clip(off, -BOUND, BOUND)
    if question.family is Family.MISSING:
        mark = (~line.sampled[i, line.before :]).astype(float)
    elif question.family is Family.ZERO:
        mark = (later == 0).astype(float)
    elif question.family is Family.STUCK:
        mark = np.concatenate([[0.0], (np.diff(later) == 0) & (later[1:] != 0)])
    elif kind in (ChangeKind.SPREAD, ChangeKind.SPIKES):
        mark = np.abs(bounded) - np.abs(line.x[i, : line.before]).mean()
    else:
        mark = sign * bounded
    total = np.concatenate([[0.0], np.cumsum(mark - 0.5 * max(float(mark.mean()), 0.0))])
    return min(int(total[: int(total.argmax()) + 1].argmin()), len(off) - 1)


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


def began_before(line: Timeline, i: int, history: Floats, off: Floats) -> int | None:
    """How many steps before the release the level had changed already; None if it had not, or the release made it worse.

    `history` and `off` are the standardised deviations before and after, unclipped.
    """
    n = line.before
    reach = min(n // 2, max(line.after, EARLIER_STEPS))
    past, later = line.x[i, n - reach : n], line.x[i, n:]
    level = float(later.mean())
    sign = 1.0 if level >= 0 else -1.0
    total = np.concatenate([[0.0], np.cumsum(sign * np.concatenate([past, later]) - 0.5 * abs(level))])
    began = int(total[: reach + int(total[reach:].argmax()) + 1].argmin())
    steps = reach - began
    if steps < EARLIER_STEPS:
        return None
    before = sign * float(past[began:].mean())
    if sign * _jump(line, i, n - steps, n) < EARLIER or before < EARLIER_SHARE * abs(level):
        return None
    now, then = abs(float(np.nanmedian(off))), abs(float(np.median(history[n - steps : n])))
    worse = sign * _jump(line, i, n, n + line.after) > WORSE and now > WORSE_SHARE * then
    return None if worse else steps


def _jump(line: Timeline, i: int, start: int, stop: int) -> float:
    """Standard score of a level that jumps at `start` and stays to `stop`, under the autoregression (as `Family.JUMP`)."""
    a = np.full(stop - start, 1 - line.phi[i].sum())
    head = 1 - np.concatenate([[0.0], np.cumsum(line.phi[i])])[: len(a)]
    a[: len(head)] = head
    return float((a * line.z[i, start:stop].clip(-BOUND, BOUND)).sum() / np.sqrt((a**2).sum()))


def is_back(off: Floats, usual: Floats) -> bool:
    """Whether the last quarter of the observation is as expected again.

    `off` are the standardised deviations of the observation, NaN where missing; `usual` past means over windows about as long.
    """
    length = max(LEAST_LAST, len(off) // LAST_PART)
    if len(off) < 2 * LEAST_LAST:
        return False
    earlier, last = np.clip(off[:-length], -BOUND, BOUND), off[-length:]
    earlier, last = earlier[np.isfinite(earlier)], last[np.isfinite(last)]
    if len(last) < LEAST_LAST or len(earlier) == 0:
        return False
    now = abs(float(last.clip(-BOUND, BOUND).mean()))
    nearer = now < NEARER * max(abs(float(earlier.mean())), float(earlier.std()))
    common = float(np.sqrt(np.mean(usual**2))) if len(usual) else 1.0
    return nearer and now < COMPATIBLE * max(common, 1 / np.sqrt(len(last))) and float(np.abs(last).mean()) < COMPATIBLE
