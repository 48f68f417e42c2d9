"""Decision: which findings count against the release, and what that makes of it.

The share of harmless releases that may fail, `false_alarms`, is spent once over all KPIs and all
looks of the watch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType

import numpy as np

from anomaly.baseline.robust import Bools, Floats
from anomaly.decision.mix import Makeup, at_usual_mix, explained, placed
from anomaly.decision.multiplicity import Among, among
from anomaly.errors import CollectError
from anomaly.model import (
    UNJUDGED,
    ChangeKind,
    Correction,
    Coverage,
    Direction,
    Finding,
    Flagged,
    Kpi,
    Release,
    ReleaseVerdict,
    Verdict,
)
from anomaly.panel import segment_labels
from anomaly.scoring.controlled import MOVED
from anomaly.scoring.onset import Onset
from anomaly.scoring.score import Beside, Score, Scored
from anomaly.wording import clock, number, onset, p_value, percent, quantity, relative, within_band

MIN_HISTORY = 16  # steps with data before the release
MIN_COVERAGE = 0.5  # of the steps that usually have a sample
SILENCE = 0.01  # p-value under which no sample at all is no data before the watch is over
NOTHING = "no samples, neither before nor after the release"
# in the history: with fewer what they say of each other is half belief (`PRIOR` in
# `anomaly/scoring/effect.py`)
FEW_WATCHES = 10
CLEARLY_OFF = 0.95  # coverage of a band that promises 99 %: five times as many steps are outside
LEVEL_KINDS = frozenset({ChangeKind.LEVEL, ChangeKind.RAMP})


@dataclass(frozen=True, slots=True)
class Look:
    """When the data are looked at: the `starts` of the steps so far, how many are planned, and
    whether this is the last look."""

    release: Release
    starts: tuple[datetime, ...]
    step: timedelta
    planned: int
    final: bool

    @property
    def steps(self) -> int:
        return len(self.starts)

    @property
    def share(self) -> float:
        return self.steps / self.planned

    def at(self, step: int) -> datetime:
        """When a step of the observation starts; a negative one is before it."""
        if 0 <= step < self.steps:
            return self.starts[step]
        return (
            self.starts[0] + step * self.step
            if step < 0
            else self.starts[-1] + (step - self.steps + 1) * self.step
        )


def decide(
    scored: Scored,
    kpis: Sequence[Kpi],
    usage: Mapping[str, float],
    look: Look,
    *,
    false_alarms: float,
    correction: Correction,
    spend: float = 1.0,
    makeups: Mapping[str, Makeup] = MappingProxyType({}),
) -> tuple[Finding, ...]:
    """A finding per series, in the order of the KPIs, a KPI's total first and its segments by what
    they contribute to its change.

    KPIs without a series and failed sources are the caller's. Of `false_alarms` the share `spend`
    may be spent. `makeups` say what the change of a KPI's total is made of.
    """
    by_name = {kpi.name: kpi for kpi in kpis}
    drafts = [
        _draft(by_name[name], result, scored, i, look, usage[name])
        for i, ((name, _), result) in enumerate(zip(scored.keys, scored.scores, strict=True))
    ]
    whole = {draft.kpi for draft in drafts if draft.total and draft.verdict is Verdict.OK}
    makeups = {kpi: makeup for kpi, makeup in makeups.items() if kpi in whole}
    drafts = [
        placed(draft, segment, makeups.get(kpi))
        for draft, (kpi, segment) in zip(drafts, scored.keys, strict=True)
    ]
    windows = len(scored.history.value[0]) // look.steps
    spent = among(
        drafts, by_name, usage, spend * false_alarms, correction, scored.replayed, windows
    )
    flags = _flags(scored, look)
    done = [
        _judge(_with_others(draft, each, spend), result, each.level, look, flags.get(key))
        for draft, result, each, key in zip(drafts, scored.scores, spent, scored.keys, strict=True)
    ]
    done.sort(key=lambda finding: (not finding.total, -abs(finding.contribution or 0.0)))
    of_each = ([finding for finding in done if finding.kpi == kpi.name] for kpi in kpis)
    return tuple(
        finding
        for mine in of_each
        for finding in explained(mine, makeups.get(mine[0].kpi) if mine else None)
    )


def _with_others(draft: Finding, among_all: Among, spend: float) -> Finding:
    return (
        draft
        if among_all.p_release is None
        else replace(draft, p_release=min(1.0, among_all.p_release / spend))
    )


def unanswered(kpi: Kpi, weight: float, look: Look, error: CollectError) -> Finding:
    """The finding of a KPI whose source failed."""
    return _about(kpi, {}, weight, look.planned, Verdict.ERROR, str(error))


def unjudged(kpi: Kpi, weight: float, look: Look, steps: int) -> Finding:
    """The finding of a KPI that has no series, or whose panel is too short to learn from; `steps`
    have data."""
    if steps == 0:
        return _about(kpi, {}, weight, look.planned, Verdict.NO_DATA, NOTHING)
    if look.steps == 0:
        return _about(
            kpi,
            {},
            weight,
            look.planned,
            Verdict.INCONCLUSIVE,
            f"nothing so far, 0 of {look.planned} steps",
        )
    return _about(
        kpi,
        {},
        weight,
        look.planned,
        Verdict.INCONCLUSIVE,
        (
            f"too little history: {steps} steps with data in all, need {MIN_HISTORY} before the "
            "release"
        ),
    )


def opened(findings: Sequence[Finding], reason: str, look: Look) -> tuple[Finding, ...]:
    """The findings, those that would pass left open, for too little was judged."""
    passing = frozenset(Verdict) - UNJUDGED - {Verdict.REGRESSED}
    return tuple(
        replace(each, verdict=Verdict.INCONCLUSIVE, reason=reason)
        if each.verdict in passing or (each.verdict is Verdict.INCONCLUSIVE and not look.steps)
        else each
        for each in findings
    )


def without_occasions(
    findings: Sequence[Finding], left_out: Sequence[str], look: Look
) -> tuple[Finding, ...]:
    """The findings of a watch some of whose steps were not judged, and why (`left_out`): most must
    be there for a pass."""
    if not len(left_out):
        return tuple(findings)
    of, why = look.steps + len(left_out), ", ".join(dict.fromkeys(left_out))
    if look.final and not look.steps:
        none = f"none of the {of} steps of the watch is judged: {why}, nothing in the past compares"
        return tuple(replace(each, steps_planned=of) for each in opened(findings, none, look))
    note = f"{len(left_out)} of {of} steps are not judged: {why}"
    out = [replace(finding, notes=(*finding.notes, note)) for finding in findings]
    if not look.final or look.steps >= math.ceil(MIN_COVERAGE * of):
        return tuple(out)
    return opened(
        out,
        f"{note}, nothing in the past compares; need {math.ceil(MIN_COVERAGE * of)} others to pass",
        look,
    )


def verdict(findings: Sequence[Finding], *, final: bool = True) -> ReleaseVerdict:
    """What the findings make of the release; missing evidence, or a watch that is not over
    (`final`), is never a pass."""
    counted = [f for f in findings if f.counts]
    if any(f.fails for f in findings):
        return ReleaseVerdict.FAIL
    errors = [f for f in counted if f.verdict is Verdict.ERROR]
    if any(f.critical for f in errors) or (errors and len(errors) == len(counted)):
        return ReleaseVerdict.ERROR
    judged = [f for f in counted if f.verdict in (Verdict.OK, Verdict.IMPROVED, Verdict.RECOVERED)]
    return (
        ReleaseVerdict.PASS
        if final and judged and not any(f.is_open for f in findings)
        else ReleaseVerdict.INCONCLUSIVE
    )


def _about(
    kpi: Kpi, segment: Mapping[str, str], weight: float, planned: int, answer: Verdict, reason: str
) -> Finding:
    return Finding(
        kpi=kpi.name,
        verdict=answer,
        reason=reason,
        segment=dict(segment),
        weight=weight,
        unit=kpi.unit,
        direction=kpi.direction,
        tolerance=kpi.tolerance,
        floor=kpi.floor,
        critical=kpi.critical,
        dry_run=kpi.dry_run,
        control_for=kpi.control_for,
        no_data=kpi.no_data,
        query=kpi.query,
        denominator=kpi.denominator,
        steps_planned=planned,
    )


def _draft(
    kpi: Kpi, result: Score | None, scored: Scored, i: int, look: Look, weight: float
) -> Finding:
    """The finding before the family is looked at: `ok`, with a p-value, where the data can carry a
    verdict."""
    history, observation = scored.history, scored.observation
    before, steps = int(np.isfinite(history.value[i]).sum()), int(observation.present[i].sum())
    volume = _total(observation.volume[i] if observation.ratio[i] else observation.amount[i])
    about = _about(
        kpi, segment_labels(scored.keys[i][1]), weight, look.planned, Verdict.INCONCLUSIVE, ""
    )
    draft = replace(
        about,
        steps=steps,
        volume=volume,
        total=bool(kpi.by) and not about.segment,
        coverage=None if result is None else result.coverage,
    )
    p = None if result is None or before < MIN_HISTORY else _over_the_watch(result.p_bad, look)
    if steps == 0:
        return _silent(draft, before, p, look)
    hindrance = _impossible(kpi, history.value[i], observation.value[i]) or _hindrance(
        kpi, result, before, steps, _usual_coverage(history.present[i]), volume, look
    )
    if hindrance or result is None or result.sizes is None:
        return replace(
            draft,
            p_value=p,
            reason=hindrance
            or (
                f"nothing to judge: {steps} of {look.steps} steps present, none with a value to "
                "compute with"
            ),
        )
    sizes = result.sizes
    return replace(
        draft,
        verdict=Verdict.OK,
        p_value=p,
        kind=result.kind,
        observed=sizes.observed,
        expected=sizes.expected,
        effect=sizes.relative,
        effect_interval=sizes.relative_interval,
        effect_absolute=sizes.absolute,
        effect_absolute_interval=sizes.absolute_interval,
        notes=(*result.notes, *_of_history(before, look), *_of_band(result.coverage)),
        evidence=dict(result.evidence),
    )


def _of_history(before: int, look: Look) -> tuple[str, ...]:
    """A note where the history holds so few watches that bounds are wider for it."""
    watches = before // look.planned
    if watches >= FEW_WATCHES:
        return ()
    return (
        (
            f"short history: {number(before)} steps hold {watches} watches of {look.planned}, so "
            "the "
            "bounds are wider"
        ),
    )


def _of_band(coverage: Coverage | None) -> tuple[str, ...]:
    """A note where the band held clearly fewer past steps than it promises."""
    return (
        ()
        if coverage is None or coverage.share >= CLEARLY_OFF
        else (f"only {within_band(coverage)}; read its flags with care",)
    )


def _total(amounts: Floats) -> float:
    """Their sum; the largest number there is where it is larger."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.nan_to_num(np.nansum(amounts)))


