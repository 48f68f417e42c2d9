"""`anomaly tick`: one unattended step."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anomaly.checklist.checklist import Checklist
from anomaly.cli.exit_codes import ExitCode, of_tick
from anomaly.cli.forms import written
from anomaly.cli.judging import workers_of
from anomaly.cli.options import (
    ChecklistPath,
    Engine,
    Environment,
    Jobs,
    Logs,
    Output,
    ReportTo,
    StoreAt,
    Verbose,
)
from anomaly.cli.release import opened
from anomaly.cli.session import LogFormat, Session, log
from anomaly.cli.storing import with_history
from anomaly.errors import RequestError, StoreBusy
from anomaly.model import ALARMS, ReleaseVerdict
from anomaly.wording import plain

if TYPE_CHECKING:
    from anomaly.history.store import Store
    from anomaly.watch.look import LookResult
    from anomaly.watch.tick import TickResult

LONGEST_PROBLEM = 500  # characters
LOUD = (*ALARMS, ReleaseVerdict.ERROR)


def tick(
    context: typer.Context,
    checklist_path: ChecklistPath,
    *,
    environment: Environment = None,
    store_at: StoreAt = None,
    heartbeat: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="URL to ping at the end, for a dead man's switch. Default: the checklist's.",
        ),
    ] = None,
    output: Annotated[
        Output, typer.Option(help="Output format; json also keeps stderr quiet.")
    ] = Output.TABLE,
    report: ReportTo = None,
    jobs: Jobs = 1,
    engine: Engine = None,
    _verbose: Verbose = False,
    _log_format: Logs = LogFormat.TEXT,
) -> ExitCode:
    """Run one unattended step: find releases, judge, notify.

    Safe to run at any time and in many places: only one of two concurrent runs works, the other
    reports busy.
    """
    session: Session = context.obj
    session.quiet = output is Output.JSON
    checklist = opened(checklist_path, environment, session)
    from anomaly.checklist import registry
    from anomaly.history.records import receipts_of
    from anomaly.http.endpoint import Endpoint
    from anomaly.watch.look import receivers_of
    from anomaly.watch.tick import TickResult
    from anomaly.watch.tick import tick as step

    url = heartbeat or checklist.heartbeat
    switch = Endpoint(url, setting="heartbeat") if url else None
    sinks = receivers_of(checklist)
    sources = [(plugin.type, registry.release_source(plugin)) for plugin in checklist.releases]
    holder = f"{socket.gethostname()}/{os.getpid()}/{datetime.now(UTC).timestamp()}"

    # the signature is that of with_history
    def work(store: Store, is_saved: bool) -> tuple[TickResult, bool, list[bool]]:  # noqa: FBT001
        with workers_of(jobs, engine) as workers:
            result = step(
                checklist,
                store,
                sinks if is_saved else [each for each in sinks if each.dedupes],
                holder=holder,
                clock=lambda: datetime.now(UTC),
                sources=sources,
                is_saved=is_saved,
                redact=session.redactor.text,
                workers=workers,
            )
        for each in result.looks if not checklist.receivers else ():
            _cry(each, store)
        return (
            result,
            is_saved,
            [
                written(
                    report, each.report, each.record.id, receipts_of(store.messages(each.record.id))
                )
                for each in result.looks
            ],
        )

    try:
        result, is_saved, pages = with_history(store_at, checklist, session, work)
    except StoreBusy as error:
        log.info("%s", error)
        result, is_saved, pages = TickResult(busy=True), True, []
    session.exit_code = of_tick(result, is_saved=is_saved)
    if session.exit_code is ExitCode.PASS and not all(pages):
        session.exit_code = ExitCode.NOT_TOLD
    for problem in result.problems:
        log.error("%s", plain(session.redactor.text(problem), LONGEST_PROBLEM))
    for receipt in result.receipts:
        from anomaly.reporting.words import receipt_line

        (log.info if receipt.delivered else log.error)("sink %s", receipt_line(receipt))
    session.show(
        json.dumps(_data(result), indent=2) if output is Output.JSON else _lines(result, checklist)
    )
    if switch and not result.problems:
        try:
            switch.ask("GET")
        except RequestError as error:
            log.warning("heartbeat failed: %s", error)
    return session.exit_code


def _cry(result: LookResult, store: Store) -> None:
    """One line on standard error about a release that fails or can't be judged, at the first look
    that finds it so: without a sink, and under cron, nothing else would be heard."""
    looks = store.looks(result.record.id)
    before = [each.verdict for each in looks if each.number < result.look.number][-1:]
    if result.report.verdict in LOUD and result.report.verdict not in before:
        from anomaly.reporting.notice import release_words

        log.error("%s: %s", release_words(result.report.release), result.look.headline)


def _lines(result: TickResult, checklist: Checklist) -> str:
    if result.busy:
        return "busy: another process is running"
    if not result.looks:
        return f"no release to judge for {checklist.service}" + (
            f" in {checklist.environment}" if checklist.environment else ""
        )
    return "\n".join(_line(each) for each in result.looks)


def _line(result: LookResult) -> str:
    """`shop 2.3.1 in production, look 4: FAIL  errors +50 % …; notifying slack (first)`."""
    from anomaly.reporting.message import NEWS
    from anomaly.reporting.notice import release_words

    news = ", ".join(f"{each.sink} ({each.why})" for each in result.messages if each.why in NEWS)
    line = (
        f"{release_words(result.report.release)}, look {result.look.number}: {result.look.headline}"
    )
    return line + (f"; notifying {news}" if news else "")


def _data(result: TickResult) -> dict[str, Any]:
    from anomaly.reporting.data import receipt_data

    return {
        "busy": result.busy,
        "problems": list(result.problems),
        "looks": [
            {
                "release": each.record.id,
                "look": each.look.id,
                "number": each.look.number,
                "verdict": str(each.look.verdict),
                "final": each.look.final,
                "headline": each.look.headline,
                "messages": [
                    {
                        "id": message.id,
                        "sink": message.sink,
                        "action": str(message.action),
                        "why": message.why,
                    }
                    for message in each.messages
                ],
            }
            for each in result.looks
        ],
        "deliveries": [receipt_data(receipt) for receipt in result.receipts],
    }
