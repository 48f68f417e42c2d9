"""Which pages the site has of the repository, and where the nav names them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "docs" / "zensical.toml"
OUTSIDE = {  # pages of the repository that do not lie in docs/, and where they lie on the site
    "README.md": "project/readme.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "sample_data/README.md": "project/sample_data.md",
}


def misplaced(pages: set[str], nav: list[Any]) -> list[str]:
    """Pages without a line in the nav, and lines without a page."""
    named = set(nav_pages(nav))
    lost = [
        f"{page}: has no line in the nav of docs/zensical.toml" for page in sorted(pages - named)
    ]
    return lost + [
        f"docs/zensical.toml: the nav names {page}, which is no page"
        for page in sorted(named - pages)
    ]


def repository_pages() -> Iterator[tuple[str, str]]:
    """Every page of the repository, and its place on the site."""
    yield from OUTSIDE.items()
    for path in sorted((ROOT / "docs").rglob("*.md")):
        yield str(path.relative_to(ROOT)), str(path.relative_to(ROOT / "docs"))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        yield str(path.relative_to(ROOT)), f"notebooks/{path.stem}.md"


def read_nav() -> list[Any]:
    nav: list[Any] = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["project"]["nav"]
    return nav


def nav_pages(nav: list[Any]) -> Iterator[str]:
    """Every page that a nav names."""
    for entry in nav:
        for below in entry.values() if isinstance(entry, dict) else [entry]:
            if isinstance(below, str):
                yield below
            else:
                yield from nav_pages(below)
