"""How large the page of a report is, and how soon it is there and usable in Chromium, by the number
of series: `python -m benchmarks.page`.

First content is Chromium's first-contentful-paint; usable is when the scripts have run, the first
charts are drawn and a search has been answered. Needs Chromium on PATH.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from anomaly.reporting.pages.release import page
from tests.support.large import large

SIZES = (15, 100, 500, 2000, 10_000)
TIMES = 5
READY = (
    "() => document.querySelector('html[data-ready]') && document.querySelector('.chart canvas')"
)
FIRST = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
SEARCHED = (
    "() => document.querySelectorAll('.card:not([hidden])').length === 1 && performance.now()"
)
ELEMENTS = "document.querySelectorAll('*').length"


def measured(browser: Browser, file: Path) -> tuple[float, float, float]:
    """Milliseconds from the start of the navigation to first content, and to an answered search;
    elements."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.goto(file.as_uri(), wait_until="commit")
    tab.wait_for_function(READY)
    elements = tab.evaluate(ELEMENTS)
    first = tab.wait_for_function(FIRST).json_value()
    tab.locator("#search").fill("revenue C02 p0")
    usable = tab.wait_for_function(SEARCHED).json_value()
    tab.close()
    return float(first), float(usable), float(elements)


def main() -> None:
    print(
        f"{'series':>6}  {'written [s]':>11}  {'size [MB]':>9}  {'elements':>8}  "
        f"{'first content [ms]':>18}  {'usable [ms]':>11}   median of {TIMES}"
    )
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for size in SIZES:
            report, file = large(size), Path(folder) / f"{size}.html"
            began = time.process_time()
            file.write_text(page(report), encoding="utf-8")
            took = time.process_time() - began
            first, usable, elements = (
                statistics.median(each)
                for each in zip(*(measured(browser, file) for _ in range(TIMES)), strict=True)
            )
            print(
                f"{size:>6}  {took:>11.2f}  {file.stat().st_size / 1e6:>9.2f}  {elements:>8.0f}  "
                f"{first:>18.0f}  {usable:>11.0f}"
            )
        browser.close()


if __name__ == "__main__":
    main()
