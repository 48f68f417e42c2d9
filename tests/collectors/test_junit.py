"""Test runs in JUnit XML: which run belongs to which step, what is counted, what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from anomaly.checklist import registry
from anomaly.checklist.registry import Plugin
from anomaly.collectors.junit import JunitCollector
from anomaly.contracts import Collected
from anomaly.errors import ChecklistError, UsageError
from anomaly.model import Kpi, Window
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE

START, STEP = datetime(2025, 6, 3, tzinfo=UTC), timedelta(days=1)
WINDOW = Window(START, START + 4 * STEP)
RECORDED = Path(__file__).parent / "junit" / "pytest_reruns.xml"
PASS_RATE = Kpi("pass rate", "tests", "passed", "executed")


def suite(
    *cases: str, name: str = "checkout", at: str | None = "2025-06-03T10:00:00Z", more: str = ""
) -> str:
    stamp = "" if at is None else f'timestamp="{at}"'
    return f'<testsuite name="{name}" {stamp} {more}>{"".join(cases)}</testsuite>'


def case(name: str, inside: str = "", *, of: str = "shop.Cart", time: str = "0.5") -> str:
    return f'<testcase classname="{of}" name="{name}" time="{time}">{inside}</testcase>'


PASSED, FAILED = case("pays"), case("refunds", "<failure message='no'/>")
BROKEN, SKIPPED = case("ships", "<error/>"), case("gifts", "<skipped/>")


def runs(folder: Path, **files: str) -> Path:
    """A folder of runs; `run__part` is a file in the folder of a run."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def collected(folder: Path, *kpis: Kpi, **settings: object) -> Collected:
    source = JunitCollector(path=folder, **settings)  # type: ignore[arg-type]
    return source.collect(kpis or (PASS_RATE,), WINDOW, STEP)


def values(folder: Path, query: str, **settings: object) -> list[float]:
    about = collected(folder, Kpi("it", "tests", query), **settings)
    assert about.errors == {}
    return about.panel["it", "", VALUE].tolist()


def error(folder: Path, kpi: Kpi = PASS_RATE, **settings: object) -> str:
    return str(collected(folder, kpi, **settings).errors[kpi.name])


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("tests", 4),
        ("executed", 3),
        ("passed", 1),
        ("failed", 2),
        ("skipped", 1),
        ("flaky", 0),
        ("duration", 2.0),
    ],
)
def test_a_step_has_the_numbers_of_the_run_that_began_in_it(
    tmp_path: Path, query: str, value: float
) -> None:
    folder = runs(tmp_path, a=suite(PASSED, FAILED, BROKEN, SKIPPED, at="2025-06-04T23:59:59Z"))
    np.testing.assert_array_equal(values(folder, query), [np.nan, value, np.nan, np.nan])


def test_runs_of_one_step_add_up_and_their_durations_are_averaged(tmp_path: Path) -> None:
    at = {"at": "2025-06-03T20:00:00Z"}
    untimed = suite(case("pays", time=""), **at)
    folder = runs(tmp_path, a=suite(PASSED, FAILED), b=suite(PASSED, PASSED, **at), c=untimed)
    first = collected(folder).panel.iloc[0]
    assert first.tolist() == [3, 4]  # passed, executed
    assert values(folder, "duration")[0] == 1.0


def test_a_folder_is_one_run_that_began_at_its_earliest_timestamp(tmp_path: Path) -> None:
    early, late = suite(PASSED), suite(FAILED, name="cart", at="2025-06-04T01:00:00+00:00")
    assert values(runs(tmp_path, build7__b=late, build7__a=early), "executed")[:2][0] == 2


def test_a_query_names_suites_and_classes_by_patterns(tmp_path: Path) -> None:
    mail = suite(FAILED, case("waits", of="mail.Queue"), name="mail service")
    folder = runs(tmp_path, a=f"<testsuites>{suite(PASSED)}{mail}</testsuites>")
    queries = ["tests suite=check*", 'failed suite="mail service"', "tests class=mail.*"]
    assert [values(folder, query)[0] for query in queries] == [1, 1, 1]
    assert values(folder, "tests suite=mail* class=shop.*")[0] == 1
    about = collected(folder, Kpi("it", "tests", "tests suite=male*"))
    assert about.provenance["it"].notes == (
        "no series matched: tests suite=male*; the runs have suite checkout, mail service",
    )


