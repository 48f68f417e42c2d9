"""The report in Prometheus' text format, to have verdicts beside the KPIs and the band in Grafana.

Values have the KPI's unit; unknown values are left out. If labels of several findings coincide, the
worst one is written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from anomaly import wording
from anomaly.model import Finding, ReleaseVerdict, Segment, Verdict
from anomaly.reporting.report import Report
from anomaly.reporting.words import ordered

if TYPE_CHECKING:
    import pandas as pd

LONGEST_VALUE = 200  # characters of a label
# value of an empty label of a segment; to Prometheus an empty label is no label, as of the total
NO_VALUE = "(none)"
OUR_LABELS = frozenset({"service", "environment", "version", "kpi", "verdict", "job", "instance"})
NOT_IN_A_LABEL = re.compile(r"[^a-zA-Z0-9_]")
OF_RELEASE = {
    "anomaly_release_verdict": (
        "Verdict of the release: 1 for the current verdict, 0 for the others."
    ),
    "anomaly_release_final": "Whether the watch is over: 1 or 0.",
    "anomaly_release_started_timestamp_seconds": "Start of the release, in seconds since 1970.",
    "anomaly_release_observed_timestamp_seconds": (
        "End of the observation, in seconds since 1970."
    ),
}
OF_KPI = {
    "anomaly_kpi_verdict": ("Verdict of a KPI: 1 for the current verdict, 0 for the others."),
    "anomaly_kpi_effect": "Observed / expected - 1 since the release.",
    "anomaly_kpi_observed": "Observed value of the latest step.",
    "anomaly_kpi_expected": "Expected value of the latest step without the release.",
    "anomaly_kpi_lower": "Lower end of the usual range (99 % band) at the latest step.",
    "anomaly_kpi_upper": "Upper end of the usual range (99 % band) at the latest step.",
}
BAND = ("observed", "expected", "lower", "upper")

Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]  # metric, labels, value


def exposition(report: Report) -> str:
    """All samples of a report, without timestamps, which the scraping Prometheus sets."""
    families = {name: Metric(name, text, "gauge") for name, text in (OF_RELEASE | OF_KPI).items()}
    for name, labels, value in (*_of_release(report), *_of_kpis(report)):
        if math.isfinite(value):
            families[name].add_sample(name, dict(labels), value)
    return generate_latest(
        _Families(family for family in families.values() if family.samples)
    ).decode("utf-8")


class _Families(Collector):
    """A fixed list of metrics."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = [*families]

    def collect(self) -> Iterable[Metric]:
        return self._families


def _of_release(report: Report) -> Iterator[Sample]:
    release = report.release
    labels = _where(report) | {"version": _value(release.version)}
    for verdict in ReleaseVerdict:
        yield (
            "anomaly_release_verdict",
            labels | {"verdict": str(verdict)},
            float(report.verdict is verdict),
        )
    yield "anomaly_release_final", labels, float(report.final)
    yield "anomaly_release_started_timestamp_seconds", labels, release.started_at.timestamp()
    yield "anomaly_release_observed_timestamp_seconds", labels, report.observation.end.timestamp()


def _of_kpis(report: Report) -> Iterator[Sample]:
    latest = _latest(report.points)
    identities: set[frozenset[tuple[str, str]]] = set()
    for finding in ordered(report.findings):
        labels = _where(report) | {"kpi": _value(finding.kpi)} | _segment_labels(finding.segment)
        if (identity := frozenset(labels.items())) in identities:
            continue
        identities.add(identity)
        for verdict in Verdict:
            yield (
                "anomaly_kpi_verdict",
                labels | {"verdict": str(verdict)},
                float(finding.verdict is verdict),
            )
        yield (
            "anomaly_kpi_effect",
            labels,
            math.nan if finding.effect is None else float(finding.effect),
        )
        for name, value in latest.get(_series(finding), {}).items():
            yield f"anomaly_kpi_{name}", labels, value


def _where(report: Report) -> dict[str, str]:
    return {
        "service": _value(report.release.service),
        "environment": _value(report.release.environment),
    }


def _value(text: str) -> str:
    return wording.plain(text, LONGEST_VALUE)


def _segment_labels(segment: Segment) -> dict[str, str]:
    """The labels of a segment under valid names that differ from ours."""
    labels: dict[str, str] = {}
    for name in sorted(segment):
        usable = NOT_IN_A_LABEL.sub("_", name)
        if not usable or usable[0].isdigit() or usable.startswith("__") or usable in OUR_LABELS:
            usable = f"segment_{usable}"
        while usable in labels:
            usable += "_"
        labels[usable] = _value(segment[name]) or NO_VALUE
    return labels


def _series(finding: Finding) -> tuple[str, str]:
    """The key of a finding's series in the points."""
    from anomaly.panel import segment_text

    return finding.kpi, segment_text(finding.segment)


def _latest(points: pd.DataFrame) -> dict[tuple[str, str], dict[str, float]]:
    """The last step of each series."""
    if points.empty:
        return {}
    last = points.sort_values("time", kind="stable").drop_duplicates(
        ["kpi", "segment"], keep="last"
    )
    return {
        (str(row["kpi"]), str(row["segment"])): {name: float(row[name]) for name in BAND}
        for row in last.to_dict("records")
    }
