"""What `make hooks` puts into a clone runs the project's own checks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from distribution.readiness import ROOT

CONFIG = ROOT / ".pre-commit-config.yaml"
TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
MAKE = "make --no-print-directory "
MAKEFILE = """\
%:
\t@test "$@" != "$(BROKEN)"
\t@echo $@ >>.made
"""


def hooks() -> list[dict[str, Any]]:
    (repository,) = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["repos"]
    assert repository["repo"] == "local"  # nothing is fetched but what uv.lock names
    found: list[dict[str, Any]] = repository["hooks"]
    return found


def pre_commit(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "pre-commit"
    own = {"PRE_COMMIT_HOME": str(folder / ".home"), "PRE_COMMIT_COLOR": "never"}
    environ = os.environ | own | {"GIT_CONFIG_GLOBAL": os.devnull}
    command = [str(program), *words]
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with these hooks and a Makefile that only notes which target is made."""
    (tmp_path / CONFIG.name).write_text(CONFIG.read_text(encoding="utf-8"))
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / ".gitignore").write_text(".home\n.made\n")
    for words in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


@pytest.mark.parametrize("hook", hooks(), ids=lambda hook: str(hook["id"]))
def test_every_hook_is_a_target_of_the_makefile(hook: dict[str, Any]) -> None:
    targets = TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8"))
    assert hook["entry"].startswith(MAKE)
    assert hook["entry"].removeprefix(MAKE) in targets


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["pre-commit", "pre-push"])
def test_each_stage_runs_all_its_hooks(clone: Path, stage: str) -> None:
    expected = [hook["id"] for hook in hooks() if stage in hook["stages"]]
    done = pre_commit(clone, "run", "--all-files", "--hook-stage", stage)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (clone / ".made").read_text().splitlines() == expected != []


@pytest.mark.slow
def test_a_check_that_fails_stops_the_commit(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKEN", "lint")
    done = pre_commit(clone, "run", "--all-files")
    assert done.returncode == 1
    assert re.search(r"make lint\.+Failed", done.stdout)


@pytest.mark.slow
def test_both_hooks_are_installed_by_one_command(clone: Path) -> None:
    done = pre_commit(clone, "install")
    assert done.returncode == 0, done.stdout + done.stderr
    installed = {each.name for each in (clone / ".git" / "hooks").iterdir()}
    assert {"pre-commit", "pre-push"} <= installed
