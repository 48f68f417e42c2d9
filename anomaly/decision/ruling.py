"""Rulings: the verdict about one series, from its score, the alpha it was given, its controls and
the mix."""

from __future__ import annotations

from dataclasses import dataclass, replace

from anomaly.decision import reasons
from anomaly.decision.case import Case, OnsetTime
from anomaly.model import WELL, ChangeKind, Direction, Verdict
from anomaly.scoring.controlled import MOVED
from anomaly.scoring.scored import Beside
from anomaly.scoring.sizes import Sizes

LEVEL_KINDS = frozenset({ChangeKind.LEVEL, ChangeKind.RAMP})
# Factors between units: minutes, percent, thousands, kibi, hours, millions, billions.
UNITS = (60, 100, 1e3, 1024, 3600, 1e6, 1e9)
STEP_AS_RISE = 1.5  # the growth of a line through a step in the middle, as a share of the step
THOUSAND = 1e3
WEEKENDS_RISE = 2.0  # more than three times as much is not what comes with a weekend
UNIT_ROUNDING = 0.03  # how far from such a factor a change may be to look like it
UNIT_DOUBT = 0.1  # half of the interval of a factor that is certain, as a share of the larger side


@dataclass(frozen=True, slots=True)
class Ruling:
    """The verdict about one series and the reason for it; `kind` and `onset` are those of a change
    that is reported."""

    verdict: Verdict
    reason: str
    kind: ChangeKind | None = None
    onset: OnsetTime | None = None


def rule(case: Case) -> Ruling:
    """The verdict about a series that can be judged. Arms of a split that do not compare prove no
    release harmless."""
    ruling = _by_its_data(case)
    if case.score.mismatch and ruling.verdict in WELL:
        return replace(ruling, verdict=Verdict.INCONCLUSIVE, reason=case.score.mismatch)
    return ruling


def _by_its_data(case: Case) -> Ruling:
    if case.kpi.control_for:
        return _of_control(case)
    if case.p_value >= case.alpha:
        return _not_worse(case)
    if case.score.gaps:
        return _missing(case)
    return _worse(case)


def _of_control(case: Case) -> Ruling:
    """What became of a control: nothing that the release could have done."""
    if case.score.p_bad >= MOVED:
        return _nothing_found(case, reasons.size_and_p(case))
    change = reasons.change(case, case.kind, case.onset, with_p=True)
    reason = f"moved, though the release cannot have touched it: {change}"
    return Ruling(Verdict.INCONCLUSIVE, reason, case.kind, case.onset)


def _not_worse(case: Case) -> Ruling:
    """No bad change is significant: it was that of the controls too, or the KPI improved, or
    nothing was found."""
    beside = case.score.beside
    if beside is not None and case.is_significant(min(beside.p_taught, beside.p_alone)):
        return _with_controls(case, beside)
    is_better = case.is_significant(case.score.p_good)
    own = case.at_usual_mix
    # what was worse just before the release need not be better than usual
    is_sure = _is_certain(own) and not _is_mix(case)
    is_good = is_sure and _matters(case, own) and not _is_bad(case, own)
    if is_better and is_good:
        return _change(case, Verdict.IMPROVED, case.kind)
    has_mix = case.mix_effect is not None
    by_mix = has_mix and is_better and _matters(case, case.sizes) and not is_good
    return _nothing_found(case, reasons.size_and_p(case), by_mix=by_mix)


def _with_controls(case: Case, beside: Beside) -> Ruling:
    """No regression, though it would be one without the controls that moved: the KPI moved with
    them, or they without the KPI."""
    if not case.is_significant(beside.p_alone):
        return Ruling(Verdict.INCONCLUSIVE, reasons.controls_alone(case, beside))
    if beside.move is None and case.is_significant(beside.p_taught):
        return Ruling(Verdict.INCONCLUSIVE, reasons.controls_likewise(case, beside), case.kind)
    reason = f"{reasons.size_and_p(case)}, compared with controls: {reasons.moved_controls(beside)}"
    return _nothing_found(case, reason)


