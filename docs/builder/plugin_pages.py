"""What the documentation has for each built-in plug-in: a section with an example and a row for
each setting; for a sink also a row in the list of sinks and a line in the nav.

`python -m docs.builder.plugin_pages` adds what is not there yet, with the word TODO where a person
has to write. It never changes what is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from anomaly.checklist import registry
from anomaly.checklist.registry import COLLECTORS, RELEASES, SINKS, Kind
from anomaly.checklist.settings import Setting
from anomaly.timing.durations import duration_text

ROOT = Path(__file__).parents[2]
TODO = "TODO"
NAV, LIST_OF_SINKS = "docs/zensical.toml", "docs/sinks.md"
COLUMNS = ("setting", "default", "meaning")
EXAMPLES: Mapping[str, str] = {
    COLLECTORS.name: "sources:\n  prod: {{{entry}}}\n",
    SINKS.name: "sinks:\n  - {{{entry}}}\n",
    RELEASES.name: (
        'service: shop\nsources: {{prod: {{type: prometheus, url: "http://prometheus:9090"}}}}\n'
        "kpis: [{{name: orders, query: 'sum(increase(orders_total[$step]))'}}]\n"
        "releases:\n  - {{{entry}}}\n"
    ),
}
TABLE = re.compile(r"^\| setting \|.*\n\|[-|]+\n(?:\|.*\n)*", re.MULTILINE)
SINK_ROW = re.compile(r"^\| \[`\w+`\]\(sinks/\w+\.md\) \|.*\n", re.MULTILINE)
NAV_LINE = re.compile(r'^( *)\{ "[^"]+" = "sinks/\w+\.md" \},\n', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Type:
    """A built-in type of a kind, and what its class says of itself."""

    kind: Kind
    name: str
    settings: Mapping[str, Setting]

    @property
    def page(self) -> str:
        """The page that describes it, from the root of the repository."""
        return {
            COLLECTORS.name: "docs/collectors.md",
            RELEASES.name: "docs/releases.md",
            SINKS.name: f"docs/sinks/{self.name}.md",
        }[self.kind.name]

    @property
    def heading(self) -> str:
        """The heading of its section; a sink has a page of its own."""
        return f"# `{self.name}`" if self.kind is SINKS else f"## `{self.name}`"

    @property
    def summary(self) -> str:
        """The first sentence of the class's docstring; TODO if there is none."""
        doc = " ".join((registry.built_in_class(self.kind, self.name).__doc__ or "").split())
        return doc.partition(". ")[0].rstrip(".") or TODO

    def section(self, text: str) -> str:
        """Its section of the page `text`; empty if it has none."""
        pattern = rf"^{re.escape(self.heading)}$.*?(?=^##? |\Z)"
        if self.kind is SINKS:
            pattern = rf"\A{re.escape(self.heading)}\n.*\Z"
        found = re.search(pattern, text, re.MULTILINE | re.DOTALL)
        return found[0] if found else ""


def types() -> list[Type]:
    """Every built-in type of every kind."""
    return [
        Type(kind, name, settings)
        for kind in (COLLECTORS, RELEASES, SINKS)
        for name, settings in registry.built_in_settings(kind).items()
    ]


def additions(root: Path) -> dict[str, str]:
    """The new text of every page that lacks something, by its path from the root."""
    pages: dict[str, str] = {}

    def text_of(page: str) -> str:
        path = root / page
        return pages.get(page) or (path.read_text(encoding="utf-8") if path.exists() else "")

    for each in types():
        pages[each.page] = with_section(text_of(each.page), each)
        if each.kind is SINKS:
            pages[LIST_OF_SINKS] = with_row_of_sink(text_of(LIST_OF_SINKS), each)
            pages[NAV] = with_nav_line(text_of(NAV), each)
    return {
        page: text
        for page, text in pages.items()
        if not (root / page).exists() or text != (root / page).read_text(encoding="utf-8")
    }


