"""Pages written for GitHub as Python-Markdown and the site want them: links, lists, notebooks."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any

FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```+)[^\n]*\n.*?^(?P=indent)(?P=fence) *$", re.MULTILINE | re.DOTALL
)
LINK = re.compile(
    r"(?P<picture>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\]\([^)]*\))*)\]\((?P<target>[^)\s]+)\)"
)
ITEM = re.compile(r"(?P<indent> *)(?P<mark>[-*]|\d+\.)(?P<gap> +)\S")
ELSEWHERE = ("http://", "https://", "mailto:", "#")
INDENT = 4  # by which Python-Markdown wants what belongs to an item


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """`text` with everything but its fenced blocks changed."""
    parts, at = [], 0
    for fence in FENCE.finditer(text):
        parts += [change(text[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, change(text[at:])])


def turned(text: str, source: str, places: Mapping[str, str]) -> str:
    """`text` of the page `source` of the repository, its links leading to the `places` on the site.

    What the site does not have (a folder, a file of data) keeps its words and loses its link.
    """
    here = posixpath.dirname(places[source])

    def turn(link: re.Match[str]) -> str:
        target, sharp, fragment = link["target"].partition("#")
        words = LINK.sub(turn, link["text"])
        if link["target"].startswith(ELSEWHERE):
            return f"{link['picture']}[{words}]({link['target']})"
        place = places.get(posixpath.normpath(posixpath.join(posixpath.dirname(source), target)))
        if place is None:
            return words
        return (
            f"{link['picture']}[{words}]({posixpath.relpath(place, here or '.')}{sharp}{fragment})"
        )

    return outside_fences(text, lambda prose: LINK.sub(turn, prose))


def for_python_markdown(text: str) -> str:
    """Lists as Python-Markdown reads them: a blank line before the first item, four spaces before
    what belongs to one."""
    lines: list[str] = []
    fence = ""
    hanging: list[
        tuple[int, int]
    ] = []  # columns at which the text of open items begins, as written and as wanted
    for line in text.splitlines():
        bare = line.lstrip(" ")
        indent = len(line) - len(bare)
        item = None if fence else ITEM.match(line)
        if bare and not fence:
            while (
                hanging and indent < hanging[-1][0] and (item or (lines and not lines[-1].strip()))
            ):
                hanging.pop()
        before = lines[-1] if lines else ""
        if (
            item
            and before.strip()
            and not hanging
            and not _is_item(before)
            and not before.startswith(("<!--", "#"))
        ):
            lines.append("")
        written, wanted = hanging[-1] if hanging else (0, 0)
        lines.append(
            " " * (wanted + indent - written) + bare
            if hanging and bare and indent >= written
            else line
        )
        if item:
            hanging.append((item.end("gap"), wanted + INDENT))
        if bare.startswith("```"):
            fence = (
                ""
                if fence and bare.startswith(fence)
                else fence or bare[: len(bare) - len(bare.lstrip("`"))]
            )
    return "\n".join(lines) + "\n"


def _is_item(line: str) -> bool:
    return ITEM.match(line) is not None


def of_notebook(notebook: Mapping[str, Any]) -> str:
    """A notebook to read: its text, its code, and no outputs."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"]).strip()
        if source:
            parts.append(f"```python\n{source}\n```" if cell["cell_type"] == "code" else source)
    return "\n\n".join(parts) + "\n"


def cell(text: str) -> str:
    """Text within a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
