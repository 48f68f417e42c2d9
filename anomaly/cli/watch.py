"""`anomaly watch`: judge a release until it fails or its watch is over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from anomaly.cli.check import show
from anomaly.cli.exit_codes import ExitCode, ExitCodes, of_report
from anomaly.cli.forms import Forms, Markdown, Pictures, Points, written
from anomaly.cli.judging import workers_of
from anomaly.cli.options import (
    ChecklistPath,
    Engine,
    Environment,
    FinishedAt,
    Jobs,
    Logs,
    OfCodes,
    Output,
    ReportTo,
    Stages,
    StoreAt,
    Verbose,
    Version,
)
from anomaly.cli.release import Words, opened, release_of, right_now
from anomaly.cli.session import LogFormat, Session, log
from anomaly.cli.storing import with_history

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anomaly.contracts import Receipt
    from anomaly.history.store import Store
    from anomaly.reporting.report import Report
    from anomaly.watch.look import LookResult


def watch(
    context: typer.Context,
    checklist_path: ChecklistPath,
    *,
    released_at: Annotated[
        str,
        typer.Option(
            metavar="T", help="Start of the release: ISO-8601 with a zone, a date, -2h, or now."
        ),
    ] = "now",
    finished_at: FinishedAt = None,
    stage: Stages = None,
    release: Version = "",
    environment: Environment = None,
    store_at: StoreAt = None,
    output: Annotated[
        Output, typer.Option(help="Output format; json also keeps stderr quiet.")
    ] = Output.TABLE,
    report: ReportTo = None,
    jobs: Jobs = 1,
    engine: Engine = None,
    pictures: Pictures = None,
    markdown: Markdown = None,
    points: Points = None,
    exit_codes: OfCodes = ExitCodes.ALL,
    _verbose: Verbose = False,
    _log_format: Logs = LogFormat.TEXT,
) -> ExitCode:
    """Judge a release repeatedly until it fails or its watch is over.

    Sinks are notified once about each change.
    """
    session: Session = context.obj
    session.quiet = output is Output.JSON
    checklist = opened(checklist_path, environment, session)
    forms = Forms(pictures, markdown, points)
    target = release_of(
        checklist, Words(released_at, finished_at, release, None, stage or ()), right_now()
    )
    from anomaly.checklist import registry
    from anomaly.history.records import receipts_of
    from anomaly.reporting.words import receipt_line
    from anomaly.watch.look import next_look, receivers_of, sinks_of, stay

    receivers = receivers_of(checklist)
    sources = [registry.release_source(plugin) for plugin in checklist.releases]
    last: Report | None = None
    deliveries: Sequence[Receipt] = ()
    is_complete = True

    def work(store: Store, is_saved: bool) -> None:  # noqa: FBT001  the signature is that of with_history
        nonlocal last, is_complete, deliveries
        record = store.track(target, origin="watch", checklist=str(checklist.path or ""), anew=True)
        for result, receipts in stay(
            checklist,
            record,
            store,
            receivers if is_saved else sinks_of(receivers),  # what ran before is not known
            clock=right_now,
            sleep=time.sleep,
            is_saved=is_saved,
            redact=session.redactor.text,
            workers=workers,
            sources=sources,
        ):
            last = result.report
            session.exit_code = of_report(last)
            for receipt in receipts:
                (log.info if receipt.delivered else log.error)("sink %s", receipt_line(receipt))
                is_complete &= receipt.delivered
            deliveries = receipts_of(store.messages(record.id))
            is_complete &= written(report, last, record.id, deliveries)
            screen.update(result, next_look(checklist, right_now()))

    with workers_of(jobs, engine) as workers, _screen(session) as screen:
        try:
            with_history(store_at, checklist, session, work)
        finally:  # a signal ends the watch with the last look
            screen.close()
            if last is not None:
                show(last, output, session, deliveries)
                is_complete &= forms.write(last)
    if session.exit_code is ExitCode.PASS and not is_complete:
        session.exit_code = ExitCode.NOT_TOLD
    return session.code_for(exit_codes)


class Screen(Protocol):
    """A display of progress."""

    def update(self, result: LookResult, coming: datetime) -> None: ...

    def close(self) -> None: ...


class _Lines:
    """A line per look, for logs."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def update(self, result: LookResult, coming: datetime) -> None:
        from anomaly.wording import clock

        if not self._session.quiet:
            line = f"look {result.look.number}, {result.look.headline}"
            typer.echo(
                line if result.report.final else f"{line}; next {clock(coming, coming.date())}",
                err=True,
            )

    def close(self) -> None:
        """Nothing to close."""


class _Table:
    """The report so far, updated in place, for a terminal."""

    def __init__(self) -> None:
        import sys

        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), transient=True, auto_refresh=False)
        self._stream = sys.stderr
        self._live.start()

    def update(self, result: LookResult, coming: datetime) -> None:
        import os

        from rich.text import Text

        from anomaly.sinks.console import render, style_of, width_of
        from anomaly.wording import clock

        text = render(
            result.report,
            width=width_of(self._stream, os.environ),
            style=style_of(self._stream, os.environ),
        )
        text += (
            f"\nlook {result.look.number}; next at {clock(coming, coming.date())} UTC, "
            "Ctrl-C ends the watch with this result"
        )
        self._live.update(Text.from_ansi(text), refresh=True)

    def close(self) -> None:
        self._live.stop()


@contextmanager
def _screen(session: Session) -> Iterator[Screen]:
    screen: Screen = _Table() if session.is_interactive() else _Lines(session)
    try:
        yield screen
    finally:
        screen.close()
