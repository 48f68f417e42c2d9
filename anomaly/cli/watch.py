"""`anomaly watch`: stay with a release until the answer is certain."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from anomaly.cli.check import show
from anomaly.cli.exit_codes import ExitCode, of_report
from anomaly.cli.forms import Forms, Markdown, Pictures, Points, written
from anomaly.cli.options import (
    ChecklistPath,
    Environment,
    FinishedAt,
    Logs,
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
    checklist: ChecklistPath,
    *,
    released_at: Annotated[
        str,
        typer.Option(
            metavar="T", help="When the release began: ISO-8601 with a zone, -2h, or now."
        ),
    ] = "now",
    finished_at: FinishedAt = None,
    stage: Stages = None,
    release: Version = "",
    environment: Environment = None,
    store: StoreAt = None,
    output: Annotated[
        Output, typer.Option(help="json is for machines, and quiet on stderr.")
    ] = Output.TABLE,
    report: ReportTo = None,
    pictures: Pictures = None,
    markdown: Markdown = None,
    points: Points = None,
    _verbose: Verbose = False,
    _log_format: Logs = LogFormat.TEXT,
) -> ExitCode:
    """Stay with a release: judge as data come in, tell the sinks once.

    Ends as soon as a KPI fails, or when the watch is over.
    """
    session: Session = context.obj
    session.quiet = output is Output.JSON
    asked = opened(checklist, environment, session)
    forms = Forms(pictures, markdown, points)
    meant = release_of(
        asked, Words(released_at, finished_at, release, None, stage or ()), right_now()
    )
    from anomaly.history.records import told_of
    from anomaly.reporting.words import receipt_line
    from anomaly.watch.look import next_look, receivers, stay

    told = receivers(asked)
    last: Report | None = None
    delivered: Sequence[Receipt] = ()
    not_told = False

    def work(kept: Store, saved: bool) -> None:  # noqa: FBT001  as with_history asks for it
        nonlocal last, not_told, delivered
        tracked = kept.track(meant, origin="watch", checklist=str(asked.path or ""), anew=True)
        for looked, receipts in stay(
            asked,
            tracked,
            kept,
            told,
            clock=right_now,
            sleep=time.sleep,
            saved=saved,
            redact=session.redactor.text,
        ):
            last = looked.report
            session.known = of_report(last)
            for receipt in receipts:
                (log.info if receipt.delivered else log.error)("sink %s", receipt_line(receipt))
                not_told |= not receipt.delivered
            delivered = told_of(kept.messages(tracked.id))
            not_told |= not written(report, last, tracked.id, delivered)
            screen.update(looked, next_look(asked, right_now()))

    with _screen(session) as screen:
        try:
            with_history(store, asked, session, work)
        finally:  # a signal ends it with what it knows
            screen.close()
            if last is not None:
                show(last, output, session, delivered)
                not_told |= not forms.write(last)
    if session.known is ExitCode.PASS and not_told:
        session.known = ExitCode.NOT_TOLD
    return session.known


class Screen(Protocol):
    """Where progress is shown."""

    def update(self, looked: LookResult, coming: datetime) -> None: ...

    def close(self) -> None: ...


class _Lines:
    """A line per look, for logs."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def update(self, looked: LookResult, coming: datetime) -> None:
        from anomaly.wording import clock

        if not self._session.quiet:
            said = f"look {looked.look.number}, {looked.look.headline}"
            typer.echo(
                said if looked.report.final else f"{said}; next {clock(coming, coming.date())}",
                err=True,
            )

    def close(self) -> None:
        """Lines need no end."""


class _Table:
    """The report so far, drawn over, for people at a terminal."""

    def __init__(self) -> None:
        import sys

        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), transient=True, auto_refresh=False)
        self._stream = sys.stderr
        self._live.start()

    def update(self, looked: LookResult, coming: datetime) -> None:
        import os

        from rich.text import Text

        from anomaly.sinks.console import look_of, render, width_of
        from anomaly.wording import clock

        text = render(
            looked.report,
            width=width_of(self._stream, os.environ),
            look=look_of(self._stream, os.environ),
        )
        text += (
            f"\nlook {looked.look.number}; the next at {clock(coming, coming.date())} UTC, "
            "Ctrl-C ends with what is known"
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
