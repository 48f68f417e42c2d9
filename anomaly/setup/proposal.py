"""A first checklist for a service, from what a Prometheus holds of it: requests, the share of
errors, latency.

The names are those that the common client libraries and proxies give their metrics; nothing else is
guessed.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from anomaly.collectors.prometheus_access import Access
from anomaly.collectors.prometheus_http import Api, Budget, Outside, Question
from anomaly.errors import CollectError
from anomaly.wording import plain

COUNTERS = (
    r"(.+_)?requests?(_duration)?(_(seconds|milliseconds|ms))?_(total|count)"
    r"|grpc_server_handled_total"
)
BUCKETS = r"(.+_)?(request|requests|handling)(_.+)?_bucket"
SERVICES = (
    "service",
    "app",
    "application",
    "job",
)  # labels that say whose a series is, the telling one first
STATUSES = {  # label of the outcome → what in it is an error
    "code": "5..",
    "status": "5..",
    "status_code": "5..",
    "response_code": "5..",
    "http_status": "5..",
    "http_status_code": "5..",
    "grpc_code": "Unknown|DeadlineExceeded|Internal|Unavailable|DataLoss",
}
TIMEOUT_S, MOST_BYTES, MOST_SERVICES = 30.0, 33_554_432, 200
BREAKS = "\x7f\x85\u2028\u2029\ufeff"  # what YAML takes for the end of a line, or refuses
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is there of one service: a counter of requests, the outcome's label and the histogram of
    latency, as far as found."""

    service: str
    label: str
    counter: str
    per_hour: float
    status: str = ""
    histogram: str = ""
    others: Sequence[str] = field(default=())


def propose(access: Access, service: str = "", *, now: datetime | None = None) -> Proposal | None:
    """What to judge of a service, by default the busiest one; None if no requests are counted
    there. Raises CollectError."""
    queries = _Queries(access, now or datetime.now(UTC))
    grouped = ", ".join(["__name__", *SERVICES])
    proposals: dict[str, Proposal] = {}
    for labels, _ in queries.of(f'count by ({grouped}) ({{__name__=~"{COUNTERS}"}})'):
        label = next((each for each in SERVICES if labels.get(each)), "")
        if label:
            name, counter = labels[label], labels["__name__"]
            per_hour = sum(
                value
                for _, value in queries.of(f"sum(increase({_selector(counter, label, name)}[1h]))")
            )
            if name not in proposals or per_hour > proposals[name].per_hour:
                proposals[name] = Proposal(name, label, counter, per_hour)
        if len(proposals) > MOST_SERVICES:
            raise CollectError(
                f"{access.shown}: more than {MOST_SERVICES} services; name one by --service"
            )
    busiest = sorted(proposals.values(), key=lambda each: (-each.per_hour, each.service))
    choice = next((each for each in busiest if not service or each.service == service), None)
    if choice is None:
        if service and proposals:
            raise CollectError(
                f"{access.shown}: no requests of {plain(service, 60)!r} are counted; there are "
                f"those of {', '.join(sorted(proposals)[:12])}"
            )
        return None
    others = tuple(each.service for each in busiest if each is not choice)
    return queries.complete(choice, others)


