"""InfluxQL: a SELECT over the time and the steps of a check."""

from __future__ import annotations

import re

from anomaly.imports.queries import Query
from anomaly.imports.texts import FILLER, STEP, masked, parts

WITHIN = "time >= $start AND time < $end"
FLUX = re.compile(r"\|>|\bfrom\s*\(\s*bucket\b")
NO_FLUX = "it is Flux, which version 3 of InfluxDB has dropped; write it in InfluxQL"
BY = re.compile(r"\bGROUP\s+BY\b", re.IGNORECASE)
AFTER_BY = re.compile(r"\bfill\s*\(|\b(?:ORDER\s+BY|S?LIMIT|S?OFFSET|tz\s*\()", re.IGNORECASE)
TIME = re.compile(r"\btime\s*\(\s*([^,()]+)", re.IGNORECASE)
NAME = re.compile(r"\w+")


def settings() -> dict[str, str]:
    """The settings of a source."""
    return {
        "type": "influxdb",
        "url": "${INFLUXDB_URL}",
        "database": "${INFLUXDB_DATABASE}",
        "token": "${INFLUXDB_TOKEN}",
    }


def query_of(text: str) -> Query | str:
    """How a KPI is asked for by this query, or why it can't be."""
    text = " ".join(text.split()).rstrip("; ")
    bare = masked(text)
    if FLUX.search(bare):
        return NO_FLUX
    if bare[:7].casefold() != "select " or ";" in bare:
        return "it is not a single SELECT"
    if WITHIN not in text:
        return "its time is not that of the screen ($timeFilter): write WHERE time >= $start AND …"
    match = BY.search(bare)
    groups = bare[match.end() :] if match else ""
    step = TIME.search(groups)
    if match is None or step is None:
        return "it has no steps: write GROUP BY time($step)"
    from_clause = re.search(r"\sFROM\s", bare, re.IGNORECASE)
    if from_clause and len([*parts(bare[7 : from_clause.start()])]) > 1:
        return "it selects several values; write a KPI for each"
    begin, end = match.end() + step.start(1), match.end() + step.end(1)
    return Query(f"{text[:begin]}{STEP}{text[end:]}", None, _tags(text, bare, match.end()))


def _tags(text: str, bare: str, begin: int) -> tuple[str, ...] | None:
    """What a query groups by beside the time; None where that is a pattern."""
    after = AFTER_BY.search(bare, begin)
    end = after.start() if after else len(bare)
    names = []
    for first, last in parts(bare[:end], begin):
        tag = bare[first:last].strip()
        if re.match(r"time\s*\(", tag, re.IGNORECASE):
            continue
        name = text[first:last].strip().removesuffix("::tag").strip()
        if FILLER not in tag and not NAME.fullmatch(name):
            return None
        names.append(name.strip('"'))
    return tuple(dict.fromkeys(names))
