"""A message to a sink, why it is sent, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from anomaly.model import ALARMS, ReleaseVerdict
from anomaly.reporting.report import Report


class Action(StrEnum):
    """What a message asks its receiver to do."""

    FIRE = "fire"  # a KPI fails: act
    RESOLVE = "resolve"  # the failure that was fired is over
    INFORM = "inform"  # the current state; nothing to act on at once
    TRIAL = "trial"  # sent by hand to test whether it arrives

    @classmethod
    def of(cls, report: Report) -> Action:
        """The action that a report alone asks for, without knowledge of earlier messages."""
        return cls.FIRE if report.verdict in ALARMS else cls.INFORM


class NotifyReason(StrEnum):
    """Why a sink is, or is not, notified of a look; see `anomaly.notify.policy`."""

    FIRST = "first"
    ESCALATED = "escalated"
    REPEATED = "repeated"
    RESOLVED = "resolved"
    ABORTED = "aborted"
    ENDED = "ended"
    ALREADY_TOLD = "already told"
    ACKNOWLEDGED = "acknowledged"
    SILENCED = "silenced"
    UNSURE = "unsure"
    NOTHING_NEW = "nothing new"
    UNKNOWN = ""  # no policy decided, or the history was written by a later version

    @classmethod
    def of(cls, text: str) -> NotifyReason:
        """The reason with this text; UNKNOWN if this version has none."""
        try:
            return cls(text)
        except ValueError:
            return cls.UNKNOWN


NEWS = frozenset(
    {
        NotifyReason.FIRST,
        NotifyReason.ESCALATED,
        NotifyReason.REPEATED,
        NotifyReason.RESOLVED,
        NotifyReason.ABORTED,
        NotifyReason.ENDED,
        NotifyReason.SILENCED,
    }
)  # a message for one of the other reasons only repeats the current state


@dataclass(frozen=True, slots=True)
class Message:
    """A report for a sink. `key` names the release and is the same in all messages about it.

    `id` names this message: it stays the same when the message is sent again, even after a crash.
    `look` is the argument for `anomaly show` to show the report, `link` the address of the report;
    both may be empty. `thread` is that of the sink's last receipt about the release that named one.
    """

    key: str
    report: Report
    action: Action = Action.INFORM
    id: str = ""
    why: NotifyReason = NotifyReason.UNKNOWN
    look: str = ""
    link: str = ""
    thread: str = ""

    @property
    def is_good_news(self) -> bool:
        """Whether a failure is over, or the release passed: nothing is left to alert about."""
        if self.action is Action.INFORM:
            return self.report.verdict is ReleaseVerdict.PASS
        return self.action is Action.RESOLVE


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message at one sink; `detail` holds no secret. `again` says that a later
    attempt may succeed. `thread` tells the sink where later messages about the release belong."""

    sink: str
    delivered: bool
    detail: str = ""
    attempts: int = 1
    again: bool = False
    thread: str = ""
