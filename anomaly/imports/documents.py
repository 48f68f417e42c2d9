"""The documents of a file of another tool: JSON, or YAML with any number of documents.

Unlike a checklist such a file may have empty values and anchors. What could cost much is bounded:
size, depth, number of values. An alias is the value itself, not a copy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from anomaly.checklist.strict_yaml import LOADER, NUMBER, WORDS, KeyPath, path_text
from anomaly.errors import UsageError
from anomaly.wording import plain

MOST_BYTES = 8 << 20  # a dashboard of a hundred panels has less than one
MOST_DEPTH = 64
MOST_VALUES = 500_000
LONGEST_TEXT, LONGEST_PLACE = 20_000, 200  # characters


@dataclass(frozen=True, slots=True)
class Part:
    """A value of a document, and where it stands: the name of the file, the keys that lead there,
    and the lines of all keys (JSON has none)."""

    file: str
    data: Any
    path: KeyPath = ()
    lines: Mapping[KeyPath, int] = field(default_factory=dict, repr=False)

    @property
    def where(self) -> str:
        """`rules.yaml:12: groups[0].rules[3]`."""
        line = self.lines.get(self.path)
        file = self.file if line is None else f"{self.file}:{line}"
        keys = path_text(self.path)
        return plain(f"{file}: {keys}" if keys else file, LONGEST_PLACE)

    def at(self, *keys: str) -> Part:
        """The value under these keys; None as data where there is none."""
        data = self.data
        for key in keys:
            data = data.get(key) if isinstance(data, Mapping) else None
        return Part(self.file, data, (*self.path, *keys), self.lines)

    def each(self, *keys: str) -> Iterator[Part]:
        """The entries of the list under these keys that are mappings."""
        under = self.at(*keys)
        for index, data in enumerate(under.data if isinstance(under.data, list) else ()):
            if isinstance(data, Mapping):
                yield Part(self.file, data, (*under.path, index), self.lines)

    def text(self, *keys: str) -> str:
        """The text or number under these keys; empty where there is none. Raises UsageError for
        one that is too long."""
        data = self.at(*keys).data
        if isinstance(data, bool):
            return str(data).lower()
        if isinstance(data, str) and len(data) > LONGEST_TEXT:
            where = self.at(*keys).where
            raise UsageError(f"{where} has more than {LONGEST_TEXT:,} characters; shorten it")
        return str(data).strip() if isinstance(data, str | int | float) else ""

    def mapping(self, *keys: str) -> Mapping[str, Any]:
        """The mapping under these keys; empty where there is none."""
        data = self.at(*keys).data
        return data if isinstance(data, Mapping) else {}


def read(path: Path) -> list[Part]:
    """The documents of a file. Raises UsageError with the file, and where it can the line, if it
    can't be read, is too large or is neither JSON nor YAML."""
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is not a regular file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} can't be read: {reason}") from None
    if len(data) > MOST_BYTES:
        raise UsageError(f"{path} is larger than {MOST_BYTES >> 20} MiB; split it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from None
    if text.lstrip()[:1] in {"{", "["} and path.suffix.casefold() not in {".yaml", ".yml"}:
        return [_of_json(path, text)]
    return list(_of_yaml(path, text))


def _of_json(path: Path, text: str) -> Part:
    deepest = _depth(text)
    if deepest > MOST_DEPTH:
        raise UsageError(f"{path} is nested more than {MOST_DEPTH} levels deep")
    try:
        return Part(str(path), json.loads(text))
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{path}:{error.lineno}: not valid JSON: column {error.colno}: {error.msg}"
        ) from None
    except ValueError as error:  # a number with more digits than Python reads
        raise UsageError(f"{path}: not valid JSON: {plain(str(error), 100)}") from None


def _depth(text: str) -> int:
    """How deep brackets nest, strings left out."""
    depth = deepest = 0
    for bracket in re.finditer(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', text, re.DOTALL):
        if bracket[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif bracket[0] in "]}":
            depth -= 1
    return deepest


def _of_yaml(path: Path, text: str) -> Iterator[Part]:
    try:
        events = yaml.parse(text, Loader=LOADER)
        budget = _Budget(path)
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                composer = _Composer(events, budget)
                data = composer.value(next(events), ())
                yield Part(str(path), data, (), composer.lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise UsageError(
            f"{path}{line}: not valid YAML: {plain(str(error.problem or error.context), 200)}"
        ) from None
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: not valid YAML: {plain(str(error), 200)}") from None


@dataclass(slots=True)
class _Budget:
    """How many values may still be read of a file."""

    path: Path
    left: int = MOST_VALUES

    def take(self, event: Any, depth: int, values: int = 1) -> None:
        self.left -= values
        where = f"{self.path}:{_line(event)}"
        if self.left < 0:
            raise UsageError(f"{where}: more than {MOST_VALUES:,} values; split the file")
        if depth > MOST_DEPTH:
            raise UsageError(f"{where}: nested more than {MOST_DEPTH} levels deep")


class _Composer:
    """Builds plain data from YAML events, and keeps the line of every key."""

    def __init__(self, events: Iterator[Any], budget: _Budget) -> None:
        self.events = events
        self.budget = budget
        self.lines: dict[KeyPath, int] = {}
        self.anchors: dict[str | None, tuple[Any, int]] = {}  # each value, and how many are in it

    def value(self, event: Any, path: KeyPath) -> Any:
        self.budget.take(event, len(path))
        self.lines.setdefault(path, _line(event))
        if isinstance(event, yaml.AliasEvent):
            value, size = self.anchors.get(
                event.anchor, (None, 0)
            )  # there is none inside of itself
            self.budget.take(event, len(path), size)
            return value
        before = self.budget.left
        value = self.of(event, path)
        if event.anchor is not None:
            self.anchors[event.anchor] = value, before - self.budget.left
        return value

    def of(self, event: Any, path: KeyPath) -> Any:
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(inside := next(self.events), yaml.SequenceEndEvent):
                items.append(self.value(inside, (*path, len(items))))
            return items
        return _scalar(event)

    def mapping(self, path: KeyPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise UsageError(f"{self.budget.path}:{_line(event)}: a key is not plain text")
            self.lines.setdefault((*path, event.value), _line(event))
            value = self.value(next(self.events), (*path, event.value))
            if event.value == "<<" and isinstance(value, Mapping):
                mapping = {**value, **mapping}
            else:
                mapping[event.value] = value
        return mapping


def _scalar(event: Any) -> Any:
    """What a scalar means: numbers, true, false and nothing where it is not quoted, else text."""
    text = event.value
    if not event.implicit[0] or event.style:
        return text
    if text in WORDS:
        return WORDS[text]
    return float(text) if NUMBER.fullmatch(text) and "." in text else text


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
