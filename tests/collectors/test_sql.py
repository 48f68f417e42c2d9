"""Series from databases: SQLite, and a real PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anomaly.collectors.sql import SqlCollector
from anomaly.contracts import Collected
from anomaly.errors import CollectError, UsageError
from anomaly.model import Kpi, Window
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE, edges
from anomaly.steps import DAY, CalendarStep

pytestmark = pytest.mark.slow

START = datetime(2025, 6, 3, 9, 0, tzinfo=UTC)
STEP = timedelta(minutes=5)
WINDOW = Window(START, START + 4 * STEP)
SECRET = "c4nary-s3cret"
ROWS: list[tuple[int, str, int, int | None]] = [  # number of the step, country, sessions, orders
    (0, "DE", 100, 7),
    (1, "DE", 110, 8),
    (2, "DE", 90, 5),
    (3, "DE", 95, None),
    (0, "FR", 40, 2),
    (2, "FR", 44, 3),
    (3, "FR", 41, 1),
    (-1, "FR", 9, 9),
    (4, "DE", 9, 9),
]
ORDERS = (
    "SELECT time, SUM(orders) AS value FROM shop WHERE time >= :start AND time < :end GROUP BY time"
)
CONVERSION = (
    "SELECT time, country, orders AS numerator, sessions AS denominator FROM shop WHERE "
    "time >= :start AND time < :end"
)
NAN = float("nan")

Collect = Callable[..., Collected]


@pytest.fixture(params=["sqlite", "postgresql"])
def how(request: pytest.FixtureRequest, loopback: None, tmp_path: Path) -> dict[str, Any]:
    """The settings of a collector of a small shop's database."""
    rows = [
        (START + number * STEP, country, sessions, orders)
        for number, country, sessions, orders in ROWS
    ]
    if request.param == "sqlite":
        path = tmp_path / "shop.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(
                "CREATE TABLE shop (time TEXT, country TEXT, sessions INTEGER, orders INTEGER)"
            )
            texts = [
                (f"{at:%Y-%m-%d %H:%M:%S}", country, sessions, orders)
                for at, country, sessions, orders in rows
            ]
            connection.executemany("INSERT INTO shop VALUES (?, ?, ?, ?)", texts)
            connection.commit()
        return {"path": path, "timezone": "UTC"}
    url = request.getfixturevalue("database")
    with psycopg.connect(url) as database:
        database.execute(
            "CREATE TABLE shop (time timestamptz, country text, sessions int, orders numeric)"
        )
        with database.cursor() as cursor:
            cursor.executemany("INSERT INTO shop VALUES (%s, %s, %s, %s)", rows)
    return {"url": url}


@pytest.fixture
def collect(how: dict[str, Any]) -> Collect:
    def asked(*kpis: Kpi, **more: Any) -> Collected:
        return SqlCollector(**how, **more, sleep=lambda _: None).collect(kpis, WINDOW, STEP)

    return asked


def values(collected: Collected, kpi: str, segment: str = "", role: str = VALUE) -> list[float]:
    assert collected.errors == {}
    return [float(value) for value in collected.panel[(kpi, segment, role)]]


@pytest.mark.slow
def test_a_value_for_each_step_of_the_window(collect: Collect) -> None:
    found = collect(Kpi("orders", query=ORDERS))

    assert values(found, "orders") == [9, 8, 8, 1]
    assert found.provenance["orders"].query == ORDERS


@pytest.mark.slow
def test_a_ratio_of_one_statement_by_segment(collect: Collect) -> None:
    found = collect(Kpi("conversion", query=CONVERSION, by=("country",)))

    np.testing.assert_equal(values(found, "conversion", "country=FR", NUMERATOR), [2, NAN, 3, 1])
    np.testing.assert_equal(
        values(found, "conversion", "country=DE", DENOMINATOR), [100, 110, 90, 95]
    )


def test_a_ratio_of_two_statements_is_0_where_only_the_denominator_has_a_row(
    collect: Collect,
) -> None:
    some = ORDERS.replace("GROUP BY", "AND orders > 6 GROUP BY")
    found = collect(Kpi("conversion", query=some, denominator=ORDERS.replace("orders", "sessions")))

    assert values(found, "conversion", role=NUMERATOR) == [7, 8, 0, 0]
    assert values(found, "conversion", role=DENOMINATOR) == [140, 110, 134, 136]


