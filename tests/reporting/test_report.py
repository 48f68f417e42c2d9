from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly import wording
from anomaly.contracts import Receipt
from anomaly.model import (
    ChangeKind,
    Evidence,
    Finding,
    Incident,
    NoData,
    ReleaseVerdict,
    Verdict,
    Window,
)
from anomaly.reporting import words
from anomaly.reporting.data import COLUMNS, to_dict
from anomaly.reporting.report import Report
from anomaly.reporting.words import (
    failures,
    finding_line,
    headline,
    ordered,
    receipt_line,
    title,
)
from anomaly.sinks.console import render
from tests.support import large, reports
from tests.support.goldens import assert_golden
from tests.support.places import ROOT
from tests.support.reports import (
    CRASHES,
    GAPS,
    IMPROVED,
    LATENCY,
    NEW_SEGMENT,
    RAMP,
    REFUSED,
    REGRESSED,
    SPIKES,
    at,
    report,
)

DOCUMENT = ROOT / "docs" / "json.md"
REPORTS = {
    name: getattr(reports, name)
    for name in ("failing", "messy", "passing", "early", "dead_source", "staged")
}
OPEN_MAPPINGS = {"made", "findings[].segment", "findings[].evidence"}
ALIKE = {"kpi": "requests", "reason": "", "effect": None}


# --- the first line -----------------------------------------------------------------------------


def test_a_failure_says_what_moved_since_when_by_how_much_and_how_sure() -> None:
    line = headline(reports.failing())
    assert line == (
        "FAIL  checkout errors (country=DE) +212 % [180, 240], p < 0.0001, since 10:40, 0.0312 "
        "vs expected 0.01"
    )


def test_of_several_failures_the_worst_is_named_and_the_others_are_counted() -> None:
    line = headline(report(ReleaseVerdict.FAIL, RAMP, LATENCY, GAPS, REGRESSED, REFUSED))
    assert line.startswith("FAIL  checkout errors (country=DE) +212 %")
    assert line.endswith("; and 2 more; 1 could not be judged")


def test_a_failure_before_the_end_of_the_watch_says_how_far_the_look_went() -> None:
    line = headline(report(ReleaseVerdict.FAIL, replace(REGRESSED, steps=12), final=False))
    assert line.endswith("; early look, 12 of 72 steps")


def test_missing_data_that_fails_the_release_is_its_headline() -> None:
    line = headline(report(ReleaseVerdict.FAIL, GAPS, LATENCY))
    assert line == "FAIL  conversion no data: 31 of 72 steps missing, 0.4 expected, p < 0.0001"


def test_a_pass_says_what_it_could_have_seen() -> None:
    line = headline(reports.passing())
    assert line == (
        "PASS  3 KPIs, no regression; smallest detectable change 3.2 % (p95 latency) to 9 % "
        "(revenue)"
    )


def test_a_pass_counts_what_moved_without_failing_it() -> None:
    line = headline(report(ReleaseVerdict.PASS, IMPROVED, SPIKES, LATENCY))
    assert line.startswith("PASS  3 KPIs, no regression, 1 improved, 1 regressed in a dry run; ")


def test_a_pass_does_not_count_what_was_not_judged() -> None:
    ignored = replace(NEW_SEGMENT, no_data=NoData.IGNORE)
    line = headline(report(ReleaseVerdict.PASS, LATENCY, ignored))
    assert line.startswith(
        "PASS  1 KPI, no regression; 1 not judged, which the checklist accepts; "
    )


def test_segments_are_counted_beside_kpis() -> None:
    line = headline(
        report(ReleaseVerdict.PASS, IMPROVED, replace(IMPROVED, segment={"country": "AT"}), CRASHES)
    )
    assert line.startswith("PASS  2 KPIs in 3 series, ")


def test_an_early_look_says_how_far_it_went() -> None:
    assert headline(reports.early()) == "INCONCLUSIVE  nothing so far, 12 of 72 steps (3 KPIs)"


def test_an_early_look_names_a_source_that_died() -> None:
    early = reports.early()
    line = headline(replace(early, findings=(*early.findings, REFUSED)))
    assert line.startswith(
        "INCONCLUSIVE  nothing so far, 12 of 72 steps (4 KPIs); search latency error: prometheus "
        "answered 400"
    )


