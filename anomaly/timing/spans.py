"""The spans of one look at a release: the history to learn from, the parts to leave out and to
watch, and how far data reach."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from anomaly.errors import UsageError
from anomaly.model import Plateau, Release, Window, Windows, utc
from anomaly.steps import CalendarStep, align, later


@dataclass(frozen=True, slots=True)
class Plan:
    """The history to learn from (`baseline`), the planned parts of the watch (`plateaus`, at least
    one), its end, how far data reach (`horizon`), and whether this is the last look. The next
    release may end the watch before the plan does.
    """

    baseline: Window
    plateaus: tuple[Plateau, ...]
    watch_end: datetime
    horizon: datetime
    final: bool

    @property
    def span(self) -> Window:
        """The span to collect."""
        return Window(self.baseline.start, max(self.horizon, self.baseline.end))

    @property
    def observation(self) -> Window:
        """From the end of the first warm-up to the end of the watch; from the release on, if the
        next one began before."""
        begins = self.plateaus[0].window.start
        return Window(begins if begins < self.watch_end else self.baseline.end, self.watch_end)

    @property
    def reached(self) -> tuple[Plateau, ...]:
        """The plateaus that data reach, as far as they do."""
        return cut(self.plateaus, self.horizon)

    def steps(self, stamp: datetime, step: timedelta) -> int:
        """The number of observed steps in the whole plan, on the grid that holds `stamp`."""
        windows = [each.window for each in self.plateaus]
        if isinstance(step, CalendarStep):
            return sum(max(0, len(step.edges(w.start, w.end)) - 1) for w in windows)
        return sum(max(0, (w.end - stamp) // step + (stamp - w.start) // step) for w in windows)


def settled_at(windows: Windows, now: datetime) -> datetime:
    """When the current step will have settled, so that a look can use it."""
    return later(align(now - windows.lag, windows.step), windows.step) + windows.lag


def plan(
    release: Release, windows: Windows, *, now: datetime, until: datetime | None = None
) -> Plan:
    """The spans of a look at `now`; raises UsageError for a release or an `until` in the future, or
    an `until` before the watch."""
    now = utc(now, "now")
    if release.started_at > now:
        raise UsageError(
            f"the release starts {release.started_at.isoformat()}, in the future (now is "
            f"{now.isoformat()})"
        )
    parts = plateaus(release, windows.warmup, windows.watched_until(release.finished))
    if until is not None:
        until, begins = utc(until, "until"), parts[0].window.start
        if until > now:
            raise UsageError(
                f"until is {until.isoformat()}, in the future (now is {now.isoformat()}); a look "
                "can't be final before its time"
            )
        if until <= begins:
            raise UsageError(
                f"until is {until.isoformat()}, before the watch begins at {begins.isoformat()} "
                "(release end and warm-up)"
            )
        parts = plateaus(release, windows.warmup, until)
    watch_end = ended(release, parts[-1].window.end)
    return Plan(
        Window(windows.history_since(release.started_at), release.started_at),
        parts,
        watch_end,
        min(now - windows.lag, watch_end),
        now - windows.lag >= watch_end or until == watch_end,
    )


def plateaus(release: Release, warmup: timedelta, end: datetime) -> tuple[Plateau, ...]:
    """The parts of the watch up to `end`: one per stage, each from the end of its warm-up to the
    next stage.

    The time between `started_at` and the first stage, and between the last stage and
    `finished_at`, is left out, like the warm-ups.
    """
    begins = [*(at for at, _ in release.stages[:-1]), release.finished]
    ends = [*(at for at, _ in release.stages[1:]), max(end, release.finished)]
    shares = [share for _, share in release.stages] or [1.0]
    spans = zip(shares, begins, ends, strict=True)
    return cut(
        (
            Plateau(share, Window(begin + warmup, to))
            for share, begin, to in spans
            if begin + warmup < to
        ),
        end,
    )


def cut(parts: Iterable[Plateau], end: datetime) -> tuple[Plateau, ...]:
    """The plateaus up to `end`."""
    return tuple(
        replace(each, window=Window(each.window.start, min(each.window.end, end)))
        for each in parts
        if each.window.start < end
    )


def ended(release: Release, planned: datetime) -> datetime:
    """When the watch is over: as planned, or when the next release begins."""
    return planned if release.followed_by is None else min(planned, release.followed_by.started_at)
