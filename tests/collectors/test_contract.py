"""What every built-in collector promises. A new one needs a line in `EXAMPLES`."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from anomaly.checklist import registry
from anomaly.checklist.checklist import load
from anomaly.checklist.registry import COLLECTORS, Plugin
from anomaly.contracts import Collected, Collector
from anomaly.errors import ChecklistError, CollectError
from anomaly.model import Kpi, Window
from anomaly.panel import LEVELS, VALUE, grid
from anomaly.setup.doctor import State, examine
from anomaly.timing.durations import duration_text
from tests.support import examples
from tests.support.examples import SECRET, SERIES, STEP, WINDOW, Example, Place

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

INFLUXQL = "SELECT sum({}) FROM shop WHERE time >= $start AND time < $end GROUP BY time($step)"
EXAMPLES: dict[str, Callable[[Place], Example]] = {
    "prometheus": lambda place: Example({"url": place.prometheus(), "bearer_token": SECRET}),
    "files": lambda place: Example(
        {
            "path": place.csv(),
            "timezone": "UTC",
            "delimiter": ",",
            "encoding": "utf-8",
            "sheet": "kpis",
            "date_format": "%d.%m.%Y",
        }
    ),
    "datadog": lambda place: Example(
        {"url": place.datadog(), "api_key": SECRET, "application_key": SECRET}
    ),
    "loki": lambda place: Example(
        {"url": place.prometheus(), "bearer_token": SECRET, "headers": {"X-Key": SECRET}}
    ),
    "influxdb": lambda place: Example(
        {"url": place.influxdb(), "database": "shop", "token": SECRET},
        query=INFLUXQL.format,
        refused=INFLUXQL.format("nowhere"),
    ),
    "graphite": lambda place: Example(
        {"url": place.graphite(), "bearer_token": SECRET},
        query='summarize(shop.{}, "$step")'.format,
        refused='summed(shop.orders, "$step")',
    ),
    "cloudwatch": lambda place: Example({"url": place.cloudwatch(), "region": "eu-central-1"}),
    "elasticsearch": lambda place: Example(
        {
            "url": place.elasticsearch(),
            "index": "kpis",
            "time_field": "@timestamp",
            "api_key": SECRET,
        },
        query="kpi:{} | avg(value)".format,
    ),
    "newrelic": lambda place: Example(
        {"url": place.newrelic(), "account_id": 1, "api_key": SECRET},
        query="SELECT average(value), count(*) FROM Kpi WHERE name = '{}'".format,
    ),
    "sql": lambda place: Example(
        {"path": place.sqlite(), "timezone": "UTC"},
        query="SELECT time, value FROM points WHERE series = '{}'".format,
        refused="SELECT time, value FROM nowhere",
    ),
    "junit": lambda place: Example(
        {"path": place.test_runs(), "timezone": "UTC"}, query="duration suite={}".format
    ),
}


@dataclass(frozen=True)
class Subject:
    """A collector under test: its type, and how it is set up."""

    type: str
    example: Example

    def plugin(self, **more: object) -> Plugin:
        settings = {**self.example.settings, **more}
        return Plugin(self.type, settings, where="checklist.yaml:3: sources.prod")

    def collector(self) -> Collector:
        return registry.collector(self.plugin(), sleep=lambda _: None, **self.example.outside)

    def kpi(self, name: str) -> Kpi:
        return Kpi(name, "prod", self.example.query(name))

    def refused(self) -> Kpi:
        return Kpi("refused", "prod", self.example.refused)

    def collected(self, *kpis: Kpi, window: Window = WINDOW) -> Collected:
        return self.collector().collect(kpis, window, STEP)


@pytest.fixture(params=EXAMPLES)
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    with ExitStack() as running:
        yield Subject(request.param, EXAMPLES[request.param](Place(tmp_path, running)))


@pytest.fixture(params=EXAMPLES)
def dead_subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    """A collector whose source is gone."""
    with ExitStack() as running:
        place = Place(tmp_path, running, examples.State.GONE)
        yield Subject(request.param, EXAMPLES[request.param](place))


def values(collected: Collected, name: str) -> np.ndarray:
    """The values of a KPI, one for each step; NaN where the panel has no column of it."""
    key = (name, "", VALUE)
    if key not in collected.panel.columns:
        return np.full(len(collected.panel), np.nan)
    return collected.panel[key].to_numpy()


def true_values(name: str, window: Window) -> np.ndarray:
    return np.array([SERIES[name].get(at, np.nan) for at in grid(window, STEP).to_pydatetime()])


def assert_whole_steps(collected: Collected, window: Window) -> None:
    pd.testing.assert_index_equal(collected.panel.index, grid(window, STEP))
    assert tuple(collected.panel.columns.names) == LEVELS
    assert all(dtype == np.float64 for dtype in collected.panel.dtypes)


def assert_names_no_secret(*values: object) -> None:
    assert SECRET not in " ".join(f"{value} {value!r}" for value in values)


@pytest.mark.parametrize("name", SERIES)
def test_each_step_of_the_half_open_window_has_its_value(subject: Subject, name: str) -> None:
    """Steady, gappy, a single point, all NaN: what is missing stays missing."""
    collected = subject.collected(subject.kpi(name))
    assert_whole_steps(collected, WINDOW)
    np.testing.assert_array_equal(values(collected, name), true_values(name, WINDOW))
    assert collected.errors == {}
    assert collected.provenance[name].query


@pytest.mark.slow
def test_a_window_that_begins_within_a_step_has_whole_steps_alone(subject: Subject) -> None:
    window = Window(WINDOW.start + STEP / 3, WINDOW.end - STEP / 3)
    collected = subject.collected(subject.kpi("orders"), window=window)
    assert_whole_steps(collected, window)
    np.testing.assert_array_equal(values(collected, "orders"), true_values("orders", window))


@pytest.mark.slow
def test_two_windows_side_by_side_share_no_step_and_lose_none(subject: Subject) -> None:
    middle = WINDOW.start + 5 * STEP
    parts = [
        values(subject.collected(subject.kpi("orders"), window=window), "orders")
        for window in (Window(WINDOW.start, middle), Window(middle, WINDOW.end))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), true_values("orders", WINDOW))


@pytest.mark.slow
@pytest.mark.parametrize("days", [-400, 400])
def test_a_window_without_data_has_no_values(subject: Subject, days: int) -> None:
    window = Window(WINDOW.start + timedelta(days), WINDOW.end + timedelta(days))
    collected = subject.collected(subject.kpi("orders"), window=window)
    assert_whole_steps(collected, window)
    assert np.isnan(values(collected, "orders")).all()


@pytest.mark.slow
def test_no_kpis_and_no_whole_step_are_no_error(subject: Subject) -> None:
    short = Window(WINDOW.start, WINDOW.start + STEP / 2)
    assert_whole_steps(subject.collected(), WINDOW)
    assert_whole_steps(subject.collected(subject.kpi("orders"), window=short), short)


@pytest.mark.slow
def test_the_same_question_gets_the_same_answer_and_the_kpis_are_not_changed(
    subject: Subject,
) -> None:
    kpis = [subject.kpi(name) for name in SERIES]
    before = copy.deepcopy(kpis)
    collector = subject.collector()
    first = collector.collect(kpis, WINDOW, STEP)
    second = collector.collect(kpis, WINDOW, STEP)
    pd.testing.assert_frame_equal(first.panel, second.panel)
    assert first.provenance == second.provenance
    assert kpis == before


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_refused_query_is_an_error_of_its_kpi_and_hides_no_other(
    subject: Subject, place: int
) -> None:
    kpis = [subject.kpi("orders"), subject.kpi("gappy")]
    kpis.insert(place, subject.refused())
    collected = subject.collected(*kpis)
    assert [*collected.errors] == ["refused"]
    assert isinstance(collected.errors["refused"], CollectError)
    assert str(collected.errors["refused"]).strip()
    assert_names_no_secret(collected.errors["refused"])
    assert_whole_steps(collected, WINDOW)
    for name in ("orders", "gappy"):
        np.testing.assert_array_equal(values(collected, name), true_values(name, WINDOW))


@pytest.mark.slow
def test_a_dead_source_is_an_error_of_each_kpi(dead_subject: Subject) -> None:
    collected = dead_subject.collected(dead_subject.kpi("orders"), dead_subject.kpi("gappy"))
    assert {*collected.errors} == {"orders", "gappy"}
    assert all(isinstance(error, CollectError) for error in collected.errors.values())
    assert_names_no_secret(*collected.errors.values())
    assert_whole_steps(collected, WINDOW)


@pytest.mark.slow
def test_doctor_says_whether_a_source_answers_and_what_to_do(
    subject: Subject, tmp_path: Path
) -> None:
    path = tmp_path / "checklist.yaml"
    source = {"type": subject.type, **subject.example.settings}
    for query, state, said, todo in (
        (subject.example.query("orders"), State.OK, "1 of 1 KPIs answered", ""),
        (subject.example.refused, State.FAILED, "1 of 1 KPIs got no answer", "validate --probe"),
    ):
        tree = {
            "service": "shop",
            "sources": {"prod": source},
            "windows": {"step": duration_text(STEP), "lag": "0s"},
            "kpis": [{"name": "orders", "source": "prod", "query": query, "direction": "down"}],
        }
        path.write_text(json.dumps(tree).replace(SECRET, "${SECRET}"), encoding="utf-8")
        checklist = load(path, environ={"SECRET": SECRET})
        check, *_ = examine(checklist, lambda: str(tmp_path / "history.db"), now=WINDOW.end)
        assert (check.name, check.state) == ("source prod", state), check.said
        assert said in check.said
        assert todo in check.todo
        assert_names_no_secret(check)


def test_an_unknown_setting_is_reported_with_its_place(subject: Subject) -> None:
    with pytest.raises(
        ChecklistError, match=r"sources\.prod\.colour is an unknown key; use one of"
    ):
        registry.collector(subject.plugin(colour="blue"))


def test_the_settings_survive_the_registry(subject: Subject) -> None:
    settings = registry.full_settings(subject.plugin(), COLLECTORS)
    assert {*subject.example.settings} <= {*settings}
    assert registry.problems(subject.plugin(), COLLECTORS) == []


def test_a_collector_describes_itself_and_shows_no_secret(subject: Subject) -> None:
    collector = subject.collector()
    assert (type(collector).__doc__ or "").strip()
    assert_names_no_secret(collector)
