"""CloudWatch as moto plays it, which checks the signature of each request and the policy of its
user, and evaluates metrics by their period; of expressions it knows a name alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.session import Session

from anomaly.checklist.checklist import load
from anomaly.collectors.cloudwatch import CloudWatchCollector
from anomaly.contracts import Collected
from anomaly.model import Kpi, Window
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE
from anomaly.setup.doctor import State, examine
from tests.support.aws import REGION
from tests.support.servers import moto

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.slow]

START, STEP = datetime(2025, 6, 3, 6, tzinfo=UTC), timedelta(minutes=5)
WINDOW = Window(START, START + 4 * STEP)
# moto names a permission by what the signature calls the service: Amazon says cloudwatch
MAY_READ = {"Effect": "Allow", "Action": "monitoring:GetMetricData", "Resource": "*"}
POLICY = {"Version": "2012-10-17", "Statement": [MAY_READ]}
SAMPLES = [  # step, country and orders
    (-1, "DE", 9.0),
    (0, "DE", 3.0),
    (0, "DE", 4.0),
    (0, "FR", 5.0),
    (1, "FR", 6.0),
    (3, "DE", 2.0),
    (4, "DE", 9.0),
]
Keys = dict[str, str]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, Keys]]]:
    """Where it is, and the keys of a user who may read metrics and of one who may not."""
    with moto(tmp_path_factory.mktemp("moto"), open_requests=6) as server:
        root = Session()
        root.set_credentials("root", "root")

        def client(name: str) -> Any:
            return root.create_client(name, region_name=REGION, endpoint_url=server.url)

        iam, keys = client("iam"), dict[str, Keys]()
        for user in ("reader", "stranger"):
            iam.create_user(UserName=user)
            made = iam.create_access_key(UserName=user)["AccessKey"]
            keys[user] = {
                "AWS_ACCESS_KEY_ID": made["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"],
            }
        iam.put_user_policy(UserName="reader", PolicyName="p", PolicyDocument=json.dumps(POLICY))
        data = [
            {
                "MetricName": "Orders",
                "Dimensions": [{"Name": "Country", "Value": country}],
                "Timestamp": START + step * STEP + STEP / 2,
                "Value": value,
            }
            for step, country, value in SAMPLES
        ]
        client("cloudwatch").put_metric_data(Namespace="Shop", MetricData=data)
        yield server.url, keys


@pytest.fixture
def as_user(
    service: tuple[str, dict[str, Keys]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Any:
    """Puts the keys of a user into the environment, and nothing else that could sign."""

    def act(user: str, **other: str) -> str:
        url, keys = service
        variables = (
            keys[user]
            | other
            | {
                "AWS_CONFIG_FILE": str(tmp_path / "none"),
                "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
                "AWS_EC2_METADATA_DISABLED": "true",
            }
        )
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return url

    return act


def orders(*countries: str, stat: str = "Sum") -> str:
    """A query for the orders of countries, each labelled by its name."""
    queries = [
        {
            "Id": country.lower(),
            "Label": country,
            "MetricStat": {
                "Stat": stat,
                "Period": "$step",
                "Metric": {
                    "Namespace": "Shop",
                    "MetricName": "Orders",
                    "Dimensions": [{"Name": "Country", "Value": country}],
                },
            },
        }
        for country in countries
    ]
    return json.dumps(queries).replace('"$step"', "$step")


def collected(url: str, *kpis: Kpi) -> Collected:
    source = CloudWatchCollector(region=REGION, url=url, sleep=lambda _: None)
    return source.collect(kpis, WINDOW, STEP)


def test_each_step_has_the_statistic_of_its_period(as_user: Any) -> None:
    kpis = [
        Kpi("sum", "prod", orders("DE")),
        Kpi("mean", "prod", orders("DE", stat="Average")),
        Kpi("by country", "prod", orders("DE", "FR"), by=("country",)),
        Kpi("share", "prod", orders("DE"), denominator=orders("FR")),
    ]
    about = collected(as_user("reader"), *kpis)
    assert about.errors == {}
    german = [7, np.nan, np.nan, 2]
    for name, values in {
        ("sum", "", VALUE): german,
        ("mean", "", VALUE): [3.5, np.nan, np.nan, 2],
        ("by country", "country=DE", VALUE): german,
        ("by country", "country=FR", VALUE): [5, 6, np.nan, np.nan],
        ("share", "", NUMERATOR): [7, 0, np.nan, 2],
        ("share", "", DENOMINATOR): [5, 6, np.nan, np.nan],
    }.items():
        np.testing.assert_array_equal(about.panel[name], values)


def test_a_wrong_key_and_a_user_who_may_not_say_so(as_user: Any) -> None:
    query = Kpi("orders", "prod", orders("DE"))
    url = as_user("reader", AWS_SECRET_ACCESS_KEY="wr0ng-s3cret")
    assert "signature we calculated does not match" in str(collected(url, query).errors["orders"])
    error = str(collected(as_user("stranger"), query).errors["orders"])
    assert "is not authorized to perform" in error
    assert "may the keys do cloudwatch:GetMetricData?" in error


def test_doctor_says_what_the_source_answers(as_user: Any, tmp_path: Path) -> None:
    path = tmp_path / "checklist.yaml"
    url = as_user("reader")
    source = {"type": "cloudwatch", "region": REGION, "url": url}
    kpi = {"name": "orders", "source": "prod", "query": orders("DE"), "direction": "down"}
    tree = {
        "service": "shop",
        "sources": {"prod": source},
        "windows": {"step": "5m"},
        "kpis": [kpi],
    }
    path.write_text(json.dumps(tree), encoding="utf-8")
    for user, state, said in (
        ("reader", State.OK, "1 of 1 KPIs answered"),
        ("stranger", State.FAILED, "1 of 1 KPIs got no answer"),
    ):
        as_user(user)
        check, *_ = examine(load(path), lambda: str(tmp_path / "history.db"), now=START + 6 * STEP)
        assert (check.name, check.state) == ("source prod", state), check
        assert said in check.said
