"""`anomaly test`: test cases for a checklist."""

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
    checklist_path: ChecklistPath,
    file: Annotated[
        Path, typer.Argument(metavar="CASES", help="YAML file with series and expected results.")
    ],
    *,
    environment: Environment = None,
    case: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Run only this case; repeatable.")
    ] = None,
    _verbose: Verbose = False,
    _log_format: Logs = LogFormat.TEXT,
) -> ExitCode:
    """Run test cases of a checklist on made-up data.

    No source is queried and no sink is notified; variables need not be set. Exits with 1 if a case
    fails.
    """
    from anomaly.checklist.checklist import load
    from anomaly.testing import cases as test_cases

    session: Session = context.obj
    checklist = load(checklist_path, environment=environment, environ=None)
    selection = test_cases.select(test_cases.load(file, checklist), case or ())
    log.info(
        "read %s and %s: %d KPIs, %d cases",
        checklist_path,
        file,
        len(checklist.kpis),
        len(selection),
    )
    failures = 0
    for each in selection:
        outcome = test_cases.run(each, checklist)
        failures += bool(outcome.misses)
        session.show("\n".join(_lines(outcome)))
    session.show(f"{len(selection) - failures} passed, {failures} failed")
    return ExitCode.REGRESSED if failures else ExitCode.PASS


def _lines(outcome: Outcome) -> Iterator[str]:
    yield f"{'FAIL' if outcome.misses else 'ok'}  {plain(outcome.name, LONGEST)}"
    for miss in outcome.misses:
        yield f"      expected {plain(miss.expected, LONGEST)}"
        yield f"           got {plain(miss.got, LONGEST)}"