def test_a_kpi_that_fails_hides_no_other(collect: Collect) -> None:
    found = collect(
        Kpi("orders", query=ORDERS), Kpi("gone", query="SELECT time, value FROM nowhere")
    )

    assert "nowhere" in str(found.errors["gone"])
    assert set(found.panel.columns.get_level_values("kpi")) == {"orders"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT time, orders AS value FROM shop; DELETE FROM shop", "more than one statement"),
        ("DELETE FROM shop", "read-?only|no rows|near .(DELETE|INSERT|DROP)"),
        ("INSERT INTO shop (orders) VALUES (1)", "read-?only|no rows|near .(DELETE|INSERT|DROP)"),
        ("DROP TABLE shop", "read-?only|no rows|near .(DELETE|INSERT|DROP)"),
        (
            "SELECT time, orders AS value FROM shop WHERE time > :begin",
            "binds :begin; use :start, :end, :step",
        ),
        (
            "SELECT time, orders AS value FROM shop WHERE $__timeFilter(time)",
            "__timeFilter is a macro of Grafana.*write at >= :start AND at < :end",
        ),
        (
            "SELECT time, country, orders AS value FROM shop",
            "has the column country; list labels under by",
        ),
        ("SELECT orders AS value FROM shop", "no column 'time'"),
        ("SELECT time FROM shop", "no column 'value'"),
        ("SELECT time, country AS value FROM shop WHERE country = 'DE'", "'DE' is not a number"),
        ("SELECT time, orders AS value FROM shop", "the same moment as at"),
        ("SELECT FROM WHERE", "syntax"),
    ],
)
def test_what_cannot_be_answered_is_said_and_nothing_is_written(
    collect: Collect, statement: str, said: str
) -> None:
    found = collect(Kpi("bad", query=statement))

    assert list(found.errors) == ["bad"]
    with pytest.raises(CollectError, match=rf"(?i){said}"):
        raise found.errors["bad"]
    assert values(collect(Kpi("orders", query=ORDERS)), "orders") == [9, 8, 8, 1]


@pytest.mark.parametrize(
    "statement",
    [
        ORDERS + ";",
        ORDERS + " ; -- the end; of it",
        "/* a; b */ " + ORDERS,
        ORDERS.replace("WHERE", "WHERE country <> ';' AND"),
    ],
)
def test_a_semicolon_is_not_always_a_second_statement(collect: Collect, statement: str) -> None:
    assert values(collect(Kpi("orders", query=statement)), "orders") == [9, 8, 8, 1]


def test_more_rows_than_allowed_are_refused(collect: Collect) -> None:
    found = collect(Kpi("orders", query=ORDERS), max_rows=3)

    assert "more than 3 rows; sum them per step, or raise max_rows" in str(found.errors["orders"])


