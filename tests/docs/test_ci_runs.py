"""The pipelines of docs/ci.md, run as GitHub and GitLab run them: with the variables that they give
a job and no others, to the outcome of each exit code."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from anomaly.timing.durations import parse_moment
from tests.docs.test_ci_page import SHELL, YAML

PASSED, WARNED, FAILED = "passed", "with a warning", "failed"
OUTCOMES = {0: PASSED, 1: FAILED, 2: FAILED, 3: WARNED, 4: FAILED, 5: WARNED}
VERSION = "3f2a91c"
# each records how it is called; anomaly ends with the code of the test where it judges
PROGRAMS = {
    "anomaly": 'case "$1" in watch|check) exit "$(cat "$0.code")" ;; esac',
    "pip": "",
}


@dataclass
class Runner:
    """A machine that runs shell with the variables of a pipeline and no others."""

    folder: Path
    code: int
    variables: dict[str, str] = field(default_factory=dict)
    printed: str = ""

    def __post_init__(self) -> None:
        for name, then in PROGRAMS.items():
            self._program(
                self.folder / "bin" / name,
                f'for word in {name} "$@"; do printf "%s\\0" "$word"; done >>"{self._calls}"\n'
                f'printf "\\n" >>"{self._calls}"\n{then}',
            )
        (self.folder / "bin" / "anomaly.code").write_text(str(self.code))
        for name in ("deploy.sh", "rollback.sh"):
            self._program(self.folder / name, f'printf "%s\\0\\n" "{name}" >>"{self._calls}"')

    @property
    def _calls(self) -> Path:
        return self.folder / "calls"

    def _program(self, path: Path, text: str) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run(self, shell: str) -> int:
        """The exit code; an unset variable is an error."""
        done = subprocess.run(
            ["sh", "-eu", "-c", shell],
            cwd=self.folder,
            env={"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", **self.variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "not set" not in done.stderr, done.stderr
        self.printed += done.stdout
        return done.returncode

    def read(self, path: str) -> None:
        """Take variables from a file of NAME=value lines."""
        text = (self.folder / path).read_text()
        self.variables |= dict(line.split("=", 1) for line in text.splitlines())

    @property
    def calls(self) -> Sequence[Sequence[str]]:
        return [line.split("\0")[:-1] for line in self._calls.read_text().splitlines()]

    @property
    def judged(self) -> Mapping[str, str]:
        """The options of the call that judged."""
        (call,) = [each for each in self.calls if each[:1] == ["anomaly"] and each[1] in JUDGING]
        assert call[2] == "checklist.yaml"
        return dict(zip(call[3::2], call[4::2], strict=True))


JUDGING = ("watch", "check")


def github(job: Mapping[str, Any], runner: Runner) -> str:
    """The outcome of a job; the steps of others are taken as done."""
    (runner.folder / "env").touch()
    runner.variables = {"GITHUB_ENV": "env", "GITHUB_SHA": VERSION}
    runner.variables |= dict.fromkeys(job["env"], "http://127.0.0.1:9090")
    for step in job["steps"]:
        if "run" in step and runner.run(step["run"]):
            return FAILED
        runner.read("env")
    return WARNED if "::warning::" in runner.printed else PASSED


def gitlab(jobs: Sequence[Mapping[str, Any]], runner: Runner, given: Mapping[str, str]) -> str:
    """The outcome of jobs, one after the other; a job gets what those before it report."""
    runner.variables = {"PROMETHEUS_URL": "http://127.0.0.1:9090", **given}
    outcome = PASSED
    for job in jobs:
        code = runner.run("\n".join(job["script"]))
        allowed = job.get("allow_failure", {}).get("exit_codes", [])
        if code:
            outcome = WARNED if code in allowed else FAILED
        if dotenv := job.get("artifacts", {}).get("reports", {}).get("dotenv"):
            runner.read(dotenv)
    return outcome


def all_times(options: Mapping[str, str]) -> Iterator[datetime]:
    for name in ("--released-at", "--finished-at"):
        yield parse_moment(options[name], now=datetime.now(UTC))


@pytest.mark.slow
@pytest.mark.parametrize("code", OUTCOMES)
def test_the_workflow_of_github(tmp_path: Path, code: int) -> None:
    (job,) = yaml.safe_load(YAML[1].body)["jobs"].values()
    runner = Runner(tmp_path, code)

    assert github(job, runner) == OUTCOMES[code]

    assert [call[0] for call in runner.calls] == ["pip", "anomaly", "deploy.sh", "anomaly"]
    began, ended = all_times(runner.judged)
    assert began <= ended
    assert runner.judged["--release"] == VERSION


@pytest.mark.parametrize("code", OUTCOMES)
def test_the_pipeline_of_gitlab(tmp_path: Path, code: int) -> None:
    pipeline = yaml.safe_load(YAML[2].body)
    jobs = [pipeline[name] for name in pipeline["stages"]]
    runner = Runner(tmp_path, code)

    assert gitlab(jobs, runner, {"CI_COMMIT_SHORT_SHA": VERSION}) == OUTCOMES[code]

    assert [call[0] for call in runner.calls] == ["deploy.sh", "pip", "anomaly"]
    began, ended = all_times(runner.judged)
    assert began <= ended
    assert runner.judged["--release"] == VERSION


@pytest.mark.parametrize("code", OUTCOMES)
def test_the_schedule_of_gitlab_knows_nothing_of_a_deploy(tmp_path: Path, code: int) -> None:
    (job,) = yaml.safe_load(YAML[3].body).values()
    runner = Runner(tmp_path, code)

    assert gitlab([job], runner, {"CI_PIPELINE_SOURCE": "schedule"}) == OUTCOMES[code]

    assert runner.judged == {}


@pytest.mark.parametrize("code", OUTCOMES)
def test_the_shell_acts_on_the_answer(tmp_path: Path, code: int) -> None:
    runner = Runner(tmp_path, code, {"DEPLOY_STARTED": "-2h", "VERSION": VERSION})

    ended = runner.run(SHELL[0].body)

    assert ended == (0 if OUTCOMES[code] in (PASSED, WARNED) else code)
    assert (["rollback.sh"] in runner.calls) is (code == 1)
    assert bool(runner.printed) is (OUTCOMES[code] is WARNED)


def test_what_is_installed_is_the_wheel_of_this_version(tmp_path: Path) -> None:
    from importlib.metadata import version

    runner = Runner(tmp_path, 0)
    (job,) = yaml.safe_load(YAML[3].body).values()
    gitlab([job], runner, {})
    (call,) = [call for call in runner.calls if call[0] == "pip"]
    assert call[:2] == ["pip", "install"]
    name = f"release_anomaly-{version('release-anomaly')}-py3-none-any.whl"
    assert call[2].rpartition("/")[2] == name
