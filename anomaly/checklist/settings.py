"""What a plug-in can be set to: the keyword-only arguments of its `__init__`, by their annotations.
Settings that several plug-ins share are a TypedDict, taken as `**settings: Unpack[…]`.

An annotation is text, number, duration (`timedelta`), path, enum or `Literal`, mapping of text to
text, tuple of text, or a union of these. Arguments that the class names in `outside` (a clock, a
stream, …) are not settings.
"""

from __future__ import annotations

import inspect
import math
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from anomaly.errors import UsageError
from anomaly.timing.durations import DURATION_PATTERN, duration_text, parse_duration
from anomaly.wording import did_you_mean

STANDARD_INPUT = Path("-")


@dataclass(frozen=True, slots=True)
class Setting:
    """A key that a plug-in knows; `annotation` is a type."""

    name: str
    annotation: Any
    default: Any = inspect.Parameter.empty

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty


class SettingError(ValueError):
    """A value is not what the setting takes; the text goes on after `is 'value'`: `it must be a
    number`."""


@cache  # every check of a checklist asks again
def settings_of(plugin: type) -> Mapping[str, Setting]:
    """The settings of a plug-in class by name: shared ones first, then as in its signature."""
    outside = outside_of(plugin)
    parameters = [
        each
        for each in inspect.signature(plugin).parameters.values()
        if each.kind in (each.KEYWORD_ONLY, each.VAR_KEYWORD) and each.name not in outside
    ]
    annotations = types.SimpleNamespace(
        __annotations__={each.name: each.annotation for each in parameters}
    )
    hints = typing.get_type_hints(annotations, vars(sys.modules[plugin.__module__]))
    shared: dict[str, Setting] = {}
    own: dict[str, Setting] = {}
    for each in parameters:
        if each.kind is each.VAR_KEYWORD:
            shared |= _unpacked(hints.get(each.name))
        else:
            own[each.name] = Setting(each.name, hints[each.name], each.default)
    return types.MappingProxyType(shared | own)


def _unpacked(annotation: Any) -> dict[str, Setting]:
    """The settings of `**settings: Unpack[…]` with a TypedDict; those not required are None."""
    if typing.get_origin(annotation) is not typing.Unpack:
        return {}
    (mapping,) = typing.get_args(annotation)
    return {
        name: Setting(name, hint, *(() if name in mapping.__required_keys__ else (None,)))
        for name, hint in typing.get_type_hints(mapping).items()
    }


def outside_of(plugin: type) -> frozenset[str]:
    """The arguments of a plug-in class that come from the outside world, not from the checklist."""
    return frozenset(getattr(plugin, "outside", ()))


def coerce(value: Any, annotation: Any, folder: Path) -> Any:
    """`value` (from YAML) as `annotation`; paths are relative to `folder`. Raises SettingError."""
    options = _options(annotation)
    if len(options) > 1:
        return _first_that_takes(value, options, folder)
    kind = options[0]
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return one_of(value, [str(word) for word in typing.get_args(kind)])
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(one_of(value, [str(member.value) for member in kind]))
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(value)
    if origin is not None and issubclass(origin, Sequence):
        return _texts(value)
    convert = SCALARS.get(kind)
    return value if convert is None else convert(value, folder)


def schema(setting: Setting) -> dict[str, Any]:
    """The JSON Schema of a setting, default included where JSON can say it."""
    options = [_schema(option) for option in _options(setting.annotation)]
    out = options[0] if len(options) == 1 else {"anyOf": options}
    default = (
        duration_text(setting.default)
        if isinstance(setting.default, timedelta)
        else setting.default
    )
    if isinstance(default, str | int | float):
        out = {**out, "default": default}
    return out


def one_of(value: Any, words: Sequence[str]) -> str:
    """`value` if it is one of `words`; raises SettingError with the list and the nearest word."""
    if isinstance(value, str) and value in words:
        return value
    raise SettingError(f"use one of {', '.join(words)}{did_you_mean(value, words)}")


def number(value: Any) -> float:
    """A finite number; raises SettingError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SettingError("it must be a number")
    return value


def _options(annotation: Any) -> list[Any]:
    """The members of a union without None; a path comes before plain text, so that it is taken from
    the right folder."""
    members = (
        typing.get_args(annotation)
        if typing.get_origin(annotation) in (typing.Union, types.UnionType)
        else (annotation,)
    )
    return sorted(
        (member for member in members if member is not type(None)),
        key=lambda member: member is not Path,
    )


def _first_that_takes(value: Any, options: Sequence[Any], folder: Path) -> Any:
    reasons = []
    for option in options:
        try:
            return coerce(value, option, folder)
        except SettingError as error:
            reasons.append(str(error))
    raise SettingError(" or ".join(dict.fromkeys(reasons)))


def _whole(value: Any, _: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SettingError("it must be a whole number")
    return value


def _number(value: Any, _: Path) -> float:
    return float(number(value))


def _truth(value: Any, _: Path) -> bool:
    if not isinstance(value, bool):
        raise SettingError("use one of true, false")
    return value


def _text(value: Any, _: Path) -> str:
    if not isinstance(value, str):
        raise SettingError("it must be text; put it in quotes")
    return value


def _duration(value: Any, _: Path) -> timedelta:
    try:
        return parse_duration(value if isinstance(value, str) else "")
    except UsageError:
        raise SettingError("it must be a duration like 30s, 5m or 1h30m") from None


def _path(value: Any, folder: Path) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise SettingError("it must be a path")
    path = Path(value)
    return path if path == STANDARD_INPUT else folder / path


def _mapping(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value.values()):
        raise SettingError("it must be a mapping of names to text; put numbers in quotes")
    return dict(value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise SettingError("it must be a list of texts, like [a, b]")
    return tuple(value)


SCALARS: dict[Any, Callable[[Any, Path], Any]] = {
    bool: _truth,
    int: _whole,
    float: _number,
    str: _text,
    timedelta: _duration,
    Path: _path,
}
SCALAR_SCHEMAS: dict[Any, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    timedelta: {"type": "string", "pattern": f"^{DURATION_PATTERN}$"},
    Path: {"type": "string"},
}


def _schema(kind: Any) -> dict[str, Any]:
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return {"enum": [str(word) for word in typing.get_args(kind)]}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [str(member.value) for member in kind]}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": {"type": "string"}}
    if origin is not None and issubclass(origin, Sequence):
        return {"type": "array", "items": {"type": "string"}}
    return dict(SCALAR_SCHEMAS.get(kind, {}))