def test_suites_and_classes_are_segments(tmp_path: Path) -> None:
    nested = suite(PASSED, suite(FAILED, name="in,side", at=None))
    folder = runs(tmp_path, a=nested, b=suite(case("x", of="mail.Queue"), at="2025-06-04T00:00Z"))
    kpi = Kpi("failed", "tests", "failed", "executed", by=("suite", "class"))
    panel = collected(folder, kpi).panel
    segments = {*panel.columns.get_level_values("segment")}
    assert segments == {
        "class=shop.Cart,suite=checkout",
        r"class=shop.Cart,suite=in\,side",
        "class=mail.Queue,suite=checkout",
    }
    series = panel["failed", r"class=shop.Cart,suite=in\,side", NUMERATOR]
    np.testing.assert_array_equal(series, [1, np.nan, np.nan, np.nan])


def test_reruns_of_pytest_count_once_by_their_last_result() -> None:
    """What pytest 9 and pytest-rerunfailures 16 wrote: an attempt is a test case of its own, that
    looks passed; a test that fails twice, in its body and in its teardown, is there twice."""
    numbers = ("tests", "passed", "failed", "skipped", "flaky")
    assert [values(RECORDED.parent, each)[0] for each in numbers] == [9, 4, 3, 2, 1]
    assert collected(RECORDED.parent).provenance["pass rate"].notes == (
        "3 tests have several results in a suite: attempts, of which the last one counts",
    )


def test_reruns_of_surefire_and_gradle_are_flaky_if_they_pass_at_last(tmp_path: Path) -> None:
    merged = case(
        "pays", "<flakyFailure message='slow'><stackTrace>at …</stackTrace></flakyFailure>"
    )
    refused = case("refunds", "<failure/><rerunFailure message='no'/>")
    apart = [case("ships", "<failure/>"), case("ships")]
    folder = runs(tmp_path, a=suite(merged, refused, *apart))
    assert [values(folder, each)[0] for each in ("passed", "failed", "flaky")] == [2, 1, 2]


def test_the_same_test_in_two_suites_is_two_tests(tmp_path: Path) -> None:
    other = suite(case("pays", "<failure/>"), more='hostname="b"')
    folder = runs(tmp_path, build__a=suite(PASSED), build__b=other)
    assert [values(folder, each)[0] for each in ("passed", "failed", "flaky")] == [1, 1, 0]


def test_a_copied_run_counts_once(tmp_path: Path) -> None:
    folder = runs(tmp_path, a=suite(PASSED), copy=suite(PASSED))
    assert values(folder, "tests")[0] == 1
    assert collected(folder).provenance["pass rate"].notes == ("1 repeated suites count once",)


def test_a_run_without_tests_has_none_and_no_rate(tmp_path: Path) -> None:
    folder = runs(tmp_path, a=suite())
    assert values(folder, "tests")[0] == 0
    assert collected(folder, Kpi("it", "tests", "duration")).panel.empty


def test_the_name_of_a_run_says_when_it_was(tmp_path: Path) -> None:
    damaged = {"20240101T000000Z": "<tests", "20250604T120000Z-main": suite(PASSED, at=None)}
    folder = runs(tmp_path, **damaged)
    np.testing.assert_array_equal(values(folder, "tests"), [np.nan, 1, np.nan, np.nan])
    assert "20251399T000000Z is not a time" in error(runs(tmp_path, **{"20251399T000000Z": "<a/>"}))


def test_a_time_without_a_zone_needs_one(tmp_path: Path) -> None:
    folder = runs(tmp_path, a=suite(PASSED, at="2025-06-04T00:30:00"))
    assert values(folder, "tests", timezone="Europe/Berlin")[0] == 1
    assert error(folder).endswith(
        "suite 'checkout': the timestamp '2025-06-04T00:30:00' has no time zone; set timezone "
        "(UTC, Europe/Berlin)"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (suite(PASSED, at=None), "no suite has a timestamp; begin the name of its file or folder"),
        (suite(PASSED, at="Tue, 3 Jun 2025"), "'Tue, 3 Jun 2025' is not a time; begin the name"),
        (suite(PASSED, at="0001-01-01T00:00:00+14:00"), "is not a time"),
        ("<testsuite><testcase", "is no whole XML (unclosed token: line 1, column 11)"),
        ("", "is no whole XML (no element found"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><testsuite>&b;</testsuite>', "declares a document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><testsuite/>', "declares a document type"),
        ('<?xml version="1.0" encoding="klingon"?><testsuite/>', "klingon"),
        (suite(case("a", time="soon")), "could not convert string to float: 'soon'"),
    ],
)
def test_a_file_that_can_not_be_read_is_named(tmp_path: Path, text: str, said: str) -> None:
    message = error(runs(tmp_path, a=text, b=suite(PASSED)))
    assert message.startswith(f"{tmp_path.name}/a.xml")
    assert said in message