def _silent(draft: Finding, before: int, p: float | None, look: Look) -> Finding:
    """No sample since the release: missing data once that is certain, an open end before."""
    if before == 0:
        return replace(draft, verdict=Verdict.NO_DATA, reason=NOTHING)
    if look.final or (p is not None and p < SILENCE):
        return replace(
            draft,
            verdict=Verdict.NO_DATA,
            p_value=p,
            reason=f"no samples since the release, {before} before it",
        )
    return replace(draft, reason=f"nothing so far, 0 of {look.planned} steps")


def _usual_coverage(present: Bools) -> float:
    """Share of the steps that have a sample, since the first that has; 1 without any."""
    return float(present[int(present.argmax()) :].mean()) if present.any() else 1.0


def _impossible(kpi: Kpi, *sides: Floats) -> str:
    """Which value the KPI's kind can't have; empty if all are possible."""
    least, most = kpi.limits
    for side in sides:
        strange = side[(side < least) | (side > most)]
        if len(strange):
            bounds = (
                f"from {number(least)} to {number(most)}"
                if most < math.inf
                else f"at least {number(least)}"
            )
            return (
                f"a value of {number(float(strange[0]))}, but its kind is {kpi.kind}: "
                f"{bounds}; mend the query, the unit or the kind"
            )
    return ""


