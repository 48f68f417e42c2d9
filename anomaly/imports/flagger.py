"""MetricTemplate and Canary of Flagger: a Canary says which template is asked for what."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from anomaly.imports.documents import Part
from anomaly.imports.findings import NEITHER_WAY, PACE, THRESHOLD, Findings
from anomaly.imports.languages import NOT_READ, language
from anomaly.imports.queries import BRACES, filled, names_in, options
from anomaly.model import Direction, Kpi

KINDS = ("MetricTemplate", "Canary")
BUILT_IN = ("request-success-rate", "request-duration")
PACES = ("interval", "iterations", "threshold", "maxWeight", "stepWeight", "stepWeights")
STEP = "$step"
PROVIDERS = ("prometheus", "datadog", "cloudwatch", "newrelic", "graphite")


def read(parts: Sequence[Part], findings: Findings) -> None:
    """The metrics of all Canaries as KPIs; templates that none of them names, too."""
    templates = {
        each.text("metadata", "name"): each
        for each in parts
        if each.text("kind") == "MetricTemplate"
    }
    references = set()
    for canary in parts:
        if canary.text("kind") != "Canary":
            continue
        target = canary.text("spec", "targetRef", "name") or canary.text("metadata", "name")
        findings.name_service(target)
        of_canary = {
            "name": canary.text("metadata", "name"),
            "namespace": canary.text("metadata", "namespace") or "default",
            "target": target,
            "service": canary.text("spec", "service", "name") or target,
            "ingress": canary.text("spec", "ingressRef", "name"),
        }
        analysis = canary.at("spec", "analysis")
        if paces := [f"{key} {analysis.text(key)}" for key in PACES if analysis.text(key)]:
            findings.lose(analysis, ", ".join(paces), PACE)
        for key in ("webhooks", "alerts"):
            if analysis.at(key).data:
                findings.lose(analysis.at(key), key, "what is run or told: see sinks, and serve")
        for metric in analysis.each("metrics"):
            references.add(_metric(metric, findings, templates, of_canary))
    for name, template in templates.items():
        if name not in references:
            findings.lose(template, f"direction of {name}", NEITHER_WAY)
            _template(template, findings, {}, Kpi(name), template)


def _metric(
    metric: Part, findings: Findings, templates: Mapping[str, Part], of_canary: Mapping[str, str]
) -> str:
    """The name of the template that a metric of a Canary asks for; adds its KPI."""
    name = metric.text("name") or "metric"
    reference = metric.text("templateRef", "name")
    low, high = metric.text("thresholdRange", "min"), metric.text("thresholdRange", "max")
    low = low or (metric.text("threshold") if name == "request-success-rate" else "")
    direction = Direction.EITHER
    if bool(low) != bool(high):
        direction = Direction.DOWN if low else Direction.UP
    if low or high:
        texts = [f"{word} {each}" for word, each in (("min", low), ("max", high)) if each]
        findings.lose(metric, f"{', '.join(texts)} of {name}", THRESHOLD)
    else:
        findings.lose(metric, f"direction of {name}", NEITHER_WAY)
    if not reference and metric.text("query"):
        _template(metric, findings, of_canary, Kpi(name, direction=direction), metric)
    elif not reference:
        why = (
            "a metric that is built into Flagger, whose query depends on the mesh; "
            "anomaly init --prometheus URL proposes one"
        )
        findings.lose(metric, f"metric {name}", why if name in BUILT_IN else "it has no query")
    elif reference not in templates:
        findings.lose(metric, f"metric {name}", f"MetricTemplate {reference} is not in the files")
    else:
        variables = {
            f"variables.{key}": str(value)
            for key, value in metric.mapping("templateVariables").items()
        }
        template = templates[reference]
        _template(
            template, findings, {**of_canary, **variables}, Kpi(name, direction=direction), metric
        )
    return reference


def _template(
    template: Part, findings: Findings, of_canary: Mapping[str, str], kpi: Kpi, place: Part
) -> None:
    is_inline = template.text("kind") != "MetricTemplate"
    provider = template.at("spec", "provider")
    kind = "prometheus" if is_inline else provider.text("type")
    if kind not in PROVIDERS:
        why = f"its provider is {kind}, none of {', '.join(PROVIDERS)}"
        findings.lose(place, f"metric {kpi.name}", NOT_READ.get(kind, why))
        return
    text = template.text("query") if is_inline else template.text("spec", "query")
    values = {"interval": STEP, **of_canary, **findings.values}
    query, missing = filled(text, BRACES, lambda match: _value(match, values))
    if missing:
        hint = options(names_in(missing))
        findings.lose(
            place,
            f"metric {kpi.name}",
            f"{', '.join(missing)} has no value: import the Canary, too, or {hint}",
        )
        return
    if provider.mapping("secretRef"):
        findings.lose(
            provider, f"secretRef of {kpi.name}", "a secret: see the settings of the source"
        )
    kpi = Kpi(kpi.name, query=query, direction=kpi.direction)
    why = f"MetricTemplate {template.text('metadata', 'name')}" if not is_inline else "Canary"
    address = provider.text("address")
    other = language(kind, address=address, region=provider.text("region"))
    if other is None:
        findings.add(place, kpi, why, address=address)
    else:
        findings.add_other(place, kpi, why, *other)


def _value(match: re.Match[str], values: Mapping[str, str]) -> str | None:
    return values.get(match[1]) or values.get(match[1].removeprefix("variables."))
