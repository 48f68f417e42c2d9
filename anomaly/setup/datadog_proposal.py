"""A first checklist from the trace metrics that Datadog lists: names that its own agents give."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from anomaly.collectors.datadog import DatadogCollector
from anomaly.errors import UsageError
from anomaly.setup.proposal import Proposal
from anomaly.setup.service_kpis import LATELY, MOST_OF, Latency, of_requests, of_service, other

STEP = "$step"
SERVICE = re.compile(r"[\w.:/-]*")  # what can stand in a query
HITS, ERRORS = ".hits", ".errors"
TRACED = re.compile(r"trace\.[\w.]+\.hits")
SERVER = ("request", "server", "handler", "consume")  # how operations end that serve somebody


def propose(
    source: DatadogCollector, settings: Mapping[str, Any], service: str, now: datetime
) -> Proposal | None:
    """What to judge of a service by its trace metrics, by default of all services; None if there
    are none. Raises UsageError, CollectError."""
    if not SERVICE.fullmatch(service):
        raise UsageError("--service is no name of a service: letters, digits and _ . : / -")
    scope = f"service:{service}" if service else "*"
    names = frozenset(source.active(scope if service else "", now - LATELY))
    operations = [each.removesuffix(HITS) for each in names if TRACED.fullmatch(each)]
    traced = sorted(
        (each for each in operations if each + ERRORS in names),
        key=lambda each: (not each.endswith(SERVER), each),
    )
    kpis = []
    for operation in traced[:MOST_OF]:
        hits = f"sum:{operation}{HITS}{{{scope}}}.as_count().rollup(sum, {STEP})"
        errors = f"sum:{operation}{ERRORS}{{{scope}}}.as_count().rollup(sum, {STEP})"
        mean = Latency("mean", f"avg:{operation}{{{scope}}}.rollup(avg, {STEP})", "s")
        kpis += of_requests(
            operation.removeprefix("trace."),
            operation,
            (errors, hits),
            mean if operation in names else None,
        )
    others = [each.removeprefix("trace.") for each in traced[MOST_OF:]]
    return of_service(service, settings, kpis, remarks=other("operations", others))
