"""`anomaly backtest`: what a checklist would have said in the past."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomaly.checklist.checklist import Checklist
from anomaly.cli.exit_codes import ExitCode, of_backtest
from anomaly.cli.judging import known_kpis, progress_bar
from anomaly.cli.options import ChecklistPath, Environment, Logs, Output, Verbose
from anomaly.cli.release import opened, past, right_now
from anomaly.cli.session import LogFormat, Session, log
from anomaly.model import Release

if TYPE_CHECKING:
    from anomaly.backtesting.result import Backtest, PastRelease
    from anomaly.contracts import Collected

SPAN = (
    1.5  # histories that are collected, so that most placebo releases have a whole one before them
)


def backtest(
    context: typer.Context,
    checklist: ChecklistPath,
    *,
    releases: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Past releases with labels, as CSV, YAML or JSON: how many are found?",
        ),
    ] = None,
    placebos: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="At most so many placebo releases; fewer where they would overlap.",
        ),
    ] = 50,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the injected counts.")] = 0,
    environment: Environment = None,
    until: Annotated[
        str | None, typer.Option(metavar="T", help="Use the past up to here. Default: now.")
    ] = None,
    output: Annotated[
        Output, typer.Option(help="json is for machines, and quiet on stderr.")
    ] = Output.TABLE,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="KPI", help="Replay this KPI alone; may be repeated."),
    ] = None,
    kept: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Use the data that check --save kept; no source is asked.",
        ),
    ] = None,
    _verbose: Verbose = False,
    _log_format: Logs = LogFormat.TEXT,
) -> ExitCode:
    """Try a checklist on the past: false alarms, what would be seen.

    Past moments without a release are judged as if each had been one; then with an effect put in.
    No sink is told.
    """
    session: Session = context.obj
    session.quiet = output is Output.JSON
    asked = opened(checklist, environment, session)
    known_kpis(asked, only or ())
    now = right_now()
    end = None if until is None else past("--until", until, now)
    known = _releases(releases, now)

    from anomaly.backtesting.run import backtest_checklist
    from anomaly.model import select_kpis

    asked = replace(asked, kpis=select_kpis(asked.kpis, only or ()))
    collected = _collected(asked, end, known, session, now=now, kept=kept)
    _refuse_failure(asked, collected)

    with progress_bar(session, "replaying the past") as progress:
        result = backtest_checklist(
            asked, collected, placebos=placebos, seed=seed, releases=known, progress=progress
        )
    _show(result, output, session)
    return of_backtest(asked, collected.errors, result)


def _refuse_failure(checklist: Checklist, collected: Collected) -> None:
    """Raises the first source's error if no KPI could be read."""
    errors = [collected.errors.get(kpi.name) for kpi in checklist.kpis]
    if errors[0] is not None and all(errors):
        raise errors[0]


def _releases(path: Path | None, now: datetime) -> tuple[PastRelease, ...]:
    if path is None:
        return ()
    from anomaly.backtesting.releases import load

    return load(path, now=now)


def _collected(
    checklist: Checklist,
    until: datetime | None,
    releases: tuple[PastRelease, ...],
    session: Session,
    *,
    now: datetime,
    kept: Path | None,
) -> Collected:
    """All data up to `until` (default: all that were kept, or now) that the placebo releases and
    the past ones need."""
    if kept is not None:
        from anomaly.collectors import snapshot

        collected = snapshot.load(kept)
        return (
            collected
            if until is None
            else replace(collected, panel=collected.panel[collected.panel.index < until])
        )
    from anomaly.pipeline import collect

    windows = checklist.windows
    end = min(until or now, now - windows.lag)
    reach = max(
        [
            SPAN * windows.history,
            *(end - each.release.started_at + windows.history for each in releases),
        ],
        key=timedelta.total_seconds,
    )
    longer = replace(checklist, windows=replace(windows, history=reach))
    with progress_bar(session) as progress:
        collected = collect(longer, Release(end), now=now, progress=progress)
    log.info(
        "collected %d series of %d steps, %d KPIs without",
        collected.panel.shape[1],
        len(collected.panel),
        len(collected.errors),
    )
    return replace(collected, panel=collected.panel[collected.panel.index < end])


def _show(result: Backtest, output: Output, session: Session) -> None:
    if output is Output.JSON:
        session.show(json.dumps(result.to_dict(), indent=2, allow_nan=False))
        return
    from anomaly.cli.backtest_table import table

    session.show(session.redactor.text(table(result)))
