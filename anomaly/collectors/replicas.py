"""Labels that name what comes and goes: pods, instances, versions.

A release replaces them, so that none has both a baseline and a time after the release. What they
share can be judged: their sum, or their mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from anomaly.panel import segment_labels, segment_text

REPLICAS = frozenset(
    {
        *("pod", "pod_name", "pod_id", "pod_ip", "pod_template_hash", "replica", "replicaset"),
        *("instance", "instance_id", "container_id", "task", "task_id", "uid", "id"),
        *("version", "release", "revision", "commit", "sha", "hash", "build", "image", "image_tag"),
    }
)
ALL = "all"  # the value of such a label for the sum over it
PATIENCE = 2  # steps for which one may be missing at either end
Columns = Mapping[tuple[str, str, str], NDArray[np.float64]]


def settled(
    columns: Columns, by: Sequence[str], *, additive: bool
) -> tuple[Columns, tuple[str, ...]]:
    """The columns (kpi, segment, role), in sum over each label whose values come and go, or in the
    mean of what is not `additive`. A note says so for each such label."""
    notes = []
    for label in by:
        lives = _lives(columns, label)
        passing = {value for value, life in lives.items() if life != (False, False)}
        if not passing or (label not in REPLICAS and (len(lives) == 1 or passing < lives.keys())):
            continue
        appeared = sum(starts for starts, _ in lives.values())
        vanished = sum(ends for _, ends in lives.values())
        if label not in REPLICAS and not (appeared and vanished):
            continue
        columns = _together(columns, label, additive=additive)
        notes.append(
            f"by: [{label}] names what comes and goes ({appeared} appeared, {vanished} vanished of "
            f"{len(lives)}), so all are judged by their {'sum' if additive else 'mean'}; "
            f"take {label} out of by and of the query"
        )
    return columns, tuple(notes)


def _lives(columns: Columns, label: str) -> dict[str, tuple[bool, bool]]:
    """Of each value of a label, whether it began and whether it ended within the rows of all."""
    there: dict[str, NDArray[np.bool_]] = {}
    for (_, segment, _), values in columns.items():
        value = segment_labels(segment).get(label, "")
        there[value] = there.get(value, np.False_) | ~np.isnan(values)
    rows = {value: np.flatnonzero(each) for value, each in there.items() if each.any()}
    if not rows:
        return {}
    first = min(each[0] for each in rows.values())
    last = max(each[-1] for each in rows.values())
    return {
        value: (bool(each[0] > first + PATIENCE), bool(each[-1] < last - PATIENCE))
        for value, each in rows.items()
    }


def _together(columns: Columns, label: str, *, additive: bool) -> Columns:
    parts: dict[tuple[str, str, str], list[NDArray[np.float64]]] = {}
    for (kpi, segment, role), values in columns.items():
        key = (kpi, segment_text({**segment_labels(segment), label: ALL}), role)
        parts.setdefault(key, []).append(values)
    out = {}
    for key, each in parts.items():
        matrix = np.vstack(each)
        count = np.count_nonzero(~np.isnan(matrix), axis=0)
        total = np.where(count > 0, np.nansum(matrix, axis=0), np.nan)
        out[key] = total if additive else total / np.maximum(count, 1)
    return out
