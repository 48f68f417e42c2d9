"""Metrics queries of Datadog: each metric in them gets the step of the checklist."""

from __future__ import annotations

import re

from anomaly.imports.queries import Query

TERM = re.compile(
    r"(?:[a-z][a-z0-9]*:)?[A-Za-z][\w.]*\{[^{}]*\}"
    r"(?:\s*by\s*\{(?P<by>[^{}]*)\})?(?P<chain>(?:\s*\.\s*\w+\([^()]*\))*)"
)
ROLLUP = re.compile(r"\s*\.\s*rollup\(\s*['\"]?(?P<method>[a-z]*)[^()]*\)")
COUNT = ".as_count()"


def settings(address: str = "") -> dict[str, str]:
    """The settings of a source; an `address` that holds no name or password is that of the site."""
    url = {"url": address} if re.fullmatch(r"https?://[^\s?#${}@]+", address) else {}
    return {
        "type": "datadog",
        **url,
        "api_key": "${DD_API_KEY}",
        "application_key": "${DD_APP_KEY}",
    }


def query_of(text: str) -> Query | str:
    """How a KPI is asked for by this query, or why it can't be. The ratio of two counts becomes
    that of the counts of each step."""
    text = " ".join(text.split())
    terms = list(TERM.finditer(text))
    if not terms:
        return "no metric of Datadog is in its query"
    splits = {_tags(term["by"]) for term in terms}
    by = splits.pop() if len(splits) == 1 else None
    between = text[: terms[0].start()], text[terms[0].end() : terms[-1].start()]
    around = "".join((*between, text[terms[-1].end() :])).replace(" ", "")
    is_ratio = len(terms) == 2 and around.strip("()") in {"/", ")/", "/(", ")/("}  # noqa: PLR2004
    if is_ratio and all(COUNT in term["chain"] for term in terms):
        return Query(_stepped(terms[0]), _stepped(terms[1]), by)
    return Query(TERM.sub(_stepped, text), None, by)


def _stepped(term: re.Match[str]) -> str:
    """A metric, rolled up over the step: as it was, else counts by their sum and others by their
    mean."""
    rollup = ROLLUP.search(term["chain"])
    method = rollup["method"] if rollup else ""
    method = method or ("sum" if COUNT in term["chain"].replace(" ", "") else "avg")
    return f"{ROLLUP.sub('', term[0])}.rollup({method}, $step)"


def _tags(text: str | None) -> tuple[str, ...]:
    return tuple(each.strip() for each in (text or "").split(",") if each.strip())
