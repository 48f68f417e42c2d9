"""MetricDataQueries of CloudWatch: each gets the step of the checklist as its period."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from anomaly.imports.queries import Query

COUNTS = frozenset({"Sum", "SampleCount"})
RATIO = re.compile(r"\s*(\w+)\s*/\s*(\w+)\s*")
SEARCHED = re.compile(r"(\bSEARCH\((?:'[^']*'|[^'()])*,\s*)\d+(\s*\))")
REGION = re.compile(r"[a-z]{2,}(-[a-z0-9]+)+")
STEP = "$step"
FORM = "its query is no JSON list of MetricDataQueries with an Id each"


def settings(region: str = "") -> dict[str, str]:
    """The settings of a source."""
    return {
        "type": "cloudwatch",
        "region": region if REGION.fullmatch(region) else "${AWS_REGION}",
    }


def query_of(text: str) -> Query | str:
    """How a KPI is asked for by a list in JSON, or why it can't be. The ratio of two counts becomes
    that of the counts of each step."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return FORM
    queries = [_named(each) for each in content] if isinstance(content, list) else []
    by_id = {each["Id"]: each for each in queries if isinstance(each.get("Id"), str)}
    if not queries or len(by_id) != len(queries):
        return FORM
    returned = [each for each in queries if each.get("ReturnData") is not False]
    if len(returned) != 1:
        return f"{len(returned)} of its queries return data; a KPI is one: set ReturnData of others"
    match = RATIO.fullmatch(str(returned[0].get("Expression", "")))
    sides = [by_id.get(each) for each in match.groups()] if match else []
    counts = [each for each in sides if each is not None and _is_count(each)]
    if len(counts) == 2:  # noqa: PLR2004  the two of a ratio
        above = _text([{**counts[0], "ReturnData": True}])
        below = _text([{**counts[1], "ReturnData": True}])
        return Query(above, below, ())
    return Query(_text(queries), None, ())


def _is_count(query: Mapping[str, Any]) -> bool:
    measured = query.get("MetricStat")
    return isinstance(measured, Mapping) and str(measured.get("Stat")) in COUNTS


def _named(data: Any) -> dict[str, Any]:
    """A query with the names of keys as the API has them (`metricStat` is MetricStat), and with the
    step as every period."""
    if not isinstance(data, Mapping):
        return {}
    out: dict[str, Any] = {}
    for key, value in data.items():
        name = f"{key[:1].upper()}{key[1:]}"
        if name == "Period":
            out[name] = STEP
        elif name == "Expression":
            out[name] = SEARCHED.sub(rf"\g<1>{STEP}\g<2>", str(value))
        elif isinstance(value, list):
            out[name] = [_named(each) for each in value]
        else:
            out[name] = _named(value) if isinstance(value, Mapping) else value
    return out


def _text(queries: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(queries, ensure_ascii=False).replace(f'"{STEP}"', STEP)