def _hindrance(
    kpi: Kpi, result: Score | None, before: int, steps: int, usual: float, volume: float, look: Look
) -> str:
    """Why there is not enough to say; empty if there is."""
    need = math.ceil(MIN_COVERAGE * usual * look.steps)
    if before == 0:
        return "no baseline: first seen after the release"
    if before < MIN_HISTORY:
        return (
            f"too little history: {before} steps with data before the release, need {MIN_HISTORY}"
        )
    if kpi.min_volume > 0 and volume < kpi.min_volume:
        return (
            f"too little volume: {number(volume)} of {number(kpi.min_volume)} over the observation"
        )
    if steps < need and not (result is not None and result.gaps):
        return f"{steps} of {look.steps} steps present, need {need}"
    return ""


def _over_the_watch(p: float, look: Look) -> float:
    """`p` made valid for every look of the planned watch: an early look may spend only as much as
    has been watched."""
    return float(min(1.0, p / look.share))


def _judge(
    draft: Finding, result: Score | None, level: float, look: Look, flagged: Flagged | None
) -> Finding:
    """The verdict of a draft that carries a p-value, at the `level` it has been given."""
    if draft.verdict is not Verdict.OK or result is None or draft.p_value is None:
        return draft
    if draft.control_for:
        return _control(replace(draft, flagged=flagged), result, look)
    relative_size, absolute_size = _detectable(result, level, draft, look)
    finding = replace(
        draft,
        level=level,
        flagged=flagged,
        detectable_effect=relative_size,
        detectable_absolute=absolute_size,
    )
    if draft.p_value < level:
        if result.gaps:
            gaps = _since(finding, result.onset, look)
            return replace(gaps, verdict=Verdict.NO_DATA, kind=None, reason=_gap_reason(gaps, look))
        return _moved(finding, result, level, look)
    return _nothing_bad(finding, result, level, look)


