"""Metrics of New Relic, InfluxDB, Graphite and Google in files of other tools."""

from __future__ import annotations

from typing import Any

import pytest

from anomaly.checklist.checklist import Checklist, load
from anomaly.imports import graphite, influxql, nrql
from anomaly.imports.documents import Part
from anomaly.imports.findings import Findings
from anomaly.imports.queries import Query
from anomaly.imports.reading import gather
from anomaly.model import Direction

ENVIRON = {
    "PROMETHEUS_URL": "http://prometheus:9090",
    "NEW_RELIC_ACCOUNT_ID": "7",
    "NEW_RELIC_API_KEY": "NRAK-1",
    "INFLUXDB_URL": "http://influx:8086",
    "INFLUXDB_DATABASE": "shop",
    "INFLUXDB_TOKEN": "t",
    "GRAPHITE_URL": "http://graphite",
    "GOOGLE_PROJECT": "shop",
}


def imported(*documents: Any, **values: str) -> tuple[Checklist, str]:
    """The checklist that documents become, as it is read again, and what was lost."""
    findings = Findings(values=values)
    gather([Part("any.json", each) for each in documents], findings)
    text = findings.proposal().checklist()
    said = "\n".join(f"{each.what}: {each.why}" for each in findings.losses)
    return load("checklist.yaml", environ=ENVIRON, text=text.encode()), said


def template(provider: dict[str, Any], **more: str) -> dict[str, Any]:
    """An AnalysisTemplate of Argo Rollouts, with a metric of Prometheus before the other."""
    prometheus = {"name": "up", "provider": {"prometheus": {"query": "sum(up)"}}}
    metrics = [prometheus, {"name": "it", "provider": provider, **more}]
    args = [{"name": "app", "value": "shop"}]
    return {"kind": "AnalysisTemplate", "spec": {"args": args, "metrics": metrics}}


def canary(provider: dict[str, Any], query: str) -> list[dict[str, Any]]:
    """A MetricTemplate of Flagger, and the Canary that uses it."""
    metrics = [
        {"name": "up", "query": "sum(up)"},
        {"name": "it", "templateRef": {"name": "t"}, "thresholdRange": {"max": 5}},
    ]
    spec = {"targetRef": {"name": "shop"}, "analysis": {"metrics": metrics}}
    return [
        {
            "kind": "MetricTemplate",
            "metadata": {"name": "t"},
            "spec": {"provider": provider, "query": query},
        },
        {"kind": "Canary", "metadata": {"name": "shop"}, "spec": spec},
    ]


def configuration(query: dict[str, Any]) -> dict[str, Any]:
    """A canary configuration of Kayenta."""
    metrics = [
        {"name": "up", "query": {"serviceType": "prometheus", "metricName": "up"}},
        {"name": "it", "query": query},
    ]
    return {"name": "shop", "judge": {"name": "j"}, "metrics": metrics}


def test_argo_rollouts_asks_new_relic() -> None:
    text = (
        "FROM Transaction SELECT percentage(count(*), WHERE code < 500) AS ok\n"
        "WHERE app = '{{ args.app }}' SINCE 5 minutes ago"
    )
    provider = {"newRelic": {"profile": "mine", "query": text}}
    checklist, said = imported(template(provider, successCondition="result.ok >= 95"))
    _, it = checklist.kpis
    assert it.query == (
        "FROM Transaction SELECT percentage(count(*), WHERE code < 500) AS ok WHERE app = 'shop'"
    )
    assert it.direction is Direction.DOWN
    assert checklist.sources[it.source].settings == {"account_id": "7", "api_key": "NRAK-1"}
    assert "profile of it: how to sign in" in said


def test_argo_rollouts_asks_graphite() -> None:
    query = (
        "target=summarize(\n"
        "  asPercent(sumSeries(shop.{{args.app}}.{a,b}.count), 100),\n  '5min', 'avg')"
    )
    provider = {"graphite": {"address": "http://graphite.example.com:9090", "query": query}}
    checklist, _ = imported(template(provider, successCondition="results[0] >= 90.0"))
    _, it = checklist.kpis
    assert it.query == (
        "summarize(asPercent(sumSeries(shop.shop.{a,b}.count),100),\"$step\",'avg')"
    )
    assert (it.by, it.direction) == ((), Direction.DOWN)
    assert checklist.sources[it.source].settings == {"url": "http://graphite.example.com:9090"}


