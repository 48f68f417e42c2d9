"""`anomaly doctor`: check everything that a checklist needs."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomaly.cli.exit_codes import ExitCode
from anomaly.cli.options import ChecklistPath, Environment, Logs, Output, StoreAt, Verbose
from anomaly.cli.release import opened, right_now
from anomaly.cli.session import LogFormat, Session
from anomaly.cli.storing import place
from anomaly.cli.validate import summary
from anomaly.errors import ChecklistError
from anomaly.wording import plain

if TYPE_CHECKING:
    from anomaly.setup.doctor import Check

LONGEST_NAME, LONGEST_TEXT = 24, 600  # characters


def doctor(
    context: typer.Context,
    checklist_path: ChecklistPath,
    *,
    environment: Environment = None,
    store: StoreAt = None,
    output: Annotated[
        Output, typer.Option(help="Output format; json also keeps stderr quiet.")
    ] = Output.TABLE,
    _verbose: Verbose = False,
    _log_format: Logs = LogFormat.TEXT,
) -> ExitCode:
    """Check installation, sources, sinks and history; say what to fix.

    Sources are queried for their last steps; sinks are only connected to, without a message. Exits
    with 4 if something can't be reached.
    """
    from anomaly.setup.doctor import State

    session: Session = context.obj
    session.quiet = output is Output.JSON
    checks = _checks(checklist_path, environment, store, session)
    mask = session.redactor.text
    checks = [replace(check, said=mask(check.said), todo=mask(check.todo)) for check in checks]
    session.show(_json(checks) if output is Output.JSON else _lines(checks))
    if any(check.wrong for check in checks):
        return ExitCode.USAGE
    return (
        ExitCode.FAILED if any(check.state is State.FAILED for check in checks) else ExitCode.PASS
    )


def _checks(
    path: Path, environment: str | None, store: str | None, session: Session
) -> list[Check]:
    from anomaly.setup.doctor import Check, State, examine, installation

    checks = list(installation())
    try:
        checklist = opened(path, environment, session)
    except ChecklistError as error:
        return [
            *checks,
            Check("checklist", State.FAILED, str(error), f"anomaly validate {path}", wrong=True),
        ]
    checks.append(Check("checklist", State.OK, summary(path, checklist)))
    return [
        *checks,
        *examine(checklist, partial(place, store, checklist, session), now=right_now()),
    ]


def _lines(checks: Sequence[Check]) -> str:
    """A line per check, wrapped at the width of the terminal."""
    width = shutil.get_terminal_size((80, 24)).columns
    column = min(LONGEST_NAME, max(len(check.name) for check in checks))
    indent = " " * (8 + column + 2)
    lines: list[str] = []
    for check in checks:
        head = f"{check.state:<7} {plain(check.name, column):<{column}}  "
        texts = [plain(line, LONGEST_TEXT) for line in check.said.splitlines()] or [""]
        for text, first in [
            (texts[0], head),
            *((line, indent) for line in texts[1:]),
            *([(f"→ {check.todo}", indent)] if check.todo else []),
        ]:
            lines += textwrap.wrap(
                text, width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
            ) or [first]
    return "\n".join(lines)


def _json(checks: Sequence[Check]) -> str:
    entries = [
        {
            "name": each.name,
            "state": str(each.state),
            "said": each.said,
            "todo": each.todo,
            "took_s": round(each.took_s, 3),
        }
        for each in checks
    ]
    return json.dumps({"checks": entries}, indent=2)
