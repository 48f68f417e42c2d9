"""`anomaly parity`: compare two environments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomaly.checklist.checklist import Checklist
from anomaly.cli.exit_codes import ExitCode, of_parity
from anomaly.cli.judging import check_names, gather, progress_bar
from anomaly.cli.options import ChecklistPath, Logs, Output, Verbose, Version
from anomaly.cli.release import Words, opened, past, right_now
from anomaly.cli.session import LogFormat, Session
from anomaly.errors import UsageError
from anomaly.model import Release
from anomaly.steps import later

if TYPE_CHECKING:
    from anomaly.equivalence.result import Parity
    from anomaly.equivalence.run import Environment

Pair = tuple[str, str]


def parity(
    context: typer.Context,
    checklist_path: ChecklistPath,
    *,
    between: Annotated[
        Pair,
        typer.Option(
            metavar="NAME NAME", help="The environments; the first is to predict the second."
        ),
    ],
    released_at: Annotated[
        Pair | None,
        typer.Option(metavar="T T", help="Start of a release in each; judge it too."),
    ] = None,
    finished_at: Annotated[
        Pair | None, typer.Option(metavar="T T", help="When all users of each had it.")
    ] = None,
    release: Version = "",
    until: Annotated[
        str | None,
        typer.Option(
            metavar="T", help="Without a release: use data up to this time. Default: now."
        ),
    ] = None,
    output: Annotated[
        Output, typer.Option(help="Output format; json also keeps stderr quiet.")
    ] = Output.TABLE,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="KPI", help="Compare only this KPI; repeatable."),
    ] = None,
    saved_data: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--from", metavar="FILE FILE", help="Data of each environment, saved by check --save."
        ),
    ] = None,
    _verbose: Verbose = False,
    _log_format: Logs = LogFormat.TEXT,
) -> ExitCode:
    """Compare two environments, such as staging and production.

    Shows which KPIs exist in both and are alike, and which change each can detect.
    After a release: which KPIs changed in one environment only.
    """
    session: Session = context.obj
    session.quiet = output is Output.JSON
    _check_words(between, released_at, finished_at, until)
    checklists = _opened(checklist_path, between, session, only or ())
    files = saved_data or (None, None)
    if released_at is None:
        now = right_now()
        end = (
            None if until is None else past("--until", until, now, checklists[1].calendar.timezone)
        )
        sides = [
            _before(*each, session, now=now, end=end)
            for each in zip(between, checklists, files, strict=True)
        ]
    else:
        ends = finished_at or (None, None)
        sides = [
            _after(*each, release, session)
            for each in zip(between, checklists, files, released_at, ends, strict=True)
        ]
    from anomaly.equivalence.run import parity_checklist

    result = parity_checklist(*sides)
    session.exit_code = of_parity(result, sides)
    _show(result, output, session)
    return session.exit_code


def _check_words(
    between: Pair, released_at: Pair | None, finished_at: Pair | None, until: str | None
) -> None:
    if between[0] == between[1]:
        raise UsageError(f"--between has {between[0]!r} twice; give two environments")
    if released_at is None and finished_at is not None:
        raise UsageError(
            "--finished-at needs --released-at, the start of the release in each environment"
        )
    if released_at is not None and until is not None:
        raise UsageError("--until and --released-at exclude each other; leave one out")


def _opened(
    path: Path, between: Pair, session: Session, only: Sequence[str]
) -> tuple[Checklist, Checklist]:
    """The checklist for each environment. Raises UsageError if both read the same sources."""
    first = opened(path, between[0], session)
    second = opened(path, between[1], session)
    session.keep_secret(first.secrets | second.secrets)
    check_names(first, only)
    from anomaly.equivalence.run import same_source
    from anomaly.model import select_kpis

    first = replace(first, kpis=select_kpis(first.kpis, only))
    second = replace(second, kpis=select_kpis(second.kpis, only))
    if all(same_source(kpi, first, second) for kpi in first.kpis):
        raise UsageError(
            f"{path}: {between[0]} and {between[1]} read the same sources, so there is nothing "
            "to compare; "
            f"give each its own under environments.{between[0]}.sources and "
            f"environments.{between[1]}.sources"
        )
    return first, second


def _before(
    name: str,
    checklist: Checklist,
    saved_data: Path | None,
    session: Session,
    *,
    now: datetime,
    end: datetime | None,
) -> Environment:
    """An environment without a release, up to `end` (default: end of the saved data, or now)."""
    from anomaly.equivalence.run import Environment

    if saved_data is not None:
        from anomaly.collectors import snapshot

        collected = snapshot.load(saved_data)
        if not len(collected.panel):
            raise UsageError(f"{saved_data}: the saved data hold no steps")
        return Environment(
            name,
            checklist,
            collected,
            end or later(collected.panel.index[-1].to_pydatetime(), checklist.windows.step),
        )
    from anomaly.pipeline import collect

    end = min(end or now, now - checklist.windows.lag)
    with progress_bar(session, f"querying the sources of {name}") as progress:
        return Environment(
            name, checklist, collect(checklist, Release(end), now=now, progress=progress), end
        )


def _after(
    name: str,
    checklist: Checklist,
    saved_data: Path | None,
    released_at: str,
    finished_at: str | None,
    version: str,
    session: Session,
) -> Environment:
    """An environment with its release judged."""
    from anomaly.equivalence.run import Environment

    case = gather(
        checklist, Words(released_at, finished_at, version), session, saved_data=saved_data
    )
    return Environment(name, checklist, case.data, case.release.started_at, case.judge())


def _show(result: Parity, output: Output, session: Session) -> None:
    if output is Output.JSON:
        session.show(json.dumps(result.to_dict(), indent=2, allow_nan=False))
        return
    from anomaly.cli.parity_table import table

    session.show(session.redactor.text(table(result)))