def test_a_dry_run_that_could_not_be_judged_is_no_good_news() -> None:
    line = headline(
        report(ReleaseVerdict.ERROR, REFUSED, replace(REFUSED, kpi="orders", dry_run=True))
    )
    assert line.startswith("ERROR  search latency error: ")
    assert "no regression" not in line


def test_an_inconclusive_release_says_what_could_not_be_judged_and_why() -> None:
    line = headline(report(ReleaseVerdict.INCONCLUSIVE, LATENCY, NEW_SEGMENT))
    assert line == (
        "INCONCLUSIVE  sign-ups (country=AT) inconclusive: no baseline: seen only after the "
        "release; no regression in the other 1"
    )


def test_an_error_gives_the_source_s_reason() -> None:
    line = headline(reports.dead_source())
    assert line.startswith(
        "ERROR  search latency error: prometheus answered 400: parse error: unexpected "
        'identifier "x"'
    )


@pytest.mark.parametrize("verdict", list(ReleaseVerdict))
@pytest.mark.parametrize("final", [True, False])
def test_a_report_without_findings_still_has_a_headline(
    # a parameter
    verdict: ReleaseVerdict,
    final: bool,
) -> None:
    assert headline(report(verdict, final=final)).startswith(verdict.upper())


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("kind", [None, *ChangeKind])
def test_every_finding_has_a_line(verdict: Verdict, kind: ChangeKind | None) -> None:
    bare = Finding(kpi="requests", verdict=verdict, kind=kind, reason="because")
    assert finding_line(bare).startswith("requests ")
    assert "  " not in finding_line(bare)


def test_the_date_is_written_unless_it_is_the_release_s() -> None:
    release = report(ReleaseVerdict.FAIL).release
    next_day = replace(RAMP, onset=at("2025-11-05T00:15"))
    assert " since 13:15," in finding_line(RAMP, release)
    assert " since 2025-11-05 00:15," in finding_line(next_day, release)
    assert " since 2025-11-04 13:15," in finding_line(RAMP)


def test_an_improvement_shows_no_p_value_of_the_other_direction() -> None:
    assert finding_line(IMPROVED, report(ReleaseVerdict.PASS).release) == (
        "sign-ups (country=FR) +8 % [3, 14], since 11:20, 44.7 vs expected 41.2 per step"
    )


def test_a_change_from_zero_is_told_in_the_kpi_s_unit() -> None:
    assert finding_line(SPIKES).startswith(
        "payment timeouts (dry run) spikes +0.40 per step [0.20, 0.70], p = 0.0021, since "
    )


# --- the order ----------------------------------------------------------------------------------


