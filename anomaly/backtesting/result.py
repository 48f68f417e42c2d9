"""The results of a backtest. Frozen values, no numerics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from anomaly.model import ALARMS, Finding, Interval, Release, ReleaseVerdict, Segment
from anomaly.reporting.words import TOTAL, segment_words
from anomaly.wording import plain, stamp

SCHEMA = 1
LONGEST_NAME = 60  # characters


class Label(StrEnum):
    """What is known about a past release."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


class Setting(StrEnum):
    """What of a checklist's windows is tried at another length."""

    WATCH = "watch"
    HISTORY = "history"


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        """None of nothing."""
        return self.hits / self.of if self.of else None

    @property
    def interval(self) -> Interval | None:
        """The 95 % score interval of a binomial share (Wilson 1927)."""
        if not self.of:
            return None
        from statsmodels.stats.proportion import proportion_confint

        low, high = proportion_confint(self.hits, self.of, method="wilson")
        return float(low), float(high)

    def to_dict(self) -> dict[str, Any]:
        interval = self.interval
        return {
            "hits": self.hits,
            "of": self.of,
            "share": self.value,
            "interval": None if interval is None else list(interval),
        }


@dataclass(frozen=True, slots=True)
class Alternative:
    """The minimum detectable effect with another `watch` or `history`, the median, and that of the
    checklist at the same placebo releases."""

    setting: Setting
    length: timedelta
    detectable_effect: float
    instead_of: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "setting": str(self.setting),
            "length_s": self.length.total_seconds(),
            "detectable_effect": self.detectable_effect,
            "instead_of": self.instead_of,
        }


@dataclass(frozen=True, slots=True)
class SeriesResult:
    """What the placebo releases say of one KPI and segment.

    `alarms`: those that it would have failed; `unanswered` gave no verdict, the last for the reason
    `why`. `detectable_effect` is the minimum detectable effect (80 % power), the median over the
    placebo releases with verdict `ok`; `found` says at how many a shift of exactly that size was
    found. `detected` says
    the same of shifts twice as large, with `time_to_detect`, the median time from the release to
    the first look that alarms (None: not within the watch at half of them).
    """

    kpi: str
    segment: Segment
    tolerance: float
    alarms: Share
    unanswered: int
    why: str
    detectable_effect: float | None
    found: Share
    detected: Share
    time_to_detect: timedelta | None
    alternatives: tuple[Alternative, ...] = ()
    warnings: tuple[str, ...] = ()
    total: bool = False

    @property
    def name(self) -> str:
        """`checkout errors (country=DE)`, `checkout errors (all)` of their total."""
        labels = TOTAL if self.total else segment_words(self.segment)
        return plain(self.kpi, LONGEST_NAME) + (f" ({labels})" if labels else "")

    def to_dict(self) -> dict[str, Any]:
        return {
            "kpi": self.kpi,
            "segment": dict(self.segment),
            "total": self.total,
            "tolerance": self.tolerance,
            "false_alarms": self.alarms.to_dict(),
            "unanswered": self.unanswered,
            "why_unanswered": self.why,
            "detectable_effect": self.detectable_effect,
            "found": self.found.to_dict(),
            "detected": self.detected.to_dict(),
            "time_to_detect_s": None
            if self.time_to_detect is None
            else self.time_to_detect.total_seconds(),
            "alternatives": [each.to_dict() for each in self.alternatives],
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class PastRelease:
    """A past release and what is known about it."""

    release: Release
    label: Label = Label.UNKNOWN


@dataclass(frozen=True, slots=True)
class Rejudged:
    """A past release with the verdict that the checklist gives it, and the findings that moved;
    `why` it has no answer, if so."""

    past: PastRelease
    verdict: ReleaseVerdict
    moved: tuple[Finding, ...] = ()
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        release = self.past.release
        return {
            "started_at": stamp(release.started_at),
            "finished_at": stamp(release.finished),
            "version": release.version,
            "label": str(self.past.label),
            "verdict": str(self.verdict),
            "moved": [
                {
                    "kpi": finding.kpi,
                    "segment": dict(finding.segment),
                    "effect": finding.effect,
                    "reason": finding.reason,
                }
                for finding in self.moved
            ],
            "why": self.why,
        }


def precision(releases: Sequence[Rejudged]) -> Share:
    """Of the labelled releases that failed, those that were bad."""
    failed = [
        each for each in releases if each.verdict in ALARMS and each.past.label is not Label.UNKNOWN
    ]
    return Share(sum(each.past.label is Label.BAD for each in failed), len(failed))


def recall(releases: Sequence[Rejudged]) -> Share:
    """Of the bad releases, those that failed; one without an answer was not found."""
    bad = [each for each in releases if each.past.label is Label.BAD]
    return Share(sum(each.verdict in ALARMS for each in bad), len(bad))


@dataclass(frozen=True, slots=True)
class Backtest:
    """What placebo releases and past releases say about a checklist.

    `alarms` are the placebo releases that failed, `undecided` those without an answer. No two
    placebo releases share a step of their watches, so each counts as one. The first of them has
    `least_history` before it, the last one `most_history`.
    """

    placebos: tuple[datetime, ...]
    asked: int
    data: tuple[datetime, datetime]
    least_history: timedelta
    most_history: timedelta
    history: timedelta
    watch: timedelta
    step: timedelta
    false_alarms: float
    alarms: Share
    undecided: int
    series: tuple[SeriesResult, ...]
    releases: tuple[Rejudged, ...] = ()
    suggestions: tuple[str, ...] = ()
    made: Mapping[str, str] = field(default_factory=dict)

    @property
    def answered(self) -> bool:
        """Whether any placebo or past release could be judged."""
        judged = any(series.alarms.of for series in self.series)
        return judged or any(
            each.verdict in {ReleaseVerdict.PASS, *ALARMS} for each in self.releases
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain, strictly JSON-able data."""
        return {
            "schema": SCHEMA,
            "placebos": [stamp(moment) for moment in self.placebos],
            "placebos_asked": self.asked,
            "data": [stamp(moment) for moment in self.data],
            "history_s": self.history.total_seconds(),
            "least_history_s": self.least_history.total_seconds(),
            "most_history_s": self.most_history.total_seconds(),
            "watch_s": self.watch.total_seconds(),
            "step_s": self.step.total_seconds(),
            "false_alarms_promised": self.false_alarms,
            "false_alarms": self.alarms.to_dict(),
            "undecided": self.undecided,
            "series": [each.to_dict() for each in self.series],
            "releases": [each.to_dict() for each in self.releases],
            "precision": precision(self.releases).to_dict(),
            "recall": recall(self.releases).to_dict(),
            "suggestions": list(self.suggestions),
            "made": dict(self.made),
        }
