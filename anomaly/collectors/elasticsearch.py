"""Documents in Elasticsearch and OpenSearch: their count by step, or an aggregation of a field."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Literal
from urllib.parse import quote, urlencode, urlsplit

from anomaly.collectors.http_series import HttpSeriesCollector, Span, TimedSeries
from anomaly.collectors.sign_in import AwsSignature, authorization, signed_headers
from anomaly.errors import CollectError, UsageError
from anomaly.http.endpoint import Endpoint, checked_headers
from anomaly.wording import plain

MEASURE = re.compile(
    r"\s\|\s+(?P<name>\w+)\((?P<field>[^\s(),]+)(?:\s*,\s*(?P<rank>\d+(?:\.\d+)?))?\)\s*$"
)
QUOTED = re.compile(r'"(?:\\.|[^"\\])*"|/(?:\\.|[^/\\])*/')
PIPE = re.compile(r"\s\|\s")
NUMBERS = ("avg", "sum", "min", "max", "cardinality")
FORMS = (
    "avg(FIELD), sum(FIELD), min(FIELD), max(FIELD), cardinality(FIELD) or percentile(FIELD, 95)"
)
AMAZON = re.compile(r".+\.([a-z0-9-]+)\.es\.amazonaws\.com(?:\.cn)?")
AT_ONCE = 10_000  # buckets of a page; servers allow 65,535
MOST_PAGES = 200
KEYS = "are the credentials right, and may they read the index?"
HINTS = {
    400: "is the query one in Lucene's syntax, and each field of by a keyword, such as "
    "country.keyword?",
    401: KEYS,
    403: KEYS,
    404: "does index name an index, alias or data stream that there is?",
}


@dataclass(frozen=True, slots=True)
class Search:
    """A query in Lucene's syntax, and the aggregation that makes a value of each step's documents;
    without one, they are counted."""

    lucene: str
    aggregation: Mapping[str, Any] | None


class ElasticsearchCollector(HttpSeriesCollector):
    """Asks the Elasticsearch or OpenSearch at `url` how many documents of `index` match, by step.

    A query is one in Lucene's syntax; `| avg(FIELD)` behind it aggregates a field. `time_field` is
    when a document happened. Credentials are `api_key`, `bearer_token`, `username` and `password`,
    or `sign_in: aws` with `region` and `profile`. Raises UsageError for settings that can't be
    used.
    """

    rows_at_once: ClassVar[int] = 10_000
    stepping: ClassVar[str] = "is url that of Elasticsearch or OpenSearch?"

    def __init__(
        self,
        *,
        url: str,
        index: str,
        time_field: str = "@timestamp",
        api_key: str | None = None,
        bearer_token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        sign_in: Literal["aws"] | None = None,
        region: str | None = None,
        profile: str | None = None,
        timeout: timedelta = timedelta(seconds=30),
        budget: timedelta = timedelta(minutes=5),
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not index.strip():
            raise UsageError("index is empty; name an index, alias, data stream or pattern")
        way = authorization(url, bearer_token, username, password)
        credentials = {
            "bearer_token or username": way or None,
            "api_key": api_key,
            "sign_in": sign_in,
        }
        ways = [name for name, value in credentials.items() if value is not None]
        if len(ways) > 1:
            raise UsageError(f"{' and '.join(ways)} are given; use one of them")
        if sign_in is None and (region is not None or profile is not None):
            raise UsageError("region or profile is given; it needs sign_in: aws")
        if api_key is not None:
            way = checked_headers({"Authorization": f"ApiKey {api_key}"}, ())
        self._headers = {"Content-Type": "application/json", "Accept": "application/json", **way}
        self._signature = AwsSignature("es", region, profile) if sign_in else None
        self._url = url.rstrip("/")
        self._index = index.strip()
        self._time_field = time_field
        super().__init__(
            Endpoint(
                self._url,
                secrets=(api_key or "", bearer_token or "", password or "", *way.values()),
                timeout=timeout,
            ),
            budget=budget,
            sleep=sleep,
            monotonic=monotonic,
        )

    def read(self, query: str, span: Span, by: Sequence[str], /) -> list[TimedSeries]:
        """A series for each combination of the fields in `by`; a step without documents has no
        value."""
        search = _search(query)
        by_labels: dict[tuple[str, ...], list[tuple[float, float | None]]] = {}
        for bucket in self._buckets(self._asked(search, span, by)):
            key = bucket["key"]
            labels = tuple(_label(key[f"by{place}"], field) for place, field in enumerate(by))
            points = by_labels.setdefault(labels, [])
            points.append((key["time"] / 1000, _value(bucket, search)))
        return [
            TimedSeries(dict(zip(by, labels, strict=True)), points)
            for labels, points in by_labels.items()
        ]

    def _asked(self, search: Search, span: Span, by: Sequence[str]) -> dict[str, Any]:
        """The body of a request: a composite aggregation, for it is exact and has pages."""
        bounds = {
            "gte": int(span.begin.timestamp()) * 1000,
            "lt": int(span.end.timestamp()) * 1000,
            "format": "epoch_millis",
        }
        every = {"field": self._time_field, "fixed_interval": f"{span.step_s}s"}
        fields = [
            {f"by{place}": {"terms": {"field": field, "missing_bucket": True}}}
            for place, field in enumerate(by)
        ]
        steps: dict[str, Any] = {
            "composite": {
                "size": AT_ONCE,
                "sources": [{"time": {"date_histogram": every}}, *fields],
            }
        }
        if search.aggregation is not None:
            steps["aggs"] = {"value": search.aggregation}
        return {
            "size": 0,
            "track_total_hits": False,
            "query": {
                "bool": {
                    "filter": [
                        {"range": {self._time_field: bounds}},
                        {"query_string": {"query": search.lucene}},
                    ]
                }
            },
            "aggs": {"steps": steps},
        }

    def _buckets(self, request: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The buckets of all pages."""
        for _ in range(MOST_PAGES):
            answer = self.search(request, self._index)
            steps = answer["aggregations"]["steps"]
            yield from steps["buckets"]
            if not steps["buckets"] or "after_key" not in steps:
                return
            request["aggs"]["steps"]["composite"]["after"] = steps["after_key"]
        raise CollectError(
            f"limit: more than {MOST_PAGES * AT_ONCE:,} buckets; take a field out of by"
        )

    def search(self, query: Mapping[str, Any], index: str, /) -> Any:
        """The whole answer to a search in an index. Raises CollectError."""
        answer = self._post(index, "_search?allow_no_indices=false", json.dumps(query).encode())
        if incomplete := _incomplete(answer):
            where = self._endpoint.where
            raise CollectError(f"partial: {where}: {self.said(incomplete)}")
        return answer

    def field_types(self, fields: Sequence[str], /) -> dict[str, dict[str, str]]:
        """The types of those of the fields that each index has. Raises CollectError."""
        parameters = urlencode({"fields": ",".join(fields), "include_unmapped": "true"})
        answer = self._post(self._index, f"_field_caps?{parameters}", b"")
        types: dict[str, dict[str, str]] = {str(each): {} for each in answer["indices"]}
        for field, kinds in answer["fields"].items():
            for kind, about in kinds.items():
                # without a list, it is so in all
                for index in (about.get("indices") or types) if kind != "unmapped" else ():
                    types[index][field] = kind
        return types

    def _post(self, index: str, what: str, body: bytes) -> Any:
        path = f"/{quote(index, safe='')}/{what}"
        headers = self._headers
        if self._signature is not None:
            keep, url = self._endpoint.keep_secret, self._url + path
            headers = signed_headers(self._signature, url, body, headers, keep)
        return self.ask("POST", path, body, headers, hints=HINTS)


