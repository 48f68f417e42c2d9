"""Releases about which nobody who sees the plot would argue are answered right, and what holds in
whatever series holds in them: a verdict agrees with the interval beside it, and a larger effect is
never less significant.

With so few seeds a kind that gives its right answer as often as it promises could be unlucky. The
tests allow for that: they ask for the fewest right answers that such a kind falls below in less
than one of 10,000 draws of the seeds. `make obvious` judges more seeds, and asks for the whole
share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

import anomaly
from anomaly import Direction, Finding, Verdict
from benchmarks import generated
from tests.obvious import sensitivity
from tests.obvious.catalogue import CERTAIN, DOWN, FOUND, UP, Case, Kind, cases, only
from tests.obvious.kinds import GROUPS, KINDS, named

SEEDS = 6
AT_ONCE, MORE_SEEDS, ENOUGH = 2, 10, 6  # of a kind that must be right in 95 %: see `right`
CHANCE = 1e-4  # that a kind which holds its share is taken for one that does not
WRONG_INTERVALS = 0.05  # of 95 % intervals
SERIES, SERIES_SEED = 160, 7
LEVEL = 0.01  # of a release of its own
NOISE = 3.0  # by which a p-value may rise though the effect is larger
NO_CHANCE = 1e-6  # p-values below it all say the same
SIGNIFICANT = 0.01
MULTIPLES = (1, 2, 4)  # of the detectable effect
RISES, FALLS = (9.0, 999.0), (0.9, 0.99, 1.0)  # then up to × 1,000, and down to 0


@dataclass(frozen=True, slots=True)
class Judged:
    """A case, the finding about it, if it can be judged, and whether that is the right answer."""

    case: Case
    finding: Finding | None
    is_right: bool = False


@cache
def first_of(name: str) -> Judged:
    """The first case of a kind."""
    which = named(name)
    case = which.case(0)
    try:
        report = case.report()
    except anomaly.AnomalyError:
        return Judged(case, None)
    return Judged(case, only(report), which.is_right(report))


def allowance(share: float) -> int:
    """The fewest right answers of `SEEDS` that a kind which is right in this share falls below with
    a probability under `CHANCE`."""
    return max(int(binom.ppf(CHANCE, SEEDS, share)), 0)


def right(which: Kind, seeds: int, enough: int) -> int:
    """How many of the seeds are answered right; counted until they are enough."""
    count = 0
    for seed in range(seeds):
        count += answer(which.name, seed)
        if count >= enough:
            break
    return count


@cache
def answer(name: str, seed: int) -> bool:
    """Whether the case of a seed is answered right."""
    return named(name).answer(seed) if seed else first_of(name).is_right


@pytest.mark.slow
@pytest.mark.parametrize("which", KINDS, ids=lambda which: which.name)
def test_a_kind_is_answered_right(which: Kind) -> None:
    """A kind that must be right in 95 % is asked in two steps: if the first two seeds are, that is
    evidence enough; if not, six of ten must be. The others are asked at once."""
    seeds, enough = SEEDS, allowance(which.at_least)
    if which.at_least == CERTAIN:
        if right(which, AT_ONCE, AT_ONCE) == AT_ONCE:
            return
        seeds, enough = MORE_SEEDS, ENOUGH
    count = right(which, seeds, enough)
    assert count >= enough, f"{count} of {seeds} seeds are right"


def test_so_few_seeds_allow_for_bad_luck_and_for_no_more() -> None:
    for share in (CERTAIN, FOUND, 0.7):
        fewest = allowance(share)
        assert binom.cdf(fewest - 1, SEEDS, share) < CHANCE <= binom.cdf(fewest, SEEDS, share)


def test_two_steps_refuse_no_kind_that_holds_and_accept_no_more_others_than_one() -> None:
    later = MORE_SEEDS - AT_ONCE

    def accepted(share: float) -> float:
        asked_again = sum(
            binom.pmf(count, AT_ONCE, share) * binom.sf(ENOUGH - count - 1, later, share)
            for count in range(AT_ONCE)
        )
        return float(share**AT_ONCE + asked_again)

    assert 1 - accepted(CERTAIN) < CHANCE
    for share in np.linspace(0, 1, 101):
        assert accepted(share) <= binom.sf(allowance(CERTAIN) - 1, SEEDS, share) + 0.001


@pytest.mark.slow
def test_a_case_is_the_same_whenever_it_is_made() -> None:
    for which in KINDS[:: len(KINDS) // 10]:
        (one,), (other,) = cases(which, 1), cases(which, 1)
        assert one.series().equals(other.series())
        assert one.released == other.released


def test_kinds_stand_group_by_group_and_every_group_has_harm_and_none() -> None:
    groups = [which.group for which in KINDS]
    assert groups == sorted(groups, key=GROUPS.index)
    for group in GROUPS:
        harm = {which.harmful for which in KINDS if which.group == group}
        assert harm == ({True} if group == "sensitivity" else {True, False})


# --- what holds in whatever series ---------------------------------------------------------------


def side_by_side(some: Sequence[Case]) -> list[Judged]:
    """Cases of one release with the findings about them, as if each had been judged alone.

    They may raise as many alarms as that many releases: a change of one could be taken for a
    regression more easily for what the others show, so the p-value decides.
    """
    names = [f"{number}" for number in range(len(some))]
    findings = anomaly.check(
        pd.DataFrame(dict(zip(names, (case.values for case in some), strict=True)), some[0].index),
        released_at=some[0].released,
        direction=dict(zip(names, (case.options["direction"] for case in some), strict=True)),
        false_alarms=LEVEL * len(some),
    ).findings
    return [
        Judged(
            case,
            replace(found, verdict=Verdict.OK)
            if found.verdict is Verdict.REGRESSED and (found.p_value or 0.0) >= LEVEL
            else found,
        )
        for case, found in zip(some, findings, strict=True)
    ]


@cache
def random_series() -> tuple[Judged, ...]:
    """Series as hard as real KPIs are, most of them with an effect, and the findings about them,
    judged in either direction; one without effect beside itself with some."""
    made = [
        Case(case.values, case.index, case.index[case.before], UP if number % 2 else DOWN)
        for number, case in enumerate(generated.cases(SERIES, SERIES_SEED))
    ]
    each = generated.PER_SERIES + 1
    return tuple(
        judged
        for first in range(0, len(made), each)
        for judged in side_by_side(made[first : first + each])
    )


def p_values(case: Case, sizes: Sequence[float]) -> list[float | None]:
    """The p-values of a case with each of these effects, judged side by side: a series has the
    p-value that it has alone."""
    columns = {f"{size}": sensitivity.changed(case, size).values for size in sizes}
    options = dict(case.options)
    if "denominators" in options:
        options["denominators"] = pd.DataFrame(dict.fromkeys(columns, options["denominators"]))
    report = anomaly.check(pd.DataFrame(columns, case.index), released_at=case.released, **options)
    return [each.p_value for each in report.findings]


def contradicts_its_interval(of: Finding) -> bool:
    """Whether the KPI is `ok` though the interval of its effect lies beyond the tolerance."""
    if of.verdict is not Verdict.OK or of.effect_interval is None:
        return False
    low, high = of.effect_interval
    risen = of.direction is not Direction.DOWN and low > of.tolerance
    fallen = of.direction is not Direction.UP and high < -of.tolerance
    return risen or fallen


def share_of_contradictions(judged: Iterable[Judged]) -> float:
    """How many of the findings contradict their interval."""
    found = [each.finding for each in judged if each.finding is not None]
    return sum(map(contradicts_its_interval, found)) / len(found)


@pytest.mark.slow
def test_an_ok_contradicts_its_interval_no_more_often_than_intervals_are_wrong() -> None:
    obvious = (
        first_of(which.name)
        for which in KINDS
        if which.group != sensitivity.GROUP  # effects between the two levels of significance
    )
    assert share_of_contradictions(obvious) <= WRONG_INTERVALS
    assert share_of_contradictions(random_series()) <= WRONG_INTERVALS


def growing_effects(detectable: float, *, fall: bool) -> list[float]:
    """Relative sizes from the detectable effect on, up to × 1,000 or down to nothing."""
    most = FALLS if fall else RISES
    return [each * detectable for each in MULTIPLES if each * detectable < most[0]] + [*most]


def problem(judged: Judged) -> str:
    """Where a larger effect is less significant, or the largest is not significant; empty if
    nowhere, if nothing is said to be detectable, or if there is nothing to be multiplied."""
    case, quiet = judged.case, judged.finding
    if not np.nansum(np.abs(case.values[case.after])):
        return ""
    if quiet is None or quiet.verdict is not Verdict.OK or quiet.detectable_effect is None:
        return ""
    before = 1.0
    fall = case.options.get("direction") == "down"
    sizes = growing_effects(quiet.detectable_effect, fall=fall)
    for size, p_value in zip(sizes, p_values(case, sizes), strict=True):
        if p_value is None:
            return f"no p-value at {size:.3g}"
        if max(p_value, NO_CHANCE) > NOISE * max(before, NO_CHANCE):
            return f"p rises from {before:.2g} to {p_value:.2g} at {size:.3g}"
        before = p_value
    return "" if before < SIGNIFICANT else f"p is still {before:.2g} at the largest effect"


@pytest.mark.slow
@pytest.mark.parametrize("group", [group for group in GROUPS if group != sensitivity.GROUP])
def test_a_larger_effect_in_an_obvious_series_is_never_less_significant(group: str) -> None:
    quiet = [which for which in KINDS if which.group == group and not which.harmful]
    problems = {which.name: wrong for which in quiet if (wrong := problem(first_of(which.name)))}
    assert problems == {}


@pytest.mark.slow
def test_a_larger_effect_in_a_random_series_is_never_less_significant() -> None:
    quiet = [
        judged
        for each, judged in zip(generated.cases(SERIES, SERIES_SEED), random_series(), strict=True)
        if not each.effect
    ]
    problems = {number: wrong for number, judged in enumerate(quiet) if (wrong := problem(judged))}
    assert problems == {}
