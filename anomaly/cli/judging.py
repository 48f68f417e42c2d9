"""Shared by `check` and `explain`: collect data, or load saved data, and judge."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from anomaly.checklist.checklist import Checklist
from anomaly.cli.release import Words, end_of_watch, release_of, right_now
from anomaly.cli.session import Session, log
from anomaly.cli.storing import place
from anomaly.errors import StoreError, UsageError
from anomaly.model import Release
from anomaly.steps import later
from anomaly.timing.spans import plan
from anomaly.wording import did_you_mean

if TYPE_CHECKING:
    from anomaly.baseline.correlogram import Correlogram
    from anomaly.collectors.answers import Answers
    from anomaly.collectors.collect import Progress
    from anomaly.contracts import Collected
    from anomaly.engine.workers import Workers
    from anomaly.reporting.report import Report


@dataclass(frozen=True, slots=True)
class Case:
    """The input of a verdict; without `collected` data the sources are asked."""

    checklist: Checklist
    release: Release
    collected: Collected | None
    now: datetime
    until: datetime | None = None
    only: Sequence[str] = ()

    def judge(self, work: Work | None = None) -> Report:
        from anomaly.engine.workers import ALONE
        from anomaly.pipeline import check_release

        work = work or Work(ALONE, None, None, None)

        return check_release(
            self.checklist,
            self.release,
            now=self.now,
            until=self.until,
            only=self.only,
            collected=self.collected,
            workers=work.workers,
            progress=work.collecting,
            answers=work.answers,
            judging=work.judging,
        )

    @property
    def data(self) -> Collected:
        """What was collected; who asks for it had it kept."""
        assert self.collected is not None  # noqa: S101  see `gather`
        return self.collected

    def correlograms(
        self, series: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Correlogram]:
        """What is left of the autocorrelation of some series, by KPI and segment."""
        from anomaly.pipeline import correlograms

        return correlograms(
            self.checklist,
            self.release,
            now=self.now,
            until=self.until,
            series=series,
            collected=self.data,
        )


def gather(
    checklist: Checklist,
    words: Words,
    session: Session,
    *,
    only: Sequence[str] = (),
    saved_data: Path | None = None,
    is_kept: bool = True,
) -> Case:
    """The release of `words`, or the latest that is known, with collected data, or with
    `saved_data`. Data that are not to be `kept` are not collected yet. Raises UsageError."""
    now = right_now()
    release = (
        _latest(checklist, words, session, now)
        if words.released_at is None
        else release_of(checklist, words, now)
    )
    until = end_of_watch(release, words, now, checklist.calendar.timezone)
    if saved_data is None and not is_kept:
        return Case(checklist, release, None, now, until, only)
    if saved_data is None:
        from anomaly.collectors.collect import collect_window

        span = plan(release, checklist.windows, now=now, until=until).span
        with progress_bar(session) as progress, _answers(checklist, session, now) as answers:
            collected = collect_window(checklist, span, only, progress, answers)
        log.info(
            "collected %d series of %d steps, %d KPIs failed",
            collected.panel.shape[1],
            len(collected.panel),
            len(collected.errors),
        )
        return Case(checklist, release, collected, now, until, only)

    from anomaly.collectors import snapshot

    collected = snapshot.load(saved_data)
    reached = _reach(collected, checklist.windows.step) + checklist.windows.lag
    return Case(
        checklist,
        release,
        collected,
        min(now, max(reached, until or reached, release.exposed_at)),
        until,
        only,
    )


@contextmanager
def _answers(checklist: Checklist, session: Session, now: datetime) -> Iterator[Answers | None]:
    """What looks left beside the history, if there is one and a source that takes it: for a single
    check nothing is created."""
    from anomaly.checklist import registry

    if not any(registry.takes(each, "answers") for each in checklist.sources.values()):
        yield None
        return
    from anomaly.collectors.answers import Answers
    from anomaly.history.places import ANSWERS, beside

    try:
        history = place(os.environ.get("ANOMALY_STORE"), checklist, session)
    except StoreError:  # there is no home folder
        yield None
        return
    is_there = "://" in history or Path(history).exists()
    with Answers(beside(history, ANSWERS) if is_there else None, now=now) as answers:
        yield answers


def _latest(checklist: Checklist, words: Words, session: Session, now: datetime) -> Release:
    from anomaly.cli.latest import latest

    for option, value in {
        "--finished-at": words.finished_at,
        "--stage": words.stages,
        "--next-release": words.next_release,
    }.items():
        if value:
            raise UsageError(f"{option} needs --released-at")
    return latest(checklist, words.version, session, now)


def _reach(collected: Collected, step: timedelta) -> datetime:
    """The end of saved data: an early look stays early, however late it is judged again."""
    index = collected.panel.index
    if len(index) == 0:
        raise UsageError("the saved data hold no steps")
    last: datetime = index[-1].to_pydatetime()
    # the step after the last one was not complete
    return later(last, step, 2) - timedelta(microseconds=1)


def check_names(checklist: Checklist, names: Sequence[str]) -> None:
    """Raises UsageError for an unknown KPI name."""
    choices = tuple(kpi.name for kpi in checklist.kpis)
    for name in names:
        if name not in choices:
            raise UsageError(
                f"{name!r} is not a KPI of the checklist; use one of "
                f"{', '.join(choices)}{did_you_mean(name, choices)}"
            )


@contextmanager
def progress_bar(
    session: Session, doing: str = "querying the sources"
) -> Iterator[Progress | None]:
    """A progress bar on stderr, if that is a terminal."""
    with progress_bars(session, doing) as (bar,):
        yield bar


@contextmanager
def progress_bars(session: Session, *doing: str) -> Iterator[tuple[Progress | None, ...]]:
    """Progress bars on stderr, if that is a terminal, each from when it is first told of."""
    if not session.is_interactive():
        yield (None,) * len(doing)
        return
    from rich import progress as rich
    from rich.console import Console

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeElapsedColumn(),
    )
    with rich.Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = [bars.add_task(what, total=None, visible=False) for what in doing]

        def bar(task: rich.TaskID) -> Callable[[int, int], None]:
            return lambda done, total: bars.update(task, completed=done, total=total, visible=True)

        yield tuple(map(bar, tasks))


@dataclass(frozen=True, slots=True)
class Work:
    """Who does the work of a look, what is known of the answers of sources, and who is told how far
    it is."""

    workers: Workers
    answers: Answers | None
    collecting: Progress | None
    judging: Progress | None


@contextmanager
def workers_of(jobs: int, engine: str | None) -> Iterator[Workers]:
    """Those who judge, until the block ends. Raises UsageError for two kinds of them."""
    if engine is None:
        from anomaly.engine.processes import processes

        with processes(jobs) as workers:
            yield workers
        return
    if jobs > 1:
        raise UsageError("--jobs and --engine exclude each other: the engine has its own workers")
    from anomaly.engine.cluster import cluster

    with cluster(engine) as workers:
        yield workers


@contextmanager
def at_work(
    session: Session, checklist: Checklist, now: datetime, jobs: int, engine: str | None
) -> Iterator[Work]:
    """Those who judge, what is known, and the progress bars, until the block ends."""
    with (
        workers_of(jobs, engine) as workers,
        _answers(checklist, session, now) as answers,
        progress_bars(session, "querying the sources", "judging") as bars,
    ):
        yield Work(workers, answers, *bars)
