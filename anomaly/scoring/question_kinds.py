"""The kinds of questions, one record each: over which windows a kind is asked, which answers are
bad, what its placebo answers are expected to be like, and how its change is named and dated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

import numpy as np

from anomaly.baseline.robust import Bools, Ints
from anomaly.model import ChangeKind, Direction

LASTING = 2  # a lasting level is asked about over at least 1 / LASTING of the observation
LEAST_PART = 4  # steps in the shortest stretch in which marked steps are counted
SHORT = 8  # steps of an observation that has no half worth counting in
LEAST_OF_LEVEL = 0.05  # standard deviations: the least spread of a mean level
LEAST_OF_NOISE = 0.35  # and of one step's noise; a mean of n steps has this / √n
LEAST_SPREAD = 1e-3  # of everything else
# Weights in the average likelihood: of a kind that many others resemble, of one that a few steps
# cannot move, of one that a few steps are enough to move, and of one that chance often answers.
OF_MANY, OF_MOST_STEPS, OF_FEW_STEPS, OF_CHANCE = 0.75, 2.0, 1.5, 0.5
OF_SHORT = 0.6  # times that of windows under 1 / SHORT_PART of the observation
SHORT_PART = 8
USUAL_SLOPE = -0.1  # how a spread changes with the window's size, as a power of it


class QuestionKind(StrEnum):
    """What a question asks about."""

    LEVEL = "level"
    LEVEL_BEFORE = "level against just before"
    TYPICAL = "typical level"
    TYPICAL_BEFORE = "typical level against just before"
    JUMP = "jump and plateau"
    RAMP = "ramp"
    GROWTH = "growth"
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
    """Which answers may be surprising: large and small ones, large ones, or large counts."""

    BOTH = "both"
    LARGE = "large"
    COUNT = "count"


class WindowRule(StrEnum):
    """Over which windows a question is asked, of those that are long enough for it."""

    ALL = "every size"
    ALL_OR_WHOLE = "every size, and the whole observation however short"
    LASTING = "every size of a lasting change"
    WHOLE = "the whole observation"
    PARTS = "stretches of an eighth, a half and the whole of the observation"


class Centre(StrEnum):
    """Around which value the placebo answers lie."""

    MEDIAN = "their median"
    SHRUNK_MEDIAN = "their median, nearer to 0 the fewer independent windows there are"
    MEAN = "their mean"
    ZERO = "0"


class Counterpart(StrEnum):
    """Which other question must agree for an answer to count in full."""

    LASTING_LEVEL = "the level over the shortest window that is at least as long"
    JUST_BEFORE = "the same window's level against just before"


class StepMeasure(StrEnum):
    """Which number of each step a question sums up."""

    RESIDUAL = "residual"
    CENTRAL_RESIDUAL = "residual within tight bounds"
    INNOVATION = "innovation"
    INNOVATION_SIZE = "size of the innovation"
    HIGH_EXCESS = "excess over the upper tail"
    LOW_EXCESS = "excess under the lower tail"
    SEASON_MISFIT = "size of the residual"
    MARK = "whether the step is marked"


class DatedBy(StrEnum):
    """In which series of numbers the begin of a change is looked for."""

    RESIDUAL = "residual"
    INNOVATION_SIZE = "size of the innovation"
    RESIDUAL_SIZE = "size of the residual"
    MISSING = "missing steps"
    ZERO = "zeros"
    REPEATED = "repeated values"

    @property
    def is_mark(self) -> bool:
        """Whether a step is marked or not, instead of having a number."""
        return self in (DatedBy.MISSING, DatedBy.ZERO, DatedBy.REPEATED)


ANY = frozenset(Direction)
UPWARDS = frozenset({Direction.UP, Direction.EITHER})
DOWNWARDS = frozenset({Direction.DOWN, Direction.EITHER})


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSpec:
    """All that sets one kind of question apart from the others.

    Windows: it is asked by `rule` over windows of at least `least_size` steps.

    What is bad: a `change` of level is bad in the bad direction of its KPI; any other answer is bad
    for KPIs with one of the directions `bad_for`. `change` is what a strong answer is called.

    Placebo answers: they lie around `centre`. Their spread is at least `least_spread` (over the
    root of the size if `averages_noise`), and changes with the size as its power `spread_slope`
    where the past does not say otherwise; it `borrows_from` a kind that has the same spread.
    `uses_history` says that the question compares with the whole history, which taught the level.
    An answer counts for less if its `counterpart` does not share it.

    Combination: `weight` is that of its answers in the average likelihood. Kinds that say much the
    same share theirs.

    Response: `measure` is what it sums up; `responds` says that a jump of the level moves the
    answer by an amount that follows from that.

    When: the change is looked for in `dated_by`. A series that drifts away shows those that are
    `shown_by_drift`, too. A change that `ends_by_noise` is over when the noise has settled, not
    when the level is back.
    """

    change: ChangeKind | None
    measure: StepMeasure
    dated_by: DatedBy
    side: Side = Side.BOTH
    rule: WindowRule = WindowRule.ALL
    least_size: int = 1
    bad_for: frozenset[Direction] = frozenset()
    centre: Centre = Centre.MEDIAN
    least_spread: float = LEAST_SPREAD
    averages_noise: bool = False
    spread_slope: float = USUAL_SLOPE
    borrows_from: QuestionKind | None = None
    uses_history: bool = False
    counterpart: Counterpart | None = None
    weight: float = 1.0
    responds: bool = False
    shown_by_drift: bool = False
    ends_by_noise: bool = False

    @property
    def is_level(self) -> bool:
        """Whether the question is about the level."""
        return self.change is ChangeKind.LEVEL

    @property
    def is_matched(self) -> bool:
        """Whether the question matches the innovations with the shape of a change."""
        return self.measure is StepMeasure.INNOVATION

    def least_spread_of(self, size: int) -> float:
        """The least spread of the placebo answers over windows of `size` steps."""
        return self.least_spread / size**0.5 if self.averages_noise else self.least_spread

    def weight_of(self, size: int, after: int) -> float:
        """The weight of an answer over `size` steps of an observation of `after`."""
        return self.weight * (OF_SHORT if size < after // SHORT_PART else 1.0)

    def asked_over(self, sizes: Ints, after: int) -> Bools:
        """Over which of the window `sizes` an observation of `after` steps is asked about."""
        fits: Bools = sizes >= self.least_size
        whole: Bools = sizes == after
        if self.rule is WindowRule.ALL_OR_WHOLE:
            return fits | whole
        if self.rule is WindowRule.LASTING:
            return np.asarray(fits & (LASTING * sizes >= after))
        return fits & whole if self.rule is WindowRule.WHOLE else fits


def parts_of(after: int) -> list[int]:
    """An eighth, a half and the whole of an observation, in steps (`WindowRule.PARTS`)."""
    half = max(LEAST_PART, after // 2) if after >= SHORT else after
    part = max(LEAST_PART, after // SHORT_PART)
    return sorted(size for size in {part, half, after} if size <= after)


LEVEL = QuestionSpec(
    change=ChangeKind.LEVEL,
    measure=StepMeasure.RESIDUAL,
    dated_by=DatedBy.RESIDUAL,
    rule=WindowRule.LASTING,
    centre=Centre.SHRUNK_MEDIAN,
    least_spread=LEAST_OF_LEVEL,
    spread_slope=-0.25,
    uses_history=True,
    counterpart=Counterpart.JUST_BEFORE,
    weight=OF_MANY,
    responds=True,
)
LEVEL_BEFORE = replace(
    LEVEL,
    rule=WindowRule.ALL,
    centre=Centre.MEDIAN,
    spread_slope=USUAL_SLOPE,
    uses_history=False,
    counterpart=Counterpart.LASTING_LEVEL,
)
TYPICAL = replace(LEVEL, measure=StepMeasure.CENTRAL_RESIDUAL, least_size=6, weight=OF_MOST_STEPS)
TYPICAL_BEFORE = replace(
    LEVEL_BEFORE, measure=StepMeasure.CENTRAL_RESIDUAL, least_size=6, weight=OF_MOST_STEPS
)
JUMP = QuestionSpec(
    change=ChangeKind.LEVEL,
    measure=StepMeasure.INNOVATION,
    dated_by=DatedBy.RESIDUAL,
    centre=Centre.ZERO,
    spread_slope=0.15,
    counterpart=Counterpart.LASTING_LEVEL,
    weight=OF_MANY,
    responds=True,
)
RAMP = replace(
    JUMP,
    rule=WindowRule.WHOLE,
    least_size=8,
    spread_slope=USUAL_SLOPE,
    borrows_from=QuestionKind.JUMP,
)
GROWTH = QuestionSpec(
    change=ChangeKind.LEVEL,
    measure=StepMeasure.RESIDUAL,
    dated_by=DatedBy.RESIDUAL,
    rule=WindowRule.WHOLE,
    least_size=8,
    centre=Centre.MEDIAN,
)
TOTAL = QuestionSpec(
    change=ChangeKind.LEVEL,
    measure=StepMeasure.RESIDUAL,
    dated_by=DatedBy.RESIDUAL,
    least_size=4,
    centre=Centre.SHRUNK_MEDIAN,
    least_spread=LEAST_OF_LEVEL,
    uses_history=True,
    weight=OF_MANY,
)
SPREAD = QuestionSpec(
    change=ChangeKind.SPREAD,
    measure=StepMeasure.INNOVATION_SIZE,
    dated_by=DatedBy.INNOVATION_SIZE,
    rule=WindowRule.ALL_OR_WHOLE,
    least_size=8,
    bad_for=ANY,
    least_spread=LEAST_OF_NOISE,
    averages_noise=True,
    spread_slope=-0.3,
    uses_history=True,
    responds=True,
    shown_by_drift=True,
    ends_by_noise=True,
)
HIGH = QuestionSpec(
    change=ChangeKind.SPIKES,
    measure=StepMeasure.HIGH_EXCESS,
    dated_by=DatedBy.RESIDUAL,  # high values raise the level
    side=Side.LARGE,
    rule=WindowRule.ALL_OR_WHOLE,
    least_size=16,
    bad_for=UPWARDS,
    least_spread=LEAST_OF_NOISE,
    averages_noise=True,
    spread_slope=-0.25,
    uses_history=True,
    weight=OF_FEW_STEPS,
    responds=True,
    shown_by_drift=True,
    ends_by_noise=True,
)
LOW = replace(HIGH, measure=StepMeasure.LOW_EXCESS, bad_for=DOWNWARDS)
HIGHEST = QuestionSpec(
    change=ChangeKind.SPIKES,
    measure=StepMeasure.HIGH_EXCESS,
    dated_by=DatedBy.RESIDUAL,
    side=Side.LARGE,
    rule=WindowRule.WHOLE,
    bad_for=UPWARDS,
    weight=OF_FEW_STEPS,
    shown_by_drift=True,
    ends_by_noise=True,
)
LOWEST = replace(HIGHEST, measure=StepMeasure.LOW_EXCESS, bad_for=DOWNWARDS)
RHYTHM = QuestionSpec(
    change=ChangeKind.SHAPE,
    measure=StepMeasure.SEASON_MISFIT,
    dated_by=DatedBy.RESIDUAL_SIZE,
    rule=WindowRule.WHOLE,
    bad_for=ANY,
    ends_by_noise=True,
)
MISSING = QuestionSpec(
    change=None,
    measure=StepMeasure.MARK,
    dated_by=DatedBy.MISSING,
    side=Side.COUNT,
    rule=WindowRule.PARTS,
    bad_for=ANY,
    centre=Centre.MEAN,
    weight=OF_FEW_STEPS,
)
ZERO = replace(
    MISSING,
    change=ChangeKind.OUTAGE,
    dated_by=DatedBy.ZERO,
    bad_for=DOWNWARDS,
    weight=1.0,
)
STUCK = replace(MISSING, change=ChangeKind.SHAPE, dated_by=DatedBy.REPEATED, weight=OF_CHANCE)

SPECS: Mapping[QuestionKind, QuestionSpec] = MappingProxyType(
    {
        QuestionKind.LEVEL: LEVEL,
        QuestionKind.LEVEL_BEFORE: LEVEL_BEFORE,
        QuestionKind.TYPICAL: TYPICAL,
        QuestionKind.TYPICAL_BEFORE: TYPICAL_BEFORE,
        QuestionKind.JUMP: JUMP,
        QuestionKind.RAMP: RAMP,
        QuestionKind.GROWTH: GROWTH,
        QuestionKind.TOTAL: TOTAL,
        QuestionKind.SPREAD: SPREAD,
        QuestionKind.HIGH: HIGH,
        QuestionKind.LOW: LOW,
        QuestionKind.HIGHEST: HIGHEST,
        QuestionKind.LOWEST: LOWEST,
        QuestionKind.RHYTHM: RHYTHM,
        QuestionKind.MISSING: MISSING,
        QuestionKind.ZERO: ZERO,
        QuestionKind.STUCK: STUCK,
    }
)
