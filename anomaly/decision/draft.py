"""Drafts: what is known of each series before the verdicts, and why some can't have one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from anomaly.baseline.robust import ROUNDING, Floats
from anomaly.decision.progress import WatchProgress
from anomaly.model import Coverage, Empty, Kpi, KpiKind, NoData, Verdict
from anomaly.scoring.scored import Score, Scored, idle
from anomaly.wording import number, within_band

# steps with data before the release; with 12, 2 to 5 % of quiet series would alarm at 1 %
MIN_HISTORY = 16
MIN_COVERAGE = 0.5  # of the steps that usually have a sample
MOSTLY_SILENT = 0.1  # share of steps with a sample below which none is nothing to wonder at
SILENCE = 0.01  # p-value under which no sample at all is no data before the watch is over
NOTHING = "no samples before or after the release"
SILENT_BEFORE = 5.0  # samples missing right before the release: chance leaves out so many in 0.7 %
# in the history: with fewer what they say of each other is half belief (`PRIOR` in
# `anomaly/scoring/effect.py`)
FEW_WATCHES = 10
FEWEST_WEEKS, SURE_OF_WEEK = timedelta(days=13.3), timedelta(days=20.5)  # of history
SATURDAY = 5
CLEARLY_OFF = 0.95  # coverage of a band that promises 99 %: five times as many steps are outside


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a series can't be judged, and the verdict that says so."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What is known of one series before its verdict.

    `segment` is text, empty for a KPI without segments and for the total of them (`is_total`).
    `steps` is the number of steps with a sample since the release, `volume` their sum. A series
    without a `refusal` has a `score` with sizes, and a p-value that is valid for the whole watch,
    as is `p_exact`, see `Score`. `new_steps` and `new_events` are those of `Evidence`.
    """

    kpi: Kpi
    weight: float
    segment: str = ""
    is_total: bool = False
    steps: int = 0
    volume: float | None = None
    score: Score | None = None
    p_value: float | None = None
    p_exact: float = 0.0
    notes: tuple[str, ...] = ()
    refusal: Refusal | None = None
    new_steps: int | None = None
    new_events: float | None = None

    @property
    def is_judgeable(self) -> bool:
        return self.refusal is None

    @property
    def counts(self) -> bool:
        """Whether the series has a say in the verdict about the release."""
        return not self.kpi.dry_run and not self.kpi.control_for


def draft(kpi: Kpi, weight: float, scored: Scored, row: int, progress: WatchProgress) -> Draft:
    """The draft of one row of what was scored."""
    past, observation = scored.past, scored.observation
    segment, score = scored.keys[row][1], scored.scores[row]
    before, steps = int(past.steps[row]), int(observation.present[row].sum())
    amounts = observation.volume[row] if observation.ratio[row] else observation.amount[row]
    volume = _total(amounts)
    p = None
    if score is not None and before >= MIN_HISTORY:
        p = progress.over_the_watch(score.p_bad)
    refusal = (
        _silence(kpi, scored, row, p, progress)
        if steps == 0
        else _impossible(kpi, np.array([past.least[row], past.most[row]]), observation.value[row])
        or _cumulative(grows=bool(past.grow[row]))
        or _idle(int(past.idle[row]), before, int(idle(observation.of(np.array([row])))[0]), steps)
        or _too_little(
            kpi, score, before, steps, float(scored.usual_presence[row]), volume, progress
        )
        or _nothing_to_compute(score, steps, progress)
    )
    usually = float(past.share[row])
    new_steps, new_events = _new(kpi, scored, row)
    is_open = steps == 0 and refusal is not None and refusal.verdict is Verdict.INCONCLUSIVE
    return Draft(
        kpi=kpi,
        weight=weight,
        segment=segment,
        is_total=bool(kpi.by) and not segment,
        steps=steps,
        volume=volume,
        score=score,
        p_value=None if is_open else p,
        p_exact=0.0 if score is None else progress.over_the_watch(score.p_exact),
        notes=()
        if refusal is not None or score is None
        else (
            *score.notes,
            *([score.mismatch] if score.mismatch else ()),
            *_of_history(before, usually, progress),
            *_of_weeks(before / usually * progress.step, score.evidence.season or (), progress),
            *_of_band(score.coverage),
        ),
        refusal=refusal,
        new_steps=new_steps,
        new_events=new_events,
    )


def _new(kpi: Kpi, scored: Scored, row: int) -> tuple[int | None, float | None]:
    """In how many steps there was something since the release of a segment that had nothing before
    it, and how often, where that is a count; None of any other series."""
    past, since = scored.past, scored.observation
    amounts = since.amount[row][since.present[row]]
    had_nothing = past.steps[row] == 0 or past.least[row] == past.most[row] == 0
    if not scored.keys[row][1] or not had_nothing or not (amounts > 0).any():
        return None, None
    is_count = bool(since.ratio[row]) or kpi.kind is KpiKind.COUNTS or kpi.empty is Empty.ZERO
    return int((amounts > 0).sum()), _total(amounts) if is_count else None