def test_an_answer_of_many_bytes_is_refused(
    collect: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anomaly.collectors.sql.MOST_BYTES", 200)
    text = "x" * 150
    long = f"SELECT time, '{text}' AS country, 1 AS value FROM shop"  # noqa: S608  its own text

    collected = collect(Kpi("long", query=long, by=("country",)), Kpi("orders", query=ORDERS))

    assert "larger than 200 bytes; sum the rows per step" in str(collected.errors["long"])
    assert "orders" not in collected.errors


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH '{new}' AS other",
        "ATTACH 'file:{new}?mode=rwc' AS other",
        "VACUUM INTO '{new}'",
        "VACUUM main INTO '{new}'",
        "PRAGMA journal_mode = DELETE",
        "SELECT * FROM pragma_journal_mode('DELETE')",
        "CREATE TEMP TABLE t (a)",
    ],
)
def test_sqlite_only_reads(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE shop (time TEXT, value REAL)")
        connection.commit()
    before = path.read_bytes()
    query = statement.format(new=tmp_path / "new.db").replace("file:", r"file\:")

    collected = SqlCollector(path=path).collect([Kpi("kpi", query=query)], WINDOW, STEP)

    assert "the session is read-only; write a SELECT" in str(collected.errors["kpi"])
    assert [each.name for each in tmp_path.iterdir()] == ["shop.db"]
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["a?b.db", "a#b.db", "a%41.db", "a b.db", "a?mode=rwc&x.db"])
def test_a_path_of_sqlite_is_the_file_that_it_names(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE shop (time TEXT, value REAL)")
        connection.execute("INSERT INTO shop VALUES ('2025-06-03 09:00', 5)")
        connection.commit()

    collected = SqlCollector(path=path, timezone="UTC").collect(
        [Kpi("kpi", query="SELECT * FROM shop")], WINDOW, STEP
    )

    assert values(collected, "kpi")[0] == 5
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_postgresql_writes_nothing_even_inside_a_select(loopback: None, database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE shop (time timestamptz, value int)")
        connection.execute(
            "CREATE FUNCTION sell() RETURNS int LANGUAGE sql AS $$ INSERT INTO shop VALUES "
            "(now(), 1) RETURNING value $$"
        )
    kpis = [
        Kpi("function", query="SELECT :start AS time, sell() AS value"),
        Kpi(
            "with",
            query=(
                "WITH gone AS (DELETE FROM shop RETURNING value) SELECT :start AS time, value "
                "FROM gone"
            ),
        ),
        Kpi("slow", query="SELECT :start AS time, 1 AS value FROM pg_sleep(60)"),
    ]

    found = SqlCollector(url=database, timeout=timedelta(milliseconds=200)).collect(
        kpis, WINDOW, STEP
    )

    assert "read-only transaction" in str(found.errors["function"])
    assert "with" in found.errors
    assert "no answer within 0.2 s" in str(found.errors["slow"])
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM shop").fetchone() == (0,)


def test_sqlite_is_stopped_in_time_and_never_made(tmp_path: Path) -> None:
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS "
        "value, 1 AS time FROM n"
    )
    path = tmp_path / "shop.db"
    found = SqlCollector(path=path).collect([Kpi("orders", query=ORDERS)], WINDOW, STEP)
    assert "no such file" in str(found.errors["orders"])
    assert not path.exists()

    sqlite3.connect(path).close()
    path.write_bytes(b"")
    found = SqlCollector(path=path, timeout=timedelta(milliseconds=50)).collect(
        [Kpi("endless", query=endless)], WINDOW, STEP
    )
    assert "no answer within 0.05 s" in str(found.errors["endless"])


def test_a_server_that_is_not_there_is_asked_again_and_its_password_never_said(
    loopback: None,
) -> None:
    waited: list[float] = []
    made = SqlCollector(url=f"postgresql://anomaly:{SECRET}@127.0.0.1:1/shop", sleep=waited.append)

    found = made.collect([Kpi("orders", query=ORDERS)], WINDOW, STEP)

    assert "Connection refused" in str(found.errors["orders"])
    assert SECRET not in f"{found.errors['orders']}{made!r}"
    assert waited == [1.0, 2.0]


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({}, "either a url or the path"),
        ({"url": "sqlite://", "path": Path("x")}, "either a url or the path"),
        ({"url": "shop"}, "not a database's"),
        ({"url": "postgresqlx://h/d"}, "did you mean postgresql"),
        ({"path": Path("x"), "timeout": timedelta(0)}, "longer than zero"),
        ({"path": Path("x"), "timezone": "Mars"}, "timezone is 'Mars'"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings_: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        SqlCollector(**settings_)


HOURLY = "SELECT time, value FROM kpi WHERE time >= :start AND time < :end"
ZONES = ["Europe/Berlin", "Europe/London", "America/New_York", "Asia/Tokyo"]


def hours_of_a_week(zone: str) -> pd.DatetimeIndex:
    """The hours of a week in the middle of which clocks go back in Berlin and London."""
    return pd.date_range("2025-10-23", periods=168, freq="h", tz=zone)


def middle(hours: pd.DatetimeIndex) -> Window:
    return Window(hours[48].to_pydatetime(), hours[48 + 72].to_pydatetime())


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("form", "is_local"),
    [
        ("%Y-%m-%d %H:%M:%S", True),
        ("%Y-%m-%dT%H:%M:%S", True),
        ("%Y-%m-%d %H:%M", True),
        ("%Y-%m-%dT%H:%M:%S.000", True),
        ("%Y-%m-%dT%H:%M:%SZ", False),
        ("%Y-%m-%d %H:%M:%S+00:00", False),
        ("%Y-%m-%dT%H:%M:%S%z", True),
    ],
)
def test_sqlite_compares_texts_of_any_form_with_the_bounds(
    tmp_path: Path, zone: str, form: str, is_local: bool
) -> None:
    hours = hours_of_a_week(zone)
    texts = (hours if is_local else hours.tz_convert("UTC")).strftime(form)
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE kpi (time TEXT, value INTEGER)")
        connection.executemany("INSERT INTO kpi VALUES (?, ?)", zip(texts, range(168), strict=True))
        connection.commit()

    sources = (SqlCollector(path=path, timezone=zone), SqlCollector(path=path, calendar_zone=zone))
    for source in sources:
        found = source.collect([Kpi("kpi", query=HOURLY)], middle(hours), timedelta(hours=1))
        assert values(found, "kpi") == [*range(48, 48 + 72)]


@pytest.mark.parametrize("zone", ZONES)
def test_days_in_a_table_are_those_of_the_calendar(tmp_path: Path, zone: str) -> None:
    days = pd.date_range("2025-10-20", periods=10, freq="D", tz=zone)
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE kpi (time TEXT, value INTEGER)")
        rows = zip(days.strftime("%Y-%m-%d"), range(10), strict=True)
        connection.executemany("INSERT INTO kpi VALUES (?, ?)", rows)
        connection.commit()
    window = Window(days[2].to_pydatetime(), days[8].to_pydatetime())

    found = SqlCollector(path=path, calendar_zone=zone).collect(
        [Kpi("kpi", query=HOURLY)], window, CalendarStep(DAY, zone)
    )

    assert values(found, "kpi") == [2, 3, 4, 5, 6, 7]


@pytest.mark.slow
@pytest.mark.parametrize("server", ["UTC", "America/New_York"])
def test_postgresql_compares_columns_without_a_zone_in_that_of_the_source(
    loopback: None, database: str, server: str
) -> None:
    by_day = (
        "SELECT date_trunc('day', zoned) AS time, count(*) AS value FROM kpi "
        "WHERE zoned >= :start AND zoned < :end GROUP BY 1"
    )
    with psycopg.connect(database, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET timezone TO '{server}'")
        connection.execute("CREATE TABLE kpi (time timestamp, zoned timestamptz, value int)")
    for zone in ZONES:
        hours = hours_of_a_week(zone)
        with psycopg.connect(database) as connection:
            connection.execute("DELETE FROM kpi")
            rows = zip(
                hours.tz_localize(None).to_pydatetime(),
                hours.to_pydatetime(),
                range(168),
                strict=True,
            )
            connection.cursor().executemany("INSERT INTO kpi VALUES (%s, %s, %s)", rows)
        source = SqlCollector(url=database, timezone=zone)

        found = source.collect(
            [Kpi("kpi", query=HOURLY + " ORDER BY value")], middle(hours), timedelta(hours=1)
        )
        days = source.collect([Kpi("days", query=by_day)], middle(hours), CalendarStep(DAY, zone))

        assert values(found, "kpi") == [*range(48, 48 + 72)]
        step = CalendarStep(DAY, zone)
        assert (
            values(days, "days")
            == (np.diff(edges(pd.DatetimeIndex(days.panel.index), step)) / 3.6e12).tolist()
        )


@pytest.mark.slow
@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.none() | st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9), min_size=1, max_size=30
    )
)
def test_what_a_table_holds_is_what_is_read(tmp_path: Path, numbers: list[float | None]) -> None:
    path = tmp_path / "any.db"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE kpi (time INTEGER, value)")
        rows = [
            (int((START + number * STEP).timestamp()), value)
            for number, value in enumerate(numbers)
        ]
        connection.executemany("INSERT INTO kpi VALUES (?, ?)", rows)
        connection.commit()
    window = Window(START, START + len(numbers) * STEP)

    found = SqlCollector(path=path, time_unit="s").collect(  # type: ignore[arg-type]
        [Kpi("any", query="SELECT time, value FROM kpi")], window, STEP
    )

    np.testing.assert_allclose(
        found.panel[("any", "", VALUE)], [NAN if value is None else value for value in numbers]
    )