def _search(query: str) -> Search:
    """What is before the last `|`, and what it says is done. Raises CollectError."""
    match = MEASURE.search(query)
    lucene = query[: match.start()] if match else query
    if PIPE.search(QUOTED.sub("", lucene)):
        raise CollectError(f"bad query: what follows | is none of: {FORMS}")
    if not lucene.strip():
        raise CollectError("bad query: nothing stands before |; write * for all documents")
    if match is None:
        return Search(lucene.strip(), None)
    name, field, rank = match["name"], match["field"], match["rank"]
    if name == "percentile" and rank and 0 < float(rank) < 100:  # noqa: PLR2004  per cent
        aggregation: dict[str, Any] = {"field": field, "percents": [float(rank)], "keyed": False}
        return Search(lucene.strip(), {"percentiles": aggregation})
    if name in NUMBERS and rank is None:
        return Search(lucene.strip(), {name: {"field": field}})
    raise CollectError(f"bad query: {plain(match[0].strip(' |'), 60)} is none of: {FORMS}")


def _value(bucket: Mapping[str, Any], search: Search) -> float | None:
    if search.aggregation is None:
        count: float = bucket["doc_count"]
        return count
    result = bucket["value"]
    value: float | None = (result["values"][0] if "values" in result else result)["value"]
    return value


def _label(value: object, field: str) -> str:
    if value is None:
        name = plain(field, 40)
        raise CollectError(
            f"bad query: documents have no {name}, which by names; to leave them out, write (…) "
            f"AND _exists_:{name}"
        )
    return str(value).lower() if isinstance(value, bool) else str(value)


def _incomplete(answer: Mapping[str, Any]) -> str:
    """Why an answer does not hold all documents; empty if it does."""
    if answer["timed_out"]:
        return "the search timed out; ask for less, or set a longer step"
    shards = answer["_shards"]
    if shards["failed"]:
        reasons = [each["reason"]["reason"] for each in shards.get("failures", [])]
        reason = f": {reasons[0]}" if reasons else ""
        return f"{shards['failed']} of {shards['total']} shards failed{reason}"
    clusters = answer.get("_clusters", {})
    left_out = sum(clusters.get(state, 0) for state in ("skipped", "partial", "failed"))
    return f"{left_out} of {clusters['total']} clusters did not answer whole" if left_out else ""


def amazon_settings(url: str) -> dict[str, str]:
    """How one signs in at Amazon OpenSearch Service, as a checklist says it; empty for any other
    address."""
    try:
        match = AMAZON.fullmatch(urlsplit(url).hostname or "")
    except ValueError:
        return {}
    return {"sign_in": "aws", "region": match[1]} if match else {}
