"""The demo is right if and only if every release got its known answer."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from anomaly.checklist.checklist import Checklist
from anomaly.errors import ChecklistError, UsageError
from anomaly.model import Finding, Release, ReleaseVerdict, Verdict, Window
from anomaly.reporting.report import Report
from anomaly.setup import demo
from anomaly.setup.demo import Outcome, run
from tests.support.shop import FOLDER

FRANCE = Finding("request errors", Verdict.REGRESSED, "", segment={"country": "FR"})
GERMANY = Finding("request errors", Verdict.REGRESSED, "", segment={"country": "DE"})
ENGAGEMENT = Finding("engagement", Verdict.REGRESSED, "")
CONVERSION = Finding("checkout conversion", Verdict.REGRESSED, "")
REVENUE_IMPROVED = Finding("revenue", Verdict.IMPROVED, "")


class Told:
    """A judge that says what it is told, and remembers what it was asked."""

    def __init__(
        self,
        findings: Mapping[str, tuple[Finding, ...]],
        verdict: Mapping[str, ReleaseVerdict] | None = None,
    ) -> None:
        self.findings = findings
        self.verdicts = verdict or {}
        self.asked: list[tuple[Path | None, Release, datetime]] = []

    def __call__(self, checklist: Checklist, release: Release, /, *, now: datetime) -> Report:
        self.asked.append((checklist.path, release, now))
        assert checklist.path is not None
        name = checklist.path.parent.name
        findings = self.findings.get(name, ())
        regressed = any(finding.verdict is Verdict.REGRESSED for finding in findings)
        verdict = self.verdicts.get(name, ReleaseVerdict.FAIL if regressed else ReleaseVerdict.PASS)
        window = Window(release.started_at - timedelta(days=28), release.started_at)
        return Report(
            release=release,
            verdict=verdict,
            final=True,
            findings=findings,
            points=pd.DataFrame(),
            baseline=window,
            observation=window,
            step=timedelta(minutes=5),
            false_alarms=0.01,
        )


RIGHT = {"credential": (FRANCE,), "redesign": (ENGAGEMENT,)}


def verdicts(outcomes: tuple[Outcome, ...]) -> dict[str, bool]:
    return {outcome.name: outcome.ok for outcome in outcomes}


def test_every_release_is_judged_at_the_time_of_the_answers() -> None:
    judge = Told(RIGHT)

    outcomes = run(FOLDER, judge=judge)

    assert verdicts(outcomes) == {"healthy": True, "credential": True, "redesign": True}
    assert {now for _, _, now in judge.asked} == {datetime(2025, 6, 3, 16, tzinfo=UTC)}
    release = judge.asked[1][1]
    assert (release.service, release.environment, release.version) == (
        "shop",
        "production",
        "2025.22-payments",
    )
    assert (release.started_at, release.finished_at) == (
        datetime(2025, 6, 3, 9, tzinfo=UTC),
        datetime(2025, 6, 3, 9, 10, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("name", "findings"),
    [
        ("healthy", (CONVERSION,)),
        ("credential", ()),
        ("credential", (GERMANY,)),
        ("credential", (FRANCE, GERMANY)),
        ("credential", (CONVERSION,)),
        ("redesign", (CONVERSION,)),
        ("redesign", (ENGAGEMENT, FRANCE)),
    ],
)
def test_a_wrong_finding_is_a_wrong_answer(name: str, findings: tuple[Finding, ...]) -> None:
    outcomes = run(FOLDER, judge=Told(RIGHT | {name: findings}))

    assert [key for key, right in verdicts(outcomes).items() if not right] == [name]


@pytest.mark.parametrize("name", ["healthy", "credential", "redesign"])
@pytest.mark.parametrize("verdict", [ReleaseVerdict.INCONCLUSIVE, ReleaseVerdict.ERROR])
def test_no_verdict_is_a_wrong_answer(name: str, verdict: ReleaseVerdict) -> None:
    outcomes = run(FOLDER, judge=Told(RIGHT, {name: verdict}))

    assert [key for key, right in verdicts(outcomes).items() if not right] == [name]


def test_what_the_fault_touches_too_may_be_found() -> None:
    findings = {
        "healthy": (REVENUE_IMPROVED,),
        "credential": (FRANCE, CONVERSION),
        "redesign": (CONVERSION, ENGAGEMENT),
    }

    assert all(outcome.ok for outcome in run(FOLDER, judge=Told(findings)))


def test_the_sample_data_is_found_without_being_told() -> None:
    assert [outcome.name for outcome in run(judge=Told(RIGHT))] == [
        "healthy",
        "credential",
        "redesign",
    ]


def test_the_sample_data_of_an_installation_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(FOLDER, tmp_path / "installed", ignore=shutil.ignore_patterns("*.csv"))
    monkeypatch.setattr(demo, "PLACES", (tmp_path / "installed", FOLDER))

    assert demo.sample_data() == tmp_path / "installed"


def test_missing_sample_data_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PLACES", (tmp_path / "a", tmp_path / "b"))

    with pytest.raises(UsageError, match="the sample data is missing"):
        run(judge=Told(RIGHT))
    with pytest.raises(UsageError, match=r"no sample data; answers\.yaml is missing"):
        run(tmp_path, judge=Told(RIGHT))


def test_a_broken_checklist_is_an_error_not_a_wrong_answer(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "data", ignore=shutil.ignore_patterns("*.csv"))
    (tmp_path / "data" / "redesign" / "checklist.yaml").write_text("service: shop\n")

    with pytest.raises(ChecklistError, match="redesign"):
        run(tmp_path / "data", judge=Told(RIGHT))


@pytest.mark.slow
def test_the_tool_gives_the_known_answers() -> None:
    outcomes = run(FOLDER)

    assert verdicts(outcomes) == {"healthy": True, "credential": True, "redesign": True}
