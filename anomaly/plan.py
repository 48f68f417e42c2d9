"""The spans of one look at a release: what is learned from, what is left out, what is watched, and how far data reach."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from anomaly.errors import UsageError
from anomaly.model import Release, Window, Windows, utc


@dataclass(frozen=True, slots=True)
class Plan:
    """What is learned from (`baseline`), where the watch begins and ends, how far data reach (`horizon`), and if this is the last look."""

    baseline: Window
    transition_end: datetime
    watch_end: datetime
    horizon: datetime
    final: bool

    @property
    def span(self) -> Window:
        """Everything that has to be collected."""
        return Window(self.baseline.start, max(self.horizon, self.baseline.end))


def plan(release: Release, windows: Windows, *, now: datetime, until: datetime | None = None) -> Plan:
    """The spans of a look at `now`; raises UsageError for a release or an `until` in the future, or an `until` before the watch."""
    now = utc(now, "now")
    if release.started_at > now:
        raise UsageError(f"the release starts {release.started_at.isoformat()}, in the future (now is {now.isoformat()})")
    transition_end = release.finished + windows.warmup
    watch_end = transition_end + windows.watch
    if until is not None:
        until = utc(until, "until")
        if until > now:
            raise UsageError(
                f"until is {until.isoformat()}, in the future (now is {now.isoformat()}); a look can't be final before its time"
            )
        if until <= transition_end:
            raise UsageError(
                f"until is {until.isoformat()}, before the watch begins at {transition_end.isoformat()} (release end and warm-up)"
            )
        watch_end = until
    final = until is not None or now - windows.lag >= watch_end
    return Plan(
        Window(release.started_at - windows.history, release.started_at),
        transition_end,
        watch_end,
        min(now - windows.lag, watch_end),
        final,
    )
