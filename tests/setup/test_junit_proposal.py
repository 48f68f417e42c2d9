"""Checklists from folders of test runs, of which some are what a real pytest wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from anomaly.checklist.checklist import load
from anomaly.cli.ending import run

BEGIN = datetime(2025, 5, 1, 3, tzinfo=UTC)
RECORDED = Path(__file__).parents[1] / "collectors" / "junit" / "pytest_reruns.xml"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str, *, count: int, every: timedelta, folder: str = "runs") -> None:
    """The same run again and again, each under the name of its time."""
    Path(folder).mkdir(exist_ok=True)
    for number in range(count):
        name = f"{BEGIN + number * every:%Y%m%dT%H%M%SZ}.xml"
        Path(folder, name).write_text(text, encoding="utf-8")


def suites(*names: str, stamp: str = "") -> str:
    case = '<testcase classname="c" name="{}" time="0.5">{}</testcase>'
    cases = case.format("pays", "") + case.format("ships", "<skipped/>")
    inside = (f'<testsuite name="{each}"{stamp}>{cases}</testsuite>' for each in names)
    return f"<testsuites>{''.join(inside)}</testsuites>"


@pytest.mark.slow
def test_runs_of_a_real_pytest_become_kpis_that_can_be_probed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("test_shop.py").write_text(
        "import pytest\ndef test_pays(): pass\n@pytest.mark.skip\ndef test_ships(): pass\n"
        "def test_gives(): assert False\n",
        encoding="utf-8",
    )
    asked = [sys.executable, "-m", "pytest", "-q", "--junitxml=run.xml", "test_shop.py"]
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    subprocess.run(asked, env=environ, check=False, capture_output=True)
    write(Path("run.xml").read_text(encoding="utf-8"), count=40, every=timedelta(days=1))

    assert run(["init", "--source", "junit=runs"]) == 0
    said = capsys.readouterr().out
    probe = said.rpartition("then run: anomaly ")[2].split()
    code = run(probe)

    assert code == 0, capsys.readouterr()
    assert "found 3 KPIs\n  failed tests: 40 of the 80 tests that ran failed\n" in said
    assert probe[-2:] == ["--until", "2025-06-10T03:00Z"]
    made = load("checklist.yaml")
    assert [(each.name, each.query, each.denominator, each.by) for each in made.kpis] == [
        ("failed tests", "failed", "executed", ()),
        ("duration", "duration", None, ()),
        ("skipped tests", "skipped", "tests", ()),
    ]
    assert made.sources["tests"].settings == {"path": "runs"}
    assert made.windows.step == timedelta(days=1)


def test_flaky_tests_are_a_kpi_where_there_are_some() -> None:
    write(RECORDED.read_text(encoding="utf-8"), count=4, every=timedelta(hours=1))

    assert run(["init", "--source", "junit=runs"]) == 0
    assert "flaky tests" in [each.name for each in load("checklist.yaml").kpis]


@pytest.mark.parametrize(
    ("apart", "step"),
    [
        (timedelta(minutes=20), timedelta(hours=1)),
        (timedelta(hours=5), timedelta(days=1)),
        (timedelta(days=6), timedelta(days=7)),
        (timedelta(days=30), timedelta(days=7)),
    ],
)
def test_a_step_is_as_long_as_it_takes_to_hold_a_run(apart: timedelta, step: timedelta) -> None:
    write(suites("web", "jobs"), count=30, every=apart)

    assert run(["init", "--source", "junit=runs"]) == 0
    made = load("checklist.yaml")
    assert made.windows.step == step
    assert made.kpis[0].by == ("suite",)


def test_timestamps_without_a_zone_are_read_in_utc_and_it_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("runs").mkdir()
    for day in range(10, 15):
        text = suites("web", stamp=f' timestamp="2025-05-{day}T10:00:00"')
        Path("runs", f"{day}.xml").write_text(text, encoding="utf-8")

    assert run(["init", "--source", "junit=runs"]) == 0
    assert "Timestamps without a zone are read in UTC" in capsys.readouterr().out
    assert load("checklist.yaml").sources["tests"].settings["timezone"] == "UTC"


@pytest.mark.parametrize(
    ("count", "text", "code", "said"),
    [
        (0, "", 4, "runs holds no .xml file; is it the folder of the test runs?"),
        (3, suites("web"), 2, "runs holds 3 runs with a time, too few to propose anything"),
        (4, "<testsuites", 4, "is no whole XML"),
    ],
)
def test_what_nothing_can_be_proposed_of_is_said(
    count: int, text: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(text, count=count, every=timedelta(days=1))

    assert run(["init", "--source", "junit=runs"]) == code
    assert said in capsys.readouterr().err
    assert not Path("checklist.yaml").exists()
