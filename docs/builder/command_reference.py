"""Every command with its arguments and options, as the command line itself knows them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer.main

from anomaly.cli.app import app
from anomaly.cli.exit_codes import MEANINGS
from docs.builder.markdown import cell

NOTE = re.compile(
    r"  \[(?P<notes>[^\[\]]+(?:\[[^\]]*\])?)\]$"
)  # `  [default: now; env var: X]`, as --help ends
INTRODUCTION = """# Commands at a glance

Generated from the command line itself: what `--help` says. [The commands](../commands.md) has
examples and says what the numbers mean.
"""


def page() -> str:
    group = typer.main.get_group(app)
    parts = [INTRODUCTION, "## Exit codes\n\n| code | meaning |\n|---|---|\n" + _codes()]
    parts += [_section(name, command) for name, command in commands(group)]
    return "\n".join(parts)


def commands(group: Any, above: str = "anomaly") -> Iterator[tuple[str, Any]]:
    """Every command that does something, as it is typed."""
    for name, command in sorted(group.commands.items()):
        full = f"{above} {name}"
        inside = getattr(command, "commands", None)
        if inside is None:
            yield full, command
        else:
            yield from commands(command, full)


def _codes() -> str:
    return "".join(f"| {code} | {meaning} |\n" for code, meaning in MEANINGS.items())


def _section(name: str, command: Any) -> str:
    context = type(command).context_class(command, info_name=name)
    records = [
        (parameter.param_type_name, parameter.get_help_record(context))
        for parameter in command.params
    ]
    usage = " ".join(command.collect_usage_pieces(context)).replace("{", "").replace("}", "")
    said = "\n\n".join(
        " ".join(part.split()) for part in (command.help or "").replace("\b", "").split("\n\n")
    )
    parts = [f"## `{name}`\n", f"{said}\n", f"```text\n{name} {usage}\n```\n"]
    for kind, head in (("argument", "argument"), ("option", "option")):
        rows = [_row(*record) for each, record in records if each == kind and record]
        if rows:
            parts.append(f"| {head} | meaning | otherwise |\n|---|---|---|\n{''.join(rows)}")
    return "\n".join(parts)


def _row(names: str, said: str) -> str:
    """A row of the table; what `--help` says in brackets stands in a column of its own."""
    found = NOTE.search(said)
    notes = "" if found is None else found["notes"]
    text = said if found is None else said[: found.start()]
    return (
        f"| {', '.join(f'`{cell(name)}`' for name in names.split(', '))} | {cell(text)} | "
        f"{cell(notes)} |\n"
    )
