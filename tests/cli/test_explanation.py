"""What `anomaly explain` says: nothing in a verdict is unexplained, and it fits a terminal."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import timedelta

import numpy as np
import pytest

from anomaly import wording
from anomaly.baseline.correlogram import Correlogram
from anomaly.cli.explanation import explanation
from anomaly.model import (
    Answer,
    ChangeKind,
    ControlEvidence,
    Evidence,
    Finding,
    ValueScale,
    Verdict,
)
from anomaly.reporting import explanations
from anomaly.reporting.evidence import QUESTIONS, EvidenceLine, by_name, lines
from anomaly.reporting.report import Report
from anomaly.scoring.question_kinds import QuestionKind
from tests.support import reports
from tests.support.places import ROOT

METHOD = ROOT / "docs" / "method.md"
FAILING = reports.failing()


def moved(**changes: object) -> Finding:
    """A regression with an onset, as the report of a failing release has it."""
    return replace(next(finding for finding in FAILING.findings if finding.onset), **changes)  # type: ignore[arg-type]


def early(report: Report, share: float) -> Report:
    """The report as it would be after a share of its watch."""
    steps = round(moved().steps_planned * share)
    return replace(
        report,
        final=False,
        findings=tuple(replace(finding, steps=steps) for finding in report.findings),
    )


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (0.00003, "fewer than 1 in 10,000"),
        (0.00025, "about 1 in 4,000"),
        (0.012, "about 1 in 83"),
        (0.54, "about 54 in 100"),
    ],
)
def test_a_p_value_is_a_share_of_releases(p: float, words: str) -> None:
    assert wording.rarity(p) == words


def test_every_question_has_a_sentence_of_its_own() -> None:
    assert set(QUESTIONS) == {str(kind) for kind in QuestionKind}
    assert len(set(QUESTIONS.values())) == len(QUESTIONS)
    (line,) = lines(Evidence(answers=(Answer("zeros", 1, 3.0),)))
    assert line == EvidenceLine("zeros over 1 steps", "+3.0 sigma", QUESTIONS["zeros"])


def test_the_method_names_every_number_and_each_has_a_sentence() -> None:
    table = METHOD.read_text(encoding="utf-8").split("## The evidence")[1].split("## ")[0]
    names = [
        name for name in re.findall(r"^\| ([a-z ]+) \|", table, re.MULTILINE) if name != "name"
    ]
    whole = Evidence(
        history_since=FAILING.release.started_at,
        history_steps=1,
        season=("day",),
        structural_model="trend and week",
        scale=ValueScale.LOG,
        autocorrelation=0.5,
        level_steps=1,
        placebo_releases=1,
        independent_watches=1,
        usual_value=1.0,
        steps_that_differ=1,
        controls=ControlEvidence(("used",), 0.5, ("idle",)),
        shares=(0.5, 0.4),
        new_steps=3,
        new_events=214,
    )

    assert all(getattr(whole, field.name) for field in fields(whole) if field.name != "answers")
    assert sorted(by_name(whole)) == sorted(names)
    assert all(line.meaning for line in lines(whole))


@pytest.mark.parametrize(
    ("value", "word"), [(0.0, "independent"), (0.5, "weaker"), (0.97, "drifts by itself")]
)
def test_an_autocorrelation_is_explained_by_its_size(value: float, word: str) -> None:
    (line,) = lines(Evidence(autocorrelation=value))

    assert word in line.meaning


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_an_answer_and_a_next_step_in_80_columns(verdict: Verdict) -> None:
    for report in (FAILING, replace(FAILING, final=False), reports.messy()):
        for finding in report.findings:
            text = explanation(replace(finding, verdict=verdict), report)

            assert max(map(len, text.splitlines())) <= 80
            assert len(text.splitlines()[1]) > 20
            assert "\n  next " in text


def test_an_ok_says_so_when_it_moved() -> None:
    assert "no regression" in explanations.answer(
        moved(verdict=Verdict.OK, p_value=0.4, level=0.01)
    )
    assert "perhaps by less than the tolerance" in explanations.answer(
        moved(verdict=Verdict.OK, p_value=0.0001, level=0.01)
    )
    assert "mix of its segments changed" in explanations.answer(
        moved(verdict=Verdict.OK, p_value=0.0001, level=0.01, kind=ChangeKind.MIX)
    )


def required(finding: Finding, report: Report) -> str:
    return explanations.hurdle(finding, explanations.Sharing.of(report))


def test_the_level_is_explained_by_the_family_and_the_look() -> None:
    finding = moved(level=0.002)
    alone = replace(FAILING, findings=(finding,), final=True)
    shared = replace(
        alone,
        findings=(
            finding,
            replace(finding, kpi="other"),
            replace(finding, segment={"country": "DE"}),
        ),
    )

    assert (
        required(finding, alone)
        == f"rarer than 1 in 500: its share of false_alarms, {wording.percent(alone.false_alarms)}"
    )
    assert "which 2 KPIs share by usage" in required(finding, shared)
    assert "divided among its 2 series" in required(finding, shared)
    large = replace(
        alone, findings=(finding, *(replace(finding, kpi=f"k{i}") for i in range(1_200)))
    )
    assert "the placebo releases of all 1,201 series say which p is so rare" in (
        required(finding, large)
    )
    assert "multiplied by 4, because only 25 % of the watch is over" in required(
        finding, early(alone, 0.25)
    )
    assert "a dry run spends none" in required(replace(finding, dry_run=True), alone)
    assert required(replace(finding, level=None), alone) == ""


def test_an_onset_says_how_sure_it_is_and_on_which_side_of_the_release() -> None:
    started = FAILING.release.started_at
    after = (started + timedelta(minutes=5), started + timedelta(minutes=25))
    around, before = (
        (started - timedelta(minutes=15), after[1]),
        (started - timedelta(hours=1), started - timedelta(minutes=30)),
    )

    assert explanations.since(moved(onset_interval=after), FAILING).endswith(
        f"95 % interval {after[0]:%H:%M} to {after[1]:%H:%M}"
    )
    assert explanations.since(moved(onset_interval=around), FAILING).endswith(
        ", possibly before the release"
    )
    assert explanations.since(moved(onset_interval=before), FAILING).endswith(
        ", before the release"
    )
    assert explanations.since(moved(onset_interval=(after[0], after[0])), FAILING).endswith(
        "exact to the step"
    )


def test_what_is_open_says_what_it_waits_for() -> None:
    waiting = moved(verdict=Verdict.INCONCLUSIVE, onset=None, onset_interval=None)
    over = FAILING.observation.start + waiting.steps_planned * FAILING.step

    assert f"when the watch is over, at {over:%H:%M} UTC" in explanations.advice(
        waiting, early(FAILING, 0.25)
    )
    assert "it may hide an effect of the release" in explanations.advice(
        moved(verdict=Verdict.INCONCLUSIVE), FAILING
    )
    assert "provide what the reason names" in explanations.advice(
        waiting, replace(FAILING, final=True)
    )


@pytest.mark.parametrize(
    ("correlations", "p_value", "line", "meaning"),
    [
        ((0.02, -0.03), 0.4, "none (Ljung-Box p = 0.4 over 2 lags)", "explain how steps hang"),
        ((0.02, -0.05), 1e-9, "at most -0.05, at lag 2 (Ljung-Box p < 0.0001", "too little"),
        ((0.02, 0.31), 1e-9, "0.31 at lag 2 (Ljung-Box p < 0.0001", "still related"),
    ],
)
def test_the_autocorrelation_that_is_left_is_said_in_plain_words(
    correlations: tuple[float, ...], p_value: float, line: str, meaning: str
) -> None:
    left = Correlogram(np.array(correlations), 400, p_value)

    text = explanation(FAILING.findings[0], FAILING, left)

    assert f"  autocorrelation left: {line}" in text
    assert meaning in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
