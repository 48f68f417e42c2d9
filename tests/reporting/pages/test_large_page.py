"""The page of thousands of series, in a real browser: small, soon there, and each series within
reach."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from anomaly.contracts import Receipt
from anomaly.model import ReleaseVerdict
from anomaly.reporting import archive
from anomaly.reporting.data import to_dict
from anomaly.reporting.foremost import MOST_SERIES
from anomaly.reporting.pages.release import page
from anomaly.reporting.report import Report
from anomaly.reporting.words import ordered, title
from tests.reporting.pages.conftest import Open
from tests.reporting.pages.test_release_page import HOSTILE, scanned
from tests.support import large, reports

pytestmark = pytest.mark.slow

MOST_BYTES = 5_000_000
MOST_ELEMENTS = 20_000
SERIES = 10_000
FEW = 150  # more than a page has cards
TOLD = (Receipt("slack", delivered=True, detail="#ops"),)


@cache
def report(series: int) -> Report:
    return large.large(series)


@cache
def html(series: int) -> str:
    return page(report(series), deliveries=TOLD)


def elements(tab: Page) -> int:
    return int(tab.evaluate("document.querySelectorAll('*').length"))


def cards(tab: Page) -> list[str]:
    return [
        " ".join(name.split()) for name in tab.locator(".card:not([hidden]) h3").all_text_contents()
    ]


@pytest.mark.slow
def test_a_page_of_10_000_series_is_small_and_any_series_is_found_and_opened(opened: Open) -> None:
    text = html(SERIES)
    assert len(text.encode()) < MOST_BYTES

    view = opened(text)
    tab = view.tab
    assert elements(tab) < MOST_ELEMENTS
    expect(tab.locator(".card canvas").first).to_be_attached()

    tab.locator("#search").fill("revenue c17 p31")
    assert tab.locator("#shown").text_content() == "1 of 10,000 series"
    assert cards(tab) == ["revenue country=C17, platform=p31"]
    tab.locator("#search").fill("")

    tab.locator("#every > summary").click()
    tab.locator("#list").evaluate("list => { list.scrollTop = list.scrollHeight; }")
    last = title(ordered(report(SERIES).findings)[-1]).replace(" (", " ").rstrip(")")
    row = tab.locator("#list tbody tr").filter(has_text=last)
    expect(row).to_be_visible()
    assert row.get_attribute("aria-rowindex") == f"{SERIES + 1}"
    assert elements(tab) < MOST_ELEMENTS
    row.locator("a").click()

    card = tab.locator(f"#kpi-{SERIES}")
    expect(card).to_be_in_viewport()
    expect(card).to_be_focused()
    assert "anomaly explain CHECKLIST 'sign-ups'" in (card.locator(".nothing").text_content() or "")
    assert view.trouble == []


@pytest.mark.slow
def test_a_series_without_a_card_in_the_page_gets_one_with_its_chart_and_its_evidence(
    opened: Open,
) -> None:
    view = opened(html(FEW))
    tab = view.tab
    assert tab.locator(".card").count() == MOST_SERIES

    tab.locator("#search").fill("sign-ups c29 p0")
    card = tab.locator(".card[data-made]")
    expect(card.locator("canvas")).to_be_attached()
    card.locator(".more > summary").click()
    card.locator(".data > summary").click()

    finding = next(
        each
        for each in report(FEW).findings
        if each.kpi == "sign-ups" and each.segment.get("country") == "C29"
    )
    assert finding.query in (card.locator("pre").text_content() or "")
    assert finding.reason in (card.locator(".facts").text_content() or "")
    assert "placebo releases" in (card.locator(".evidence").text_content() or "")
    expect(card.locator(".data tbody tr")).to_have_count(2 * large.WATCH)
    tab.locator("#search").fill("")
    assert tab.locator(".card").count() == MOST_SERIES  # it is gone again
    assert view.trouble == []


@pytest.mark.slow
def test_the_table_is_that_of_the_filter_the_search_and_the_order(opened: Open) -> None:
    view = opened(html(FEW))
    tab = view.tab
    tab.locator("#every > summary").click()
    names = tab.locator("#list tbody a")

    tab.locator('[data-filter="fails"]').click()
    assert tab.locator("#list table").get_attribute("aria-rowcount") == f"{large.MOVED + 1}"
    tab.locator("#sort").select_option("name")
    expect(names.first).to_have_text("checkout errors country=C01, platform=p0")
    tab.locator("#search").fill("conversion")
    expect(names.first).to_have_text("conversion country=C01, platform=p0")
    tab.locator("#sort").select_option("size")
    moved = [each for each in report(FEW).findings if each.fails and each.kpi == "conversion"]
    largest = max(moved, key=lambda each: abs(each.effect or 0.0))
    expect(names.first).to_contain_text(f"country={largest.segment['country']}")
    tab.locator("#search").fill("nothing like this")
    expect(names).to_have_count(0)
    tab.locator("#clear").click()
    tab.locator("#sort").select_option("rank")
    assert cards(tab)[0].startswith("checkout errors")
    assert view.trouble == []


@pytest.mark.slow
def test_the_keyboard_walks_through_the_table(opened: Open) -> None:
    tab = opened(html(FEW)).tab
    tab.locator("#every > summary").focus()
    tab.keyboard.press("Enter")
    for _ in range(60):
        tab.keyboard.press("Tab")

    focused = tab.evaluate("document.activeElement.closest('tr')?.getAttribute('aria-rowindex')")
    assert focused == f"{1 + 59}"  # the first stop is the table, which scrolls
    tab.keyboard.press("Enter")
    expect(tab.locator(".card:focus, .card:target")).to_be_in_viewport()


@pytest.mark.slow
def test_a_scan_of_the_table_and_of_a_card_that_was_made_finds_nothing_serious(
    opened: Open,
) -> None:
    tab = opened(html(FEW)).tab
    tab.locator("#every > summary").click()
    tab.locator("#search").fill("c29 p0")
    for summary in tab.locator(".card[data-made] summary").all()[:2]:
        summary.click()
    tab.evaluate("document.querySelectorAll('.card[hidden]').forEach(card => card.remove())")

    assert tab.locator(".card[data-made]").count() > 0
    assert scanned(tab) == []


@pytest.mark.slow
def test_a_phone_shows_it_without_scrolling_sideways_and_times_can_be_local(opened: Open) -> None:
    tab = opened(html(FEW), width=390).tab
    tab.locator("#every > summary").click()
    time = tab.locator("#list time").first
    before = time.text_content()

    tab.locator('[data-zone="local"]').click()

    assert time.text_content() != before
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_hostile_text_stays_text_where_the_script_makes_it(opened: Open) -> None:
    bad = [reports.hostile(text[:200]) for text in HOSTILE]
    findings = tuple(
        replace(each, link=f"javascript:alert({each.kpi!r})")
        for one in bad
        for each in one.findings * 3
    )
    view = opened(page(replace(bad[0], findings=findings)))
    tab = view.tab
    tab.locator("#every > summary").click()
    made = ""
    for place in range(len(findings), MOST_SERIES, -3):  # each text is there three times
        tab.evaluate(f"location.hash = '#kpi-{place}'")
        card = tab.locator(f"#kpi-{place}")
        made += card.text_content() or ""
        assert card.locator("script, img, style").count() == 0
    links = tab.evaluate(
        "[...document.querySelectorAll('a[href]')].map(e => e.getAttribute('href'))"
    )
    handlers = tab.evaluate(
        "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames())"
        ".filter(n => n.startsWith('on'))"
    )
    assert tab.locator(".card[data-made]").count() > 0
    assert all(href.startswith("#") for href in links)
    assert handlers == []
    assert not set("\x1b\x07\x9b\u202e\u2066\u2028\u2029") & set(made)
    assert view.trouble == []


def test_without_a_script_the_page_has_the_cards_that_matter_most() -> None:
    text = html(FEW)
    for place, finding in enumerate(ordered(report(FEW).findings), 1):
        has_card = f'id="kpi-{place}"' in text
        assert has_card or not (finding.fails or finding.is_open or finding.total)
    assert text.count('<article class="card') == MOST_SERIES + 1  # and the template


def test_a_large_page_can_be_fed_back_with_the_points_that_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, most = report(FEW), 20 * large.WATCH + 1
    monkeypatch.setattr("anomaly.reporting.foremost.MOST_POINTS", most)
    file = tmp_path / "report.html"
    file.write_text(page(whole, deliveries=TOLD), encoding="utf-8")

    back, told = archive.read(file)

    assert to_dict(back) == to_dict(whole)
    assert told == TOLD
    assert len(back.points) == 20 * large.WATCH
    same = whole.points.merge(back.points, on=["kpi", "segment", "time"], suffixes=("", "_back"))
    assert len(same) == len(back.points)
    for name in ("observed", "expected", "z"):
        pd.testing.assert_series_equal(
            same[name], same[f"{name}_back"], rtol=1e-5, check_names=False
        )
    assert page(back, deliveries=told) == file.read_text(encoding="utf-8")


def test_a_large_report_that_passes_has_its_totals_first() -> None:
    whole = report(FEW)
    fine = tuple(each for each in whole.findings if not each.fails and not each.is_open)
    fine += tuple(replace(each, segment={"country": f"X{n}"}) for n, each in enumerate(fine[50:]))
    passing = replace(whole, verdict=ReleaseVerdict.PASS, findings=fine)

    text = page(passing)

    order = ordered(fine)
    totals = [place for place, each in enumerate(order, 1) if each.total]
    assert len(totals) == len(large.KPIS)
    assert all(f'id="kpi-{place}"' in text for place in totals)
