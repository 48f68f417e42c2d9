"""How `false_alarms` is spent over the KPIs of a release, and what findings make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import combinations, product
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from anomaly.cli.exit_codes import of_report
from anomaly.contracts import Receipt
from anomaly.decision.decide import decide
from anomaly.decision.multiplicity import shares
from anomaly.decision.progress import WatchProgress
from anomaly.decision.release import verdict
from anomaly.model import (
    ChangeKind,
    Correction,
    Finding,
    Kpi,
    KpiSeverity,
    NoData,
    Release,
    ReleaseVerdict,
    Verdict,
    Window,
)
from anomaly.panel import VALUE, LongForm, assemble, block, grid
from anomaly.reporting.report import Report
from anomaly.scoring.scored import Past, Score, Scored
from anomaly.scoring.sizes import Sizes
from tests.support.simulations import STARTED

ALPHA = 0.05
STEP = timedelta(minutes=5)
BEFORE, AFTER = 20, 10
INDEX = grid(Window(STARTED - BEFORE * STEP, STARTED + AFTER * STEP), STEP)
FULL, EMPTY = np.ones(BEFORE + AFTER), np.full(BEFORE + AFTER, np.nan)
BIGGER = Sizes(11.0, 10.0, 0.1, (0.05, 0.15), 1.0, (0.5, 1.5))
PROGRESS = WatchProgress(
    Release(STARTED), tuple(STARTED + i * STEP for i in range(AFTER)), STEP, AFTER, final=True
)
Ps = Mapping[tuple[str, str], float | None]


def decided(
    ps: Ps,
    kpis: list[Kpi],
    correction: Correction = Correction.HOLM,
    progress: WatchProgress = PROGRESS,
) -> dict[tuple[str, str], Finding]:
    """Findings for p-values of a level that moved; None is a series without data."""
    panel = assemble({(*key, VALUE): EMPTY if p is None else FULL for key, p in ps.items()}, INDEX)
    scores = tuple(
        None if p is None else Score(p_bad=p, kind=ChangeKind.LEVEL, sizes=BIGGER)
        for p in ps.values()
    )
    nothing = np.empty((len(ps), 0))
    flagged = nothing.astype(bool)
    points = LongForm(tuple(ps), INDEX[:0], {"expected": nothing, "z": nothing, "flagged": flagged})
    scored = Scored(
        tuple(ps),
        scores,
        np.ones(len(ps)),
        np.zeros(len(ps)),
        nothing,
        nothing,
        points,
        points,
        Past.of_history(block(panel.iloc[:BEFORE])),
        block(panel.iloc[BEFORE:]),
    )
    usage = {kpi.name: float(kpi.usage) for kpi in kpis}
    findings = decide(scored, kpis, usage, progress, false_alarms=ALPHA, correction=correction)
    keys = sorted(ps, key=lambda key: [kpi.name for kpi in kpis].index(key[0]))
    return dict(zip(keys, findings, strict=True))


def plain(ps: list[float]) -> tuple[Ps, list[Kpi]]:
    return {(f"k{i}", ""): p for i, p in enumerate(ps)}, [Kpi(f"k{i}") for i in range(len(ps))]


def regressed(findings: Mapping[tuple[str, str], Finding]) -> list[bool]:
    return [finding.verdict is Verdict.REGRESSED for finding in findings.values()]


# --- spending -----------------------------------------------------------------------------------


def off_boundaries(most: float) -> st.SearchStrategy[float]:
    """p-values that do not sit where "below" and "at most" differ."""
    return st.floats(1e-6, most).map(lambda p: p * (1 + 1e-7))


p_values = st.lists(off_boundaries(0.2), min_size=1, max_size=8)
weights = st.floats(0.01, 10)


def rejected(ps: list[float], method: str) -> list[bool]:
    """What statsmodels rejects; it collects the garbage of the whole process each time, which takes
    longer than all else here."""
    with mock.patch("gc.collect"):
        return list(multipletests(ps, ALPHA, method=method)[0])


@pytest.mark.slow
@given(p_values)
def test_equal_weights_are_spent_as_holm_says(ps: list[float]) -> None:
    findings = decided(*plain(ps))

    assert regressed(findings) == rejected(ps, "holm")


@pytest.mark.slow
@given(p_values)
def test_equal_weights_are_spent_as_benjamini_and_hochberg_say(ps: list[float]) -> None:
    findings = decided(*plain(ps), Correction.BENJAMINI_HOCHBERG)

    assert regressed(findings) == rejected(ps, "fdr_bh")


@pytest.mark.slow
@given(st.lists(st.tuples(off_boundaries(0.1), weights), min_size=1, max_size=6))
def test_weights_are_spent_as_the_closed_bonferroni_test_says(
    series: list[tuple[float, float]],
) -> None:
    kpis = [Kpi(f"k{i}", usage=weight) for i, (_, weight) in enumerate(series)]
    ps = {(kpi.name, ""): p for kpi, (p, _) in zip(kpis, series, strict=True)}

    findings = decided(ps, kpis)

    share = list(shares(kpis, {kpi.name: float(kpi.usage) for kpi in kpis}).values())
    assert regressed(findings) == closed_test([p for p, _ in series], share)


def closed_test(ps: list[float], share: list[float]) -> list[bool]:
    """A hypothesis is rejected if every intersection with it is, by weighted Bonferroni with shares
    made to sum to 1."""
    everyone = range(len(ps))
    sets = [subset for size in range(1, len(ps) + 1) for subset in combinations(everyone, size)]
    rejected = {
        subset
        for subset in sets
        if any(ps[i] < ALPHA * share[i] / sum(share[j] for j in subset) for i in subset)
    }
    return [all(subset in rejected for subset in sets if i in subset) for i in everyone]


@pytest.mark.slow
@given(p_values, st.sampled_from(Correction))
def test_what_regressed_is_below_its_level_and_nothing_else_is(
    ps: list[float], correction: Correction
) -> None:
    for finding in decided(*plain(ps), correction).values():
        assert finding.p_value is not None
        assert finding.level is not None
        assert (finding.p_value < finding.level) == (finding.verdict is Verdict.REGRESSED)


@dataclass(frozen=True)
class Used:
    weight: float
    critical: bool


@pytest.mark.slow
@given(st.lists(st.builds(Used, st.floats(0, 1000), st.booleans()), min_size=1, max_size=12))
def test_no_kpi_is_starved(used: list[Used]) -> None:
    kpis = [Kpi(f"k{i}", usage=each.weight, critical=each.critical) for i, each in enumerate(used)]

    share = shares(kpis, {kpi.name: float(kpi.usage) for kpi in kpis})

    equal = 1 / len(kpis)
    total = sum(each.weight for each in used)
    before = [
        max(each.weight / total if total else equal, equal if each.critical else equal / 4)
        for each in used
    ]
    assert sum(share.values()) == pytest.approx(1)
    assert list(share.values()) == pytest.approx([part / sum(before) for part in before])


def test_a_share_follows_usage_but_is_at_least_a_quarter_of_an_equal_one() -> None:
    kpis = [Kpi("used"), Kpi("unused"), Kpi("vital", critical=True), Kpi("half")]

    share = shares(kpis, {"used": 60, "unused": 0, "vital": 0, "half": 40})

    scale = 0.6 + 0.0625 + 0.25 + 0.4
    assert share == pytest.approx(
        {"used": 0.6 / scale, "unused": 0.0625 / scale, "vital": 0.25 / scale, "half": 0.4 / scale}
    )


def test_no_usage_at_all_is_equal_usage() -> None:
    assert shares([Kpi("a"), Kpi("b")], {"a": 0, "b": 0}) == {"a": 0.5, "b": 0.5}
    assert shares([], {}) == {}


def test_segments_divide_the_share_of_their_kpi() -> None:
    ps: Ps = {("split", "country=DE"): 0.5, ("split", "country=FR"): 0.6, ("whole", ""): 0.7}

    findings = decided(ps, [Kpi("split", by=("country",)), Kpi("whole")])

    assert [finding.level for finding in findings.values()] == pytest.approx(
        [ALPHA / 4, ALPHA / 4, ALPHA / 2]
    )


def test_a_kpi_without_data_leaves_its_share_to_the_others() -> None:
    findings = decided(
        {("a", ""): 0.5, ("b", ""): None, ("c", ""): 0.6}, [Kpi("a"), Kpi("b"), Kpi("c")]
    )

    assert [finding.level for finding in findings.values()] == [ALPHA / 2, None, ALPHA / 2]
    assert findings["b", ""].verdict is Verdict.NO_DATA


def test_a_segment_without_data_leaves_its_share_to_its_sisters() -> None:
    findings = decided(
        {("a", "c=1"): 0.5, ("a", "c=2"): None, ("b", ""): 0.6}, [Kpi("a", by=("c",)), Kpi("b")]
    )

    assert findings["a", "c=1"].level == ALPHA / 2


@pytest.mark.parametrize("correction", Correction)
def test_a_dry_run_spends_nothing(correction: Correction) -> None:
    with_dry_run = decided(
        {("a", ""): 0.03, ("dry", ""): 1e-6}, [Kpi("a"), Kpi("dry", dry_run=True)], correction
    )
    without = decided({("a", ""): 0.03}, [Kpi("a")], correction)

    assert with_dry_run["a", ""] == without["a", ""]
    assert with_dry_run["dry", ""].verdict is Verdict.REGRESSED  # shown
    assert (
        verdict([with_dry_run["dry", ""], replace(without["a", ""], verdict=Verdict.OK)])
        is ReleaseVerdict.PASS
    )


@pytest.mark.parametrize("passed", [1, 5, 10])
def test_an_early_look_may_spend_as_much_as_has_been_watched(passed: int) -> None:
    progress = replace(PROGRESS, planned=10, starts=PROGRESS.starts[:passed], final=passed == 10)
    at_the_edge = ALPHA * passed / 10

    over, under = (
        decided({("a", ""): p}, [Kpi("a")], progress=progress)["a", ""]
        for p in (at_the_edge * 1.001, at_the_edge * 0.999)
    )

    assert (over.verdict is Verdict.REGRESSED, under.verdict is Verdict.REGRESSED) == (False, True)


# --- the release --------------------------------------------------------------------------------


def finding(
    answer: Verdict = Verdict.OK,
    *,
    no_data: NoData = NoData.INCONCLUSIVE,
    dry_run: bool = False,
    critical: bool = False,
    severity: KpiSeverity = KpiSeverity.GUARDRAIL,
) -> Finding:
    return Finding(
        "kpi",
        answer,
        "because",
        no_data=no_data,
        dry_run=dry_run,
        critical=critical,
        severity=severity,
    )


def code(*findings: Finding, told: bool = True) -> int:
    """The exit code of a release with these findings."""
    points = pd.DataFrame()
    window = Window(STARTED, STARTED + STEP)
    report = Report(
        release=Release(STARTED),
        verdict=verdict(findings),
        final=True,
        findings=findings,
        points=points,
        baseline=window,
        observation=window,
        step=STEP,
        false_alarms=ALPHA,
    )
    return of_report(report, [Receipt("sink", told)])


PASS = (ReleaseVerdict.PASS, 0)
FAIL = (ReleaseVerdict.FAIL, 1)
HOLD = (ReleaseVerdict.HOLD, 6)
OPEN = (ReleaseVerdict.INCONCLUSIVE, 3)
BROKEN = (ReleaseVerdict.ERROR, 4)
GOOD = (Verdict.OK, Verdict.IMPROVED, Verdict.RECOVERED)
ANY = (*product(Verdict, NoData, (False, True), (False, True), KpiSeverity),)


def expected(
    answer: Verdict,
    no_data: NoData,
    dry_run: bool,
    critical: bool,
    severity: KpiSeverity,
) -> tuple[ReleaseVerdict, int]:
    """The design's table for a release with this finding beside one that is ok."""
    if dry_run or answer in GOOD:
        return PASS
    if answer is Verdict.REGRESSED or (answer is Verdict.NO_DATA and no_data is NoData.FAIL):
        return FAIL if severity is KpiSeverity.GUARDRAIL else HOLD
    if answer is Verdict.ERROR and critical:
        return BROKEN
    return PASS if no_data is NoData.IGNORE else OPEN


