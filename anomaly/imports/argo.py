"""AnalysisTemplate and ClusterAnalysisTemplate of Argo Rollouts."""

from __future__ import annotations

import re

from anomaly.imports.documents import Part
from anomaly.imports.findings import NEITHER_WAY, PACE, THRESHOLD, Findings
from anomaly.imports.queries import BRACES, bad_direction, filled, names_in, options
from anomaly.model import Direction, Kpi

KINDS = ("AnalysisTemplate", "ClusterAnalysisTemplate")
PACES = (
    *("interval", "initialDelay", "count", "failureLimit", "successLimit", "inconclusiveLimit"),
    *("consecutiveErrorLimit", "consecutiveSuccessLimit"),
)
ACCESS = ("authentication", "headers", "insecure", "timeout")
HOW_TO_SIGN_IN = "how to sign in to a Prometheus: see the settings of the source in docs/collectors"


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
    provider = metric.at("provider", "prometheus")
    if not provider.mapping():
        others = ", ".join(metric.mapping("provider")) or "none"
        findings.lose(metric, f"metric {name}", f"its provider is {others}, not prometheus")
        return

    def value(match: re.Match[str]) -> str | None:
        return arguments.get(match[1].removeprefix("args."))

    query, missing = filled(provider.text("query"), BRACES, value)
    address, _ = filled(provider.text("address"), BRACES, value)
    if missing:
        wanted = options([each.removeprefix("args.") for each in names_in(missing)])
        findings.lose(metric, f"metric {name}", f"{', '.join(missing)} has no value: {wanted}")
        return
    found = []
    for key, is_success in (("successCondition", True), ("failureCondition", False)):
        if condition := metric.text(key):
            found.append(bad_direction(condition, is_success=is_success))
            findings.lose(metric.at(key), f"{key} {condition} of {name}", THRESHOLD)
    ways = set(found) - {None}
    direction = Direction.EITHER
    if len(ways) == 1 and None not in found:
        direction = next(each for each in ways if each is not None)
    else:
        findings.lose(metric, f"direction of {name}", NEITHER_WAY)
    if paces := [f"{key} {metric.text(key)}" for key in PACES if metric.text(key)]:
        findings.lose(metric, f"{', '.join(paces)} of {name}", PACE)
    if provider.mapping("rangeQuery"):
        findings.lose(provider.at("rangeQuery"), f"rangeQuery of {name}", PACE)
    if access := [key for key in ACCESS if provider.at(key).data]:
        findings.lose(provider, f"{', '.join(access)} of {name}", HOW_TO_SIGN_IN)
    findings.add(
        metric,
        Kpi(
            name,
            query=query,
            direction=direction,
            dry_run=any(_is_rehearsed(name, each) for each in rehearsed),
        ),
        origin,
        address=address,
    )


def _is_rehearsed(name: str, pattern: str) -> bool:
    """Whether a name of `dryRun` is that of a metric, or the pattern for all of them."""
    return pattern in {name, ".*"}
