"""A real Chromium that reads pages from disk, and says what they did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Request, sync_playwright

from tests.support.servers import need


@dataclass
class Opened:
    """A page on the screen; `trouble` is what went to the console, was thrown or asked for that
    should not have been."""

    tab: Page
    trouble: list[str] = field(default_factory=list)


Open = Callable[..., Opened]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Page]:
    """The one tab of a browser, for all tests of one process: another costs as much time as the
    pages that it shows."""
    program = need("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser.new_page(timezone_id="Asia/Tokyo", locale="en-GB")
        browser.close()


@pytest.fixture
def opened(chromium: Page, tmp_path: Path) -> Iterator[Open]:
    """Opens HTML from disk, in the place of what was open: `opened(html, width=1280,
    scheme="light")`. Nothing is left of an earlier page."""
    with ExitStack() as before:

        def show(html: str, *, width: int = 1280, scheme: str = "light") -> Opened:
            before.close()
            file = tmp_path / "page.html"
            file.write_bytes(html.encode())
            shown = Opened(chromium)
            before.callback(_leave, chromium, _listen(chromium, file.as_uri(), shown.trouble))
            chromium.set_viewport_size({"width": width, "height": 900})
            chromium.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            chromium.goto(file.as_uri())
            chromium.wait_for_selector("html[data-ready]", state="attached")
            return shown

        yield show


def _listen(tab: Page, uri: str, trouble: list[str]) -> dict[Any, Callable[[Any], None]]:
    """Note the trouble of a page, and what is asked for beside it; returns the listeners by their
    events."""

    def requested(request: Request) -> None:
        if request.url != uri:
            trouble.append(f"request: {request.url}")

    listeners: dict[Any, Callable[[Any], None]] = {
        "console": lambda message: trouble.append(f"console: {message.text}"),
        "pageerror": lambda error: trouble.append(f"error: {error}"),
        "dialog": lambda dialog: trouble.append(f"dialog: {dialog.message}"),
        "request": requested,
    }
    for event, listener in listeners.items():
        tab.on(event, listener)
    return listeners


def _leave(tab: Page, listeners: Mapping[Any, Callable[[Any], None]]) -> None:
    """Close the page that a tab shows, with what it kept and who listens to it."""
    for event, listener in listeners.items():
        tab.remove_listener(event, listener)
    tab.evaluate("localStorage.clear()")
    tab.mouse.move(0, 0)
    tab.goto("about:blank")
