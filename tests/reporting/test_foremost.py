"""What a large report shows and keeps: what matters most, and a stated number of steps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from anomaly.model import Verdict
from anomaly.panel import segment_text
from anomaly.reporting import archive, foremost
from anomaly.reporting.foremost import MOST_SERIES, with_kept_points
from anomaly.reporting.words import ordered
from tests.support import large, reports

SERIES = 150


def test_a_small_report_shows_and_keeps_everything() -> None:
    report = large.large(MOST_SERIES)

    assert foremost.foremost(report.findings) == ordered(report.findings)
    assert with_kept_points(report) is report
    assert with_kept_points(reports.messy()).points.empty


def test_a_large_one_shows_failures_then_what_is_open_then_the_totals() -> None:
    findings = large.large(SERIES).findings

    shown = foremost.foremost(findings)

    assert len(shown) == MOST_SERIES
    assert shown == [each for each in ordered(findings) if each in shown]
    assert all(each in shown for each in findings if each.fails or each.is_open or each.total)


def test_of_more_failures_than_are_shown_the_totals_come_first() -> None:
    findings = [
        replace(reports.REGRESSED, kpi=f"KPI {number % 2}", segment={"n": str(number)}, total=False)
        for number in range(SERIES)
    ]
    totals = [replace(each, segment={}, total=True, weight=0.0) for each in findings[:2]]
    fine = replace(reports.LATENCY, weight=1000.0)

    shown = foremost.foremost([*findings, fine, *totals])

    assert all(total in shown for total in totals)
    assert fine not in shown


@pytest.mark.slow
def test_as_many_series_keep_their_points_as_the_limit_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(foremost, "MOST_POINTS", 50 * large.WATCH)
    report = large.large(SERIES)
    moved = {
        (each.kpi, segment_text(each.segment))
        for each in report.findings
        if each.verdict is Verdict.REGRESSED
    }

    kept = with_kept_points(report)

    for frame in (kept.points, kept.around, kept.earlier):
        assert frame is not None
        keys = set(zip(frame["kpi"], frame["segment"], strict=True))
        assert len(frame) == 50 * large.WATCH
        assert len(keys) == 50
        assert moved < keys
    assert len(archive.unpack(archive.pack(report)).points) == 50 * large.WATCH
    assert len(archive.series_data(report)) == 50  # as the history keeps them


def test_one_long_series_is_kept_whatever_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foremost, "MOST_POINTS", 1)

    assert len(with_kept_points(large.large(SERIES)).points) == large.WATCH