class _Queries:
    """Instant questions to one server, all in one budget."""

    def __init__(self, access: Access, now: datetime) -> None:
        self._api = Api(
            access, timeout_s=TIMEOUT_S, max_bytes=MOST_BYTES, connections=1, outside=Outside()
        )
        self._budget = Budget(time.monotonic() + TIMEOUT_S, time.monotonic)
        self._now = now.replace(microsecond=0)

    def of(self, query: str) -> list[tuple[Labels, float]]:
        answer = self._api.ask(Question(query, self._now, self._now, 60), self._budget)
        return [
            (series["metric"], float(series["values"][-1][1]))
            for series in answer
            if series.get("values")
        ]

    def complete(self, proposal: Proposal, others: Sequence[str]) -> Proposal:
        mine = _selector(proposal.counter, proposal.label, proposal.service)
        labels = [set(labels) for labels, _ in self.of(f"sum by ({', '.join(STATUSES)}) ({mine})")]
        status = next((each for each in STATUSES if any(each in names for names in labels)), "")
        same = _matcher(proposal.label, proposal.service)
        buckets = sorted(
            {
                labels["__name__"]
                for labels, _ in self.of(f'group by (__name__) ({{__name__=~"{BUCKETS}", {same}}})')
            }
        )
        near = [
            each
            for each in buckets
            if each.startswith(re.sub(r"(_requests?)?_(total|count)$", "", proposal.counter))
        ]
        return Proposal(
            proposal.service,
            proposal.label,
            proposal.counter,
            proposal.per_hour,
            status,
            (near or buckets or [""])[0],
            others,
        )


def checklist(proposal: Proposal) -> str:
    """The proposal as the text of a checklist."""
    mine = _selector(proposal.counter, proposal.label, proposal.service)
    parts = [
        "# Proposed from the metrics in Prometheus; review it before you rely on it. Every key: "
        "docs/checklist.md.\n"
        "# Needs the environment variable PROMETHEUS_URL.\n"
        f"service: {_quoted(proposal.service)}\n"
        "sources:\n"
        '  prod: {type: prometheus, url: "${PROMETHEUS_URL}"}\n'
        "windows: {history: 28d, warmup: 5m, watch: 6h, step: 5m}\n"
        "timezone: UTC                            # your users' time zone, like Europe/Berlin\n"
        "false_alarms: 1%\n"
        "kpis:\n"
    ]
    if proposal.status:
        bad = f'{proposal.status}=~"{STATUSES[proposal.status]}"'
        failed = f"{mine[:-1]}, {bad}}}"
        parts.append(
            "  - name: errors\n"
            f"    query: {_quoted(f'sum(increase({failed}[$step]))')}\n"
            f"    denominator: {_quoted(f'sum(increase({mine}[$step]))')}\n"
            "    unit: errors per request\n    direction: up\n    tolerance: 10%\n    floor: "
            "0.001\n    critical: true\n    usage: 3\n"
        )
    if proposal.histogram:
        buckets = _selector(proposal.histogram, proposal.label, proposal.service)
        unit = next(
            (
                short
                for word, short in (("milliseconds", "ms"), ("_ms_", "ms"), ("seconds", "s"))
                if word in proposal.histogram
            ),
            "",
        )
        parts.append(
            "  - name: p95 latency\n"
            "    query: "
            f"{_quoted(f'histogram_quantile(0.95, sum by (le) (rate({buckets}[$step])))')}\n"
            f"    {f'unit: {unit}' if unit else 'kind: latency'}\n    direction: up\n    "
            "tolerance: 10%\n    usage: 2\n"
        )
    parts.append(
        "  - name: requests\n"
        f"    query: {_quoted(f'sum(increase({mine}[$step]))')}\n"
        "    unit: requests\n    kind: counts\n    direction: down\n    tolerance: 10%\n    "
        "no_data: fail\n"
    )
    parts.append("  # Add the business KPIs: orders, sign-ups, whatever the service is for.\n")
    if proposal.others:
        others = ", ".join(plain(each, 60) for each in proposal.others[:20])
        parts.append(
            f"# Other services, by traffic: {others}. For one of them: anomaly init "
            "--prometheus URL --service NAME\n"
        )
    parts.append("sinks: []\n")
    return "".join(parts)


def _selector(metric: str, label: str, value: str) -> str:
    return f"{metric}{{{_matcher(label, value)}}}"


def _matcher(label: str, value: str) -> str:
    return f"{label}={json.dumps(value, ensure_ascii=False)}"


def _quoted(text: str) -> str:
    """A YAML scalar: JSON's strings are some."""
    return json.dumps(text, ensure_ascii=False).translate(
        {ord(each): f"\\u{ord(each):04x}" for each in BREAKS}
    )
