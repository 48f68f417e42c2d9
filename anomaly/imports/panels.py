"""What the panels of Grafana ask that is no PromQL, by the kind of their data source.

Queries come from an editor or are written by hand; both become text in the language of the source,
with the placeholders of the dashboard in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from anomaly.imports import cloudwatch, datadog, graphite, influxql
from anomaly.imports.documents import Part
from anomaly.imports.languages import IN_PROMQL, Language, language
from anomaly.imports.queries import Query, labels_of

SEVERAL = "it selects several values; write a KPI for each"
LUCENE = frozenset({"", "lucene", "metric"})
OF_FIELDS = frozenset({"avg", "sum", "min", "max", "cardinality"})
FIELD = re.compile(r"[\w@.-]+")
PATTERN = re.compile(r"/.*/", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a query asks for: its text, how a KPI is asked for by it and of which source, and what
    tells it from others of the same query."""

    text: str
    language: Language
    what: str = ""


def asked_by(kind: str, target: Part) -> list[Asked] | str:
    """What a query of a data source asks for, or why a KPI can't."""
    return READERS[kind](target)


def kind_of(target: Part) -> str:
    """The kind of data source that a query is made for, where nothing names it."""
    type_name = target.text("dsType")
    if type_name or target.text("expr"):
        return type_name
    keys = {"bucketAggs": "elasticsearch", "measurement": "influxdb", "target": "graphite"}
    return next((kind for key, kind in keys.items() if target.at(key).data), "")


# --- InfluxDB ------------------------------------------------------------------------------------


def _influxdb(target: Part) -> list[Asked] | str:
    selects = target.at("select").data
    if target.at("rawQuery").data is True or not isinstance(selects, list) or not selects:
        text = target.text("query")
    elif len(selects) > 1:
        return SEVERAL
    elif target.text("limit") or target.text("slimit"):
        return "it leaves values or series out by a limit"
    else:
        text = _of_editor(target, selects[0])
    if not text:
        return "it selects nothing"
    return [Asked(text, (influxql.query_of, influxql.settings()))]


def _of_editor(target: Part, select: Any) -> str:
    """The SELECT that Grafana makes of what stands in its editor; empty if nothing is selected."""
    value = ""
    for kind, words in _pieces(select):
        if kind == "field":
            value = _name(words[0] if words else "")
        elif kind == "math":
            value = " ".join([value, *words])
        elif kind != "alias":
            value = f"{kind}({', '.join([value, *words])})"
    if not value:
        return ""
    policy = target.text("policy")
    within = "" if policy in {"", "default"} else f'"{policy}".'
    conditions = [_condition(each) for each in target.each("tags")]
    where = "".join(
        f" {joint or 'AND'} {text}" if place else text
        for place, (joint, text) in enumerate(conditions)
    )
    where = f"({where})" if len(conditions) > 1 else where
    groups, fill = [], ""
    for kind, words in _pieces(target.at("groupBy").data):
        if kind == "fill":
            fill = f"fill({', '.join(words)})"
        else:
            groups.append(f"time({', '.join(words)})" if kind == "time" else _name(*words[:1]))
    words = ["SELECT", value, "FROM", within + _measurement(target.text("measurement")), "WHERE"]
    words += [where, "AND"] if where else []
    words += ["$timeFilter", "GROUP BY", ", ".join(groups), fill]
    return " ".join(words).strip()


def _pieces(data: Any) -> list[tuple[str, list[str]]]:
    """The parts of a select or group by: their type, and their parameters."""
    return [
        (str(each.get("type", "")), [str(word) for word in _list(each.get("params"))])
        for each in _list(data)
        if isinstance(each, Mapping)
    ]


def _name(text: str = "") -> str:
    for kind in ("::tag", "::field"):
        if text.endswith(kind):
            return f'"{text.removesuffix(kind)}"{kind}'
    return text if text == "*" else f'"{text}"'


def _measurement(text: str) -> str:
    return text if PATTERN.fullmatch(text) else f'"{text}"'


def _condition(tag: Part) -> tuple[str, str]:
    """What joins a condition to the one before, and the condition."""
    value = tag.text("value")
    is_pattern = PATTERN.fullmatch(value) is not None
    sign = {"Is": "=", "Is Not": "!="}.get(tag.text("operator"), tag.text("operator"))
    sign = sign or ("=~" if is_pattern else "=")
    if sign not in {"=~", "!~", "<", ">", "<=", ">="}:
        value = "'" + value.replace("\\", "\\\\") + "'"
    return tag.text("condition"), f"{_name(tag.text('key'))} {sign} {value}"


# --- Elasticsearch and OpenSearch ----------------------------------------------------------------


