"""The first page: the question, an answer, and the way to every page."""

from __future__ import annotations

import re
from typing import Any

from docs.builder.errors import SiteError

FIRST = (
    "anomaly check sample_data/credential/checklist.yaml --released-at 2025-06-03T09:00Z "
    "--finished-at 2025-06-03T09:10Z"
    ' --only "request errors" --only engagement'
)
SAYS = {  # what a reader finds in a part of the nav
    "Tutorial": "Learn it by doing: judge three releases of a sample shop, offline.",
    "How-to": "You have a task.",
    "Reference": "You look something up.",
    "Explanation": "You want to know why it may be believed.",
    "Project": "How it is made, and what changes.",
}


def page(readme: str, nav: list[Any]) -> str:
    """The README's first words and a card for every part of the nav, which is the table of
    contents."""
    words = re.search(r"\A# anomaly\n\n(.+?)\n\n", readme, re.DOTALL)
    if words is None:
        raise SiteError("README.md does not begin with a title and a paragraph")
    cards = [
        _card(title, below) for entry in nav for title, below in entry.items() if title != "Home"
    ]
    return (
        "---\nhide: [toc, navigation]\n---\n\n# Did this release move a KPI that "
        f"matters?\n\n{words[1]}\n\n"
        f"<!-- screenshot: {FIRST} -->\n\n"
        f'<div class="grid cards" markdown>\n\n{"".join(cards)}\n</div>\n'
    )


def _card(title: str, below: str | list[Any]) -> str:
    links = (
        [f"[{title}]({below})"]
        if isinstance(below, str)
        else [f"[{name}]({place})" for name, place in _leaves(below)]
    )
    head = links.pop() if isinstance(below, str) else title
    listed = f"\n\n    {' · '.join(links)}" if links else ""
    return f"-   **{head}**\n\n    {SAYS.get(title, '')}{listed}\n\n"


def _leaves(nav: list[Any]) -> list[tuple[str, str]]:
    """Title and page of every entry; a folder within the nav by its first page."""
    found = []
    for entry in nav:
        for name, below in entry.items():
            found.append((name, below if isinstance(below, str) else _leaves(below)[0][1]))
    return found
