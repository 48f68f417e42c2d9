"""`anomaly backtest`: replay a checklist on past data."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomaly.checklist.checklist import Checklist
from anomaly.cli.exit_codes import ExitCode, of_backtest
from anomaly.cli.judging import check_names, progress_bar
from anomaly.cli.options import ChecklistPath, Environment, Jobs, Logs, Output, Verbose
from anomaly.cli.release import opened, past, right_now
from anomaly.cli.session import LogFormat, Session, log
from anomaly.model import Release

if TYPE_CHECKING:
    from anomaly.backtesting.result import Backtest, PastRelease
    from anomaly.contracts import Collected

SPAN = 1.5  # histories to collect, so that most placebo releases have a full one before them


def backtest(
    context: typer.Context,
    checklist_path: ChecklistPath,
    *,
    releases: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Past releases with labels (CSV, YAML or JSON), to measure precision and recall.",
        ),
    ] = None,
    placebos: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Maximum number of placebo releases; fewer if they would overlap.",
        ),
    ] = 50,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the injected counts.")] = 0,
    environment: Environment = None,
    until: Annotated[
        str | None, typer.Option(metavar="T", help="Use data up to this time. Default: now.")
    ] = None,
    output: Annotated[
        Output, typer.Option(help="Output format; json also keeps stderr quiet.")
    ] = Output.TABLE,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="KPI", help="Replay only this KPI; repeatable."),
    ] = None,
    saved_data: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Use data saved by check --save instead of querying the sources.",
        ),
    ] = None,
    jobs: Jobs = 1,
    _verbose: Verbose = False,
    _log_format: Logs = LogFormat.TEXT,
) -> ExitCode:
    """Replay a checklist on past data: false alarms and sensitivity.

    Past moments without a release are judged as if each had one, first as they are, then with an
    injected effect. No sink is notified.
    """
    session: Session = context.obj
    session.quiet = output is Output.JSON
    checklist = opened(checklist_path, environment, session)
    check_names(checklist, only or ())
    now = right_now()
    end = None if until is None else past("--until", until, now, checklist.calendar.timezone)
    past_releases = _releases(releases, now)

    from anomaly.backtesting.run import backtest_checklist
    from anomaly.engine.processes import processes
    from anomaly.model import select_kpis

    checklist = replace(checklist, kpis=select_kpis(checklist.kpis, only or ()))
    collected = _collected(checklist, end, past_releases, session, now=now, saved_data=saved_data)
    _refuse_failure(checklist, collected)

    with processes(jobs) as workers, progress_bar(session, "replaying the past") as progress:
        result = backtest_checklist(
            checklist,
            collected,
            placebos=placebos,
            seed=seed,
            releases=past_releases,
            progress=progress,
            workers=workers,
        )
    _show(result, output, session)
    return of_backtest(checklist, collected.errors, result)


def _refuse_failure(checklist: Checklist, collected: Collected) -> None:
    """Raises the error of the first KPI if none could be read."""
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
    saved_data: Path | None,
) -> Collected:
    """All data up to `until` (default: the end of the saved data, or now) that the placebo and the
    past releases need."""
    if saved_data is not None:
        from anomaly.collectors import snapshot

        collected = snapshot.load(saved_data)
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
        "collected %d series of %d steps, %d KPIs failed",
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