def test_argo_rollouts_asks_google_in_promql() -> None:
    ratio = "sum(rate(a{app='{{args.app}}'}[1m])) / sum(rate(b[1m]))"
    provider = {"gcp": {"project": "my-project", "interval": "5m", "query": ratio}}
    checklist, said = imported(template(provider))
    _, it = checklist.kpis
    assert it.denominator == "sum(increase(b[$step]))"
    assert checklist.sources[it.source].settings == {
        "url": "https://monitoring.googleapis.com/v1/projects/my-project/location/global/prometheus",
        "sign_in": "google",
    }
    assert "interval of it" in said


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ({"influxdb": {"query": 'from(bucket: "a")'}}, "metric it: it is Flux"),
        ({"gcp": {"project": "a", "filter": "metric.type=b"}}, "metric it: it is a filter; a KPI"),
        ({"newRelic": {"query": "show"}}, "KPI it: it has no SELECT"),
        ({"skywalking": {"query": "a"}}, "metric it: its provider is skywalking, none of"),
    ],
)
def test_what_argo_rollouts_asks_and_a_kpi_can_not_says_why(
    provider: dict[str, Any], said: str
) -> None:
    checklist, losses = imported(template(provider))
    assert [each.name for each in checklist.kpis] == ["up"]
    assert said in losses


def test_flagger_asks_graphite_and_new_relic() -> None:
    query = "target=summarize(sumSeries(shop.{{target}}.errors), {{interval}}, 'sum')"
    checklist, said = imported(*canary({"type": "graphite", "secretRef": {"name": "s"}}, query))
    _, it = checklist.kpis
    assert it.query == "summarize(sumSeries(shop.shop.errors),\"$step\",'sum')"
    assert (it.direction, checklist.sources[it.source].settings["url"]) == (
        Direction.UP,
        "http://graphite",
    )
    assert "secretRef of it" in said
    nrql_text = "SELECT sum(errors) / sum(requests) FROM Metric WHERE app = '{{ target }}'"
    checklist, _ = imported(*canary({"type": "newrelic"}, nrql_text))
    assert checklist.kpis[1].query == nrql_text.replace("{{ target }}", "shop")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("influxdb", "metric it: it is Flux"),
        ("stackdriver", "metric it: it is a filter, or MQL; a KPI is asked of Google in PromQL"),
        ("splunk", "metric it: its provider is splunk"),
    ],
)
def test_what_flagger_asks_and_a_kpi_can_not_says_why(kind: str, said: str) -> None:
    assert said in imported(*canary({"type": kind}, "fetch k8s_container"))[1]


def test_kayenta_asks_new_relic() -> None:
    whole = (
        "SELECT rate(count(*), ${step} seconds) FROM Transaction TIMESERIES ${step} seconds "
        "SINCE ${startEpochSeconds} UNTIL "
        "${endEpochSeconds} WHERE code LIKE '5%' AND autoScalingGroupName LIKE '${scope}' "
        "FACET region"
    )
    query = {"type": "newrelic", "customInlineTemplate": whole}
    checklist, _ = imported(configuration(query), scope="shop%")
    assert checklist.kpis[1].query == (
        "SELECT rate(count(*), $step seconds) FROM Transaction WHERE code LIKE '5%' AND "
        "autoScalingGroupName LIKE 'shop%' FACET region"
    )
    assert checklist.kpis[1].by == ("region",)
    parts = {"type": "newrelic", "select": "SELECT count(*) FROM Transaction", "q": "code = 500"}
    checklist, said = imported(configuration(parts))
    assert checklist.kpis[1].query == "SELECT count(*) FROM Transaction WHERE code = 500"
    assert "scope of it: it selects the instances of a canary" in said


def test_kayenta_asks_influxdb_and_graphite() -> None:
    text = "SELECT sum(n) FROM orders WHERE ${timeFilter} AND ${scope} GROUP BY time(${step}), host"
    checklist, _ = imported(
        configuration({"serviceType": "influxdb", "customInlineTemplate": text}), scope="app:shop"
    )
    assert checklist.kpis[1].query == (
        "SELECT sum(n) FROM orders WHERE time >= $start AND time < $end AND app = 'shop' "
        "GROUP BY time($step), host"
    )
    assert checklist.kpis[1].by == ("host",)
    checklist, said = imported(
        configuration({"type": "graphite", "metricName": "shop.$location.$scope.errors"}),
        scope="web",
        location="eu",
    )
    assert checklist.kpis[1].query == 'summarize(shop.eu.web.errors,"$step","avg")'
    assert "steps of it: its values are averaged over each step" in said


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"type": "influxdb", "metricName": "cpu", "fields": ["n"]}, "it asks for single points"),
        ({"type": "influxdb", "customInlineTemplate": "${scope}"}, "${scope} has no value; give"),
        ({"type": "graphite", "metricName": "a.$scope"}, "--set scope=VALUE"),
        ({"type": "graphite"}, "metric it: it names no metric"),
        ({"type": "newrelic"}, "it has neither a template nor a select"),
        (
            {
                "type": "newrelic",
                "customInlineTemplate": "SELECT a FROM b WHERE c > ${endEpochSeconds}",
            },
            "KPI it: it has the time of a run elsewhere than in SINCE and UNTIL",
        ),
        ({"type": "newrelic", "customFilterTemplate": "a"}, "the template a is not in the file"),
        ({"type": "stackdriver"}, "metric it: it is a filter, or MQL"),
        ({"type": "wavefront"}, "metric it: it asks wavefront, none of prometheus, datadog, newr"),
    ],
)
def test_what_kayenta_asks_and_a_kpi_can_not_says_why(query: dict[str, Any], said: str) -> None:
    assert said in imported(configuration(query))[1]


