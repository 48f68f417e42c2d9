"""A first checklist from the names of metrics that a source lists: requests, errors, latency.

The names are those that the vendors give to what their own agents and services measure; nothing
else is guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from anomaly.collectors.cloudwatch import CloudWatchCollector, Metric
from anomaly.collectors.datadog import DatadogCollector
from anomaly.model import Direction, Kpi, KpiKind, NoData, Windows
from anomaly.setup.proposal import Proposal, ProposedKpi
from anomaly.wording import plain

LATELY = timedelta(hours=3)
MOST_OF = 3  # operations, load balancers or functions with KPIs of their own
LONGEST_NAME = 60
STEP = "$step"
HITS, ERRORS = ".hits", ".errors"
TRACED = re.compile(r"trace\.[\w.]+\.hits")
SERVER = ("request", "server", "handler", "consume")  # how operations end that serve somebody
BALANCER, FUNCTION = "AWS/ApplicationELB", "AWS/Lambda"


def from_datadog(
    source: DatadogCollector, settings: Mapping[str, str], service: str, *, now: datetime
) -> Proposal | None:
    """What to judge of a service by the trace metrics of Datadog, by default of all services; None
    if there are none. Raises CollectError."""
    scope = f"service:{service}" if service else "*"
    names = frozenset(source.active(scope if service else "", now - LATELY))
    operations = [each.removesuffix(HITS) for each in names if TRACED.fullmatch(each)]
    traced = sorted(
        (each for each in operations if each + ERRORS in names),
        key=lambda each: (not each.endswith(SERVER), each),
    )
    kpis = []
    for operation in traced[:MOST_OF]:
        name = plain(operation.removeprefix("trace."), LONGEST_NAME)
        hits, errors = (
            f"sum:{operation}{end}{{{scope}}}.as_count().rollup(sum, {STEP})"
            for end in (HITS, ERRORS)
        )
        mean = f"avg:{operation}{{{scope}}}.rollup(avg, {STEP})" if operation in names else ""
        kpis += _of_requests(name, operation, (errors, hits), ("mean", mean, "s"))
    others = [each.removeprefix("trace.") for each in traced[MOST_OF:]]
    return _proposal(service, {"prod": settings}, kpis, "operations", others)


def from_cloudwatch(
    source: CloudWatchCollector, settings: Mapping[str, str], service: str
) -> Proposal | None:
    """What to judge of the load balancers and functions of a region whose names hold that of the
    service; None if there are none. Raises CollectError."""
    kpis, others = list[ProposedKpi](), list[str]()
    for namespace, dimension, requests, errors, latency in (
        (
            BALANCER,
            "LoadBalancer",
            "RequestCount",
            "HTTPCode_Target_5XX_Count",
            ("TargetResponseTime", "s"),
        ),
        (FUNCTION, "FunctionName", "Invocations", "Errors", ("Duration", "ms")),
    ):
        found = _values(source.listed(namespace, requests), dimension, service)
        for value in found[:MOST_OF]:
            where = {"Namespace": namespace, "Dimensions": [{"Name": dimension, "Value": value}]}
            name = plain(value.removeprefix("app/").partition("/")[0], LONGEST_NAME)
            ratio = (_measured(where, errors, "Sum"), _measured(where, requests, "Sum"))
            slow = ("p95", _measured(where, latency[0], "p95"), latency[1])
            kpis += _of_requests(name, f"{namespace} {value}", ratio, slow)
        others += found[MOST_OF:]
    return _proposal(service, {"prod": settings}, kpis, "load balancers and functions", others)


def _of_requests(
    name: str, origin: str, ratio: tuple[str, str], latency: tuple[str, str, str]
) -> list[ProposedKpi]:
    """Errors, latency and traffic of what serves requests; a latency without a query is left
    out."""
    errors, requests = ratio
    word, slow, unit = latency
    why = plain(origin, 2 * LONGEST_NAME)
    found = [
        ProposedKpi(
            Kpi(
                f"errors of {name}",
                query=errors,
                denominator=requests,
                unit="errors per request",
                direction=Direction.UP,
                tolerance=0.1,
                floor=0.001,
                critical=True,
                usage=3,
            ),
            f"errors per request of {why}",
        ),
        ProposedKpi(
            Kpi(
                f"{word} latency of {name}",
                query=slow,
                unit=unit,
                direction=Direction.UP,
                tolerance=0.1,
                usage=2,
            ),
            f"the {word} latency of {why}",
        ),
        ProposedKpi(
            Kpi(
                f"requests of {name}",
                query=requests,
                unit="requests",
                kind=KpiKind.COUNTS,
                direction=Direction.DOWN,
                tolerance=0.1,
                no_data=NoData.FAIL,
            ),
            f"requests of {why}",
        ),
    ]
    return [each for each in found if each.kpi.query]


def _measured(where: Mapping[str, object], name: str, statistic: str) -> str:
    """The MetricDataQuery of a metric, in JSON, with the step as its period."""
    metric = {**where, "MetricName": name}
    query = {"Id": "kpi", "MetricStat": {"Metric": metric, "Period": STEP, "Stat": statistic}}
    return json.dumps([query], ensure_ascii=False).replace(f'"{STEP}"', STEP)


def _values(metrics: Iterable[Metric], dimension: str, service: str) -> list[str]:
    """The values of a dimension that stands alone, and holds the name of the service."""
    alone = (each[dimension] for each in metrics if [*each] == [dimension])
    return sorted({each for each in alone if service in each})


def _proposal(
    service: str,
    sources: Mapping[str, Mapping[str, str]],
    kpis: Sequence[ProposedKpi],
    what: str,
    others: Sequence[str],
) -> Proposal | None:
    if not kpis:
        return None
    shown = ", ".join(plain(each, LONGEST_NAME) for each in others[:12])
    return Proposal(
        service=service or "service",
        sources=sources,
        kpis=kpis,
        windows=Windows(),
        why_windows="a baseline of four weeks, then the watch after a release",
        remarks=[f"Other {what}: {shown}"] if others else [],
    )
