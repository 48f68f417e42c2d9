"""How soon the page of a report is there and usable in Chromium, by the number of series: `python
-m benchmarks.page`.

First content is Chromium's first-contentful-paint; usable is when the scripts have run, the first
charts are drawn and a search has been answered. Needs Chromium on PATH.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from playwright.sync_api import Browser, sync_playwright

from anomaly import check
from anomaly.reporting.pages.release import page
from anomaly.reporting.report import Report

SIZES = (14, 100, 500)
TIMES = 5
STEP, WATCH, HISTORY = timedelta(minutes=5), 72, 600
READY = (
    "() => document.querySelector('html[data-ready]') && document.querySelector('.chart canvas')"
)
FIRST = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
SEARCHED = (
    "() => document.querySelectorAll('.card:not([hidden])').length === 1 && performance.now()"
)


def judged(series: int) -> Report:
    """A judged release of that many series, some of which it moved."""
    index = pd.date_range(datetime(2025, 6, 1, tzinfo=UTC), periods=HISTORY + WATCH, freq=STEP)
    values = np.random.default_rng(1).normal(200, 5, (len(index), series))
    values[HISTORY:, :3] += 30
    frame = pd.DataFrame(values, index, [f"KPI {number:03}" for number in range(series)])
    report = check(frame, released_at=index[HISTORY].to_pydatetime(), direction="up")
    return replace(report, release=replace(report.release, service="shop", version="2.3.1"))


def measured(browser: Browser, file: Path) -> tuple[float, float]:
    """Milliseconds from the start of the navigation to first content, and to an answered search."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.goto(file.as_uri(), wait_until="commit")
    tab.wait_for_function(READY)
    first = tab.wait_for_function(FIRST).json_value()
    tab.locator("#search").fill("KPI 007")
    usable = tab.wait_for_function(SEARCHED).json_value()
    tab.close()
    return float(first), float(usable)


def main() -> None:
    print(
        f"{'series':>6}  {'written [s]':>11}  {'size [MB]':>9}  {'first content [ms]':>18}  "
        f"{'usable [ms]':>11}   median of {TIMES}"
    )
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for size in SIZES:
            report, file = judged(size), Path(folder) / f"{size}.html"
            began = time.perf_counter()
            file.write_text(page(report), encoding="utf-8")
            took = time.perf_counter() - began
            first, usable = (
                statistics.median(each)
                for each in zip(*(measured(browser, file) for _ in range(TIMES)), strict=True)
            )
            print(
                f"{size:>6}  {took:>11.2f}  {file.stat().st_size / 1e6:>9.1f}  {first:>18.0f}  "
                f"{usable:>11.0f}"
            )
        browser.close()


if __name__ == "__main__":
    main()
