"""The workflow runs what every change must pass, and may do no more than read."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from distribution.readiness import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
TEXT = WORKFLOW.read_text(encoding="utf-8")
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
PROGRAM = Path(sys.executable).parent / "zizmor"
ZIZMOR = (str(PROGRAM), "--offline", "--pedantic", "--quiet", "--no-config")


@pytest.fixture
def job() -> dict[str, Any]:
    (found,) = yaml.safe_load(TEXT)["jobs"].values()
    job: dict[str, Any] = found
    return job


def test_every_action_is_pinned_to_a_commit_and_says_its_version() -> None:
    uses = [line for line in TEXT.splitlines() if "uses:" in line]
    assert uses
    assert [line for line in uses if not PINNED.search(line)] == []


def test_the_job_may_only_read_and_ends(job: dict[str, Any]) -> None:
    assert yaml.safe_load(TEXT)["permissions"] == {"contents": "read"}
    assert "permissions" not in job
    assert job["timeout-minutes"] <= 90


def test_every_supported_python_runs_what_every_change_must_pass(job: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    last_words = [each.rpartition(" :: ")[2] for each in project["classifiers"]]
    supported = [each for each in last_words if re.fullmatch(r"3\.\d+", each)]

    assert [each["python"] for each in job["strategy"]["matrix"]["include"]] == supported
    assert job["steps"][-1]["run"] == ".ci/run"
    assert (ROOT / ".ci" / "run").is_file()


def test_every_image_has_its_python_and_is_pinned_to_a_digest(job: dict[str, Any]) -> None:
    for each in job["strategy"]["matrix"]["include"]:
        version = re.escape(each["python"])
        pinned = rf"python:{version}\.\d+-bookworm@sha256:[0-9a-f]{{64}}"
        assert re.fullmatch(pinned, each["image"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        (r"@[0-9a-f]{40} # v\S+", "@main", "unpinned-uses"),
        ("permissions:\n  contents: read", "permissions: write-all", "excessive-permissions"),
        ("persist-credentials: false", "fetch-depth: 1", "artipacked"),
    ],
)
def test_the_linter_refuses_what_is_unsafe(
    tmp_path: Path, old: str, new: str, finding: str
) -> None:
    unsafe = tmp_path / "ci.yml"
    unsafe.write_text(re.sub(old, new, TEXT))
    done = subprocess.run([*ZIZMOR, str(unsafe)], capture_output=True, text=True, check=False)
    assert done.returncode > 0
    assert finding in done.stdout
