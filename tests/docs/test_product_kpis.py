"""The statements of docs/product_kpis.md, in a real DuckDB over exports as documented."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest
import yaml

from anomaly.checklist.checklist import load
from anomaly.collectors.collect import collect_window
from anomaly.model import Window
from anomaly.panel import DENOMINATOR, NUMERATOR
from tests.support.places import ROOT

PAGE = (ROOT / "docs" / "product_kpis.md").read_text(encoding="utf-8")
START, STEP = datetime(2025, 6, 3, 6, tzinfo=UTC), timedelta(hours=1)
WINDOW = Window(START, START + 3 * STEP)
BEGAN, DONE = "checkout started", "order completed"

# person, event, minutes after the start: two visits of the first hour end in an order, one only
# after the half hour; one of the second ends in the third, one of the window begins before it
EVENTS = [
    ("a", "begin", 5),
    ("a", "begin", 5),  # exported twice
    ("a", "done", 20),
    ("a", "done", 21),
    ("b", "begin", 10),
    ("b", "done", 41),
    ("c", "begin", 15),
    ("d", "begin", 50),
    ("d", "done", 65),
    ("e", "done", 70),
    ("e", "begin", 75),
    ("f", "begin", 110),
    ("f", "done", 125),
    ("g", "begin", -5),
    ("g", "done", 5),
    ("h", "begin", 180),
]
EXPECTED = {NUMERATOR: [2, 1, np.nan], DENOMINATOR: [4, 2, np.nan]}
SCHEMAS = {  # as the documentation of the exports has them: the columns, and a row of an event
    "ga4": (
        "event_date VARCHAR, event_timestamp BIGINT, event_name VARCHAR, event_params STRUCT(key "
        "VARCHAR, value STRUCT(string_value VARCHAR, int_value BIGINT))[], user_pseudo_id VARCHAR,"
        " device STRUCT(category VARCHAR), geo STRUCT(country VARCHAR)",
        "strftime({at}, '%Y%m%d'), epoch_us({at}), {event}, [], {person}, "
        "{{'category': 'mobile'}}, {{'country': 'Germany'}}",
    ),
    "posthog": (
        "uuid VARCHAR, event VARCHAR, distinct_id VARCHAR, person_id VARCHAR, properties VARCHAR, "
        "timestamp TIMESTAMPTZ",
        "uuid(), {event}, 'd' || {person}, {person}, '{{}}', {at}",
    ),
    "amplitude": (
        "event_type VARCHAR, event_time TIMESTAMP, amplitude_id BIGINT, user_id VARCHAR, "
        "session_id BIGINT, country VARCHAR",
        "{event}, timezone('UTC', {at}), ascii({person}), {person}, 1, 'Germany'",
    ),
    "mixpanel": (
        'event_name VARCHAR, "time" TIMESTAMPTZ, distinct_id VARCHAR, insert_id VARCHAR, '
        "properties JSON",
        "{event}, {at}, {person}, uuid(), '{{}}'",
    ),
}


def checklists() -> dict[str, str]:
    """The checklists of the page by the name of their source."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    return {next(iter(yaml.safe_load(each)["sources"])): each for each in blocks}


@pytest.mark.slow
@pytest.mark.parametrize("tool", SCHEMAS)
def test_a_statement_counts_what_began_in_a_step_and_was_finished_in_time(
    tool: str, tmp_path: Path
) -> None:
    columns, row = SCHEMAS[tool]
    names = {"begin": "session_start", "done": "purchase"} if tool == "ga4" else {}
    names = names or {"begin": BEGAN, "done": DONE}
    with duckdb.connect(tmp_path / f"{tool}.duckdb") as database:
        database.execute(f"CREATE TABLE events ({columns})")
        for person, event, minutes in EVENTS:
            at = f"TIMESTAMPTZ '{START + timedelta(minutes=minutes)}'"
            cells = row.format(at=at, event=f"'{names[event]}'", person=f"'{person}'")
            database.execute(f"INSERT INTO events SELECT {cells}")
    text = checklists()[tool].replace("duckdb:///", f"duckdb:///{tmp_path}/")
    checklist = load("checklist.yaml", environ={}, text=text.encode())

    collected = collect_window(checklist, WINDOW)

    assert collected.errors == {}
    (kpi,) = checklist.kpis
    segment = "device=mobile" if tool == "ga4" else ""
    for role, expected in EXPECTED.items():
        np.testing.assert_array_equal(collected.panel[kpi.name, segment, role], expected)


def test_the_page_has_a_statement_for_each_tool_and_one_for_files() -> None:
    assert [*checklists()] == [*SCHEMAS, "product"]
