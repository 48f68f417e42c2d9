"""`anomaly check`: judge one release and notify the sinks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from anomaly.checklist.checklist import Checklist
from anomaly.cli.exit_codes import ExitCode, ExitCodes, of_report
from anomaly.cli.forms import Forms, Markdown, Pictures, Points, written
from anomaly.cli.judging import Case, Work, at_work, check_names, gather
from anomaly.cli.latest import changes
from anomaly.cli.options import (
    ChecklistPath,
    Engine,
    Environment,
    FinishedAt,
    From,
    Jobs,
    Logs,
    NextRelease,
    OfCodes,
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
    jobs: Jobs = 1,
    engine: Engine = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="K/N", help="Judge part K of N alone and write it to --partial, for merge."
        ),
    ] = None,
    partial: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write the part (.npz).")
    ] = None,
    pictures: Pictures = None,
    markdown: Markdown = None,
    points: Points = None,
    exit_codes: OfCodes = ExitCodes.ALL,
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
    part = PartAsked.of(
        shard,
        partial,
        {
            "--output json": output is Output.JSON,
            "--report": report,
            "--pictures": pictures,
            "--markdown": markdown,
            "--points": points,
        },
    )
    sinks = [] if saved_data else sinks_of(checklist)
    case = gather(
        checklist,
        Words(released_at, finished_at, release, until, stage or (), next_release),
        session,
        only=only or (),
        saved_data=saved_data,
        is_kept=save is not None,
    )
    unsaved = None if save is None else _save(case, save)
    with at_work(session, checklist, case.now, jobs, engine) as work:
        if part is not None:
            return _write(case, part, work, session)
        result = case.judge(work)
    if saved_data is None:
        result = replace(result, changes=changes(checklist, result.release, session))
    answered(result, sinks, session, output, report, forms)
    if unsaved:
        raise unsaved
    return session.code_for(exit_codes)


def answered(
    result: Report,
    sinks: Sequence[tuple[str, Sink]],
    session: Session,
    output: Output,
    report: Path | None,
    forms: Forms,
) -> ExitCode:
    """Show a report, notify the sinks and write its forms; returns the exit code."""
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
    return session.exit_code


@dataclass(frozen=True, slots=True)
class PartAsked:
    """Which part of a check is to be written where: every `number`-th shard, of `count` parts."""

    number: int
    count: int
    path: Path

    @classmethod
    def of(cls, shard: str | None, path: Path | None, others: Mapping[str, object]) -> Self | None:
        """What the options say; None without them. Raises UsageError, also where one of the
        `others` is given, which need the answer."""
        if shard is None and path is None:
            return None
        if shard is None or path is None:
            raise UsageError("--shard and --partial belong together: --shard 1/4 --partial 1.npz")
        number, _, count = shard.partition("/")
        if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise UsageError(f"--shard is {shard!r}; give K/N with K from 1 to N, such as 1/4")
        for option, value in others.items():
            if value:
                raise UsageError(f"{option} needs the answer: give it to anomaly merge")
        return cls(int(number), int(count), path)


def _write(case: Case, target: PartAsked, work: Work, session: Session) -> ExitCode:
    """Write a part of the check; it has no verdict."""
    from importlib.metadata import version

    from anomaly.partials import partial_file
    from anomaly.partials.inquiry import shards
    from anomaly.pipeline import inquiry_of, partials_of

    inquiry = inquiry_of(
        case.checklist, case.release, now=case.now, until=case.until, only=case.only
    )
    mine = [*enumerate(shards(inquiry.kpis))][target.number - 1 :: target.count]
    partials = partials_of(
        case.checklist,
        inquiry,
        [shard for _, shard in mine],
        collected=case.collected,
        workers=work.workers,
        progress=work.collecting,
        answers=work.answers,
        judging=work.judging,
    )
    part = partial_file.Part(
        number=target.number,
        count=target.count,
        version=version("release-anomaly"),
        digest=case.checklist.digest,
        only=tuple(case.only),
        release=inquiry.release,
        spans=inquiry.spans,
        now=case.now,
        partials=tuple(zip((place for place, _ in mine), partials, strict=True)),
    )
    partial_file.save(part, target.path)
    kpis = sum(len(shard.kpis) for _, shard in mine)
    session.show(
        f"part {target.number}/{target.count}: {kpis} of {len(inquiry.kpis)} KPIs, in {target.path}"
    )
    session.exit_code = ExitCode.PASS
    return session.exit_code


def sinks_of(checklist: Checklist) -> list[tuple[str, Sink]]:
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
        snapshot.save(case.data, path)
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
