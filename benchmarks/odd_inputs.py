"""Odd inputs for every parser, seeded: what is sound is taken apart and put together wrongly.

A `Door` makes an input and enters with it. Whatever the input is, the answer is one of the errors
that the package raises on purpose, or none.
"""

from __future__ import annotations

import copy
import gzip
import inspect
import io
import json
import re
import sqlite3
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch
from xml.etree.ElementTree import tostring
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import requests
import urllib3
import yaml
from defusedxml.ElementTree import fromstring

import anomaly
from anomaly.checklist import registry
from anomaly.checklist.checklist import load as load_checklist
from anomaly.cli.explanation import explanation
from anomaly.collectors import snapshot
from anomaly.collectors.files import FilesCollector, Layout
from anomaly.collectors.prometheus import PrometheusCollector
from anomaly.contracts import Collector
from anomaly.errors import AnomalyError
from anomaly.history.records import finding_id, release_id
from anomaly.history.store import Store
from anomaly.http.endpoint import retry_after
from anomaly.http.transport import DeadlineAdapter
from anomaly.imports import documents
from anomaly.imports.reading import findings_of
from anomaly.model import Kpi, Window
from anomaly.releases import form
from anomaly.reporting import archive
from anomaly.reporting.data import to_dict
from anomaly.reporting.message import Action, Message
from anomaly.reporting.pages.release import page
from anomaly.reporting.points_file import csv_bytes
from anomaly.reporting.report import Report
from anomaly.sinks import console
from anomaly.sinks.markdown import markdown
from anomaly.testing import cases
from anomaly.timing.durations import parse_duration, parse_moment, parse_step
from tests.support import reports

T = TypeVar("T")
Random = np.random.Generator
Odd = Callable[[Random], Any]

ROOT = Path(__file__).parent.parent
NOW = datetime(2025, 6, 3, 12, tzinfo=UTC)
STEP = timedelta(minutes=5)
WINDOW = Window(NOW - 12 * STEP, NOW)
KPIS = (
    Kpi("orders", query="orders"),
    Kpi("errors", query="errors", denominator="requests", by=("country",)),
)
DEEP, LONG = 100_000, 400
VARIABLE = re.compile(r"\$\{(\w+)\}")
WORDS = (
    b"\0 \n \r\n \r \t , ; : | \" ' '' \"\" \\ / # $ % & * - -- = + < > [ ] { } ( ) @ ! ? ` ~ ^ _ "
    b"\xff \xc3\x28 \xed\xa0\x80 \xef\xbb\xbf \xff\xfe \xc2\x85 \xe2\x80\xa8 \xe2\x80\xae \x1b[31m "
    b"null true false yes no NaN nan inf -inf Infinity 0 1 -1 1.5 1e308 1e999 0x10 1_000 0o17 "
    b"9999-12-31 0001-01-01T00:00Z 2025-06-03 2025-06-03T10:00Z 2025-10-26T02:30 03/06/2025 "
    b"1748941200 10:00 5m 1d 1M 28d 99999999999d &a *a !!python/object !!float <<: --- ... ${HOME} "
    b"${A:-b} time kpi value country orders </script> \\ud800 \\u0000 PAR1 PK\x03\x04"
).split(b" ")
TEXTS = (
    "",
    " ",
    "x",
    "nan",
    "0",
    "-1",
    "1e400",
    "2025-06-03T10:00:00Z",
    "9999-12-31T23:59:59+00:00",
    "0001-01-01T00:00:00+14:00",
    "2025-06-03",
    "\ud800",
    "\x1b[31mred",
    "\u202eright",
    "\x85next\u2028line",
    "</script><script>",
    "::error::x",
    "Europe/Berlin",
    "../../etc/passwd",
    "UTC\0",
    "level over 3 steps",
    "regressed",
    "inconclusive",
    "error",
    "fail",
    "pass",
    "mix",
    "down",
    "7" * LONG,
    "x" * 10_000,
)
NUMBERS = (0, 1, -1, 2, 0.5, -0.0, 1.5, 99, 1e-320, 1e308, -1e308, 2**63, -(2**63), 10**LONG)
OTHERS: tuple[Any, ...] = (
    None,
    True,
    False,
    [],
    {},
    [[]],
    {"": None},
    [None],
    float("nan"),
    float("inf"),
)
VALUES = (*TEXTS, *NUMBERS, *OTHERS)


@dataclass(frozen=True, slots=True)
class Door:
    """A parser: `make` draws an input, `enter` gives it to the parser, with a folder of its own."""

    make: Callable[[Random], Any]
    enter: Callable[[Any, Path], None]


def doors() -> Mapping[str, Door]:
    """The doors by name."""
    return {
        "checklist": Door(_checklist, _enter_checklist),
        "cases": Door(_cases, _enter_cases),
        "other tools": Door(_other_tools, _enter_other_tools),
        "CSV": Door(_csv, _enter_table),
        "Parquet": Door(_parquet, _enter_table),
        "workbook": Door(_workbook, _enter_table),
        "Prometheus answer": Door(_answer, _enter_answer),
        "series answer": Door(_series_answer, _enter_series_answer),
        "test runs": Door(_test_runs, _enter_test_runs),
        "page": Door(_page, _enter_page),
        "JSON": Door(_json, _enter_json),
        "kept panel": Door(_panel, _enter_panel),
        "history file": Door(_history, _enter_history),
        "releases": Door(_releases, _enter_releases),
        "times": Door(_time, _enter_time),
        "arguments": Door(_arguments, _enter_arguments),
    }


