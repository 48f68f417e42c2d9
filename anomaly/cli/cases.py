"""`anomaly test`: does a checklist say what its team expects of it?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomaly.cli.exit_codes import ExitCode
from anomaly.cli.options import ChecklistPath, Environment, Logs, Verbose
from anomaly.cli.session import LogFormat, Session, log
from anomaly.wording import plain

if TYPE_CHECKING:
    from anomaly.testing.cases import Outcome

LONGEST = 300  # characters of a line


def cases(
    context: typer.Context,
    checklist: ChecklistPath,
    file: Annotated[
        Path, typer.Argument(metavar="CASES", help="A YAML file of series and of what is expected.")
    ],
    *,
    environment: Environment = None,
    case: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Run this case alone; may be repeated.")
    ] = None,
    _verbose: Verbose = False,
    _log_format: Logs = LogFormat.TEXT,
) -> ExitCode:
    """Judge made-up releases and say whether the checklist answers as expected.

    Nobody is asked and nobody is told; variables need not be set. Ends with 1 if a case fails.
    """
    from anomaly.checklist.checklist import load
    from anomaly.testing import cases as known

    session: Session = context.obj
    asked = load(checklist, environment=environment, environ=None)
    wanted = known.chosen(known.load(file, asked), case or ())
    log.info("read %s and %s: %d KPIs, %d cases", checklist, file, len(asked.kpis), len(wanted))
    failed = 0
    for each in wanted:
        outcome = known.run(each, asked)
        failed += bool(outcome.misses)
        session.show("\n".join(_lines(outcome)))
    session.show(f"{len(wanted) - failed} passed, {failed} failed")
    return ExitCode.REGRESSED if failed else ExitCode.PASS


def _lines(outcome: Outcome) -> Iterator[str]:
    yield f"{'FAIL' if outcome.misses else 'ok'}  {plain(outcome.name, LONGEST)}"
    for miss in outcome.misses:
        yield f"      expected {plain(miss.expected, LONGEST)}"
        yield f"           got {plain(miss.got, LONGEST)}"
