"""Large families: thousands of series can still fail a release, and harmless ones fail no more
often than said."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import anomaly
from anomaly.decision.draft import Draft
from anomaly.decision.family import NullLaw, Tail, learn_null_law
from anomaly.decision.multiplicity import Allowance, allowances
from anomaly.model import SMALL_FAMILY, Correction, Kpi
from anomaly.scoring.significance import NullDistribution, p_value
from tests.support.draws import Limit
from tests.support.simulations import Floats, frame, remembering, stamps

Make = Callable[..., Floats]
ALARMS = 0.01
RELEASES = 12  # held out


def p_of(scores: Floats) -> Floats:
    return p_value(scores, NullDistribution.BOTH_WAYS)


def quiet(seed: int, series: int, releases: int = RELEASES) -> Floats:
    """p-values of series whose scores have an exponential tail, as those of an even noise have."""
    rng = np.random.default_rng(seed)
    return p_of(0.1 + rng.exponential(0.2, (series, releases)))


def wild(seed: int, series: int, releases: int = RELEASES) -> Floats:
    """The same, and one in twenty series bursts now and then."""
    rng = np.random.default_rng(seed)
    bursts = (np.arange(series)[:, None] % 20 == 0) & (rng.random((series, releases)) < 0.05)
    scores = 0.1 + rng.exponential(0.2, (series, releases))
    return p_of(scores + np.where(bursts, rng.exponential(3, (series, releases)), 0.0))


def drafts(p: Sequence[float] | Floats, per_kpi: int = 1, *, exact: bool = False) -> list[Draft]:
    kpis = [Kpi(f"k{i}", by=("host",) if per_kpi > 1 else ()) for i in range(-(-len(p) // per_kpi))]
    return [
        Draft(
            kpis[i // per_kpi],
            1.0,
            segment=f"host={i}" if per_kpi > 1 else "",
            p_value=float(each),
            p_exact=float(each) if exact else 0.0,
        )
        for i, each in enumerate(p)
    ]


def allowed(
    counted: Sequence[Draft],
    held_out: Floats,
    correction: Correction = Correction.HOLM,
    watched: float = 1.0,
) -> list[Allowance]:
    usage = {each.kpi.name: 1.0 for each in counted}
    return allowances(
        counted,
        usage,
        ALARMS,
        correction,
        np.empty((len(counted), 0)),
        windows=40,
        held_out=held_out,
        watched=watched,
    )


def failing(counted: Sequence[Draft], held_out: Floats, **more: object) -> list[int]:
    """Which of the series regress."""
    found = allowed(counted, held_out, **more)  # type: ignore[arg-type]
    return [
        i
        for i, (each, allowance) in enumerate(zip(counted, found, strict=True))
        if (each.p_value or 0.0) < allowance.alpha
    ]


@pytest.mark.parametrize("series", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_one_of_thousands_can_fail(series: int) -> None:
    p = quiet(1, series, 1)[:, 0]
    p[7] = 1e-4  # of a score that is possible: those of 1e-6 are not

    assert failing(drafts(p, per_kpi=50), quiet(2, series)) == [7]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "few"),
    [
        (quiet, Limit(3, of=150, first=69, early=0)),  # 1 %, and twice its error
        (wild, Limit(8, of=150, first=73, early=2)),  # 3 %
    ],
)
def test_harmless_releases_fail_hardly_more_often_than_said(make: Make, few: Limit) -> None:
    """10 families of 1,000 series with a law of their own, and 15 releases of each in turn."""
    held_out = [make(family, 1_000) for family in range(10)]
    releases = [make(1_000 + family, 1_000, 15) for family in range(10)]

    def failed(some: slice) -> int:
        turns = [divmod(number, 10) for number in range(few.of)[some]]
        return sum(
            bool(failing(drafts(releases[family][:, release], per_kpi=50), held_out[family]))
            for release, family in turns
        )

    assert few.excess(failed) == 0


def test_a_family_that_bursts_by_itself_needs_more_evidence() -> None:
    p = quiet(1, 4_000, 1)[:, 0]

    calm = allowed(drafts(p, per_kpi=100), quiet(3, 4_000))[0].alpha
    bursting = allowed(drafts(p, per_kpi=100), wild(3, 4_000))[0].alpha

    assert bursting < calm / 2


@pytest.mark.slow
def test_an_incident_in_the_history_does_not_blunt_the_law() -> None:
    held_out = quiet(4, 2_000)
    p = quiet(1, 2_000, 1)[:, 0]
    before = allowed(drafts(p), held_out)[0].alpha
    held_out[:500, 3] = 1e-5

    assert allowed(drafts(p), held_out)[0].alpha == pytest.approx(before, rel=0.3)


def test_many_segments_that_moved_a_little_are_found_together() -> None:
    """The law of a wild family asks more of one series than of ten of one KPI."""
    held_out, p = wild(5, 4_000), np.full(4_000, 0.5)
    p[2] = 4e-5
    alone = failing(drafts(p, per_kpi=100), held_out)
    p[:20] = 4e-5

    assert alone == []
    assert failing(drafts(p, per_kpi=100), held_out) == [*range(20)]


def test_exact_p_values_are_taken_as_they_are() -> None:
    p = quiet(1, 1_000, 1)[:, 0]
    p[7] = 1e-4

    assert failing(drafts(p, exact=True), quiet(2, 1_000)) == []
    p[7] = 1e-6
    assert failing(drafts(p, exact=True), quiet(2, 1_000)) == [7]


def test_an_early_look_needs_as_much_more_evidence_as_in_a_small_family() -> None:
    p = quiet(1, 1_000, 1)[:, 0]
    p[7] = 1e-4
    at_the_end = allowed(drafts(p), quiet(2, 1_000))[7]

    early = allowed(drafts(p), quiet(2, 1_000), watched=0.1)[7]

    assert early.alpha <= at_the_end.alpha


def test_without_enough_history_each_series_has_its_share() -> None:
    p = quiet(1, 1_000, 1)[:, 0]

    alphas = [each.alpha for each in allowed(drafts(p), np.empty((1_000, 0)))]

    assert alphas == pytest.approx([ALARMS / 1_000] * 1_000)


@pytest.mark.slow
@pytest.mark.parametrize("correction", [*Correction])
def test_the_release_fails_as_its_p_value_says(correction: Correction) -> None:
    for tried in (1e-3, 2.5e-4, 1.9e-4, 1e-4, 1e-5):
        p = wild(6, 1_500, 1)[:, 0]
        p[:3] = tried
        found = allowed(drafts(p, per_kpi=30), wild(7, 1_500), correction)
        smallest = min(each.p_release or 0.0 for each in found)

        assert (smallest < ALARMS) == bool(
            failing(drafts(p, per_kpi=30), wild(7, 1_500), correction=correction)
        )


@pytest.mark.slow
@given(st.integers(0, 10**6), st.sampled_from([1, 7, 60]))
def test_the_order_of_the_series_does_not_matter(seed: int, per_kpi: int) -> None:
    rng = np.random.default_rng(seed)
    p, held_out = wild(seed, 120, 1)[:, 0], wild(seed + 1, 120)
    counted, order = drafts(p, per_kpi), rng.permutation(120)

    straight = allowed(counted, held_out)
    shuffled = allowed([counted[i] for i in order], held_out[order])

    for place, i in enumerate(order):
        assert shuffled[place].alpha == pytest.approx(straight[i].alpha)
        assert shuffled[place].p_release == pytest.approx(straight[i].p_release)


@pytest.mark.slow
@given(
    st.lists(st.floats(-6, 0).map(lambda power: 10**power), min_size=1, max_size=60),
    st.sampled_from([1, 30, 50, 51, 200, 1_000]),
    st.integers(0, 100),
)
def test_quiet_series_never_make_an_alarm(moved: list[float], more: int, seed: int) -> None:
    alone = failing(drafts(moved), quiet(seed, len(moved)))
    p = [*moved, *np.random.default_rng(seed).uniform(0.05, 1, more)]

    together = failing(drafts(p), quiet(seed, len(p)))

    assert set(together) <= set(alone)


@pytest.mark.slow
@given(st.floats(1e-12, 1), st.floats(1e-4, 0.05), st.floats(0, 0.05), st.floats(0.5, 5))
def test_a_law_says_how_rare_p_values_are_and_which_ones_are_so_rare(
    rarity: float, edge: float, share: float, scale: float
) -> None:
    law = NullLaw((Tail(edge, share, scale), Tail(edge / 4, share / 8, 2 * scale)))
    p = law.p_at(np.array([rarity]))

    assert law.rarity(p * (1 + 1e-6)) >= rarity * (1 - 1e-6)
    assert law.rarity(p / 2) <= max(rarity, share, edge)
    grid = law.rarity(np.geomspace(1e-9, 1, 50))
    assert (np.diff(grid) >= 0).all()


def test_a_law_continues_an_exponential_tail_as_it_is() -> None:
    """Scores with an exponential tail of scale 2: the law claims no more, and not much less."""
    rng = np.random.default_rng(8)
    law = learn_null_law(p_of(rng.exponential(2.0, (10_000, RELEASES))))

    assert law is not None
    for truth in (1e-4, 1e-5, 1e-6):
        claimed = law.rarity(p_of(np.array([-2 * np.log(truth)])))[0]
        assert truth / 2 < claimed < 200 * truth


@pytest.mark.slow
def test_a_family_beyond_the_small_ones_is_judged_from_end_to_end() -> None:
    """300 series, five of which moved together."""
    before, watch = 14 * 48, 24
    index = stamps(before + watch, "30min")
    values = 100 + remembering(0.3, 61, before + watch, 300)
    values[before:, 10:15] += 6

    report = anomaly.check(frame(values, index), released_at=index[before])

    assert len(report.findings) > SMALL_FAMILY
    assert [i for i, each in enumerate(report.findings) if each.fails] == [*range(10, 15)]
    assert (report.p_value or 1.0) < ALARMS
    assert [each.findings for each in report.incidents] == [report.incidents[0].findings]
    assert sorted(report.incidents[0].findings) == [*range(10, 15)]
