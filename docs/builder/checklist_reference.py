"""Every key of a checklist, as the JSON Schema that editors use knows it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from anomaly.checklist.form import json_schema
from docs.builder.markdown import cell

Schema = Mapping[str, Any]
INTRODUCTION = """# Checklist keys at a glance

Generated from the [JSON Schema](../checklist.schema.json) that a checklist is checked against.
[The checklist](../checklist.md) has examples and says what each key is for.
"""
DURATION = "^(?=[0-9])"  # how the pattern of a duration begins
PAGES = {
    "SourceForm": "../collectors.md#{}",
    "SinkForm": "../sinks/{}.md",
    "ReleasesForm": "../releases.md#{}",
}  # what settings mean
PERCENTAGE = ") ?%$"  # and how that of a percentage ends


def page() -> str:
    schema = json_schema()
    parts = [INTRODUCTION, _table("The file", schema, schema)]
    waiting, seen = list(_forms(schema, schema)), set[str]()
    while waiting:
        path, name = waiting.pop(0)
        form = schema["$defs"][name]
        if name in seen:
            continue
        seen.add(name)
        by_type = form.get("allOf", ())
        parts.append(_table(f"`{path}`", form, schema, form.get("description", "")))
        for each in by_type:
            kind = each["if"]["properties"]["type"]["const"]
            parts.append(
                _table(
                    f"`{path}` of type `{kind}`",
                    each["then"],
                    schema,
                    f"[What they mean]({PAGES[name].format(kind)}).",
                )
            )
        waiting += [(f"{path}.{key}", below) for key, below in _forms(form, schema)]
    return "\n".join(parts)


def _forms(form: Schema, schema: Schema) -> Iterator[tuple[str, str]]:
    """The keys of a form that hold a form of their own, and its name."""
    for key, value in form.get("properties", {}).items():
        if not isinstance(value, dict):
            continue
        for held, mark in (
            (value, ""),
            (value.get("items", {}), "[]"),
            (value.get("additionalProperties", {}), ".NAME"),
        ):
            name = held.get("$ref", "").rpartition("/")[2] if isinstance(held, dict) else ""
            if name and "properties" in schema["$defs"][name]:
                yield f"{key}{mark}", name


def _table(title: str, form: Schema, schema: Schema, said: str = "") -> str:
    required = form.get("required", ())
    keys = {
        key: value for key, value in form.get("properties", {}).items() if isinstance(value, dict)
    }
    meaning = any("description" in value for value in keys.values())
    columns = ["key", "holds", "default", *(["meaning"] if meaning else [])]
    rows = []
    for key, value in keys.items():
        cells = [
            f"`{key}`",
            _kind(value, schema),
            _default(key, value, required),
            *([_meaning(value, schema)] if meaning else []),
        ]
        rows.append(f"| {' | '.join(cells)} |\n")
    head = f"## {title}\n\n" + (f"{said}\n\n" if said and rows else "")
    return head + (
        f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n{''.join(rows)}"
        if rows
        else "No settings.\n"
    )


def _meaning(value: Schema, schema: Schema) -> str:
    """What a key says, or the form that it holds."""
    named = schema["$defs"].get(value.get("$ref", "").rpartition("/")[2], {})
    return cell(value.get("description") or named.get("description", ""))


def _default(key: str, value: Schema, required: Any) -> str:
    if key in required:
        return "required"
    default = value.get("default")
    if default in (None, []) or isinstance(default, dict):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _kind(value: Schema, schema: Schema) -> str:
    """What a key may hold, in words."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        target = schema["$defs"][name]
        return _words(target["enum"]) if "enum" in target else "a mapping"
    if "enum" in value:
        return _words(value["enum"])
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_kind(each, schema) for each in value["anyOf"]))
    return _of_type(value, schema)


def _of_type(value: Schema, schema: Schema) -> str:
    match value.get("type"):
        case "string":
            return _text(value)
        case "array":
            return f"a list of: {_kind(value.get('items', {}), schema)}"
        case "object":
            return "a mapping"
        case "number" | "integer":
            return _number(value)
        case "boolean":
            return "`true` or `false`"
        case _:
            return "anything"


def _words(words: Any) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _text(value: Schema) -> str:
    pattern = value.get("pattern", "")
    if pattern.startswith(DURATION):
        return "a duration"
    if pattern.endswith(PERCENTAGE):
        return "a percentage"
    return {"date": "a date", "date-time": "a time with a zone"}.get(
        value.get("format", ""), "text"
    )


def _number(value: Schema) -> str:
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "over",
        "maximum": "at most",
        "exclusiveMaximum": "under",
    }
    bounds = [f"{word} {value[key]:g}" for key, word in words.items() if key in value]
    return " ".join(
        ["a whole number" if value["type"] == "integer" else "a number", " and ".join(bounds)]
    ).strip()
