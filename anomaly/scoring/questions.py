"""The questions put to the whitened residuals at a moment: is the level other than before, the
spread, the tails, the gaps?

Every question is a number computed from a window that starts at an origin. It is put at the release
and, in the same way, at hundreds of past origins, the placebo releases: `anomaly.scoring.replay`
holds the one against the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import maximum_filter1d

from anomaly.baseline.noise import ORDER
from anomaly.baseline.robust import Bools, Floats, quantiles, running_sums
from anomaly.scoring.timeline import Timeline, origins

LONGEST = 512
TIGHT, WIDE, DEEP = 1.5, 4.0, 8.0  # clips, in standard deviations
MIN_SHARE, MIN_SHARE_BEFORE = 0.4, 0.3  # of a window's steps that must be there
SHORT_BEFORE = 8
TAIL = 0.05
# steps in a window before the question makes sense
MIN_SPREAD = 8
MIN_TAIL = 16
MIN_TIGHT = 6
MIN_RAMP = 8
MIN_TOTAL = 4
TOP = 0.05  # share of the steps that are the highest, or the lowest
FARTHEST = 40.0  # standard deviations at which these are bounded
SORTED = 100  # origins at which these are asked for, about: sorting is what takes long
RHYTHM_HOURS = 12.0  # of observation that show a rhythm of the day
LEAST_RHYTHM = 0.05  # variance that it must have there
LEAST_USUAL = 2.0  # events that make a yardstick
# the level is held against the whole history over at least so large a part of the observation: a
# half
LASTING = 2
LONGER = 4  # times as many steps before a window that its spread is held against
LEAST_AHEAD = 4  # steps before the origin that a level is held against, at least
# steps before the origin by which a spread that comes and goes is followed, and steps' worth of
# belief that it does not
VOLATILITY_STEPS = 16
MOSTLY = 0.5


class QuestionKind(StrEnum):
    """What a question asks."""

    LEVEL = "level"
    LEVEL_BEFORE = "level against just before"
    TYPICAL = "typical level"
    TYPICAL_BEFORE = "typical level against just before"
    JUMP = "jump and plateau"
    RAMP = "ramp"
    TOTAL = "total"
    SPREAD = "spread"
    HIGH = "high values"
    LOW = "low values"
    HIGHEST = "highest values"
    LOWEST = "lowest values"
    RHYTHM = "flatter rhythm"
    MISSING = "missing steps"
    ZERO = "zeros"
    STUCK = "repeated values"


class Side(StrEnum):
    """Whether an answer may be surprising at both ends, or only when large, or is a count of
    steps."""

    BOTH = "both"
    LARGE = "large"
    COUNT = "count"


LEVELS = frozenset(
    {
        QuestionKind.LEVEL,
        QuestionKind.LEVEL_BEFORE,
        QuestionKind.TYPICAL,
        QuestionKind.TYPICAL_BEFORE,
        QuestionKind.JUMP,
        QuestionKind.RAMP,
        QuestionKind.TOTAL,
    }
)
MATCHED = frozenset({QuestionKind.JUMP, QuestionKind.RAMP})
LOCAL = frozenset(
    {QuestionKind.LEVEL_BEFORE, QuestionKind.TYPICAL_BEFORE, QuestionKind.JUMP, QuestionKind.RAMP}
)


@dataclass(frozen=True, slots=True)
class Question:
    """One question over windows of `size` steps, with its answers `(series, origins)`, the
    release's last; NaN where there is none."""

    kind: QuestionKind
    side: Side
    size: int
    answers: Floats


def sizes(after: int) -> list[int]:
    """Window sizes: 2, 4, 8 … as long as they leave a quarter of the observation, and all of it."""
    return sorted(
        {k for k in (2**i for i in range(1, 10)) if k <= LONGEST and k <= 0.75 * after} | {after}
    )


