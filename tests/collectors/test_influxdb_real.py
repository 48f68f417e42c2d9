"""A real InfluxDB 1, which asks for credentials and cuts long answers off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.request import Request, urlopen

import numpy as np
import pytest

from anomaly.collectors.influxdb import InfluxdbCollector
from anomaly.contracts import Collected
from anomaly.model import Kpi, Window
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE
from tests.imports.test_panels import imported
from tests.support.servers import Server

START, STEP = datetime(2025, 3, 30, tzinfo=UTC), timedelta(minutes=5)  # clocks change at 01:00
ROWS = 36
WINDOW = Window(START, START + ROWS * STEP)


def select(what: str, more: str = "") -> str:
    return f"SELECT {what} WHERE time >= $start AND time < $end GROUP BY time($step){more}"


def write(server: Server, *lines: str) -> None:
    url = f"{server.url}/write?db=shop&precision=s&u=admin&p=s3cret"
    with urlopen(Request(url, "\n".join(lines).encode()), timeout=30):  # noqa: S310  on loopback
        pass


def at(row: float) -> int:
    return int((START + row * STEP).timestamp())


def collected(server: Server, *kpis: Kpi, window: Window = WINDOW) -> Collected:
    source = InfluxdbCollector(
        url=server.url, database="shop", username="reader", password="s3cret", sleep=lambda _: None
    )
    return source.collect(kpis, window, STEP)


def test_every_step_has_the_sum_of_its_points_whatever_the_row_limit(
    influxdb_server: Server,
) -> None:
    rows = [row for row in range(ROWS) if row % 4]
    lines = [
        f"orders,country={country} value={row * times + part} {at(row + part / 2)}"
        for row in rows
        for country, times in (("DE", 1), ("FR", 2))
        for part in (0, 1)
    ]
    write(influxdb_server, *lines)
    query = select("sum(value) FROM orders", ", country")
    about = collected(
        influxdb_server,
        Kpi("filled", "prod", f"{query} fill(null)", by=("country",)),
        Kpi("bare", "prod", f"{query} fill(none) tz('Europe/Berlin')", by=("country",)),
        Kpi("total", "prod", select("sum(value) FROM orders")),
    )
    assert about.errors == {}
    there = np.isin(np.arange(ROWS), rows)
    for name in ("filled", "bare"):
        for country, times in (("DE", 1), ("FR", 2)):
            expected = np.where(there, 2.0 * np.arange(ROWS) * times + 1, np.nan)
            values = about.panel[name, f"country={country}", VALUE]
            np.testing.assert_array_equal(values, expected)
    total = np.where(there, 6.0 * np.arange(ROWS) + 2, np.nan)
    np.testing.assert_array_equal(about.panel["total", "", VALUE], total)


def test_a_numerator_is_zero_where_only_its_denominator_has_points(influxdb_server: Server) -> None:
    write(
        influxdb_server,
        *(f"requests value={row + 1} {at(row)}" for row in range(6)),
        f"failures value=2 {at(3)}",
    )
    kpi = Kpi(
        "errors",
        "prod",
        select("sum(value) FROM failures", " fill(none)"),
        denominator=select("sum(value) FROM requests", " fill(none)"),
    )
    panel = collected(influxdb_server, kpi, window=Window(START, START + 8 * STEP)).panel
    missing = [np.nan, np.nan]
    np.testing.assert_array_equal(panel["errors", "", NUMERATOR], [0, 0, 0, 2, 0, 0, *missing])
    np.testing.assert_array_equal(panel["errors", "", DENOMINATOR], [1, 2, 3, 4, 5, 6, *missing])


def test_panels_of_grafana_that_were_carried_over_are_answered(influxdb_server: Server) -> None:
    write(influxdb_server, *(f"panels,host=a,code=5 value={row} {at(row)}" for row in range(4)))
    written = (
        'SELECT max("value") FROM panels WHERE code =~ /^$any$/ AND $timeFilter GROUP BY '
        "time($__interval), host fill(none)"
    )
    editor = {
        "measurement": "panels",
        "select": [[{"type": "field", "params": ["value"]}, {"type": "sum", "params": []}]],
        "tags": [{"key": "host", "operator": "=", "value": "a"}, {"key": "code", "value": "/5/"}],
        "groupBy": [
            {"type": "time", "params": ["$__interval"]},
            {"type": "tag", "params": ["host"]},
            {"type": "fill", "params": ["none"]},
        ],
    }
    checklist, _ = imported("influxdb", {"query": written, "rawQuery": True}, editor)
    kpis = [Kpi(each.name, "prod", each.query, by=each.by) for each in checklist.kpis[1:]]
    about = collected(influxdb_server, *kpis, window=Window(START, START + 4 * STEP))
    assert about.errors == {}
    for kpi in kpis:
        np.testing.assert_array_equal(about.panel[kpi.name, "host=a", VALUE], [0, 1, 2, 3])


def test_a_long_window_is_asked_in_parts(influxdb_server: Server) -> None:
    rows = [0, 1999, 2000, 4500]
    write(influxdb_server, *(f"long value={row + 1} {at(row)}" for row in rows))
    kpi = Kpi("long", "prod", select("sum(value) FROM long", " fill(none)"))
    panel = collected(influxdb_server, kpi, window=Window(START, START + 4501 * STEP)).panel
    values = panel["long", "", VALUE]
    assert {row: values.iloc[row] for row in np.flatnonzero(values.notna())} == {
        row: row + 1 for row in rows
    }


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (select("summe(value) FROM states"), "InfluxDB says: undefined function summe"),
        (select("sum(value FROM states"), "error parsing query"),
        (select("sum(state) FROM states"), "InfluxDB says: unsupported sum iterator type"),
        (select("last(state) FROM states"), "last is text; select a field with numbers"),
        (select("count(state), max(value) FROM states"), "returns time, count, max; select one"),
        (select("sum(value) FROM states, other"), "2 series differ by measurement"),
        (select("sum(value) FROM states", ", host"), "2 series differ by host"),
        (select("sum(value) FROM states").replace("$step", "$step, 1m"), "starts no step of 5m"),
    ],
)
def test_what_the_server_says_is_told(influxdb_server: Server, query: str, said: str) -> None:
    write(
        influxdb_server,
        *(f'states,host={host} state="on",value=1 {at(1.5)}' for host in "ab"),
        f"other value=1 {at(1)}",
    )
    kpi = Kpi("states", "prod", query)
    assert said in str(collected(influxdb_server, kpi).errors["states"])


def test_wrong_credentials_and_an_unknown_database_are_told(influxdb_server: Server) -> None:
    kpi = Kpi("orders", "prod", select("sum(value) FROM orders"))
    for settings, said in (
        ({"username": "reader", "password": "wr0ng-one"}, "is token, or username and password"),
        ({}, "answered 401"),
        ({"username": "admin", "password": "s3cret", "database": "no"}, "database not found: no"),
    ):
        source = InfluxdbCollector(**{"url": influxdb_server.url, "database": "shop", **settings})  # type: ignore[arg-type]
        error = str(source.collect([kpi], WINDOW, STEP).errors["orders"])
        assert said in error
        assert "wr0ng-one" not in error