@pytest.mark.parametrize(
    ("text", "asked", "by"),
    [
        ("a.b", 'summarize(a.b,"$step","avg")', ()),
        ("a.*.b", 'summarize(a.*.b,"$step","avg")', None),
        ("sumSeries(a.*.b)", 'summarize(sumSeries(a.*.b),"$step","avg")', ()),
        ('hitcount(sumSeries(a.*), "1min")', 'hitcount(sumSeries(a.*),"$step")', ()),
        (
            "alias(summarize(a.{b,c}, '1h'), 'x, y')",
            "alias(summarize(a.{b,c},\"$step\"),'x, y')",
            None,
        ),
        (
            'divideSeries(summarize(a,"1h","sum"),summarize(b,"1h","sum"))',
            'divideSeries(summarize(a,"$step","sum"),summarize(b,"$step","sum"))',
            (),
        ),
        (
            "groupByNode(a.*.b, 1, 'sum')",
            'summarize(groupByNode(a.*.b,1,\'sum\'),"$step","avg")',
            None,
        ),
    ],
)
def test_a_target_of_graphite_gets_the_step(
    text: str, asked: str, by: tuple[str, ...] | None
) -> None:
    query = graphite.query_of(text)
    assert isinstance(query, Query)
    assert (query.above, query.by, query.below) == (asked, by, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("target=a&from=-1h", "several targets"),
        ("sumSeries(#A)", "refers to another query"),
        ("sumSeries(a", "can't be read"),
        ("", "can't be read"),
    ],
)
def test_a_target_that_is_no_kpi_says_why(text: str, said: str) -> None:
    assert said in str(graphite.query_of(text))


WHERE = f"FROM orders WHERE {influxql.WITHIN}"


@pytest.mark.parametrize(
    ("text", "asked", "by"),
    [
        (
            f"SELECT sum(n) {WHERE} GROUP BY time(1m) fill(null);",
            f"SELECT sum(n) {WHERE} GROUP BY time($step) fill(null)",
            (),
        ),
        (
            f"select mean(n) {WHERE} group by \"my host\"::tag, time($step, 5m), 'b' order by time",
            f"select mean(n) {WHERE} group by \"my host\"::tag, time($step, 5m), 'b' order by time",
            ("my host", "'b'"),
        ),
        (
            f"SELECT mean(n) {WHERE} GROUP BY time($step), *",
            f"SELECT mean(n) {WHERE} GROUP BY time($step), *",
            None,
        ),
    ],
)
def test_a_query_of_influxdb_gets_the_step(
    text: str, asked: str, by: tuple[str, ...] | None
) -> None:
    query = influxql.query_of(text)
    assert isinstance(query, Query)
    assert (query.above, query.by) == (asked, by)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('from(bucket: "a") |> range(start: -1h)', "it is Flux"),
        ("SHOW DATABASES", "not a single SELECT"),
        (f"SELECT a {WHERE} GROUP BY time(1m); DROP b", "not a single SELECT"),
        ("SELECT sum(n) FROM a GROUP BY time(1m)", "its time is not that of the screen"),
        (f"SELECT n {WHERE}", "it has no steps"),
        (f"SELECT n {WHERE} GROUP BY host", "it has no steps"),
        (f"SELECT sum(a), sum(b) {WHERE} GROUP BY time(1m)", "it selects several values"),
    ],
)
def test_a_query_of_influxdb_that_is_no_kpi_says_why(text: str, said: str) -> None:
    assert said in str(influxql.query_of(text))


@pytest.mark.parametrize(
    ("text", "asked", "by"),
    [
        ("SELECT a FROM b LIMIT MAX SINCE 1 day ago UNTIL now", "SELECT a FROM b", ()),
        (
            "SELECT a FROM b WHERE c = 'since 1' TIMESERIES auto SLIDE BY 5 FACET d, `e f` LIMIT 5",
            "SELECT a FROM b WHERE c = 'since 1' FACET d, `e f`",
            ("d", "e f"),
        ),
        (
            "FROM b SELECT a COMPARE WITH 1 week ago FACET CASES(WHERE x = 1)",
            "FROM b SELECT a FACET CASES(WHERE x = 1)",
            None,
        ),
    ],
)
def test_a_query_of_new_relic_loses_its_time(
    text: str, asked: str, by: tuple[str, ...] | None
) -> None:
    query = nrql.query_of(text)
    assert isinstance(query, Query)
    assert (query.above, query.by) == (asked, by)
