"""What scoring says of each series, and of several together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from anomaly.baseline.robust import Bools, Floats, Ints
from anomaly.model import ChangeKind, Coverage, Evidence
from anomaly.panel import Block, LongForm, only_grows
from anomaly.scoring.effect import Effect
from anomaly.scoring.onset import Onset
from anomaly.scoring.power import Power
from anomaly.scoring.recurrence import Recurrence
from anomaly.scoring.sizes import Sizes


@dataclass(frozen=True, slots=True)
class Beside:
    """The controls of a series that moved themselves, and what the series would be taken for
    otherwise.

    `controls` names them; `move` is their relative change of level, None if that does not compare.
    `p_alone` is the p-value of a bad change by the past of the series itself, `p_taught` by what
    its controls predict.
    """

    controls: tuple[str, ...]
    move: float | None
    p_alone: float
    p_taught: float


@dataclass(frozen=True, slots=True)
class Rise:
    """By how much a series grew more over the observation than it usually does in such a time, in
    the KPI's unit (`absolute`), with the p-value of such growth in the bad direction."""

    absolute: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Already:
    """A level that was bad before the release, and no better since: how many `times` that of the
    whole history, infinitely many of nothing, and when that began."""

    times: float
    onset: Onset


@dataclass(frozen=True, slots=True)
class Score:
    """What the data of one series say, before tolerance, multiplicity and policy.

    `p_bad` is the p-value of a change in the bad direction, `p_good` of a level change in the good
    one, `p_other` of a bad change that is not one of level, `p_beyond` of a lasting level beyond
    tolerance and floor in the direction of the change (both 1 where not computed). `rise`: growth
    in the bad direction, whatever the level is. `gaps`: missing steps are the surprise. `compared`:
    there were enough values for a question. `onset`: when the change began. `recovered`: the last
    quarter of the observation is as expected again, from step `recovered_at` on. `sizes`, `effect`
    and `power` are None where there is no value. `already` is set where nothing new is bad, but
    much was shortly before the release. `beside` is set where a control moved, `coverage` where the
    history is long enough to measure the band. `p_exact` is a p-value that needs no placebo
    releases, such as that of a count of exceptions; `p_bad` is no smaller (0 without one).
    `recurrence` says when the same was seen before, `first_weekend` that it began on the first
    weekend there is, `mismatch` that it got another share of a split's traffic than it should.
    """

    p_bad: float
    p_exact: float = 0.0
    p_good: float = 1.0
    p_other: float = 1.0
    p_beyond: float = 1.0
    rise: Rise | None = None
    kind: ChangeKind | None = None
    gaps: bool = False
    compared: bool = True
    onset: Onset | None = None
    already: Already | None = None
    recovered: bool = False
    recovered_at: int | None = None
    sizes: Sizes | None = None
    effect: Effect | None = None
    power: Power | None = None
    beside: Beside | None = None
    coverage: Coverage | None = None
    recurrence: Recurrence | None = None
    first_weekend: bool = False
    mismatch: str = ""
    notes: tuple[str, ...] = ()
    evidence: Evidence = field(default_factory=Evidence)


@dataclass(frozen=True, slots=True)
class Past:
    """What is kept of a history of so many `rows`, all `(series,)`: how many `steps` have a value,
    which `share` of those from the first one on (1 without any), the `least` and the `most` of
    these, their `mean` by volume (NaN where there is none), whether they `grow` all the time, and
    how many are `idle`: with a denominator of 0."""

    rows: int
    steps: Ints
    share: Floats
    least: Floats
    most: Floats
    mean: Floats
    grow: Bools
    idle: Ints

    @classmethod
    def of_history(cls, history: Block) -> Past:
        """What is kept of these data."""
        value, present = history.value, history.present
        has_value = np.isfinite(value)
        steps = has_value.sum(axis=1)
        with np.errstate(all="ignore"):
            volume = np.where(present, history.volume, 0.0).sum(axis=1)
            return cls(
                rows=value.shape[1],
                steps=steps,
                share=np.where(steps > 0, steps / (value.shape[1] - has_value.argmax(axis=1)), 1.0),
                least=np.fmin.reduce(value, axis=1, initial=np.nan),
                most=np.fmax.reduce(value, axis=1, initial=np.nan),
                mean=np.where(present, history.amount, 0.0).sum(axis=1) / volume,
                grow=np.array([only_grows(each) for each in value], dtype=bool),
                idle=idle(history),
            )

    def of(self, keep: Ints) -> Past:
        """The past of some series."""
        return Past(self.rows, *(getattr(self, name)[keep] for name in PER_SERIES))

    @classmethod
    def together(cls, parts: Sequence[Past]) -> Past:
        """The past of the series of several panels with the same rows."""
        return cls(
            parts[0].rows,
            *(np.concatenate([getattr(part, name) for part in parts]) for name in PER_SERIES),
        )


def idle(series: Block) -> Ints:
    """In how many steps the denominator of each series is 0."""
    if not series.ratio.any():
        return np.zeros(len(series.keys), dtype=int)
    is_idle: Ints = (series.present & (series.volume == 0)).sum(axis=1)
    return is_idle


PER_SERIES = tuple(each.name for each in fields(Past) if each.name != "rows")


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores in the order of `keys` (None: nothing to judge), the scored points, what is kept of
    the `past`, and the data after the release. `before` holds what was expected of the last steps
    before it.

    `usual_presence` `(series,)` is the share of steps that have a sample at the observation's time
    of the day or week, `missed` `(series,)` how many samples would have been usual between the last
    one of the history and its end. `replayed` `(series, placebo releases)` are the combined scores
    at the same placebo releases (see `joint_replay`), `held_out` `(series, placebo releases)` the
    p-values at those of the last part of the history (see `held_out_replay`; none where nobody
    asked).
    """

    keys: tuple[tuple[str, str], ...]
    scores: tuple[Score | None, ...]
    usual_presence: Floats
    missed: Floats
    replayed: Floats
    held_out: Floats
    points: LongForm
    before: LongForm
    past: Past
    observation: Block

    def of(self, keep: Sequence[int]) -> Scored:
        """The scores of some series."""
        rows = np.array(keep, dtype=int)
        return Scored(
            keys=tuple(self.keys[i] for i in keep),
            scores=tuple(self.scores[i] for i in keep),
            usual_presence=self.usual_presence[rows],
            missed=self.missed[rows],
            replayed=self.replayed[rows],
            held_out=self.held_out[rows],
            points=self.points.of(rows),
            before=self.before.of(rows),
            past=self.past.of(rows),
            observation=self.observation.of(rows),
        )

    @classmethod
    def together(cls, parts: Sequence[Scored]) -> Scored:
        """The scores of all the series of several panels over the same steps."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            keys=tuple(key for part in parts for key in part.keys),
            scores=tuple(score for part in parts for score in part.scores),
            usual_presence=np.concatenate([part.usual_presence for part in parts]),
            missed=np.concatenate([part.missed for part in parts]),
            replayed=_as_wide([part.replayed for part in parts]),
            held_out=_as_wide([part.held_out for part in parts]),
            points=LongForm.together([part.points for part in parts]),
            before=LongForm.together([part.before for part in parts]),
            past=Past.together([part.past for part in parts]),
            observation=Block.together([part.observation for part in parts]),
        )


def _as_wide(parts: Sequence[Floats]) -> Floats:
    """Replays of several panels as one, with NaN for panels to which no question was put."""
    width = max(part.shape[1] for part in parts)
    return np.concatenate(
        [part if part.shape[1] else np.full((len(part), width), np.nan) for part in parts]
    )
