"""YAML without its traps: one document of mappings, lists, text, numbers, true and false, each with
its line.

Refused: anchors, aliases, tags, merge keys, duplicate keys, empty values, great size or depth.
Words that YAML 1.1 turns into something else (`no`, `on`, `5:30`, `2025-06-03`, `0644`) stay what
they look like, as in YAML 1.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from anomaly.errors import ChecklistError

MOST_BYTES = 1 << 20
MOST_DEPTH = 32
MOST_VALUES = 50_000
MOST_PROBLEMS = 50
SHOWN = 60  # characters of a found value
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
INTEGER = re.compile(r"[-+]?[0-9]+")
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
WORDS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
NO_BREAK = "\u00a0"
RESERVED = "%@`"
HINTS = {  # by what the parser says
    "expected ',' or": (
        "close each { and [, and put text that holds one of them or a comma, such as a query, in "
        "quotes"
    ),
    "mapping values are not allowed": (
        "align the keys, and put text that holds a colon and a space in quotes"
    ),
    "expected '-' indicator": "align the items of a list",
    "expected key": "align the keys of a mapping",
    "expected <block end>": "align the keys of a mapping",
    "unexpected end of stream": "close the quotation mark",
}
LONGEST_INTEGER = 18  # digits; a longer one is a float
PLAIN_KEY = re.compile(r"[\w-]+")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that must change, and the line where it stands."""

    line: int
    text: str


@dataclass(slots=True)
class Document:
    """The data of a file, the line of every key path, and what is wrong with it."""

    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: KeyPath) -> int:
        """The line of `path`, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def path_text(path: KeyPath) -> str:
    """`kpis[2].direction`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (
                part if PLAIN_KEY.fullmatch(part) and len(part) <= SHOWN else shown(part)
            )
    return text


