"""What the marks of a page stand for: pictures, screenshots, the gallery, words of the site."""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path

from docs.builder import gallery, pictures, screenshots
from docs.builder.errors import SiteError
from docs.builder.markdown import outside_fences

MARK = re.compile(
    r"^<!-- (?P<kind>picture|screenshot|gallery|site): (?P<what>(?:(?!-->).)+?) -->$",
    re.MULTILINE | re.DOTALL,
)


class Marks:
    """Fills in marks; what it draws lies in `folder`, beneath the folder of the pages."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.root = folder, root
        self.shots: dict[str, str] = {}
        self.drawn: set[str] = set()

    def filled_in(self, text: str, place: str) -> str:
        """`text` of the page at `place` with its marks filled in. Raises SiteError."""
        here = posixpath.relpath(self.folder.name, posixpath.dirname(place) or ".")
        try:
            return outside_fences(
                text,
                lambda prose: MARK.sub(
                    lambda mark: self._stands_for(mark["kind"], mark["what"], here), prose
                ),
            )
        except SiteError as error:
            raise SiteError(f"{place}: {error}") from error

    def _stands_for(self, kind: str, what: str, here: str) -> str:
        match kind:
            case "picture":
                return self._picture(what, here)
            case "screenshot":
                return self._screenshot(what, here)
            case "gallery":
                return gallery.cards(what)
            case _:
                return what

    def _picture(self, name: str, here: str) -> str:
        """A picture in the colours of the page, which may be light or dark."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if name not in pictures.PICTURES:
            raise SiteError(f"no picture {name}; use one of {', '.join(pictures.PICTURES)}")
        said = pictures.PICTURES[name].says
        if name not in self.drawn:
            pictures.draw(name, self.folder, self.root)
            self.drawn.add(name)
        shown = "\n".join(
            f"![{said}]({here}/{name}-{scheme}.svg#only-{scheme})" for scheme in pictures.SCHEMES
        )
        return (
            "<figure "
            f'markdown="span">\n{shown}\n'
            f"<figcaption>{html.escape(said, quote=False)}</figcaption>\n</figure>"
        )

    def _screenshot(self, command: str, here: str) -> str:
        if command not in self.shots:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.shots[command] = f"terminal-{len(self.shots) + 1}.svg"
            svg = screenshots.terminal(command, self.root, unique=f"t{len(self.shots)}")
            (self.folder / self.shots[command]).write_text(svg, encoding="utf-8")
        said = f"A terminal that shows the output of {command.replace('[', '').replace(']', '')}"
        return f"![{said}]({here}/{self.shots[command]}){{ .terminal }}"
