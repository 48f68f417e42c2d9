"""The data of an inquiry, some shards at a time, so that memory holds no more than these."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from anomaly.collectors.collect import Progress, collect_window, is_read_once, queries_of
from anomaly.contracts import Collected
from anomaly.errors import CollectError
from anomaly.model import Kpi
from anomaly.panel import keys_of
from anomaly.partials.hearing import divided
from anomaly.partials.inquiry import Inquiry, Shard

if TYPE_CHECKING:
    from anomaly.checklist.checklist import Checklist
    from anomaly.collectors.answers import Answers

CELLS = 12_000_000  # values that are collected together, 8 bytes each
SEGMENTS = 500  # of a KPI, until the first are known
ALIKE = 2  # KPIs with one and the same error, from which their source counts as dead


def gathered(
    checklist: Checklist,
    inquiry: Inquiry,
    shards: Sequence[Shard],
    progress: Progress | None = None,
    answers: Answers | None = None,
    *,
    is_whole: bool = False,
) -> Iterator[tuple[Shard, Collected]]:
    """What the sources say for each shard. They are asked for as many shards at once as should fit
    into `CELLS`: one question is quicker than many. If not all do, they are first asked for one,
    which says how many segments there are, and gives the workers something to do.

    Where the shards are the whole of what is decided about (`is_whole`), each may learn how many
    series there are, and small ones are put together. A source that fails as a whole is not asked
    again, nor what is known of `answers`. `progress` is told how many of how many queries are
    answered.
    """
    waiting, total = deque(shards), sum(len(queries_of(shard.kpis)) for shard in shards)
    steps = max(1, (inquiry.spans.span.end - inquiry.spans.span.start) // inquiry.step)
    segments, done = SEGMENTS, 0
    failures: dict[str, list[CollectError]] = {}
    at_once = is_read_once(checklist)
    at_once |= steps * sum(_size(shard, segments) for shard in shards) <= CELLS
    while waiting:
        group = [waiting.popleft()]
        cells = steps * _size(group[0], segments) if done else CELLS
        while waiting and (at_once or cells + steps * _size(waiting[0], segments) <= CELLS):
            cells += steps * _size(waiting[0], segments)
            group.append(waiting.popleft())
        names = [name for shard in group for name in shard.names]

        def report(answered: int, _: int, before: int = done) -> None:
            if progress is not None:
                progress(min(before + answered, total), total)

        collected = collect_window(
            checklist, inquiry.spans.span, names, report, answers, dead=_dead(failures)
        )
        done += sum(len(queries_of(shard.kpis)) for shard in group)
        segments = _most_segments(collected, segments)
        _note_failures(collected, [kpi for shard in group for kpi in shard.kpis], failures)
        yield from divided(collected, group, is_whole=is_whole and len(group) == len(shards))
        del collected  # before the next are collected


def _size(shard: Shard, segments: int) -> int:
    """How many series a shard may have."""
    kpis = (*shard.kpis, *shard.beside)
    return sum((segments if kpi.by else 1) * (1 if kpi.denominator is None else 2) for kpi in kpis)


def _most_segments(collected: Collected, default: int) -> int:
    """How many series the KPI with the most has; the default without any segment."""
    counts: dict[str, set[str]] = {}
    for name, segment, _ in keys_of(collected.panel):
        if segment:
            counts.setdefault(name, set()).add(segment)
    return max(map(len, counts.values()), default=default)


def _note_failures(
    collected: Collected, kpis: Sequence[Kpi], failures: dict[str, list[CollectError]]
) -> None:
    """Note the errors of each source since it last answered for any KPI."""
    reasons: dict[str, list[CollectError | None]] = {}
    for kpi in kpis:
        reasons.setdefault(kpi.source, []).append(collected.errors.get(kpi.name))
    for source, each in reasons.items():
        errors = [error for error in each if error is not None]
        failures[source] = [*failures.get(source, ()), *errors] if len(errors) == len(each) else []


def _dead(failures: Mapping[str, Sequence[CollectError]]) -> dict[str, CollectError]:
    """The sources all of whose KPIs have one and the same error, since they last answered."""
    return {
        source: errors[0]
        for source, errors in failures.items()
        if len(errors) >= ALIKE and len({*map(str, errors)}) == 1
    }
