"""The results of a comparison of two environments. Frozen values, no numerics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from anomaly.model import CHANGED, Finding, Interval, Segment, Verdict, Window
from anomaly.reporting.report import Report
from anomaly.reporting.words import TOTAL, segment_words
from anomaly.wording import plain, stamp

SCHEMA = 1
LONGEST_NAME = 60  # characters


class Likeness(StrEnum):
    """Whether two environments are alike."""

    ALIKE = "alike"
    DIFFERS = "differs"
    MISSING = "missing"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Aspect:
    """Seasonality, spread or level: the `value` with its 95 % interval, and the `margin` within
    which it is alike, as far as there are any."""

    verdict: Likeness
    value: float | None = None
    interval: Interval | None = None
    margin: Interval | None = None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        ends = {"interval": self.interval, "margin": self.margin}
        pairs = {
            name: None if pair is None else [_finite(end) for end in pair]
            for name, pair in ends.items()
        }
        return {
            "verdict": str(self.verdict),
            "value": _finite(self.value),
            **pairs,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class SeriesParity:
    """One KPI and segment in both environments; pairs are in the order of `Parity.between`.

    `aspects` holds what was compared, by name: `rhythm` (the seasonality: concordance of the
    profiles, 1 for equal ones), `spread` (relative noise of the first / that of the second),
    `level` (first / second; not of what grows with traffic). `traffic` is how much there is of it,
    first / second: of a ratio its denominator. `levels` are the means in the KPI's unit,
    `detectable` the minimum detectable effects of a watch (80 % power), relative. `counts` says
    whether it has a say in the answer.
    """

    kpi: str
    segment: Segment
    verdict: Likeness
    reason: str
    aspects: Mapping[str, Aspect] = field(default_factory=dict)
    traffic: float | None = None
    levels: tuple[float | None, float | None] = (None, None)
    detectable: tuple[float | None, float | None] = (None, None)
    unit: str = ""
    total: bool = False
    counts: bool = True

    @property
    def name(self) -> str:
        """`checkout errors (country=DE)`, `checkout errors (all)` of their total."""
        return _name(self.kpi, self.segment, total=self.total)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kpi": self.kpi,
            "segment": dict(self.segment),
            "total": self.total,
            "verdict": str(self.verdict),
            "reason": self.reason,
            "aspects": {name: aspect.to_dict() for name, aspect in self.aspects.items()},
            "traffic": _finite(self.traffic),
            "levels": [_finite(level) for level in self.levels],
            "detectable": [_finite(size) for size in self.detectable],
            "unit": self.unit,
            "counts": self.counts,
        }


@dataclass(frozen=True, slots=True)
class Movement:
    """A KPI that moved after the release in one environment at least, with its findings (None: it
    has no such series)."""

    kpi: str
    segment: Segment
    total: bool
    findings: tuple[Finding | None, Finding | None]
    reason: str

    @property
    def name(self) -> str:
        return _name(self.kpi, self.segment, total=self.total)

    @property
    def in_both(self) -> bool:
        """Whether it got better in both, or worse, be it for a while."""
        ways = {
            finding.verdict is Verdict.IMPROVED
            for finding in self.findings
            if finding is not None and finding.verdict in CHANGED
        }
        return len(ways) == 1 and all(
            finding is not None and finding.verdict in CHANGED for finding in self.findings
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "kpi": self.kpi,
            "segment": dict(self.segment),
            "total": self.total,
            "in_both": self.in_both,
            "reason": self.reason,
            "verdicts": [
                None if finding is None else str(finding.verdict) for finding in self.findings
            ],
            "effects": [
                None if finding is None else _finite(finding.effect) for finding in self.findings
            ],
        }


@dataclass(frozen=True, slots=True)
class Parity:
    """How alike two environments are: the first should predict the second.

    `histories` are the compared spans. `watch` is the time within which a change should be detected
    (None: not computed). `reports` are those of the release in each environment, and `movements`
    what changed in either, if a release was named.
    """

    between: tuple[str, str]
    service: str
    histories: tuple[Window, Window]
    watch: timedelta | None
    series: tuple[SeriesParity, ...]
    reports: tuple[Report, Report] | None = None
    movements: tuple[Movement, ...] = ()
    made: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> Likeness:
        """Alike only if every series that counts is; a series that is missing in one makes them
        differ."""
        likenesses = {each.verdict for each in self.series if each.counts}
        if likenesses & {Likeness.DIFFERS, Likeness.MISSING}:
            return Likeness.DIFFERS
        return Likeness.ALIKE if likenesses == {Likeness.ALIKE} else Likeness.UNCLEAR

    def to_dict(self) -> dict[str, Any]:
        """Plain, strictly JSON-able data."""
        return {
            "schema": SCHEMA,
            "between": list(self.between),
            "service": self.service,
            "verdict": str(self.verdict),
            "histories": [
                {"start": stamp(window.start), "end": stamp(window.end)}
                for window in self.histories
            ],
            "watch_s": None if self.watch is None else self.watch.total_seconds(),
            "series": [each.to_dict() for each in self.series],
            "reports": None
            if self.reports is None
            else [report.to_dict() for report in self.reports],
            "movements": [each.to_dict() for each in self.movements],
            "made": dict(self.made),
        }


def _name(kpi: str, segment: Segment, *, total: bool) -> str:
    labels = TOTAL if total else segment_words(segment)
    return plain(kpi, LONGEST_NAME) + (f" ({labels})" if labels else "")


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
