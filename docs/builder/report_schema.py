"""The JSON Schema of a report, made of the tables in `docs/json.md`, which the tests hold to what a
report writes."""

from __future__ import annotations

import json
import re
from typing import Any

from docs.builder.errors import SiteError

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ROW = re.compile(
    r"^\| `(?P<path>[a-z_.\[\]]+)` \| (?P<kind>[^|]+) \| (?P<said>[^|]*) \|$", re.MULTILINE
)
WORDS: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "time": {"type": "string", "format": "date-time"},
    "list": {"type": "array"},
    "list of text": {"type": "array", "items": {"type": "string"}},
    "list of number": {"type": "array", "items": {"type": "number"}},
    "mapping": {"type": "object"},
    "object": {"type": "object"},
    "two numbers": {
        "type": "array",
        "items": {"type": ["number", "null"]},
        "minItems": 2,
        "maxItems": 2,
    },
    "two times": {
        "type": "array",
        "items": {"type": "string", "format": "date-time"},
        "minItems": 2,
        "maxItems": 2,
    },
}
ALONE = frozenset({"key", "deliveries"})  # what only some reports have
LAST = "## Lines"  # the heading after the tables of a report


def schema(document: str) -> dict[str, Any]:
    """The schema of the report that the page `document` describes. Raises SiteError for words of
    its tables that are not known."""
    whole: dict[str, Any] = {
        "$schema": DIALECT,
        "title": "anomaly report",
        "type": "object",
        "properties": {},
        "required": [],
    }
    for row in ROW.finditer(document.partition(LAST)[0]):
        steps = re.findall(r"[a-z_]+|\[\]", row["path"])
        place = whole
        for step in steps[:-1]:
            place = _inside(place, step)
        _put(
            place,
            steps[-1],
            {
                **_kind(row["kind"], row["path"]),
                **({"description": row["said"]} if row["said"] else {}),
            },
        )
    return whole


def _inside(place: dict[str, Any], step: str) -> dict[str, Any]:
    """The schema of what `step` leads to; an object on the way needs no row of its own."""
    if step == "[]":
        below: dict[str, Any] = place.setdefault(
            "items", {"type": "object", "properties": {}, "required": []}
        )
        return below
    properties = place.setdefault("properties", {})
    if step not in properties:
        _put(place, step, {"type": "object"})
    found: dict[str, Any] = properties[step]
    return found


def _put(place: dict[str, Any], key: str, value: dict[str, Any]) -> None:
    place.setdefault("properties", {})[key] = value
    if key not in ALONE:
        place.setdefault("required", []).append(key)


def _kind(words: str, path: str) -> dict[str, Any]:
    bare, _, null = words.strip().partition(" or ")
    if bare not in WORDS or null not in ("", "null"):
        raise SiteError(
            f"docs/json.md: {path} is {words!r}; use one of {', '.join(WORDS)}, with ' or null' "
            "where it may be unknown"
        )
    kind = dict(WORDS[bare])
    return {**kind, "type": [kind["type"], "null"]} if null else kind


def page(document: str) -> str:
    """The schema to read, and to take along."""
    text = json.dumps(schema(document), indent=2, ensure_ascii=False)
    return (
        "# JSON Schema of the report\n\nFor programs that read [the report as JSON](../json.md), "
        "which says what each key means: "
        f"[report.schema.json](report.schema.json).\n\n```json\n{text}\n```\n"
    )
