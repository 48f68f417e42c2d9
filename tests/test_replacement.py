"""A file is replaced whole, as what it was."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from anomaly import replacement
from anomaly.replacement import replace_file


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444])
def test_a_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    path.chmod(mode)

    replace_file(path, b"new")

    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_has_the_mode_of_the_process(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / "report.html", b"new")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "report.html").stat().st_mode) == 0o640


def test_ones_own_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "first").symlink_to("second")
    (tmp_path / "second").symlink_to(tmp_path / "report.html")

    replace_file(tmp_path / "first", b"new")

    assert (tmp_path / "first").is_symlink()
    assert (tmp_path / "report.html").read_text() == "new"
    assert {each.name for each in tmp_path.iterdir()} == {"first", "second", "report.html"}


def test_a_link_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kept").write_text("old")
    (tmp_path / "report.html").symlink_to(tmp_path / "kept")
    owner = (tmp_path / "report.html").lstat().st_uid
    monkeypatch.setattr(replacement, "ROOT", owner + 1)
    monkeypatch.setattr("os.geteuid", lambda: owner + 2)

    with pytest.raises(OSError, match="link of another user"):
        replace_file(tmp_path / "report.html", b"new")

    assert (tmp_path / "kept").read_text() == "old"


@pytest.mark.parametrize("kind", ["folder", "pipe", "loop"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "report.html"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path)

    with pytest.raises(OSError, match=r"not a regular file|link to itself"):
        replace_file(path, b"new")

    assert len([*tmp_path.iterdir()]) == 1


def test_a_trial_leaves_no_trace(tmp_path: Path) -> None:
    replace_file(tmp_path / "report.html", b"new", trial=True)

    assert not [*tmp_path.iterdir()]
