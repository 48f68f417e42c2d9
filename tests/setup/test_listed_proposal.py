"""Checklists from the names of metrics that Datadog and CloudWatch list, by their documentation."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.session import Session
from botocore.validate import ParamValidator

from anomaly.checklist.checklist import Checklist, load
from anomaly.checklist.registry import COLLECTORS
from anomaly.cli.ending import run
from anomaly.cli.start import WHERE
from anomaly.collectors.cloudwatch import CloudWatchCollector
from anomaly.collectors.datadog import DatadogCollector
from anomaly.errors import CollectError
from anomaly.setup import cloudwatch_proposal, datadog_proposal
from anomaly.setup.proposal import Proposal
from anomaly.setup.source_proposal import PLACES
from tests.support.aws import KEYS, REGION, wrong_signature
from tests.support.loopback import Loopback, Request, answer

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

NOW = datetime(2025, 6, 3, 12, tzinfo=UTC)
KEYS_OF_DATADOG = {"DD_API_KEY": "4p1-k3y-0123", "DD_APP_KEY": "4pp-k3y-0123"}
MODEL = Session().get_service_model("cloudwatch").operation_model("ListMetrics")
NAMES = [
    "system.cpu.idle",
    "trace.redis.command.hits",
    "trace.redis.command.errors",
    "trace.http.request",
    "trace.http.request.hits",
    "trace.http.request.errors",
    "trace.grpc.server.hits",
    "trace.grpc.server.errors",
    "trace.silent.request.hits",
    "trace.a{b}.hits",
    "trace.a{b}.errors",
    *(f"trace.zoo{number}.{end}" for number in range(2) for end in ("hits", "errors")),
]


def checklist(proposal: Proposal | None) -> Checklist:
    """The proposal as it is read again."""
    assert proposal is not None
    return load(
        "checklist.yaml", environ=KEYS_OF_DATADOG, text=proposal.checklist().encode("utf-8")
    )


def of_datadog(body: str, service: str = "", status: int = 200) -> tuple[Proposal | None, Request]:
    with Loopback([answer(status, body)]) as server:
        source = DatadogCollector(api_key="k", application_key="a", url=server.origin)
        settings = {
            "type": "datadog",
            "api_key": "${DD_API_KEY}",
            "application_key": "${DD_APP_KEY}",
        }
        proposal = datadog_proposal.propose(source, settings, service, NOW)
        return proposal, server.requests[0]


def test_operations_of_datadog_become_errors_latency_and_traffic() -> None:
    proposal, request = of_datadog(json.dumps({"from": "1", "metrics": NAMES}), "shop")

    target = urlsplit(request.line.split()[1])
    assert target.path == "/api/v1/metrics"
    assert parse_qs(target.query) == {
        "from": [str(int(NOW.timestamp()) - 3 * 3600)],
        "tag_filter": ["service:shop"],
    }
    assert request.headers["dd-api-key"] == "k"
    kpis = {each.name: each for each in checklist(proposal).kpis}
    assert [*kpis] == [
        "errors of grpc.server",
        "requests of grpc.server",
        "errors of http.request",
        "mean latency of http.request",
        "requests of http.request",
        "errors of redis.command",
        "requests of redis.command",
    ]
    errors = kpis["errors of http.request"]
    assert errors.query == (
        "sum:trace.http.request.errors{service:shop}.as_count().rollup(sum, $step)"
    )
    assert errors.denominator == kpis["requests of http.request"].query
    assert (errors.direction, errors.critical) == ("up", True)
    latency = kpis["mean latency of http.request"]
    assert latency.query == "avg:trace.http.request{service:shop}.rollup(avg, $step)"
    assert proposal is not None
    assert proposal.remarks == ["Other operations: zoo0, zoo1"]


@pytest.mark.parametrize("metrics", [[], ["system.cpu.idle"], ["trace.a.hits"], [1, None]])
def test_without_operations_nothing_is_proposed(metrics: list[Any]) -> None:
    assert of_datadog(json.dumps({"metrics": metrics}))[0] is None


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, "[]", "it lists no metrics"),
        (200, '{"metrics": {}}', "it lists no metrics"),
        (403, '{"errors": ["Forbidden"]}', "with metrics_read?"),
    ],
)
def test_what_datadog_refuses_says_what_to_change(status: int, body: str, said: str) -> None:
    with pytest.raises(CollectError, match=said.replace("?", r"\?")):
        of_datadog(body, status=status)


def test_init_writes_a_checklist_that_holds_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in KEYS_OF_DATADOG.items():
        monkeypatch.setenv(name, value)
    with Loopback([answer(200, json.dumps({"metrics": NAMES}))] * 2) as server:
        assert run(["init", "--source", f"datadog={server.origin}"]) == 0
        assert run(["init", "none.yaml", "--datadog", server.origin, "--service", "a b"]) == 2
    said = capsys.readouterr()
    text = Path("checklist.yaml").read_text(encoding="utf-8")
    assert "found 7 KPIs\n  errors of grpc.server: errors per request of trace.grpc" in said.out
    assert "--service is no name of a service" in said.err
    assert not any(key in text + said.out + said.err for key in KEYS_OF_DATADOG.values())
    assert load("checklist.yaml", environ=KEYS_OF_DATADOG, text=text.encode()).kpis


def test_init_names_the_variables_that_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in KEYS_OF_DATADOG:
        monkeypatch.delenv(name, raising=False)
    assert run(["init", "--datadog", "https://api.datadoghq.eu"]) == 2
    assert "set DD_API_KEY and DD_APP_KEY to sign in" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["loky=http://h", "datadog", "datadog=", "=http://h"])
def test_a_source_of_no_known_type_lists_the_types(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["init", "--source", source]) == 2
    assert "--source is not as it must be; use one of prometheus=URL, " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_load_balancers_and_functions_become_errors_latency_and_traffic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    asked = []
    balancers = [
        *([{"Name": "LoadBalancer", "Value": f"app/shop-{each}/1a2b"}] for each in "dcba"),
        [{"Name": "LoadBalancer", "Value": "app/other/1a2b"}],
        [
            {"Name": "LoadBalancer", "Value": "app/shop-a/1a2b"},
            {"Name": "TargetGroup", "Value": "targetgroup/x/1"},
        ],
    ]

    def reply(request: Request) -> tuple[int, str]:
        assert not wrong_signature(request, "monitoring")
        assert request.headers["x-amz-target"].endswith(".ListMetrics")
        body = json.loads(request.body)
        report = ParamValidator().validate(body, MODEL.input_shape)
        assert not report.has_errors(), report.generate_report()
        asked.append((body["Namespace"], body["MetricName"], body.get("NextToken")))
        if body["Namespace"] == "AWS/Lambda":
            found = [[{"Name": "FunctionName", "Value": "shop-mail"}]]
            return 200, json.dumps({"Metrics": [{"Dimensions": each} for each in found]})
        part = balancers[:3] if "NextToken" not in body else balancers[3:]
        more = {"NextToken": "more"} if "NextToken" not in body else {}
        return 200, json.dumps({"Metrics": [{"Dimensions": each} for each in part], **more})

    with Loopback.by(reply) as server:
        source = CloudWatchCollector(region=REGION, url=server.origin)
        proposal = cloudwatch_proposal.propose(
            source, {"type": "cloudwatch", "region": REGION}, "shop", NOW
        )

    assert asked == [
        ("AWS/ApplicationELB", "RequestCount", None),
        ("AWS/ApplicationELB", "RequestCount", "more"),
        ("AWS/Lambda", "Invocations", None),
    ]
    read = checklist(proposal)
    assert [each.name for each in read.kpis][::3] == [
        *(f"errors of shop-{each}" for each in "abc"),
        "errors of shop-mail",
    ]
    slow = next(each for each in read.kpis if each.name == "p95 latency of shop-a")
    (query,) = json.loads(slow.query.replace("$step", "300"))
    assert query["MetricStat"] == {
        "Metric": {
            "Namespace": "AWS/ApplicationELB",
            "Dimensions": [{"Name": "LoadBalancer", "Value": "app/shop-a/1a2b"}],
            "MetricName": "TargetResponseTime",
        },
        "Period": 300,
        "Stat": "p95",
    }
    assert proposal is not None
    assert proposal.remarks == ["Other load balancers and functions: app/shop-d/1a2b"]


def test_a_balancer_and_a_function_of_one_name_have_kpis_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)

    def reply(request: Request) -> tuple[int, str]:
        is_function = json.loads(request.body)["Namespace"] == "AWS/Lambda"
        name, value = ("FunctionName", "shop") if is_function else ("LoadBalancer", "app/shop/1")
        return 200, json.dumps({"Metrics": [{"Dimensions": [{"Name": name, "Value": value}]}]})

    with Loopback.by(reply) as server:
        source = CloudWatchCollector(region=REGION, url=server.origin)
        settings = {"type": "cloudwatch", "region": REGION}
        made = checklist(cloudwatch_proposal.propose(source, settings, "", NOW))
    assert [each.name for each in made.kpis][::3] == ["errors of shop", "errors of shop 2"]


def test_each_kind_of_source_that_can_be_asked_is_one_that_there_is() -> None:
    assert {*WHERE} <= {*COLLECTORS.built_in}
    for name in PLACES:
        assert callable(import_module(f"anomaly.setup.{name}_proposal").propose)
        assert name in WHERE


@pytest.mark.parametrize("body", ["{}", '{"Metrics": [1]}', '{"Metrics": [{"Dimensions": 1}]}'])
def test_an_answer_of_another_form_is_an_error(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with Loopback([answer(200, body)]) as server:
        source = CloudWatchCollector(region=REGION, url=server.origin)
        with pytest.raises(CollectError, match="lists no metrics in its answer"):
            cloudwatch_proposal.propose(source, {}, "", NOW)
