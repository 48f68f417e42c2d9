"""Canary configurations of Kayenta (Spinnaker)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

from anomaly.imports import datadog, influxql
from anomaly.imports.documents import Part
from anomaly.imports.findings import Findings
from anomaly.imports.languages import NOT_READ, language
from anomaly.imports.queries import filled, options
from anomaly.imports.texts import STEP
from anomaly.model import Direction, Empty, Kpi, NoData

DIRECTIONS = {
    "increase": Direction.UP,
    "decrease": Direction.DOWN,
    "either": Direction.EITHER,
}
PLACEHOLDER = re.compile(r"\$\\?\{\s*([\w.-]+)\s*\}")
IN_TARGET = re.compile(r"\$(scope|location)\b")
WHOLE = "PromQL:"
LARGEST = 1e6  # a weight or factor beyond it is a slip


def is_one(document: Part) -> bool:
    """Whether a document is a canary configuration."""
    return isinstance(document.at("metrics").data, list) and bool(
        document.mapping("classifier") or document.mapping("judge")
    )


def read(configuration: Part, findings: Findings) -> None:
    """The metrics of a configuration as KPIs."""
    applications = configuration.at("applications").data
    names = [
        each
        for each in (applications if isinstance(applications, list) else ())
        if isinstance(each, str) and each != "ad-hoc"
    ]
    findings.name_service(names[0] if names else configuration.text("name"))
    if configuration.mapping("judge"):
        findings.lose(
            configuration.at("judge"),
            f"judge {configuration.text('judge', 'name')}",
            "a canary beside a baseline; a release is compared with the history of the service",
        )
    weights = configuration.mapping("classifier", "groupWeights")
    members = Counter(group for each in configuration.each("metrics") for group in _groups(each))
    for metric in configuration.each("metrics"):
        _metric(metric, configuration, findings, weights, members)


def _metric(
    metric: Part,
    configuration: Part,
    findings: Findings,
    weights: Mapping[str, object],
    members: Mapping[str, int],
) -> None:
    name = metric.text("name") or "metric"
    kind = metric.text("query", "serviceType") or metric.text("query", "type")
    if kind not in ASKED:
        why = NOT_READ.get(kind, f"it asks {kind or 'nothing'}, none of {', '.join(ASKED)}")
        findings.lose(metric, f"metric {name}", why)
        return
    query = ASKED[kind](metric, configuration, findings, name)
    if not query:
        return
    analysis = metric.at("analysisConfigurations", "canary")
    allowed = _tolerances(analysis)
    direction = DIRECTIONS.get(analysis.text("direction"), Direction.EITHER)
    tolerances = [
        allowed[each]
        for each, other in ((Direction.UP, Direction.DOWN), (Direction.DOWN, Direction.UP))
        if each in allowed and direction is not other
    ]
    for key in ("criticalIncrease", "criticalDecrease", "cles"):
        if value := analysis.text("effectSize", key):
            findings.lose(
                analysis.at("effectSize", key),
                f"{key} {value} of {name}",
                "a second limit; a KPI has one tolerance",
            )
    if outliers := analysis.text("outliers", "strategy"):
        findings.lose(
            analysis.at("outliers"),
            f"outliers {outliers} of {name}",
            "single spikes are always told from a change of level",
        )
    groups = _groups(metric)
    shares = [_number(weights.get(group)) / members[group] for group in groups]
    kpi = Kpi(
        name,
        query=query,
        direction=direction,
        tolerance=min(tolerances, default=0.0),
        critical=analysis.at("critical").data is True,
        no_data=NoData.FAIL if analysis.at("mustHaveData").data is True else NoData.INCONCLUSIVE,
        empty=Empty.ZERO if analysis.text("nanStrategy") == "replace" else Empty.MISSING,
        usage=round(sum(shares), 6) if sum(shares) > 0 else 1.0,
    )
    why = f"metric of {', '.join(groups) or 'no group'}"
    other = language(kind)
    if other is None:
        findings.add(metric, kpi, why)
    else:
        findings.add_other(metric, kpi, why, *other)


def _of_datadog(metric: Part, _configuration: Part, findings: Findings, name: str) -> str:
    """The metrics query of Datadog that a metric names; empty if it has none, which is noted."""
    query = metric.at("query")
    scope, metric_name = findings.values.get("scope", ""), query.text("metricName")
    if not metric_name:
        findings.lose(metric, f"metric {name}", "it names no metric")
        return ""
    if not scope:
        findings.lose(
            metric,
            f"metric {name}",
            f"its scope is chosen at each run; give tags that take in the whole service, like "
            f"service:shop: {options(['scope'])}",
        )
        return ""
    selector = f"{metric_name}{{{','.join([scope, *_texts(query, 'tags')])}}}"
    is_count = query.text("metricType").casefold() == "count"
    return f"sum:{selector}{datadog.COUNT}" if is_count else selector


def _of_prometheus(metric: Part, configuration: Part, findings: Findings, name: str) -> str:
    """The PromQL of a metric; empty if it has none, which is noted."""
    query = metric.at("query")
    template = _template(metric, configuration, findings, name)
    if template is None:
        return ""
    if template.startswith(WHOLE):
        return template.removeprefix(WHOLE).strip()
    metric_name = query.text("metricName")
    if not metric_name:
        findings.lose(metric, f"metric {name}", "it names no metric")
        return ""
    if not template and query.text("resourceType"):
        findings.lose(
            query.at("resourceType"),
            f"resourceType {query.text('resourceType')} of {name}",
            "it selects the instances of a canary; the query reads all of them, so add labels",
        )
    matchers = ",".join([*([template] if template else []), *_texts(query, "labelBindings")])
    groups = _texts(query, "groupByFields")
    by = f" by ({', '.join(groups)})" if groups else ""
    return f"avg({metric_name}{{{matchers}}}){by}" if matchers else f"avg({metric_name}){by}"


def _template(
    metric: Part,
    configuration: Part,
    findings: Findings,
    name: str,
    own_values: Mapping[str, str] = MappingProxyType({}),
) -> str | None:
    """The template of a metric with its placeholders filled in, empty if there is none; None, which
    is noted, if it can't be had."""
    query = metric.at("query")
    reference = query.text("customFilterTemplate")
    template = query.text("customInlineTemplate") or configuration.text("templates", reference)
    template = template or query.text("customFilter")
    if reference and not template:
        findings.lose(metric, f"metric {name}", f"the template {reference} is not in the file")
        return None
    return _filled(template, PLACEHOLDER, metric, findings, name, own_values)


