"""A total is asked for as one series beside its segments; what is wrong with it hides no
segment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import anomaly
from anomaly.model import Finding, Release, ReleaseVerdict, Verdict
from anomaly.reporting.report import Report
from tests.support.scripted import Answer, Request, Respond, http, matrix, moments, scripted

pytestmark = pytest.mark.usefixtures("loopback")

RELEASED = datetime(2025, 6, 3, 9, tzinfo=UTC)
CHECKLIST = """
service: shop
sources:
  prod: {type: prometheus, url: URL}
windows: {history: 7d, warmup: 0s, watch: 12h, step: 1h}
kpis:
  - name: orders
    query: sum by (country) (increase(orders_total[$step]))
    by: [country]
    total: sum(increase(orders_total[$step]))
    direction: down
"""
COUNTRIES = ("DE", "FR")
FALLS_IN = "DE"


def orders(country: str, second: int) -> int:
    """Orders of the hour that ends at `second`: half as many in one country after the release."""
    usual = np.random.default_rng([COUNTRIES.index(country), second]).poisson(400)
    return int(usual) // (2 if country == FALLS_IN and second > RELEASED.timestamp() else 1)


def server(total: Respond | None = None) -> Respond:
    """A Prometheus that knows the orders by country and, unless `total` answers for it, in all."""

    def respond(request: Request) -> Answer:
        query, at = request.asked["query"], moments(request)
        if "by (country)" in query:
            return http(
                matrix(
                    [
                        ({"country": name}, [(second, str(orders(name, second))) for second in at])
                        for name in COUNTRIES
                    ]
                )
            )
        if total is not None:
            return total(request)
        return http(
            matrix(
                [
                    (
                        {},
                        [
                            (second, str(sum(orders(name, second) for name in COUNTRIES)))
                            for second in at
                        ],
                    )
                ]
            )
        )

    return respond


def judged(folder: Path, respond: Respond) -> Report:
    with scripted(respond) as script:
        (folder / "checklist.yaml").write_text(CHECKLIST.replace("URL", script.url))
        checklist = anomaly.load_checklist(folder / "checklist.yaml")
        return anomaly.check_release(
            checklist, Release(RELEASED), now=RELEASED + timedelta(hours=13)
        )


def shown(findings: tuple[Finding, ...]) -> list[tuple[bool, dict[str, str], Verdict]]:
    return [(finding.total, dict(finding.segment), finding.verdict) for finding in findings]


@pytest.mark.slow
def test_the_total_is_asked_for_judged_and_broken_down(tmp_path: Path) -> None:
    report = judged(tmp_path, server())

    assert shown(report.findings) == [
        (True, {}, Verdict.REGRESSED),
        (False, {"country": "DE"}, Verdict.REGRESSED),
        (False, {"country": "FR"}, Verdict.OK),
    ]
    total, *countries = report.findings
    assert total.query == "sum(increase(orders_total[1h]))"
    assert {finding.query for finding in countries} == {
        "sum by (country) (increase(orders_total[1h]))"
    }
    assert sum(finding.contribution or 0.0 for finding in countries) == pytest.approx(
        total.effect_absolute
    )
    assert countries[0].contribution == pytest.approx(-200, rel=0.1)


def test_a_total_that_is_refused_hides_no_segment(tmp_path: Path) -> None:
    refused = http('{"status": "error", "errorType": "bad_data", "error": "parse error"}', 400)

    report = judged(tmp_path, server(lambda _: refused))

    assert shown(report.findings) == [
        (True, {}, Verdict.ERROR),
        (False, {"country": "DE"}, Verdict.REGRESSED),
        (False, {"country": "FR"}, Verdict.OK),
    ]
    assert "parse error" in report.findings[0].reason
    assert report.verdict is ReleaseVerdict.FAIL


def test_a_total_of_several_series_is_refused_by_the_name_of_their_label(tmp_path: Path) -> None:
    def split(request: Request) -> Answer:
        return http(
            matrix(
                [
                    ({"zone": zone}, [(second, "1") for second in moments(request)])
                    for zone in ("a", "b")
                ]
            )
        )

    report = judged(tmp_path, server(split))

    assert report.findings[0].verdict is Verdict.ERROR
    assert "2 series, told apart by label zone" in report.findings[0].reason


def test_a_total_that_matches_nothing_is_no_data(tmp_path: Path) -> None:
    report = judged(tmp_path, server(lambda _: http(matrix([]))))

    assert shown(report.findings)[0] == (True, {}, Verdict.NO_DATA)
    assert report.findings[0].notes == ("no series matched: no metric is called orders_total",)
    assert [finding.contribution for finding in report.findings[1:]] == [None, None]