@pytest.mark.parametrize(("answer", "no_data", "dry_run", "critical", "severity"), ANY)
def test_one_finding_beside_a_good_one_decides_as_the_table_says(
    answer: Verdict, no_data: NoData, *, dry_run: bool, critical: bool, severity: KpiSeverity
) -> None:
    kind: dict[str, Any] = {
        "no_data": no_data,
        "dry_run": dry_run,
        "critical": critical,
        "severity": severity,
    }
    findings = finding(), finding(answer, **kind)

    assert (verdict(findings), code(*findings)) == expected(answer, **kind)
    assert verdict(findings[::-1]) is verdict(findings)


@pytest.mark.parametrize("no_data", NoData)
def test_errors_everywhere_are_an_error(no_data: NoData) -> None:
    broken = finding(Verdict.ERROR, no_data=no_data)

    assert code(broken) == code(broken, broken) == code(broken, finding(dry_run=True)) == 4


@pytest.mark.parametrize("answer", Verdict)
def test_a_release_of_dry_runs_alone_was_not_judged(answer: Verdict) -> None:
    assert code(finding(answer, dry_run=True)) == 3


def test_nothing_judged_is_no_pass() -> None:
    assert code() == 3
    assert code(finding(Verdict.NO_DATA, no_data=NoData.IGNORE)) == 3


