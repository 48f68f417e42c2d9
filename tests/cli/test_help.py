"""What a user reads in `--help` before reading anything else: whole sentences, and the same words
as the pages."""

from __future__ import annotations

import re

import pytest
import typer.main
from typer.core import TyperGroup

from anomaly.cli.app import WORDS, app
from anomaly.cli.ending import run
from anomaly.cli.exit_codes import MEANINGS, ExitCode
from tests.support.places import ROOT

COLUMNS = 80
GROUPS = ("", "sinks", "release", "install")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
TERMS = re.findall(r"^## (.+)$", GLOSSARY, re.MULTILINE)


@pytest.fixture
def help_of(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The help of each group at 80 columns."""
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    pages = {}
    for group in GROUPS:
        assert run([*group.split(), "--help"]) == ExitCode.PASS
        pages[group] = capsys.readouterr().out
    return pages


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_every_summary_is_a_whole_sentence_within_80_columns(
    group: str, help_of: dict[str, str]
) -> None:
    lines = help_of[group].splitlines()
    commands = _section(lines, "Commands:")
    summaries = [" ".join(line.split()[1:]) for line in commands]
    root = typer.main.get_group(app)
    parent = root.commands[group] if group else root
    assert isinstance(parent, TyperGroup)
    first = [
        re.split(r"(?<=\.)\s", each.help or "")[0].rstrip(".") for each in parent.commands.values()
    ]

    assert max(map(len, lines)) <= COLUMNS
    assert not [line for line in commands if line.endswith(("...", "…"))]
    assert [each.rstrip(".") for each in summaries] == first


def test_the_exit_codes_read_the_same_in_the_help_and_on_the_pages(
    help_of: dict[str, str],
) -> None:
    codes = dict(re.findall(r"^ +(\d)  (.+)$", help_of[""], re.MULTILINE))
    assert codes == {str(int(code)): meaning for code, meaning in MEANINGS.items()}
    for page in ("README.md", "docs/commands.md"):
        rows = re.findall(
            r"^\| (\d) \| ([^|]+) \|$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE
        )
        assert dict(rows[: len(codes)]) == codes, page


def test_the_help_explains_its_words_as_the_glossary_does_and_names_the_page(
    help_of: dict[str, str],
) -> None:
    lines = _section(help_of[""].splitlines(), "Words (all of them: docs/glossary.md):")
    assert [line.split("  ")[0] for line in lines] == list(WORDS)
    assert set(WORDS) <= set(TERMS)


def test_the_glossary_is_in_alphabetical_order_and_can_be_found() -> None:
    assert sorted(TERMS, key=str.casefold) == TERMS
    assert "](docs/glossary.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert '"glossary.md"' in (ROOT / "docs" / "zensical.toml").read_text(encoding="utf-8")


def _section(lines: list[str], title: str) -> list[str]:
    """The indented lines under a title, without their indent."""
    start = next(place for place, line in enumerate(lines) if line.strip() == title)
    indent = len(lines[start]) - len(lines[start].lstrip()) + 2
    section = []
    for line in lines[start + 1 :]:
        if not line.startswith(" " * indent):
            break
        section.append(line.strip())
    return section
