"""The questions put to the whitened residuals at a moment: does the level differ from before, the
spread, the tails, the gaps?

Every question is a number computed from a window that starts at an origin. It is put at the release
and, in the same way, at hundreds of past origins, the placebo releases. `anomaly.scoring.replay`
compares the one with the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from anomaly.baseline.noise import ORDER
from anomaly.baseline.robust import Bools, Floats, running_sums
from anomaly.scoring.question_kinds import SPECS, QuestionKind, QuestionSpec, parts_of
from anomaly.scoring.timeline import Timeline

LONGEST = 512  # steps of a window, unless the observation is longer
LARGEST_PART = 0.75  # of the observation: a longer window is the observation itself
TIGHT, DEEP = 1.5, 8.0  # clips, in standard deviations, beside `WIDE`
MIN_SHARE, MIN_SHARE_BEFORE = 0.4, 0.3  # share of its usual steps that a window must hold
LEAST_BEFORE = 8  # steps of history before the first origin at which a level is asked about
TOP = 0.05  # share of the steps that count as the highest, or the lowest
FARTHEST = 40.0  # standard deviations at which the highest and the lowest are clipped
SORTED = 100  # origins, about, at which they are looked for: sorting is slow
RHYTHM_HOURS = 12.0  # of observation that show the rhythm of a day
LEAST_RHYTHM = 0.05  # variance that the season must have there
LEAST_USUAL = 2.0  # events: fewer are no yardstick
LONGER = 4  # times as many steps before a window as its spread is compared with
LEAST_AHEAD = 4  # steps before the origin that a level is compared with, at least
SURE = 3.0  # standard deviations beyond which zeros are more than chance makes of few events
TINY = 1e-300
MOSTLY = 0.5  # share of the history: what marks more steps than this is not asked about


@dataclass(frozen=True, slots=True)
class Question:
    """One question over windows of `size` steps, with its answers `(series, origins)`, the
    release's last; NaN where there is none. `weight` is that of its answers when they are
    combined."""

    kind: QuestionKind
    size: int
    answers: Floats
    weight: float = 1.0

    def answered(self, answers: Floats) -> Question:
        """The same question with other answers."""
        return Question(self.kind, self.size, answers, self.weight)

    @property
    def spec(self) -> QuestionSpec:
        """The traits of its kind."""
        return SPECS[self.kind]


def sizes(after: int) -> list[int]:
    """Window sizes for `after` steps of observation: 2, 4, 8 … while they leave a quarter of it,
    and all of it."""
    powers = (2**i for i in range(1, 10))
    return sorted({k for k in powers if k <= LONGEST and k <= LARGEST_PART * after} | {after})


class _Windows:
    """The windows of every size that start at the origins, and sums over them and over the steps
    before them; matrices `(sizes, origins)`."""

    def __init__(self, line: Timeline) -> None:
        self.before, self.after, self.gap = line.before, line.after, line.gap
        self.origins = line.origins
        self.at_release = self.origins == line.before
        self.sizes = np.array(sizes(line.after))
        self.start = np.broadcast_to(self.origins, (len(self.sizes), len(self.origins)))
        stop = self.start + self.sizes[:, None]
        self.fits = (stop <= line.before) | self.at_release
        self.stop = np.where(self.fits, stop, self.start)
        self.has_past = self.start >= min(LEAST_BEFORE, line.before // 4)
        self.usual_sums = line.usual_sums
        self.present_sums = line.present_sums
        self.innovation_sums = line.innovation_sums
        self.counts: dict[int, tuple[Floats, Bools]] = {}

    def sums(self, sums: Floats) -> Floats:
        """Sums over the windows, `(sizes, series, origins)`, from running ones."""
        begin = sums.take(self.origins, axis=1)[:, None]
        return np.moveaxis(sums.take(self.stop, axis=1) - begin, 1, 0)

    def sums_before(self, sums: Floats, lengths: np.ndarray) -> tuple[Floats, Bools]:
        """Sums over the `lengths` steps before the transition at each origin, and where there are
        so many."""
        end = np.where(self.at_release, self.origins, self.origins - self.gap)
        begin = end - lengths[:, None]
        fits = (begin >= 0) & (lengths <= self.before // 2)[:, None]
        last, first = np.where(fits, end, 0), np.where(fits, begin, 0)
        return np.moveaxis(sums.take(last, axis=1) - sums.take(first, axis=1), 1, 0), fits

    def means(self, values: Floats, count_sums: Floats) -> tuple[Floats, Bools]:
        """Mean over the windows, and where enough of their steps count; both `(sizes, series,
        origins)`. `count_sums` are the running sums of the steps that do."""
        return self.means_of(running_sums(values), count_sums)

    def means_of(self, sums: Floats, count_sums: Floats) -> tuple[Floats, Bools]:
        """The same from the running sums of the values."""
        if id(count_sums) not in self.counts:
            count = self.sums(count_sums)
            need = np.maximum(1, MIN_SHARE * self.sums(self.usual_sums))
            enough = (count >= need) & self.fits[:, None, :]
            self.counts[id(count_sums)] = np.maximum(count, 1), enough
        count, enough = self.counts[id(count_sums)]
        return self.sums(sums) / count, enough

    def means_before(
        self, sums: Floats, count_sums: Floats, lengths: np.ndarray
    ) -> tuple[Floats, Bools]:
        """The same over the `lengths` steps before the transition."""
        total, fits = self.sums_before(sums, lengths)
        count, _ = self.sums_before(count_sums, lengths)
        usual, _ = self.sums_before(self.usual_sums, lengths)
        need = np.maximum(1, MIN_SHARE_BEFORE * usual)
        return total / np.maximum(count, 1), fits[:, None, :] & (count >= need)

    def questions(self, kind: QuestionKind, answers: Floats, mask: Bools) -> list[Question]:
        """The question over every window size that its kind is asked over; NaN where `mask` is
        False."""
        is_asked = SPECS[kind].asked_over(self.sizes, self.after)
        return [
            Question(kind, int(self.sizes[i]), np.where(mask[i], answers[i], np.nan))
            for i in np.flatnonzero(is_asked)
        ]


def ask(line: Timeline, *, level: bool = True, other: bool = True) -> list[Question]:
    """Every question that the length of the observation allows, short windows before long ones
    within a kind.

    Those about the level are left out if `level` is False, all others if `other` is.
    """
    windows = _Windows(line)
    questions: list[Question] = []
    if level:
        questions += [
            question.answered(question.answers / line.volatility)
            for question in (
                *_levels(line, windows),
                *_matched(line, windows),
                *_growth(line, windows),
            )
        ]
        questions += _totals(line, windows)
    for part in (_spreads, _tails, _extremes, _rhythms, _counts) if other else ():
        questions += part(line, windows)
    return [
        Question(each.kind, each.size, each.answers, each.spec.weight_of(each.size, line.after))
        for each in questions
        if np.isfinite(each.answers[:, -1]).any()
    ]


def _levels(line: Timeline, windows: _Windows) -> list[Question]:
    """Means of the residuals, and of the residuals within tight bounds, against the whole history
    and against the steps just before."""
    central = running_sums(np.clip(line.x, -TIGHT, TIGHT))
    mean, enough = windows.means_of(line.x_sums, windows.present_sums)
    enough = enough & windows.has_past[:, None, :]
    typical, _ = windows.means_of(central, windows.present_sums)
    few = np.maximum(LEAST_AHEAD, windows.sizes // 4)
    mean_before, enough_few = windows.means_before(line.x_sums, windows.present_sums, few)
    typical_before, enough_before = windows.means_before(
        central, windows.present_sums, windows.sizes
    )
    return [
        *windows.questions(QuestionKind.LEVEL, mean, enough),
        *windows.questions(QuestionKind.LEVEL_BEFORE, mean - mean_before, enough & enough_few),
        *windows.questions(QuestionKind.TYPICAL, typical, enough),
        *windows.questions(
            QuestionKind.TYPICAL_BEFORE, typical - typical_before, enough & enough_before
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Innovations:
    """Clipped innovations, their running sums, and those of the innovations times their row."""

    z: Floats
    sums: Floats
    rising_sums: Floats


@dataclass(frozen=True, slots=True)
class _Shape:
    """A change of level as the innovations would show it: `response` of the level in the first
    steps, from step `ORDER` on `flat` + `slope` (i + 1) of the innovations, both `(series,)`."""

    response: Floats
    flat: Floats
    slope: Floats


def _matched(line: Timeline, windows: _Windows) -> list[Question]:
    """Generalised least squares for a level that jumps at the origin and stays, and for one that
    grows evenly from there.

    A response r of the level, 1 for the jump and (i + 1) / size for the ramp, reaches the
    innovations as wᵢ = rᵢ − Σ φⱼ rᵢ₋ⱼ; the answer is Σ wᵢ zᵢ / √(Σ wᵢ²). Beyond the
    autoregression's order w is a line: `flat` + `slope` (i + 1).
    """
    z = line.clipped
    innovations = _Innovations(z, line.clipped_sums, running_sums(z * np.arange(z.shape[1])))
    gain = 1 - line.phi.sum(axis=1)
    lags = np.arange(1, ORDER + 1)
    jump = _Shape(np.ones(ORDER), gain, np.zeros_like(gain))
    ramp = _Shape(lags / line.after, (line.phi * lags).sum(axis=1) / line.after, gain / line.after)
    return [
        _match(line, windows, innovations, kind, int(size), shape)
        for kind, shape in ((QuestionKind.JUMP, jump), (QuestionKind.RAMP, ramp))
        for size in windows.sizes[SPECS[kind].asked_over(windows.sizes, line.after)]
    ]


def _match(
    line: Timeline,
    windows: _Windows,
    innovations: _Innovations,
    kind: QuestionKind,
    size: int,
    shape: _Shape,
) -> Question:
    """The innovations over one window size, matched with a shape."""
    z, response = innovations.z, shape.response
    first = ORDER if line.gap else 0  # a gap hides the change itself, not what follows from it
    fits = windows.fits[list(windows.sizes).index(size)]
    start = np.where(fits, windows.origins, 0)
    stop = np.where(fits, windows.origins + size, 0)
    total, power = np.zeros((len(z), len(start))), np.zeros((len(z), 1))
    for i in range(first, min(ORDER, size)):
        weight = response[i] - (line.phi[:, :i] * response[:i][::-1]).sum(axis=1, keepdims=True)
        total += weight * z[:, np.minimum(start + i, z.shape[1] - 1)]
        power += weight**2
    if size > ORDER:
        flat, slope = shape.flat[:, None], shape.slope[:, None]
        begin = np.where(fits, start + ORDER, 0)
        plain = innovations.sums[:, stop] - innovations.sums[:, begin]
        rising = innovations.rising_sums[:, stop] - innovations.rising_sums[:, begin]
        total += flat * plain + slope * (rising - (start - 1) * plain)
        power += ((flat + slope * np.arange(ORDER + 1, size + 1)) ** 2).sum(axis=1, keepdims=True)
    count = windows.innovation_sums[:, stop] - windows.innovation_sums[:, start]
    usual = windows.usual_sums[:, stop] - windows.usual_sums[:, start]
    enough = count >= np.maximum(1, MIN_SHARE * usual)
    mask = fits & (windows.origins >= 2 * ORDER) & enough & (power > 0)
    answers = np.where(mask, total / np.sqrt(np.maximum(power, 1e-12)), np.nan)
    return Question(kind, size, answers)


def _growth(line: Timeline, windows: _Windows) -> list[Question]:
    """By how much the residuals grow over the observation, by a line of its own: what falls at the
    release and then grows faster than ever need not be higher than before."""
    if line.after < SPECS[QuestionKind.GROWTH].least_size:
        return []
    rows = np.arange(float(line.x.shape[1]))
    if line.present.all():  # then one row of times is that of every series
        when_sums, square_sums = running_sums(rows[None]), running_sums(rows[None] ** 2)
    else:
        when_sums = running_sums(rows * line.present)
        square_sums = running_sums(rows**2 * line.present)

    def sums(sums_so_far: Floats) -> Floats:
        return np.asarray(windows.sums(sums_so_far)[-1])

    count, when = np.maximum(sums(line.present_sums), 1), sums(when_sums)
    spread = sums(square_sums) - when**2 / count
    together = sums(running_sums(rows * line.x)) - when * sums(line.x_sums) / count
    span = np.sqrt(12 * spread / count)  # that of steps that lie evenly, and no more than they do
    slope = span * together / np.maximum(spread, 1.0)
    _, enough = windows.means_of(line.x_sums, windows.present_sums)
    mask = enough[-1] & (spread > 0)
    return [Question(QuestionKind.GROWTH, line.after, np.where(mask, slope, np.nan))]


def _totals(line: Timeline, windows: _Windows) -> list[Question]:
    """How much more there was in all than usual, of series that are often zero, in units of the
    root of the usual.

    The mean of transformed values hardly moves with the few steps that hold what there is to count.
    A count is not clipped: the placebo releases tell how large its bursts are.
    """
    if not line.sparse.any():
        return []
    total = windows.sums(running_sums(line.amount))
    usual = windows.sums(running_sums(line.usual))
    _, enough = windows.means_of(windows.present_sums, windows.present_sums)
    mask = enough & (usual > 0) & line.sparse[:, None]
    answers = (total - usual) / np.sqrt(np.maximum(usual, LEAST_USUAL))
    return windows.questions(QuestionKind.TOTAL, answers, mask)


def _spreads(line: Timeline, windows: _Windows) -> list[Question]:
    """How large the innovations are, against those of the steps before: a spread that comes and
    goes has no usual size. They are smaller only where they are so against the history, too: the
    end of an unrest is no change."""
    size = running_sums(np.abs(line.clipped))
    mean, enough = windows.means_of(size, windows.innovation_sums)
    lengths = np.minimum(LONGER * windows.sizes, line.before // 2)
    mean_before, enough_before = windows.means_before(size, windows.innovation_sums, lengths)
    mask = enough & windows.has_past[:, None, :] & enough_before
    n = line.before
    usual = size[:, n] / np.maximum(line.innovation_sums[:, n], 1)
    answers = np.maximum(mean - mean_before, np.minimum(mean - usual[:, None], 0.0))
    return windows.questions(QuestionKind.SPREAD, answers, mask)


def _tails(line: Timeline, windows: _Windows) -> list[Question]:
    """How far the innovations lie beyond the upper, and the lower, tail of the history."""
    low, high = line.innovation_quantiles[:, :2].T
    questions = []
    for kind, excess in (
        (QuestionKind.HIGH, line.z - high[:, None]),
        (QuestionKind.LOW, low[:, None] - line.z),
    ):
        values = np.zeros_like(excess)
        out = np.flatnonzero(line.has_innovation & (excess > 0))
        values.ravel()[out] = beyond(excess.ravel()[out])
        mean, enough = windows.means(values, windows.innovation_sums)
        questions += windows.questions(kind, mean, enough)
    return questions


def beyond(excess: Floats) -> Floats:
    """How far values lie beyond a threshold, as a root: one far outlier must not count for many."""
    return np.asarray(np.sqrt(np.clip(excess, 0, DEEP)))


def _extremes(line: Timeline, windows: _Windows) -> list[Question]:
    """The mean of the highest steps of the observation, and of the lowest, as log(1 + |z|): a few
    spikes drown in a mean of all."""
    z = np.clip(line.z, -FARTHEST, FARTHEST)

    def size(values: Floats) -> Floats:
        return np.asarray(np.copysign(np.log1p(np.abs(values)), values).mean(axis=1))

    count = max(1, int(np.ceil(TOP * line.after)))
    sample = np.flatnonzero(windows.fits[-1])[::-1]
    sample = sample[:: max(1, len(sample) // SORTED)]
    _, enough = windows.means_of(windows.innovation_sums, windows.innovation_sums)
    highest = np.full((len(z), len(windows.origins)), np.nan)
    lowest = highest.copy()
    for i, row in enumerate(z):  # one by one: the windows of all series would fill the memory
        stretches = sliding_window_view(row, line.after)[windows.origins[sample]]
        ranked = np.sort(stretches, axis=1)
        highest[i, sample] = size(ranked[:, line.after - count :])
        lowest[i, sample] = -size(ranked[:, :count])
    return [
        Question(kind, line.after, np.where(enough[-1], answers, np.nan))
        for kind, answers in ((QuestionKind.HIGHEST, highest), (QuestionKind.LOWEST, lowest))
    ]


def _rhythms(line: Timeline, windows: _Windows) -> list[Question]:
    """By how much of itself the season is flatter than it was: the slope of the residuals on it,
    with the sign turned."""
    if line.hours < RHYTHM_HOURS or not line.season.any():
        return []
    season = np.where(line.present, line.season, 0.0)
    start, stop = windows.origins, windows.stop[-1]
    count = windows.present_sums.take(stop, axis=1) - windows.present_sums.take(start, axis=1)
    steps = np.maximum(count, 1)

    def mean(sums: Floats) -> Floats:
        return np.asarray((sums.take(stop, axis=1) - sums.take(start, axis=1)) / steps)

    usual, squares = mean(running_sums(season)), mean(running_sums(season**2))
    covariance = mean(running_sums(line.x * season)) - mean(line.x_sums) * usual
    slope = covariance / np.maximum(squares - usual**2, LEAST_RHYTHM)
    has_season = (line.season != 0).any(axis=1)[:, None]
    usually = line.usual_sums.take(stop, axis=1) - line.usual_sums.take(start, axis=1)
    mask = windows.fits[-1] & (count >= MIN_SHARE * usually) & has_season
    return [Question(QuestionKind.RHYTHM, line.after, np.where(mask, -slope, np.nan))]


def _counts(line: Timeline, windows: _Windows) -> list[Question]:
    """The fullest stretch of missing, zero or repeated values, beyond what chance makes of few
    events, on the variance-stabilised scale 2 √(count + ½)."""
    value, after, fits, n = line.value, line.after, windows.fits[-1], line.before
    is_repeated = np.zeros(value.shape, bool)
    # zeros have a question of their own
    np.equal(value[:, 1:], value[:, :-1], out=is_repeated[:, 1:])
    is_zero = value == 0
    is_repeated &= ~is_zero
    first = line.has_sample.argmax(axis=1)[:, None]
    is_running = np.arange(value.shape[1]) >= first  # what has not begun yet is not missing
    running_steps = np.maximum(is_running[:, :n].sum(axis=1), 1)
    start = np.where(fits, windows.origins, 0)
    questions = []
    for kind, marks in (
        (QuestionKind.MISSING, ~line.has_sample & is_running),
        (QuestionKind.ZERO, is_zero),
        (QuestionKind.STUCK, is_repeated),
    ):
        share = marks[:, :n].sum(axis=1) / running_steps
        is_rare = (share <= MOSTLY) & marks[:, n:].any(axis=1)
        if not is_rare.any():
            continue
        mask = fits & is_rare[:, None] & (windows.origins >= first)
        sums, by_chance = running_sums(marks), []
        if kind is QuestionKind.ZERO and line.series.ratio.any():
            chance = _chance_of_zero(line)
            by_chance = [running_sums(chance), running_sums(chance * (1 - chance))]
        for length in parts_of(after):
            excess = _within(sums, length)
            if by_chance:
                expected = _within(by_chance[0], length)
                variance = _within(by_chance[1], length)
                excess = excess - expected - SURE * np.sqrt(np.maximum(variance, 0))
            most = fullest(excess, after - length + 1)
            count = most[:, np.minimum(start, most.shape[1] - 1)]
            answers = 2 * np.sqrt(np.maximum(count, 0) + 0.5)
            questions.append(Question(kind, length, np.where(mask, answers, np.nan)))
    return questions


def _chance_of_zero(line: Timeline) -> Floats:
    """The probability that a step of a ratio has no event at its volume, `(series, time)`; 0 for
    all other series."""
    series, n = line.series, line.before
    ratio = series.ratio[:, None]
    has_value = np.isfinite(series.value)
    amount = np.where(has_value, series.amount, 0.0)
    volume = np.where(has_value, series.volume, 0.0)
    share = amount[:, :n].sum(axis=1) / np.maximum(volume[:, :n].sum(axis=1), TINY)
    return np.where(ratio & (volume > 0), np.exp(-share[:, None] * volume), 0.0)


def _within(sums: Floats, length: int) -> Floats:
    """Sums over every window of `length` steps, from running ones."""
    return np.asarray(sums[:, length:] - sums[:, :-length])


def fullest(counts: Floats, span: int) -> Floats:
    """The largest of the `span` counts from each on; beyond the last, counts are mirrored."""
    most = np.pad(counts, ((0, 0), (0, span - 1)), mode="symmetric")
    width = 1  # of the windows that `most` is of
    while 2 * width <= span:
        most = np.maximum(most[:, :-width], most[:, width:])
        width *= 2
    rest = span - width
    return np.asarray(np.maximum(most[:, : most.shape[1] - rest], most[:, rest:]))
