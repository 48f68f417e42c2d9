"""A real Graphite: how it sums up, cuts and stamps series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from anomaly.collectors.graphite import GraphiteCollector
from anomaly.contracts import Collected
from anomaly.imports import graphite as imported
from anomaly.imports.queries import Query
from anomaly.model import Kpi, Window
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE, grid
from tests.support.servers import Server, graphite

pytestmark = [pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1"])]

START, STEP = datetime(2025, 6, 3, 6, tzinfo=UTC), timedelta(minutes=5)
MINUTES = 6 * 60
WINDOW = Window(START, START + timedelta(minutes=MINUTES))
TWENTY_YEARS_S = 20 * 366 * 86_400


def series(interval_s: int, values: Mapping[int, float]) -> dict[str, object]:
    """What Graphite keeps of values by the minute since START."""
    points = [(int(START.timestamp()) + 60 * minute, value) for minute, value in values.items()]
    return {"archives": [(interval_s, TWENTY_YEARS_S // interval_s)], "points": points}


COUNTS = {minute: float(minute) for minute in range(MINUTES) if not 60 <= minute < 80}
SERIES = {
    "shop.DE.web.orders": series(60, COUNTS),
    "shop.FR.app.orders": series(60, dict.fromkeys(range(MINUTES), 2.0)),
    "shop.fives": series(300, {5 * row: float(row) for row in range(MINUTES // 5)}),
    "shop.coarse": series(600, {10 * row: 1.0 for row in range(MINUTES // 10)}),
    "shop.failures": series(60, {100: 1.0}),
    "shop.late": series(300, {5: 1.0, 5 * 999: 2.0, 5 * 1000: 3.0, 5 * 1500: 4.0}),
    "visits;country=DE;host=a": series(60, dict.fromkeys(range(MINUTES), 1.0)),
    "visits;country=FR;host=b": series(60, dict.fromkeys(range(MINUTES), 3.0)),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with graphite(tmp_path_factory.mktemp("graphite"), SERIES) as running:
        yield running


def collected(
    server: Server, *kpis: Kpi, window: Window = WINDOW, step: timedelta = STEP
) -> Collected:
    source = GraphiteCollector(url=f"{server.url}/", sleep=lambda _: None)
    return source.collect(kpis, window, step)


def sums(values: Mapping[int, float], window: Window, step: timedelta) -> list[float]:
    """The sum of the minutes in each step, NaN where there are none."""
    found = []
    for begin in grid(window, step).to_pydatetime():
        first = int((begin - START) / timedelta(minutes=1))
        there = [
            values[each] for each in range(first, first + step.seconds // 60) if each in values
        ]
        found.append(sum(there) if there else np.nan)
    return found


@pytest.mark.parametrize("minutes", [5, 7, 30])
def test_a_step_has_exactly_its_minutes(server: Server, minutes: int) -> None:
    step = timedelta(minutes=minutes)
    window = Window(START + timedelta(minutes=3), WINDOW.end)
    target = 'summarize(shop.DE.web.orders, "$step", "sum")'
    about = collected(server, Kpi("orders", "prod", target), window=window, step=step)
    assert about.errors == {}
    np.testing.assert_array_equal(about.panel["orders", "", VALUE], sums(COUNTS, window, step))


@pytest.mark.parametrize(
    ("target", "per_step"),
    [
        ("target=summarize( sumSeries(shop.DE.*.orders), '1h', 'sum')", 5),
        ("alias(hitcount(shop.DE.web.orders, '1min'), 'it')", 5 * 60),
        ("scale(averageSeries(shop.DE.*.orders), 1)", 1),
    ],
)
def test_a_target_that_was_carried_over_is_answered(
    server: Server, target: str, per_step: int
) -> None:
    query = imported.query_of(target)
    assert isinstance(query, Query)
    about = collected(server, Kpi("it", "prod", query.above))
    assert about.errors == {}
    expected = np.array(sums(COUNTS, WINDOW, STEP)) / 5 * per_step
    np.testing.assert_allclose(about.panel["it", "", VALUE], expected)


def test_names_and_tags_are_segments(server: Server) -> None:
    summed = 'summarize(shop.*.*.orders, "$step", "sum")'
    tagged = 'summarize(seriesByTag("name=visits"), "$step", "sum")'
    about = collected(
        server,
        Kpi("one", "prod", f"aliasByNode({summed}, 1)", by=("country",)),
        Kpi("two", "prod", f"aliasByNode({summed}, 1, 2)", by=("country", "channel")),
        Kpi("grouped", "prod", f'groupByNode({summed}, 2, "sum")', by=("channel",)),
        Kpi("tagged", "prod", tagged, by=("country",)),
        Kpi("total", "prod", 'summarize(sumSeries(shop.*.*.orders), "$step", "sum")'),
    )
    assert about.errors == {}
    segments = about.panel.columns.to_frame()[["kpi", "segment"]]
    assert {*segments.itertuples(index=False, name=None)} == {
        ("one", "country=DE"),
        ("one", "country=FR"),
        ("two", "channel=web,country=DE"),
        ("two", "channel=app,country=FR"),
        ("grouped", "channel=web"),
        ("grouped", "channel=app"),
        ("tagged", "country=DE"),
        ("tagged", "country=FR"),
        ("total", ""),
    }
    np.testing.assert_array_equal(
        about.panel["one", "country=DE", VALUE], sums(COUNTS, WINDOW, STEP)
    )
    assert {*about.panel["tagged", "country=FR", VALUE]} == {15.0}


def test_what_graphite_keeps_at_the_step_is_read_as_it_is(server: Server) -> None:
    about = collected(
        server,
        Kpi("fives", "prod", "shop.fives"),
        Kpi("rate", "prod", 'hitcount(shop.fives, "$step")'),
    )
    np.testing.assert_array_equal(about.panel["fives", "", VALUE], np.arange(MINUTES // 5))
    np.testing.assert_array_equal(about.panel["rate", "", VALUE], 300.0 * np.arange(MINUTES // 5))


def test_a_numerator_is_zero_where_only_its_denominator_has_values(server: Server) -> None:
    kpi = Kpi(
        "errors",
        "prod",
        'summarize(shop.failures, "$step", "sum")',
        denominator='summarize(shop.DE.web.orders, "$step", "sum")',
    )
    panel = collected(server, kpi).panel
    expected = np.where(np.isnan(sums(COUNTS, WINDOW, STEP)), np.nan, 0.0)
    expected[20] = 1
    np.testing.assert_array_equal(panel["errors", "", NUMERATOR], expected)
    np.testing.assert_array_equal(panel["errors", "", DENOMINATOR], sums(COUNTS, WINDOW, STEP))


def test_a_long_window_is_asked_in_parts(server: Server) -> None:
    kpi = Kpi("late", "prod", 'summarize(shop.late, "$step", "sum")')
    values = collected(server, kpi, window=Window(START, START + 1501 * STEP)).panel[
        "late", "", VALUE
    ]
    assert {row: values.iloc[row] for row in np.flatnonzero(values.notna())} == {
        1: 1,
        999: 2,
        1000: 3,
        1500: 4,
    }


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("shop.DE.web.orders", "interval of 60 s, the step is 300 s; write summarize("),
        ("shop.coarse", "interval of 600 s, the step is 300 s; write summarize("),
        ('summarize(shop.coarse, "$step", "sum")', "UTC there is a value only every 10m"),
        ('summarize(shop.fives, "1h", "sum")', "interval of 3600 s, the step is 300 s"),
        ('summarize(shop.*.*.orders, "$step")', "2 series differ by name, target; sum them"),
        ('summed(shop.fives, "$step")', "unknown function: summed"),
        ('summarize(shop.fives, "x")', "500: Graphite encountered an unexpected error while"),
    ],
)
def test_what_can_not_be_used_says_why(server: Server, target: str, said: str) -> None:
    assert said in str(collected(server, Kpi("odd", "prod", target)).errors["odd"])


def test_a_name_that_matches_nothing_is_a_note(server: Server) -> None:
    about = collected(server, Kpi("none", "prod", 'summarize(shop.none, "$step")'))
    assert about.errors == {}
    assert about.provenance["none"].notes == ("no series matched",)
