"""An incident is told in one line, wherever a report is."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest

from anomaly.errors import UsageError
from anomaly.model import Incident, ReleaseVerdict, Verdict
from anomaly.reporting.archive import data_of, pack, report_of, unpack
from anomaly.reporting.message import Action, Message
from anomaly.reporting.notice import notice
from anomaly.reporting.report import Report
from anomaly.reporting.words import headline, incident_lines
from anomaly.sinks.console import show
from tests.support import reports

LINE = (
    "3 series of 2 KPIs moved together since 10:40, "
    "led by checkout errors (country=DE) +212 % [180, 240], 38 % of usage"
)


def together(*, more: int = 0) -> Report:
    """Three findings that moved together, and some more that fail."""
    (worst,) = [each for each in reports.failing().findings if each.fails]
    findings = [
        worst,
        replace(worst, segment={"country": "AT"}, effect=0.5),
        replace(worst, kpi="latency", effect=0.4),
        *(replace(worst, kpi=f"k{i}", effect=0.1) for i in range(more)),
    ]
    incident = Incident((0, 1, 2), kpis=2, since=worst.onset, usage=0.38)
    return replace(reports.report(ReleaseVerdict.FAIL, *findings), incidents=(incident,))


def test_the_headline_says_what_moved_together_and_counts_the_rest() -> None:
    assert headline(together()).endswith("; 3 series of 2 KPIs moved together since 10:40")
    assert headline(together(more=4)).endswith("moved together since 10:40; and 4 more")


def test_the_console_and_a_message_say_it_in_one_line() -> None:
    report, out = together(), StringIO()
    show(report, out, environ={})

    assert incident_lines(report) == [LINE]
    assert out.getvalue().splitlines().count(f"  {LINE}") == 1
    assert notice(Message("key", report, Action.FIRE)).facts[0] == LINE


def test_the_json_names_the_places_of_the_findings() -> None:
    assert together().to_dict()["incidents"] == [
        {"findings": [0, 1, 2], "kpis": 2, "since": "2025-11-04T10:40:00Z", "usage": 0.38}
    ]


def test_an_archived_report_has_its_incidents_and_an_older_one_has_none() -> None:
    report = together()
    older = data_of(report)
    del older["report"]["incidents"]

    assert unpack(pack(report)).incidents == report.incidents
    assert report_of(older).incidents == ()


@pytest.mark.parametrize("places", [[], [3]])
def test_an_incident_about_nothing_is_refused(places: list[int]) -> None:
    data = data_of(together())
    data["report"]["incidents"][0]["findings"] = places

    with pytest.raises(UsageError, match="an incident is not about findings of the report"):
        report_of(data)


def test_many_incidents_are_counted() -> None:
    report = together()
    many = replace(report, incidents=report.incidents * 8)

    assert len(incident_lines(many)) == 6
    assert incident_lines(many)[-1] == "and 3 more that moved together"
    assert {each.verdict for each in report.findings} == {Verdict.REGRESSED}