def _missing(case: Case) -> Ruling:
    """More steps are missing than usual: no data, unless the gap is over."""
    reason, end = reasons.gaps(case), case.score.recovered_at
    if end is None:
        return Ruling(Verdict.NO_DATA, reason, onset=case.onset)
    reason += reasons.recovered_at(case, end)
    return Ruling(Verdict.RECOVERED, reason, onset=case.onset)


def _worse(case: Case) -> Ruling:
    """A significant change: a regression if it is of a kind that always matters, or large
    enough."""
    own, is_mix = case.at_usual_mix, _is_mix(case)
    # a mix that moves the level changes the seasonality and the spread with it
    is_explained = is_mix and _is_certain(case.sizes)
    matters = (
        not is_explained
        if case.kind not in LEVEL_KINDS
        else (
            _matters(case, _until_recovered(case, own)) or case.is_significant(case.score.p_beyond)
        )
        and _is_bad(case, own)
        and not is_mix
    )
    if not matters and not is_explained and _grows(case):
        return _change(case, _answer(case), ChangeKind.RAMP, reasons.rise(case))
    if not matters and (is_explained or not case.is_significant(case.score.p_other)):
        has_mix = case.mix_effect is not None
        by_mix = is_explained or (
            _matters(case, case.sizes) and _is_bad(case, case.sizes) and has_mix
        )
        reason = reasons.size_and_p(case)
        if not by_mix:
            within = "within" if _is_within(case) else "not surely beyond"
            reason = f"{reason}, {within} {reasons.tolerance(case.kpi)}"
        return _nothing_found(case, reason, by_mix=by_mix)
    kind, more = (case.kind if matters else ChangeKind.SHAPE), ""
    if kind in LEVEL_KINDS and not _is_certain(case.sizes) and _grows(case):
        kind, more = ChangeKind.RAMP, reasons.rise(case)
    return _change(case, _answer(case), kind, more)


def _answer(case: Case) -> Verdict:
    return Verdict.RECOVERED if case.score.recovered else Verdict.REGRESSED


def _grows(case: Case) -> bool:
    """Whether the KPI grows faster than usual, by more than tolerance and floor, though its level
    is not surely worse: as memory that leaks from a restart on."""
    rise, own = case.score.rise, case.at_usual_mix
    if rise is None or not case.is_significant(rise.p_value):
        return False
    if _is_certain(own) and _is_bad(case, own):  # then its level counts
        return False
    tolerable = max(case.kpi.floor, case.kpi.tolerance * abs(case.sizes.expected))
    return abs(rise.absolute) > STEP_AS_RISE * tolerable


def _change(case: Case, answer: Verdict, kind: ChangeKind | None, more: str = "") -> Ruling:
    """A change with its verdict, unless it began before the release."""
    onset = case.onset
    if case.score.onset is not None and case.score.onset.earlier:
        return Ruling(Verdict.INCONCLUSIVE, reasons.began_earlier(case, onset), kind, onset)
    is_level = kind in LEVEL_KINDS or _is_certain(case.sizes)
    may_be_calendars = answer is not Verdict.IMPROVED and is_level
    if may_be_calendars and case.score.recurrence is not None:
        reason = reasons.recurred(case, case.score.recurrence)
        return Ruling(Verdict.INCONCLUSIVE, reason, kind, onset)
    if may_be_calendars and case.score.first_weekend and _is_of_weekends(case):
        return Ruling(Verdict.INCONCLUSIVE, reasons.first_weekend(case), kind, onset)
    reason = reasons.change(case, kind, onset, with_p=answer is not Verdict.IMPROVED) + more
    factor = unit_factor(case.sizes)
    if factor is not None and kind in LEVEL_KINDS:
        reason += reasons.unit(factor)
        is_doubtful = max(factor, 1 / factor) >= THOUSAND  # errors may well fall by 99 %
        if answer is Verdict.IMPROVED and is_doubtful:
            answer = Verdict.INCONCLUSIVE
    if answer is Verdict.RECOVERED and case.score.recovered_at is not None:
        reason += reasons.recovered_at(case, case.score.recovered_at)
    if case.score.beside is not None:
        reason += f"; although {reasons.moved_controls(case.score.beside)}"
    return Ruling(answer, reason, kind, onset)