def test_times_that_can_not_be_are_no_times(tmp_path: Path) -> None:
    odd = [case(str(each), time=each) for each in ("NaN", "-1", "inf", "1,000.5")]
    assert values(runs(tmp_path, a=suite(*odd)), "duration")[0] == 1000.5


def test_other_xml_is_left_out_and_said(tmp_path: Path) -> None:
    about = collected(runs(tmp_path, a=suite(PASSED), coverage="<coverage/>"))
    note = "1 XML files hold no test suites and are left out"
    assert about.provenance["pass rate"].notes == (note,)


def test_what_is_no_file_and_what_is_too_large_is_refused(tmp_path: Path) -> None:
    folder = runs(tmp_path, a=suite(PASSED))
    assert "a.xml: more than 20 bytes; leave the output of tests out" in error(folder, max_bytes=20)
    os.mkfifo(folder / "b.xml")
    assert "b.xml: is no regular file" in error(folder)


def test_a_folder_without_runs_is_an_error_and_one_without_any_in_time_is_not(
    tmp_path: Path,
) -> None:
    assert "holds no .xml file; is it the folder of the test runs?" in error(tmp_path)
    assert "can't be read: No such file" in error(tmp_path / "nowhere")
    about = collected(runs(tmp_path, a=suite(PASSED, at="2025-01-01T00:00Z")))
    assert about.provenance["pass rate"].notes == (
        "no series matched: no run began in this window; known are 2025-01-01T00:00:00Z to "
        "2025-01-01T00:00:00Z",
    )


@pytest.mark.parametrize(
    ("kpi", "said"),
    [
        (Kpi("it", "tests", "failures"), "'failures' is no number of a run; use one of tests, exe"),
        (Kpi("it", "tests", ""), "'' is no number of a run"),
        (Kpi("it", "tests", "failed suite='a"), "No closing quotation"),
        (Kpi("it", "tests", "failed name=a"), "'name=a'; after the number, write suite=PATTERN"),
        (Kpi("it", "tests", "failed suite=a suite=b"), "'suite=b'; after the number"),
        (Kpi("it", "tests", "failed", by=("host",)), "by names 'host'; use suite or class"),
    ],
)
def test_a_bad_query_says_what_to_write(tmp_path: Path, kpi: Kpi, said: str) -> None:
    assert said in error(runs(tmp_path, a=suite(PASSED)), kpi)


def test_more_series_than_people_read_are_refused(tmp_path: Path) -> None:
    many = [case("a", of=f"shop.Class{number}") for number in range(1001)]
    kpi = Kpi("it", "tests", "failed", by=("class",))
    assert "limit: more than 1,000 series" in error(runs(tmp_path, a=suite(*many)), kpi)


def test_an_unknown_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="timezone is 'Mars/Base'; use an IANA name"):
        JunitCollector(path=tmp_path, timezone="Mars/Base")


def test_a_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "junitparser", None)
    with pytest.raises(ChecklistError, match=r"pip install 'release-anomaly\[junit\]'"):
        registry.collector(Plugin("junit", {"path": str(tmp_path)}))


@pytest.mark.slow
def test_a_real_run_of_pytest_is_read(tmp_path: Path) -> None:
    tests = tmp_path / "test_shop.py"
    tests.write_text("def test_pays(): pass\ndef test_ships(): assert False\n", encoding="utf-8")
    folder = tmp_path / "runs"
    asked = [sys.executable, "-m", "pytest", "-q", f"--junitxml={folder}/run.xml", str(tests)]
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    assert subprocess.run(asked, cwd=tmp_path, env=environ, check=False).returncode == 1
    now = datetime.now(UTC)
    window = Window(now - timedelta(days=1), now + timedelta(days=1))
    source = JunitCollector(path=folder, timezone="UTC")
    about = source.collect([PASS_RATE], window, timedelta(minutes=1))
    totals = {role: about.panel["pass rate", "", role].sum() for role in (NUMERATOR, DENOMINATOR)}
    assert totals == {NUMERATOR: 1, DENOMINATOR: 2}
