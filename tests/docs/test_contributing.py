"""CONTRIBUTING.md: its walk through a sink, a collector and a release source works as written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_docs import FENCE
from tests.support.places import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PAGE = ROOT / "CONTRIBUTING.md"
TITLE = re.compile(r'python title="(?P<path>[\w/.]+)(?:, in (?P<table>[A-Z]+))?"')
SUITES = (
    "tests/sinks/test_contract.py",
    "tests/collectors/test_contract.py",
    "tests/releases/test_contract.py",
)
COPIED = ("anomaly", "docs", "notebooks", "sample_data", "tests")
NEW = ("chat", "sheet", "log")


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in which the walk was followed."""
    copy = tmp_path_factory.mktemp("walk")
    for name in COPIED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [*ROOT.glob("*.md"), ROOT / "pyproject.toml"]:
        shutil.copy(path, copy)
    for fence in FENCE.finditer(PAGE.read_text(encoding="utf-8")):
        if title := TITLE.fullmatch(fence["kind"]):
            write(copy / title["path"], title["table"], fence["body"])
    return copy


def write(path: Path, table: str | None, body: str) -> None:
    """Make a new file, or put a line at the beginning of a table."""
    if table is None:
        assert not path.exists()
        path.write_text(body, encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    begin = re.search(rf"^{table}\b.*?\{{\n", text, re.MULTILINE | re.DOTALL)
    assert begin is not None, f"{path} has no {table}"
    path.write_text(text[: begin.end()] + body + text[begin.end() :], encoding="utf-8")


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "ANOMALY_GOLDEN": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_snippets_pass_the_conformance_suites_and_the_lint(walked: Path) -> None:
    tests = run(walked, "pytest", "-v", "-p", "no:cacheprovider", "-k", " or ".join(NEW), *SUITES)
    assert tests.returncode == 0, tests.stdout
    assert [name for name in NEW if f"[{name}" not in tests.stdout] == []
    lint = run(walked, "ruff", "check", "--no-cache", "anomaly", *SUITES)
    assert lint.returncode == 0, lint.stdout


def test_what_is_left_to_write_is_listed_at_once_and_nothing_after_it_is_written(
    walked: Path,
) -> None:
    run(walked, "docs.builder.plugin_pages")
    left = run(walked, "tests.support.todo")
    (shown,) = [
        fence["body"]
        for fence in FENCE.finditer(PAGE.read_text(encoding="utf-8"))
        if fence["body"].startswith("Still to be written:")
    ]
    assert left.returncode == 1
    assert {*shown.splitlines()} <= {*left.stderr.splitlines()}
    assert "docs/collectors.md:" in left.stderr
    assert "docs/releases.md:" in left.stderr

    for path in (walked / "docs").rglob("*.md"):
        path.write_text(path.read_text(encoding="utf-8").replace("TODO", "words"), encoding="utf-8")
    with (walked / "CHANGELOG.md").open("a", encoding="utf-8") as changes:
        changes.write("".join(f"- New: `{name}`.\n" for name in NEW))
    assert run(walked, "tests.support.todo").stderr == ""
