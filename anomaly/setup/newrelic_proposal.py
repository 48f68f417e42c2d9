"""A first checklist from the transactions that the agents of New Relic report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from anomaly.collectors.newrelic import NewRelicCollector
from anomaly.setup.proposal import Proposal
from anomaly.setup.service_kpis import LATELY, Latency, chosen, of_requests, of_service


def propose(
    source: NewRelicCollector, settings: Mapping[str, Any], service: str, now: datetime
) -> Proposal | None:
    """What to judge of an application, by default the busiest one; None if none had transactions.
    Raises CollectError."""
    begin, end = int((now - LATELY).timestamp()) * 1000, int(now.timestamp()) * 1000
    answer = source.asked(
        f"SELECT count(*) FROM Transaction FACET appName LIMIT MAX SINCE {begin} UNTIL {end}"  # noqa: S608  two numbers
    )
    traffic = {str(row["facet"]): float(row["count"]) for row in answer["results"]}
    if not traffic:
        return None
    name, others = chosen(traffic, service, "transactions")
    every = f"FROM Transaction WHERE appName = {_quoted(name)}"
    requests = f"SELECT count(*) {every}"
    kpis = of_requests(
        name,
        f"the transactions of {name}",
        (f"{requests} AND error IS true", requests),
        Latency("p95", f"SELECT percentile(duration, 95), count(*) {every}", "s"),
        each="transaction",
    )
    return of_service(name, settings, kpis, others=others)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
