"""Every public name of the package, read from its source: signature, fields, docstring."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import griffe

import anomaly
from docs.builder.markdown import cell

INTRODUCTION = """# Python names at a glance

Generated from the source: what `import anomaly` offers. [Python](../python.md) shows how to use it.
"""
KINDS = ("Functions", "Values", "Words", "Errors")
LONGEST_LINE = 80
CONSTANT = re.compile(r"[A-Z_]+")
EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


def page(root: Path) -> str:
    """The page about the package whose source lies in `root`."""
    package = griffe.load("anomaly", search_paths=[root])
    found = {
        name: _resolved(package, *anomaly.WHERE[name])
        for name in anomaly.__all__
        if name in anomaly.WHERE
    }
    parts = [INTRODUCTION]
    for kind in KINDS:
        parts.append(f"## {kind}\n")
        parts += [_section(name, each) for name, each in found.items() if _kind_of(each) == kind]
    return "\n".join(parts)


def _resolved(package: Any, module: str, name: str) -> Any:
    return package[f"{module.removeprefix('anomaly.')}.{name}"]


def _kind_of(found: Any) -> str:
    if found.is_function:
        return "Functions"
    bases = {str(base) for base in found.bases}
    if bases & {"StrEnum", "Enum"}:
        return "Words"
    return "Errors" if any(base.endswith(("Error", "Exception")) for base in bases) else "Values"


def _section(name: str, found: Any) -> str:
    parts = [f"### `{name}`\n"]
    if found.is_function:
        parts.append(f"```python\n{_signature(f'anomaly.{name}', found)}\n```\n")
    parts.append(f"{_said(found)}\n")
    if found.is_class:
        parts.append(_fields(found))
        parts += [
            f"`{_signature(method.name, method, bound=True)}`\n:   {_said(method)}\n"
            for method in _methods(found)
        ]
    return "\n".join(part for part in parts if part)


def _said(found: Any) -> str:
    """The docstring, its examples as blocks of code."""
    return (
        EXAMPLE.sub(r"\n```pycon\n\g<0>\n```\n", str(found.docstring.value).strip())
        if found.docstring
        else ""
    )


def _fields(found: Any) -> str:
    """What a value holds, or the words of an enum."""
    fields = [
        each
        for each in found.members.values()
        if each.is_attribute and "property" not in each.labels and each.name[0] != "_"
    ]
    if not fields:
        return ""
    if _kind_of(found) == "Words":
        rows = [f"| `{_plain(each.value)}` | `{found.name}.{each.name}` |\n" for each in fields]
        return f"| word | in Python |\n|---|---|\n{''.join(rows)}"
    rows = [
        f"| `{each.name}` | `{cell(str(each.annotation or ''))}` | {_default(each)} |\n"
        for each in fields
        if each.annotation
    ]
    return f"| field | type | default |\n|---|---|---|\n{''.join(rows)}" if rows else ""


def _plain(value: Any) -> str:
    return str(value).strip("'\"")


def _default(field: Any) -> str:
    return "" if field.value is None else f"`{cell(str(field.value))}`"


def _methods(found: Any) -> Iterator[Any]:
    for each in found.members.values():
        public = not each.name.startswith("_") or each.name == "__getitem__"
        if public and (each.is_function or "property" in each.labels) and each.docstring:
            yield each


def _signature(name: str, found: Any, *, bound: bool = False) -> str:
    """The call as it is written; one parameter a line where it would be long."""
    if "property" in found.labels:
        return f"{name} -> {found.annotation}"
    parameters = [
        _parameter(each, found.module.path)
        for each in found.parameters
        if not (bound and each.name == "self")
    ]
    keywords = [each for each in found.parameters if each.kind is griffe.ParameterKind.keyword_only]
    if keywords:
        parameters.insert(len(parameters) - len(keywords), "*")
    returns = f" -> {found.returns}" if found.returns else ""
    line = f"{name}({', '.join(parameters)}){returns}"
    return (
        line
        if len(line) <= LONGEST_LINE or bound
        else f"{name}(\n    " + ",\n    ".join(parameters) + f",\n){returns}"
    )


def _parameter(each: Any, module: str) -> str:
    stars = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(
        each.kind, ""
    )
    kind = f": {each.annotation}" if each.annotation else ""
    value = str(each.default)
    value = (
        str(getattr(import_module(module), value)) if CONSTANT.fullmatch(value) else value
    )  # a constant says nothing to its reader
    default = f" = {value}" if each.default is not None and not stars else ""
    return f"{stars}{each.name}{kind}{default}"
