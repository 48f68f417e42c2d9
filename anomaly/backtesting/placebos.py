"""Placebo releases: past moments that are judged as if each had been a release."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from anomaly.model import Release, Windows
from anomaly.steps import CalendarStep, align

LEAST_HISTORY = 0.5  # of the configured history, before the first placebo release
ROOM = (
    1.25  # lengths of a watch for each, in which it is moved, so that they fall on different hours
)
GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples fill an interval evenly (Weyl 1916)


def length(windows: Windows) -> timedelta:
    """From a placebo release to the end of its watch, in whole steps."""
    return -(-(windows.warmup + windows.watch) // windows.step) * windows.step


def origins(
    start: datetime, end: datetime, windows: Windows, most: int, releases: Sequence[Release] = ()
) -> tuple[datetime, ...]:
    """At most `most` moments between `start` and `end` of the data, in order; where they fall
    depends on nothing else.

    Half of the history lies before the first, a whole watch after each, and no two watches overlap,
    neither with each other nor with those of the real `releases`.
    """
    first = start + -(-LEAST_HISTORY * windows.history // windows.step) * windows.step
    span = length(windows)
    room = end - first
    count = min(most, max(int(room >= span), int(room / (ROOM * span))))
    if count < 1:
        return ()
    slot = room / count
    moments = [
        first + number * slot + (slot - span) * ((number + 1) * GOLDEN % 1.0)
        for number in range(count)
    ]
    on_grid = [
        align(moment, windows.step)
        if isinstance(windows.step, CalendarStep)
        else start + (moment - start) // windows.step * windows.step
        for moment in moments
    ]
    return tuple(
        moment
        for moment in on_grid
        if not any(
            moment < release.finished + span and release.started_at < moment + span
            for release in releases
        )
    )


def evenly(moments: Sequence[datetime], most: int) -> tuple[datetime, ...]:
    """At most `most` of them, from the first to the last."""
    if len(moments) <= most:
        return tuple(moments)
    return tuple(
        moments[round(number * (len(moments) - 1) / max(1, most - 1))] for number in range(most)
    )
