"""The KPIs of what serves requests, and the proposal of a service that was found in a source."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from anomaly.errors import CollectError
from anomaly.model import Direction, Kpi, KpiKind, NoData, Windows
from anomaly.setup.proposal import Proposal, ProposedKpi
from anomaly.wording import plain

LATELY = timedelta(hours=3)
MOST_OF = 3  # parts of a source with KPIs of their own
LONGEST_NAME, LONGEST_LIST = 60, 12
SERVICES = (  # names of labels and fields that say whose something is, the telling one first
    *("service.name", "service_name", "service", "app", "application"),
    *("app_kubernetes_io_name", "job", "container"),
)
STATUSES = (  # the same of the outcome of a request, as an HTTP status
    *("http.response.status_code", "http.status_code", "status", "status_code", "response_code"),
    *("http_status", "http_status_code", "response_status", "response", "code"),
)
UNITS = (  # of time, at the end of a name
    (r"(^|[._])(ns|nanos\w*)$", "ns"),
    (r"(^|[._])(us|micros\w*)$", "us"),
    (r"(^|[._])(ms|millis\w*)$", "ms"),
    (r"(^|[._])(s|sec|secs|seconds)$", "s"),
)


@dataclass(frozen=True, slots=True)
class Latency:
    """A latency as it is asked for: which one, by which query, in which unit."""

    word: str
    query: str
    unit: str = ""


def of_requests(
    name: str,
    origin: str,
    ratio: tuple[str, str],
    latency: Latency | None = None,
    *,
    each: str = "request",
) -> list[ProposedKpi]:
    """Errors, latency and traffic of what serves requests, or whatever `each` is. `ratio` are the
    queries of the errors, empty if nothing tells them, and of all."""
    errors, requests = ratio
    label, why = plain(name, LONGEST_NAME), plain(origin, 2 * LONGEST_NAME)
    out = []
    if errors:
        kpi = Kpi(
            f"errors of {label}",
            query=errors,
            denominator=requests,
            unit=f"errors per {each}",
            direction=Direction.UP,
            tolerance=0.1,
            floor=0.001,
            critical=True,
            usage=3,
        )
        out.append(ProposedKpi(kpi, f"errors per {each} of {why}"))
    if latency is not None:
        kpi = Kpi(
            f"{latency.word} latency of {label}",
            query=latency.query,
            unit=latency.unit,
            kind=None if latency.unit else KpiKind.LATENCY,
            direction=Direction.UP,
            tolerance=0.1,
            usage=2,
        )
        out.append(ProposedKpi(kpi, f"the {latency.word} latency of {why}"))
    kpi = Kpi(
        f"{each}s of {label}",
        query=requests,
        unit=f"{each}s",
        kind=KpiKind.COUNTS,
        direction=Direction.DOWN,
        tolerance=0.1,
        no_data=NoData.FAIL,
    )
    return [*out, ProposedKpi(kpi, f"{each}s of {why}")]


def of_service(
    service: str,
    settings: Mapping[str, Any],
    kpis: Sequence[ProposedKpi],
    *,
    windows: Windows | None = None,
    others: Sequence[str] = (),
    remarks: Sequence[str] = (),
) -> Proposal | None:
    """The proposal of a service with the KPIs that were found; None without one."""
    if not kpis:
        return None
    return Proposal(
        service=service or "service",
        sources={"prod": settings},
        kpis=[*_distinct(kpis)],
        windows=windows or Windows(),
        why_windows="a baseline of four weeks, then the watch after a release",
        remarks=remarks,
        others=others,
    )


def _distinct(kpis: Iterable[ProposedKpi]) -> Iterator[ProposedKpi]:
    """The KPIs with a number behind a name that was there before, for names are unique."""
    names = Counter[str]()
    for each in kpis:
        name = each.kpi.name
        names[name] += 1
        kpi = replace(each.kpi, name=f"{name} {names[name]}") if names[name] > 1 else each.kpi
        yield replace(each, kpi=kpi)


def other(what: str, names: Sequence[str]) -> list[str]:
    """The remark that there is more of something."""
    listing = ", ".join(plain(each, LONGEST_NAME) for each in names[:LONGEST_LIST])
    return [f"Other {what}: {listing}"] if names else []


def chosen(traffic: Mapping[str, float], service: str, what: str) -> tuple[str, list[str]]:
    """The service, by default the one with most traffic, and the others by their traffic. Raises
    CollectError where the service is none of those that there are."""
    names = sorted(traffic, key=lambda each: (-traffic[each], each))
    if service and service not in traffic:
        there = ", ".join(plain(each, LONGEST_NAME) for each in names[:LONGEST_LIST])
        raise CollectError(
            f"no {what} of {plain(service, LONGEST_NAME)!r} lately; there are those of {there}"
        )
    choice = service or names[0]
    return choice, [each for each in names if each != choice]


def unit_of(name: str) -> str:
    """The unit of time at the end of a name; empty if there is none."""
    return next((unit for form, unit in UNITS if re.search(form, name, re.IGNORECASE)), "")
