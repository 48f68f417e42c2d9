"""`anomaly sinks test`: send a test message to each sink."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from anomaly.checklist.checklist import Checklist
from anomaly.cli.exit_codes import ExitCode
from anomaly.cli.options import ChecklistPath, Environment, Logs, Verbose
from anomaly.cli.release import opened, right_now
from anomaly.cli.session import LogFormat, Session
from anomaly.contracts import Action, Message
from anomaly.errors import UsageError
from anomaly.wording import did_you_mean

if TYPE_CHECKING:
    from anomaly.reporting.report import Report

TRIAL = "trial"

sinks = typer.Typer(help="Test the sinks of a checklist.", rich_markup_mode=None)


@sinks.command("test")
def try_sinks(
    context: typer.Context,
    checklist_path: ChecklistPath,
    *,
    environment: Environment = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE", help="Test only sinks of this type; repeatable."),
    ] = None,
    _verbose: Verbose = False,
    _log_format: Logs = LogFormat.TEXT,
) -> ExitCode:
    """Send a test message to each sink and report the result.

    The message is marked as a test and is not about any release. Exits with 5 if a delivery fails.
    """
    from anomaly.history.records import release_id
    from anomaly.notify.delivery import Envelope, deliver
    from anomaly.reporting.words import receipt_line
    from anomaly.watch.look import RETRY_POLICY, receivers_of, sinks_of

    session: Session = context.obj
    checklist = opened(checklist_path, environment, session)
    types = [plugin.type for _, plugin in checklist.receivers]
    for name in only or ():
        if name not in types:
            raise UsageError(
                f"--only {name}: the checklist has no such "
                f"sink{_known(types)}{did_you_mean(name, types)}"
            )
    if not types:
        raise UsageError("the checklist has no sink except the terminal; add some under sinks")
    report = made_up(checklist, right_now())
    targets = [
        each
        for each in sinks_of(receivers_of(checklist))  # a hook would act
        if not only or each.name.partition(" ")[0] in only
    ]
    message = Message(
        release_id(report.release), report, Action.TRIAL, id=release_id(report.release)
    )
    receipts = deliver(
        [Envelope(each.name, each.sink, message) for each in targets],
        retry_policy=RETRY_POLICY,
        redact=session.redactor.text,
    )
    session.show("\n".join(receipt_line(receipt) for receipt in receipts))
    return ExitCode.PASS if all(receipt.delivered for receipt in receipts) else ExitCode.NOT_TOLD


def made_up(checklist: Checklist, now: datetime) -> Report:
    """A report without findings, about an invented release."""
    import pandas as pd

    from anomaly.model import Release, ReleaseVerdict, Window
    from anomaly.reporting.report import Report

    release = Release(
        now, service=checklist.service, version=TRIAL, environment=checklist.environment
    )
    step = checklist.windows.step
    return Report(
        release=release,
        verdict=ReleaseVerdict.INCONCLUSIVE,
        final=False,
        findings=(),
        points=pd.DataFrame(),
        baseline=Window(now - step, now),
        observation=Window(now, now + step),
        step=step,
        false_alarms=checklist.false_alarms,
        made={TRIAL: "a test message sent by hand; nothing was judged"},
    )


def _known(types: list[str]) -> str:
    return f"; use one of {', '.join(dict.fromkeys(types))}" if types else ""
