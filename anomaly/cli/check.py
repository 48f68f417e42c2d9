"""`anomaly check`: judge one release and notify the sinks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomaly.checklist.checklist import Checklist
from anomaly.cli.exit_codes import ExitCode, of_report
from anomaly.cli.forms import Forms, Markdown, Pictures, Points, written
from anomaly.cli.judging import Case, check_names, gather
from anomaly.cli.options import (
    ChecklistPath,
    Environment,
    FinishedAt,
    From,
    Logs,
    NextRelease,
    Output,
    ReleasedAt,
    ReportTo,
    Stages,
    Until,
    Verbose,
    Version,
)
from anomaly.cli.release import Words, opened
from anomaly.cli.session import LogFormat, Session, log
from anomaly.contracts import Action, Message
from anomaly.errors import UsageError

if TYPE_CHECKING:
    from anomaly.contracts import Receipt, Sink
    from anomaly.reporting.report import Report


def check(
    context: typer.Context,
    checklist_path: ChecklistPath,
    *,
    released_at: ReleasedAt = None,
    finished_at: FinishedAt = None,
    stage: Stages = None,
    next_release: NextRelease = None,
    release: Version = "",
    environment: Environment = None,
    until: Until = None,
    output: Annotated[
        Output, typer.Option(help="Output format; json also keeps stderr quiet.")
    ] = Output.TABLE,
    only: Annotated[
        list[str] | None, typer.Option(metavar="KPI", help="Judge only this KPI; repeatable.")
    ] = None,
    report: ReportTo = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Save the collected data, to judge it again with --from."
        ),
    ] = None,
    saved_data: From = None,
    pictures: Pictures = None,
    markdown: Markdown = None,
    points: Points = None,
    _verbose: Verbose = False,
    _log_format: Logs = LogFormat.TEXT,
) -> int:
    """Judge one release and notify the sinks.

    The first line and the exit code are the answer. With --from no sink is notified.
    """
    session: Session = context.obj
    session.quiet = output is Output.JSON
    checklist = opened(checklist_path, environment, session)
    check_names(checklist, only or ())
    forms = Forms(pictures, markdown, points)
    sinks = [] if saved_data else _sinks(checklist)
    case = gather(
        checklist,
        Words(released_at, finished_at, release, until, stage or (), next_release),
        session,
        only=only or (),
        saved_data=saved_data,
    )
    unsaved = None if save is None else _save(case, save)
    result = case.judge()
    session.exit_code = of_report(result, ())
    receipts: Sequence[Receipt] = ()
    try:
        if output is Output.TABLE:
            show(result, output, session)
    finally:  # sinks are notified even if standard output is closed
        receipts = _deliver(result, sinks, session)
        is_written = report is None or written(report, result, _key(result), receipts)
        is_written &= forms.write(result)
    session.exit_code = of_report(result, receipts)
    if output is Output.JSON:
        show(result, output, session, receipts)
    if not is_written and session.exit_code is ExitCode.PASS:
        session.exit_code = ExitCode.NOT_TOLD
    if unsaved:
        raise unsaved
    return session.exit_code


def _sinks(checklist: Checklist) -> list[tuple[str, Sink]]:
    """The sinks other than the terminal, built before any source is queried, to report a wrong one
    at once."""
    from anomaly.checklist import registry

    return [
        (plugin.type, registry.sink(plugin))
        for plugin in checklist.sinks
        if plugin.type != "console"
    ]


def _save(case: Case, path: Path) -> UsageError | None:
    """Save the data; an error is returned for the end, because the answer matters more."""
    from anomaly.collectors import snapshot

    try:
        snapshot.save(case.collected, path)
    except UsageError as error:
        return error
    return None


def show(
    report: Report, output: Output, session: Session, deliveries: Sequence[Receipt] = ()
) -> None:
    """Write the answer to stdout, as JSON with the deliveries. Raises OutputError."""
    if output is Output.JSON:
        from anomaly.reporting.data import to_dict

        session.show(json.dumps(to_dict(report, deliveries=deliveries), indent=2, allow_nan=False))
        return
    from anomaly.sinks import console

    with session.stdout() as stream:
        console.show(report, stream)


def _deliver(
    report: Report, sinks: Sequence[tuple[str, Sink]], session: Session
) -> tuple[Receipt, ...]:
    if not sinks:
        return ()
    from anomaly.notify.delivery import Envelope, deliver
    from anomaly.reporting.words import receipt_line

    message = Message(_key(report), report, Action.of(report))
    receipts = deliver(
        [Envelope(name, sink, message) for name, sink in sinks], redact=session.redactor.text
    )
    for receipt in receipts:
        (log.info if receipt.delivered else log.error)("sink %s", receipt_line(receipt))
    return receipts


def _key(report: Report) -> str:
    from anomaly.history.records import release_id

    return release_id(report.release)
