"""The questions put to the whitened residuals at a moment: is the level other than before, the spread, the tails, the gaps?

Every question is a number computed from a window that starts at an origin. It is put at the release and, in the same way,
at hundreds of past origins, the placebo releases: `anomaly.scoring.replay` holds the one against the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.ndimage import maximum_filter1d

from anomaly.baseline.noise import ORDER
from anomaly.baseline.robust import Bools, Floats
from anomaly.scoring.timeline import Timeline, origins

LONGEST = 512
TIGHT, WIDE, DEEP = 1.5, 4.0, 8.0  # clips, in standard deviations
MIN_SHARE, MIN_SHARE_BEFORE = 0.4, 0.3  # of a window's steps that must be there
SHORT_BEFORE = 8
TAIL = 0.05
MIN_SPREAD, MIN_TAIL, MIN_TIGHT = 8, 16, 6  # steps in a window before the question makes sense
MOSTLY = 0.5


class Family(StrEnum):
    """What a question asks."""

    LEVEL = "level"
    LEVEL_BEFORE = "level against just before"
    LEVEL_AFTER_LONG = "level against long before"
    LEVEL_AFTER_SHORT = "level against the last moments"
    TYPICAL = "typical level"
    TYPICAL_BEFORE = "typical level against just before"
    JUMP = "jump and plateau"
    SPREAD = "spread"
    SPREAD_BEFORE = "spread against before"
    HIGH = "high values"
    LOW = "low values"
    MISSING = "missing steps"
    ZERO = "zeros"
    STUCK = "repeated values"


class Side(StrEnum):
    """Whether an answer may be surprising at both ends, or only when large, or is a count of steps."""

    BOTH = "both"
    LARGE = "large"
    COUNT = "count"


LEVELS = frozenset(
    {
        Family.LEVEL,
        Family.LEVEL_BEFORE,
        Family.LEVEL_AFTER_LONG,
        Family.LEVEL_AFTER_SHORT,
        Family.TYPICAL,
        Family.TYPICAL_BEFORE,
        Family.JUMP,
    }
)
LOCAL = frozenset({Family.LEVEL_BEFORE, Family.LEVEL_AFTER_LONG, Family.LEVEL_AFTER_SHORT, Family.TYPICAL_BEFORE, Family.JUMP})


@dataclass(frozen=True, slots=True)
class Question:
    """One question over windows of `size` steps, with its answers `(series, origins)`, the release's last; NaN where there is none."""

    family: Family
    side: Side
    size: int
    answers: Floats


def sizes(after: int) -> list[int]:
    """Window sizes: 2, 4, 8 … as long as they leave a quarter of the observation, and all of it."""
    return sorted({k for k in (2**i for i in range(1, 10)) if k <= LONGEST and k <= 0.75 * after} | {after})


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

    def after(self, sums: Floats) -> Floats:
        """Sums over the windows, `(sizes, series, origins)`."""
        return np.moveaxis(sums[:, self.stop] - sums[:, self.start], 1, 0)

    def ahead(self, sums: Floats, lengths: np.ndarray) -> tuple[Floats, Bools]:
        """Sums over the `lengths` steps before the transition at each origin, and where there are so many."""
        end = np.where(self.real, self.origin, self.origin - self.gap)
        begin = end - lengths[:, None]
        fits = (begin >= 0) & (lengths <= self.before // 2)[:, None]
        return np.moveaxis(sums[:, np.where(fits, end, 0)] - sums[:, np.where(fits, begin, 0)], 1, 0), fits


def _sums(values: Floats) -> Floats:
    return np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)


def ask(line: Timeline) -> list[Question]:
    """Every question that the length of the observation allows, short windows before long ones within a family."""
    at = _Windows(line)
    out = [*_levels(line, at), *_jumps(line, at), *_spreads(line, at), *_tails(line, at), *_counts(line, at)]
    return [q for q in out if np.isfinite(q.answers[:, -1]).any()]


def _means(at: _Windows, values: Floats, present: Bools) -> tuple[Floats, Bools]:
    """Mean over the windows, and where enough of their steps are there; both `(sizes, series, origins)`."""
    count = at.after(_sums(present.astype(float)))
    need = np.maximum(1, np.ceil(at.sizes * MIN_SHARE))[:, None, None]
    return at.after(_sums(values)) / np.maximum(count, 1), (count >= need) & at.fits[:, None, :]


def _means_ahead(at: _Windows, values: Floats, present: Bools, lengths: np.ndarray) -> tuple[Floats, Bools]:
    total, fits = at.ahead(_sums(values), lengths)
    count, _ = at.ahead(_sums(present.astype(float)), lengths)
    need = np.maximum(1, lengths * MIN_SHARE_BEFORE)[:, None, None]
    return total / np.maximum(count, 1), fits[:, None, :] & (count >= need)


def _rows(family: Family, side: Side, at: _Windows, answers: Floats, asked: Bools, keep: np.ndarray) -> list[Question]:
    return [Question(family, side, int(at.sizes[i]), np.where(asked[i], answers[i], np.nan)) for i in np.flatnonzero(keep)]