def shown(value: object) -> str:
    """A found value for a message: quoted, escaped and cut; a mapping or list by its kind."""
    if isinstance(value, Mapping | list | tuple):
        return kind_of(value)
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value[: SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN + 2 else f"{text[:SHOWN]}…"


def kind_of(value: object) -> str:
    """What sort of thing a found value is, for a message that must not show it."""
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if isinstance(value, bool):
        return str(value).lower()
    return "a number" if isinstance(value, int | float) else "text"


def refuse(name: str, problems: list[Problem]) -> None:
    """Raises ChecklistError with a line `name:line: text` for each problem, if there are any."""
    if not problems:
        return
    unique = sorted(set(problems), key=lambda problem: (problem.line, problem.text))
    lines = [f"{name}:{problem.line}: {problem.text}" for problem in unique[:MOST_PROBLEMS]]
    if len(unique) > MOST_PROBLEMS:
        lines.append(f"{name}: … and more")
    raise ChecklistError("\n".join(lines))


def read(path: Path, what: str = "checklist") -> bytes:
    """The bytes of the regular file `path`; raises ChecklistError if it is missing, unreadable or
    over 1 MiB."""
    try:
        if path.exists() and not path.is_file():
            raise ChecklistError(f"{path} is not a regular file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ChecklistError(f"{path}: the {what} can't be read: {reason}") from None
    if len(data) > MOST_BYTES:
        raise ChecklistError(f"{path} is larger than 1 MiB, the most that a {what} may have")
    return data


def parse(data: bytes) -> Document:
    """The document in `data`; never raises: what is wrong stands in its `problems`."""
    document = Document()
    text = _decoded(data, document)
    if text is None:
        return document
    try:
        composer = _Composer(yaml.parse(text, Loader=LOADER), document)
        document.data = composer.document()
    except yaml.MarkedYAMLError as error:
        document.problems.append(_not_yaml(error, text))
    except yaml.YAMLError as error:
        document.problems.append(Problem(1, f"not valid YAML: {shown(str(error))}"))
    except _Enough:
        pass
    return document


class _Enough(Exception):
    """The document is not worth reading on; the problem is noted."""


class _Composer:
    """Builds plain data from YAML events, one nesting at a time."""

    def __init__(self, events: Iterator[Any], document: Document) -> None:
        self.events = events
        self.out = document
        self.values = 0

    def document(self) -> Any:
        next(self.events)  # stream start
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        data = self.value(next(self.events), ())
        next(self.events)  # document end
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            self.problem(event, "a second document starts here; a checklist is one document")
        return data

    def problem(self, event: Any, text: str) -> None:
        self.out.problems.append(_at(event.start_mark, text))

    def stop(self, event: Any, text: str) -> None:
        self.problem(event, text)
        raise _Enough

    def value(self, event: Any, path: KeyPath) -> Any:
        self.values += 1
        self.out.lines.setdefault(path, event.start_mark.line + 1)
        self.check(event, path)
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path)
        return self.scalar(event, path) if isinstance(event, yaml.ScalarEvent) else None

    def check(self, event: Any, path: KeyPath) -> None:
        if self.values > MOST_VALUES:
            self.stop(event, f"more than {MOST_VALUES} values, the most that a checklist may have")
        if len(path) > MOST_DEPTH:
            self.stop(event, f"nested more than {MOST_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent):
            self.problem(
                event,
                (
                    "an alias (*name) is not allowed; write the value out, or quote text that "
                    "starts "
                    "with *"
                ),
            )
        elif event.anchor is not None:
            self.problem(
                event,
                (
                    "an anchor (&name) is not allowed; write the value out, or quote text that "
                    "starts with &"
                ),
            )
        if getattr(event, "tag", None) is not None:
            self.problem(
                event,
                (
                    "a tag (!name) is not allowed; write plain values, or quote text that starts "
                    "with !"
                ),
            )

    def mapping(self, path: KeyPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.key(event, path)
            inside = (*path, key)
            if key in mapping:
                self.problem(
                    event,
                    f"{path_text(inside)} is given twice (first on line {self.out.lines[inside]})",
                )
                inside = (*path, key, "(again)")
            self.out.lines.setdefault(inside, event.start_mark.line + 1)
            mapping[key] = self.value(next(self.events), inside)
        return mapping

    def key(self, event: Any, path: KeyPath) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self.stop(event, f"a key {_in(path)} is not plain text")
        self.check(event, path)
        if event.value == "<<" and not event.style:
            self.problem(event, f"merge key << {_in(path)} is not allowed; write the values out")
        if not event.value.strip() or CONTROL.search(event.value):
            self.problem(event, f"a key {_in(path)} is empty or holds control characters")
        return str(event.value)

    def sequence(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.value(event, (*path, len(items))))
        return items

    def scalar(self, event: Any, path: KeyPath) -> Any:
        if CONTROL.search(event.value):
            self.problem(event, f"{path_text(path)} holds a control character")
        value = _plain(event.value) if event.implicit[0] and not event.style else event.value
        if value is None and path:
            self.problem(event, f"{path_text(path)} is empty; write a value or leave the key out")
        return value


def _in(path: KeyPath) -> str:
    return f"in {path_text(path)}" if path else "at the top"


def _at(mark: Any, text: str) -> Problem:
    return Problem(mark.line + 1, f"column {mark.column + 1}: {text}")


def _not_yaml(error: yaml.MarkedYAMLError, text: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    reason = f"not valid YAML: {error.problem or error.context}"
    if mark is None:
        return Problem(1, reason)
    lines = text.split("\n")
    hint = _hint(str(error.problem), "".join(lines[mark.line : mark.line + 1]), mark.column)
    return _at(mark, reason + hint)


def _hint(problem: str, line: str, column: int) -> str:
    """What to change in a line that is no YAML, or empty."""
    sign = line[column : column + 1]
    if NO_BREAK in line:
        return "; the line holds no-break spaces (U+00A0), write plain ones"
    if "${" in line:
        return "; put ${NAME} in quotes"
    if sign == "\t":
        return "; indent with spaces, not with tabs"
    if sign and sign in RESERVED:
        return f"; put text that starts with {sign} in quotes"
    return next((f"; {hint}" for begin, hint in HINTS.items() if begin in problem), "")


def _decoded(data: bytes, document: Document) -> str | None:
    """The text of `data`, or None with the reason noted."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        document.problems.append(
            Problem(line, f"not UTF-8 (byte 0x{data[error.start]:02x}); save the file as UTF-8")
        )
        return None
    if text.startswith("\ufeff"):
        document.problems.append(
            Problem(1, "starts with a byte order mark; save the file as UTF-8 without BOM")
        )
        return None
    if match := CONTROL.search(text):
        line = text.count("\n", 0, match.start()) + 1
        document.problems.append(
            Problem(line, f"holds the control character U+{ord(match[0]):04X}; is it a text file?")
        )
        return None
    return text


def _plain(text: str) -> Any:
    """What unquoted text means: true, false, nothing, a number, or itself."""
    if text in WORDS:
        return WORDS[text]
    if INTEGER.fullmatch(text) and len(text) <= LONGEST_INTEGER:
        return int(text)
    return float(text) if NUMBER.fullmatch(text) else text