def test_a_regression_outweighs_a_broken_source_and_open_ends() -> None:
    assert (
        code(
            finding(Verdict.REGRESSED),
            finding(Verdict.ERROR, critical=True),
            finding(Verdict.INCONCLUSIVE),
        )
        == 1
    )


def test_a_broken_critical_source_outweighs_open_ends() -> None:
    assert (
        code(finding(Verdict.ERROR, critical=True), finding(Verdict.INCONCLUSIVE), finding()) == 4
    )


@pytest.mark.parametrize(
    ("answer", "both"),
    [(Verdict.OK, 5), (Verdict.REGRESSED, 1), (Verdict.INCONCLUSIVE, 3), (Verdict.ERROR, 4)],
)
def test_a_sink_that_was_not_told_shows_only_in_a_pass(answer: Verdict, both: int) -> None:
    assert code(finding(answer), told=False) == both


findings_of_any_kind = st.lists(
    st.builds(
        finding,
        st.sampled_from(Verdict),
        no_data=st.sampled_from(NoData),
        dry_run=st.booleans(),
        critical=st.booleans(),
        severity=st.sampled_from(KpiSeverity),
    ),
    max_size=6,
)


@pytest.mark.slow
@given(findings_of_any_kind)
def test_missing_evidence_is_never_a_pass(findings: list[Finding]) -> None:
    counted = [each for each in findings if not each.dry_run]
    unjudged = {Verdict.INCONCLUSIVE, Verdict.NO_DATA, Verdict.ERROR}
    open_ends = [
        each for each in counted if each.verdict in unjudged and each.no_data is not NoData.IGNORE
    ]

    if verdict(findings) is ReleaseVerdict.PASS:
        assert any(each.verdict in GOOD for each in counted)
        assert not open_ends
        assert not any(each.verdict is Verdict.REGRESSED for each in counted)


@pytest.mark.slow
@given(findings_of_any_kind)
def test_a_release_fails_exactly_if_a_finding_that_counts_does(findings: list[Finding]) -> None:
    """And it is held exactly if only signals do, unless a source that is required failed."""
    bad = [
        each.severity
        for each in findings
        if not each.dry_run
        and (
            each.verdict is Verdict.REGRESSED
            or (each.verdict is Verdict.NO_DATA and each.no_data is NoData.FAIL)
        )
    ]

    assert (verdict(findings) is ReleaseVerdict.FAIL) == (KpiSeverity.GUARDRAIL in bad)
    assert (code(*findings) == 1) == (KpiSeverity.GUARDRAIL in bad)
    signals_alone = bool(bad) and KpiSeverity.GUARDRAIL not in bad
    is_required = verdict(findings) is ReleaseVerdict.ERROR
    assert (verdict(findings) is ReleaseVerdict.HOLD) == (signals_alone and not is_required)
    assert (code(*findings) == 6) == (signals_alone and not is_required)
