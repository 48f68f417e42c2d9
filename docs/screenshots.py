"""Makes the pictures of the pages in docs/images from the sample shop: `python -m
docs.screenshots`. Needs Chromium on PATH."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from anomaly.checklist.checklist import load
from anomaly.cli.history_page import write as write_history
from anomaly.contracts import Receipt
from anomaly.history.overview import statuses_of
from anomaly.history.places import IN_MEMORY
from anomaly.history.store import Store
from anomaly.model import Release
from anomaly.pipeline import check_release
from anomaly.reporting.pages.release import page
from anomaly.reporting.report import Report

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
RELEASED = datetime(2025, 6, 3, 9, tzinfo=UTC)
WIDE, PHONE = {"width": 1280, "height": 960}, {"width": 390, "height": 844}
TOLD = (
    Receipt("slack", delivered=True, detail="#releases"),
    Receipt("github", delivered=True, detail="comment on pull request 512"),
)
VERSIONS = {"healthy": "2.3.0", "credential": "2.3.1", "redesign": "2.4.0"}


def judged(
    sample: str, version: str, at: datetime = RELEASED, *, history: timedelta | None = None
) -> Report:
    """The report of a release of a sample shop."""
    checklist = load(ROOT / "sample_data" / sample / "checklist.yaml")
    if history is not None:
        checklist = replace(checklist, windows=replace(checklist.windows, history=history))
    return check_release(
        checklist,
        Release(at, at + timedelta(minutes=10), version=version),
        now=at + timedelta(hours=8),
    )


def releases() -> Iterator[Report]:
    """Six releases that did nothing, at past moments of the healthy shop, and the two that broke
    something."""
    for number, days in enumerate((12, 10, 8, 6, 4, 2)):
        yield judged(
            "healthy", f"2.2.{number}", RELEASED - timedelta(days=days), history=timedelta(days=14)
        )
    yield judged("credential", VERSIONS["credential"])
    yield judged("redesign", VERSIONS["redesign"], RELEASED)


def history(folder: Path) -> Path:
    """The page over them, with what people said of the alarms."""
    with Store(IN_MEMORY) as store:
        for report in releases():
            tracked = store.track(report.release, origin="sample", checklist="")
            store.record(tracked.id, report, (), at=report.observation.end, after=0)
            if report.verdict == "fail":
                note = (
                    "the key of the payment provider had expired"
                    if report.release.version == VERSIONS["credential"]
                    else ""
                )
                store.acknowledge(tracked, incident=True, note=note, at=report.observation.end)
        judged, incidents = store.feedback()
        data = {"releases": [], "feedback": {"judged": judged, "incidents": incidents}}
        write_history(
            folder / "history.html", store, statuses_of(store), None, data, "shop in production"
        )
    return folder / "history.html"


def shoot(
    browser: Browser,
    file: Path,
    name: str,
    size: dict[str, int],
    scheme: str,
    *,
    whole: bool = False,
) -> None:
    """A picture of the page as it opens."""
    tab = browser.new_page(
        viewport={"width": size["width"], "height": size["height"]},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    tab.goto(file.as_uri())
    tab.wait_for_selector("html[data-ready]", state="attached")
    tab.wait_for_timeout(300)
    tab.screenshot(path=IMAGES / f"{name}.png", full_page=whole)
    tab.close()


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for sample in ("healthy", "credential"):
            file = Path(made) / f"{sample}.html"
            file.write_text(
                page(judged(sample, VERSIONS[sample]), deliveries=TOLD), encoding="utf-8"
            )
            for scheme in ("light", "dark"):
                shoot(browser, file, f"report-{sample}-{scheme}", WIDE, scheme)
                shoot(browser, file, f"report-{sample}-{scheme}-phone", PHONE, scheme)
        file = history(Path(made))
        for scheme in ("light", "dark"):
            shoot(browser, file, f"history-{scheme}", WIDE, scheme)
        browser.close()


if __name__ == "__main__":
    main()