def test_failures_come_first_then_what_could_not_be_judged_then_the_rest() -> None:
    found = [LATENCY, IMPROVED, NEW_SEGMENT, SPIKES, GAPS, REFUSED, RAMP]
    assert ordered(found) == [GAPS, RAMP, REFUSED, NEW_SEGMENT, SPIKES, IMPROVED, LATENCY]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"critical": True, "weight": 0.1}, {"weight": 9.0}),
        ({"weight": 2.0, "effect": 0.1}, {"weight": 1.0, "effect": 5.0}),
        ({"effect": -0.5}, {"effect": 0.4}),
        ({"effect": None}, {"effect": 0.4}),
        ({"kpi": "a"}, {"kpi": "b"}),
        ({"segment": {"country": "AT"}}, {"segment": {"country": "DE"}}),
    ],
    ids=["critical", "weight", "size", "from zero", "name", "segment"],
)
def test_equally_severe_findings_are_ordered_by(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    base = Finding(kpi="x", verdict=Verdict.REGRESSED, reason="", effect=0.3)
    one, two = replace(base, **first), replace(base, **second)
    assert ordered([two, one]) == ordered([one, two]) == [one, two]


def test_a_total_leads_its_segments_unless_one_of_them_is_most_of_it() -> None:
    total = replace(REGRESSED, segment={}, total=True, effect_absolute=0.02, effect=1.0)
    most, least = (
        replace(REGRESSED, segment={"country": name}, contribution=part)
        for name, part in (("DE", 0.015), ("FR", 0.005))
    )
    better = replace(most, segment={"country": "US"}, contribution=-0.006)

    assert ordered([least, better, most, total]) == [most, total, better, least]
    assert [title(finding) for finding in (total, most)] == [
        "checkout errors (all)",
        "checkout errors (country=DE)",
    ]


def test_a_kpi_and_its_segments_stay_together() -> None:
    total = replace(REGRESSED, segment={}, total=True, effect=1.0)
    part = replace(REGRESSED, contribution=0.01, effect=0.1)
    other = replace(REGRESSED, kpi="other", effect=0.5)

    assert ordered([other, part, total]) == [total, part, other]


def test_what_fails_and_what_is_open_stand_as_they_do_among_all() -> None:
    """A total that moved stands with the segments that make it up, though other segments do not
    fail."""
    whole = large.large(150)
    order = ordered(whole.findings)

    assert failures(whole) == [each for each in order if each.fails]
    assert len(failures(whole)) > 1
    open_ones = [each for each in order if each.is_open]
    assert ordered(each for each in whole.findings if each.is_open) == open_ones != []


def test_what_the_mix_alone_moved_is_said_of_a_pass() -> None:
    moved = replace(LATENCY, kind=ChangeKind.MIX, total=True, mix_effect=2.0)

    assert headline(report(ReleaseVerdict.PASS, moved)).startswith(
        "PASS  1 KPI, no regression, 1 changed by mix only; "
    )
    assert finding_line(moved).startswith(
        "p95 latency (all) ok, mix +0.4 % [-1.1, 1.9], smallest detectable change"
    )


def test_a_dry_run_and_a_dead_source_do_not_fail_a_release() -> None:
    assert [
        finding.fails for finding in (REGRESSED, GAPS, SPIKES, REFUSED, replace(GAPS, dry_run=True))
    ] == [
        True,
        True,
        False,
        False,
        False,
    ]


# --- numbers and foreign text -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (0.81, "0.81"),
        (12.44, "12.4"),
        (999.4, "999"),
        (999.6, "1,000"),
        (18796.4, "18,796"),
        (-1234567.0, "-1,234,567"),
        (3.2e-5, "3.2e-05"),
        (1e308, "1e+308"),
        (5e-324, "4.94e-324"),
        (math.inf, "inf"),
        (math.nan, "n/a"),
    ],
)
def test_a_number_has_three_digits(value: float, text: str) -> None:
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("effect", "interval", "text"),
    [
        (2.12, (1.8, 2.4), "+212 % [180, 240]"),
        (0.124, (0.081, 0.169), "+12.4 % [8.1, 16.9]"),
        (-0.061, (-0.0821, -0.04), "-6.1 % [-8.2, -4.0]"),
        (0.124, None, "+12.4 %"),
        (0.0, (0.0, 0.0), "+0 % [0, 0]"),
        (0.1, (-math.inf, math.inf), "+10 % [-inf, inf]"),
        (15.2, (12.1, 1834.0), "+1,520 % [1,210, 183,400]"),
        (math.nan, None, "n/a %"),
    ],
)
def test_an_effect_has_the_digits_that_its_interval_bears(
    effect: float, interval: tuple[float, float] | None, text: str
) -> None:
    assert wording.relative(effect, interval) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.00042, "p = 0.00042"),
        (0.034, "p = 0.034"),
        (1.0, "p = 1"),
        (1e-5, "p < 0.0001"),
        (0.0, "p < 0.0001"),
    ],
)
def test_a_p_value_has_two_digits_as_far_as_they_mean_something(p: float, text: str) -> None:
    assert wording.p_value(p) == text


def test_times_are_told_in_utc() -> None:
    moment = at("10:40").astimezone(pd.Timestamp("2025-11-04", tz="Asia/Tokyo").tzinfo)
    assert wording.clock(moment, date(2025, 11, 4)) == "10:40"
    assert wording.stamp(moment) == "2025-11-04T10:40:00Z"


