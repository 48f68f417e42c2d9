"""A first checklist from the names in Graphite's tree that count requests and errors, or are
latencies."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from anomaly.collectors.graphite import GraphiteCollector
from anomaly.model import Windows
from anomaly.setup.frame_proposal import windows_of
from anomaly.setup.named_numbers import Group, Role, groups, role_of, statistic_of
from anomaly.setup.proposal import Proposal, ProposedKpi
from anomaly.setup.service_kpis import (
    LATELY,
    Latency,
    chosen,
    of_requests,
    of_service,
    other,
    unit_of,
)

DEEPEST = 6  # nodes before the name
NAMES = (
    "*{request,hits,calls,invocations,error,fail,exception,5xx,latency,duration,"
    "response_time,responseTime,elapsed}*"
)
ENDS = (
    "{count,counter,value,total,mean,avg,average,median,p95,p99,p90,upper_95,upper_99,upper_90,"
    "95percentile,99percentile,percentile_95,perc95}"
)
SAFE = re.compile(r"[\w.:%+#@~=-]+")  # what needs no quotes in a target
STATSD = re.compile(r"^stats(_counts)?\.((counters|timers|gauges)\.)?")
OWN = "carbon."  # what Graphite counts of itself
MOST_GROUPS = 20  # whose traffic is asked for
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Traffic:
    """How much a metric counted of late, and whether it only grew."""

    amount: float
    only_grows: bool


def propose(
    source: GraphiteCollector, settings: Mapping[str, Any], service: str, now: datetime
) -> Proposal | None:
    """What to judge of a service, which is a path in the tree or a node of it, by default the
    busiest one; None if no name counts requests. Raises CollectError."""
    targets = _targets(source)
    names: dict[str, list[str]] = {}
    for group, name in targets:
        names.setdefault(group, []).append(name)
    candidates = [each for each in groups(names) if each.first(Role.REQUESTS)]
    mine = [each for each in candidates if service in {each.name, *each.name.split(".")}]
    picked = (mine or candidates)[:MOST_GROUPS]
    counts = [targets[each.name, each.first(Role.REQUESTS)] for each in picked]
    traffic = _traffic(source, counts, now) if picked else {}
    amounts = {picked[place].name: each.amount for place, each in traffic.items() if each.amount}
    if not amounts:
        return None
    choice, others = chosen(amounts, "" if mine else service, "requests")
    place = next(place for place, each in enumerate(picked) if each.name == choice)
    kpis = _kpis(picked[place], targets, only_grows=traffic[place].only_grows)
    windows = _windows(source, counts[place], now)
    rest = [each.name for each in (mine or candidates)[MOST_GROUPS:]]
    remarks = other("paths, which were not compared", rest)
    return of_service(choice, settings, kpis, windows=windows, others=others, remarks=remarks)


def _targets(source: GraphiteCollector) -> dict[tuple[str, str], str]:
    """The target of each number, by its group and its name."""
    targets: dict[tuple[str, str], str] = {}
    for depth in range(DEEPEST + 1):
        pattern = "*." * depth + NAMES
        for path in _summed(sorted({*source.paths([pattern, f"{pattern}.{ENDS}"])})):
            nodes = path.split(".")
            group = STATSD.sub("", ".".join([*nodes[:depth], ""])).strip(".")
            targets.setdefault((group, ".".join(nodes[depth:])), path)
    return targets


def _summed(paths: Sequence[str]) -> Iterator[str]:
    """The paths, with * for nodes with a number if several differ by nothing else."""
    safe = [each for each in paths if SAFE.fullmatch(each) and not each.startswith(OWN)]
    patterns = {each: ".".join(map(_node, each.split("."))) for each in safe}
    several = Counter(patterns.values())
    yield from dict.fromkeys(
        pattern if several[pattern] > 1 else path for path, pattern in patterns.items()
    )


def _node(name: str) -> str:
    is_replica = any(map(str.isdecimal, name)) and not (role_of("", name) or statistic_of(name))
    return "*" if is_replica else name


def _traffic(source: GraphiteCollector, counts: Sequence[str], now: datetime) -> dict[int, Traffic]:
    """The traffic of metrics by their place."""
    targets = [f'aliasSub({each}, "^.*$", "{place}")' for place, each in enumerate(counts)]
    values: dict[int, list[list[float]]] = {}
    for series in source.render(targets, now - LATELY, now):
        there = [float(value) for value, _ in series["datapoints"] if value is not None]
        values.setdefault(int(series["target"]), []).append(there)
    traffic = {}
    for place, each in values.items():
        steps = [later - earlier for one in each for earlier, later in pairwise(one)]
        growing = sum(step > 0 for step in steps)  # the last value may be of part of a step
        only_grows = growing > len(steps) / 2 and min(steps) >= 0
        amount = sum(steps) if only_grows else sum(map(sum, each))
        traffic[place] = Traffic(amount, only_grows)
    return traffic


def _kpis(
    group: Group, targets: Mapping[tuple[str, str], str], *, only_grows: bool
) -> list[ProposedKpi]:
    def counted(name: str) -> str:
        target = targets[group.name, name]
        series = f"nonNegativeDerivative({target})" if only_grows else target
        return f'summarize(sumSeries({series}), "$step", "sum")'

    requests, failed, slow = map(group.first, (Role.REQUESTS, Role.ERRORS, Role.LATENCY))
    latency = None
    if slow:
        query = f'summarize(averageSeries({targets[group.name, slow]}), "$step", "avg")'
        latency = Latency(statistic_of(slow) or "mean", query, unit_of(slow.partition(".")[0]))
    words = [each for each in group.name.split(".") if each not in {"", "*"}]
    name = words[-1] if words else "all"
    errors = counted(failed) if failed else ""
    return of_requests(name, group.name or requests, (errors, counted(requests)), latency)


def _windows(source: GraphiteCollector, target: str, now: datetime) -> Windows:
    """Windows whose steps are as long as the interval at which Graphite keeps old values."""
    windows = Windows()
    begin = now - windows.history
    series = source.render([f"sumSeries({target})"], begin, begin + 3 * HOUR)
    points = series[0]["datapoints"] if series else []
    apart = min((later - earlier for (_, earlier), (_, later) in pairwise(points)), default=0)
    step = timedelta(seconds=apart)
    return windows if step <= windows.step else windows_of(step, begin, now)
