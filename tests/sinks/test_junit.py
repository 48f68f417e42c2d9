"""JUnit XML: what Jenkins and GitLab accept, and what it says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly.contracts import Action, Message, NotifyReason
from anomaly.model import NoData, ReleaseVerdict, Verdict
from anomaly.reporting.report import Report
from anomaly.reporting.words import finding_line, title
from anomaly.sinks.junit import JunitSink, junit
from tests.support import reports
from tests.support.goldens import assert_golden

REPORTS = {
    name: getattr(reports, name)()
    for name in ("failing", "messy", "passing", "early", "staged", "dead_source")
}
MESSY = Message(
    "3f2a91c0",
    reports.messy(),
    Action.FIRE,
    why=NotifyReason.FIRST,
    link="https://ci.example/3f2a91c0",
)
# junit-10.xsd of Jenkins' xUnit plug-in: element → (attributes that it needs, further ones,
# elements inside)
SCHEMA: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {
            "time",
            "skipped",
            "timestamp",
            "hostname",
            "id",
            "package",
            "file",
            "log",
            "url",
            "group",
        },
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "testcase": (
        {"name"},
        {"time", "classname", "group"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": (set(), {"type", "message"}, set()),
    "error": (set(), {"type", "message"}, set()),
    "skipped": (set(), {"type", "message"}, set()),
    "system-out": (set(), set(), set()),
}
OUTCOMES = ("failure", "error", "skipped")


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text.encode())  # noqa: S314  our own output


def assert_valid(root: ET.Element) -> None:
    """The document keeps to the schema, its counts are right, and no two cases have the same name
    (GitLab would drop the second)."""
    assert root.tag == "testsuites"
    for element in root.iter():
        needed, further, inside = SCHEMA[element.tag]
        assert needed <= set(element.attrib) <= needed | further
        assert {child.tag for child in element} <= inside
    for part in (root, *root.iter("testsuite")):
        cases = [*part.iter("testcase")]
        assert int(part.attrib["tests"]) == len(cases)
        for outcome in ("failure", "error"):
            assert int(part.attrib[f"{outcome}s"]) == sum(
                case.find(outcome) is not None for case in cases
            )
    for suite in root.iter("testsuite"):
        assert int(suite.attrib["skipped"]) == len([*suite.iter("skipped")])
        assert re.fullmatch(
            r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?", suite.attrib["time"]
        )  # SUREFIRE_TIME
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
    names = [(case.attrib["classname"], case.attrib["name"]) for case in root.iter("testcase")]
    assert len(set(names)) == len(names)
    assert all(
        sum(case.find(outcome) is not None for outcome in OUTCOMES) <= 1
        for case in root.iter("testcase")
    )


def outcome(case: ET.Element) -> str:
    return next((tag for tag in OUTCOMES if case.find(tag) is not None), "passed")


def outcomes(report: Report) -> dict[str, str]:
    """How the case of the release and that of each finding ended."""
    return {
        case.attrib["name"]: outcome(case)
        for case in parsed(junit(Message("k", report))).iter("testcase")
    }


def test_golden_junit() -> None:
    assert_golden("sinks/junit.xml", junit(MESSY))


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_is_valid_and_has_a_case_for_each_finding(name: str) -> None:
    root = parsed(junit(Message("k", REPORTS[name])))
    assert_valid(root)
    (suite,) = root
    assert {case.attrib["name"] for case in suite.iter("testcase")} == {
        "release",
        *map(title, REPORTS[name].findings),
    }


def test_what_fails_is_a_failure_what_is_open_is_skipped_and_a_dead_source_is_an_error() -> None:
    assert outcomes(reports.messy()) == {
        "release": "failure",
        "checkout errors (country=DE)": "failure",
        "conversion": "failure",  # no data, where that fails
        "pages per visit": "failure",
        "search latency": "error",
        "sign-ups (country=AT)": "skipped",
        "payment timeouts": "skipped",  # regressed in a dry run
        "p95 latency": "passed",
    }


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (ReleaseVerdict.PASS, "passed"),
        (ReleaseVerdict.FAIL, "failure"),
        (ReleaseVerdict.INCONCLUSIVE, "skipped"),
        (ReleaseVerdict.ERROR, "error"),
    ],
)
def test_the_case_of_the_release_ends_as_the_release_does_even_without_findings(
    verdict: ReleaseVerdict, expected: str
) -> None:
    assert outcomes(reports.report(verdict)) == {"release": expected}


def test_what_is_missing_is_never_a_passed_case() -> None:
    for verdict in (Verdict.ERROR, Verdict.NO_DATA, Verdict.INCONCLUSIVE):
        for no_data in NoData:
            for dry_run in (True, False):
                finding = replace(
                    reports.REFUSED, verdict=verdict, no_data=no_data, dry_run=dry_run
                )
                assert (
                    outcomes(reports.report(ReleaseVerdict.ERROR, finding))["search latency"]
                    != "passed"
                )


def test_a_failure_says_what_the_other_sinks_say_and_what_was_asked() -> None:
    root = parsed(junit(MESSY))
    failure = next(
        case for case in root.iter("testcase") if case.attrib["classname"] == "shop.checkout errors"
    ).find("failure")
    assert failure is not None
    assert failure.attrib == {
        "message": finding_line(reports.REGRESSED, MESSY.report.release),
        "type": "regressed",
    }
    assert reports.COUNTRY_ERRORS in (failure.text or "")


def test_segments_that_read_the_same_are_cases_of_their_own() -> None:
    twins = [replace(reports.REGRESSED, segment={"country": "x" * 100 + end}) for end in "ab"]
    root = parsed(junit(Message("k", reports.report(ReleaseVerdict.FAIL, *twins))))
    assert_valid(root)
    assert len([*root.iter("failure")]) == 3


def assert_hostile_text_is_harmless(text: str) -> None:
    root = parsed(junit(Message(text, reports.hostile(text), link=text)))
    assert_valid(root)
    said: Iterable[str] = (
        value for element in root.iter() for value in (*element.attrib.values(), element.text or "")
    )
    assert all(line.isprintable() for value in said for line in value.splitlines())


@pytest.mark.parametrize("text", reports.HOSTILE)
def test_hostile_text_leaves_the_xml_valid(text: str) -> None:
    assert_hostile_text_is_harmless(text)


@pytest.mark.slow
@settings(max_examples=50)
@given(st.text(st.characters(), max_size=60))
def test_any_text_leaves_the_xml_valid(text: str) -> None:
    assert_hostile_text_is_harmless(text)


def test_the_file_is_replaced_and_a_trial_leaves_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    sink = JunitSink(path=path)
    sink.send(MESSY)
    sink.send(Message("k", reports.passing()))
    last = path.read_text()
    assert [*parsed(last).iter("failure")] == []
    assert sink.send(replace(MESSY, action=Action.TRIAL)).detail == f"{path} can be written"
    assert path.read_text() == last
    assert [*tmp_path.iterdir()] == [path]
