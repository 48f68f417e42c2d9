"""`anomaly demo`: judge the releases of the sample data, whose right answers are known."""

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

    Ends with 0 if each gets its known answer, else with 4.
    """
    from anomaly.setup import demo as sample

    session: Session = context.obj
    outcomes = sample.run()
    for outcome in outcomes:
        _show(outcome, session)
    right = sum(outcome.ok for outcome in outcomes)
    session.show(f"{right} of {len(outcomes)} releases got their known answer")
    return ExitCode.PASS if right == len(outcomes) else ExitCode.FAILED


def _show(outcome: Outcome, session: Session) -> None:
    from anomaly.sinks import console

    expected = f"expected: {outcome.answer.verdict}"
    session.show(
        f"── {outcome.name}: {expected}, "
        f"{'as it is' if outcome.ok else 'but this is another answer'}"
    )
    with session.stdout() as stream:
        console.show(outcome.report, stream)
    session.show("")
