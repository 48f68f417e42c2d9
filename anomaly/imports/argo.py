"""AnalysisTemplate and ClusterAnalysisTemplate of Argo Rollouts."""

from __future__ import annotations

import json
import re

from anomaly.imports.documents import Part
from anomaly.imports.findings import NEITHER_WAY, PACE, THRESHOLD, Findings
from anomaly.imports.languages import IN_PROMQL, NOT_READ, language
from anomaly.imports.queries import BRACES, bad_direction, filled, names_in, options
from anomaly.model import Direction, Kpi

KINDS = ("AnalysisTemplate", "ClusterAnalysisTemplate")
PACES = (
    *("interval", "initialDelay", "count", "failureLimit", "successLimit", "inconclusiveLimit"),
    *("consecutiveErrorLimit", "consecutiveSuccessLimit"),
)
PROVIDERS = ("prometheus", "datadog", "cloudWatch", "newRelic", "graphite", "gcp")
WORD = re.compile(r"'[^']*'|\b[A-Za-z_]\w*\b")
ACCESS = ("authentication", "headers", "insecure", "timeout", "profile")
HOW_TO_SIGN_IN = "how to sign in: see the settings of the source in docs/collectors"


def read(template: Part, findings: Findings) -> None:
    """The metrics of a template as KPIs."""
    name = template.text("metadata", "name")
    findings.name_service(name)
    arguments = {
        each.text("name"): each.text("value")
        for each in template.each("spec", "args")
        if each.text("value")
    }
    arguments.update(findings.values)
    for each in template.each("spec", "templates"):
        findings.lose(each, f"template {each.text('templateName')}", "import its file, too")
    rehearsed = [each.text("metricName") for each in template.each("spec", "dryRun")]
    for metric in template.each("spec", "metrics"):
        _metric(metric, findings, arguments, rehearsed, f"{template.text('kind')} {name}")


def _metric(
    metric: Part, findings: Findings, arguments: dict[str, str], rehearsed: list[str], origin: str
) -> None:
    name = metric.text("name") or "metric"
    kind = next((each for each in PROVIDERS if metric.mapping("provider", each)), "")
    provider = metric.at("provider", kind)
    if not kind:
        others = ", ".join(metric.mapping("provider")) or "none"
        why = f"its provider is {others}, none of {', '.join(PROVIDERS)}"
        findings.lose(metric, f"metric {name}", NOT_READ.get(others, why))
        return
    if provider.text("filter"):
        findings.lose(metric, f"metric {name}", f"it is a filter; {IN_PROMQL}")
        return

    def value(match: re.Match[str]) -> str | None:
        argument = arguments.get(match[1].removeprefix("args."))
        return (
            json.dumps(argument)[1:-1]
            if argument is not None and kind == "cloudWatch"
            else argument
        )

    query, missing = filled(_asked(provider, kind), BRACES, value)
    address, _ = filled(provider.text("address"), BRACES, value)
    if missing:
        hint = options([each.removeprefix("args.") for each in names_in(missing)])
        findings.lose(metric, f"metric {name}", f"{', '.join(missing)} has no value: {hint}")
        return
    direction = _direction(metric, findings, name)
    if paces := [f"{key} {metric.text(key)}" for key in PACES if metric.text(key)]:
        findings.lose(metric, f"{', '.join(paces)} of {name}", PACE)
    for key in ("rangeQuery", "interval"):
        if provider.at(key).data:
            findings.lose(provider.at(key), f"{key} of {name}", PACE)
    if access := [key for key in ACCESS if provider.at(key).data]:
        findings.lose(provider, f"{', '.join(access)} of {name}", HOW_TO_SIGN_IN)
    kpi = Kpi(
        name,
        query=query,
        direction=direction,
        dry_run=any(_is_rehearsed(name, each) for each in rehearsed),
    )
    other = language(kind, address=address, project=provider.text("project"))
    if other is None or (kind == "gcp" and findings.prometheus):
        findings.add(metric, kpi, origin, address=address)
    else:
        findings.add_other(metric, kpi, origin, *other)


def _direction(metric: Part, findings: Findings, name: str) -> Direction:
    """Which way is worse by the conditions of a metric, which are noted."""
    directions = []
    for key, is_success in (("successCondition", True), ("failureCondition", False)):
        if condition := metric.text(key):
            directions.append(bad_direction(condition, is_success=is_success))
            findings.lose(metric.at(key), f"{key} {condition} of {name}", THRESHOLD)
    ways = set(directions) - {None}
    if len(ways) == 1 and None not in directions:
        return next(each for each in ways if each is not None)
    findings.lose(metric, f"direction of {name}", NEITHER_WAY)
    return Direction.EITHER


def _asked(provider: Part, kind: str) -> str:
    """What a provider is asked for, in its own language; of Datadog a formula with its queries in
    place, of CloudWatch MetricDataQueries in JSON."""
    if kind == "cloudWatch":
        queries = provider.at("metricDataQueries").data
        return json.dumps(queries) if isinstance(queries, list) else str(queries or "")
    queries = provider.mapping("queries")
    if kind != "datadog" or not queries:
        return provider.text("query")
    formula = provider.text("formula") or (next(iter(queries)) if len(queries) == 1 else "")
    return WORD.sub(lambda word: provider.text("queries", word[0]) or word[0], formula)


def _is_rehearsed(name: str, pattern: str) -> bool:
    """Whether a name of `dryRun` is that of a metric, or the pattern for all of them."""
    return pattern in {name, ".*"}