def _total(amounts: Floats) -> float:
    """Their sum; the largest number there is where it is larger."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(np.nansum(amounts))
    return total if math.isfinite(total) else float(np.nan_to_num(total))


# --- refusals -----------------------------------------------------------------------------------


def _silence(
    kpi: Kpi, scored: Scored, row: int, p: float | None, progress: WatchProgress
) -> Refusal | None:
    """No sample since the release: missing data once that is certain, an open end before."""
    before, missed = int(scored.past.steps[row]), float(scored.missed[row])
    if before == 0:
        return Refusal(Verdict.NO_DATA, NOTHING) if scored.keys[row][1] else nothing(kpi)
    if scored.usual_presence[row] < MOSTLY_SILENT:
        return Refusal(
            Verdict.INCONCLUSIVE, "no samples since the release, as at this time on other days"
        )
    if missed >= SILENT_BEFORE:  # no release ends what had ended
        return Refusal(
            Verdict.INCONCLUSIVE if kpi.no_data is NoData.FAIL else Verdict.NO_DATA,
            f"no samples since the release, and the last {missed:.0f} before it are missing, too",
        )
    if progress.final or (p is not None and p < SILENCE):
        return Refusal(Verdict.NO_DATA, f"no samples since the release, {before} before it")
    return Refusal(Verdict.INCONCLUSIVE, f"nothing so far, 0 of {progress.planned} steps")


def nothing(kpi: Kpi) -> Refusal:
    """No sample on either side: where that would fail the release, the checklist is wrong, not the
    release."""
    if kpi.no_data is NoData.FAIL:
        return Refusal(
            Verdict.ERROR,
            f"{NOTHING}; correct the query, or the KPI's name, and look at the source",
        )
    return Refusal(Verdict.NO_DATA, NOTHING)


def _impossible(kpi: Kpi, *sides: Floats) -> Refusal | None:
    """A value that the KPI's kind can't have."""
    least, most = kpi.limits
    for side in sides:
        rounding = ROUNDING * np.nanmax(np.abs(side), initial=0.0)
        strange = side[(side < least - rounding) | (side > most + rounding)]
        if len(strange):
            bounds = (
                f"from {number(least)} to {number(most)}"
                if most < math.inf
                else f"at least {number(least)}"
            )
            return Refusal(
                Verdict.INCONCLUSIVE,
                f"a value of {number(float(strange[0]))} is impossible for kind {kpi.kind} "
                f"({bounds}); correct the query, the unit or the kind",
            )
    return None


def _cumulative(*, grows: bool) -> Refusal | None:
    """A value that counts on from step to step: its level says how old it is."""
    if not grows:
        return None
    return Refusal(
        Verdict.INCONCLUSIVE,
        "it only grows, as a counter does, so its level says nothing; judge what it grows by in a "
        "step: increase() in PromQL, LAG() in SQL, diff() in pandas",
    )


def _idle(idle_before: int, before: int, idle_since: int, steps: int) -> Refusal | None:
    """A denominator that is 0 in every step of a side: nothing is a share of it."""
    never = idle_before > 0 and before == 0
    sides = [f"in all {idle_before} steps before the release"] if never else []
    sides += [f"in all {steps} steps since the release"] if idle_since == steps else []
    if not sides:
        return None
    advice = "; look at its query, or judge the count alone" if never else ""
    return Refusal(
        Verdict.INCONCLUSIVE,
        f"the denominator is 0 {' and '.join(sides)}, so there is no ratio{advice}",
    )


def _too_little(
    kpi: Kpi,
    score: Score | None,
    before: int,
    steps: int,
    usual: float,
    volume: float,
    progress: WatchProgress,
) -> Refusal | None:
    """Too little history, volume or data; `usual` is the share of steps that usually have a
    sample."""
    need = math.ceil(MIN_COVERAGE * usual * progress.steps)
    reason = ""
    if before == 0:
        reason = "no baseline: first seen after the release"
    elif before < MIN_HISTORY:
        reason = (
            f"too little history: {before} steps with data before the release, need {MIN_HISTORY}"
        )
    elif kpi.min_volume > 0 and volume < kpi.min_volume:
        reason = (
            f"too little volume: {number(volume)} since the release, need {number(kpi.min_volume)}"
        )
    elif steps < need and not (score is not None and score.gaps):
        reason = f"{steps} of {progress.steps} steps present, need {need}"
    return Refusal(Verdict.INCONCLUSIVE, reason) if reason else None


def _nothing_to_compute(score: Score | None, steps: int, progress: WatchProgress) -> Refusal | None:
    """No usable value, or so few that they can't be compared with the history."""
    what = "none a usable value"
    if score is not None and score.sizes is not None:
        if score.compared:
            return None
        what = "too few to compare with the history"
    return Refusal(
        Verdict.INCONCLUSIVE,
        f"nothing to judge: {steps} of {progress.steps} steps have data, {what}",
    )


# --- notes --------------------------------------------------------------------------------------


def _of_history(before: int, usually: float, progress: WatchProgress) -> tuple[str, ...]:
    """A note where the history holds so few watches that bounds are wider for it; `usually` is the
    share of steps that have data."""
    watches = int(before / usually / progress.planned)
    if watches >= FEW_WATCHES:
        return ()
    return (
        f"short history: {number(before)} steps are only {watches} watches of {progress.planned}, "
        "so the intervals are wider",
    )


def _of_weeks(
    history: timedelta, season: Sequence[str], progress: WatchProgress
) -> tuple[str, ...]:
    """A note where a longer history would say more of the week."""
    days = f"{history / timedelta(days=1):.0f} days"
    if "week" in season:
        sure = history >= SURE_OF_WEEK
        return () if sure else (f"the week rests on {days}; with three weeks it is surer",)
    if history >= FEWEST_WEEKS or all(start.weekday() < SATURDAY for start in progress.starts):
        return ()
    return (f"{days} of history can't tell a weekend from a change; two weeks can",)


def _of_band(coverage: Coverage | None) -> tuple[str, ...]:
    """A note where the band held clearly fewer past steps than it promises."""
    if coverage is None or coverage.share >= CLEARLY_OFF:
        return ()
    return (f"only {within_band(coverage)}; read its flags with care",)
