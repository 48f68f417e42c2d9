"""A first checklist from the load balancers and functions that CloudWatch has metrics of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from anomaly.collectors.cloudwatch import CloudWatchCollector, Metric
from anomaly.setup.proposal import Proposal, ProposedKpi
from anomaly.setup.service_kpis import MOST_OF, Latency, of_requests, of_service, other

STEP = "$step"
KINDS = (  # namespace, dimension, requests, errors, latency and its unit
    (
        *("AWS/ApplicationELB", "LoadBalancer", "RequestCount", "HTTPCode_Target_5XX_Count"),
        *("TargetResponseTime", "s"),
    ),
    ("AWS/Lambda", "FunctionName", "Invocations", "Errors", "Duration", "ms"),
)


def propose(
    source: CloudWatchCollector, settings: Mapping[str, Any], service: str, _now: datetime
) -> Proposal | None:
    """What to judge of the load balancers and functions of a region whose names hold that of the
    service; None if there are none. Raises CollectError."""
    kpis, others = list[ProposedKpi](), list[str]()
    for namespace, dimension, requests, errors, latency, unit in KINDS:
        values = _values(source.listed(namespace, requests), dimension, service)
        for value in values[:MOST_OF]:
            where = {"Namespace": namespace, "Dimensions": [{"Name": dimension, "Value": value}]}
            kpis += of_requests(
                value.removeprefix("app/").partition("/")[0],
                f"{namespace} {value}",
                (_measured(where, errors, "Sum"), _measured(where, requests, "Sum")),
                Latency("p95", _measured(where, latency, "p95"), unit),
            )
        others += values[MOST_OF:]
    remarks = other("load balancers and functions", others)
    return of_service(service, settings, kpis, remarks=remarks)


def _measured(where: Mapping[str, object], name: str, statistic: str) -> str:
    """The MetricDataQuery of a metric, in JSON, with the step as its period."""
    metric = {**where, "MetricName": name}
    query = {"Id": "kpi", "MetricStat": {"Metric": metric, "Period": STEP, "Stat": statistic}}
    return json.dumps([query], ensure_ascii=False).replace(f'"{STEP}"', STEP)


def _values(metrics: Iterable[Metric], dimension: str, service: str) -> list[str]:
    """The values of a dimension that stands alone, and holds the name of the service."""
    alone = (each[dimension] for each in metrics if [*each] == [dimension])
    return sorted({each for each in alone if service in each})
