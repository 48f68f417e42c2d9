"""A commit is released only with a change log, a clean tree and a tag that match its version."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from distribution import readiness

READY = """\
# Changelog

## [Unreleased]

## [1.2.0] - 2026-03-04

### Added

- A sink.

## [1.1.0] - 2026-01-02

- A source.
"""
PROJECT = '[project]\nname = "shop"\nversion = "1.2.0"\n'


def git(folder: Path, *words: str) -> None:
    name = ("-c", "user.name=someone", "-c", "user.email=someone@example.com")
    subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)  # someone may sign every tag
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "CHANGELOG.md").write_text(READY)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "Raise the version")
    return tmp_path


def test_a_commit_with_all_it_needs_may_be_released(repository: Path) -> None:
    assert readiness.problems(repository) == []
    git(repository, "tag", "v1.2.0")
    assert readiness.problems(repository) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("## [1.2.0] - 2026-03-04", "### Older", "no section '## [1.2.0] - YYYY-MM-DD'"),
        (" - 2026-03-04", "", "the section [1.2.0] has no day"),
        ("- A sink.", "", "the section [1.2.0] has no entry"),
        ("## [Unreleased]", "", "no section '## [Unreleased]'"),
        ("## [Unreleased]", "## [Unreleased]\n\n- A page.", "[Unreleased] has entries"),
    ],
)
def test_what_the_change_log_lacks_is_named(old: str, new: str, problem: str) -> None:
    (found,) = readiness.changelog_problems(READY.replace(old, new), "1.2.0")
    assert problem in found


def test_a_change_that_is_not_committed_is_named(repository: Path) -> None:
    (repository / "CHANGELOG.md").write_text(READY + "\n")
    (found,) = readiness.problems(repository)
    assert found == "git: commit what changed first: CHANGELOG.md, 1 in all"


def test_a_tag_of_another_version_is_named(repository: Path) -> None:
    git(repository, "tag", "v1.3.0")
    (found,) = readiness.problems(repository)
    assert found == "git: this commit has the tag v1.3.0, but pyproject.toml says 1.2.0"


def test_a_tag_that_another_commit_has_is_not_given_again(repository: Path) -> None:
    git(repository, "tag", "v1.2.0")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "Go on")
    (found,) = readiness.problems(repository)
    assert found == "git: another commit has the tag v1.2.0; raise the version in pyproject.toml"


def test_the_projects_own_change_log_is_read() -> None:
    text = (readiness.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "Unreleased" in {section["version"] for section in readiness.SECTION.finditer(text)}
