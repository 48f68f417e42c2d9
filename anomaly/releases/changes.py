"""From which versions were there at which moment to what was released.

A version that was not there a moment ago is a release. So is the return to what was there before: the newest version is gone, an older
one is left. Where users (instances, to be exact) had both for a while, these are the stages of the release.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from anomaly.model import Release, Stage

PLATEAU = timedelta(minutes=10)  # a share that is held so long is a stage; what is shorter is the rollout itself
GROWTH = 1.25  # times the share of the stage before; less is instances that come and go

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Instance:
    """What runs a version: how much of it there was at each moment, 0 for nothing."""

    version: str
    weight: FloatArray


@dataclass(frozen=True, slots=True)
class _Change:
    """The release of `version` at the moment numbered `row`; `older` are the versions that were there just before."""

    row: int
    version: int
    older: BoolArray


def releases(moments: Sequence[datetime], instances: Sequence[Instance], missed: int) -> list[Release]:
    """The releases in order of time. The first `missed` + 1 moments only teach what was there before.

    Moments with nothing at all are gaps, and count as if they had not been; an instance that is missing for at most `missed` of the others
    was there. One that is missing at the end may come back, so that nothing is said of it before it can't.
    """
    names = sorted({instance.version for instance in instances})
    matrix = np.array([instance.weight for instance in instances], np.float64).reshape(len(instances), len(moments))
    told = np.flatnonzero((matrix > 0).any(axis=0))
    matrix, times = matrix[:, told], [moments[row] for row in told.tolist()]
    weight, seen = np.zeros((len(names), len(times))), np.zeros((len(names), len(times)), np.bool_)
    for instance, row in zip(instances, matrix, strict=True):
        at = names.index(instance.version)
        weight[at] += _bridged(row, missed)
        seen[at] |= row > 0
    changes = list(_changes(weight, missed + 1))
    return [_release(change, _end(change, changes, len(times)), times, names, weight, seen) for change in changes]


def _bridged(weight: FloatArray, missed: int) -> FloatArray:
    """The weight with gaps of at most `missed` filled from before them, one that lasts until the end, too."""
    rows = np.arange(len(weight))
    last = np.maximum.accumulate(np.where(weight > 0, rows, -1))
    following = np.minimum.accumulate(np.where(weight > 0, rows, len(weight))[::-1])[::-1]
    return np.where((last >= 0) & (following - last - 1 <= missed), weight[last], 0.0)


def _changes(weight: FloatArray, first: int) -> Iterator[_Change]:
    newest = -1
    for row in range(first, weight.shape[1]):
        before, there = weight[:, row - 1] > 0, weight[:, row] > 0
        arrived = sorted(np.flatnonzero(there & ~before), key=lambda version: (weight[version, row], version))
        if not arrived and newest >= 0 and not there[newest]:
            arrived = [np.argmax(weight[:, row])]
        for version in map(int, arrived):
            older = before.copy()
            older[version] = False
            yield _Change(row, version, older)
            newest = version


def _end(change: _Change, changes: Sequence[_Change], rows: int) -> int:
    """The row of the next change."""
    return next((later.row for later in changes if later.row > change.row), rows)


def _release(change: _Change, end: int, times: Sequence[datetime], names: Sequence[str], weight: FloatArray, seen: BoolArray) -> Release:
    span = slice(change.row, end)
    own = weight[change.version, span]
    both_weigh = own + weight[change.older, span].sum(axis=0)
    stages = _stages(np.divide(own, both_weigh, out=np.zeros_like(own), where=both_weigh > 0), times[span])
    finished = None
    if not stages:
        both = np.flatnonzero(seen[change.version, span] & seen[change.older, span].any(axis=0))
        finished = times[change.row + int(both[-1])] if len(both) else None
    return Release(times[change.row], finished, version=names[change.version], stages=stages)


def _stages(share: FloatArray, times: Sequence[datetime]) -> tuple[Stage, ...]:
    """When the share grew to a level that it held, and when it was complete after one; none for a release without such a level."""
    held: list[Stage] = []
    since = 0
    for row in range(1, len(share) + 1):
        done = row == len(share)
        if not done and not (share[row] > GROWTH * share[since] or share[row] == 1 > share[since]):
            continue
        if share[since] < 1 and times[row - done] - times[since] >= PLATEAU:
            held.append((times[since], float(share[since])))
        since = row
        if held and not done and share[row] == 1:
            return (*held, (times[row], 1.0))
    return tuple(held)
