"""What a report of thousands of series shows at first, and of which series it keeps the points.

A report of at most 100 series shows and keeps everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from anomaly.model import Finding, Verdict
from anomaly.reporting import words
from anomaly.reporting.report import Report

MOST_SERIES = 100  # shown at first
MOST_POINTS = 50_000  # steps kept of a larger report, those of the series that come first


def foremost(findings: Iterable[Finding], most: int = MOST_SERIES) -> list[Finding]:
    """At most 100 findings, or another number, in the order of importance.

    Of more, what fails is taken first, then what moved or has no verdict, then what is ok; of each
    kind, totals and KPIs of one series before segments, and these by importance.
    """
    order = words.ordered(findings)
    ids = {id(each) for each in _as_taken(order)[:most]}
    return [each for each in order if id(each) in ids]


def without_segments(findings: Iterable[Finding], whole: Iterable[Finding]) -> list[Finding]:
    """Of the findings the totals, and the KPIs that are one series of the `whole` report."""
    series = Counter(each.kpi for each in whole)
    return [each for each in findings if each.total or series[each.kpi] == 1]


def _as_taken(order: Sequence[Finding]) -> list[Finding]:
    first = {id(each) for each in without_segments(order, order)}

    def kind(finding: Finding) -> tuple[int, bool]:
        urgency = 0 if finding.fails else 2 if finding.verdict is Verdict.OK else 1
        return urgency, id(finding) not in first

    return sorted(order, key=kind)


def with_kept_points(report: Report) -> Report:
    """The report with the points that are kept: all of at most 100 series; of more, those of the
    series that are taken first, 50,000 steps together."""
    if len(report.findings) <= MOST_SERIES or report.points.empty:
        return report
    from anomaly.panel import segment_text
    from anomaly.reporting.long_frame import only_series, series_rows

    rows, count, keys = series_rows(report.points), 0, set[tuple[str, str]]()
    for finding in _as_taken(words.ordered(report.findings)):
        key = finding.kpi, segment_text(finding.segment)
        count += len(rows.get(key, ()))
        if count > MOST_POINTS and keys:
            break
        keys.add(key)
    return replace(
        report,
        points=only_series(report.points, keys),
        around=None if report.around is None else only_series(report.around, keys),
        earlier=None if report.earlier is None else only_series(report.earlier, keys),
    )
