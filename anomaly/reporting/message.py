"""What a sink is sent, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from anomaly.model import ReleaseVerdict
from anomaly.reporting.report import Report


class Action(StrEnum):
    """What a message wants of its receiver."""

    FIRE = "fire"  # a KPI fails: act
    RESOLVE = "resolve"  # what was fired is over
    INFORM = "inform"  # how it stands, with nothing to act on at once
    TRIAL = "trial"  # sent by hand, to see whether it arrives

    @classmethod
    def of(cls, report: Report) -> Action:
        """What a report alone asks for, when nothing is known of what was told before."""
        return cls.FIRE if report.verdict is ReleaseVerdict.FAIL else cls.INFORM


@dataclass(frozen=True, slots=True)
class Message:
    """What a sink is told: a report under a `key` that names its release, and is the same in all
    messages about it.

    `id` names this very message: it stays the same when that is told again, be it after a crash.
    `why` says in a word why it is told (`first`, `escalated`, …). `look` is what `anomaly show`
    takes to show the report, `link` where it can be read; empty if nowhere.
    """

    key: str
    report: Report
    action: Action = Action.INFORM
    id: str = ""
    why: str = ""
    look: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message at one sink; `detail` holds no secret. `again` says that it may take
    it when told later."""

    sink: str
    delivered: bool
    detail: str = ""
    attempts: int = 1
    again: bool = False