def _filled(
    template: str,
    placeholder: re.Pattern[str],
    metric: Part,
    findings: Findings,
    name: str,
    own_values: Mapping[str, str] = MappingProxyType({}),
) -> str | None:
    values = {**findings.values, **own_values}
    text, missing = filled(template, placeholder, lambda match: values.get(match[1]))
    if not missing:
        return text
    names = [match[1] for match in map(placeholder.fullmatch, missing) if match]
    findings.lose(
        metric,
        f"metric {name}",
        f"{', '.join(f'${{{each}}}' for each in names)} has no value; give one that takes in "
        f"the whole service: {options(names)}",
    )
    return None


def _of_new_relic(metric: Part, configuration: Part, findings: Findings, name: str) -> str:
    """The NRQL of a metric; empty if it has none, which is noted."""
    bounds = ("startEpochSeconds", "endEpochSeconds")  # which are dropped with SINCE and UNTIL
    own_values = {"step": STEP, **{each: f"${{{each}}}" for each in bounds}}
    template = _template(metric, configuration, findings, name, own_values)
    if template is None or template:
        return template or ""
    selection, where = metric.text("query", "select"), metric.text("query", "q")
    if not selection:
        findings.lose(metric, f"metric {name}", "it has neither a template nor a select")
        return ""
    findings.lose(
        metric,
        f"scope of {name}",
        "it selects the instances of a canary; the query reads all of them, so add conditions",
    )
    select = selection if selection.upper().startswith("SELECT") else f"SELECT {selection}"
    return f"{select} WHERE {where}" if where else select


def _of_influxdb(metric: Part, configuration: Part, findings: Findings, name: str) -> str:
    """The InfluxQL of a metric; empty if it has none, which is noted."""
    own_values = {"timeFilter": influxql.WITHIN, "step": STEP}
    tag, sign, value = findings.values.get("scope", "").partition(":")
    if sign:
        own_values["scope"] = f"{tag} = '{value}'"
    template = _template(metric, configuration, findings, name, own_values)
    if template == "":
        findings.lose(
            metric,
            f"metric {name}",
            "it asks for single points; write SELECT mean(…) … GROUP BY time($step)",
        )
    return template or ""


def _of_graphite(metric: Part, _configuration: Part, findings: Findings, name: str) -> str:
    """The target of a metric; empty if it has none, which is noted."""
    target = metric.text("query", "metricName")
    if not target:
        findings.lose(metric, f"metric {name}", "it names no metric")
    return _filled(target, IN_TARGET, metric, findings, name) or ""


ASKED: Mapping[str, Callable[[Part, Part, Findings, str], str]] = {
    "prometheus": _of_prometheus,
    "datadog": _of_datadog,
    "newrelic": _of_new_relic,
    "influxdb": _of_influxdb,
    "graphite": _of_graphite,
}


def _groups(metric: Part) -> list[str]:
    return list(dict.fromkeys(_texts(metric, "groups")))


def _texts(part: Part, key: str) -> list[str]:
    data = part.at(key).data
    return [each for each in data if isinstance(each, str)] if isinstance(data, list) else []


def _tolerances(analysis: Part) -> dict[Direction, float]:
    """What is allowed to change, by direction, as a share: an allowed increase of 1.1 is 10 %."""
    up = _number(analysis.at("effectSize", "allowedIncrease").data)
    down = _number(analysis.at("effectSize", "allowedDecrease").data)
    tolerances = {}
    if 1 < up <= 2:  # noqa: PLR2004  a tolerance is a share up to 100 %
        tolerances[Direction.UP] = round(up - 1, 6)
    if 0 < down < 1:
        tolerances[Direction.DOWN] = round(1 - down, 6)
    return tolerances


def _number(value: object) -> float:
    """A positive number, or 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return float(value) if 0 < value < LARGEST else 0.0
