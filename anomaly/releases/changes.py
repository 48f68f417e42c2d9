"""From which versions were there at which moment to what was released.

A version that was not there a moment ago is a release. So is the return to what was there before:
the newest version is gone, an older one is left. Where users (instances, to be exact) had both for
a while, these are the stages of the release.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from anomaly.model import Release, Stage

PLATEAU = timedelta(
    minutes=10
)  # a share that is held so long is a stage; what is shorter is the rollout itself
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
    """The release of `version` at the moment numbered `row`; `older` are the versions that were
    there just before."""

    row: int
    version: int
    older: BoolArray


def releases(
    moments: Sequence[datetime], instances: Sequence[Instance], patience: int
) -> list[Release]:
    """The releases in order of time. The first `patience` + 1 moments only teach what was there
    before.

    Moments with nothing at all are gaps, and count as if they had not been; an instance that is
    missing for at most `patience` of the others was there. One that is missing at the end may come
    back: it counts as there until that is ruled out, and stages that late are left out.
    """
    names = sorted({instance.version for instance in instances})
    matrix = np.array([instance.weight for instance in instances], np.float64).reshape(
        len(instances), len(moments)
    )
    filled_rows = np.flatnonzero((matrix > 0).any(axis=0))
    matrix, times = matrix[:, filled_rows], [moments[row] for row in filled_rows.tolist()]
    weight, present = (
        np.zeros((len(names), len(times))),
        np.zeros((len(names), len(times)), np.bool_),
    )
    for instance, row in zip(instances, matrix, strict=True):
        at = names.index(instance.version)
        weight[at] += _bridged(row, patience)
        present[at] |= row > 0
    changes = list(_changes(weight, patience + 1))
    out = []
    for change in changes:
        end = next((later.row for later in changes if later.row > change.row), len(times))
        stages = _stages(
            _share(change, weight[:, change.row : min(end, len(times) - patience)]),
            times[change.row :],
        )
        finished = (
            None
            if stages
            else _last_of_both(change, present[:, change.row : end], times[change.row :])
        )
        out.append(
            Release(times[change.row], finished, version=names[change.version], stages=stages)
        )
    return out


def _bridged(weight: FloatArray, patience: int) -> FloatArray:
    """The weight with gaps of at most `patience` filled from before them, one that lasts until the
    end, too."""
    rows = np.arange(len(weight))
    last = np.maximum.accumulate(np.where(weight > 0, rows, -1))
    following = np.minimum.accumulate(np.where(weight > 0, rows, len(weight))[::-1])[::-1]
    return np.where((last >= 0) & (following - last - 1 <= patience), weight[last], 0.0)


def _changes(weight: FloatArray, first: int) -> Iterator[_Change]:
    newest = -1
    for row in range(first, weight.shape[1]):
        before, there = weight[:, row - 1] > 0, weight[:, row] > 0
        arrived = sorted(
            np.flatnonzero(there & ~before), key=lambda version: (weight[version, row], version)
        )
        if not arrived and newest >= 0 and not there[newest]:
            arrived = [np.argmax(weight[:, row])]
        for version in map(int, arrived):
            older = before.copy()
            older[version] = False
            yield _Change(row, version, older)
            newest = version


def _share(change: _Change, weight: FloatArray) -> FloatArray:
    """How much of what there was had the version, against the older ones."""
    own = weight[change.version]
    together = own + weight[change.older].sum(axis=0)
    share: FloatArray = np.divide(own, together, out=np.zeros_like(own), where=together > 0)
    return share


def _last_of_both(
    change: _Change, present: BoolArray, times: Sequence[datetime]
) -> datetime | None:
    rows = np.flatnonzero(present[change.version] & present[change.older].any(axis=0))
    return times[int(rows[-1])] if len(rows) else None


def _stages(share: FloatArray, times: Sequence[datetime]) -> tuple[Stage, ...]:
    """When the share grew to a level that it held, and when it was complete after one; none for a
    release without such a level."""
    stages: list[Stage] = []
    since = 0
    for row in range(1, len(share) + 1):
        at_end = row == len(share)
        if not at_end and not (
            share[row] > GROWTH * share[since] or share[row] == 1 > share[since]
        ):
            continue
        if share[since] < 1 and times[row - at_end] - times[since] >= PLATEAU:
            stages.append((times[since], float(share[since])))
        since = row
        if stages and not at_end and share[row] == 1:
            return (*stages, (times[row], 1.0))
    return tuple(stages)