def with_section(text: str, each: Type) -> str:
    """The page with a section for the type, and a row in it for every setting."""
    old = each.section(text)
    if not old:
        neighbours = [other.section(text) for other in types() if other.page == each.page]
        last = max((other for other in neighbours if other), key=text.find, default="")
        at = text.find(last) + len(last)
        before, after = text[:at].rstrip("\n"), text[at:]
        new = "\n\n".join(part for part in (before, _new_section(each)) if part)
        return f"{new}\n{after}" if after else new
    lost = [setting for name, setting in each.settings.items() if f"`{name}`" not in old]
    table = TABLE.search(old)
    if not lost:
        return text
    if table is None:
        return text.replace(old, f"{old.rstrip()}\n\n{_table(lost)}\n")
    head = [cell.strip() for cell in table[0].split("\n", 1)[0].strip("|").split("|")]
    rows = "".join(_row(setting, head) for setting in lost)
    return text.replace(old, old[: table.end()] + rows + old[table.end() :])


def with_row_of_sink(text: str, sink: Type) -> str:
    """The list of sinks with a row for this one, after the last."""
    if f"[`{sink.name}`](sinks/{sink.name}.md)" in text:
        return text
    every_look = getattr(registry.built_in_class(SINKS, sink.name), "every_look", False)
    summary = sink.summary[:1].lower() + sink.summary[1:] if sink.summary != TODO else TODO
    told = "every look" if every_look else "news"
    row = f"| [`{sink.name}`](sinks/{sink.name}.md) | {summary} | {told} |\n"
    last = [*SINK_ROW.finditer(text)][-1]
    return text[: last.end()] + row + text[last.end() :]


def with_nav_line(text: str, sink: Type) -> str:
    """The nav with a line for the page of this sink, after those of the others."""
    if f'"sinks/{sink.name}.md"' in text:
        return text
    last = [*NAV_LINE.finditer(text)][-1]
    line = f'{last[1]}{{ "{sink.name.capitalize()}" = "sinks/{sink.name}.md" }},\n'
    return text[: last.end()] + line + text[last.end() :]


def _new_section(each: Type) -> str:
    required = [name for name, setting in each.settings.items() if setting.required]
    entry = ", ".join([f"type: {each.name}", *(f"{name}: {TODO}" for name in required)])
    example = EXAMPLES[each.kind.name].format(entry=entry)
    parts = [each.heading, f"{each.summary}.", f"```yaml\n{example}```"]
    return "\n\n".join([*parts, _table([*each.settings.values()])] if each.settings else parts)


def _table(settings: list[Setting]) -> str:
    head = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"
    return head + "".join(_row(setting, COLUMNS) for setting in settings)


def _row(setting: Setting, columns: list[str] | tuple[str, ...]) -> str:
    known = {"setting": f"`{setting.name}`", "default": _default(setting)}
    return f"| {' | '.join(known.get(column, TODO) for column in columns)} |\n"


def _default(setting: Setting) -> str:
    if setting.required:
        return "required"
    if setting.default is None or setting.default == "":
        return "none"
    if isinstance(setting.default, timedelta):
        return f"`{duration_text(setting.default)}`"
    return f"`{setting.default}`"


def todo(root: Path) -> Iterator[str]:
    """What a person still has to write about plug-ins in the documentation, a line each."""
    for page in additions(root):
        yield f"{page}: lacks what `make golden` adds"
    for each in types():
        path = root / each.page
        section = each.section(path.read_text(encoding="utf-8")) if path.exists() else ""
        if section and f"type: {each.name}" not in section:
            yield f"{each.page}: show an example of {each.heading} with `type: {each.name}`"
    for path in sorted((root / "docs").rglob("*.md")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.search(rf"\b{TODO}\b", line):
                yield f"{path.relative_to(root)}:{number}: write what is {TODO} in: {line.strip()}"


def main() -> None:
    for page, text in additions(ROOT).items():
        (ROOT / page).write_text(text, encoding="utf-8")
        print(f"{page}: added to")


if __name__ == "__main__":
    main()
