"""A first checklist from the log lines of the busiest service in Loki: errors, latency, lines.

A few lines are read, to see whether they are JSON or logfmt and have a status, a level or a
duration by one of the usual names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from anomaly.collectors.loki import LokiCollector
from anomaly.setup.proposal import Proposal, ProposedKpi
from anomaly.setup.service_kpis import (
    LATELY,
    SERVICES,
    STATUSES,
    Latency,
    chosen,
    of_requests,
    of_service,
    unit_of,
)

LINES = 100  # that are read
MOST = 0.8  # share of lines that have to be of a form
LEVELS = ("level", "detected_level", "severity", "lvl", "log_level")
SLOW = re.compile(
    r"(.+_)?(duration|latency|elapsed|took|(request|response)_?time)(_[a-z]+)?", re.IGNORECASE
)
PAIR = re.compile(r'(?:^|\s)([A-Za-z_][\w.]*)=("(?:\\.|[^"\\])*"|[^\s"]*)')
FEWEST_PAIRS = 3  # in a line of logfmt
ODD = re.compile(r"[^A-Za-z0-9_]")  # what Loki writes as _ in a name
STATUS, NUMBER = re.compile(r"[1-5]\d\d"), re.compile(r"\d+(\.\d*)?([eE][-+]?\d+)?")
TIMED = re.compile(r"(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+")  # a duration of Go
BAD_LEVELS = "(?i)(err|error|crit|critical|fatal|panic|alert|emerg|emergency)"
BAD_WORDS = r"(?i)\\b(error|exception|fatal|panic)\\b"
Fields = Mapping[str, str]


def propose(
    source: LokiCollector, settings: Mapping[str, Any], service: str, now: datetime
) -> Proposal | None:
    """What to judge of a service by its lines; None if no label names services. Raises
    CollectError."""
    span = {"start": int((now - LATELY).timestamp()), "end": int(now.timestamp())}
    labels = frozenset(map(str, source.asked("labels", span) or ()))
    label = next((each for each in SERVICES if each in labels), "")
    if not label:
        return None
    counted = f'sum by ({label}) (count_over_time({{{label}=~".+"}}[1h]))'
    answer = source.asked("query", {"query": counted, "time": span["end"]})
    lines = {str(each["metric"][label]): float(each["value"][1]) for each in answer["result"]}
    if not lines:
        return None
    name, others = chosen(lines, service, "lines")
    selector = f"{{{label}={json.dumps(name, ensure_ascii=False)}}}"
    fields = {"query": selector, "limit": LINES, "direction": "backward", **span}
    streams = source.asked("query_range", fields)["result"]
    everywhere = [each for each in LEVELS if all(each in one["stream"] for one in streams)]
    level = everywhere[0] if streams and everywhere else ""
    texts = [str(value[1]) for each in streams for value in each["values"]]
    parser, read = _read(texts)
    kpis = _kpis(name, selector, level, parser, read)
    return of_service(name, settings, kpis, others=others)


def _kpis(
    name: str, selector: str, level: str, parser: str, read: Sequence[Fields]
) -> list[ProposedKpi]:
    """The KPIs of the lines of a service. `level` is a label with the level, and `read` are the
    fields of some lines."""
    parsed = f"{selector} | {parser}" if parser else selector
    latency = None
    if slow := next(_slow(read), None):
        value, unit = slow
        query = f'quantile_over_time(0.95, {parsed} | unwrap {value} | __error__="" [$step]) by ()'
        latency = Latency("p95", query, unit)
    if status := _named(STATUSES, STATUS, read):
        mark, each = f"the field {status}", "request"
        failed, every = f'{parsed} | {status}=~"5.."', f'{parsed} | {status}=~"[1-5].."'
    elif field := level or _named(LEVELS, re.compile(".+"), read):
        mark, each = f"the field {field}", "line"
        failed, every = f'{selector if level else parsed} | {field}=~"{BAD_LEVELS}"', selector
    else:
        mark, each = "their words", "line"
        failed, every = f'{selector} |~ "{BAD_WORDS}"', selector
    ratio = (_counted(failed), _counted(every))
    return of_requests(name, f"{selector}, told by {mark}", ratio, latency, each=each)


def _counted(lines: str) -> str:
    return f"sum(count_over_time({lines} [$step]))"


def _read(texts: Sequence[str]) -> tuple[str, list[Fields]]:
    """The parser of the lines, empty if they have no form, and the fields of each."""
    for parser, fields in (("json", _json), ("logfmt", _logfmt)):
        read = [parts for text in texts if (parts := fields(text))]
        if texts and len(read) >= MOST * len(texts):
            return parser, read
    return "", []


def _json(text: str) -> Fields:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return dict(_flat(value, "")) if isinstance(value, dict) else {}


def _flat(value: Mapping[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for name, each in value.items():
        key = ODD.sub("_", f"{before}{name}")
        if isinstance(each, dict):
            yield from _flat(each, f"{key}_")
        elif isinstance(each, str | int | float) and not isinstance(each, bool):
            yield key, str(each)


def _logfmt(text: str) -> Fields:
    pairs = {ODD.sub("_", name): value.strip('"') for name, value in PAIR.findall(text)}
    return pairs if len(pairs) >= FEWEST_PAIRS else {}


def _named(names: Sequence[str], form: re.Pattern[str], read: Sequence[Fields]) -> str:
    """The first of the names that is a field of most lines, with values of that form."""
    for name in (ODD.sub("_", each) for each in names):
        values = [each[name] for each in read if name in each]
        if read and len(values) >= MOST * len(read) and all(map(form.fullmatch, values)):
            return name
    return ""


def _slow(read: Sequence[Fields]) -> Iterator[tuple[str, str]]:
    """How the fields with durations are unwrapped, and in which unit."""
    for name in sorted({name for each in read for name in each if SLOW.fullmatch(name)}):
        if _named((name,), NUMBER, read):
            yield name, unit_of(name)
        elif _named((name,), TIMED, read):
            yield f"duration({name})", "s"
