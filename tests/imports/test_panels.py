"""Panels of Grafana whose data are no Prometheus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from anomaly.checklist.checklist import Checklist, load
from anomaly.imports.documents import Part
from anomaly.imports.findings import Findings
from anomaly.imports.reading import findings_of, gather
from anomaly.model import Direction
from tests.imports.test_providers import ENVIRON

FILES = Path(__file__).parent / "files"

MORE = {
    "ELASTICSEARCH_URL": "http://elastic:9200",
    "ELASTICSEARCH_INDEX": "logs-*",
    "LOKI_URL": "http://loki:3100",
    "AWS_REGION": "eu-central-1",
    "DD_API_KEY": "k",
    "DD_APP_KEY": "a",
}
VARIABLES = [
    {"name": "app", "type": "query", "current": {"value": "shop"}},
    {"name": "two", "type": "query", "current": {"value": ["a.b", "c"]}},
    {"name": "any", "type": "query", "current": {"value": "$__all"}},
    {"name": "every", "type": "interval", "current": {"value": "1m"}},
    {"name": "none", "type": "query"},
]


def imported(kind: str, *targets: dict[str, Any], **values: str) -> tuple[Checklist, str]:
    """The checklist that a panel of this kind becomes, and what was lost; there is another panel,
    for a checklist has a KPI."""
    source = {"type": kind, "uid": "x"}
    panels = [
        {"title": "up", "targets": [{"expr": "sum(up)", "refId": "A"}]},
        {"title": "it", "datasource": source, "targets": [*targets]},
    ]
    document = {
        "title": "Shop",
        "schemaVersion": 39,
        "templating": {"list": VARIABLES},
        "panels": panels,
    }
    findings = Findings(values=values)
    gather([Part("any.json", document)], findings)
    text = findings.proposal().checklist()
    said = "\n".join(f"{each.what}: {each.why}" for each in findings.losses)
    return load("checklist.yaml", environ=ENVIRON | MORE, text=text.encode()), said


def test_a_query_of_influxdb_gets_time_and_step_and_the_values_of_variables() -> None:
    text = (
        'SELECT mean("n") FROM "http" WHERE "app" = \'$app\' AND "host" =~ /^$two$/ AND "zone" =~ '
        '/^${any}$/ AND $timeFilter GROUP BY time($__interval), "host" fill(null)'
    )
    checklist, said = imported("influxdb", {"query": text, "rawQuery": True, "refId": "A"})
    _, it = checklist.kpis
    assert it.query == (
        'SELECT mean("n") FROM "http" WHERE "app" = \'shop\' AND "host" =~ /^(a\\.b|c)$/ AND '
        '"zone" =~ /^.*$/ AND time >= $start AND time < $end GROUP BY time($step), "host" '
        "fill(null)"
    )
    assert (it.by, it.direction) == (("host",), Direction.EITHER)
    assert checklist.sources[it.source].settings == {
        "url": "http://influx:8086",
        "database": "shop",
        "token": "t",
    }
    assert "direction of it" in said


EDITOR = {
    "refId": "A",
    "measurement": "http",
    "policy": "year",
    "select": [
        [
            {"type": "field", "params": ["n"]},
            {"type": "percentile", "params": [95]},
            {"type": "math", "params": ["* 100"]},
            {"type": "alias", "params": ["slow"]},
        ]
    ],
    "tags": [
        {"key": "app::tag", "operator": "=", "value": "$app"},
        {"key": "code", "condition": "OR", "operator": "=~", "value": "/^5/"},
    ],
    "groupBy": [
        {"type": "time", "params": ["$__interval"]},
        {"type": "tag", "params": ["host::tag"]},
        {"type": "fill", "params": ["none"]},
    ],
}


def test_the_editor_for_influxdb_becomes_a_select() -> None:
    checklist, _ = imported("influxdb", EDITOR)
    _, it = checklist.kpis
    assert it.query == (
        'SELECT percentile("n", 95) * 100 FROM "year"."http" WHERE ("app"::tag = \'shop\' OR '
        '"code" =~ /^5/) AND time >= $start AND time < $end GROUP BY time($step), "host"::tag '
        "fill(none)"
    )
    assert it.by == ("host",)


def test_a_target_of_graphite_gets_the_values_of_variables() -> None:
    target = {"target": "summarize(sumSeries($app.$two.${any}.n), '$every', 'sum')", "refId": "A"}
    checklist, _ = imported("graphite", target)
    _, it = checklist.kpis
    assert it.query == "summarize(sumSeries(shop.{a.b,c}.*.n),\"$step\",'sum')"
    whole = {"target": "scale(#A, 2)", "targetFull": "scale(hitcount(a, '1m'), 2)", "refId": "B"}
    assert imported("graphite", whole)[0].kpis[1].query == 'scale(hitcount(a,"$step"),2)'


HISTOGRAM = {"type": "date_histogram", "field": "at", "id": "2", "settings": {"interval": "auto"}}


@pytest.mark.parametrize("kind", ["elasticsearch", "grafana-opensearch-datasource"])
def test_each_metric_of_elasticsearch_is_a_kpi(kind: str) -> None:
    target = {
        "refId": "A",
        "query": "app:$app AND host:$two AND zone:$any",
        "timeField": "at",
        "metrics": [
            {"id": "1", "type": "count"},
            {"id": "3", "type": "avg", "field": "ms"},
            {"id": "4", "type": "percentiles", "field": "ms", "settings": {"percents": ["50", 99]}},
            {"id": "5", "type": "sum", "field": "ms", "hide": True},
        ],
        "bucketAggs": [{"type": "terms", "field": "host.keyword", "id": "6"}, HISTOGRAM],
    }
    checklist, said = imported(kind, target)
    _, *kpis = checklist.kpis
    lucene = 'app:shop AND host:("a.b" OR "c") AND zone:*'
    measures = ["", " | avg(ms)", " | percentile(ms, 50)", " | percentile(ms, 99)"]
    assert [each.query for each in kpis] == [f"{lucene}{each}" for each in measures]
    assert [each.name for each in kpis][:2] == ["it", "it: avg(ms)"]
    assert {each.by for each in kpis} == {("host.keyword",)}
    assert checklist.sources[kpis[0].source].settings["time_field"] == "at"
    assert "the panel shows some values of host.keyword" in said


def test_a_query_of_loki_gets_the_step() -> None:
    text = 'sum by (level) (count_over_time({app=~"$two"} |= "x" [$__auto]))'
    checklist, _ = imported("loki", {"expr": text, "refId": "A"})
    _, it = checklist.kpis
    assert it.query == 'sum by (level) (count_over_time({app=~"(a\\\\.b|c)"} |= "x" [$step]))'
    assert (it.by, checklist.sources[it.source].type) == (("level",), "loki")


def test_a_metric_of_cloudwatch_is_that_of_its_dimensions() -> None:
    target = {
        "refId": "A",
        "namespace": "AWS/ECS",
        "metricName": "CPUUtilization",
        "statistic": "Average",
        "dimensions": {"ClusterName": "$app", "ServiceName": ["web"]},
        "region": "us-east-1",
        "matchExact": True,
    }
    older = {**target, "statistic": "", "statistics": ["Sum", "p99"], "region": "default"}
    checklist, _ = imported("cloudwatch", target, {**older, "refId": "B"})
    _, one, total, slow = checklist.kpis
    (query,) = json.loads(one.query.replace("$step", "60"))
    assert query["MetricStat"]["Metric"]["Dimensions"] == [
        {"Name": "ClusterName", "Value": "shop"},
        {"Name": "ServiceName", "Value": "web"},
    ]
    assert checklist.sources[one.source].settings == {"region": "us-east-1"}
    assert checklist.sources[slow.source].settings == {"region": "eu-central-1"}
    assert (total.name, slow.name) == ("it: B: Sum", "it: B: p99")


def test_a_search_of_cloudwatch_stays_one() -> None:
    expression = "SUM(SEARCH('{A,B} MetricName=\"C\" B=\"$app\"', 'Sum', 300))"
    target = {"refId": "A", "metricEditorMode": 1, "expression": expression}
    (query,) = json.loads(imported("cloudwatch", target)[0].kpis[1].query.replace("$step", "60"))
    assert query["Expression"] == "SUM(SEARCH('{A,B} MetricName=\"C\" B=\"shop\"', 'Sum', 60))"


def test_metrics_of_datadog_and_promql_of_google_are_read() -> None:
    checklist, _ = imported("wasilak-datadog-datasource", {"queryText": "avg:cpu{app:$app}"})
    assert checklist.kpis[1].query == "avg:cpu{app:shop}.rollup(avg, $step)"
    target = {"queryType": "promQL", "promQLQuery": {"expr": "sum(a)", "projectName": "shop"}}
    checklist, _ = imported("stackdriver", target)
    assert checklist.sources[checklist.kpis[1].source].settings["sign_in"] == "google"


@pytest.mark.parametrize(
    ("kind", "target", "said"),
    [
        ("influxdb", {"query": 'from(bucket: "a") |> x'}, "KPI it: it is Flux"),
        ("influxdb", {"rawSql": "SELECT 1"}, "query it: it selects nothing"),
        ("influxdb", {**EDITOR, "limit": "5"}, "it leaves values or series out by a limit"),
        ("influxdb", {**EDITOR, "select": [[], []]}, "it selects several values"),
        ("influxdb", {**EDITOR, "select": [[]]}, "it selects nothing"),
        ("influxdb", {**EDITOR, "groupBy": []}, "KPI it: it has no steps"),
        ("influxdb", {"query": "SELECT $none", "rawQuery": True}, "$none has no value here: --set"),
        ("graphite", {"target": "sumSeries(#A)"}, "KPI it: it refers to another query"),
        ("graphite", {}, "query it: it has no target"),
        ("loki", {"expr": '{app="shop"} |= "x"'}, "query it: it shows lines of a log"),
        ("loki", {"expr": 'sum(rate({a="b"}[$__range]))'}, "$__range has no value here, for it"),
        ("loki", {}, "query it: it has no expression"),
        ("elasticsearch", {"bucketAggs": []}, "query it: it has no steps: add a date histogram"),
        (
            "elasticsearch",
            {"bucketAggs": [HISTOGRAM], "timeField": "${HOME}"},
            "its time field is no plain name",
        ),
        ("elasticsearch", {"queryType": "PPL"}, "it is not in Lucene's syntax"),
        (
            "elasticsearch",
            {"bucketAggs": [{"type": "filters"}, HISTOGRAM]},
            "it splits by filters, a KPI by fields alone",
        ),
        (
            "elasticsearch",
            {"bucketAggs": [HISTOGRAM], "metrics": [{"type": "derivative", "field": "1"}]},
            "it asks for derivative, none of count, percentiles",
        ),
        (
            "elasticsearch",
            {"bucketAggs": [{"type": "terms", "field": "x" * 200}, HISTOGRAM]},
            "KPI it: a label by which it is split is empty, or too long",
        ),
        ("cloudwatch", {"statistic": "\ud800"}, "KPI it: it holds control characters"),
        ("cloudwatch", {"queryMode": "Logs"}, "query it: it asks for Logs, not for metrics"),
        ("cloudwatch", {"metricQueryType": 1}, "it is SQL, which CloudWatch answers"),
        ("cloudwatch", {"expression": "a / b"}, "its expression names other queries"),
        ("cloudwatch", {"dimensions": {"A": "*"}}, "it takes in many values of a dimension"),
        ("cloudwatch", {"dimensions": {}, "matchExact": False}, "it takes in many values of a di"),
        ("cloudwatch", {"metricName": "a"}, "query it: it names no statistic"),
        (
            "cloudwatch",
            {"statistic": "Sum", "dimensions": {"A": "$two"}},
            "query it: $two has no value here: --set two=VALUE",
        ),
        ("grafana-datadog-datasource", {"metric": "a"}, "the form of its queries is not published"),
        ("stackdriver", {"queryType": "timeSeriesQuery"}, "it is a filter, or MQL; a KPI is asked"),
        ("mysql", {"rawSql": "SELECT 1"}, "it is of mysql, none of prometheus, influxdb, graphite"),
        ("prometheus", {}, "query it: it has no expression in PromQL"),
    ],
)
def test_what_a_panel_asks_and_a_kpi_can_not_says_why(
    kind: str, target: dict[str, Any], said: str
) -> None:
    checklist, losses = imported(kind, target)
    assert [each.name for each in checklist.kpis] == ["up"]
    assert said in losses


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ({"target": "summarize(a, '1m')"}, "graphite"),
        ({"measurement": "a", **EDITOR}, "influxdb"),
        (
            {
                "dsType": "influxdb",
                "rawQuery": True,
                "query": "SELECT sum(a) FROM b WHERE $timeFilter GROUP BY time(1m)",
            },
            "influxdb",
        ),
        ({"bucketAggs": [HISTOGRAM], "metrics": [{"type": "count"}]}, "elasticsearch"),
    ],
)
def test_an_older_panel_says_by_its_form_what_it_asks(target: dict[str, Any], kind: str) -> None:
    checklist, _ = imported("", target)
    assert checklist.sources[checklist.kpis[1].source].type == kind


def test_the_files_for_the_tests_have_a_kpi_of_each_kind() -> None:
    kinds = set()
    for name in ("panels.json", "providers.yaml"):
        findings = findings_of(FILES / name, values={"scope": "app:shop", "location": "eu"})
        kinds |= {each["type"] for each in findings.sources.values()}
        text = findings.proposal().checklist()
        load("checklist.yaml", environ=ENVIRON | MORE, text=text.encode())
    assert kinds == {"influxdb", "graphite", "elasticsearch", "loki", "cloudwatch", "datadog"} | {
        "newrelic",
        "prometheus",
    }