@pytest.mark.slow
@given(st.text(st.characters(exclude_categories=())), st.integers(2, 80))
def test_foreign_text_becomes_one_harmless_line(text: str, limit: int) -> None:
    shown = wording.plain(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert not re.search(r"::[A-Za-z_-]+.*::|##(\[|vso\[|teamcity\[)", shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "checkout é 漢字 😀 std::vector job:errors:rate5m",
            "checkout é 漢字 😀 std::vector job:errors:rate5m",
        ),
        ("\x1b[31mred\n", "\\x1b[31mred\\x0a"),
        ("\u202egnp.exe\u2028", "\\u202egnp.exe\\u2028"),
        ("\U000e0041", "\\U000e0041"),
        ("::error file=a::b", ":\\x3aerror file=a::b"),
        ("##vso[task.complete]", "#\\x23vso[task.complete]"),
    ],
)
def test_only_what_is_harmful_is_escaped(text: str, shown: str) -> None:
    assert wording.plain(text, 80) == shown


def test_long_text_is_cut_with_a_mark() -> None:
    assert wording.plain("x" * 100_000, 10) == "xxxxxxxxx…"
    assert wording.plain("\x1b" * 100_000, 10) == "\\x1b\\x1b\\…"


def test_a_receipt_says_what_became_of_the_message() -> None:
    assert (
        receipt_line(Receipt("webhook", delivered=False, detail="503", attempts=5))
        == "webhook not delivered after 5 attempts: 503"
    )
    assert receipt_line(Receipt("console", delivered=True)) == "console delivered"


# --- data ---------------------------------------------------------------------------------------


def paths(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict) and path not in OPEN_MAPPINGS:
        for name, inner in value.items():
            here = f"{path}.{name}" if path else name
            yield here
            yield from paths(inner, here)
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, f"{path}[]")


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    report = replace(reports.staged(), incidents=(Incident((0,), kpis=1),))
    data = to_dict(report, key="k", deliveries=[Receipt("webhook", delivered=True)])
    of_reports = DOCUMENT.read_text(encoding="utf-8").partition("\n## The webhook")[0]
    documented = re.findall(r"^\| `([a-z_.\[\]]+)` \|", of_reports, re.MULTILINE)
    containers = {"release", "windows", "windows.baseline", "windows.observation"}
    assert sorted(documented) == sorted(set(paths(data)) - containers)


@pytest.mark.parametrize("name", REPORTS)
def test_golden_json(name: str) -> None:
    data = to_dict(
        REPORTS[name](),
        key="4f1c",
        deliveries=[Receipt("webhook", delivered=False, detail="503", attempts=5)],
    )
    assert_golden(f"json/{name}.json", json.dumps(data, indent=2, allow_nan=False) + "\n")


def test_key_and_deliveries_are_left_out_until_they_are_known() -> None:
    assert {"key", "deliveries"} & set(to_dict(reports.passing())) == set()


def test_what_is_not_finite_becomes_null_in_strict_json() -> None:
    wild = replace(
        REGRESSED,
        p_value=math.nan,
        effect=math.inf,
        effect_interval=(0.1, math.inf),
        weight=-math.inf,
        evidence=Evidence(autocorrelation=math.nan, usual_value=np.float64(1.5), history_steps=3),
    )
    data = json.loads(json.dumps(to_dict(report(ReleaseVerdict.FAIL, wild)), allow_nan=False))[
        "findings"
    ][0]
    assert (data["p_value"], data["effect"], data["effect_interval"], data["weight"]) == (
        None,
        None,
        [0.1, None],
        None,
    )
    assert data["evidence"] == {"history steps": 3.0, "memory": None, "always": 1.5}


@pytest.mark.slow
@given(
    st.builds(
        Finding,
        kpi=st.text(),
        verdict=st.sampled_from(Verdict),
        reason=st.text(),
        effect=st.none() | st.floats(),
        onset=st.none(),
    )
)
def test_any_finding_can_be_told(finding: Finding) -> None:
    for verdict in ReleaseVerdict:
        told = report(verdict, finding)
        assert len(headline(told).splitlines()) == 1
        json.dumps(to_dict(told), allow_nan=False)


