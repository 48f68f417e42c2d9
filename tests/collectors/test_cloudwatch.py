"""GetMetricData of CloudWatch: each request is checked against the vendor's own model of the API
and its signature computed anew, each answer is one that the vendor's client can read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from botocore.parsers import create_parser
from botocore.session import Session
from botocore.validate import ParamValidator

from anomaly.collectors.cloudwatch import CloudWatchCollector
from anomaly.contracts import Collected
from anomaly.errors import RetryableCollectError, UsageError
from anomaly.model import Kpi, Window
from anomaly.panel import DENOMINATOR, VALUE
from tests.support.aws import KEYS, REGION, wrong_signature
from tests.support.loopback import Loopback, Request

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

START, STEP = datetime(2025, 6, 3, 6, tzinfo=UTC), timedelta(minutes=5)
WINDOW = Window(START, START + 3 * STEP)
SEARCH = "SUM(SEARCH('{Shop,Country} MetricName=\"Orders\"', 'Sum', $step))"
MODEL = Session().get_service_model("cloudwatch").operation_model("GetMetricData")


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


def result(
    values: Sequence[float], name: str = "kpi", label: str = "Orders", **more: object
) -> dict[str, Any]:
    moments = [START.timestamp() + 300 * row for row in range(len(values))]
    return {
        "Id": name,
        "Label": label,
        "Timestamps": moments,
        "Values": [*values],
        "StatusCode": "Complete",
        **more,
    }


class Service:
    """Answers a page after the other; checks what it is asked."""

    def __init__(self, *pages: dict[str, Any]) -> None:
        self.pages, self.asked = [*pages], list[dict[str, Any]]()

    @contextmanager
    def running(self) -> Iterator[str]:
        with Loopback.by(self.reply) as server:
            yield server.origin

    def reply(self, request: Request) -> tuple[int, str]:
        if refusal := wrong_signature(request, "monitoring"):
            return 403, json.dumps({"__type": "InvalidSignatureException", "message": refusal})
        assert request.headers["x-amz-target"] == f"{TARGET_PREFIX}.GetMetricData"
        assert request.headers["content-type"] == "application/x-amz-json-1.0"
        asked = json.loads(request.body)
        as_client = asked | {
            name: datetime.fromtimestamp(asked[name], UTC) for name in ("StartTime", "EndTime")
        }
        report = ParamValidator().validate(as_client, MODEL.input_shape)
        assert not report.has_errors(), report.generate_report()
        self.asked.append(asked)
        page = self.pages.pop(0)
        if "__type" in page:
            return 400, json.dumps(page)
        text = json.dumps(page)
        read = create_parser("json").parse(
            {"status_code": 200, "headers": {}, "body": text.encode()}, MODEL.output_shape
        )
        assert [each["Values"] for each in read["MetricDataResults"]] == [
            each["Values"] for each in page["MetricDataResults"]
        ]
        return 200, text


TARGET_PREFIX = MODEL.service_model.metadata["targetPrefix"]


def collected(service: Service, *kpis: Kpi) -> Collected:
    with service.running() as url:
        source = CloudWatchCollector(region=REGION, url=url, sleep=lambda _: None)
        return source.collect(kpis, WINDOW, STEP)


def test_an_expression_is_asked_with_the_step_as_its_period() -> None:
    service = Service({"MetricDataResults": [result([1.0, 2.0, 3.0])]})
    about = collected(service, Kpi("orders", "prod", SEARCH))
    np.testing.assert_array_equal(about.panel["orders", "", VALUE], [1, 2, 3])
    assert service.asked == [
        {
            "MetricDataQueries": [
                {"Id": "kpi", "Expression": SEARCH.replace("$step", "300"), "Period": 300}
            ],
            "StartTime": 1748930400,
            "EndTime": 1748931300,
            "ScanBy": "TimestampAscending",
        }
    ]


def test_a_list_of_queries_is_asked_as_it_is() -> None:
    queries = """[
      {"Id": "all", "Expression": "bad + good"},
      {"Id": "bad", "ReturnData": false, "MetricStat": {"Stat": "Sum", "Period": $step,
       "Metric": {"Namespace": "Shop", "MetricName": "Bad"}}},
      {"Id": "good", "ReturnData": false, "MetricStat": {"Stat": "Sum", "Period": $step,
       "Metric": {"Namespace": "Shop", "MetricName": "Good"}}}]"""
    service = Service({"MetricDataResults": [result([4.0], "all")]})
    about = collected(service, Kpi("orders", "prod", queries))
    assert about.panel["orders", "", VALUE].tolist()[0] == 4
    assert service.asked[0]["MetricDataQueries"][1]["MetricStat"]["Period"] == 300


def test_pages_belong_together_and_labels_are_the_one_name_of_by() -> None:
    first = result([1.0], "kpi", "DE", StatusCode="PartialData")
    second = result([1.0, 2.0], "kpi", "DE")
    service = Service(
        {"MetricDataResults": [first, result([5.0], "kpi", "FR")], "NextToken": "more"},
        {"MetricDataResults": [second]},
    )
    about = collected(service, Kpi("orders", "prod", SEARCH, by=("country",)))
    assert about.errors == {}
    np.testing.assert_array_equal(about.panel["orders", "country=DE", VALUE], [1, 2, np.nan])
    np.testing.assert_array_equal(about.panel["orders", "country=FR", VALUE], [5, np.nan, np.nan])
    assert service.asked[1]["NextToken"] == "more"


def test_a_ratio_is_two_expressions() -> None:
    pages = [{"MetricDataResults": [result([8.0, 8.0])]}] * 2
    kpi = Kpi("errors", "prod", SEARCH, denominator=SEARCH.replace("Orders", "Requests"))
    about = collected(Service(*pages), kpi)
    assert about.panel["errors", "", DENOMINATOR].tolist()[:2] == [8, 8]


def test_a_throttled_request_is_asked_again() -> None:
    throttled = {"__type": "ThrottlingException", "message": "Rate exceeded"}
    service = Service(throttled, {"MetricDataResults": [result([1.0])]})
    assert collected(service, Kpi("orders", "prod", SEARCH)).errors == {}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("PartialData", "partial: CloudWatch answered PartialData for Orders"),
        ("Forbidden", "auth: CloudWatch refuses Orders"),
        ("InternalError", "unavailable: CloudWatch had an error"),
    ],
)
def test_an_incomplete_answer_is_an_error(status: str, said: str) -> None:
    service = Service({"MetricDataResults": [result([1.0], StatusCode=status)]})
    error = collected(service, Kpi("orders", "prod", SEARCH)).errors["orders"]
    assert str(error).startswith(said)
    assert isinstance(error, RetryableCollectError) == (status == "InternalError")


@pytest.mark.parametrize(
    ("kpi", "said"),
    [
        (Kpi("a", "prod", "[{"), "begins like JSON, but is none"),
        (Kpi("a", "prod", "[1]"), "holds objects alone"),
        (Kpi("a", "prod", SEARCH, by=("x", "y")), "give one name"),
    ],
)
def test_a_query_that_can_not_be_asked_says_why(kpi: Kpi, said: str) -> None:
    assert said in str(collected(Service(), kpi).errors["a"])


def test_steps_that_are_no_periods_and_odd_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="periods of 1, 5, 10, 20 and 30 s"):
        CloudWatchCollector(region=REGION).collect([], WINDOW, timedelta(seconds=90))
    with pytest.raises(UsageError, match="region is not one of AWS"):
        CloudWatchCollector(region="x/y")
    with pytest.raises(UsageError, match="url holds a user"):
        CloudWatchCollector(region=REGION, url="https://a:b@127.0.0.1")
