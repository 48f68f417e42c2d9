"""The report: the answer for a release, with everything that led to it. Its forms are loaded on
first use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from anomaly.model import (
    Changes,
    Finding,
    Incident,
    LeftOut,
    Release,
    ReleaseVerdict,
    Segment,
    Verdict,
    Window,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

TIMEZONE = "timezone"  # in `made`: the zone of the checklist, if that is not UTC
SERIES_COLUMNS = ("kpi", "segment")
EXPECTED_COLUMNS = ("expected", "lower", "upper")
POINT_COLUMNS = (*SERIES_COLUMNS, "time", "observed", *EXPECTED_COLUMNS, "z", "flagged")


class Findings(tuple[Finding, ...]):
    """A tuple of findings that a notebook displays as a table; `to_frame` makes a DataFrame."""

    __slots__ = ()

    def __repr__(self) -> str:
        counts = [
            (sum(finding.verdict is verdict for finding in self), verdict.replace("_", " "))
            for verdict in Verdict
        ]
        summary = ", ".join(f"{count} {word}" for count, word in counts if count) or "none"
        return f"<{len(self)} finding{'' if len(self) == 1 else 's'}: {summary}>"

    def to_frame(self) -> pd.DataFrame:
        """The findings as a DataFrame, a row each, sortable by any column."""
        from anomaly.reporting.data import findings_frame

        return findings_frame(self)

    def _repr_html_(self) -> str:
        from anomaly.reporting.display import findings_html

        return findings_html(self)


@dataclass(frozen=True, slots=True)
class Report:
    """The answer for a release, with everything that led to it.

    `points` is a long frame of the post-release steps: kpi, segment, time, observed, expected,
    lower, upper (pointwise 99 % band), z, flagged; `around` one of the steps beside them that were
    not judged, shortly before the release and during it: kpi, segment, time, observed and, before
    the release, expected, lower, upper; `earlier` holds what was observed at the same hour before
    the steps of both: kpi, segment, time, day, week. In all three, kpi and segment become
    categories. `findings` become `Findings`, whatever tuple is given. `final` says that the watch
    is over. `made` says how: version, checklist digest, settings. `verifiable` is the smallest
    false-alarm rate that the history itself can confirm: one in as many watches as fit into it,
    plus one; a smaller rate rests on simulations. `left_out` are the spans that were neither
    learned from nor judged, `confounders` other releases that may have caused a change, `incidents`
    the regressions that moved together, three or more each. `data`
    reaches from the first step with a value to the end of the last (None: unknown, or no step had
    any). `changes` are the commits since the version before (None: no source of releases knows).
    """

    release: Release
    verdict: ReleaseVerdict
    final: bool
    findings: tuple[Finding, ...]
    points: pd.DataFrame
    baseline: Window
    observation: Window
    step: timedelta
    false_alarms: float
    verifiable: float | None = None
    made: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    confounders: tuple[Release, ...] = ()
    incidents: tuple[Incident, ...] = ()
    data: Window | None = None
    around: pd.DataFrame | None = None
    earlier: pd.DataFrame | None = None
    changes: Changes | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "findings", Findings(self.findings))
        for name in ("points", "around", "earlier"):
            object.__setattr__(self, name, _narrow(getattr(self, name)))

    def __repr__(self) -> str:
        from anomaly.reporting.words import headline

        return f"<report: {headline(self)}>"

    def __getitem__(self, name: str | tuple[str, Segment]) -> Finding:
        """The finding about a KPI, `report["revenue"]`, or a segment of it, `report["revenue",
        {"country": "DE"}]`.

        For a KPI with segments the name alone means its total. Raises KeyError that lists the
        names.
        """
        from anomaly.reporting.display import finding_of

        if isinstance(name, tuple) and len(name) == 2 and isinstance(name[1], Mapping):  # noqa: PLR2004  a pair
            return finding_of(self, str(name[0]), name[1])
        return finding_of(self, str(name), None)

    def plot(
        self, kpi: str | None = None, segment: Segment | None = None, *, timezone: str = "UTC"
    ) -> Figure:
        """The figure of a KPI or segment, named as in `report[…]`; without a name that of the most
        important series.

        Raises KeyError, and UsageError without matplotlib.
        """
        from anomaly.reporting.display import finding_of, plot

        return plot(self, None if kpi is None else finding_of(self, kpi, segment), timezone)

    def _repr_html_(self) -> str:
        from anomaly.reporting.display import report_html

        return report_html(self)

    @property
    def seen(self) -> Window | None:
        """The part of the watch that data reach, all of it where that is unknown; None without
        data."""
        return self._with_data(self.observation)

    @property
    def history(self) -> Window | None:
        """The part of the baseline window that data reach, all of it where that is unknown; None
        without data."""
        return self._with_data(self.baseline)

    def _with_data(self, window: Window) -> Window | None:
        if self.data is None:  # nothing came, or a report of an earlier version does not say
            return window if any(finding.steps for finding in self.findings) else None
        if not window.overlaps(self.data):
            return None
        return Window(max(window.start, self.data.start), min(window.end, self.data.end))

    @property
    def p_value(self) -> float | None:
        """The share of harmless releases that look as bad as this one: the smallest `p_release` of
        the findings that count."""
        shares = [
            finding.p_release
            for finding in self.findings
            if finding.counts and finding.p_release is not None
        ]
        return min(shares, default=None)

    def to_dict(self) -> dict[str, Any]:
        """The report as strictly JSON-able data (`docs/json.md`), without the points."""
        from anomaly.reporting.data import to_dict

        return to_dict(self)

    def to_frame(self) -> pd.DataFrame:
        """The findings as a frame, a row each, in the order of the report."""
        from anomaly.reporting.data import findings_frame

        return findings_frame(self.findings)


def _narrow(frame: pd.DataFrame | None) -> pd.DataFrame | None:
    """A long frame whose names are categories: ten thousand series have millions of steps."""
    if frame is None or frame.empty:
        return frame
    wide = [name for name in SERIES_COLUMNS if frame[name].dtype != "category"]
    if not wide:
        return frame
    from anomaly.panel import categories

    return frame.assign(**{name: categories(frame[name].to_numpy(object)) for name in wide})
