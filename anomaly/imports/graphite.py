"""Targets of Graphite: their values get the step of the checklist."""

from __future__ import annotations

import re

from anomaly.imports.queries import Query
from anomaly.imports.texts import QUOTED, STEP, address_or, masked, parts

CALL = re.compile(r"([A-Za-z]\w*)\(")
STEPPED = re.compile(r"\b(?:summarize|smartSummarize|hitcount)\(")
ONE = frozenset(  # functions whose answer is one series
    f"{each}Series"
    for each in ("sum", "average", "avg", "min", "max", "diff", "multiply", "median", "count")
) | {"sum", "avg", "stddevSeries", "rangeOfSeries", "percentileOfSeries", "constantLine"}
MANY = frozenset({"groupByNode", "groupByNodes", "groupByTags", "seriesByTag", "group", "map"})
AVERAGED = (
    "its values are averaged over each step, for the target does not say how they add up; counts "
    'need "sum" in place of "avg"'
)


def settings(address: str = "") -> dict[str, str]:
    """The settings of a source."""
    return {"type": "graphite", "url": address_or(address, "GRAPHITE_URL")}


def query_of(text: str) -> Query | str:
    """How a KPI is asked for by this target, or why it can't be. What is summed up over some
    interval is summed up over the step."""
    text = _compact(text.strip().removeprefix("target="))
    bare = masked(text)
    if "&" in bare or "target=" in bare:
        return "it has several targets, or parameters beside one; write a KPI for each"
    if "#" in bare:
        return "it refers to another query of the panel; write that in its place"
    if not bare or bare.count("(") != bare.count(")"):
        return "its target can't be read"
    by = None if _is_many(bare) else ()
    if not STEPPED.search(bare):
        return Query(f'summarize({text},"{STEP}","avg")', None, by, AVERAGED)
    while match := next((each for each in STEPPED.finditer(bare) if _interval(text, each)), None):
        first, last = _interval(text, match) or (0, 0)
        text = f'{text[:first]}"{STEP}"{text[last:]}'
        bare = masked(text)
    return Query(text, None, by)


def _compact(text: str) -> str:
    """The text without space outside of quotes."""
    quoted = [match[0] for match in QUOTED.finditer(text)]
    out = "".join(QUOTED.sub("\0", text).split())
    for each in quoted:
        out = out.replace("\0", each, 1)
    return out


def _interval(text: str, call: re.Match[str]) -> tuple[int, int] | None:
    """Where the interval of a call stands that is not the step yet."""
    arguments = [*parts(masked(text), call.end())]
    if len(arguments) < 2 or text[slice(*arguments[1])] == f'"{STEP}"':  # noqa: PLR2004  the second
        return None
    return arguments[1]


def _is_many(bare: str) -> bool:
    """Whether a target may have several series: functions that keep each are looked into."""
    while call := CALL.match(bare):
        if call[1] in ONE:
            return False
        if call[1] in MANY:
            return True
        first, last = next(parts(bare, call.end()))
        bare = bare[first:last]
    return re.search(r"[*?{\[]", bare) is not None or not bare
