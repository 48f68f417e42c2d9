"""A real Chromium that reads pages from disk, and says what they did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support.servers import need


@dataclass
class Opened:
    """A page on the screen; `trouble` is what went to the console, was thrown or asked for that
    should not have been."""

    tab: Page
    trouble: list[str] = field(default_factory=list)


Open = Callable[..., Opened]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser, for all tests of one process."""
    program = need("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens HTML from disk, in its own context: `opened(html, width=1280, scheme="light")`."""
    contexts: list[BrowserContext] = []

    def show(
        html: str, *, width: int = 1280, scheme: str = "light", zone: str = "Asia/Tokyo"
    ) -> Opened:
        file = tmp_path / f"page-{len(contexts)}.html"
        file.write_bytes(html.encode())
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            timezone_id=zone,
            locale="en-GB",
        )
        contexts.append(context)
        tab = context.new_page()
        shown = Opened(tab)
        tab.on("console", lambda said: shown.trouble.append(f"console: {said.text}"))
        tab.on("pageerror", lambda error: shown.trouble.append(f"error: {error}"))
        tab.on("dialog", lambda dialog: shown.trouble.append(f"dialog: {dialog.message}"))
        tab.on(
            "request",
            lambda request: (
                shown.trouble.append(f"request: {request.url}")
                if request.url != file.as_uri()
                else None
            ),
        )
        tab.goto(file.as_uri())
        tab.wait_for_selector("html[data-ready]", state="attached")
        return shown

    yield show
    for context in contexts:
        context.close()
