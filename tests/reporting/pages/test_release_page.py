"""The page of a release, in a real browser: it works, asks nobody, and nothing foreign runs in
it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

import anomaly
from anomaly.checklist.checklist import load
from anomaly.contracts import Action, Message, Receipt
from anomaly.errors import UsageError
from anomaly.model import Direction, Release
from anomaly.reporting import archive
from anomaly.reporting.data import to_dict
from anomaly.reporting.pages.document import embedded
from anomaly.reporting.pages.release import page, web_link
from anomaly.reporting.report import Report
from anomaly.sinks.html import HtmlSink, path_of
from tests.reporting.pages.conftest import Open
from tests.support import reports
from tests.support.places import ROOT

SAMPLE = ROOT / "sample_data"
RELEASED = datetime(2025, 6, 3, 9, tzinfo=UTC)
SAMPLES = ("healthy", "credential", "redesign")
TOLD = (
    Receipt("slack", delivered=True, detail="#ops"),
    Receipt("pager", delivered=False, detail="503", attempts=5),
)
SERIES = 100  # as many as have a card from the start
MOST_DRAWN = 30  # charts on a screen and a little beyond


@cache
def judged(sample: str) -> Report:
    release = Release(RELEASED, RELEASED + timedelta(minutes=10), version="2.3.1")
    return anomaly.check_release(
        load(SAMPLE / sample / "checklist.yaml"), release, now=RELEASED + timedelta(hours=8)
    )


@cache
def large() -> Report:
    """100 series of 72 steps: copies of one finding under names of their own."""
    base = reports.failing()
    times = pd.date_range(base.observation.start, periods=72, freq="5min", tz="UTC")
    rng = np.random.default_rng(1)
    names = [f"KPI {number:03}" for number in range(SERIES)]
    values = rng.normal(10, 1, SERIES * 72)
    long = {
        "kpi": np.repeat(names, 72),
        "segment": "",
        "time": np.tile(times, SERIES),
        "observed": values,
    }
    points = pd.DataFrame(
        {
            **long,
            "expected": 10.0,
            "lower": 7.0,
            "upper": 13.0,
            "z": values - 10,
            "flagged": abs(values - 10) > 3,
        }
    )
    band = {"expected": 10.0, "lower": 7.0, "upper": 13.0}
    around = pd.DataFrame({**long, "time": np.tile(times - timedelta(hours=7), SERIES), **band})
    findings = tuple(
        replace(reports.LATENCY, kpi=name, effect=number / SERIES)
        for number, name in enumerate(names)
    )
    return replace(base, findings=findings, points=points, around=around)


def drawn(tab: Page) -> int:
    return tab.locator(".chart canvas").count()


def shown(tab: Page) -> list[str]:
    return [name.strip() for name in tab.locator(".card:not([hidden]) h3").all_text_contents()]


def scanned(tab: Page) -> list[str]:
    """What a scan for accessibility calls serious or critical. Of the rows of a table of data,
    which are all built alike, three stay for the scan; what is right is not written down."""
    tab.evaluate(
        "document.querySelectorAll('.data tr:nth-child(n+4):not([class])')"
        ".forEach(row => row.remove())"
    )
    found = Axe().run(tab, options={"resultTypes": ["violations"]}).response["violations"]
    nodes = [
        (each, node)
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
    return [f"{each['id']}: {node['html'][:200]}" for each, node in nodes]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_the_page_opens_without_an_error_or_a_request_and_a_scan_finds_nothing_serious(
    opened: Open, sample: str, scheme: str
) -> None:
    view = opened(page(judged(sample), deliveries=TOLD), scheme=scheme)
    expect(view.tab.locator(".card").first.locator("canvas")).to_be_attached()
    for summary in view.tab.locator(".more > summary").all()[:2]:
        summary.click()
    view.tab.locator(".data > summary").first.click()

    assert view.tab.evaluate("document.documentElement.dataset.theme") == scheme
    assert scanned(view.tab) == []
    assert view.trouble == []


def test_a_phone_shows_the_page_without_scrolling_sideways(opened: Open) -> None:
    view = opened(page(judged("credential"), deliveries=TOLD), width=390)

    assert view.tab.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_of_100_series_only_the_charts_in_view_are_drawn(opened: Open) -> None:
    view = opened(page(large()))
    expect(view.tab.locator(".chart canvas").first).to_be_attached()
    at_first = drawn(view.tab)

    # what is above takes its true height as it is passed, and moves what is below
    view.tab.wait_for_function(
        "() => { const last = [...document.querySelectorAll('.card')].at(-1); "
        "last.scrollIntoView(); return last.querySelector('canvas'); }"
    )

    assert view.tab.locator(".chart").count() == SERIES
    assert 0 < at_first <= MOST_DRAWN
    assert at_first < drawn(view.tab) <= 3 * MOST_DRAWN
    assert view.trouble == []


@pytest.mark.slow
def test_a_scan_of_100_series_finds_nothing_serious(opened: Open) -> None:
    """Of the cards that are not drawn yet, which are all built alike, one stays for the scan."""
    view = opened(page(large()))
    expect(view.tab.locator(".chart canvas").first).to_be_attached()

    built = view.tab.evaluate(
        """() => {
          const waiting = [...document.querySelectorAll('.card')].filter(
            card => !card.querySelector('canvas'));
          const built = waiting.map(card => [...card.querySelectorAll('*')].map(each => [
            each.tagName, each.className.toString(), ...each.getAttributeNames()].join()).join());
          waiting.slice(1).forEach(card => card.remove());
          return built;
        }"""
    )

    assert len(built) >= SERIES - MOST_DRAWN
    assert len(set(built)) == 1
    assert scanned(view.tab) == []


@pytest.mark.slow
def test_search_filter_and_sort(opened: Open) -> None:
    tab = opened(page(large())).tab

    tab.keyboard.press("/")
    tab.keyboard.type("kpi 04")
    fitting = [name for name in (f"KPI {number:03}" for number in range(SERIES)) if "04" in name]
    assert tab.locator("#shown").text_content() == f"{len(fitting)} of 100 series"
    tab.locator("#sort").select_option("name")
    assert shown(tab) == fitting
    tab.locator("#search").fill("nothing like this")
    assert shown(tab) == []
    tab.locator("#clear").click()
    tab.locator("#sort").select_option("size")
    assert shown(tab)[:2] == ["KPI 099", "KPI 098"]


def test_the_filters_leave_what_they_say(opened: Open) -> None:
    report = reports.messy()
    tab = opened(page(report)).tab

    tab.locator('[data-filter="errors"]').click()
    assert shown(tab) == ["search latency"]
    tab.locator('[data-filter="undecided"]').click()
    assert shown(tab) == ["sign-ups country=AT"]
    tab.locator('[data-filter="fails"]').click()
    assert shown(tab)[0] == "checkout errors country=DE"
    tab.locator('[data-filter="all"]').click()
    assert len(shown(tab)) == len(report.findings)


def test_a_drag_zooms_all_charts_and_a_button_shows_all_again(opened: Open) -> None:
    tab = opened(page(judged("credential"))).tab
    chart = tab.locator(".chart").first
    expect(chart.locator(".u-over")).to_be_attached()
    box = chart.locator(".u-over").bounding_box()
    assert box is not None

    tab.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 50)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 50, steps=4)
    tab.mouse.up()

    whole = tab.locator('[data-zoom="all"]')
    expect(whole).to_be_enabled()
    low, high = map(int, (whole.get_attribute("data-range") or "").split())
    assert 1.5 * 3600 < high - low < 3.5 * 3600  # a fifth of twelve hours
    whole.click()
    expect(whole).to_be_disabled()


def test_the_keyboard_reads_values_and_zooms(opened: Open) -> None:
    tab = opened(page(judged("credential"))).tab
    chart, said, whole = (
        tab.locator(".chart").first,
        tab.locator("#status"),
        tab.locator('[data-zoom="all"]'),
    )
    expect(chart.locator("canvas")).to_be_attached()

    chart.focus()
    tab.keyboard.press("ArrowRight")
    first = said.text_content() or ""
    tab.keyboard.press("ArrowRight")
    assert re.fullmatch(
        r"06-03 09:15 · observed \S+ · expected \S+ · usual range \S+ to \S+"
        r"( · outside the range)?",
        first,
    )
    assert (said.text_content() or "").startswith("06-03 09:20 · observed")
    tab.keyboard.press("+")
    expect(whole).to_be_enabled()
    tab.keyboard.press("Escape")
    expect(whole).to_be_disabled()


def test_times_can_be_local_and_the_theme_can_be_changed(opened: Open) -> None:
    view = opened(page(judged("credential")))
    sentence = view.tab.locator(".sentence time").first
    assert sentence.text_content() == "09:25"

    view.tab.locator('[data-zone="local"]').click()
    assert sentence.text_content() == "18:25"
    view.tab.locator("#theme").click()

    assert view.tab.evaluate("document.documentElement.dataset.theme") == "dark"
    assert view.trouble == []


def test_times_can_be_those_of_the_checklist(opened: Open) -> None:
    report = judged("credential")
    tab = opened(page(replace(report, made={**report.made, "timezone": "America/New_York"}))).tab
    choice = tab.locator('[data-zone="users"]')
    assert choice.text_content() == "America/New_York"

    choice.click()

    assert tab.locator(".sentence time").first.text_content() == "05:25"
    assert "America/New_York" in (tab.locator(".context").first.text_content() or "")
    made = {**report.made, "timezone": "no/such"}
    assert opened(page(replace(report, made=made))).tab.locator('[data-zone="users"]').count() == 0


def test_the_same_hours_a_day_and_a_week_before_are_drawn_on_demand(opened: Open) -> None:
    report = judged("credential")
    view = opened(page(report))
    tab, chart = view.tab, view.tab.locator(".chart").first
    expect(chart.locator(".u-over")).to_be_attached()
    point = report.points.iloc[0]
    own = report.earlier
    assert own is not None
    same = own[(own["kpi"] == "revenue") & (own["time"] == point["time"])].iloc[0]
    everything = load_csv("credential", "revenue_eur")
    assert same["day"] == everything[point["time"] - timedelta(days=1)]
    assert same["week"] == everything[point["time"] - timedelta(days=7)]

    tab.locator('[data-earlier="week"]').click()
    chart.press("ArrowRight")

    assert " · a week before " in (tab.locator(".readout").first.text_content() or "")
    assert " · a day before " not in (tab.locator(".readout").first.text_content() or "")
    assert view.trouble == []


def load_csv(sample: str, column: str) -> pd.Series:
    table = pd.read_csv(SAMPLE / sample / "shop.csv")
    return table.set_index(pd.to_datetime(table["time"], utc=True))[column].dropna()


def test_each_open_verdict_has_a_section_of_its_own(opened: Open) -> None:
    tab = opened(page(reports.messy())).tab
    heads = tab.locator("h2").all_text_contents()
    assert [head.split()[0] for head in heads][:3] == ["Errors", "No", "Undecided"]
    early = opened(page(reports.early())).tab
    assert early.locator("h2").first.text_content() == "Undecided so far 3"


def test_contributions_are_coloured_by_good_and_bad_not_by_sign(opened: Open) -> None:
    report = judged("credential")
    tab = opened(page(report)).tab
    total = next(each for each in report.findings if each.total and each.fails)
    assert total.direction is Direction.UP
    for bar in tab.locator(".wide .parts rect").all():
        left = float(bar.get_attribute("x") or 0)
        assert bar.get_attribute("class") in ("neutral", "good" if left < 0 else "bad")


def test_behind_each_chart_is_a_table_of_its_data(opened: Open) -> None:
    report = judged("credential")
    tab = opened(page(report)).tab

    tab.locator(".more > summary").first.click()
    tab.locator(".data > summary").first.click()

    rows = tab.locator(".data").first.locator("tbody tr")
    assert report.around is not None
    expect(rows).to_have_count((len(report.points) + len(report.around)) // 15)  # it has 15 series
    assert tab.locator(".data").first.locator("tbody").get_by_text("◆ outside").count() == 33


HOSTILE = (
    *(text for text in reports.HOSTILE if len(text) < 1000),
    '"><script>alert(1)</script><svg onload=alert(1)>',
    "</style><style>*{display:none}</style>",
    "{{ 7 * 7 }}{% raw %}",
    "\u2028\u2029alert(1)//",
    "-->]]><!--<script>",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(opened: Open, text: str) -> None:
    report = replace(
        reports.hostile(text),
        left_out=(replace(reports.staged().left_out[0], reason=text),),
        confounders=(reports.SEARCH,),
    )
    report = replace(
        report,
        findings=tuple(
            replace(each, link=f"javascript:alert({text!r})") for each in report.findings
        ),
    )
    view = opened(page(report, deliveries=(Receipt(text, delivered=False, detail=text),)))

    elements = view.tab.evaluate(
        "[...document.querySelectorAll('*')].map(each => each.tagName.toLowerCase())"
    )
    links = view.tab.evaluate(
        "[...document.querySelectorAll('a')].map(each => each.getAttribute('href'))"
    )
    handlers = view.tab.evaluate(
        "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames()).filter(n => "
        "n.startsWith('on'))"
    )
    assert elements.count("script") == 2
    assert elements.count("style") == 1
    assert "img" not in elements
    assert all(href.startswith("#") for href in links)
    assert handlers == []
    assert "49" not in view.tab.title()
    assert view.trouble == []


def test_the_commits_of_the_release_are_listed_with_their_pages(opened: Open) -> None:
    tab = opened(page(reports.staged())).tab
    section = tab.locator("section[aria-labelledby=commits]")
    expect(section.locator("tbody tr")).to_have_count(10)
    expect(section).to_contain_text("44 commits since 1.4.1, the newest first.")
    expect(section).to_contain_text("+ 34 more")
    links = section.locator("a").evaluate_all("all => all.map(each => each.href)")
    assert links == [reports.CHANGES.link, *(each.link for each in reports.CHANGES.commits)]
    expect(tab.locator("header")).to_contain_text("44 commits since 1.4.1 (list)")


def test_what_is_injected_all_the_same_does_not_run(opened: Open) -> None:
    view = opened(page(judged("healthy")))
    answers: list[object] = []
    view.tab.on("response", lambda answer: answers.append(answer.url))

    view.tab.evaluate(
        """() => {
          const script = document.createElement('script');
          script.textContent = 'window.ran = true';
          document.body.append(script);
          document.body.insertAdjacentHTML(
            'beforeend', '<img src="https://example.com/x.png" onerror="window.ran = true">');
        }"""
    )
    view.tab.wait_for_timeout(100)

    assert view.tab.evaluate("window.ran") is None
    assert any("Content Security Policy" in each for each in view.trouble)
    assert answers == []


@pytest.mark.parametrize("text", reports.HOSTILE)
def test_embedded_json_is_the_same_text_to_json_and_no_markup_to_html(text: str) -> None:
    inside = embedded({"text": text})

    assert json.loads(inside) == {"text": text}
    assert not set("<>&\u2028\u2029") & set(inside)


@pytest.mark.slow
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_page_can_be_fed_back(tmp_path: Path, sample: str) -> None:
    report = judged(sample)
    file = tmp_path / "report.html"
    file.write_text(page(report, deliveries=TOLD), encoding="utf-8")

    back, told = archive.read(file)

    assert to_dict(back) == to_dict(report)
    assert told == TOLD
    assert archive.pack(back) == archive.pack(report)
    assert page(back, deliveries=told) == file.read_text(encoding="utf-8")
    pd.testing.assert_frame_equal(anomaly.load(file).points, report.points, check_dtype=False)


def test_the_json_of_a_report_can_be_fed_back(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text(json.dumps(to_dict(reports.messy())), encoding="utf-8")

    assert to_dict(anomaly.load(file)) == to_dict(reports.messy())


@pytest.mark.parametrize(
    "text", ["", "<html></html>", "{}", "[1]", '{"report": 1}', '{"report": {}, "series": [1]}']
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "other.html"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(UsageError, match="holds no report"):
        anomaly.load(file)


def test_a_trial_leaves_the_page_that_is_there(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("the page", encoding="utf-8")

    receipt = HtmlSink(path=file).send(Message("k", reports.failing(), Action.TRIAL))

    assert receipt.delivered
    assert file.read_text(encoding="utf-8") == "the page"


@pytest.mark.parametrize("version", ["../../etc", "/", "..", "a/../..", "\x00", ""])
def test_a_version_leads_to_no_other_folder(version: str) -> None:
    release = replace(reports.failing().release, version=version)

    path = path_of(Path("/reports/{version}/{service}-{id}.html"), release, "0123456789abcdef")

    assert path.parent.parent == Path("/reports")
    assert ".." not in path.parts
    assert path.name == "shop-01234567.html"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://prometheus.example/graph?g0.expr=up", True),
        ("http://127.0.0.1:9090/graph", True),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("//example.com", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_only_the_web_is_linked_to(url: str, kept: bool) -> None:
    assert web_link(url) == (url if kept else "")