def _elasticsearch(target: Part) -> list[Asked] | str:
    kinds = {target.text(key).casefold() for key in ("queryType", "luceneQueryType")}
    if kinds - LUCENE or target.text("editorType") == "code":
        return "it is not in Lucene's syntax, or not of numbers"
    by, has_steps, notes = [], False, []
    for bucket in target.each("bucketAggs"):
        kind, field = bucket.text("type"), bucket.text("field")
        has_steps = has_steps or kind == "date_histogram"
        if kind == "terms" and field:
            by.append(field)
            notes.append(f"the panel shows some values of {field}, by takes in all of them")
        elif kind != "date_histogram":
            return f"it splits by {kind or 'nothing'}, a KPI by fields alone"
    if not has_steps:
        return "it has no steps: add a date histogram"
    source = {
        "type": "elasticsearch",
        "url": "${ELASTICSEARCH_URL}",
        "index": "${ELASTICSEARCH_INDEX}",
    }
    time_field = target.text("timeField") or "@timestamp"
    if not FIELD.fullmatch(time_field):
        return "its time field is no plain name"
    if time_field != "@timestamp":
        source["time_field"] = time_field
    measures = [measure for metric in target.each("metrics") for measure in _measures(metric)] or [
        ""
    ]
    if wrong := next((each for each in measures if each.startswith("it ")), ""):
        return wrong
    queries = []
    for measure in measures:
        query_of = partial(_searched, measure=measure, by=tuple(by), note="; ".join(notes))
        what = measure.removeprefix(" | ") if len(measures) > 1 else ""
        queries.append(Asked(target.text("query") or "*", (query_of, source), what))
    return queries


def _measures(metric: Part) -> list[str]:
    """What is done with a field, as a query has it; or why it can't be."""
    kind, field = metric.text("type"), metric.text("field")
    if metric.at("hide").data is True:
        return []
    if metric.at("settings", "script").data or metric.at("inlineScript").data:
        return ["it computes values by a script"]
    if kind == "count":
        return [""]
    if kind in OF_FIELDS and field:
        return [f" | {kind}({field})"]
    ranks = _list(metric.at("settings", "percents").data)
    if kind == "percentiles" and field and ranks:
        return [f" | percentile({field}, {rank})" for rank in ranks]
    return [f"it asks for {kind or 'nothing'}, none of count, percentiles, {', '.join(OF_FIELDS)}"]


def _searched(text: str, *, measure: str, by: tuple[str, ...], note: str) -> Query:
    return Query(f"{text}{measure}", None, by, note)


# --- others --------------------------------------------------------------------------------------


def _graphite(target: Part) -> list[Asked] | str:
    text = target.text("targetFull") or target.text("target")
    return [Asked(text, (graphite.query_of, graphite.settings()))] if text else "it has no target"


def _loki(target: Part) -> list[Asked] | str:
    text = target.text("expr")
    if not text:
        return "it has no expression"
    if text.startswith("{"):
        return "it shows lines of a log; count them: sum(count_over_time({…}[$step]))"
    source = {"type": "loki", "url": "${LOKI_URL}"}
    return [Asked(text, (lambda filled: Query(filled, None, labels_of(filled)), source))]


def _cloudwatch(target: Part) -> list[Asked] | str:
    if target.text("queryMode") not in {"", "Metrics"}:
        return f"it asks for {target.text('queryMode')}, not for metrics"
    if target.text("metricQueryType") == "1" or target.text("sqlExpression"):
        return "it is SQL, which CloudWatch answers about two weeks at most; write it as a SEARCH"
    language = (cloudwatch.query_of, cloudwatch.settings(target.text("region")))
    if expression := target.text("expression"):
        if "SEARCH(" not in expression:
            return "its expression names other queries; write them as one list of MetricDataQueries"
        return [Asked(json.dumps([{"Id": "q", "Expression": expression}]), language)]
    dimensions = {key: _list(value) for key, value in target.mapping("dimensions").items()}
    if any(len(values) != 1 or values[0] == "*" for values in dimensions.values()) or (
        target.at("matchExact").data is False
    ):
        return "it takes in many values of a dimension; write a SEARCH, summed up"
    metric = {
        "Namespace": target.text("namespace"),
        "MetricName": target.text("metricName"),
        "Dimensions": [{"Name": key, "Value": each[0]} for key, each in dimensions.items()],
    }
    only = target.text("statistic")
    return [
        Asked(
            json.dumps(
                [{"Id": "q", "MetricStat": {"Metric": metric, "Period": 60, "Stat": statistic}}]
            ),
            language,
            "" if only else str(statistic),
        )
        for statistic in ([only] if only else _list(target.at("statistics").data))
    ] or "it names no statistic"


def _datadog(target: Part) -> list[Asked] | str:
    text = target.text("queryText")
    if not text:
        return "the form of its queries is not published; write the metrics query into a KPI"
    return [Asked(text, (datadog.query_of, datadog.settings()))]


def _google(target: Part) -> list[Asked] | str:
    text = target.text("promQLQuery", "expr")
    in_promql = language("gcp", project=target.text("promQLQuery", "projectName"))
    if target.text("queryType") != "promQL" or not text or in_promql is None:
        return f"it is a filter, or MQL; {IN_PROMQL}"
    return [Asked(text, in_promql)]


def _list(data: Any) -> Sequence[Any]:
    """A list, or what stands in place of a list of one."""
    if isinstance(data, list):
        return data
    return [] if data is None else [data]


READERS: Mapping[str, Callable[[Part], list[Asked] | str]] = {
    "influxdb": _influxdb,
    "graphite": _graphite,
    "elasticsearch": _elasticsearch,
    "opensearch": _elasticsearch,
    "loki": _loki,
    "cloudwatch": _cloudwatch,
    "datadog": _datadog,
    "wasilak-datadog": _datadog,
    "stackdriver": _google,
}
