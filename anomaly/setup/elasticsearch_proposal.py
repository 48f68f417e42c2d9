"""A first checklist from the documents in Elasticsearch or OpenSearch that have a status, an
outcome or a level, by the types of their fields."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from anomaly.collectors.elasticsearch import ElasticsearchCollector
from anomaly.setup.proposal import Proposal, ProposedKpi
from anomaly.setup.service_kpis import (
    LATELY,
    SERVICES,
    STATUSES,
    Latency,
    chosen,
    of_requests,
    of_service,
    other,
)

EVERYWHERE = "*"
TIMES = ("@timestamp", "timestamp", "time")
OUTCOMES, LEVELS = ("event.outcome",), ("log.level", "level", "severity")
DURATIONS = {  # the telling one first, and their units
    "event.duration": "ns",
    "transaction.duration.us": "us",
    **{f"{name}_ms": "ms" for name in ("duration", "response_time", "latency", "took", "elapsed")},
    **dict.fromkeys(("request_time", "duration_seconds"), "s"),
    **dict.fromkeys(("duration", "response_time", "latency", "took", "elapsed"), ""),
}
WORDS = frozenset({"keyword", "constant_keyword", "wildcard"})
DATES = frozenset({"date", "date_nanos"})
NUMBERS = frozenset(
    {
        *("long", "integer", "short", "byte", "unsigned_long"),
        *("double", "float", "half_float", "scaled_float"),
    }
)
BAD_LEVELS = tuple(
    form
    for word in ("error", "err", "critical", "crit", "fatal", "alert", "emergency", "panic")
    for form in (word, word.upper(), word.capitalize())
)
BACKING = re.compile(r"\.ds-(.+)-\d{4}\.\d{2}\.\d{2}-\d{6}")  # of a data stream
ROLLED = re.compile(r"(.+[-_.])(\d{4}[-.]?\d{2}([-.]?\d{2})?|\d{6})")  # by date or by size
METRICS = "metrics-"  # data streams of measurements, of which a document is no event
MOST_INDICES, MOST_SERVICES = 1_000, 50
Types = Mapping[str, str]  # by field


def propose(
    source: ElasticsearchCollector, settings: Mapping[str, Any], service: str, now: datetime
) -> Proposal | None:
    """What to judge of a service, by default the busiest one, in the index of the settings, or
    else in the index or data stream that tells errors best, of these the one that gets most
    documents; None if none tells errors.
    Raises CollectError."""
    fields = [*TIMES, *OUTCOMES, *DURATIONS]
    for each in (*SERVICES, *STATUSES, *LEVELS):
        fields += [each, f"{each}.keyword"]
    types = {
        name: own
        for name, own in source.field_types(fields).items()
        if _time(own) and _told(own) and not _whole(name).startswith(METRICS)
    }
    times = {_time(own) for own in types.values()}
    time = next((each for each in TIMES if each in times), "")
    if not time:
        return None
    counts = _counts(source, settings["index"], "_index", _lately(time, now), MOST_INDICES)
    filled = [name for name in sorted(types) if _time(types[name]) == time and counts.get(name)]
    best = min((_rank(types[name]) for name in filled), default=0)
    traffic: dict[str, float] = {}
    for name in filled:
        if _rank(types[name]) == best:
            traffic[_whole(name)] = traffic.get(_whole(name), 0) + counts[name]
    if not traffic:
        return None
    index, rest = chosen(traffic, "", "documents")
    newest = max(name for name in filled if _whole(name) == index)
    own = types[newest]
    if settings["index"] != EVERYWHERE:
        index, rest = settings["index"], []
    whose = _field(SERVICES, own, WORDS)
    choice, others = service, list[str]()
    if whose:
        services = _counts(source, index, whose, _lately(time, now), MOST_SERVICES)
        choice, others = chosen(services, service, "documents") if services else ("", [])
    is_given = settings["index"] != EVERYWHERE
    more = {"index": settings["index"] if is_given else index} | (
        {} if time == TIMES[0] else {"time_field": time}
    )
    kpis = _kpis(own, f"{whose}:{_quoted(choice)}" if whose and choice else "", choice or index)
    return of_service(
        choice,
        {**settings, **more},
        kpis,
        others=others,
        remarks=other("indices, of which --table names one", rest),
    )


def _kpis(fields: Types, mine: str, name: str) -> list[ProposedKpi]:
    """The KPIs of documents with these fields, of which those match that are meant."""
    if status := _field(STATUSES, fields, WORDS | NUMBERS):
        failed = f"{status}:>=500" if fields[status] in NUMBERS else f"{status}:/5[0-9][0-9]/"
        source, every, each = status, _all(mine, f"_exists_:{status}"), "request"
    elif outcome := _field(OUTCOMES, fields, WORDS):
        failed = f"{outcome}:failure"
        source, every, each = outcome, _all(mine, f"{outcome}:(success OR failure)"), "event"
    else:
        level = _field(LEVELS, fields, WORDS)
        failed = f"{level}:({' OR '.join(BAD_LEVELS)})"
        source, every, each = level, _all(mine), "line"
    latency = None
    if slow := _field(tuple(DURATIONS), fields, NUMBERS):
        query = f"{_all(mine, f'_exists_:{slow}')} | percentile({slow}, 95)"
        latency = Latency("p95", query, DURATIONS[slow])
    ratio = (_all(mine, failed), every)
    return of_requests(name, f"{name}, told by {source}", ratio, latency, each=each)


def _counts(
    source: ElasticsearchCollector, index: str, field: str, span: Mapping[str, Any], most: int
) -> dict[str, float]:
    """How many documents have each value of a field."""
    search = {
        "size": 0,
        "track_total_hits": False,
        "query": span,
        "aggs": {"values": {"terms": {"field": field, "size": most}}},
    }
    buckets = source.search(search, index)["aggregations"]["values"]["buckets"]
    return {str(each["key"]): float(each["doc_count"]) for each in buckets}


def _lately(time: str, now: datetime) -> dict[str, Any]:
    begin, end = int((now - LATELY).timestamp()) * 1000, int(now.timestamp()) * 1000
    return {"range": {time: {"gte": begin, "lt": end, "format": "epoch_millis"}}}


def _whole(index: str) -> str:
    """The data stream, or the pattern of all indices that follow each other."""
    if stream := BACKING.fullmatch(index):
        return stream[1]
    rolled = ROLLED.fullmatch(index)
    # the first digit too, for logs-* would be more than logs-2025.06.03
    return f"{rolled[1]}{rolled[2][0]}*" if rolled else index


def _time(fields: Types) -> str:
    return _field(TIMES, fields, DATES)


def _told(fields: Types) -> str:
    """A field that tells errors."""
    return _field(STATUSES, fields, WORDS | NUMBERS) or _field((*OUTCOMES, *LEVELS), fields, WORDS)


def _rank(fields: Types) -> int:
    """How well errors are told, 0 for the best: by a status, an outcome, a level."""
    field = _told(fields).removesuffix(".keyword")
    return next(rank for rank, each in enumerate((STATUSES, OUTCOMES, LEVELS)) if field in each)


def _field(names: Sequence[str], fields: Types, types: frozenset[str]) -> str:
    """The first field of such a name and type; empty if there is none. Text has one beside it."""
    forms = (form for name in names for form in (name, f"{name}.keyword"))
    return next((each for each in forms if fields.get(each) in types), "")


def _all(*parts: str) -> str:
    return " AND ".join(each for each in parts if each) or "*"


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
