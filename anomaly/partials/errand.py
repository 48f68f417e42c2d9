"""A shard that a machine elsewhere collects and hears by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from anomaly.checklist import checklist as checklists
from anomaly.checklist import strict_yaml
from anomaly.collectors.collect import Progress
from anomaly.engine.workers import ALONE, CrashError, Workers
from anomaly.errors import AnomalyError, UsageError
from anomaly.panel import grid
from anomaly.partials.gathering import gathered
from anomaly.partials.hearing import Hearings, crash, nothing
from anomaly.partials.inquiry import Inquiry, Shard
from anomaly.partials.partial import Partial
from anomaly.redaction import Redactor

if TYPE_CHECKING:
    from anomaly.checklist.checklist import Checklist


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be collected and heard elsewhere.

    The checklist is sent as it is written: variables are filled in where it arrives, by the
    environment and the files there. So no secret travels.
    """

    text: bytes = field(repr=False)
    path: str
    environment: str
    version: str
    inquiry: Inquiry = field(repr=False)
    shard: Shard = field(repr=False)


Outcome = Partial | Exception


def done(errand: Errand) -> Outcome:
    """What the shard of an errand contributes. Nothing is raised, for an engine keeps what a task
    raises."""
    try:
        _expect_version(errand.version)
        checklist = checklists.load(
            errand.path, environment=errand.environment or None, text=errand.text
        )
        with _masked(checklist):
            data = gathered(checklist, errand.inquiry, [errand.shard])
            (partial,) = Hearings(errand.inquiry, ALONE, None).partials(data)
            return partial
    except AnomalyError as error:
        return error
    except Exception as error:  # noqa: BLE001  it is the outcome
        return CrashError(type(error).__name__)


@cache  # a file is read for it
def own_version() -> str:
    """The version of the package that runs."""
    return version("release-anomaly")


def _expect_version(theirs: str) -> None:
    """Raises UsageError if a worker has another version."""
    mine = own_version()
    if mine != theirs:
        raise UsageError(
            f"a worker has anomaly {mine}, this is {theirs}; install one version everywhere"
        )


@contextmanager
def _masked(checklist: Checklist) -> Iterator[None]:
    """Secrets of the checklist are masked in what this process logs meanwhile."""
    redactor = Redactor(checklist.secrets)
    handlers = [*logging.getLogger().handlers]
    if logging.lastResort is not None:
        handlers.append(logging.lastResort)
    for handler in handlers:
        handler.addFilter(redactor.filter)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(redactor.filter)


def run(
    checklist: Checklist,
    inquiry: Inquiry,
    shards: Sequence[Shard],
    workers: Workers,
    progress: Progress | None = None,
) -> Iterator[Partial]:
    """What each of the shards contributes, in their order, from workers that collect for
    themselves; `progress` is told how many KPIs are done.

    A KPI that ends every worker is an error of its own. Raises any AnomalyError.
    """
    if checklist.path is None:
        raise UsageError("workers elsewhere need a checklist from a file")
    text, path = strict_yaml.read(checklist.path), str(checklist.path.resolve())

    def errand(shard: Shard) -> Errand:
        return Errand(
            text=text,
            path=path,
            environment=checklist.environment,
            version=own_version(),
            inquiry=replace(inquiry, kpis=(*shard.kpis, *shard.beside)),
            shard=shard,
        )

    def again(shard: Shard) -> Outcome:
        return next(workers.outcomes(done, [errand(shard)]))

    count, total = 0, sum(len(shard.kpis) for shard in shards)
    for shard, outcome in zip(shards, workers.outcomes(done, map(errand, shards)), strict=True):
        yield _partial(inquiry, shard, outcome, again)
        count += len(shard.kpis)
        if progress is not None:
            progress(count, total)


def _partial(
    inquiry: Inquiry,
    shard: Shard,
    outcome: Outcome,
    again: Callable[[Shard], Outcome],
) -> Partial:
    """What became of a shard. One that crashed is divided: each of its KPIs is done `again` alone,
    without controls, and one that crashes then is an error."""
    if isinstance(outcome, Partial):
        return outcome
    if isinstance(outcome, AnomalyError):
        raise outcome
    if not shard.is_alone:
        alone = [Shard((kpi,), family=shard.family) for kpi in shard.kpis]
        return Partial.together([_partial(inquiry, each, again(each), again) for each in alone])
    name = shard.kpis[0].name
    index = grid(inquiry.spans.span, inquiry.step)
    return replace(nothing(shard, index), errors={name: crash(name, outcome)})
