"""Files of other tools become checklists that are valid, and what is lost on the way is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly.checklist.checklist import Checklist, load
from anomaly.cli.ending import run
from anomaly.errors import UsageError
from anomaly.imports import cloudwatch, datadog
from anomaly.imports.documents import Part
from anomaly.imports.findings import Findings
from anomaly.imports.queries import Query, alert, bad_direction, query_of
from anomaly.imports.reading import findings_of, gather
from anomaly.model import Direction, Empty, NoData

FILES = Path(__file__).parent / "files"
ENVIRON = {
    "PROMETHEUS_URL": "http://prometheus:9090",
    "DD_API_KEY": "k",
    "DD_APP_KEY": "a",
    "AWS_REGION": "eu-central-1",
}
VALUES = {"scope": "shop", "service": "shop"}


def imported(path: Path, **more: str) -> tuple[Checklist, Findings]:
    """The checklist that a file becomes, as it is read again, and what was found."""
    findings = findings_of(path, values=VALUES, **more)
    text = findings.proposal().checklist()
    return load("checklist.yaml", environ=ENVIRON, text=text.encode()), findings


def lost(findings: Findings) -> str:
    return "\n".join(f"{each.where}: {each.what}: {each.why}" for each in findings.losses)


def test_an_analysis_template_gives_queries_directions_addresses_and_dry_runs() -> None:
    checklist, findings = imported(FILES / "argo.yaml")

    success, latency, restarts, refused, balancer, queue = checklist.kpis
    assert checklist.service == "shop"
    assert (success.direction, latency.direction, queue.direction) == ("down", "up", "either")
    assert success.query.startswith("sum(increase(")
    assert 'service="shop"' in success.query
    assert success.denominator is not None
    assert "[$step]" in success.denominator
    assert (latency.by, latency.dry_run, success.dry_run) == (("route",), True, False)
    assert 'namespace="shop-prod"' in latency.query
    assert checklist.sources[queue.source].settings["url"] == "https://thanos.example.com"
    assert checklist.sources[latency.source].settings["url"] == "http://prometheus.monitoring:9090"
    assert restarts.query == (
        "max:kubernetes.containers.restarts{service:shop} by {zone}.rollup(avg, $step)"
    )
    assert (restarts.by, restarts.direction, refused.direction) == (("zone",), "up", "up")
    assert refused.query == (
        "moving_rollup(count:payments.refused{service:shop}.as_count().rollup(sum, $step), 300, "
        "'sum') / count:payments{service:shop}.as_count().rollup(sum, $step) * 100"
    )
    assert checklist.sources[refused.source].settings == {
        "api_key": "k",
        "application_key": "a",
    }
    assert balancer.denominator is None
    errors = json.loads(balancer.query.replace("$step", "60"))[1]
    assert errors["MetricStat"]["Metric"]["Dimensions"] == [{"Name": "service", "Value": "shop"}]
    assert (errors["MetricStat"]["Period"], errors["ReturnData"]) == (60, False)
    assert checklist.sources[balancer.source].settings == {"region": "eu-central-1"}
    said = lost(findings)
    for each in (
        "argo.yaml:19: spec.metrics[0].successCondition",
        "interval 1m, count 5, failureLimit 2 of success rate",
        "metric checkout works: its provider is web",
        "kind Deployment: only these are read",
        "direction of queue length",
        "timeout of latency",
    ):
        assert each in said


def test_a_placeholder_without_a_value_is_lost_and_the_option_is_named() -> None:
    findings = findings_of(FILES / "argo.yaml", values={})

    assert [each.kpi.name for each in findings.kpis] == ["latency", "queue length"]
    assert "spec.metrics[4]: metric balancer: {{args.service}} has no value" in lost(findings)
    assert "{{args.service}} has no value: --set service=VALUE" in lost(findings)


def test_a_canary_of_flagger_says_what_its_templates_are_asked() -> None:
    checklist, findings = imported(FILES / "flagger.yaml")

    errors, orders, balancer = checklist.kpis
    assert errors.direction is Direction.UP
    assert 'namespace="shop-prod", workload="shop", code=~"5.."}[$step]' in errors.query
    assert orders.query == ("sum:orders.paid{ kube_deployment:shop }.as_count().rollup(sum, $step)")
    assert orders.denominator == "sum:orders{kube_deployment:shop}.as_count().rollup(sum, $step)"
    assert checklist.sources[orders.source].settings["url"] == "https://api.datadoghq.eu"
    assert orders.direction is Direction.DOWN
    above, below = (
        json.loads(text.replace("$step", "60"))[0]
        for text in (balancer.query, balancer.denominator or "")
    )
    assert above["MetricStat"]["Metric"]["Dimensions"][0]["Value"] == "shop.shop-prod"
    assert (below["Id"], below["MetricStat"]["Period"], below["ReturnData"]) == ("m2", 60, True)
    assert checklist.sources[balancer.source].settings["region"] == "eu-central-1"
    said = lost(findings)
    for each in (
        "interval 1m, threshold 5, maxWeight 50",
        "max 0.01 of errors",
        "metric request-success-rate: a metric that is built into Flagger",
        "metric page views: its provider is dynatrace, none of prometheus, datadog, cloudwatch",
        "secretRef of orders",
        "webhooks",
    ):
        assert each in said


def test_a_template_without_its_canary_asks_for_it(tmp_path: Path) -> None:
    alone = tmp_path / "template.yaml"
    alone.write_text((FILES / "flagger.yaml").read_text().split("---")[0])

    with pytest.raises(UsageError, match=r"import the Canary, too, or --set namespace=VALUE"):
        findings_of(alone, values={})


def test_a_canary_configuration_gives_tolerances_weights_and_what_missing_data_mean() -> None:
    checklist, findings = imported(FILES / "kayenta.json")

    errors, restarts, memory, signups = checklist.kpis
    assert signups.query == "sum:signups{shop,env:prod}.as_count().rollup(sum, $step)"
    assert (signups.direction, checklist.sources[signups.source].type) == ("down", "datadog")
    assert (errors.direction, errors.tolerance, errors.critical) == (Direction.UP, 0.1, True)
    assert (errors.no_data, errors.empty, errors.usage) == (NoData.FAIL, Empty.ZERO, 30)
    assert errors.denominator == 'sum(increase(http_requests_total{app="shop"}[$step]))'
    assert restarts.query == 'sum(increase(restarts_total{app="shop"}[5m]))'
    assert (memory.usage, memory.by) == (40, ("zone",))
    assert memory.query == 'avg(process_resident_memory_bytes{job="shop"}) by (zone)'
    said = lost(findings)
    for each in ("criticalIncrease 1.5", "resourceType gce_instance", "it asks signalfx", "judge"):
        assert each in said


def test_alert_rules_give_the_measured_side_of_their_condition() -> None:
    checklist, findings = imported(FILES / "rules.yaml")

    errors, slow, orders = checklist.kpis
    assert (errors.name, errors.direction, errors.critical) == ("ManyErrors", Direction.UP, True)
    assert (errors.by, bool(errors.denominator)) == (("country",), True)
    assert (slow.direction, orders.direction) == (Direction.UP, Direction.DOWN)
    assert slow.query.startswith("histogram_quantile(")
    assert slow.query.endswith("))")
    said = lost(findings)
    for each in (
        "rules.yaml:11: groups[0].rules[1].for: for 10m of ManyErrors",
        "record job:requests:rate5m",
        "alert Down: it compares for equality",
        "alert Gone: absence is no KPI",
        "alert Either: it joins conditions by or",
        "> 1 of ManyErrors: a further condition",
        "one series for FewOrders",
    ):
        assert each in said


def test_a_resource_of_the_operator_and_a_list_of_resources_are_read(tmp_path: Path) -> None:
    rule = {"alert": "Slow", "expr": "latency > 1"}
    resource = {"kind": "PrometheusRule", "spec": {"groups": [{"name": "g", "rules": [rule]}]}}
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"kind": "List", "items": [resource]}))

    checklist, findings = imported(path)

    assert [each.query for each in checklist.kpis] == ["latency"]
    assert "items[0].spec.groups[0].rules[0]" in lost(findings)


def test_a_dashboard_gives_the_queries_of_its_panels() -> None:
    checklist, findings = imported(FILES / "grafana.json")

    requests, errors = checklist.kpis
    assert checklist.service == "Shop"
    assert (requests.name, requests.unit) == ("Requests of shop: all", "requests/s")
    assert requests.query == (
        'sum(rate(http_requests_total{job="shop", country=~"(DE|FR)", code=~".+"}[$step]))'
    )
    assert (errors.by, errors.direction) == (("country",), Direction.EITHER)
    said = lost(findings)
    for each in (
        "$pod has no value here: --set pod=VALUE",
        "$__range has no value here, for it is of a dashboard on a screen",
        "query Logs: it shows lines of a log; count them",
        "panel Shared: a library panel",
        "query Requests of shop: C: it is hidden",
        "thresholds of Requests",
        "direction of Errors",
    ):
        assert each in said


def test_an_address_may_be_given_and_a_secret_in_one_becomes_a_variable(tmp_path: Path) -> None:
    path = tmp_path / "argo.yaml"
    path.write_text(
        (FILES / "argo.yaml").read_text().replace("https://thanos", "https://me:hunter22@thanos")
    )

    given, _ = imported(path, prometheus="http://other:9090")
    named, findings = imported(path)

    urls = {each.settings.get("url") for each in given.sources.values()}
    assert urls == {"http://other:9090", None}
    assert "hunter22" not in findings.proposal().checklist() + lost(findings)
    assert "http://prometheus:9090" in {each.settings.get("url") for each in named.sources.values()}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"a": }', r"a\.json:1: not valid JSON: column 7"),
        ("a.json", "[" * 100_000, r"a\.json is nested more than 64 levels deep"),
        ("a.json", f'{{"n": {"9" * 5000}}}', r"a\.json: not valid JSON"),
        ("a.yaml", "a: [1\nb", r"a\.yaml:\d: not valid YAML"),
        ("a.yaml", "[" * 1_000, r"a\.yaml:1: nested more than 64 levels deep"),
        ("a.yaml", "? [a]\n: b", r"a\.yaml:1: a key is not plain text"),
        (
            "a.yaml",
            "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + "".join(
                f"{chr(98 + n)}: &{chr(98 + n)} [{f'*{chr(97 + n)},' * 10}]\n" for n in range(9)
            ),
            r"a\.yaml:\d: more than 500,000 values",
        ),
        ("a.yaml", "a: &a [*a]", r"a\.yaml has no KPI"),
        ("a.yaml", "", r"a\.yaml has no KPI that can be carried over; only these are read"),
        ("a.yaml", "kind: Pod\n---\njust text\n", r"kind Pod: only these are read"),
        ("a.yaml", "x" * (9 << 20), r"larger than 8 MiB"),
        (
            "a.yaml",
            "groups: [{rules: [{alert: A, expr: " + "(" * 30_000 + "}]}]",
            r"groups\[0\]\.rules\[0\]\.expr has more than 20,000 characters",
        ),
    ],
)
def test_a_bad_file_is_refused_with_its_place(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(text)

    with pytest.raises(UsageError, match=message):
        findings_of(path, values={})


@pytest.mark.parametrize(
    ("condition", "is_success", "direction"),
    [
        ("result[0] >= 0.95", True, "down"),
        ("result[0] >= 0.95", False, "up"),
        ("result < 5", True, "up"),
        ("0.1 > result[0]", True, "up"),
        ("len(result) == 0 || result[0] > 1", True, None),
        ("default(result, 0) < 0.05", True, "up"),
        ("all(result, # < 100)", True, "up"),
        ("result[0] > 1 && result[0] < 5", True, None),
        ("!(result[0] > 1)", True, None),
        ("true", True, None),
    ],
)
def test_a_condition_says_which_way_is_worse(
    condition: str, *, is_success: bool, direction: str | None
) -> None:
    assert bad_direction(condition, is_success=is_success) == direction


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("avg:cpu{*}", "avg:cpu{*}.rollup(avg, $step)"),
        ("cpu{a:b}.rollup(60)", "cpu{a:b}.rollup(avg, $step)"),
        ("max:cpu{a:b}.fill(null).rollup('max', 60)", "max:cpu{a:b}.fill(null).rollup(max, $step)"),
        (
            "100 - (sum:a{b}.as_count() / sum:c{d}.as_count()) * 100",
            "100 - (sum:a{b}.as_count().rollup(sum, $step) / "
            "sum:c{d}.as_count().rollup(sum, $step)) * 100",
        ),
        ("avg:a{b}/avg:c{d}", "avg:a{b}.rollup(avg, $step)/avg:c{d}.rollup(avg, $step)"),
        ("", "no metric of Datadog is in its query"),
        ("SELECT 1", "no metric of Datadog is in its query"),
    ],
)
def test_a_query_of_datadog_gets_the_step(text: str, asked: str) -> None:
    query = datadog.query_of(text)
    assert (query if isinstance(query, str) else query.above) == asked
    assert isinstance(query, str) or query.below is None


@pytest.mark.parametrize(
    "text",
    ["(sum:a{b}.as_count()) / (sum:c{d}.as_count())", "sum:a{b}.as_count()/sum:c{d}.as_count()"],
)
def test_a_ratio_of_counts_of_datadog_becomes_that_of_two_queries(text: str) -> None:
    query = datadog.query_of(text)
    assert isinstance(query, Query)
    assert query.above == "sum:a{b}.as_count().rollup(sum, $step)"
    assert query.below == "sum:c{d}.as_count().rollup(sum, $step)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT 1", "no JSON list"),
        ("[" * 100_000, "no JSON list"),
        ("[]", "no JSON list"),
        ('[{"Expression": "1"}]', "no JSON list"),
        ('[1, {"Id": "a", "Expression": "1"}]', "no JSON list"),
        ('[{"Id": "a"}, {"Id": "a"}]', "no JSON list"),
        ('[{"Id": "a"}, {"Id": "b"}]', "2 of its queries return data"),
    ],
)
def test_a_list_of_cloudwatch_that_is_no_kpi_says_why(text: str, said: str) -> None:
    assert said in str(cloudwatch.query_of(text))


def test_a_statistic_of_cloudwatch_that_is_no_text_makes_no_count() -> None:
    measured: dict[str, object] = {"MetricStat": {"Stat": []}, "ReturnData": False}
    sides = [{"Id": name, **measured} for name in ("a", "b")]
    query = cloudwatch.query_of(json.dumps([{"Id": "c", "Expression": "a / b"}, *sides]))
    assert isinstance(query, Query)
    assert query.below is None


def test_a_search_of_cloudwatch_gets_the_step() -> None:
    text = json.dumps([{"Id": "a", "Expression": "SUM(SEARCH('{A,B} C', 'Sum', 300))"}])
    query = cloudwatch.query_of(text)
    assert isinstance(query, Query)
    assert "SUM(SEARCH('{A,B} C', 'Sum', $step))" in query.above


@pytest.mark.parametrize(
    ("expression", "measured"),
    [
        ("a > 1", ("a", "up", "> 1")),
        ("(a >= bool 1)", ("a", "up", "> 1")),
        ("1 > sum(b)", ("sum(b)", "down", "< 1")),
        ('rate(a{x="<>=" }[5m]) * 100 > 2 unless b', ('rate(a{x="<>=" }[5m]) * 100', "up", "> 2")),
        ("(a > 1) and (b < 2)", ("a", "up", "> 1")),
        ("a - b > 60 * 60", ("a - b", "up", "> 60 * 60")),
    ],
)
def test_an_alert_is_split_at_its_condition(
    expression: str, measured: tuple[str, str, str]
) -> None:
    found = alert(expression)

    assert not isinstance(found, str)
    assert (found.expression, found.direction, found.threshold) == measured


@pytest.mark.parametrize(
    "expression", ["", "up == 0", "vector(1)", "absent(up)", "a > 1 or b", ">"]
)
def test_what_is_no_comparison_says_so(expression: str) -> None:
    assert isinstance(alert(expression), str)


@pytest.mark.parametrize(
    "text",
    [
        "sum(irate(a[5m])) / sum(irate(b[5m]))",  # of the last two samples alone
        "sum(rate(a[5m])) / sum(rate(b[5m] offset 1d))",
        "sum(a) / sum(b)",
        "sum(rate(a[5m]) * 2) / sum(rate(b[5m]))",
        "100 * sum(rate(a[5m])) / sum(rate(b[5m]))",
    ],
)
def test_only_a_ratio_of_sums_of_rates_becomes_one_of_counts(text: str) -> None:
    assert (query_of(text).above, query_of(text).below) == (text, None)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=20))
def test_any_text_is_read_or_refused_and_the_checklist_is_valid(
    expression: str, name: str, unit: str
) -> None:
    panel = {
        "title": name,
        "fieldConfig": {"defaults": {"unit": unit}},
        "targets": [{"expr": expression, "refId": name}, {"expr": f"sum(rate({expression}[1m]))"}],
    }
    rules = [{"rules": [{"alert": name, "expr": each} for each in (expression, f"{name} > 1")]}]
    document = {"title": name, "schemaVersion": 1, "panels": [panel], "groups": rules}
    for key in ("panels", "groups"):
        data = {each: value for each, value in document.items() if each in (key, "schemaVersion")}
        findings = Findings()
        gather([Part("any.json", data)], findings)
        text = findings.proposal().checklist()
        if findings.kpis:
            load("checklist.yaml", environ=ENVIRON, text=text.encode())


def test_the_command_writes_the_checklist_and_the_list_of_losses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROMETHEUS_URL", "http://prometheus:9090")
    source = str(FILES / "rules.yaml")

    assert run(["import", source, "--service", "checkout"]) == 0
    said = capsys.readouterr().out
    assert "read 3 KPIs from" in said
    assert "not carried over:" in said
    assert said.endswith("set PROMETHEUS_URL, then run: anomaly validate --probe checklist.yaml\n")
    assert run(["validate", "checklist.yaml"]) == 0
    assert "checkout, 3 KPIs, 1 source, 1 sink" in capsys.readouterr().out

    assert run(["import", source]) == 2
    assert "checklist.yaml already exists" in capsys.readouterr().err
    assert run(["import", source, "other.yaml", "--set", "x"]) == 2
    assert "--set x is not NAME=VALUE" in capsys.readouterr().err
    assert run(["import", "nothing.yaml", "other.yaml"]) == 2
    assert "nothing.yaml can't be read" in capsys.readouterr().err
