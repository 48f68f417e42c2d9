"""What the benchmarks of accuracy share: their options, and where their tables are shown."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
PAGE, GALLERY = DOCS / "accuracy.md", DOCS / "gallery.md"


def options(doc: str | None) -> argparse.Namespace:
    """`cases`, `seed` and `write`, from the command line."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the table into docs/accuracy.md")
    return parser.parse_args()


def publish(name: str, lines: Sequence[str], *, write: bool) -> None:
    """Print a table; with `write`, put it into the page, too."""
    text = "\n".join(lines)
    print(text)
    if write:
        place(name, text, PAGE)


def place(name: str, text: str, page: Path) -> None:
    """Put a table into a page, in the place of its name; ValueError as of `placed`."""
    page.write_text(placed(page.read_text(encoding="utf-8"), name, text), encoding="utf-8")


def placed(page: str, name: str, text: str) -> str:
    """The page with `text` between `<!-- table: NAME -->` and `<!-- end -->`; ValueError if it has
    no such place, or several."""
    place = re.compile(rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    out, count = place.subn(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page)
    if count != 1:
        raise ValueError(
            f"the page has {count} places '<!-- table: {name} -->' … '<!-- end -->', needs 1"
        )
    return out
