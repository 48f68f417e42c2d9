"""Everything that a person still has to write, in one list: `python -m tests.support.todo` prints
it, as `make golden` does at its end; `tests/docs/test_todo.py` fails while it is not empty."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from anomaly.checklist import registry
from anomaly.checklist.registry import COLLECTORS, RELEASES, SINKS
from docs.builder import plugin_pages
from docs.builder.nav import misplaced, nav_pages, read_nav, repository_pages
from docs.builder.plugin_pages import TODO, Type
from tests.docs.test_docs import PAGES, commands_and_options
from tests.sinks.test_contract import SETTINGS
from tests.support.places import ROOT
from tests.support.planted import EXAMPLES, untried_settings

SUITES = {
    COLLECTORS.name: ("tests/collectors/test_contract.py", "EXAMPLES", EXAMPLES[COLLECTORS.name]),
    RELEASES.name: ("tests/releases/test_contract.py", "EXAMPLES", EXAMPLES[RELEASES.name]),
    SINKS.name: ("tests/sinks/test_contract.py", "SETTINGS", SETTINGS),
}


def todo(root: Path = ROOT) -> list[str]:
    """What is still to be written, a line each: where, and what."""
    return [
        *(line for each in plugin_pages.types() for line in _of_type(each, root)),
        *plugin_pages.todo(root),
        *_of_nav(),
        *_of_commands(root),
    ]


def _of_type(each: Type, root: Path) -> Iterator[str]:
    suite, table, examples = SUITES[each.kind.name]
    if each.summary == TODO:
        target = registry.built_in_class(each.kind, each.name)
        yield f"{target.__module__}: say in the docstring of {target.__name__} what it does"
    if each.name not in examples:
        yield f"{suite}: give `{each.name}` a line in {table}"
    else:
        with TemporaryDirectory() as folder:
            untried = untried_settings(each.kind, each.name, Path(folder))
        for setting in untried:
            yield (
                f"{suite}: set `{setting}` in the line of `{each.name}`, with SECRET in it if it "
                "may hold a secret"
            )
    if f"`{each.name}`" not in (root / "CHANGELOG.md").read_text(encoding="utf-8"):
        yield f"CHANGELOG.md: say that there is a {each.kind.name} `{each.name}`"


def _of_nav() -> list[str]:
    nav = read_nav()
    generated = {page for page in nav_pages(nav) if page.startswith(("reference/", "index.md"))}
    return misplaced({place for _, place in repository_pages()} | generated, nav)


def _of_commands(root: Path) -> Iterator[str]:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    page = (root / "docs" / "commands.md").read_text(encoding="utf-8")
    commands = commands_and_options()
    for command in commands:
        if f"anomaly {command}" not in text:
            yield f"docs/commands.md: describe `anomaly {command}`"
    for option in sorted(set[str]().union(*commands.values())):
        if f"`{option}" not in page:
            yield f"docs/commands.md: describe `{option}`"


def main() -> int:
    lines = todo()
    if lines:
        sys.stderr.write("\n  ".join(["Still to be written:", *lines]) + "\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
