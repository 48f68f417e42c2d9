"""`anomaly demo`: judge the releases of the sample data, which have known verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from anomaly.cli.exit_codes import ExitCode
from anomaly.cli.options import Logs, Verbose
from anomaly.cli.session import LogFormat, Session

if TYPE_CHECKING:
    from anomaly.setup.demo import Outcome


def demo(
    context: typer.Context, *, _verbose: Verbose = False, _log_format: Logs = LogFormat.TEXT
) -> ExitCode:
    """Judge three releases of a sample shop, offline.

    Exits with 0 if each gets its known verdict, else with 4.
    """
    from anomaly.setup.demo import run

    session: Session = context.obj
    outcomes = run()
    for outcome in outcomes:
        _show(outcome, session)
    count = sum(outcome.ok for outcome in outcomes)
    session.show(f"{count} of {len(outcomes)} releases got the expected verdict")
    return ExitCode.PASS if count == len(outcomes) else ExitCode.FAILED


def _show(outcome: Outcome, session: Session) -> None:
    from anomaly.sinks import console

    verdict = outcome.report.verdict
    mismatch = "" if outcome.ok or verdict != outcome.answer.verdict else ", but for the wrong KPIs"
    session.show(f"── {outcome.name}: expected {outcome.answer.verdict}, got {verdict}{mismatch}")
    with session.stdout() as stream:
        console.show(outcome.report, stream)
    session.show("")
