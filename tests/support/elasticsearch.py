"""The part of Elasticsearch's search API that the collector asks for, over documents in memory: a
composite aggregation with pages, as the documentation describes it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.support.loopback import Request

Document = Mapping[str, Any]  # `@timestamp` in milliseconds since 1970
SEARCHED = {"took": 3, "timed_out": False, "hits": {"max_score": None, "hits": []}}
SHARDS = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
METRICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "avg": statistics.fmean,
    "sum": sum,
    "min": min,
    "max": max,
    "cardinality": lambda values: len({*values}),
}


def search(documents: Sequence[Document], request: Request, most: int = 10_000) -> dict[str, Any]:
    """The answer about documents that the query string matches; pages hold at most `most`."""
    asked = json.loads(request.body)
    bounds, matching = asked["query"]["bool"]["filter"]
    ((field, span),) = bounds["range"].items()
    assert span["format"] == "epoch_millis"
    name, _, value = matching["query_string"]["query"].partition(":")
    found = [
        each
        for each in documents
        if span["gte"] <= each[field] < span["lt"] and (name == "*" or each.get(name) == value)
    ]
    steps = asked["aggs"]["steps"]
    sources = [next(iter(each.items())) for each in steps["composite"]["sources"]]
    groups: dict[str, tuple[dict[str, Any], list[Document]]] = {}
    for each in found:
        key = {name: _key(source, each) for name, source in sources}
        groups.setdefault(_order(key), (key, []))[1].append(each)
    after = steps["composite"].get("after")
    following = sorted(each for each in groups if after is None or each > _order(after))
    page = following[: min(most, steps["composite"]["size"])]
    buckets = [_bucket(*groups[each], steps.get("aggs", {})) for each in page]
    answered = {"buckets": buckets} | ({"after_key": buckets[-1]["key"]} if buckets else {})
    return {**SEARCHED, "_shards": SHARDS, "aggregations": {"steps": answered}}


def refusal(kind: str, reason: str, status: int = 400) -> tuple[int, str]:
    """An error as the server writes it."""
    cause = {"type": kind, "reason": reason}
    return status, json.dumps({"error": {"root_cause": [cause], **cause}, "status": status})


def _key(source: Mapping[str, Any], document: Document) -> Any:
    if "terms" in source:
        return document.get(source["terms"]["field"])
    interval = int(source["date_histogram"]["fixed_interval"].removesuffix("s")) * 1000
    at: int = document[source["date_histogram"]["field"]]
    return at - at % interval


def _order(key: Mapping[str, Any]) -> str:
    """Sorts keys as numbers of one length and text do, null first."""
    return json.dumps([("" if each is None else f"~{each}") for each in key.values()])


def _bucket(
    key: dict[str, Any], documents: Sequence[Document], metrics: Mapping[str, Any]
) -> dict[str, Any]:
    bucket: dict[str, Any] = {"key": key, "doc_count": len(documents)}
    for name, metric in metrics.items():
        ((kind, about),) = metric.items()
        values = [each[about["field"]] for each in documents if about["field"] in each]
        if kind == "percentiles":
            (rank,) = about["percents"]
            place = round(rank / 100 * (len(values) - 1)) if values else 0
            number = sorted(values)[place] if values else None
            bucket[name] = {"values": [{"key": rank, "value": number}]}
        else:
            bucket[name] = {"value": METRICS[kind](values) if values else None}
    return bucket