def _is_of_weekends(case: Case) -> bool:
    """Whether a change is no larger than a weekend can make it: nothing, or some times as much."""
    relative = case.sizes.relative
    return relative is not None and relative < WEEKENDS_RISE


def _nothing_found(case: Case, reason: str, *, by_mix: bool = False) -> Ruling:
    """Nothing found, but that the mix moved the total (`by_mix`): `ok` once the watch is over,
    still open before, and where it was already bad."""
    progress, already = case.progress, case.score.already
    if already is not None and not case.kpi.control_for:
        began = case.time_of(already.onset)
        why = reasons.was_already(case, already, began)
        return Ruling(Verdict.INCONCLUSIVE, why, ChangeKind.LEVEL, began)
    if not progress.final:
        return Ruling(
            Verdict.INCONCLUSIVE, f"nothing so far, {progress.steps} of {progress.planned} steps"
        )
    return Ruling(Verdict.OK, reason, ChangeKind.MIX if by_mix else None)


# --- how large ----------------------------------------------------------------------------------


def _until_recovered(case: Case, sizes: Sizes) -> Sizes:
    """The sizes that a change had until it was over: the normal steps after it must not dilute
    it."""
    if case.score.recovered_at is None:
        return sizes
    times = case.progress.steps / case.score.recovered_at
    low, high = sizes.absolute_interval
    return replace(
        sizes, absolute=sizes.absolute * times, absolute_interval=(low * times, high * times)
    )


def _is_bad(case: Case, sizes: Sizes) -> bool:
    if case.kpi.direction is Direction.EITHER:
        return True
    return (sizes.absolute > 0) == (case.kpi.direction is Direction.UP)


def _matters(case: Case, sizes: Sizes) -> bool:
    """Whether the near end of the effect's interval is beyond tolerance and floor."""
    low, high = sizes.absolute_interval
    if low <= 0 <= high:
        return case.kpi.tolerance == 0 and case.kpi.floor == 0
    near = min(abs(low), abs(high))
    return near >= case.kpi.floor and near >= case.kpi.tolerance * abs(sizes.expected)


def unit_factor(sizes: Sizes) -> float | None:
    """By which factor the level changed, if that is the one between two units; else None."""
    if sizes.relative_interval is None or sizes.expected <= 0 or sizes.observed <= 0:
        return None
    factor = sizes.observed / sizes.expected
    low, high = sizes.relative_interval
    if (high - low) / 2 > UNIT_DOUBT * max(factor, 1.0):
        return None
    times = max(factor, 1 / factor)
    near = [unit for unit in UNITS if abs(times / unit - 1) < UNIT_ROUNDING]
    return None if not near else near[0] if factor > 1 else 1 / near[0]


def _is_within(case: Case) -> bool:
    """Whether the whole interval of the effect is within tolerance or floor."""
    far = max(map(abs, case.sizes.absolute_interval))
    return far <= max(case.kpi.floor, case.kpi.tolerance * abs(case.sizes.expected))


def _is_mix(case: Case) -> bool:
    """Whether the mix moved a total more than its segments did, whose own part is not significant
    at the total's alpha."""
    if case.mix_effect is None or case.score.effect is None:
        return False
    own = case.at_usual_mix
    low, high = own.absolute_interval
    half = own.absolute - low if own.absolute > 0 else high - own.absolute
    stricter = case.score.effect.stricter(case.alpha * case.progress.share)
    return abs(own.absolute) <= min(abs(case.mix_effect), half * stricter)


def _is_certain(sizes: Sizes) -> bool:
    """Whether the interval of the effect leaves no doubt about its sign."""
    low, high = sizes.absolute_interval
    return not low <= 0 <= high
