"""A first checklist from what a Prometheus holds of a service: errors, latency, traffic,
saturation.

The names are those that the common client libraries and proxies give their metrics; nothing else is
guessed. What was not found is said, with where it was looked for.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from anomaly.collectors.prometheus_access import Access
from anomaly.collectors.prometheus_http import Api, Budget, Outside, Question
from anomaly.collectors.replicas import REPLICAS
from anomaly.errors import CollectError
from anomaly.model import Direction, Kpi, KpiKind, NoData, Windows
from anomaly.setup.proposal import Proposal, ProposedKpi, history_of
from anomaly.steps import DAY
from anomaly.timing.durations import duration_text
from anomaly.wording import plain

COUNTERS = (
    r"(.+_)?(requests?|responses?|rq|calls|handled)(_(received|served|completed|processed))?"
    r"(_duration|_latency)?(_(seconds|milliseconds|ms))?_(total|count)"
    r"|nginx_ingress_controller_requests"
)
OF_THE_MONITORING = re.compile(  # what every process, or the monitoring, counts of itself
    r"(promhttp|prometheus|alertmanager|grafana|loki|thanos|cortex|mimir|net_conntrack|scrape)_.*"
)
STEM = re.compile(r"(_requests?|_responses?)?(_duration)?(_seconds)?_(total|count)$")
BUCKETS = r"(.+_)?(requests?|responses?|handling|latency|duration|rq)(_.+)?_bucket"
ERRORS = r"(.+_)?(errors?|failures?|failed|exceptions?|5xx)(_.+)?_total"
LIKE_BUCKETS = "http_request_duration_seconds_bucket"  # what is said of where it was looked
LIKE_ERRORS = "http_errors_total, payment_failures_total"
LIKE_BUSY = (
    "process_cpu_seconds_total, container_cpu_usage_seconds_total, queue_length, "
    "http_requests_in_flight"
)
LIKE_BUILDS = "build_info, shop_build_info, app_info"
BUSY = (  # the metrics of saturation, the telling one first, and what they are
    (r"(process|container)_cpu(_usage)?_seconds_total", "cpu", "cores"),
    (r"(.+_)?queue_(length|size|depth)", "queue length", ""),
    (r"(.+_)?(in_?flight|active)_(requests|connections)(_.+)?", "requests in flight", ""),
    (r"(.+_)?(requests|connections)_(in_?flight|active|in_progress)", "requests in flight", ""),
)
BUILDS = r"(.+_)?(build|version|app|target)_info"
VERSIONS = (
    *("version", "service_version", "app_version", "release", "tag", "revision", "commit"),
    *("git_commit", "sha"),
)
NO_BUILDS = ("go_build_info", "prometheus_build_info")  # of the language and of the server
SERVICES = (
    "service",
    "app",
    "application",
    "job",
)  # labels that say whose a series is, the telling one first
OUTCOMES = (  # labels that may hold the outcome of a request, the telling one first
    *("code", "status", "status_code", "response_code", "http_status", "http_status_code"),
    *("http_response_status_code", "status_class", "code_class", "grpc_code", "grpc_status"),
    *("outcome", "result", "success"),
)
NUMBERS, CLASSES = re.compile(r"[1-5]\d\d"), re.compile(r"[1-5]xx", re.IGNORECASE)
GRPC_ERRORS = ("Unknown", "DeadlineExceeded", "Internal", "Unavailable", "DataLoss")
GRPC_NUMBERS = ("2", "4", "13", "14", "15")  # the same
BAD = re.compile(r"err|fail|fault|exception|timeout|^false$|unavailable|abort", re.IGNORECASE)
NOT_OURS = re.compile(r"client", re.IGNORECASE)  # an error of the caller
GOOD = re.compile(r"^(ok|success\w*|succeeded|true|completed?)$", re.IGNORECASE)
MOST_HISTORY = Windows().history
TIMEOUT_S, MOST_BYTES, MOST_SERVICES, MOST_COUNTERS = 30.0, 33_554_432, 200, 100
Labels = Mapping[str, str]


@dataclass(slots=True)
class _Counter:
    """A counter of requests of one service, and of its labels of the outcome the values."""

    name: str
    label: str
    service: str
    outcomes: dict[str, set[str]] = field(default_factory=dict)
    per_hour: float = 0.0

    @property
    def selector(self) -> str:
        return _selector(self.name, _matcher(self.label, self.service))

    @property
    def stem(self) -> str:
        """What the names of the metrics beside it begin with."""
        return re.sub(
            r"(_requests?|_responses?)?(_duration)?(_seconds)?_(total|count)$", "", self.name
        )

    @property
    def errors(self) -> str:
        """The matcher of its errors; empty if no label tells them."""
        return next((each for each in map(self._errors, OUTCOMES) if each), "")

    @property
    def rank(self) -> tuple[bool, bool, float]:
        return not OF_THE_MONITORING.fullmatch(self.name), bool(self.errors), self.per_hour

    def _errors(self, label: str) -> str:
        values = self.outcomes.get(label, set())
        if not values:
            return ""
        if label.startswith("grpc"):
            words = GRPC_NUMBERS if all(each.isdigit() for each in values) else GRPC_ERRORS
            return f'{label}=~"{"|".join(words)}"'
        if any(NUMBERS.fullmatch(each) for each in values):
            return f'{label}=~"5.."'
        if classes := [each for each in values if CLASSES.fullmatch(each)]:
            return f'{label}="5{min(classes)[1:]}"'
        bad = sorted(each for each in values if BAD.search(each) and not NOT_OURS.search(each))
        if bad:
            return f"{label}=~{json.dumps('|'.join(map(re.escape, bad)), ensure_ascii=False)}"
        good = sorted(each for each in values if GOOD.fullmatch(each))
        return f"{label}!~{json.dumps('|'.join(good))}" if good else ""


@dataclass(frozen=True, slots=True)
class ServiceProposal:
    """A proposal, and in a line each what was found and what was not."""

    proposal: Proposal
    notes: Sequence[str]


def propose(
    access: Access, settings: Mapping[str, str], service: str = "", *, now: datetime | None = None
) -> ServiceProposal | None:
    """What to judge of a service, by default the busiest one whose errors can be told; None if no
    requests are counted there. `settings` are those of the source. Raises CollectError."""
    queries = _Queries(access, now or datetime.now(UTC))
    by_service: dict[str, _Counter] = {}
    for counter in _counters(queries):
        best = by_service.get(counter.service)
        if best is None or counter.rank > best.rank:
            by_service[counter.service] = counter
        if len(by_service) > MOST_SERVICES:
            raise CollectError(
                f"{access.where}: more than {MOST_SERVICES} services; name one by --service"
            )
    best_first = sorted(
        sorted(by_service.values(), key=lambda each: each.service),
        key=lambda each: each.rank,
        reverse=True,
    )
    choice = next((each for each in best_first if not service or each.service == service), None)
    if choice is None:
        if service and by_service:
            raise CollectError(
                f"{access.where}: no requests of {plain(service, 60)!r} are counted; there are "
                f"those of {', '.join(sorted(filter(None, by_service))[:12]) or 'no named one'}"
            )
        return None
    others = [each.service for each in best_first if each is not choice and each.service]
    return _of(queries, choice, settings, others)


class _Queries:
    """Questions to one server, all in one budget."""

    def __init__(self, access: Access, now: datetime) -> None:
        self._api = Api(
            access, timeout_s=TIMEOUT_S, max_bytes=MOST_BYTES, connections=1, outside=Outside()
        )
        self._budget = Budget(time.monotonic() + TIMEOUT_S, time.monotonic)
        self.now = now.replace(microsecond=0)

    def of(self, query: str) -> list[tuple[Labels, float]]:
        """The series of a query and their values now."""
        answer = self._api.ask(Question(query, self.now, self.now, 60), self._budget)
        return [
            (series["metric"], float(series["values"][-1][1]))
            for series in answer
            if _has_samples(series)
        ]

    def of_names(self, query: str) -> list[tuple[Labels, float]]:
        """The same, of a query by name; what has none is no answer to it."""
        return [each for each in self.of(query) if each[0].get("__name__")]

    def names(self, pattern: str, matcher: str) -> list[str]:
        """The names of the metrics of a service that match a pattern."""
        series = self.of_names(f"group by (__name__) ({_named(pattern, matcher)})")
        return sorted({labels["__name__"] for labels, _ in series})

    def age(self, selector: str) -> timedelta:
        """How long there have been samples, up to a little more than a history."""
        step = timedelta(hours=1)
        start = self.now - MOST_HISTORY - DAY
        question = Question(f"group({selector})", start, self.now, int(step.total_seconds()))
        firsts = [
            float(series["values"][0][0])
            for series in self._api.ask(question, self._budget)
            if _has_samples(series)
        ]
        return timedelta(seconds=self.now.timestamp() - min(firsts)) if firsts else timedelta(0)


def _has_samples(series: Mapping[str, Any]) -> bool:
    samples = series.get("values")
    return samples is not None and len(samples) > 0


def _counters(queries: _Queries) -> Iterator[_Counter]:
    """The counters of requests of each service, with how much they count."""
    grouped = ", ".join(["__name__", *SERVICES, *OUTCOMES])
    counters: dict[tuple[str, str, str], _Counter] = {}
    for labels, _ in queries.of_names(f'count by ({grouped}) ({{__name__=~"{COUNTERS}"}})'):
        label = next((each for each in SERVICES if labels.get(each)), "")
        key = (labels["__name__"], label, labels.get(label, ""))
        counter = counters.setdefault(key, _Counter(*key))
        for each in OUTCOMES:
            if labels.get(each):
                counter.outcomes.setdefault(each, set()).add(labels[each])
    names = sorted({name for name, _, _ in counters})
    for name in names[:MOST_COUNTERS]:
        for labels, value in queries.of(f"sum by ({', '.join(SERVICES)}) (increase({name}[1h]))"):
            label = next((each for each in SERVICES if labels.get(each)), "")
            if (key := (name, label, labels.get(label, ""))) in counters:
                counters[key].per_hour += value
    yield from counters.values()


def _of(
    queries: _Queries, counter: _Counter, settings: Mapping[str, str], others: Sequence[str]
) -> ServiceProposal:
    matcher = _matcher(counter.label, counter.service)
    kpis, notes = [], []
    for name, proposed, where in (
        ("errors", _errors(queries, counter, matcher), _where_errors(counter)),
        ("latency", _latency(queries, counter, matcher), f"metrics like {LIKE_BUCKETS}"),
        ("traffic", _traffic(counter), ""),
        (
            "saturation",
            _saturation(queries, counter, matcher),
            f"metrics like {LIKE_BUSY}",
        ),
    ):
        if proposed is not None:
            kpis.append(proposed)
        notes.append(
            f"{name}: {proposed.why}"
            if proposed is not None
            else f"{name}: not found; looked for {where}{_with(matcher)}"
        )
    age = queries.age(counter.selector)
    history = history_of(age, MOST_HISTORY)
    windows = Windows(history=history)
    why = "a baseline of four weeks, then the watch after a release"
    if history < MOST_HISTORY:
        why = f"{counter.name} goes back {_days(age)}; four weeks of history would be better"
    releases, found_releases = _releases(queries, settings, matcher)
    notes.append(f"releases: {found_releases}")
    remarks = [line for line in notes if ": not found;" in line]
    if replicas := _replicas(queries, counter):
        remarks.append(
            f"{', '.join(replicas)} of {counter.name} name replicas, which come and go with each "
            "release: leave them out of by"
        )
        notes.append(remarks[-1])
    proposal = Proposal(
        service=counter.service or "service",
        sources={"prod": settings},
        kpis=kpis,
        windows=windows,
        why_windows=why,
        remarks=remarks,
        releases=releases,
        others=others,
    )
    return ServiceProposal(proposal, [plain(each, 400) for each in notes])


def _errors(queries: _Queries, counter: _Counter, matcher: str) -> ProposedKpi | None:
    requests = f"sum(increase({counter.selector}[$step]))"
    if counter.errors:
        failed = _selector(counter.name, matcher, counter.errors)
        why = f"the share of {counter.name} with {counter.errors}"
    else:
        names = [
            each for each in queries.names(ERRORS, matcher) if not OF_THE_MONITORING.fullmatch(each)
        ]
        near = [each for each in names if each.startswith(counter.stem)] or names
        if not near:
            return None
        failed = _selector(near[0], matcher)
        why = f"{near[0]} per {counter.name}"
    return ProposedKpi(
        Kpi(
            "errors",
            query=f"sum(increase({failed}[$step]))",
            denominator=requests,
            unit="errors per request",
            direction=Direction.UP,
            tolerance=0.1,
            floor=0.001,
            critical=True,
            usage=3,
        ),
        why,
    )


def _where_errors(counter: _Counter) -> str:
    return f"the labels {', '.join(OUTCOMES)} of {counter.name}, and metrics like {LIKE_ERRORS}"


def _latency(queries: _Queries, counter: _Counter, matcher: str) -> ProposedKpi | None:
    names = [
        each for each in queries.names(BUCKETS, matcher) if not OF_THE_MONITORING.fullmatch(each)
    ]
    near = [each for each in names if each.startswith(counter.stem)] or names
    if not near:
        return None
    unit = next(
        (
            short
            for word, short in (("milliseconds", "ms"), ("_ms_", "ms"), ("seconds", "s"))
            if word in near[0]
        ),
        "",
    )
    buckets = _selector(near[0], matcher)
    return ProposedKpi(
        Kpi(
            "p95 latency",
            query=f"histogram_quantile(0.95, sum by (le) (rate({buckets}[$step])))",
            unit=unit,
            kind=None if unit else KpiKind.LATENCY,
            direction=Direction.UP,
            tolerance=0.1,
            usage=2,
        ),
        f"the 95th percentile of {near[0]}",
    )


def _traffic(counter: _Counter) -> ProposedKpi:
    return ProposedKpi(
        Kpi(
            "requests",
            query=f"sum(increase({counter.selector}[$step]))",
            unit="requests",
            kind=KpiKind.COUNTS,
            direction=Direction.DOWN,
            tolerance=0.1,
            no_data=NoData.FAIL,
        ),
        f"{counter.name}, about {counter.per_hour:,.0f} an hour",
    )


def _saturation(queries: _Queries, counter: _Counter, matcher: str) -> ProposedKpi | None:
    for pattern, name, unit in BUSY:
        names = queries.names(pattern, matcher)
        near = [each for each in names if each.startswith(counter.stem)] or names
        if not near:
            continue
        selector = _selector(near[0], matcher)
        of_time = near[0].endswith("_total")
        return ProposedKpi(
            Kpi(
                name,
                query=f"sum(rate({selector}[$step]))" if of_time else f"sum({selector})",
                unit=unit,
                direction=Direction.UP,
                tolerance=0.2,
                dry_run=True,
            ),
            f"{near[0]}; a change is reported and never fails a release, until you remove dry_run",
        )
    return None


def _releases(
    queries: _Queries, settings: Mapping[str, str], matcher: str
) -> tuple[Mapping[str, str], str]:
    """The settings of a source of releases, empty if there is none, and what was found."""
    if "${" in matcher:  # it would be taken for a variable
        return {}, f"not looked for{_with(matcher)}"
    grouped = ", ".join(["__name__", *VERSIONS])
    builds = queries.of_names(f"count by ({grouped}) ({_named(BUILDS, matcher)})")
    for label in VERSIONS:
        for labels, _ in sorted(builds, key=lambda each: each[0]["__name__"]):
            if labels.get(label) and labels["__name__"] not in NO_BUILDS:
                query = f"sum by ({label}) ({_selector(labels['__name__'], matcher)})"
                return {**settings, "query": query, "label": label}, (
                    f"a new {label} of {labels['__name__']}"
                )
    return {}, f"not found; looked for metrics like {LIKE_BUILDS}{_with(matcher)}"


def _replicas(queries: _Queries, counter: _Counter) -> list[str]:
    """The labels of a counter that name replicas."""
    candidates = sorted(REPLICAS - {"id", "uid"})
    series = queries.of(f"group by ({', '.join(candidates)}) ({counter.selector})")
    return sorted({name for labels, _ in series for name in labels})


def _days(length: timedelta) -> str:
    return f"{length / DAY:.3g} days" if length >= DAY else duration_text(length)


def _matcher(label: str, value: str) -> str:
    """The matcher of a service; empty where no label names one."""
    return f"{label}={json.dumps(value, ensure_ascii=False)}" if label else ""


def _selector(name: str, *matchers: str) -> str:
    inside = ", ".join(each for each in matchers if each)
    return f"{name}{{{inside}}}" if inside else name


def _named(pattern: str, matcher: str) -> str:
    """The selector of all metrics of a service whose names match."""
    return _selector("", f'__name__=~"{pattern}"', matcher)


def _with(matcher: str) -> str:
    return f" with {matcher}" if matcher else ""
