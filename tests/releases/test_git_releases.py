"""Releases from the tags of real repositories."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from anomaly.errors import CollectError, RetryableCollectError, UsageError
from anomaly.model import Window
from anomaly.releases.git import GitReleases

START = datetime(2025, 3, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)
WHOLE = Window(START, START + 100 * HOUR)
HOSTILE = [
    "v$(touch${IFS}pwned)",
    "v;touch`pwned`",
    "v'\"|&<>",
    "v%00%(objectname)",
    "v--help",
    "v-ü-\u202e",
]


class Repository:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(path.parent),
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        path.mkdir()
        self.git(0, "init", "--quiet")

    def git(self, hour: float, *words: str) -> None:
        when = f"{(START + hour * HOUR).timestamp():.0f} +0200"
        who = {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "A"), ("EMAIL", "a@b"), ("DATE", when))
        }
        subprocess.run(
            ["git", "-C", str(self.path), *words],
            env=self.environ | who,
            check=True,
            capture_output=True,
        )

    def commit(self, hour: float) -> None:
        self.git(hour, "commit", "--quiet", "--allow-empty", "-m", "work")

    def found(self, window: Window = WHOLE, **settings: Any) -> list[tuple[str, float]]:
        releases = GitReleases(path=self.path, environ=self.environ, **settings).discover(window)
        return [(each.version, (each.started_at - START) / HOUR) for each in releases]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "shop")
    made.commit(1)
    return made


def test_a_tag_is_a_release_when_it_was_tagged_or_else_committed(repository: Repository) -> None:
    repository.git(2, "tag", "v1.0")
    repository.git(3, "tag", "-a", "-m", "said", "v1.1")
    repository.git(3, "tag", "nightly")
    repository.commit(50)
    repository.git(60, "tag", "v2.0")
    assert repository.found() == [("v1.0", 1), ("v1.1", 3), ("v2.0", 50)]
    assert repository.found(tags="night*") == [("nightly", 1)]
    assert repository.found(Window(START + 3 * HOUR, START + 50 * HOUR)) == [("v1.1", 3)]
    assert repository.found(tags="w*") == []


def test_a_tag_of_something_without_a_time_is_left_out(repository: Repository) -> None:
    blob = subprocess.run(
        ["git", "-C", str(repository.path), "hash-object", "-w", "--stdin"],
        input=b"x",
        capture_output=True,
        check=True,
        env=repository.environ,
    )
    repository.git(2, "tag", "v-file", blob.stdout.decode().strip())
    assert repository.found() == []


def test_hostile_names_are_only_names(repository: Repository) -> None:
    for name in HOSTILE:
        repository.git(2, "tag", name)
    assert sorted(name for name, _ in repository.found()) == sorted(HOSTILE)
    for pattern in ("--upload-pack=touch pwned", "$(touch pwned)", "../heads/*", "v*\n--help"):
        assert repository.found(tags=pattern) == []
    assert not [*repository.path.parent.rglob("pwned*")]


def test_a_folder_may_be_named_like_an_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Repository(tmp_path / "--exec=x")
    made.commit(1)
    made.git(1, "tag", "v1")
    monkeypatch.chdir(tmp_path)
    made.path = Path("--exec=x")
    assert made.found() == [("v1", 1)]


def test_a_hook_that_runs_it_does_not_lead_it_elsewhere(
    repository: Repository, tmp_path: Path
) -> None:
    repository.git(2, "tag", "v1")
    repository.environ |= {"GIT_DIR": str(tmp_path / "elsewhere"), "GIT_WORK_TREE": "/"}
    assert repository.found() == [("v1", 1)]


def test_what_is_no_repository_is_said(tmp_path: Path, repository: Repository) -> None:
    (tmp_path / "empty").mkdir()
    repository.environ["GIT_CEILING_DIRECTORIES"] = str(tmp_path)
    with pytest.raises(
        CollectError, match=r"empty: is not a git repository; give the folder that holds .git"
    ):
        GitReleases(path=tmp_path / "empty", environ=repository.environ).discover(WHOLE)
    with pytest.raises(
        CollectError,
        match=r"missing: git says: fatal: cannot change to .*No such file or directory",
    ):
        GitReleases(path=tmp_path / "missing", environ=repository.environ).discover(WHOLE)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository away")
def test_a_repository_of_another_user_is_said_with_what_to_do(repository: Repository) -> None:
    for path in (repository.path, repository.path / ".git"):
        os.chown(path, 12345, 12345)
    with pytest.raises(
        CollectError,
        match=(
            f"belongs to another user.*git config --global --add safe.directory {repository.path}"
        ),
    ):
        repository.found()
    repository.git(1, "config", "--global", "--add", "safe.directory", str(repository.path))
    assert repository.found() == []


def test_git_that_is_missing_or_hangs_is_an_error(repository: Repository, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    repository.environ["PATH"] = str(programs)
    with pytest.raises(CollectError, match="git is not installed, or not on PATH"):
        repository.found()
    (programs / "git").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    (programs / "git").chmod(0o755)
    with pytest.raises(RetryableCollectError, match=r"git gave no answer within 0\.2 s"):
        GitReleases(
            path=repository.path, timeout=timedelta(seconds=0.2), environ=repository.environ
        ).discover(WHOLE)


def test_settings_that_cant_be_used(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tags is empty"):
        GitReleases(path=tmp_path, tags=" ")
    with pytest.raises(UsageError, match="timeout"):
        GitReleases(path=tmp_path, timeout=timedelta(0))
