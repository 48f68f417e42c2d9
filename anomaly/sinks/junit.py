"""The report as JUnit XML, for CI systems that show test results: Jenkins, GitLab and others.

The elements follow the schema of Jenkins' xUnit plug-in (`junit-10.xsd`), which GitLab reads too.
Both identify a case by class name and name, so no two cases may share them.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree as ET

from anomaly import wording
from anomaly.contracts import Message, Receipt
from anomaly.model import UNJUDGED, Finding, Release, ReleaseVerdict, Verdict
from anomaly.reporting.notice import LONGEST_NAME, notice, release_words
from anomaly.reporting.report import Report
from anomaly.reporting.words import (
    finding_line,
    headline,
    ordered,
    query_lines,
    reason_words,
    title,
)
from anomaly.sinks.files import mirror

LONGEST_LINE = 600  # characters of a query or a note
FAILURE, ERROR, SKIPPED, PASSED = "failure", "error", "skipped", ""
OF_RELEASE = {
    ReleaseVerdict.PASS: PASSED,
    ReleaseVerdict.FAIL: FAILURE,
    ReleaseVerdict.HOLD: FAILURE,
    ReleaseVerdict.INCONCLUSIVE: SKIPPED,
    ReleaseVerdict.ERROR: ERROR,
}


class JunitSink:
    """Writes the report to `path` as a JUnit test suite: a case for the release, and one for each
    finding.

    The file is replaced atomically.
    """

    every_look: ClassVar[bool] = True
    dedupes: ClassVar[bool] = True

    def __init__(self, *, path: Path) -> None:
        self._path = path

    def send(self, message: Message, /) -> Receipt:
        return mirror("junit", self._path, message, junit(message))


def junit(message: Message) -> str:
    """The XML document. The time of a case (s) is how long its KPI was observed."""
    report = message.report
    cases = [
        _release_case(report),
        *(_finding_case(finding, report) for finding in ordered(report.findings)),
    ]
    _tell_apart(cases)
    outcomes = Counter(part.tag for case in cases for part in case)
    counts = {
        "tests": str(len(cases)),
        **{f"{word}s": str(outcomes[word]) for word in (FAILURE, ERROR)},
    }
    suites = ET.Element("testsuites", counts)
    suite = ET.SubElement(
        suites,
        "testsuite",
        counts
        | {
            "name": release_words(report.release),
            "skipped": str(outcomes[SKIPPED]),
            "time": _seconds(report.observation.length.total_seconds()),
            "timestamp": f"{report.observation.start:%Y-%m-%dT%H:%M:%S}",
        },
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(message).items():
        ET.SubElement(properties, "property", {"name": name, "value": value})
    suite.extend(cases)
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def _release_case(report: Report) -> ET.Element:
    """The case with the verdict of the release."""
    case = _case(report.release, "release", "release", report.observation.length.total_seconds())
    _end(case, OF_RELEASE[report.verdict], str(report.verdict), headline(report), [])
    return case


def _finding_case(finding: Finding, report: Report) -> ET.Element:
    kpi = wording.plain(finding.kpi, LONGEST_NAME)
    case = _case(report.release, kpi, title(finding), finding.steps * report.step.total_seconds())
    line, reason = finding_line(finding, report.release), reason_words(finding)
    details = [
        "" if reason in line else reason,
        *query_lines(finding),
        *(wording.plain(text, LONGEST_LINE) for text in finding.notes),
    ]
    _end(case, _outcome(finding), str(finding.verdict), line, details)
    return case


def _outcome(finding: Finding) -> str:
    if finding.fails:
        return FAILURE
    if finding.is_open and finding.verdict is Verdict.ERROR:
        return ERROR
    # a regression that does not fail is a dry run
    return SKIPPED if finding.verdict in {*UNJUDGED, Verdict.REGRESSED} else PASSED


def _case(release: Release, what: str, name: str, seconds: float) -> ET.Element:
    class_name = ".".join(
        part for part in (wording.plain(release.service, LONGEST_NAME), what) if part
    )
    return ET.Element(
        "testcase", {"classname": class_name, "name": name, "time": _seconds(seconds)}
    )


def _end(case: ET.Element, outcome: str, verdict: str, line: str, details: list[str]) -> None:
    """The outcome of a case in one line, with details."""
    if outcome:
        element = ET.SubElement(case, outcome, {"message": line, "type": verdict})
        element.text = "\n".join([line, *filter(None, details)])
    else:
        ET.SubElement(case, "system-out").text = line


def _tell_apart(cases: list[ET.Element]) -> None:
    """Number the cases that would share class name and name."""
    numbers: dict[tuple[str, str], int] = {}  # and the number that was given last
    for case in cases:
        whose, name = case.attrib["classname"], case.attrib["name"]
        number = numbers.get((whose, name), 0) + 1
        while number > 1 and (whose, f"{name} ({number})") in numbers:
            number += 1
        numbers[whose, name] = number
        if number > 1:
            case.attrib["name"] = f"{name} ({number})"
            numbers[whose, case.attrib["name"]] = 1


def _properties(message: Message) -> dict[str, str]:
    """The release, the windows and the settings; unknown values are left out."""
    report, release = message.report, message.report.release
    properties = {
        "answer": notice(message).title,
        "service": wording.plain(release.service, LONGEST_NAME),
        "version": wording.plain(release.version, LONGEST_NAME),
        "environment": wording.plain(release.environment, LONGEST_NAME),
        "started_at": wording.stamp(release.started_at),
        "finished_at": wording.stamp(release.finished),
        "baseline_start": wording.stamp(report.baseline.start),
        "baseline_end": wording.stamp(report.baseline.end),
        "observation_start": wording.stamp(report.observation.start),
        "observation_end": wording.stamp(report.observation.end),
        "final": str(report.final).lower(),
        "key": wording.plain(message.key, LONGEST_NAME),
        "link": wording.plain(message.link, LONGEST_LINE),
    }
    settings = {
        f"made.{wording.plain(name, LONGEST_NAME)}": wording.plain(value, LONGEST_LINE)
        for name, value in report.made.items()
    }
    return {name: value for name, value in (properties | settings).items() if value}


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}"
