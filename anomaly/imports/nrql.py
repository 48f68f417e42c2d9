"""NRQL of New Relic, without the time and the steps, which follow from the checklist."""

from __future__ import annotations

import re

from anomaly.imports.queries import Query
from anomaly.imports.texts import FILLER, masked, parts

CLAUSES = r"FROM|SELECT|WHERE|FACET|SINCE|UNTIL|TIMESERIES|LIMIT|COMPARE\s+WITH|WITH|ORDER\s+BY"
OWN = re.compile(
    rf"\b(?:SINCE|UNTIL|TIMESERIES|LIMIT|COMPARE\s+WITH)\b.*?(?=\b(?:{CLAUSES})\b|\Z)",
    re.IGNORECASE | re.DOTALL,
)
FACET = re.compile(rf"\bFACET\b(.*?)(?=\b(?:{CLAUSES})\b|\Z)", re.IGNORECASE | re.DOTALL)
NAME = re.compile(r"[\w.]+")


def settings() -> dict[str, str]:
    """The settings of a source."""
    return {
        "type": "newrelic",
        "account_id": "${NEW_RELIC_ACCOUNT_ID}",
        "api_key": "${NEW_RELIC_API_KEY}",
    }


def query_of(text: str) -> Query | str:
    """How a KPI is asked for by this query, or why it can't be."""
    text = " ".join(text.split())
    bare = masked(text)
    if not re.search(r"\bSELECT\b", bare, re.IGNORECASE):
        return "it has no SELECT: is it NRQL?"
    out, copied = "", 0
    for clause in OWN.finditer(bare):
        out += text[copied : clause.start()]
        copied = clause.end()
    out = " ".join((out + text[copied:]).split())
    if "${" in out:
        return "it has the time of a run elsewhere than in SINCE and UNTIL"
    return Query(out, None, _attributes(out))


def _attributes(text: str) -> tuple[str, ...] | None:
    """The attributes of a FACET; None where they are no plain names."""
    bare = masked(text)
    if (match := FACET.search(bare)) is None:
        return ()
    names = []
    for first, last in parts(bare[: match.end()], match.start(1)):
        name = text[first:last].strip()
        if FILLER not in bare[first:last] and not NAME.fullmatch(name):
            return None
        names.append(name.strip("`"))
    return tuple(dict.fromkeys(names))
