"""NRQL queries of New Relic, by its GraphQL API (NerdGraph)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from anomaly.collectors.http_series import HttpSeriesCollector, Span, TimedSeries
from anomaly.errors import CollectError, UsageError
from anomaly.http.endpoint import Endpoint, checked_base, checked_headers
from anomaly.wording import plain

ACCOUNT = re.compile(r"[1-9][0-9]{0,17}")
LONGEST_S = 70  # of a query, that New Relic allows
ASKED = """\
query ($account: Int!, $nrql: Nrql!, $timeout: Seconds) {
  actor { account(id: $account) { nrql(query: $nrql, timeout: $timeout) {
    results metadata { facets }
  } } }
}"""
QUOTED = re.compile(  # text, names and comments
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`|(?:--|//)[^\n]*|/\*.*?\*/""", re.DOTALL
)
OWN = re.compile(r"\b(SINCE|UNTIL|TIMESERIES|LIMIT|COMPARE\s+WITH)\b", re.IGNORECASE)
PASSING = frozenset({"TIMEOUT", "TOO_MANY_REQUESTS", "SERVER_ERROR", "INTERNAL_SERVER_ERROR"})
BESIDE = frozenset({"facet", "beginTimeSeconds", "endTimeSeconds"})
KEYS = "is api_key a user key (NRAK-…) that may read this account, and url that of its region?"


class NewRelicCollector(HttpSeriesCollector):
    """Asks New Relic's API at `url`, which is that of your region, for NRQL queries.

    A query has no SINCE, UNTIL, TIMESERIES and LIMIT: they follow from the window and the step. A
    step without events is missing; with `count(*)` as a second column, a 0 beside it is a value.
    Raises UsageError for settings that can't be used.
    """

    rows_at_once: ClassVar[int] = 366  # New Relic has no more in an answer
    stepping: ClassVar[str] = "leave the time out of the query"

    def __init__(
        self,
        *,
        account_id: int | str,
        api_key: str,
        url: str = "https://api.newrelic.com",
        timeout: timedelta = timedelta(seconds=30),
        budget: timedelta = timedelta(minutes=5),
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        checked_base(url)
        if not ACCOUNT.fullmatch(str(account_id)):  # text is what a variable holds
            raise UsageError(
                f"account_id is {plain(str(account_id), 40)}; write the number of your account"
            )
        self._headers = checked_headers({"API-Key": api_key}, ())
        self._account, self._longest_s = (
            int(account_id),
            min(max(int(timeout.total_seconds()), 1), LONGEST_S),
        )
        base = url.rstrip("/").removesuffix("/graphql")
        endpoint = Endpoint(base, secrets=(api_key,), timeout=timeout)
        super().__init__(endpoint, budget=budget, sleep=sleep, monotonic=monotonic)

    def read(self, query: str, span: Span, _by: Sequence[str], /) -> list[TimedSeries]:
        """The series of an NRQL query, by the attributes of its FACET."""
        if written := OWN.search(QUOTED.sub(" ", query)):
            raise CollectError(
                f"bad query: it has {' '.join(written[0].upper().split())}; leave it out, the time "
                "and the step are those of the checklist, and no segment is left out"
            )
        begin, end = int(span.begin.timestamp()), int(span.end.timestamp())
        # on lines of their own, for the query may end in a comment
        nrql = (
            f"{query}\nLIMIT MAX\nTIMESERIES {span.step_s} seconds "
            f"SINCE {begin * 1000} UNTIL {end * 1000}"
        )
        answer = self.asked(nrql)
        facets = answer["metadata"]["facets"] or []
        by_labels: dict[tuple[str, ...], list[tuple[float, float | None]]] = {}
        for row in answer["results"]:
            length = row["endTimeSeconds"] - row["beginTimeSeconds"]
            if length != span.step_s:
                raise CollectError(
                    f"bad query: the answer has steps of {length:g} s, the step is {span.step_s} s"
                )
            facet = row.get("facet", [])
            labels = tuple(map(str, facet)) if isinstance(facet, list) else (str(facet),)
            points = by_labels.setdefault(labels, [])
            points.append((row["beginTimeSeconds"], _value(row, facets)))
        return [
            TimedSeries(dict(zip(facets, labels, strict=True)), points)
            for labels, points in by_labels.items()
        ]

    def asked(self, nrql: str, /) -> Any:
        """The answer to an NRQL query: its results and metadata. Raises CollectError."""
        variables = {"account": self._account, "nrql": nrql, "timeout": self._longest_s}
        answer = self.ask(
            "POST",
            "/graphql",
            json.dumps({"query": ASKED, "variables": variables}).encode(),
            {**self._headers, "Content-Type": "application/json"},
            hints={401: KEYS, 403: KEYS},
            passing=self._passing,
        )
        if errors := answer.get("errors"):
            raise CollectError(self._refused(errors))
        return answer["data"]["actor"]["account"]["nrql"]

    def _passing(self, answer: Any) -> str:
        """What an answer with status 200 says that may pass; empty if nothing."""
        for error in answer.get("errors") or []:
            if error.get("extensions", {}).get("errorClass") in PASSING:
                return f"New Relic says: {self.said(error.get('message'))}"
        return ""

    def _refused(self, errors: Sequence[Mapping[str, Any]]) -> str:
        reason = self.said(", ".join(str(each.get("message")) for each in errors))
        codes = {each.get("extensions", {}).get("error_code") for each in errors}
        if "BAD_API_KEY" in codes:
            return f"auth: New Relic says: {reason}; {KEYS}"
        return f"bad query: New Relic says: {reason}; is it NRQL, and account_id right?"


def _value(row: Mapping[str, Any], facets: Sequence[str]) -> float | None:
    """The value of a step; None where there may have been no event. Raises CollectError."""
    columns = {name: row[name] for name in row.keys() - BESIDE - {*facets}}
    events = columns.pop("count") if len(columns) > 1 and "count" in columns else None
    names = ", ".join(sorted(columns))
    if len(columns) != 1:
        raise CollectError(
            f"bad query: it selects {plain(names, 100) or 'nothing'}; select one value, and "
            "count(*) beside it"
        )
    (value,) = columns.values()
    if isinstance(value, dict) and len(value) == 1:  # a percentile, by its rank
        (value,) = value.values()
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CollectError(f"bad query: {plain(names, 100)} is not one number in each step")
    # a step without events answers 0, whatever is selected
    return None if value == 0 and not events else value
