"""The documentation holds: links lead somewhere, examples run and print what is shown.

A ```python block is run as a program, after those before it on its page. A ```console block holds
`$ command` lines, each followed by its output, where `...` stands for anything; they run in an
empty folder that has `sample_data`. Blocks of other kinds are not run.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.places import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("sample_data/**/*.md")])
FENCE = re.compile(r"^```(?P<kind>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)  # what only the site shows is checked there
HEADING = re.compile(r"^#+ +(?P<text>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    kind: str
    body: str


def blocks(kind: str) -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for fence in FENCE.finditer(text):
            found.append(
                Block(
                    page,
                    text.count("\n", 0, fence.start()) + 1,
                    fence["kind"].strip(),
                    fence["body"],
                )
            )
    return [block for block in found if block.kind == kind]


def place(value: Block | Path) -> str:
    page = value.page if isinstance(value, Block) else value
    return (
        f"{page.relative_to(ROOT)}:{value.line}"
        if isinstance(value, Block)
        else str(page.relative_to(ROOT))
    )


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    return tmp_path


def environ() -> dict[str, str]:
    scripts = Path(sys.executable).parent
    return {
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "100",
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
    }


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=place)
def test_links_lead_somewhere(page: Path) -> None:
    text = COMMENT.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))
    for link in LINK.finditer(text):
        target, _, fragment = link["target"].partition("#")
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        file = page.parent / target if target else page
        assert file.exists(), f"{link['target']} leads nowhere"
        if fragment:
            headings = HEADING.findall(FENCE.sub("", file.read_text(encoding="utf-8")))
            assert fragment in map(anchor, headings), f"{link['target']} has no such heading"


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({block.page for block in blocks("python")}), ids=place)
def test_python_examples_run(page: Path, folder: Path) -> None:
    program = "\n".join(block.body for block in blocks("python") if block.page == page)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=folder,
        env=environ(),
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks("console"), ids=place)
def test_commands_print_what_is_shown(block: Block, folder: Path) -> None:
    matches = doctest.OutputChecker().check_output
    status = 0
    for part in re.split(r"^\$ ", block.body, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        line = ["/bin/bash", "-c", f"(exit {status}); {command}"]
        done = subprocess.run(
            line,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
            cwd=folder,
            env=environ(),
        )
        status = done.returncode
        assert matches(
            shown, done.stdout + done.stderr, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        ), done.stdout + done.stderr


def commands_and_options() -> dict[str, set[str]]:
    """Every command as it is typed, `sinks test` too, with the options that its help shows; under
    "" those of `anomaly` alone."""
    import typer.main

    from anomaly.cli.app import app

    found, waiting = dict[str, set[str]](), [("", typer.main.get_group(app))]
    while waiting:
        name, command = waiting.pop()
        inside = getattr(command, "commands", {})
        waiting += [(f"{name} {each}".strip(), below) for each, below in inside.items()]
        if not name or not inside:
            found[name] = {
                option
                for parameter in command.params
                for option in parameter.opts
                if option.startswith("-") and not getattr(parameter, "hidden", False)
            }
    return found