def _levels(line: Timeline, at: _Windows) -> list[Question]:
    out: list[Question] = []
    every = np.ones(len(at.sizes), bool)
    mean, enough = _means(at, line.x, line.present)
    enough &= at.settled[:, None, :]
    out += _rows(Family.LEVEL, Side.BOTH, at, mean, enough, every)
    lengths = (
        (Family.LEVEL_BEFORE, np.maximum(2, at.sizes)),
        (Family.LEVEL_AFTER_LONG, 4 * at.sizes),
        (Family.LEVEL_AFTER_SHORT, np.maximum(4, at.sizes // 4)),
    )
    for family, length in lengths:
        ahead, known = _means_ahead(at, line.x, line.present, length)
        new = every if family is Family.LEVEL_BEFORE else length != np.maximum(2, at.sizes)
        out += _rows(family, Side.BOTH, at, mean - ahead, enough & known, new)
    typical, _ = _means(at, np.clip(line.x, -TIGHT, TIGHT), line.present)
    keep = at.sizes >= MIN_TIGHT
    out += _rows(Family.TYPICAL, Side.BOTH, at, typical, enough, keep)
    ahead, known = _means_ahead(at, np.clip(line.x, -TIGHT, TIGHT), line.present, at.sizes)
    return out + _rows(Family.TYPICAL_BEFORE, Side.BOTH, at, typical - ahead, enough & known, keep)


def _jumps(line: Timeline, at: _Windows) -> list[Question]:
    """Generalised least squares for a level that jumps at the origin and stays, under the autoregression (a₀ = 1, aᵢ = 1 − φ₁ … − φᵢ)."""
    remembers = (line.phi != 0).any(axis=1)
    if not remembers.any():
        return []
    a = 1 - np.concatenate([np.zeros((len(line.phi), 1)), np.cumsum(line.phi, axis=1)], axis=1)
    z = np.clip(line.z, -WIDE, WIDE)
    padded = np.concatenate([z, np.zeros((len(z), ORDER + 1))], axis=1)
    first = ORDER if line.gap else 0  # after a gap the jump itself cannot be seen, only the plateau
    sums, known = _sums(z), _sums(line.known.astype(float))
    out = []
    for i, size in enumerate(at.sizes):
        head = range(first, min(ORDER, size))
        total = np.zeros((len(z), len(at.origin)))
        power = np.zeros((len(z), 1))
        for lag in head:
            total += a[:, lag, None] * padded[:, at.origin + lag]
            power += a[:, lag, None] ** 2
        if size > ORDER:
            tail = np.where(at.fits[i], at.origin + ORDER, 0)
            stop = np.where(at.fits[i], at.stop[i], 0)
            total += a[:, ORDER, None] * (sums[:, stop] - sums[:, tail])
            power += (size - ORDER) * a[:, ORDER, None] ** 2
        count = known[:, at.stop[i]] - known[:, at.start[i]]
        asked = at.fits[i] & (at.origin >= 2 * ORDER) & (count >= max(1, np.ceil(size * MIN_SHARE))) & remembers[:, None] & (power > 0)
        out.append(Question(Family.JUMP, Side.BOTH, int(size), np.where(asked, total / np.sqrt(np.maximum(power, 1e-12)), np.nan)))
    return out


def _spreads(line: Timeline, at: _Windows) -> list[Question]:
    size = np.where(line.known, np.minimum(np.abs(line.z), WIDE), 0.0)
    keep = (at.sizes >= MIN_SPREAD) | (at.sizes == line.after)
    mean, enough = _means(at, size, line.known)
    enough &= at.settled[:, None, :]
    ahead, known = _means_ahead(at, size, line.known, np.minimum(4 * at.sizes, line.before // 2))
    return [
        *_rows(Family.SPREAD, Side.BOTH, at, mean, enough, keep),
        *_rows(Family.SPREAD_BEFORE, Side.BOTH, at, mean - ahead, enough & known, keep),
    ]


def _tails(line: Timeline, at: _Windows) -> list[Question]:
    seen = np.where(line.known, line.z, np.nan)[:, : line.before]
    rows = np.isfinite(seen).any(axis=1)
    low, high = np.zeros((2, len(seen)))
    if rows.any():
        low[rows], high[rows] = np.nanquantile(seen[rows], [TAIL, 1 - TAIL], axis=1)
    keep = (at.sizes >= MIN_TAIL) | (at.sizes == line.after)
    out = []
    for family, excess in ((Family.HIGH, line.z - high[:, None]), (Family.LOW, low[:, None] - line.z)):
        beyond = np.where(line.known, np.sqrt(np.clip(excess, 0, DEEP)), 0.0)
        mean, enough = _means(at, beyond, line.known)
        out += _rows(family, Side.LARGE, at, mean, enough, keep)
    return out


def _counts(line: Timeline, at: _Windows) -> list[Question]:
    """The fullest stretch of missing, zero or repeated values, on the variance-stabilised scale 2 √(count + ½)."""
    value = line.value
    repeated = np.zeros_like(value)
    repeated[:, 1:] = (value[:, 1:] == value[:, :-1]) & (value[:, 1:] != 0)  # zeros are a question of their own
    after = line.after
    marks = ((Family.MISSING, (~line.sampled).astype(float)), (Family.ZERO, (value == 0).astype(float)), (Family.STUCK, repeated))
    full = at.fits[-1]
    start = np.where(full, at.origin, 0)
    out = []
    for family, mark in marks:
        rare = (mark[:, : line.before].mean(axis=1) <= MOSTLY) & (mark[:, line.before :].sum(axis=1) > 0)
        if not rare.any():
            continue
        sums = _sums(mark)
        for length in sorted({max(4, after // 8), max(4, after // 2) if after >= SHORT_BEFORE else after, after}):
            if length > after:
                continue
            count = sums[:, length:] - sums[:, :-length]
            span = after - length + 1
            fullest = maximum_filter1d(count, size=span, axis=1, origin=-(span // 2)) if span > 1 else count
            answers = 2 * np.sqrt(np.maximum(fullest[:, np.minimum(start, fullest.shape[1] - 1)], 0) + 0.5)
            out.append(Question(family, Side.COUNT, length, np.where(full & rare[:, None], answers, np.nan)))
    return out
