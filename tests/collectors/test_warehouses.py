"""Warehouses by `sql`: what names the driver, and a real DuckDB."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest

from anomaly.cli.ending import run
from anomaly.collectors.sql import DIALECTS, SqlCollector
from anomaly.contracts import Collected
from anomaly.errors import UsageError
from anomaly.model import Kpi, Window
from anomaly.panel import VALUE

START, STEP = datetime(2025, 6, 3, 6, tzinfo=UTC), timedelta(minutes=30)
WINDOW = Window(START, START + 6 * STEP)
NOT_INSTALLED = sorted(set(DIALECTS) - {"duckdb"})
BY_STEP = (
    'SELECT time_bucket(to_seconds(:step), {at}) AS time, "by" AS country, count(*) AS value '
    'FROM "order" WHERE {at} >= :start AND {at} < :end GROUP BY ALL'
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Orders of a shop, one more in each step: `moment` has a zone, `wall` is Berlin's."""
    path = tmp_path_factory.mktemp("duckdb") / "shop.duckdb"
    with duckdb.connect(path) as database:
        database.execute("SET TimeZone = 'America/New_York'")
        database.execute('CREATE TABLE "order" (moment TIMESTAMPTZ, wall TIMESTAMP, "by" VARCHAR)')
        database.execute(
            """INSERT INTO "order"
            SELECT moment, timezone('Europe/Berlin', moment), 'D''E "x"' FROM (
                SELECT TIMESTAMPTZ '2025-06-03 06:00:00+00' + to_minutes(30 * step) AS moment
                FROM range(-4, 10) AS steps(step), range(0, 20) AS orders(number)
                WHERE number <= step + 4)"""
        )
    return path


def collected(shop: Path, query: str, timezone: str | None = None) -> Collected:
    source = SqlCollector(url=f"duckdb:///{shop}", timezone=timezone)
    return source.collect([Kpi("orders", "prod", query, by=("country",))], WINDOW, STEP)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "timezone"),
    [
        ("moment", None),
        ("moment", "Europe/Berlin"),
        ("moment", "America/New_York"),
        ("wall", "Europe/Berlin"),
    ],
)
def test_steps_of_duckdb_are_where_they_happened(
    shop: Path, column: str, timezone: str | None
) -> None:
    about = collected(shop, BY_STEP.format(at=column), timezone)
    assert about.errors == {}
    (segment,) = about.panel.columns.get_level_values(1)
    assert segment == 'country=D\'E "x"'
    np.testing.assert_array_equal(about.panel["orders", segment, VALUE], np.arange(5.0, 11.0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ('DELETE FROM "order"', "read-only"),
        ("COPY \"order\" TO '{}/stolen.csv'", "disabled"),
        ("SELECT * FROM read_text('/etc/hostname')", "disabled"),
        ("ATTACH '{}/other.duckdb'", "disabled"),
        ("SET enable_external_access = true", "Cannot"),
    ],
)
def test_duckdb_is_only_read(shop: Path, statement: str, said: str) -> None:
    error = collected(shop, statement.format(shop.parent)).errors["orders"]
    assert said.lower() in str(error).lower()
    assert [path.name for path in shop.parent.iterdir()] == ["shop.duckdb"]


def test_a_file_that_is_not_there_is_said_and_not_made(tmp_path: Path) -> None:
    error = collected(tmp_path / "none.duckdb", "SELECT 1").errors["orders"]
    assert "no such file" in str(error)
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_a_first_checklist_from_a_table_of_duckdb_can_be_probed(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with duckdb.connect(tmp_path / "daily.duckdb") as database:
        database.execute(
            "CREATE TABLE daily AS SELECT DATE '2025-01-01' + CAST(day AS INTEGER) AS day, "
            "100 + day % 7 AS orders FROM range(120) AS days(day)"
        )
    assert run(["init", "--sql", "duckdb:///daily.duckdb", "--table", "daily"]) == 0
    assert run(["validate", "--probe", "checklist.yaml", "--until", "2025-05-01"]) == 0
    assert "orders: 1 series" in capsys.readouterr().out


@pytest.mark.parametrize("name", NOT_INSTALLED)
def test_the_url_of_a_warehouse_names_the_driver_to_install(name: str) -> None:
    with pytest.raises(UsageError, match="whose driver is not installed; pip install") as caught:
        SqlCollector(url=f"{name}://anomaly:s3cret@warehouse.example/shop")
    assert DIALECTS[name].split()[0] in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_missing_driver_is_named_by_its_package() -> None:
    window = Window(datetime(2025, 6, 3, tzinfo=UTC), datetime(2025, 6, 4, tzinfo=UTC))
    kpi = Kpi("orders", "shop", "SELECT 1 AS value")
    source = SqlCollector(url="mysql://127.0.0.1/shop")
    error = source.collect([kpi], window, timedelta(hours=1)).errors["orders"]
    assert "its driver is not installed; pip install 'mysqlclient'" in str(error)
