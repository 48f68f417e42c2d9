"""What `check` and `explain` share: collect, or take what was kept, and judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from anomaly.checklist import Checklist
from anomaly.cli.release import Words, end_of_watch, release_of
from anomaly.cli.session import Session
from anomaly.errors import UsageError
from anomaly.settings import did_you_mean
from anomaly.wording import plain

if TYPE_CHECKING:
    from anomaly.model import Report

LONGEST_NAME = 40  # characters of a source's name

Progress = Callable[[int, int, str], None]  # so many of so many KPIs are read, and which source is being asked


def judged(
    checklist: Checklist,
    words: Words,
    session: Session,
    *,
    now: datetime,
    only: Sequence[str] = (),
    kept: Path | None = None,
    keep: Path | None = None,
) -> Report:
    """The report about the release that `words` mean; of `kept` data if there are any. `keep` names where to leave the data."""
    from anomaly import pipeline, snapshot

    release = release_of(checklist, words, now)
    until = end_of_watch(release, words, now)
    if kept is None:
        with progress_bar(session) as progress:
            collected = pipeline.collect(checklist, release, now=now, until=until, only=only, progress=progress)
    else:
        collected = snapshot.load(kept)
    if keep is not None:
        snapshot.save(collected, keep)
    return pipeline.check_release(checklist, release, now=now, until=until, only=only, collected=collected)


def known_kpis(checklist: Checklist, names: Sequence[str]) -> None:
    """Raises UsageError for a name that no KPI of the checklist has."""
    known = tuple(kpi.name for kpi in checklist.kpis)
    for name in names:
        if name not in known:
            raise UsageError(f"{name!r} is no KPI of the checklist; use one of {', '.join(known)}{did_you_mean(name, known)}")


@contextmanager
def progress_bar(session: Session) -> Iterator[Progress | None]:
    """A bar on stderr while sources are asked, where somebody watches."""
    if not session.is_interactive():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def show(done: int, total: int, source: str) -> None:
            bar.update(task, completed=done, total=total, description=plain(f"reading {source}", LONGEST_NAME))

        yield show