def _nothing_bad(finding: Finding, result: Score, level: float, look: Look) -> Finding:
    """The verdict where no bad change is significant: it was that of the controls too, or better,
    or nothing was found."""
    if (
        result.beside is not None
        and _over_the_watch(min(result.beside.p_taught, result.beside.p_alone), look) < level
    ):
        return _with_controls(finding, result.beside, level, look)
    better = _over_the_watch(result.p_good, look) < level
    own = at_usual_mix(finding)
    is_good = _matters(own) and not _is_bad(own) and not _is_mix(finding, result, level, look)
    if better and is_good:
        return _blamed(finding, result, Verdict.IMPROVED, look)
    by_mix = better and _matters(finding) and not is_good
    return _rest(
        finding, look, f"{_size(finding)}, {p_value(finding.p_value or 0.0)}", by_mix=by_mix
    )


def _control(finding: Finding, result: Score, look: Look) -> Finding:
    """What became of a control: nothing that the release could have done."""
    if result.p_bad < MOVED:
        moved = replace(_since(finding, result.onset, look), verdict=Verdict.INCONCLUSIVE)
        return replace(
            moved,
            reason=(
                f"moved, though the release cannot have touched it: {_change_reason(moved, look)}"
            ),
        )
    return _rest(
        finding, look, f"{_size(finding)}, {p_value(finding.p_value or 0.0)}", by_mix=False
    )


def _with_controls(finding: Finding, beside: Beside, level: float, look: Look) -> Finding:
    """No regression, though it would be one without the controls that moved: the KPI moved with
    them, or they without the KPI."""
    whose = _whose(beside)
    if _over_the_watch(beside.p_alone, look) >= level:
        reason = (
            f"{_size(finding)}, as its own past has it; but {whose}, and the two used to "
            "move together"
        )
        return replace(finding, verdict=Verdict.INCONCLUSIVE, kind=None, reason=reason)
    if beside.move is None and _over_the_watch(beside.p_taught, look) < level:
        kind = "" if finding.kind is None else f"{finding.kind}: "
        reason = (
            f"{kind}{_size(finding)}; but {whose} likewise, so that it can't be told what "
            "is the release's"
        )
        return replace(finding, verdict=Verdict.INCONCLUSIVE, reason=reason)
    return _rest(
        finding,
        look,
        f"{_size(finding)}, {p_value(finding.p_value or 0.0)}, beyond controls: {whose}",
        by_mix=False,
    )


