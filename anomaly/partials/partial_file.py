"""Partials in a file, to be put together elsewhere.

A NumPy archive (`.npz`): arrays as they are, and under FORM what stands around them as JSON.
Nothing in it is run when it is read: values are numbers, texts, times, and the frozen classes and
enums of this package by their names.
"""

from __future__ import annotations

import dataclasses
import io
import json
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from anomaly.contracts import Collected  # noqa: F401  its module holds classes that are named here
from anomaly.errors import CollectError, UsageError
from anomaly.model import Release
from anomaly.partials.partial import Partial
from anomaly.replacement import replace_file
from anomaly.timing.spans import Plan
from anomaly.wording import plain, stamp

SCHEMA = 2
FORM = "form"
PLAIN = (bool, int, float, str)
VALUES = (  # modules whose classes may be named
    "anomaly.baseline.",
    "anomaly.contracts",
    "anomaly.decision.",
    "anomaly.model",
    "anomaly.panel",
    "anomaly.partials.",
    "anomaly.scoring.",
    "anomaly.timing.spans",
)
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Part:
    """The partials of every `number`-th of the shards, of `count` such parts, by the places of the
    shards; and what they are about. Parts of one whole agree in all but `number` and `now`."""

    number: int
    count: int
    version: str
    digest: str
    only: tuple[str, ...]
    release: Release
    spans: Plan
    now: datetime
    partials: tuple[tuple[int, Partial], ...]


def save(part: Part, path: Path) -> None:
    """Writes `path`, all of it or nothing; raises UsageError when it can't be written."""
    form = _Form()
    tree = form.node(part)
    content = {"schema": SCHEMA, "version": part.version, "part": tree, "objects": form.objects}
    text = json.dumps(content, separators=(",", ":")).encode()
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **{FORM: np.frombuffer(text, np.uint8)}, **form.arrays)
    try:
        replace_file(path, out.getvalue())
    except OSError as error:
        raise UsageError(f"{path}: can't be written: {error.strerror or error}") from error


def load(path: Path, version: str) -> Part:
    """What `save` wrote; raises UsageError when the file can't be read, is damaged, or was written
    by another version than this one."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            content = json.loads(archive[FORM].tobytes())
            if content["schema"] != SCHEMA or content["version"] != version:
                raise UsageError(
                    f"{path}: was written by anomaly {plain(str(content['version']), 40)}, this is "
                    f"{version}; make all parts with one version"
                )
            part = _Reader(content["objects"], archive).value(content["part"])
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror or error}") from error
    except DAMAGE as error:
        raise UsageError(
            f"{path}: is no part written by --partial, or damaged "
            f"({plain(str(error), 80)}); write it anew"
        ) from error
    if not isinstance(part, Part):
        raise UsageError(f"{path}: is no part written by --partial; write it anew")
    return part


def together(parts: Sequence[tuple[Path, Part]], digest: str) -> list[Partial]:
    """The partials of all shards, in their order. Raises UsageError where parts are missing, twice
    there, or about something else than the others or the checklist."""
    path, first = parts[0]
    for other, part in parts:
        if part.digest != digest:
            raise UsageError(
                f"{other}: was made with another checklist; make it anew with this one"
            )
        for what, mine, expected in _identity(part, first):
            if mine != expected:
                raise UsageError(
                    f"{other}: was made for {what} {mine}, {path} for {expected}; give every part "
                    "the same options, and times that do not move"
                )
    by_number: dict[int, Path] = {}
    for other, part in parts:
        if part.number in by_number:
            raise UsageError(
                f"{other}: is part {part.number}/{part.count}, as is {by_number[part.number]}"
            )
        by_number[part.number] = other
    if missing := [n for n in range(1, first.count + 1) if n not in by_number]:
        names = ", ".join(f"{number}/{first.count}" for number in missing)
        raise UsageError(f"missing: the parts {names}; a decision needs every part")
    ordered = sorted(
        ((place, partial) for _, part in parts for place, partial in part.partials),
        key=lambda each: each[0],
    )
    return [partial for _, partial in ordered]


def _identity(part: Part, first: Part) -> list[tuple[str, object, object]]:
    """In what the parts of one whole agree."""

    def told(each: Part) -> list[tuple[str, object]]:
        return [
            ("parts", each.count),
            ("the KPIs", ", ".join(each.only) or "of the checklist"),
            ("the service", each.release.service),
            ("the version", each.release.version),
            ("the environment", each.release.environment),
            ("a release at", stamp(each.release.started_at)),
            ("data up to", stamp(each.spans.horizon)),
            ("the release", each.release),
            ("the spans", each.spans),
        ]

    return [
        (what, mine, expected)
        for (what, mine), (_, expected) in zip(told(part), told(first), strict=True)
    ]


class _Form:
    """Values as JSON, beside their arrays and objects. An object that several hold is there once,
    for what it is the same."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self.objects: list[dict[str, Any]] = []
        self._places: dict[int, tuple[int, object]] = {}

    def node(self, value: Any) -> Any:
        """The JSON of a value."""
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or (type(value) in PLAIN):
            return value
        for kind, name, form in self._kinds:
            if isinstance(value, kind):
                return {name: form(self, value)}
        if not dataclasses.is_dataclass(value):
            raise TypeError(f"{type(value).__name__} has no form")
        return {"object": self._object(value)}

    def _array(self, values: np.ndarray) -> str:
        name = f"a{len(self.arrays)}"
        self.arrays[name] = values
        return name

    def _object(self, value: Any) -> int:
        if id(value) not in self._places:
            fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
            form = {name: self.node(each) for name, each in fields.items()}
            self.objects.append({"class": _name(type(value)), "fields": form})
            self._places[id(value)] = len(self.objects) - 1, value
        return self._places[id(value)][0]

    # the first that fits counts: an enum of texts is a text, too
    _kinds: ClassVar[tuple[tuple[type, str, Callable[[_Form, Any], Any]], ...]] = (
        (Enum, "enum", lambda _, value: [_name(type(value)), value.value]),
        (str, "text", lambda _, value: str(value)),
        (tuple, "tuple", lambda self, value: [*map(self.node, value)]),
        (list, "list", lambda self, value: [*map(self.node, value)]),
        (
            Mapping,
            "map",
            lambda self, value: [[self.node(key), self.node(each)] for key, each in value.items()],
        ),
        (timedelta, "length", lambda _, value: [value.days, value.seconds, value.microseconds]),
        (datetime, "moment", lambda _, value: value.isoformat()),
        (CollectError, "error", lambda _, value: str(value)),
        (np.ndarray, "array", lambda self, value: self._array(value)),
        (pd.DatetimeIndex, "index", lambda self, value: self._array(value.as_unit("ns").asi8)),
    )


