"""`anomaly parity`: can one environment stand for another?"""

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
from anomaly.cli.judging import gather, known_kpis, progress_bar
from anomaly.cli.options import ChecklistPath, Logs, Output, Verbose, Version
from anomaly.cli.release import Words, opened, past, right_now
from anomaly.cli.session import LogFormat, Session
from anomaly.errors import UsageError
from anomaly.model import Release

if TYPE_CHECKING:
    from anomaly.equivalence.result import Parity
    from anomaly.equivalence.run import Environment

Pair = tuple[str, str]


def parity(
    context: typer.Context,
    checklist: ChecklistPath,
    *,
    between: Annotated[
        Pair,
        typer.Option(
            metavar="NAME NAME", help="The environments; the first is to foretell the second."
        ),
    ],
    released_at: Annotated[
        Pair | None,
        typer.Option(metavar="T T", help="When a release began in each: judge it, too."),
    ] = None,
    finished_at: Annotated[
        Pair | None, typer.Option(metavar="T T", help="When it had reached all users of each.")
    ] = None,
    release: Version = "",
    until: Annotated[
        str | None,
        typer.Option(
            metavar="T", help="Without a release: compare the past up to here. Default: now."
        ),
    ] = None,
    output: Annotated[
        Output, typer.Option(help="json is for machines, and quiet on stderr.")
    ] = Output.TABLE,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="KPI", help="Compare this KPI alone; may be repeated."),
    ] = None,
    kept: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--from", metavar="FILE FILE", help="Use the data that check --save kept of each."
        ),
    ] = None,
    _verbose: Verbose = False,
    _log_format: Logs = LogFormat.TEXT,
) -> ExitCode:
    """Compare two environments: can staging stand for production?

    Which KPIs exist on both sides, are alike, and would show what.
    After a release, which moved in one and not in the other.
    """
    session: Session = context.obj
    session.quiet = output is Output.JSON
    _check_words(between, released_at, finished_at, until)
    asked = _opened(checklist, between, session, only or ())
    files = kept or (None, None)
    if released_at is None:
        now = right_now()
        end = None if until is None else past("--until", until, now)
        first, second = (
            _before(*each, session, now=now, end=end)
            for each in zip(between, asked, files, strict=True)
        )
    else:
        ended = finished_at or (None, None)
        first, second = (
            _after(*each, release, session)
            for each in zip(between, asked, files, released_at, ended, strict=True)
        )
    from anomaly.equivalence.run import parity_checklist

    result = parity_checklist(first, second)
    session.known = of_parity(result, (first, second))
    _show(result, output, session)
    return session.known


def _check_words(
    between: Pair, released_at: Pair | None, finished_at: Pair | None, until: str | None
) -> None:
    if between[0] == between[1]:
        raise UsageError(f"--between names {between[0]!r} twice; name two environments")
    if released_at is None and finished_at is not None:
        raise UsageError(
            "--finished-at needs --released-at: say when the release began in each environment"
        )
    if released_at is not None and until is not None:
        raise UsageError(
            "--until is for a comparison without a release; leave it out, or --released-at"
        )


def _opened(
    path: Path, between: Pair, session: Session, only: Sequence[str]
) -> tuple[Checklist, Checklist]:
    """The checklist for each environment. Raises UsageError where both read the same sources, such
    as those of no environment."""
    first, second = (opened(path, name, session) for name in between)
    session.keep_secret(first.secrets | second.secrets)
    known_kpis(first, only)
    from anomaly.equivalence.run import same_source
    from anomaly.model import select_kpis

    first, second = (replace(each, kpis=select_kpis(each.kpis, only)) for each in (first, second))
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
    kept: Path | None,
    session: Session,
    *,
    now: datetime,
    end: datetime | None,
) -> Environment:
    """An environment without a release, up to `end` (default: all that were kept, or now)."""
    from anomaly.equivalence.run import Environment

    if kept is not None:
        from anomaly.collectors import snapshot

        collected = snapshot.load(kept)
        if not len(collected.panel):
            raise UsageError(f"{kept}: the kept data hold no steps")
        return Environment(
            name,
            checklist,
            collected,
            end or collected.panel.index[-1].to_pydatetime() + checklist.windows.step,
        )
    from anomaly.pipeline import collect

    end = min(end or now, now - checklist.windows.lag)
    with progress_bar(session, f"asking the sources of {name}") as progress:
        return Environment(
            name, checklist, collect(checklist, Release(end), now=now, progress=progress), end
        )


def _after(
    name: str,
    checklist: Checklist,
    kept: Path | None,
    released_at: str,
    finished_at: str | None,
    version: str,
    session: Session,
) -> Environment:
    """An environment with its release judged."""
    from anomaly.equivalence.run import Environment

    case = gather(checklist, Words(released_at, finished_at, version), session, kept=kept)
    return Environment(name, checklist, case.collected, case.release.started_at, case.judge())


def _show(result: Parity, output: Output, session: Session) -> None:
    if output is Output.JSON:
        session.show(json.dumps(result.to_dict(), indent=2, allow_nan=False))
        return
    from anomaly.cli.parity_table import table

    session.show(session.redactor.text(table(result)))