def _whose(beside: Beside) -> str:
    """Which controls moved: `control orders_us moved -37.2 %`."""
    move = "" if beside.move is None else f" {relative(beside.move, None)}"
    return (
        f"{'control' if len(beside.controls) == 1 else 'controls'} "
        f"{', '.join(beside.controls)} moved{move}"
    )


def _detectable(
    result: Score, level: float, finding: Finding, look: Look
) -> tuple[float | None, float | None]:
    if result.power is None:
        return None, None
    found = result.power.detectable(
        level * look.share, finding.direction, finding.tolerance, finding.floor
    )
    return found if found is not None and math.isfinite(found[1]) else (None, None)


def _since(finding: Finding, onset: Onset | None, look: Look) -> Finding:
    if onset is None:
        return finding
    began, first, last = (look.at(step) for step in (onset.step, onset.first, onset.last))
    return replace(finding, onset=began, onset_interval=(first, last))


def _moved(finding: Finding, result: Score, level: float, look: Look) -> Finding:
    """A significant change: a regression if it is of a kind that always matters, or large
    enough."""
    own, is_mix = at_usual_mix(finding), _is_mix(finding, result, level, look)
    accounted = is_mix and _is_certain(
        finding
    )  # a mix that moves the level brings a rhythm and a spread of its own
    matters = (
        not accounted
        if finding.kind not in LEVEL_KINDS
        else _matters(_while_off(own, result, look)) and _is_bad(own) and not is_mix
    )
    if not matters and (accounted or _over_the_watch(result.p_other, look) >= level):
        by_mix = accounted or (_matters(finding) and _is_bad(finding) and own is not finding)
        size = f"{_size(finding)}, {p_value(finding.p_value or 0.0)}"
        return _rest(
            finding,
            look,
            size if by_mix else f"{size}, within {_tolerated(finding)}",
            by_mix=by_mix,
        )
    kind = finding.kind if matters else ChangeKind.SHAPE
    return _blamed(
        replace(finding, kind=kind),
        result,
        Verdict.RECOVERED if result.recovered else Verdict.REGRESSED,
        look,
    )


def _blamed(finding: Finding, result: Score, answer: Verdict, look: Look) -> Finding:
    """A change with its verdict, unless it began before the release."""
    since = replace(_since(finding, result.onset, look), verdict=answer)
    if result.onset is not None and result.onset.earlier:
        return replace(since, verdict=Verdict.INCONCLUSIVE, reason=_earlier_reason(since, look))
    over = ""
    if answer is Verdict.RECOVERED and result.recovered_at is not None:
        over = (
            ", as expected again from "
            f"{clock(look.at(result.recovered_at), look.release.started_at.date())}"
        )
    apart = "" if result.beside is None else f"; though {_whose(result.beside)}"
    return replace(since, reason=_change_reason(since, look) + over + apart)


def _while_off(finding: Finding, result: Score, look: Look) -> Finding:
    """The finding with the size that its change had until it was over: the calm after it must not
    hide that it was over the line."""
    if (
        result.recovered_at is None
        or finding.effect_absolute is None
        or finding.effect_absolute_interval is None
    ):
        return finding
    times = look.steps / result.recovered_at
    low, high = finding.effect_absolute_interval
    return replace(
        finding,
        effect_absolute=finding.effect_absolute * times,
        effect_absolute_interval=(low * times, high * times),
    )


def _rest(finding: Finding, look: Look, reason: str, *, by_mix: bool) -> Finding:
    """Nothing found, but that the mix moved the total: `ok` once the watch is over, still open
    before."""
    if not look.final:
        return replace(
            finding,
            verdict=Verdict.INCONCLUSIVE,
            kind=None,
            reason=f"nothing so far, {look.steps} of {look.planned} steps",
        )
    return replace(
        finding, verdict=Verdict.OK, kind=ChangeKind.MIX if by_mix else None, reason=reason
    )


def _is_bad(finding: Finding) -> bool:
    if finding.direction is Direction.EITHER or finding.effect_absolute is None:
        return True
    return (finding.effect_absolute > 0) == (finding.direction is Direction.UP)