class _Windows:
    """Sums over windows that start at the origins or end before them."""

    def __init__(self, line: Timeline) -> None:
        self.before, self.gap = line.before, line.gap
        self.origin = origins(line.before)
        self.real = self.origin == line.before
        self.sizes = np.array(sizes(line.after))
        self.start = np.broadcast_to(self.origin, (len(self.sizes), len(self.origin)))
        self.stop = self.start + self.sizes[:, None]
        self.fits = (self.stop <= line.before) | self.real
        self.stop = np.where(self.fits, self.stop, self.start)
        self.settled = self.start >= min(SHORT_BEFORE, line.before // 4)
        self.present, self.known = running_sums(line.present), running_sums(line.known)

    def after(self, sums: Floats) -> Floats:
        """Sums over the windows, `(sizes, series, origins)`."""
        return np.moveaxis(sums[:, self.stop] - sums[:, self.start], 1, 0)

    def ahead(self, sums: Floats, lengths: np.ndarray) -> tuple[Floats, Bools]:
        """Sums over the `lengths` steps before the transition at each origin, and where there are
        so many."""
        end = np.where(self.real, self.origin, self.origin - self.gap)
        begin = end - lengths[:, None]
        fits = (begin >= 0) & (lengths <= self.before // 2)[:, None]
        return np.moveaxis(
            sums[:, np.where(fits, end, 0)] - sums[:, np.where(fits, begin, 0)], 1, 0
        ), fits


def ask(line: Timeline, *, level: bool = True) -> list[Question]:
    """Every question that the length of the observation allows, short windows before long ones
    within a kind.

    Those about the level are left out if it is not asked about.
    """
    at = _Windows(line)
    out: list[Question] = []
    if level:
        volatility = local_volatility(line)
        out += [
            replace(q, answers=q.answers / volatility)
            for q in (*_levels(line, at), *_matched(line, at))
        ]
        out += _totals(line, at)
    for questions in (_spreads, _tails, _extremes, _rhythms, _counts):
        out += questions(line, at)
    return [q for q in out if np.isfinite(q.answers[:, -1]).any()]


def _means(at: _Windows, values: Floats, there: Floats) -> tuple[Floats, Bools]:
    """Mean over the windows, and where enough of their steps are `there`, of which these are the
    sums; both `(sizes, series, origins)`."""
    count = at.after(there)
    need = np.maximum(1, np.ceil(at.sizes * MIN_SHARE))[:, None, None]
    return at.after(running_sums(values)) / np.maximum(count, 1), (count >= need) & at.fits[
        :, None, :
    ]


def _means_ahead(
    at: _Windows, values: Floats, there: Floats, lengths: np.ndarray
) -> tuple[Floats, Bools]:
    total, fits = at.ahead(running_sums(values), lengths)
    count, _ = at.ahead(there, lengths)
    need = np.maximum(1, lengths * MIN_SHARE_BEFORE)[:, None, None]
    return total / np.maximum(count, 1), fits[:, None, :] & (count >= need)


def _rows(
    kind: QuestionKind, side: Side, at: _Windows, answers: Floats, asked: Bools, keep: np.ndarray
) -> list[Question]:
    return [
        Question(kind, side, int(at.sizes[i]), np.where(asked[i], answers[i], np.nan))
        for i in np.flatnonzero(keep)
    ]


def _levels(line: Timeline, at: _Windows) -> list[Question]:
    out: list[Question] = []
    lasting = LASTING * at.sizes >= line.after
    mean, enough = _means(at, line.x, at.present)
    enough &= at.settled[:, None, :]
    out += _rows(QuestionKind.LEVEL, Side.BOTH, at, mean, enough, lasting)
    ahead, known = _means_ahead(at, line.x, at.present, np.maximum(LEAST_AHEAD, at.sizes // 4))
    out += _rows(
        QuestionKind.LEVEL_BEFORE,
        Side.BOTH,
        at,
        mean - ahead,
        enough & known,
        np.ones(len(at.sizes), bool),
    )
    typical, _ = _means(at, np.clip(line.x, -TIGHT, TIGHT), at.present)
    keep = at.sizes >= MIN_TIGHT
    out += _rows(QuestionKind.TYPICAL, Side.BOTH, at, typical, enough, keep & lasting)
    ahead, known = _means_ahead(at, np.clip(line.x, -TIGHT, TIGHT), at.present, at.sizes)
    return out + _rows(
        QuestionKind.TYPICAL_BEFORE, Side.BOTH, at, typical - ahead, enough & known, keep
    )


def _matched(line: Timeline, at: _Windows) -> list[Question]:
    """Generalised least squares for a level that jumps at the origin and stays, and for one that
    grows evenly from there.

    A response r of the level, 1 for the jump and (i + 1) / size for the ramp, reaches the
    innovations as wᵢ = rᵢ − Σ φⱼ rᵢ₋ⱼ; the answer is Σ wᵢ zᵢ / √(Σ wᵢ²). Beyond the
    autoregression's order w is a line: `flat` + `slope` (i + 1).
    """
    z = np.clip(line.z, -WIDE, WIDE)
    heard = z, running_sums(z), running_sums(z * np.arange(z.shape[1]))
    forgets = 1 - line.phi.sum(axis=1)
    lags = np.arange(1, ORDER + 1)
    out = []
    for size in at.sizes:
        out.append(
            _match(
                line,
                at,
                heard,
                QuestionKind.JUMP,
                int(size),
                np.ones(ORDER),
                forgets,
                np.zeros_like(forgets),
            )
        )
    if line.after >= MIN_RAMP:
        flat, slope = (line.phi * lags).sum(axis=1) / line.after, forgets / line.after
        out.append(
            _match(line, at, heard, QuestionKind.RAMP, line.after, lags / line.after, flat, slope)
        )
    return out


def _match(
    line: Timeline,
    at: _Windows,
    heard: tuple[Floats, Floats, Floats],
    kind: QuestionKind,
    size: int,
    response: Floats,
    flat: Floats,
    slope: Floats,
) -> Question:
    """The answer for one response; `heard` are the innovations, their running sums, and those of
    the innovations times their row."""
    z, sums, rising = heard
    first = (
        ORDER if line.gap else 0
    )  # after a gap the change itself cannot be seen, only what follows
    fits = at.fits[list(at.sizes).index(size)]
    start, stop = np.where(fits, at.origin, 0), np.where(fits, at.origin + size, 0)
    total, power = np.zeros((len(z), len(start))), np.zeros((len(z), 1))
    for i in range(first, min(ORDER, size)):
        weight = response[i] - (line.phi[:, :i] * response[:i][::-1]).sum(axis=1, keepdims=True)
        total += weight * z[:, np.minimum(start + i, z.shape[1] - 1)]
        power += weight**2
    if size > ORDER:
        begin = np.where(fits, start + ORDER, 0)
        plain = sums[:, stop] - sums[:, begin]
        total += flat[:, None] * plain + slope[:, None] * (
            rising[:, stop] - rising[:, begin] - (start - 1) * plain
        )
        power += ((flat[:, None] + slope[:, None] * np.arange(ORDER + 1, size + 1)) ** 2).sum(
            axis=1, keepdims=True
        )
    enough = at.known[:, stop] - at.known[:, start] >= max(1, np.ceil(size * MIN_SHARE))
    asked = fits & (at.origin >= 2 * ORDER) & enough & (power > 0)
    return Question(
        kind, Side.BOTH, size, np.where(asked, total / np.sqrt(np.maximum(power, 1e-12)), np.nan)
    )


def _totals(line: Timeline, at: _Windows) -> list[Question]:
    """How much more there was than usual, of series that are often zero, in units of the root of
    what is usual.

    A mean of transformed values hardly moves with the few steps that hold what there is to count. A
    count has no clip: how large the bursts of its past are is what the placebo releases tell.
    """
    if not line.sparse.any():
        return []
    total, usual = at.after(running_sums(line.amount)), at.after(running_sums(line.usual))
    _, enough = _means(at, line.present.astype(float), at.present)
    asked = enough & (usual > 0) & line.sparse[:, None]
    answers = (total - usual) / np.sqrt(np.maximum(usual, LEAST_USUAL))
    return _rows(QuestionKind.TOTAL, Side.BOTH, at, answers, asked, at.sizes >= MIN_TOTAL)


def local_volatility(line: Timeline) -> Floats:
    """How large the innovations just before each origin were, against those of the whole history:
    `(series, origins)`, about 1.

    A series whose spread comes and goes must move more while it is volatile to be surprising.
    """
    z, known = np.where(line.known, np.clip(line.z, -WIDE, WIDE), 0.0), line.known.astype(float)
    usual = (z[:, : line.before] ** 2).sum(axis=1, keepdims=True) / np.maximum(
        known[:, : line.before].sum(axis=1, keepdims=True), 1
    )
    origin = origins(line.before)
    end = np.maximum(np.where(origin == line.before, origin, origin - line.gap), 0)
    begin = np.maximum(end - VOLATILITY_STEPS, 0)
    count, first, second = (
        sums[:, end] - sums[:, begin]
        for sums in (running_sums(known), running_sums(z), running_sums(z**2))
    )
    around = np.maximum(
        second - first**2 / np.maximum(count, 1), 0.0
    )  # its own mean: a level that changed is no volatility
    out = np.sqrt(
        (around + VOLATILITY_STEPS * usual)
        / (count + VOLATILITY_STEPS)
        / np.where(usual > 0, usual, 1.0)
    )
    return np.asarray(np.where(usual > 0, out, 1.0))


def _spreads(line: Timeline, at: _Windows) -> list[Question]:
    """How large the innovations are, against those of the steps before: a spread that comes and
    goes has no usual size."""
    size = np.where(line.known, np.minimum(np.abs(line.z), WIDE), 0.0)
    keep = (at.sizes >= MIN_SPREAD) | (at.sizes == line.after)
    mean, enough = _means(at, size, at.known)
    ahead, known = _means_ahead(at, size, at.known, np.minimum(LONGER * at.sizes, line.before // 2))
    return _rows(
        QuestionKind.SPREAD,
        Side.BOTH,
        at,
        mean - ahead,
        enough & at.settled[:, None, :] & known,
        keep,
    )


def _tails(line: Timeline, at: _Windows) -> list[Question]:
    seen = np.where(line.known, line.z, np.nan)[:, : line.before]
    low, high = np.nan_to_num(quantiles(seen, np.array([TAIL, 1 - TAIL]))).T
    keep = (at.sizes >= MIN_TAIL) | (at.sizes == line.after)
    out = []
    for kind, excess in (
        (QuestionKind.HIGH, line.z - high[:, None]),
        (QuestionKind.LOW, low[:, None] - line.z),
    ):
        mean, enough = _means(at, np.where(line.known, beyond(excess), 0.0), at.known)
        out += _rows(kind, Side.LARGE, at, mean, enough, keep)
    return out


def beyond(excess: Floats) -> Floats:
    """By how much values are beyond a threshold, so that one far outlier does not count for
    many."""
    return np.asarray(np.sqrt(np.clip(excess, 0, DEEP)))


def _extremes(line: Timeline, at: _Windows) -> list[Question]:
    """The mean of the highest steps of the observation, and of the lowest, as log(1 + |z|): a few
    spikes drown in a mean of all."""
    z = np.where(line.known, np.clip(line.z, -FARTHEST, FARTHEST), 0.0)
    z = np.sign(z) * np.log1p(np.abs(z))
    count = max(1, int(np.ceil(TOP * line.after)))
    chosen = np.flatnonzero(at.fits[-1])[::-1]
    chosen = chosen[:: max(1, len(chosen) // SORTED)]
    _, enough = _means(at, z, at.known)
    answers = np.full((2, len(z), len(at.origin)), np.nan)
    for i, row in enumerate(z):  # one after the other: the windows of all are too many for a memory
        windows = sliding_window_view(row, line.after)[at.origin[chosen]]
        ranked = np.partition(windows, (count - 1, line.after - count), axis=1)
        answers[0, i, chosen] = ranked[:, line.after - count :].mean(axis=1)
        answers[1, i, chosen] = -ranked[:, :count].mean(axis=1)
    answers = np.where(enough[-1], answers, np.nan)
    return [
        Question(kind, Side.LARGE, line.after, answer)
        for kind, answer in zip((QuestionKind.HIGHEST, QuestionKind.LOWEST), answers, strict=True)
    ]


def _rhythms(line: Timeline, at: _Windows) -> list[Question]:
    """By how much of itself the season is flatter than it was: the slope of the residuals on it,
    with the sign turned."""
    if line.hours < RHYTHM_HOURS or not line.season.any():
        return []
    season, whole = np.where(line.present, line.season, 0.0), at.after(at.present)[-1]

    def mean(values: Floats) -> Floats:
        return np.asarray(at.after(running_sums(values))[-1] / np.maximum(whole, 1))

    together = mean(line.x * season) - mean(line.x) * mean(season)
    slope = together / np.maximum(mean(season**2) - mean(season) ** 2, LEAST_RHYTHM)
    asked = (
        at.fits[-1] & (whole >= MIN_SHARE * line.after) & (line.season != 0).any(axis=1)[:, None]
    )
    return [Question(QuestionKind.RHYTHM, Side.BOTH, line.after, np.where(asked, -slope, np.nan))]


def _counts(line: Timeline, at: _Windows) -> list[Question]:
    """The fullest stretch of missing, zero or repeated values, on the variance-stabilised scale 2
    √(count + ½)."""
    value = line.value
    repeated = np.zeros_like(value)
    repeated[:, 1:] = (value[:, 1:] == value[:, :-1]) & (
        value[:, 1:] != 0
    )  # zeros are a question of their own
    after = line.after
    first = line.sampled.argmax(axis=1)[:, None]  # what has not begun yet is not missing
    begun = np.arange(value.shape[1]) >= first
    marks = (
        (QuestionKind.MISSING, (~line.sampled & begun).astype(float)),
        (QuestionKind.ZERO, (value == 0).astype(float)),
        (QuestionKind.STUCK, repeated),
    )
    full = at.fits[-1]
    start = np.where(full, at.origin, 0)
    out = []
    for kind, mark in marks:
        often = mark[:, : line.before].sum(axis=1) / np.maximum(
            begun[:, : line.before].sum(axis=1), 1
        )
        rare = (often <= MOSTLY) & (mark[:, line.before :].sum(axis=1) > 0)
        if not rare.any():
            continue
        sums = running_sums(mark)
        for length in sorted(
            {max(4, after // 8), max(4, after // 2) if after >= SHORT_BEFORE else after, after}
        ):
            if length > after:
                continue
            count = sums[:, length:] - sums[:, :-length]
            span = after - length + 1
            fullest = (
                maximum_filter1d(count, size=span, axis=1, origin=-(span // 2))
                if span > 1
                else count
            )
            answers = 2 * np.sqrt(
                np.maximum(fullest[:, np.minimum(start, fullest.shape[1] - 1)], 0) + 0.5
            )
            out.append(
                Question(
                    kind,
                    Side.COUNT,
                    length,
                    np.where(full & rare[:, None] & (at.origin >= first), answers, np.nan),
                )
            )
    return out
