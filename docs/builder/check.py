"""What is wrong with a built site: links that lead nowhere, and what a browser would ask other
hosts for."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {
    ("script", "src"),
    ("img", "src"),
    ("link", "href"),
    ("iframe", "src"),
    ("source", "src"),
    ("object", "data"),
}
LED_TO = {("a", "href")}
FOREIGN = re.compile(r"(?:url\(|@import )['\"]?((?:https?:)?//[^'\")]+)")
MADE_FOR_404 = "404.html"  # its links are absolute, for it is shown in any folder


class _Page(HTMLParser):
    """The names within a page, and what it refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if not value:
                continue
            if name in ("id", "name"):
                self.names.add(value)
            elif (tag, name) in LED_TO:
                self.links.append(value)
            elif (tag, name) in LOADED:
                self.loads.append(value)


def problems(site: Path) -> list[str]:
    """What is wrong with the pages of `site`, a line each."""
    pages = {
        path: _read(path) for path in sorted(site.rglob("*.html")) if path.name != MADE_FOR_404
    }
    found = []
    for path, page in pages.items():
        for target in [*page.links, *page.loads]:
            wrong = _wrong(target, path, pages, loaded=target in page.loads)
            found += [f"{path.relative_to(site)}: {target} {wrong}"] if wrong else []
    for path in sorted(site.rglob("*.css")):
        found += [
            f"{path.relative_to(site)}: {target} is loaded from elsewhere"
            for target in FOREIGN.findall(path.read_text(encoding="utf-8"))
        ]
    return found


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _wrong(target: str, path: Path, pages: dict[Path, _Page], *, loaded: bool) -> str:
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return "is loaded from elsewhere" if loaded and parts.scheme != "data" else ""
    file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    file = file / "index.html" if file.is_dir() else file
    if not file.is_file():
        return "leads nowhere"
    known = pages.get(file)
    if parts.fragment and known is not None and unquote(parts.fragment) not in known.names:
        return "has no such anchor"
    return ""