def _matters(finding: Finding) -> bool:
    """Whether the near end of the effect's interval is beyond tolerance and floor."""
    if finding.effect_absolute_interval is None or finding.expected is None:
        return False
    low, high = finding.effect_absolute_interval
    if low <= 0 <= high:
        return finding.tolerance == 0 and finding.floor == 0
    near = min(abs(low), abs(high))
    return near >= finding.floor and near >= finding.tolerance * abs(finding.expected)


def _is_mix(finding: Finding, result: Score, level: float, look: Look) -> bool:
    """Whether the mix moved a total more than its segments did, whose own part is not significant
    at the total's level."""
    own = at_usual_mix(finding)
    if (
        own is finding
        or own.effect_absolute is None
        or own.effect_absolute_interval is None
        or result.effect is None
    ):
        return False
    size, (low, high) = abs(own.effect_absolute), own.effect_absolute_interval
    half = own.effect_absolute - low if own.effect_absolute > 0 else high - own.effect_absolute
    return size <= min(
        abs(finding.mix_effect or 0.0), half * result.effect.stricter(level * look.share)
    )


def _is_certain(finding: Finding) -> bool:
    """Whether the interval of the effect leaves no doubt about its sign."""
    low, high = finding.effect_absolute_interval or (0.0, 0.0)
    return not low <= 0 <= high


def _size(finding: Finding) -> str:
    if finding.effect is not None:
        return (
            f"{relative(finding.effect, finding.effect_interval)} vs expected "
            f"{quantity(finding.expected or 0.0, finding.unit)}"
        )
    if finding.effect_absolute is not None:
        low, high = finding.effect_absolute_interval or (
            finding.effect_absolute,
            finding.effect_absolute,
        )
        return (
            (
                f"{number(finding.effect_absolute)} [{number(low)}, {number(high)}] {finding.unit}"
            ).rstrip()
            + " vs expected "
            + quantity(finding.expected or 0.0, finding.unit)
        )
    return "size unknown"


def _tolerated(finding: Finding) -> str:
    parts = [f"tolerance {percent(finding.tolerance)}"] if finding.tolerance else []
    parts += [f"floor {quantity(finding.floor, finding.unit)}"] if finding.floor else []
    return " and ".join(parts) or "the uncertainty of its size"


def _change_reason(finding: Finding, look: Look) -> str:
    kind = "" if finding.kind in (ChangeKind.LEVEL, None) else f"{finding.kind}: "
    since = (
        ""
        if finding.onset is None
        else (
            ", since "
            f"{onset(finding.onset, finding.onset_interval, look.release.started_at.date())}"
        )
    )
    p = (
        ""
        if finding.verdict is Verdict.IMPROVED or finding.p_value is None
        else f", {p_value(finding.p_value)}"
    )
    tolerated = f", {_tolerated(finding)}" if finding.tolerance or finding.floor else ""
    return f"{kind}{_size(finding)}{p}{since}{tolerated}"


def _earlier_reason(finding: Finding, look: Look) -> str:
    when = (
        ""
        if finding.onset is None
        else onset(finding.onset, finding.onset_interval, look.release.started_at.date())
    )
    return (
        f"{_size(finding)}, but it began about {when}, before the release, which made it no worse"
    )


def _gap_reason(finding: Finding, look: Look) -> str:
    return (
        f"{look.steps - finding.steps} of {look.steps} steps missing since the release, more "
        f"than usual, {p_value(finding.p_value or 0)}"
    )


def _flags(scored: Scored, look: Look) -> dict[tuple[str, str], Flagged]:
    """First and worst of the flagged points per series."""
    count = len(scored.keys)
    flagged = scored.points["flagged"].to_numpy().reshape(count, -1)
    z = scored.points["z"].to_numpy().reshape(count, -1)
    out = {}
    for i in np.flatnonzero(flagged.any(axis=1)):
        at = np.flatnonzero(flagged[i])
        worst = int(at[np.abs(z[i, at]).argmax()])
        out[scored.keys[i]] = Flagged(
            len(at), look.at(int(at[0])), look.at(worst), float(z[i, worst])
        )
    return out
