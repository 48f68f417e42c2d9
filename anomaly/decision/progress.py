"""How far the watch of a release is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from anomaly.model import Release
from anomaly.steps import later, local


@dataclass(frozen=True, slots=True)
class WatchProgress:
    """When the steps so far start (`starts`), how many steps are `planned`, and whether this look
    is the last (`final`)."""

    release: Release
    starts: tuple[datetime, ...]
    step: timedelta
    planned: int
    final: bool

    @property
    def steps(self) -> int:
        """How many steps were watched so far."""
        return len(self.starts)

    @property
    def share(self) -> float:
        """How much of the planned watch that is."""
        return self.steps / self.planned

    @property
    def day(self) -> date:
        """The day of the release, which times need not repeat."""
        return self.release.started_at.date()

    def at(self, step: int) -> datetime:
        """When a step of the observation starts; a negative one is before it. A step of the
        calendar starts in its zone."""
        if 0 <= step < self.steps:
            moment = self.starts[step]
        elif step < 0:
            moment = later(self.starts[0], self.step, step)
        else:
            moment = later(self.starts[-1], self.step, step - self.steps + 1)
        return local(moment, self.step)

    def over_the_watch(self, p: float) -> float:
        """A p-value made valid for every look of the planned watch: an early look may spend only as
        much as has been watched."""
        return float(min(1.0, p / self.share))