@pytest.mark.slow
@pytest.mark.parametrize("text", reports.HOSTILE)
def test_the_json_survives_hostile_text(text: str) -> None:
    line = json.dumps(to_dict(reports.hostile(text)), allow_nan=False)
    assert json.loads(line)["findings"][0]["kpi"] == text
    assert json.loads(line)["headline"].isprintable()
    assert line.isascii()


def test_the_frame_has_a_typed_row_per_finding_in_the_order_of_the_report() -> None:
    told = reports.messy()
    frame = told.to_frame()
    assert list(frame["kpi"]) == [finding.kpi for finding in told.findings]
    assert list(frame.columns) == list(COLUMNS)
    assert frame.loc[3, "segment"] == "country=DE"
    assert frame.loc[3, "onset"] == pd.Timestamp("2025-11-04T10:40Z")
    assert frame.loc[3, "flagged"] == 61
    assert frame["onset"].isna().tolist() == [True, False, True, False, True, False, True]
    assert frame["effect"].isna().tolist() == [False, False, True, False, True, True, True]


@pytest.mark.parametrize(
    "told", [reports.messy(), report(ReleaseVerdict.INCONCLUSIVE)], ids=["findings", "none"]
)
def test_every_column_of_the_frame_sorts_and_keeps_its_type(told: Report) -> None:
    frame = told.to_frame()
    for name in frame.columns:
        assert len(frame.sort_values(name)) == len(told.findings)
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        name: "datetime64[ns, UTC]" if kind == "time" else kind for name, kind in COLUMNS.items()
    }


@pytest.mark.slow
def test_a_report_can_be_told_without_numerics() -> None:
    sinks = (
        "anomaly.sinks.console, anomaly.sinks.json_file, anomaly.sinks.jsonl, "
        "anomaly.sinks.junit, anomaly.sinks.webhook"
    )
    found = "{'numpy', 'pandas', 'scipy'} & set(sys.modules)"
    code = (
        f"import sys, anomaly.reporting.report, anomaly.notify.delivery, {sinks}; sys.exit(', "
        f"'.join({found}) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_steps_are_told_in_seconds() -> None:
    assert to_dict(replace(reports.passing(), step=timedelta(minutes=1)))["windows"]["step_s"] == 60


def test_a_query_of_several_lines_is_printed_as_lines() -> None:
    query = "SELECT date_trunc('hour', at) AS time,\n       count(*) AS orders\n\nFROM orders\n"
    finding = replace(reports.REGRESSED, query=query, denominator="SELECT 1")
    assert words.query_lines(finding) == [
        "SELECT date_trunc('hour', at) AS time,",
        "       count(*) AS orders",
        "FROM orders",
        "/ SELECT 1",
    ]
    text = render(reports.report(ReleaseVerdict.FAIL, finding))
    assert "      checkout errors =\n        SELECT date_trunc" in text
    assert "\n        FROM orders\n        / SELECT 1\n" in text
    assert "\\n" not in text


def test_a_watch_of_few_steps_is_said_to_be_short() -> None:
    short = replace(reports.LATENCY, steps=2, steps_planned=2)
    assert words.context_lines(reports.report(ReleaseVerdict.PASS, short)) == [
        "a watch of 2 steps is short: only large changes are found; set a longer windows.watch or "
        "a shorter windows.step"
    ]
    assert words.context_lines(reports.passing()) == []


def test_an_early_look_says_until_when_data_were_seen_and_how_much_history_there_was() -> None:
    assert words.judged_words(reports.early()) == (
        "shop 1.4.2 in production, released 2025-11-04 10:30 UTC; observed 10:40 to 11:40 (12 of "
        "72 steps; the watch ends at 16:40), compared with the 14 days before (28 days asked for)"
    )
    late = replace(reports.early(), data=Window(reports.RELEASED, reports.OBSERVED_FROM))
    assert words.judged_words(late).endswith(
        "no data observed (12 of 72 steps), no data before it to compare with"
    )
    dead = replace(reports.early(), data=None, findings=(replace(reports.REFUSED, steps=0),))
    assert "no data observed" in words.judged_words(dead)
