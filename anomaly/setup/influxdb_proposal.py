"""A first checklist from the measurements in InfluxDB whose fields count requests and errors, or
are latencies, by their names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

from anomaly.collectors.influxdb import InfluxdbCollector
from anomaly.setup.named_numbers import Group, Role, groups, statistic_of
from anomaly.setup.proposal import Proposal, ProposedKpi
from anomaly.setup.service_kpis import (
    LATELY,
    MOST_OF,
    SERVICES,
    STATUSES,
    Latency,
    chosen,
    of_requests,
    of_service,
    other,
    unit_of,
)

NUMBERS = frozenset({"float", "integer", "unsigned"})
MOST_DATABASES, MOST_GROUPS = 20, 5  # that are looked at
SERIES, POINTS = 20, 50  # that tell whether a field only grows
WINDOW = "time >= $start AND time < $end"
EVERY = "GROUP BY time($step)"
Tags = Mapping[str, Mapping[str, Sequence[str]]]  # of a measurement: the values of some tags


@dataclass(frozen=True, slots=True)
class Measured:
    """A measurement, its tags of the service and of the outcome, empty if it has none, and what
    counts its requests: a field, which may only grow, or else its points, of which each has the
    field of a latency."""

    group: Group
    service_tag: str
    status_tag: str
    requests: str
    only_grows: bool = False

    def counted(self, field: str, where: str) -> str:
        """The statement that counts, by a field or its points, what matches."""
        name = _name(field)
        table = f"FROM {_name(self.group.name)} WHERE {WINDOW}"
        if self.only_grows:
            inner = f"SELECT non_negative_difference(last({name})) AS d {table}{where} {EVERY}, *"
            return f"SELECT sum(d) FROM ({inner}) WHERE {WINDOW} {EVERY} fill(none)"  # noqa: S608  its names are quoted
        function = "sum" if self.group.first(Role.REQUESTS) else "count"
        return f"SELECT {function}({name}) {table}{where} {EVERY} fill(none)"


def propose(
    source: InfluxdbCollector, settings: Mapping[str, Any], service: str, now: datetime
) -> Proposal | None:
    """What to judge of a service, by default the busiest one, in the first database that has
    requests; None if none has. Raises CollectError."""
    databases = [settings["database"]] if settings["database"] else _databases(source)
    for database in databases[:MOST_DATABASES]:
        rest = [each for each in databases if each != database]
        proposal = _of_database(source, {**settings, "database": database}, service, now, rest)
        if proposal is not None:
            return proposal
    return None


def _of_database(
    source: InfluxdbCollector,
    settings: Mapping[str, Any],
    service: str,
    now: datetime,
    rest: Sequence[str],
) -> Proposal | None:
    """The proposal for a database; None if it has no requests."""
    database = settings["database"]
    fields: dict[str, list[str]] = {}
    for name, (field, kind) in _named_rows(source, "SHOW FIELD KEYS", database):
        if kind in NUMBERS:
            fields.setdefault(name, []).append(str(field))
    tags: dict[str, dict[str, list[str]]] = {}
    keys = ", ".join(_name(each) for each in (*SERVICES, *STATUSES))
    query = f"SHOW TAG VALUES WITH KEY IN ({keys})"
    for name, (key, value) in _named_rows(source, query, database):
        tags.setdefault(name, {}).setdefault(str(key), []).append(str(value))
    span = f"time >= '{now - LATELY:%Y-%m-%dT%H:%M:%SZ}' AND time < '{now:%Y-%m-%dT%H:%M:%SZ}'"
    candidates = [
        each
        for each in (_measured(group, tags.get(group.name, {})) for group in groups(fields))
        if each is not None
    ]
    traffic: dict[str, dict[str, tuple[float, Measured]]] = {}
    for each in candidates[:MOST_GROUPS]:
        measured = _grown(source, each, span, database)
        for name, amount, held in _traffic(source, measured, span, database):
            traffic.setdefault(name, {})[held.group.name] = amount, held
    totals = {name: sum(amount for amount, _ in each.values()) for name, each in traffic.items()}
    if not totals:
        return None
    choice, others = chosen(totals, service, "requests")
    busiest = sorted(traffic[choice].values(), key=lambda each: (-each[0], each[1].group.name))
    kpis = [kpi for _, measured in busiest[:MOST_OF] for kpi in _kpis(measured, choice)]
    more = [measured.group.name for _, measured in busiest[MOST_OF:]]
    more += [each.group.name for each in candidates[MOST_GROUPS:]]
    return of_service(
        choice,
        settings,
        kpis,
        others=[each for each in others if each],
        remarks=[
            *other("measurements", more),
            *other("databases, of which --table names one", rest),
        ],
    )


def _measured(group: Group, tags: Mapping[str, Sequence[str]]) -> Measured | None:
    """What counts the requests of a measurement; None if nothing does. Without a field that does,
    each point is a request if a tag has its status."""
    service = next((each for each in SERVICES if each in tags), "")
    status = next(
        (each for each in STATUSES if any(_is_status(value) for value in tags.get(each, ()))), ""
    )
    requests = group.first(Role.REQUESTS) or (group.first(Role.LATENCY) if status else "")
    return Measured(group, service, status, requests) if requests else None


def _grown(source: InfluxdbCollector, measured: Measured, span: str, database: str) -> Measured:
    """The same, with what the last points say about whether the field only grows."""
    if not measured.group.first(Role.REQUESTS):
        return measured
    series = source.asked(
        f"SELECT {_name(measured.requests)} FROM {_name(measured.group.name)} WHERE {span} "  # noqa: S608  its names are quoted
        f"GROUP BY * ORDER BY time DESC LIMIT {POINTS} SLIMIT {SERIES}",
        database,
    )
    values = [[value for _, value in reversed(each["values"])] for each in series]
    steps = [later - earlier for each in values for earlier, later in pairwise(each)]
    grows = bool(steps) and min(steps) >= 0 and max(steps) > 0
    return replace(measured, only_grows=grows)


def _traffic(
    source: InfluxdbCollector, measured: Measured, span: str, database: str
) -> Iterator[tuple[str, float, Measured]]:
    """Each service, or all under an empty name: its requests, and the measurement with the numbers
    that it has."""
    group = measured.group
    others = {each: group.first(each) for each in (Role.ERRORS, Role.LATENCY) if group.first(each)}
    how = "count"
    if group.first(Role.REQUESTS):
        how = "spread" if measured.only_grows else "sum"
    inner = ", ".join(
        [
            f"{how}({_name(measured.requests)}) AS n0",
            *(f"count({_name(each)}) AS n{place}" for place, each in enumerate(others.values(), 1)),
        ]
    )
    outer = ", ".join(f"sum(n{place})" for place in range(len(others) + 1))
    by = f" GROUP BY {_name(measured.service_tag)}" if measured.service_tag else ""
    query = (
        f"SELECT {outer} FROM (SELECT {inner} FROM {_name(group.name)} WHERE {span} "  # noqa: S608  its names are quoted
        f"GROUP BY *){by}"
    )
    for series in source.asked(query, database):
        _, requests, *there = series["values"][0]
        missing = {role for role, count in zip(others, there, strict=True) if not count}
        numbers = {role: names for role, names in group.numbers.items() if role not in missing}
        name = str((series.get("tags") or {}).get(measured.service_tag, ""))
        if requests:
            yield name, float(requests), replace(measured, group=Group(group.name, numbers))


def _kpis(measured: Measured, service: str) -> list[ProposedKpi]:
    group = measured.group
    mine = f" AND {_name(measured.service_tag)} = {_text(service)}" if service else ""
    requests = measured.counted(measured.requests, mine)
    errors, remark = "", ""
    if measured.status_tag:
        remark = f", told by {measured.status_tag}"
        errors = measured.counted(
            measured.requests, f"{mine} AND {_name(measured.status_tag)} =~ /^5/"
        )
    elif failed := group.first(Role.ERRORS):
        remark = f", told by {failed}"
        errors = measured.counted(failed, mine)
    latency = None
    if slow := group.first(Role.LATENCY):
        word = statistic_of(slow)
        is_each = not group.first(Role.REQUESTS)  # a point is a request
        aggregate = f"percentile({_name(slow)}, 95)" if is_each else f"mean({_name(slow)})"
        query = (
            f"SELECT {aggregate} FROM {_name(group.name)} WHERE {WINDOW}{mine} {EVERY} fill(none)"  # noqa: S608  its names are quoted
        )
        unit = unit_of(slow) or unit_of(group.name)
        latency = Latency("p95" if is_each else word or "mean", query, unit)
    return of_requests(group.name, f"{group.name}{remark}", (errors, requests), latency)


def _is_status(value: str) -> bool:
    return len(value) == len("500") and value.isdecimal() and value[0] in "12345"


def _named_rows(
    source: InfluxdbCollector, query: str, database: str
) -> Iterator[tuple[str, Sequence[Any]]]:
    """The rows of each measurement."""
    for series in source.asked(query, database):
        for row in series["values"]:
            yield str(series["name"]), row


def _databases(source: InfluxdbCollector) -> list[str]:
    """All databases but the server's own."""
    names = (str(name) for _, (name,) in _named_rows(source, "SHOW DATABASES", ""))
    return sorted(each for each in names if each != "_internal")


def _name(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