class _Reader:
    """Values from their form."""

    def __init__(self, objects: Sequence[dict[str, Any]], archive: Any) -> None:
        self._archive = archive
        self._objects: list[Any] = []
        for each in objects:  # what an object holds comes before it
            kind = _class(each["class"])
            if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
                raise TypeError(f"{each['class']} is no class of values")
            fields = {name: self.value(node) for name, node in each["fields"].items()}
            make: Callable[..., Any] = kind
            self._objects.append(make(**fields))

    def value(self, node: Any) -> Any:
        """The value of a node."""
        if not isinstance(node, dict):
            return node
        ((kind, inside),) = node.items()
        return self._kinds[kind](self, inside)

    def _enum(self, inside: Any) -> Any:
        kind = _class(inside[0])
        if not issubclass(kind, Enum):
            raise TypeError(f"{inside[0]} is no enum")
        return kind(inside[1])

    def _index(self, inside: Any) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(pd.to_datetime(self._archive[inside], utc=True), name="time")

    _kinds: ClassVar[Mapping[str, Callable[[_Reader, Any], Any]]] = {
        "enum": _enum,
        "text": lambda _, inside: str(inside),
        "tuple": lambda self, inside: tuple(map(self.value, inside)),
        "list": lambda self, inside: [*map(self.value, inside)],
        "map": lambda self, inside: {self.value(key): self.value(each) for key, each in inside},
        "length": lambda _, inside: timedelta(inside[0], inside[1], inside[2]),
        "moment": lambda _, inside: datetime.fromisoformat(inside),
        "error": lambda _, inside: CollectError(inside),
        "array": lambda self, inside: self._archive[inside],
        "index": _index,
        "object": lambda self, inside: self._objects[inside],
    }


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _class(name: str) -> Any:
    """The class of this name, if it is one of those that partials are made of."""
    module, _, inside = name.partition(":")
    if not module.startswith(VALUES) or "." in inside:
        raise TypeError(f"{name} is no class of values")
    kind = getattr(sys.modules[module], inside)
    if not isinstance(kind, type) or kind.__module__ != module:
        raise TypeError(f"{name} is no class")
    return kind