def odd_input(door: str, seed: int, number: int) -> Any:
    """The input with this number: the same for the same seed."""
    rng = np.random.default_rng([seed, number, *door.encode()])
    return doors()[door].make(rng)


def one(rng: Random, choices: Sequence[T]) -> T:
    return choices[int(rng.integers(len(choices)))]


def chance(rng: Random, share: float) -> bool:
    return bool(rng.random() < share)


# --- bytes and trees -----------------------------------------------------------------------------


def torn(data: bytes, rng: Random) -> bytes:
    """Some bytes after up to four accidents."""
    for _ in range(int(rng.integers(1, 5))):
        data = one(rng, ACCIDENTS)(data, rng)
    return data


def _span(data: bytes, rng: Random) -> tuple[int, int]:
    start = int(rng.integers(len(data) + 1))
    return start, min(len(data), start + int(rng.integers(1, 2 ** int(rng.integers(1, 9)))))


def _flipped(data: bytes, rng: Random) -> bytes:
    out = bytearray(data)
    for at in rng.integers(len(out), size=int(rng.integers(1, 5))) if out else ():
        out[at] = int(rng.integers(256))
    return bytes(out)


def _without(data: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def _twice(data: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:end] * 1 + data[start:end] * int(rng.integers(1, 40)) + data[end:]


def _with_word(data: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + one(rng, WORDS) + data[end if chance(rng, 0.5) else start :]


def _moved(data: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    rest = data[:start] + data[end:]
    at = int(rng.integers(len(rest) + 1))
    return rest[:at] + data[start:end] + rest[at:]


def _cut(data: bytes, rng: Random) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


ACCIDENTS = (_flipped, _without, _twice, _with_word, _with_word, _moved, _cut)


def mended_wrongly(tree: Any, rng: Random) -> Any:
    """A tree of dictionaries and lists after up to three accidents."""
    tree = json.loads(json.dumps(tree))
    for _ in range(int(rng.integers(1, 4))):
        places = [*_places(tree)]
        if not places:
            return copy.deepcopy(one(rng, VALUES))
        holder, key = one(rng, places)
        match int(rng.integers(7)):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[one(rng, TEXTS)] = holder.pop(key)
            case 2:
                other, name = one(rng, places)
                holder[key] = json.loads(json.dumps(other[name]))
            case 3 if isinstance(holder, list):
                holder.insert(int(rng.integers(len(holder) + 1)), copy.deepcopy(one(rng, VALUES)))
            case 4 if isinstance(holder[key], str):
                text = torn(holder[key].encode("utf-8", "replace"), rng)
                holder[key] = text.decode("utf-8", "replace")
            case _:
                holder[key] = copy.deepcopy(one(rng, VALUES))
    return tree


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    queue = [tree]
    while queue:
        holder = queue.pop()
        keys = [*holder] if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            yield holder, key
            if isinstance(holder[key], dict | list):
                queue.append(holder[key])


def _document(tree: Any, rng: Random) -> bytes:
    """JSON that is not quite the tree."""
    if chance(rng, 0.02):
        return one(rng, [b"[", b'{"a":', b'{"report":']) * DEEP
    data = json.dumps(mended_wrongly(tree, rng)).encode()
    return torn(data, rng) if chance(rng, 0.3) else data


# --- checklists and cases ------------------------------------------------------------------------


@cache
def _checklists() -> tuple[bytes, ...]:
    paths = [
        *sorted((ROOT / "sample_data").glob("*/checklist.yaml")),
        ROOT / "anomaly" / "setup" / "checklist.yaml",
    ]
    return (*(path.read_bytes() for path in paths), MANY_KEYS.encode())


MANY_KEYS = """
service: shop
environment: production
timezone: Europe/Berlin
store: history.db
heartbeat: https://hc.example/${TOKEN}
sources:
  files: {type: files, path: kpis.csv, layout: long, timezone: UTC}
  prometheus: {type: prometheus, url: "http://localhost:9090", bearer_token: "${TOKEN}"}
  sql: {type: sql, url: "postgresql://reader@db/shop", timeout: 30s}
sinks:
  - {type: webhook, url: "https://hooks.example/x", headers: {X-Key: "${TOKEN}"}}
  - {type: slack, url: "https://hooks.slack.com/services/T/B/x"}
  - {type: email, host: mail.example, sender: a@example.org, to: [b@example.org]}
releases:
  - {type: json, path: releases.json}
windows: {history: 28d, watch: 6h, step: 5m, warmup: 5m, lag: 2m}
rhythm: {dense: 5m, sparse: 1h, until: 6h}
special_days: [{date: 2025-12-24, name: eve}]
holidays: [{country: DE, subdivision: BE}]
leave_out: [{start: 2025-05-01T00:00:00Z, end: 2025-05-02T00:00:00Z, reason: outage}]
silences: [{reason: night, start: 2025-05-01T00:00:00Z, end: 2025-05-02T00:00:00Z}]
kpis:
  - {name: orders, source: files, query: orders, direction: down, tolerance: 5 %, usage: 3}
  - {name: errors, source: prometheus, query: a, denominator: b, by: [country], floor: 0.1}
  - {name: weather, source: files, query: weather, control_for: [orders]}
"""


def _yaml(seeds: Sequence[bytes], rng: Random) -> bytes:
    data = one(rng, seeds)
    if chance(rng, 0.5):
        return torn(data, rng)
    tree = json.loads(json.dumps(yaml.safe_load(data), default=str))
    odd = mended_wrongly(tree, rng)
    return json.dumps(odd).encode() if chance(rng, 0.5) else yaml.safe_dump(odd).encode()


def _checklist(rng: Random) -> bytes:
    return _yaml(_checklists(), rng)


def _enter_checklist(data: bytes, folder: Path) -> None:
    path = folder / "checklist.yaml"
    path.write_bytes(data)
    checklist = load_checklist(path, environ={"TOKEN": "planted", "HOME": "/root"})
    for plugin in checklist.sources.values():
        registry.collector(plugin)


@cache
def _case_lists() -> tuple[bytes, ...]:
    return ((ROOT / "sample_data" / "cases.yaml").read_bytes(),)


def _cases(rng: Random) -> bytes:
    return _yaml(_case_lists(), rng)


@cache
def _healthy() -> Any:
    return load_checklist(ROOT / "sample_data" / "healthy" / "checklist.yaml", environ=None)


def _enter_cases(data: bytes, folder: Path) -> None:
    path = folder / "cases.yaml"
    path.write_bytes(data)
    cases.load(path, _healthy())


# --- tables --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OddTable:
    """A file and the settings that it is read with."""

    data: bytes
    settings: Mapping[str, Any]


MOMENTS = pd.date_range(WINDOW.start, periods=12, freq=STEP)
WIDE = pd.DataFrame(
    {
        "time": MOMENTS,
        "country": ["DE", "FR"] * 6,
        "orders": np.arange(12.0),
        "errors": np.arange(12),
        "requests": np.arange(12) + 100.5,
    }
)
LONGER = WIDE.melt(["time", "country"], var_name="kpi")


def _settings(rng: Random) -> dict[str, Any]:
    settings: dict[str, Any] = {"layout": one(rng, [*Layout])}
    if chance(rng, 0.6):
        settings["timezone"] = one(rng, ["UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo"])
    if chance(rng, 0.3):
        settings["time_unit"] = one(rng, ["s", "ms"])
    if chance(rng, 0.7):
        settings["resample"] = one(rng, ["sum", "mean"])
    return settings


def _csv(rng: Random) -> OddTable:
    frame = one(rng, [WIDE, LONGER])
    times = one(
        rng,
        [
            frame["time"],
            frame["time"].dt.tz_convert("Europe/Berlin"),
            frame["time"].dt.tz_localize(None),
            frame["time"].dt.strftime("%Y-%m-%d"),
            frame["time"].dt.strftime("%d.%m.%Y %H:%M"),
            frame["time"].astype("int64") // 10**9,
        ],
    )
    text = frame.assign(time=times).to_csv(
        index=False, sep=one(rng, [",", ",", ";", "\t"]), decimal=one(rng, [".", "."])
    )
    encoding = one(rng, ["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"])
    return OddTable(torn(text.encode(encoding), rng), _settings(rng))


def _odd_arrays() -> tuple[pa.Array, ...]:
    whole = [*range(12)]
    stamps = [int(moment.timestamp()) for moment in MOMENTS]
    far = [*stamps[:-1], 2**62]
    return (
        *(pa.array(stamps, pa.timestamp("s", zone)) for zone in ("UTC", "Nowhere/Land", "+25:99")),
        *(pa.array(far, pa.timestamp(unit, zone)) for unit in ("ms", "ns") for zone in ("UTC", "")),
        pa.array([*stamps[:-1], None], pa.timestamp("s")),
        pa.array([20_242] * 11 + [2**31 - 1], pa.date32()),
        pa.array(whole, pa.duration("us")),
        pa.array(whole, pa.time64("ns")),
        pa.array([[each] for each in whole]),
        pa.array([{"a": each} for each in whole]),
        pa.array([b"\xff"] * 12),
        pa.array([b"DE"] * 12),
        pa.array(["DE", None] * 6).dictionary_encode(),
        pa.array([Decimal("1.5"), None] * 6),
        pa.array([None] * 12),
        pa.array([True, None] * 6),
        pa.array([float("inf"), float("nan"), 1e308] * 4),
        pa.array([2**63] * 12, pa.uint64()),
        pa.array(whole, pa.float32()).cast(pa.float16()),
        pa.array(["7" * LONG, "x"] * 6),
    )


@cache
def _tables() -> tuple[bytes, ...]:
    frames = (
        WIDE,
        LONGER,
        WIDE.set_index("time"),
        WIDE.set_index(["time", "country"]),
        WIDE.assign(country=WIDE["country"].astype("category")),
    )
    return tuple(_parquet_of(pa.Table.from_pandas(frame)) for frame in frames)


def _parquet_of(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def _parquet(rng: Random) -> OddTable:
    if chance(rng, 0.7):
        damage = one(rng, [_flipped, _flipped, torn])
        return OddTable(damage(one(rng, _tables()), rng), _settings(rng))
    arrays = {name: pa.Array.from_pandas(WIDE[name]) for name in WIDE}
    for name in arrays:
        if chance(rng, 0.4):
            arrays[name] = one(rng, _odd_arrays())
    return OddTable(_parquet_of(pa.table(arrays)), _settings(rng))


@cache
def _workbooks() -> tuple[Mapping[str, bytes], ...]:
    """The parts of workbooks of one sheet and of two, without those that hold the hour."""
    naive = MOMENTS.tz_localize(None)
    out = []
    for frames in ({"kpis": WIDE}, {"notes": WIDE.head(1), "kpis": WIDE.assign(country="DE")}):
        file = io.BytesIO()
        with pd.ExcelWriter(file, engine="openpyxl") as writer:
            for sheet, frame in frames.items():
                timed = frame.assign(time=naive[: len(frame)])
                timed.to_excel(writer, sheet_name=sheet, index=False)
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if not name.startswith("docProps")]
            out.append({name: archive.read(name) for name in names})
    return tuple(out)


def _workbook(rng: Random) -> OddTable:
    parts = dict(one(rng, _workbooks()))
    name = one(rng, [*parts, *[each for each in parts if "sheet" in each] * 3])
    parts[name] = torn(parts[name], rng)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for part, data in parts.items():
            archive.writestr(zipfile.ZipInfo(part), data)
    whole = file.getvalue()
    return OddTable(_flipped(whole, rng) if chance(rng, 0.3) else whole, _settings(rng))


def _enter_table(table: OddTable, folder: Path) -> None:
    path = folder / "kpis"
    path.write_bytes(table.data)
    collected = FilesCollector(path=path, **table.settings).collect(KPIS, WINDOW, STEP)
    for error in collected.errors.values():
        if not str(error).isprintable():
            raise ValueError("the error is not printable")


# --- Prometheus ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OddAnswer:
    """An answer over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: bytes


MATRIX = {
    "status": "success",
    "data": {
        "resultType": "matrix",
        "result": [
            {
                "metric": {"country": country},
                "values": [[int(moment.timestamp()), "1.5"] for moment in MOMENTS],
            }
            for country in ("DE", "FR")
        ],
    },
}
FAILED = {"status": "error", "errorType": "bad_data", "error": "parse error", "warnings": ["x"]}
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"Date": "Tue, 03 Jun 2025 12:00:00 GMT"},
    {"Date": "Tue, 03 Jun 99999 12:00:00 GMT"},
    {"Retry-After": "9" * LONG},
    {"Retry-After": "Fri, 31 Dec 9999 23:59:59 -2359"},
    {"Retry-After": "Mon, 01 Jan 0001 00:00:00 +2359"},
    {"Content-Type": "text/html; charset=nonsense"},
    {"Location": "http://[::1"},
)


def _answer(rng: Random) -> OddAnswer:
    return _over_http(_document(one(rng, [MATRIX, MATRIX, FAILED]), rng), rng)


def _over_http(body: bytes, rng: Random) -> OddAnswer:
    status = one(rng, [200] * 9 + [204, 302, 400, 401, 404, 413, 422, 429, 500, 503])
    headers = dict(one(rng, HEADERS))
    if chance(rng, 0.1):
        headers["Content-Encoding"] = one(rng, ["gzip", "deflate", "br", "nonsense"])
        body = gzip.compress(body) if chance(rng, 0.7) else body
        body = torn(body, rng) if chance(rng, 0.5) else body
    return OddAnswer(status, headers, body)


def _enter_answer(answer: OddAnswer, _: Path) -> None:
    collector = PrometheusCollector(
        url="http://127.0.0.1:9090", concurrency=1, sleep=lambda _: None, now=lambda: NOW
    )
    _collect(collector, KPIS, lambda _: answer)


def _collect(
    collector: Collector, kpis: Sequence[Kpi], answer_to: Callable[[str], OddAnswer]
) -> None:
    """Let the collector ask a server that always answers so."""

    def send(_: DeadlineAdapter, request: Any, **__: Any) -> requests.Response:
        answer = answer_to(request.url)
        raw = urllib3.HTTPResponse(
            io.BytesIO(answer.body), answer.headers, answer.status, preload_content=False
        )
        return requests.adapters.HTTPAdapter().build_response(request, raw)

    looked_up = patch("anomaly.http.endpoint.refuse_metadata")
    with patch.object(DeadlineAdapter, "send", send), looked_up:
        collected = collector.collect(kpis, WINDOW, STEP)
    for error in collected.errors.values():
        if not str(error).isprintable():
            raise ValueError("the error is not printable")


# --- other sources over HTTP ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OddSeries:
    """An answer of a source over HTTP."""

    source: str
    answer: OddAnswer


SECONDS = [int(moment.timestamp()) for moment in MOMENTS]
STATEMENT = "SELECT sum(v) FROM y WHERE time >= $start AND time < $end GROUP BY time($step)"
SOUND: Mapping[str, Sequence[Any]] = {  # the documents of an answer
    "influxdb": [
        {
            "results": [
                {
                    "statement_id": 0,
                    "series": [
                        {
                            "name": "orders",
                            "tags": {"country": country},
                            "columns": ["time", "sum"],
                            "values": [[second, 1.5] for second in SECONDS],
                        }
                    ],
                    "partial": country == "DE",
                }
            ]
        }
        for country in ("DE", "FR")
    ],
    "graphite": [
        [
            {
                "target": "x",
                "tags": {"country": country},
                "datapoints": [[1.5, second] for second in SECONDS],
            }
            for country in ("DE", "FR")
        ]
    ],
    "datadog": [
        {
            "status": "ok",
            "series": [
                {
                    "tag_set": [f"country:{country}"],
                    "interval": 300,
                    "pointlist": [[1000 * second, 1.5] for second in SECONDS],
                }
                for country in ("DE", "FR")
            ],
        }
    ],
    "loki": [MATRIX],
    "elasticsearch": [
        {
            "timed_out": False,
            "_shards": {"total": 2, "successful": 2, "skipped": 0, "failed": 0},
            "_clusters": {"total": 1, "successful": 1, "skipped": 0, "partial": 0, "failed": 0},
            "aggregations": {
                "steps": {
                    "buckets": [
                        {
                            "key": {"time": 1000 * second, "by0": country},
                            "doc_count": 3,
                            "value": {"value": 1.5},
                        }
                        for second in SECONDS
                        for country in ("DE", "FR")
                    ]
                }
            },
        }
    ],
    "newrelic": [
        {
            "data": {
                "actor": {
                    "account": {
                        "nrql": {
                            "results": [
                                {
                                    "beginTimeSeconds": second,
                                    "endTimeSeconds": second + 300,
                                    "facet": country,
                                    "country": country,
                                    "percentile.v": {"95": 1.5},
                                    "count": 3,
                                }
                                for second in SECONDS
                                for country in ("DE", "FR")
                            ],
                            "metadata": {"facets": ["country"]},
                        }
                    }
                }
            },
            "errors": [],
        }
    ],
}
QUERIES = {  # those that are not "x"
    "influxdb": STATEMENT,
    "elasticsearch": "x | avg(v)",
    "newrelic": "SELECT percentile(v, 95), count(*) FROM K FACET country",
}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "influxdb": {"url": "http://127.0.0.1:8086", "database": "shop"},
    "graphite": {"url": "http://127.0.0.1:8080"},
    "datadog": {"url": "http://127.0.0.1:1", "api_key": "planted", "application_key": "planted"},
    "loki": {"url": "http://127.0.0.1:3100"},
    "elasticsearch": {"url": "http://127.0.0.1:9200", "index": "kpis"},
    "newrelic": {"url": "http://127.0.0.1:1", "account_id": 1, "api_key": "planted"},
}


def _series_answer(rng: Random) -> OddSeries:
    source = one(rng, [*SOUND])
    body = b"\n".join(
        _document(part, rng) if chance(rng, 0.7) else json.dumps(part).encode()
        for part in SOUND[source]
    )
    return OddSeries(source, _over_http(body, rng))


def _enter_series_answer(odd: OddSeries, _: Path) -> None:
    plugin = registry.Plugin(odd.source, SETTINGS[odd.source])
    query = QUERIES.get(odd.source, "x")
    kpis = [Kpi("orders", query=query), Kpi("errors", query=f"{query} ", by=("country",))]
    _collect(registry.collector(plugin, sleep=lambda _: None), kpis, lambda _: odd.answer)


# --- files of other tools ------------------------------------------------------------------------


@cache
def _files_of_other_tools() -> tuple[Any, ...]:
    """The documents in the files of the tests."""
    files = sorted((ROOT / "tests" / "imports" / "files").iterdir())
    return tuple(part.data for file in files for part in documents.read(file))


def _other_tools(rng: Random) -> bytes:
    """One or several documents of one file, in JSON, or torn."""
    return _document([one(rng, _files_of_other_tools()) for _ in range(3)], rng)


def _enter_other_tools(data: bytes, folder: Path) -> None:
    path = folder / "other.json"
    path.write_bytes(data)
    values = {"scope": "app:shop", "service": "shop", "location": "eu"}
    proposal = findings_of(path, values=values).proposal()
    environ = {
        name: "7" if name == "NEW_RELIC_ACCOUNT_ID" else "http://127.0.0.1:1"
        for name in VARIABLE.findall(str(proposal.sources))
    }
    try:
        load_checklist("checklist.yaml", environ=environ, text=proposal.checklist().encode())
    except AnomalyError as error:
        raise ValueError(f"the checklist is not valid: {error}") from None


# --- test runs -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OddRuns:
    """Where test runs are (a setting of the source), what is there, and the list that leads
    there."""

    place: str
    content: OddAnswer
    listed: OddAnswer


RUN = b"""<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="shop" timestamp="2025-06-03T11:20:00Z" hostname="a" tests="3">
<testcase classname="shop.Cart" name="pays" time="0.5"/>
<testcase classname="shop.Cart" name="ships" time="1"><failure message="no">at</failure></testcase>
<testsuite name="in"><testcase name="gifts"><skipped/></testcase></testsuite>
</testsuite></testsuites>"""
LISTS: Mapping[str, Any] = {
    "github": {
        "total_count": 1,
        "artifacts": [
            {
                "id": 1,
                "name": "runs",
                "expired": False,
                "created_at": "2025-06-03T11:30:00Z",
                "workflow_run": {
                    "repository_id": 1,
                    "head_repository_id": 1,
                    "head_branch": "main",
                },
            }
        ],
    },
    "gitlab": [
        {
            "id": 1,
            "name": "runs",
            "ref": "main",
            "tag": False,
            "created_at": "2025-06-03T11:10:00.000Z",
            "started_at": "2025-06-03T11:20:00.000Z",
            "finished_at": "2025-06-03T11:30:00.000Z",
            "artifacts": [{"file_type": "archive", "size": 1}],
        }
    ],
}


def _test_runs(rng: Random) -> OddRuns:
    place = one(rng, ["path", "url", "github", "gitlab"])
    runs = [_run(rng) for _ in range(2)]
    content = runs[0] if place == "path" else _zipped(runs, rng)
    listed = LISTS.get(place, {})
    listing = json.dumps(listed).encode() if chance(rng, 0.5) else _document(listed, rng)
    bodies = (content, listing)
    return OddRuns(
        place,
        *(
            _over_http(each, rng) if chance(rng, 0.2) else OddAnswer(200, {}, each)
            for each in bodies
        ),
    )


def _run(rng: Random) -> bytes:
    """A run whose elements and attributes were changed, or whose bytes were, or neither."""
    if chance(rng, 0.3):
        return torn(RUN, rng) if chance(rng, 0.7) else RUN
    root = fromstring(RUN)
    for _ in range(int(rng.integers(1, 4))):
        element, other = (one(rng, [*root.iter()]) for _ in range(2))
        name = one(rng, [*element.attrib, "time", "timestamp", "name", "classname"])
        match int(rng.integers(4)):
            case 0:
                element.attrib.pop(name, None)
            case 1:
                element.tag = one(rng, ["testsuite", "testcase", "failure", "x", "properties"])
            case 2:
                element.append(copy.deepcopy(other))
            case _:
                element.set(name, one(rng, TEXTS))
    return bytes(tostring(root, "utf-8", xml_declaration=True))


def _zipped(runs: Sequence[bytes], rng: Random) -> bytes:
    """A zip of runs, or one of them alone."""
    if chance(rng, 0.2):
        return runs[0]
    content = io.BytesIO()
    how = one(rng, [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    with zipfile.ZipFile(content, "w", how) as archive:
        for number, run in enumerate(runs):
            folder = one(rng, ["", "a/", "../", "/", "a//b/", "20250603T112000Z-x/"])
            archive.writestr(f"{folder}{number}.xml", run)
    return torn(content.getvalue(), rng) if chance(rng, 0.3) else content.getvalue()


def _enter_test_runs(odd: OddRuns, folder: Path) -> None:
    settings: dict[str, Any] = {"path": str(folder)}
    if odd.place == "path":
        (folder / "run.xml").write_bytes(odd.content.body)
    else:
        settings = {"url": "http://127.0.0.1:1"}
    if odd.place in LISTS:
        settings |= {odd.place: "shop/web", "artifact": "runs", "branch": "main"}
    plugin = registry.Plugin("junit", {**settings, "timezone": "UTC"})
    kpis = [Kpi("it", query="passed"), Kpi("time", query="duration", by=("suite", "class"))]
    _collect(
        registry.collector(plugin, sleep=lambda _: None),
        kpis,
        lambda url: odd.listed if "per_page=" in url else odd.content,
    )


# --- reports -------------------------------------------------------------------------------------


@cache
def _reports() -> tuple[dict[str, Any], ...]:
    index = pd.date_range("2025-03-01", periods=400, freq="5min", tz="UTC")
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(200, 5, (400, 3)), index, ["latency", "orders", "weather"])
    frame.iloc[360:, 0] += 40
    judged = anomaly.check(frame, released_at=index[360], direction="up", controls=["weather"])
    made = ("failing", "messy", "passing", "early", "dead_source", "staged")
    return tuple(
        archive.data_of(report) for report in (judged, *(getattr(reports, name)() for name in made))
    )


def _json(rng: Random) -> bytes:
    data = one(rng, _reports())
    return _document(data if chance(rng, 0.5) else data["report"], rng)


def _page(rng: Random) -> bytes:
    parts = [b"<html>"]
    for _ in range(int(rng.integers(1, 4))):
        data = _document(one(rng, _reports()), rng).replace(b"</", b"<\\/")
        parts += [archive.OPENING.encode(), data, archive.CLOSING.encode()]
    if chance(rng, 0.1):
        parts += [archive.OPENING.encode() * 10_000]
    whole = b"".join(parts)
    return torn(whole, rng) if chance(rng, 0.3) else whole


def _enter_json(data: bytes, folder: Path) -> None:
    _show(data, folder / "report.json")


def _enter_page(data: bytes, folder: Path) -> None:
    _show(data, folder / "report.html")


def _show(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    report, receipts = archive.read(path)
    shown(report)
    page(report, deliveries=receipts)
    json.dumps(to_dict(report, deliveries=receipts), allow_nan=False)


def shown(report: Report) -> None:
    """The report in all of its words."""
    stream = io.StringIO()
    console.show(report, stream, environ={})
    if "\x1b" in stream.getvalue():
        raise ValueError("an escape reaches the terminal")
    stream.getvalue().encode()
    for finding in report.findings:
        explanation(finding, report)
        finding_id(report.release, finding)
    report.to_frame()
    csv_bytes(report.points)
    markdown(Message(release_id(report.release), report, Action.of(report)))
    archive.unpack(archive.pack(report))


# --- what is kept --------------------------------------------------------------------------------


@cache
def _panels() -> tuple[dict[str, Any], ...]:
    collected = [
        FilesCollector(path=Path("gone")).collect(KPIS, WINDOW, STEP),
        anomaly.contracts.Collected(
            pd.DataFrame(
                {("orders", "", "value"): np.arange(12.0), ("errors", "a=b", "value"): np.nan},
                MOMENTS,
            ).rename_axis(columns=["kpi", "segment", "role"])
        ),
    ]
    return tuple(json.loads(json.dumps(snapshot._document(each))) for each in collected)


def _panel(rng: Random) -> bytes:
    data = _document(one(rng, _panels()), rng)
    if chance(rng, 0.2):
        data = gzip.compress(data)
        return torn(data, rng) if chance(rng, 0.5) else data
    return data


def _enter_panel(data: bytes, folder: Path) -> None:
    path = folder / "panel.json"
    path.write_bytes(data)
    snapshot.save(snapshot.load(path), folder / "again.json")


@dataclass(frozen=True, slots=True)
class OddHistory:
    """A history file, and statements that somebody ran on it."""

    data: bytes
    statements: tuple[tuple[str, tuple[Any, ...]], ...]


@cache
def _histories() -> tuple[bytes, ...]:
    out = []
    for old in sorted((ROOT / "tests" / "history" / "old").glob("*.sql")):
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(old.read_text(encoding="utf-8"))
            out.append(connection.serialize())
    return tuple(out)


@cache
def _columns() -> tuple[tuple[str, str], ...]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(_histories()[-1])
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema")]
        return tuple(
            (table, row[1])
            for table in tables
            for row in connection.execute(f"PRAGMA table_info('{table}')")
        )


def _history(rng: Random) -> OddHistory:
    data = one(rng, _histories())
    if chance(rng, 0.3):
        return OddHistory(one(rng, [_flipped, torn])(data, rng), ())
    statements = []
    for _ in range(int(rng.integers(1, 4))):
        table, column = one(rng, _columns())
        value = one(rng, [*VALUES, b"\xff\x00", b"", 2**62, "[]", "{}", '[["x", 2]]', "[" * DEEP])
        if isinstance(value, list | dict):
            value = json.dumps(value)
        if isinstance(value, int) and abs(value) >= 2**63:
            value = str(value)
        if isinstance(value, str):
            value = value.encode("utf-8", "replace").decode()
        statements.append((f"UPDATE {table} SET {column} = ?", (value,)))  # noqa: S608
    return OddHistory(data, tuple(statements))


def _enter_history(history: OddHistory, folder: Path) -> None:
    path = folder / "history.db"
    path.write_bytes(history.data)
    if history.statements:
        with closing(sqlite3.connect(path)) as connection:
            for statement, values in history.statements:
                try:
                    connection.execute(statement, values)
                except sqlite3.Error:
                    continue
            connection.commit()
    with Store(path, busy_s=0.1) as store:
        for read in READS:
            try:
                read(store)
            except AnomalyError:
                continue


def _each_release(store: Store) -> None:
    for record in store.releases():
        try:
            for look in store.looks(record.id):
                shown(store.report(look.id))
        except AnomalyError:
            pass
        for read in (store.findings, store.messages, store.acks):
            try:
                read(record.id)
            except AnomalyError:
                continue


READS: tuple[Callable[[Store], Any], ...] = (
    _each_release,
    lambda store: store.find("c8a5ca2b"),
    lambda store: store.due(NOW),
    lambda store: store.feedback(),
    lambda store: store.lease("tick", "me", now=NOW, until=NOW + STEP),
    lambda store: store.lessons("shop", "production", window=WINDOW, warmup=STEP),
    lambda store: store.prune(NOW),
)


RELEASES = [
    {
        "service": "shop",
        "version": "1.2",
        "started_at": "2025-06-03T10:00:00Z",
        "finished_at": "2025-06-03T11:00:00+02:00",
        "stages": [{"at": "2025-06-03T10:10:00Z", "share": 0.1}],
    },
    {"version": "1.1", "started_at": "2025-06-01", "aborted_at": "2025-06-02T10:00:00Z"},
]


def _releases(rng: Random) -> str:
    data = _document(RELEASES, rng)
    return data.decode("utf-8", "replace")


def _enter_releases(text: str, _: Path) -> None:
    for written in form.read(text):
        written.release.version.encode()  # a lone surrogate can't be kept


# --- times and arguments -------------------------------------------------------------------------

TIMES = (
    "now",
    "-2h",
    "1h30m",
    "28d",
    "1M",
    "0s",
    "2025-06-03",
    "2025-06-03T10:00Z",
    "2025-06-03T10:00:00.123456+02:00",
    "2025-10-26T02:30:00",
    "0001-01-01T00:00+14:00",
    "9999-12-31T23:59:59-12:00",
    "20250603T100000Z",
    "2025-W23-2",
    "99999999999d",
    "-999999999d",
    "1748941200",
)
DATES = ("Tue, 03 Jun 2025 12:00:00 GMT", "120", "Tue, 03 Jun 99999 12:00:00 GMT", "9" * LONG)


def _time(rng: Random) -> str:
    text = one(rng, [*TIMES, *DATES])
    return torn(text.encode(), rng).decode("utf-8", "replace") if chance(rng, 0.9) else text


def _enter_time(text: str, _: Path) -> None:
    reads: list[Callable[[], Any]] = [
        lambda: parse_duration(text),
        lambda: parse_step(text),
        lambda: parse_moment(text, now=NOW),
        lambda: parse_moment(text, now=NOW, zone="America/Havana"),
        lambda: retry_after(text, NOW.timestamp()),
    ]
    for read in reads:
        try:
            read()
        except AnomalyError:
            continue


HOUR = timedelta(hours=1)
ROWS = pd.date_range("2025-03-01", periods=60, freq="5min", tz="UTC")
SERIES = pd.Series(np.random.default_rng(1).normal(200, 5, 60), ROWS, name="latency")
FRAME = pd.DataFrame({"latency": SERIES, "orders": SERIES * 2})
EDGES = (
    pd.date_range("1677-09-22", periods=60, freq="D", tz="UTC"),
    pd.date_range(end="2262-04-11", periods=60, freq="D", tz="Asia/Tokyo"),
    pd.date_range("0001-01-01", periods=60, freq="D", tz="UTC", unit="s"),
    pd.date_range("9999-01-01", periods=60, freq="D", tz="America/New_York", unit="s"),
    pd.date_range("2025-03-01", periods=60, freq="5min"),
    pd.date_range("2025-03-01", periods=60, freq="ns", tz="UTC"),
    pd.period_range("2025-03-01", periods=60, freq="D"),
    pd.timedelta_range("0s", periods=60, freq="5min"),
    pd.RangeIndex(60),
    pd.Index([f"2025-03-{day:02}" for day in range(1, 61)]),
    pd.Index([*ROWS[:59], pd.NaT]),
    pd.MultiIndex.from_product([range(6), range(10)]),
)
COLUMNS: tuple[list[Any], ...] = (
    ["x"] * 60,
    [[1.0]] * 60,
    [Decimal("1.5")] * 60,
    [None] * 60,
    [1j] * 60,
    [HOUR] * 60,
    [NOW] * 60,
    [2**63] * 60,
    [10**LONG] * 60,
    [b"x"] * 60,
    [{}] * 60,
)
ODD_SERIES: tuple[Any, ...] = (
    *(pd.Series(SERIES.to_numpy(), index, name="latency") for index in EDGES),
    *(pd.Series(column, ROWS, name="latency") for column in COLUMNS),
    *(
        SERIES.rename(name)
        for name in (5, None, ("a", "b"), float("nan"), "\ud800", "\x1b[31m", "")
    ),
    pd.DataFrame({1: SERIES, "1": SERIES}),
    SERIES.astype("category"),
    SERIES.to_numpy(),
)
OBJECTS: tuple[Any, ...] = (
    *VALUES,
    *ODD_SERIES,
    "5%",
    "7d",
    "up",
    "sideways",
    "now",
    -5,
    b"x",
    object,
    {1, 2},
    (1, 2),
    range(3),
    np.float64(0.05),
    np.array([0.05]),
    np.datetime64("2025-03-01T03:00"),
    np.timedelta64(1, "h"),
    Decimal("0.05"),
    date(2025, 3, 1),
    datetime(2025, 3, 1, 3),  # noqa: DTZ001  a naive one is what is odd
    datetime(2025, 3, 1, 3, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo")),
    datetime(9999, 12, 31, 23, tzinfo=ZoneInfo("America/New_York")),
    pd.Timestamp("2025-03-01 03:00", tz="Europe/Berlin"),
    pd.Timestamp.max.tz_localize("UTC"),
    pd.Timestamp.min.tz_localize("UTC"),
    pd.NaT,
    pd.NA,
    pd.Timedelta("1h"),
    timedelta(0),
    HOUR,
    -HOUR,
    timedelta.max,
    timedelta.min,
    SERIES,
    FRAME,
    SERIES.iloc[:0],
    pd.Series(dtype=object),
    pd.DataFrame(index=ROWS),
    ROWS[36],
    ROWS[40].to_pydatetime(),
    [ROWS[40], 0.5],
    [(ROWS[40], 0.5)],
    [(ROWS[40], 0.5), (ROWS[45], 1.0)],
    [(ROWS[45], "x")],
    [(1, 2, 3)],
    [(ROWS[2], ROWS[5], "outage")],
    [(ROWS[5], ROWS[2])],
    ["orders"],
    ["orders", "orders"],
    [SERIES],
    {"latency": "up"},
    {"latency": "sideways"},
    {"gone": "up"},
    {date(2025, 3, 1): "day"},
    {"2025-03-01": "day"},
    {date(9999, 12, 31): None},
)
ARGUMENTS = ("series", *inspect.signature(anomaly.check).parameters)


def _arguments(rng: Random) -> dict[str, Any]:
    arguments: dict[str, Any] = {"series": one(rng, [SERIES, FRAME]), "released_at": ROWS[40]}
    if chance(rng, 0.1):
        series = arguments["series"] = one(rng, ODD_SERIES)
        with suppress(Exception):  # not each of them has times
            arguments["released_at"] = series.index[40]
    for _ in range(int(rng.integers(1, 4))):
        arguments[one(rng, ARGUMENTS)] = one(rng, OBJECTS)
    return arguments


def _enter_arguments(arguments: dict[str, Any], _: Path) -> None:
    arguments = dict(arguments)
    shown(anomaly.check(arguments.pop("series"), **arguments))
