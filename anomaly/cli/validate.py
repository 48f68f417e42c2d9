"""`anomaly validate`: check a checklist and, if wanted, run its queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomaly.checklist.checklist import Checklist
from anomaly.cli.exit_codes import ExitCode
from anomaly.cli.judging import progress_bar
from anomaly.cli.options import ChecklistPath, Environment, Logs, Verbose
from anomaly.cli.release import opened, past, right_now
from anomaly.cli.session import LogFormat, Session
from anomaly.errors import ChecklistError, UsageError
from anomaly.model import Release
from anomaly.wording import plain, stamp

if TYPE_CHECKING:
    from anomaly.contracts import Collected

LONGEST_NAME = 60  # characters of a KPI's name
LONGEST_LINE = 1000


def validate(
    context: typer.Context,
    checklist_path: ChecklistPath,
    *,
    environment: Environment = None,
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Also run each query over the history, and ask for releases."),
    ] = False,
    until: Annotated[
        str | None,
        typer.Option(metavar="T", help="Probe the history before this time, for old data."),
    ] = None,
    _verbose: Verbose = False,
    _log_format: Logs = LogFormat.TEXT,
) -> ExitCode:
    """Check a checklist; every error and warning names its line."""
    session: Session = context.obj
    if until is not None and not probe:
        raise UsageError("--until needs --probe")
    from anomaly.setup.advice import advice, refusals
    from anomaly.setup.doctor import State, examine_releases

    checklist = opened(checklist_path, environment, session)
    if lines := refusals(checklist):
        raise ChecklistError("\n".join(lines))
    session.show(f"ok: {summary(checklist_path, checklist)}")
    for line in advice(checklist):
        session.show(session.redactor.text(f"warning: {line}"))
    if not probe:
        return ExitCode.PASS
    now = right_now()
    if until is not None:
        now = past("--until", until, now, checklist.calendar.timezone)
    matches = _matches(checklist, session, now)
    session.show(session.redactor.text("\n".join(match.line for match in matches)))
    checks = examine_releases(checklist, now=now, until=until is not None)
    for check in checks:
        words = "error: " if check.state is State.FAILED else ""
        text = "; ".join(each for each in (check.said, check.todo) if each)
        session.show(session.redactor.text(plain(f"{check.name}: {words}{text}", LONGEST_LINE)))
    if any(check.wrong for check in checks):
        return ExitCode.USAGE
    has_failed = any(check.state is State.FAILED for check in checks)
    return ExitCode.FAILED if has_failed else _verdict(matches)


@dataclass(frozen=True, slots=True)
class Match:
    """The series that the query of a KPI or of its total matched, or the error."""

    kpi: str
    series: int = 0
    points: int = 0
    since: datetime | None = None
    error: str = ""
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        if self.error:
            text = f"error: {self.error}"
        elif self.since is None:
            text = "no data"
        else:
            text = f"{self.series:,} series, {self.points:,} points since {stamp(self.since)}"
        return plain("; ".join([f"{self.kpi[:LONGEST_NAME]}: {text}", *self.notes]), LONGEST_LINE)


def summary(path: Path, checklist: Checklist) -> str:
    """The content of a valid checklist in a line."""

    def counted(number: int, word: str) -> str:
        return f"{number} {word}{'' if number == 1 else 's'}"

    parts = [
        counted(len(checklist.kpis), "KPI"),
        counted(len(checklist.sources), "source"),
        counted(len(checklist.sinks), "sink"),
    ]
    if checklist.hooks:
        dry = " (dry run)" if checklist.hooks[0].dry_run else ""
        parts.append(counted(len(checklist.hooks), "hook") + dry)
    place = f" in {checklist.environment}" if checklist.environment else ""
    return f"{path}: {plain(checklist.service + place, LONGEST_NAME)}, {', '.join(parts)}"


def _verdict(matches: Sequence[Match]) -> ExitCode:
    if any(match.error for match in matches):
        return ExitCode.FAILED
    return ExitCode.UNDECIDED if any(match.since is None for match in matches) else ExitCode.PASS


def _matches(checklist: Checklist, session: Session, now: datetime) -> list[Match]:
    """The matches of each query in the history before `now`: the baseline of a release at this
    moment."""
    from anomaly.panel import TOTAL
    from anomaly.pipeline import collect

    with progress_bar(session) as progress:
        collected = collect(checklist, Release(now), now=now, progress=progress)
    names = [
        name
        for kpi in checklist.kpis
        for name in (kpi.name, *([] if kpi.total is None else [TOTAL + kpi.name]))
    ]
    return [_match(name, collected) for name in names]


def _match(name: str, collected: Collected) -> Match:
    if name in collected.errors:
        return Match(name, error=str(collected.errors[name]))
    notes = collected.provenance[name].notes if name in collected.provenance else ()
    mine = collected.panel.loc[:, collected.panel.columns.get_level_values("kpi") == name]
    present = mine.notna()
    if not present.to_numpy().any():
        return Match(name, notes=notes)
    segments = mine.columns.get_level_values("segment").nunique()
    since = mine.index[int(present.any(axis=1).to_numpy().argmax())]
    return Match(
        name,
        series=segments,
        points=int(present.to_numpy().sum()),
        since=since.to_pydatetime(),
        notes=notes,
    )
