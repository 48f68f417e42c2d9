"""The evidence in words, and read back from them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from anomaly.model import Answer, ControlEvidence, Evidence, ValueScale
from anomaly.reporting.evidence import by_name, from_names

VARYING = Evidence(
    history_since=datetime(2025, 5, 6, tzinfo=UTC),
    history_steps=8064,
    season=("day", "week"),
    scale=ValueScale.ROOT,
    autocorrelation=0.42,
    level_steps=72,
    placebo_releases=276,
    independent_watches=112,
    answers=(Answer("level against just before", 72, 6.4), Answer("spread", 8, 2.1)),
    shares=(0.6, 0.204),
)


@pytest.mark.parametrize(
    "evidence",
    [
        VARYING,
        Evidence(season=(), level_steps=0),
        Evidence(structural_model="trend and week", scale=ValueScale.LOG),
        Evidence(history_steps=10, usual_value=7.5, steps_that_differ=3),
        Evidence(new_steps=3, new_events=214.0),
        Evidence(),
    ],
)
def test_evidence_comes_back_from_its_words(evidence: Evidence) -> None:
    assert from_names(by_name(evidence)) == evidence


@pytest.mark.parametrize(
    "controls",
    [
        ControlEvidence(("orders",), 0.34),
        ControlEvidence(("orders (a=1, b=2)",), 0.34, ("noise",)),
        ControlEvidence(("a (x=1, y=2)", "b (x=1, y=2)", "c", "d", "e"), 1.0, ("f", "g")),
        ControlEvidence(idle=("f",)),
        ControlEvidence(idle=("that explains 5 % of the past", "g")),
    ],
)
def test_words_about_controls_come_back_the_same(controls: ControlEvidence) -> None:
    names = by_name(Evidence(controls=controls))

    assert by_name(from_names(names)) == names


def test_names_of_another_version_are_left_out() -> None:
    assert from_names({"test": "level", "surprise": 6.4, "history steps": 3.0}) == Evidence(
        history_steps=3
    )
