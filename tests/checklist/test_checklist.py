from __future__ import annotations

import dataclasses
import random
import re
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anomaly.checklist.checklist import Checklist, Plugin, load
from anomaly.checklist.form import ChecklistForm
from anomaly.checklist.registry import COLLECTORS, SINKS
from anomaly.errors import ChecklistError
from anomaly.model import (
    NO_ARM,
    NO_TRAFFIC,
    Calendar,
    Correction,
    Direction,
    Empty,
    Holidays,
    Kpi,
    LeftOut,
    NoData,
    SpecialDay,
    Window,
    Windows,
)
from anomaly.timing.schedule import Schedule
from tests.checklist.conftest import Complain, Load, Write

SMALL = """\
service: shop
sources:
  data: {type: files, path: shop.csv}
kpis:
  - name: orders
    query: orders
"""
FULL = """\
service: shop
environment: production
sources:
  data: {type: files, path: shop.csv}
  more: {type: files, path: /srv/more.csv, layout: long}
windows: {history: 14d, warmup: 0s, watch: 1h30m, step: 1m, lag: 30s}
timezone: Europe/Berlin
false_alarms: 2%
correction: benjamini-hochberg
kpis:
  - name: checkout errors
    source: more
    query: sum(x{y="${z}"}[$step])
    denominator: requests
    unit: errors per request
    direction: up
    tolerance: 5%
    floor: 0.001
    critical: true
    usage: 0.6
    by: [country, plan]
    min_volume: 200
    no_data: fail
    empty: zero
    per: 1s
    dry_run: true
  - name: orders
    source: data
    query: orders
    usage: sum(orders)
  - {name: orders elsewhere, source: data, query: elsewhere, control_for: [orders]}
sinks:
  - {type: console}
  - {type: jsonl, path: out.jsonl}
rhythm: {usual: 2h, peak: 10m, climb: 12h, fall: 3h}
"""


TOP_KEYS = ", ".join(ChecklistForm.model_fields)
KPI_KEYS = (
    "name, source, query, denominator, unit, kind, direction, tolerance, floor, critical, usage, "
    "by, total, min_volume, no_data, empty, "
    "per, severity, dry_run, control_for, split"
)
WINDOW_KEYS = "history, warmup, watch, step, lag"
DURATION = "it must be a duration like 30s, 5m, 1h30m or 28d"
INTERVALS = "both are intervals between looks, and at the release it is shortest"
ZONE = "it must be an IANA time zone like UTC or Europe/Berlin"
SHARE = "it must be a percentage like 5% or a number like 0.05"
TYPES = f"use one of {', '.join(COLLECTORS.built_in)}"
SINK_TYPES = f"use one of {', '.join(SINKS.built_in)}"
FILES = "{type: files, path: shop.csv}"
ONE_LINE = "it must be one line without control characters, and without blanks at its ends"


def test_every_key_reaches_the_checklist(load_text: Load) -> None:
    checklist = load_text(FULL)
    assert checklist.service == "shop"
    assert checklist.environment == "production"
    assert checklist.windows == Windows(
        history=timedelta(days=14),
        warmup=timedelta(0),
        watch=timedelta(minutes=90),
        step=timedelta(minutes=1),
        lag=timedelta(seconds=30),
    )
    assert checklist.schedule == Schedule(
        timedelta(hours=2), timedelta(minutes=10), timedelta(hours=12), timedelta(hours=3)
    )
    assert checklist.calendar == Calendar(timezone="Europe/Berlin")
    assert checklist.false_alarms == 0.02
    assert checklist.correction is Correction.BENJAMINI_HOCHBERG
    assert checklist.path == Path("checklist.yaml")
    assert checklist.kpis[0] == Kpi(
        name="checkout errors",
        source="more",
        query='sum(x{y="${z}"}[$step])',
        denominator="requests",
        unit="errors per request",
        direction=Direction.UP,
        tolerance=0.05,
        floor=0.001,
        critical=True,
        usage=0.6,
        by=("country", "plan"),
        min_volume=200,
        no_data=NoData.FAIL,
        empty=Empty.ZERO,
        per=timedelta(seconds=1),
        dry_run=True,
    )
    assert checklist.kpis[1].usage == "sum(orders)"
    assert checklist.kpis[2] == Kpi(
        "orders elsewhere", source="data", query="elsewhere", control_for=("orders",)
    )
    assert [plugin.type for plugin in checklist.sinks] == ["console", "jsonl"]
    assert checklist.sources["more"].settings == {"path": "/srv/more.csv", "layout": "long"}


def test_what_is_left_out_has_the_documented_default(load_text: Load) -> None:
    checklist = load_text(SMALL)
    assert checklist.windows == Windows()
    assert checklist.windows.history == timedelta(days=28)
    assert checklist.schedule is None
    assert checklist.calendar == Calendar(timezone="UTC")
    assert checklist.false_alarms == 0.01
    assert checklist.correction is Correction.HOLM
    assert checklist.environment == ""
    assert checklist.sinks == ()
    assert checklist.kpis == (Kpi(name="orders", source="data", query="orders"),)


def test_a_total_is_the_query_of_all_segments(load_text: Load) -> None:
    kpi = load_text(
        SMALL.replace("query: orders", "query: orders\n    by: [country]\n    total: all orders")
    ).kpis[0]
    assert (kpi.by, kpi.total) == (("country",), "all orders")


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        (
            "total: all",
            ("7: kpis[0].total needs segments; list their labels under by, or remove it"),
        ),
        (
            "by: [country]\n    denominator: visits\n    total: all",
            (
                "9: kpis[0].total is not needed: a ratio's total follows from the counts of "
                "its segments; remove it"
            ),
        ),
    ],
)
def test_a_total_of_nothing_or_of_what_has_one_is_refused(
    load_text: Load, keys: str, complaint: str
) -> None:
    with pytest.raises(ChecklistError, match=re.escape(complaint)):
        load_text(SMALL.replace("query: orders", f"query: orders\n    {keys}"))


def test_the_only_source_need_not_be_named(load_text: Load) -> None:
    assert load_text(SMALL).kpis[0].source == "data"


def test_a_checklist_can_not_be_changed(load_text: Load) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_text(SMALL).service = "other"  # type: ignore[misc]  # that is what must fail


def test_a_path_may_be_text(write: Write) -> None:
    assert load(str(write(SMALL)), environ={}).service == "shop"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("service: shop", "service: 5", "1: service is 5; it must be text; put it in quotes"),
        ("service: shop", 'service: ""', "1: service is ''; it must not be empty"),
        ("service: shop", 'service: "a\\nb"', rf"1: service is 'a\nb'; {ONE_LINE}"),
        (
            "service: shop",
            f"service: {'x' * 201}",
            "1: service is '" + "x" * 59 + "…; it must have at most 200 characters",
        ),
        (
            "service: shop",
            "service: ${NAME}",
            (
                "1: service is '${NAME}'; variables can be used only in the settings of "
                "sources and sinks"
            ),
        ),
        ("service: shop\n", "", "1: service is missing"),
        (
            "service: shop",
            "service: shop\nservizes: 1",
            f"2: servizes is an unknown key (did you mean service?); use one of {TOP_KEYS}",
        ),
        ("peak: 10m", "peak: 3h", f"35: rhythm.peak is 3h, longer than usual (2h); {INTERVALS}"),
        ("peak: 10m", "peak: 0s", "35: rhythm.peak is '0s'; it must be longer than zero"),
        ("peak: 10m", "peak: 5ms", "35: rhythm.peak is 5ms; it must be 1s at least"),
        ("climb: 12h", "climb: -12h", f"35: rhythm.climb is '-12h'; {DURATION}"),
        (
            "peak: 10m",
            "pek: 10m",
            (
                "35: rhythm.pek is an unknown key (did you mean peak?); use one of usual, peak, "
                "climb, fall"
            ),
        ),
        (
            "rhythm: {usual: 2h, peak: 10m, climb: 12h, fall: 3h}",
            "rhythm: 5m",
            "35: rhythm is '5m'; it must be a mapping",
        ),
        (
            "windows: {history: 14d",
            "windows: {history: 14",
            f"6: windows.history is 14; {DURATION}",
        ),
        ("history: 14d", "history: 14 days", f"6: windows.history is '14 days'; {DURATION}"),
        ("history: 14d", "history: 0s", "6: windows.history is '0s'; it must be longer than zero"),
        ("history: 14d", "history: 5:30", f"6: windows.history is '5:30'; {DURATION}"),
        (
            "history: 14d",
            "history: 99999d",
            "6: windows.history is '99999d'; it must be at most 3660d",
        ),
        (
            "history: 14d",
            "hystory: 14d",
            (
                "6: windows.hystory is an unknown key (did you mean history?); use one of "
                f"{WINDOW_KEYS}"
            ),
        ),
        (
            "watch: 1h30m",
            "watch: 30s",
            "6: windows.watch is 0:00:30, shorter than one step of 0:01:00",
        ),
        ("step: 1m", "step: 1s500ms", "6: windows.step is 0:00:01.500000; use whole seconds"),
        ("windows: {", "windows: [] #{", "6: windows is an empty list; it must be a mapping"),
        (
            "Europe/Berlin",
            "europe/berlin",
            f"7: timezone is 'europe/berlin'; {ZONE} (did you mean Europe/Berlin?)",
        ),
        ("Europe/Berlin", "../../etc/passwd", f"7: timezone is '../../etc/passwd'; {ZONE}"),
        ("Europe/Berlin", "Europe", f"7: timezone is 'Europe'; {ZONE} (did you mean Europe/Rome?)"),
        (
            "false_alarms: 2%",
            "false_alarms: 0",
            "8: false_alarms is 0; it must be more than 0 and less than 1, like 0.01",
        ),
        (
            "false_alarms: 2%",
            "false_alarms: 100%",
            "8: false_alarms is '100%'; it must be more than 0 and less than 1, like 0.01",
        ),
        ("false_alarms: 2%", "false_alarms: .nan", f"8: false_alarms is nan; {SHARE}"),
        (
            "benjamini-hochberg",
            "bonferroni",
            "9: correction is 'bonferroni'; use one of holm, benjamini-hochberg",
        ),
        (
            "benjamini-hochberg",
            "Holm",
            "9: correction is 'Holm'; use one of holm, benjamini-hochberg (did you mean holm?)",
        ),
        (
            "direction: up",
            "direction: upp",
            "16: kpis[0].direction is 'upp'; use one of up, down, either (did you mean up?)",
        ),
        (
            "direction: up",
            "direction: incraese",
            "16: kpis[0].direction is 'incraese'; use one of up, down, either",
        ),
        (
            "direction: up",
            "direction: on",
            "16: kpis[0].direction is 'on'; use one of up, down, either",
        ),
        ("tolerance: 5%", "tolerance: -5%", f"17: kpis[0].tolerance is '-5%'; {SHARE}"),
        (
            "tolerance: 5%",
            "tolerance: -0.05",
            "17: kpis[0].tolerance is -0.05; it must not be negative",
        ),
        (
            "tolerance: 5%",
            "tolerance: 5",
            "17: kpis[0].tolerance is 5; a number is a share of 1; write 5% or 500%",
        ),
        ("tolerance: 5%", "tolerance: .inf", f"17: kpis[0].tolerance is inf; {SHARE}"),
        ("tolerance: 5%", "tolerance: true", f"17: kpis[0].tolerance is true; {SHARE}"),
        ("floor: 0.001", "floor: 1%", "18: kpis[0].floor is '1%'; it must be a number"),
        ("floor: 0.001", "floor: -1", "18: kpis[0].floor is -1; it must not be negative"),
        ("floor: 0.001", "floor: .nan", "18: kpis[0].floor is nan; it must be a number"),
        ("floor: 0.001", "floor: 1" + "0" * 400, "18: kpis[0].floor is inf; it must be a number"),
        (
            "critical: true",
            "critical: yes",
            "19: kpis[0].critical is 'yes'; use one of true, false",
        ),
        ("critical: true", "critical: 1", "19: kpis[0].critical is 1; use one of true, false"),
        (
            "usage: 0.6",
            'usage: "0.6"',
            "20: kpis[0].usage is '0.6'; it must be a number without quotes, like 0.6, or a query",
        ),
        (
            "usage: 0.6",
            "usage: 60%",
            "20: kpis[0].usage is '60%'; it must be a number without quotes, like 0.6, or a query",
        ),
        ("usage: 0.6", "usage: -1", "20: kpis[0].usage is -1; it must not be negative or a query"),
        ("usage: 0.6", "usage: [1]", "20: kpis[0].usage is a list; it must be a number or a query"),
        (
            "[country, plan]",
            "country",
            "21: kpis[0].by is 'country'; it must be a list of label names, like [country]",
        ),
        (
            "[country, plan]",
            "[]",
            (
                "21: kpis[0].by is an empty list; it names no label; list label names or leave the "
                "key out"
            ),
        ),
        (
            "[country, plan]",
            "[country, country]",
            "21: kpis[0].by is a list; it lists country twice",
        ),
        (
            "[country, plan]",
            "[country, 5]",
            "21: kpis[0].by is a list; 5 in it is not a valid label name: it must be text; "
            "put it in quotes",
        ),
        (
            "min_volume: 200",
            "min_volume: many",
            "22: kpis[0].min_volume is 'many'; it must be a number",
        ),
        (
            "no_data: fail",
            "no_data: no",
            "23: kpis[0].no_data is 'no'; use one of inconclusive, fail, ignore",
        ),
        ("empty: zero", "empty: 0", "24: kpis[0].empty is 0; use one of missing, zero"),
        ("per: 1s", "per: 0s", "25: kpis[0].per is '0s'; it must be longer than zero"),
        (
            "dry_run: true",
            'dry_run: "true"',
            "26: kpis[0].dry_run is 'true'; use one of true, false",
        ),
        (
            "dry_run: true",
            "dryrun: true",
            f"26: kpis[0].dryrun is an unknown key (did you mean dry_run?); use one of {KPI_KEYS}",
        ),
        (
            "name: orders",
            "name: checkout errors",
            "27: kpis[1].name is 'checkout errors', as is kpis[0].name; names must be unique",
        ),
        ("name: orders", "name: 7", "27: kpis[1].name is 7; it must be text; put it in quotes"),
        (
            "source: data",
            "source: dta",
            "28: kpis[1].source is 'dta'; use one of data, more (did you mean data?)",
        ),
        ("    source: data\n", "", "27: kpis[1].source is missing; use one of data, more"),
        ("query: orders", 'query: " "', "29: kpis[1].query is ' '; it must not be empty"),
        ("    query: orders\n", "", "27: kpis[1].query is missing"),
        (
            "query: orders",
            "query:",
            "29: column 11: kpis[1].query is empty; write a value or leave the key out",
        ),
        (
            "[orders]",
            "orders",
            "31: kpis[2].control_for is 'orders'; it must be a list of KPI names, like [orders]",
        ),
        (
            "[orders]",
            "[]",
            (
                "31: kpis[2].control_for is an empty list; it names no KPI; list KPI names or "
                "leave "
                "the key out"
            ),
        ),
        (
            "[orders]",
            "[ordrs]",
            "31: kpis[2].control_for names 'ordrs', which is not a KPI (did you mean orders?)",
        ),
        (
            "[orders]",
            "[orders elsewhere]",
            (
                "31: kpis[2].control_for names 'orders elsewhere', which is the control itself; "
                "name "
                "its KPIs"
            ),
        ),
        (
            "usage: sum(orders)",
            "control_for: [orders]",
            "31: kpis[2].control_for names 'orders', which is a control too; name KPIs",
        ),
        (
            "control_for:",
            "critical: true, control_for:",
            "31: kpis[2].critical has no meaning for a control; remove it",
        ),
        ("control_for: [orders]", "split: 10%", f"31: kpis[2].split {NO_ARM}"),
        ("control_for:", "split: 10%, control_for:", f"31: kpis[2].split {NO_TRAFFIC}"),
        (
            "control_for:",
            "kind: counts, split: 10, control_for:",
            "31: kpis[2].split is 10; a number is a share of 1; write 10% or 1000%",
        ),
        ("  - {type: console}", "  - {typ: console}", "33: sinks[0].type is missing"),
        ("  - {type: console}", "  - console", "33: sinks[0] is text; it must be a mapping"),
        (
            "  - {type: console}",
            "  - {type: consolx}",
            f"33: sinks[0].type is 'consolx'; {SINK_TYPES} (did you mean console?)",
        ),
        (
            "  - {type: console}",
            "  - {type: jsonl, path: out.jsonl}",
            "34: sinks[1] is the same as sinks[0]; leave one out",
        ),
        (
            "path: out.jsonl",
            "pth: out.jsonl",
            "34: sinks[1].pth is an unknown key (did you mean path?); use one of type, path",
        ),
        ("path: out.jsonl", "path: 5", "34: sinks[1].path is 5; it must be a path"),
        (", path: out.jsonl", "", "34: sinks[1].path is missing; the type jsonl needs it"),
        (
            f"data: {FILES}",
            "data: {type: file, path: shop.csv}",
            f"4: sources.data.type is 'file'; {TYPES} (did you mean files?)",
        ),
        (f"data: {FILES}", "data: shop.csv", "4: sources.data is text; it must be a mapping"),
        (f"data: {FILES}", f'" data": {FILES}', f"4: sources.' data' is text; {ONE_LINE}"),
    ],
)
def test_what_is_wrong_is_said_with_line_key_found_and_allowed(
    complaints: Complain, old: str, new: str, complaint: str
) -> None:
    assert FULL.count(old) >= 1
    assert f"checklist.yaml:{complaint}" in complaints(
        FULL.replace(old, new, 1) if old != "query: orders" else FULL.replace(old, new)
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "",
            (
                "1: the checklist is empty; it must be a mapping with the keys service, sources "
                "and "
                "kpis"
            ),
        ),
        (
            "# nothing\n",
            (
                "1: the checklist is empty; it must be a mapping with the keys service, sources "
                "and "
                "kpis"
            ),
        ),
        (
            "- a\n",
            (
                "1: the checklist is a list; it must be a mapping with the keys service, sources "
                "and "
                "kpis"
            ),
        ),
        (
            "hello\n",
            (
                "1: the checklist is 'hello'; it must be a mapping with the keys service, sources "
                "and kpis"
            ),
        ),
        (
            f"{SMALL}retention: 28d\n",
            "7: retention is 28d; it must be at least 28d6h, windows.history and windows.watch "
            "together: later baselines leave out the releases and incidents in them",
        ),
        (f"{SMALL}retention: ever\n", f"7: retention is 'ever'; {DURATION}"),
        ("service: a\nsources: {}\nkpis: []\n", "3: kpis is empty; list at least one"),
        (
            "service: a\nsources: {}\nkpis: []\n",
            "2: sources is empty; the KPIs need at least one source",
        ),
        ("service: a\nkpis: {}\n", "2: kpis is an empty mapping; it must be a list"),
        (
            "service: a\nsources: []\nkpis: [a]\n",
            "2: sources is an empty list; it must be a mapping",
        ),
        ("service: a\nsources: []\nkpis: [a]\n", "3: kpis[0] is 'a'; it must be a mapping"),
    ],
)
def test_a_checklist_of_the_wrong_shape_is_explained(
    complaints: Complain, text: str, complaint: str
) -> None:
    assert f"checklist.yaml:{complaint}" in complaints(text)


def test_all_problems_are_told_at_once_in_the_order_of_the_file(complaints: Complain) -> None:
    text = (
        FULL.replace("direction: up", "direction: upp")
        .replace("2%", "2")
        .replace("shop.csv", "'${NOT_SET}'")
        .replace("console", "consolx")
        .replace("source: data", "source: x")
    )
    assert [line.split(":")[1] for line in complaints(text)] == ["4", "8", "16", "28", "31", "33"]


def test_very_many_problems_are_cut(complaints: Complain) -> None:
    lines = complaints(SMALL + "".join(f"key{index}: 1\n" for index in range(80)))
    assert len(lines) == 51
    assert lines[-1] == "checklist.yaml: … and more"


def test_very_many_sinks_are_refused(complaints: Complain) -> None:
    sinks = "".join(f"  - {{type: jsonl, path: a{index}}}\n" for index in range(101))
    assert complaints(f"{SMALL}sinks:\n{sinks}") == [
        "checklist.yaml:7: sinks has 101 entries; at most 100 are allowed"
    ]


def test_a_very_long_key_is_cut(complaints: Complain) -> None:
    assert all(len(line) < 400 for line in complaints(f"{SMALL}? {'x' * 10_000}\n: 1\n"))


ENVIRONMENTS = (
    SMALL
    + """\
environments:
  staging:
    sources:
      data: {type: files, path: "${STAGING}/shop.csv"}
    sinks: []
  production:
    sources:
      more: {type: files, path: more.csv}
sinks: [{type: console}]
"""
)


def test_an_environment_replaces_and_adds_what_it_names(load_text: Load) -> None:
    staging = load_text(ENVIRONMENTS, environment="staging", environ={"STAGING": "/data"})
    assert staging.environment == "staging"
    assert staging.sources["data"].settings["path"] == "/data/shop.csv"
    assert staging.sinks == ()
    production = load_text(
        ENVIRONMENTS.replace("query: orders", "query: orders\n    source: more"),
        environment="production",
    )
    assert set(production.sources) == {"data", "more"}
    assert [sink.type for sink in production.sinks] == ["console"]


def test_the_environment_named_in_the_file_is_the_default(load_text: Load) -> None:
    text = ENVIRONMENTS + "environment: staging\n"
    assert load_text(text, environ={"STAGING": "/data"}).environment == "staging"


def test_environments_judge_the_same_kpis(load_text: Load) -> None:
    text = ENVIRONMENTS.replace("query: orders", "query: orders\n    source: data")
    assert (
        load_text(text, environment="staging", environ={"STAGING": "x"}).kpis
        == load_text(text, environment="production").kpis
    )


def test_a_variable_of_another_environment_need_not_be_set(load_text: Load) -> None:
    text = ENVIRONMENTS.replace("query: orders", "query: orders\n    source: data")
    assert load_text(text, environment="production", environ={}).environment == "production"


@pytest.mark.parametrize(
    ("text", "environment", "complaint"),
    [
        (
            ENVIRONMENTS,
            None,
            (
                "7: environments lists staging, production; name one with --environment or "
                "the key environment"
            ),
        ),
        (
            ENVIRONMENTS,
            "stagin",
            "1: environment is 'stagin'; use one of staging, production (did you mean staging?)",
        ),
        (
            ENVIRONMENTS + "environment: prod\n",
            None,
            "16: environment is 'prod'; use one of staging, production (did you mean production?)",
        ),
        (
            SMALL + "environment: prod\n",
            "staging",
            "7: environment is 'prod', but 'staging' was asked for; list both under environments",
        ),
        (
            SMALL,
            "prod",
            "1: 'prod' was asked for as environment, but the checklist names none; list it "
            "under environments, or ask without it",
        ),
        (
            ENVIRONMENTS.replace("staging:\n", "staging:\n    kpis: []\n"),
            "staging",
            "9: environments.staging.kpis is an unknown key; use one of sources, sinks, "
            "releases, on",
        ),
    ],
)
def test_an_environment_that_is_not_meant_is_refused(
    complaints: Complain, text: str, environment: str | None, complaint: str
) -> None:
    assert f"checklist.yaml:{complaint}" in complaints(
        text, environment=environment, environ={"STAGING": "x"}
    )


def test_the_environment_of_a_checklist_without_others_is_only_a_name(load_text: Load) -> None:
    assert load_text(SMALL + "environment: blue\n").environment == "blue"


def test_the_digest_does_not_depend_on_comments_order_or_secrets(load_text: Load) -> None:
    one = load_text(SMALL.replace("shop.csv", '"${FILE}"'), environ={"FILE": "a.csv"})
    lines = SMALL.replace("shop.csv", '"${FILE}"').splitlines(keepends=True)
    other = load_text(
        "# a comment\n" + "".join([*lines[3:], *lines[:3]]), environ={"FILE": "b.csv"}
    )
    assert one.digest == other.digest
    assert len(one.digest) == 64


def test_the_same_meaning_has_the_same_digest(load_text: Load) -> None:
    assert (
        load_text(SMALL).digest
        == load_text(SMALL + "windows: {history: 4w, step: 300s}\nfalse_alarms: 1%\n").digest
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("direction: up", "direction: down"),
        ("14d", "15d"),
        ("2%", "3%"),
        ("shop.csv", "shop2.csv"),
        ("out.jsonl", "out2.jsonl"),
        ("Europe/Berlin", "UTC"),
        ("production", "staging"),
    ],
)
def test_another_meaning_has_another_digest(load_text: Load, old: str, new: str) -> None:
    assert load_text(FULL).digest != load_text(FULL.replace(old, new)).digest


@pytest.mark.parametrize(
    "more",
    [
        "silences: [{special_days: true}]\n",
        "repeat: 4h\n",
        "rhythm: {usual: 1h, peak: 5m, climb: 1d, fall: 6h}\n",
        "releases: [{type: git, path: .}]\n",
        "on: {fire: [{type: command, run: [kubectl]}]}\n",
    ],
)
def test_when_it_is_looked_at_and_who_is_notified_change_the_digest(
    load_text: Load, more: str
) -> None:
    assert load_text(SMALL + more).digest != load_text(SMALL).digest


def test_how_long_releases_are_kept_is_read_and_changes_no_answer(load_text: Load) -> None:
    small, kept = load_text(SMALL), load_text(SMALL + "retention: 90d\n")

    assert (small.retention, kept.retention) == (None, timedelta(days=90))
    assert kept.digest == small.digest


@pytest.mark.slow
def test_nothing_numeric_or_heavy_is_imported_by_importing_the_checklist() -> None:
    import subprocess
    import sys

    code = (
        "import sys, anomaly.checklist.checklist; print(sorted({'numpy', 'pandas', "
        "'pydantic', 'requests', 'scipy'} & set(sys.modules)))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "[]\n"
    )


def test_plugin_is_handed_on_with_the_checklist(load_text: Load) -> None:
    assert isinstance(load_text(SMALL).sources["data"], Plugin)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["5m", "5%", "up", "files", "${A}", "data"]),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 2**32), TREES), min_size=1, max_size=4))
def test_any_damage_to_a_checklist_is_a_checklist_error_or_harmless(
    tmp_path: Path, damage: list[tuple[int, object]]
) -> None:
    import yaml

    tree = yaml.safe_load(FULL)
    for seed, value in damage:
        _replace_somewhere(tree, random.Random(seed), value)
    path = tmp_path / "checklist.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8", errors="replace")
    _load_or_refuse(path)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.integers(0, len(FULL)),
    st.integers(0, 30),
    st.text(alphabet="ab:{}[],&*!|>-?#'\"%@` \n\t<1.~${}\0\ufeff", max_size=10),
)
def test_any_edit_of_the_text_is_a_checklist_error_or_harmless(
    tmp_path: Path, start: int, length: int, text: str
) -> None:
    path = tmp_path / "checklist.yaml"
    path.write_text(FULL[:start] + text + FULL[start + length :], encoding="utf-8")
    _load_or_refuse(path)


def _load_or_refuse(path: Path) -> None:
    try:
        assert isinstance(load(path, environ={"A": "b"}), Checklist)
    except ChecklistError as error:
        # either outcome is right, but not an unexplained one
        assert str(error).startswith(str(path))  # noqa: PT017


def _replace_somewhere(tree: object, rng: random.Random, value: object) -> None:
    spots: list[Callable[[], None]] = []

    def visit(node: object) -> None:
        items = (
            node.items()
            if isinstance(node, dict)
            else enumerate(node)
            if isinstance(node, list)
            else ()
        )
        for key, inside in items:
            # # mypy can't infer the lambda
            spots.append(lambda node=node, key=key: node.__setitem__(key, value))  # type: ignore[misc]
            visit(inside)

    visit(tree)
    if spots:
        rng.choice(spots)()


OCCASIONS = """
special_days:
  - date: 2025-12-25
    name: Christmas
leave_out:
  - start: 2025-11-04T10:30:00+01:00
    end: 2025-11-04T12:00:00+01:00
    reason: incident 4711
"""


def test_special_days_and_spans_to_leave_out_reach_the_calendar(load_text: Load) -> None:
    calendar = load_text(SMALL + OCCASIONS).calendar

    assert calendar.special_days == (SpecialDay(date(2025, 12, 25), "Christmas"),)
    start = datetime(2025, 11, 4, 9, 30, tzinfo=UTC)
    assert calendar.leave_out == (
        LeftOut(Window(start, start + timedelta(minutes=90)), "incident 4711"),
    )


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "2025-12-25",
            "Christmas",
            "special_days[0].date is 'Christmas'; it must be a date like 2025-12-25",
        ),
        ("date: 2025", "day: 2025", "special_days[0].day is an unknown key; use one of date, name"),
        (
            "10:30:00+01:00",
            "10:30:00",
            "leave_out[0].start is '2025-11-04T10:30:00'; it must be a time with a zone",
        ),
        ("T12:00", "T10:00", "leave_out[0].end is not after its start"),
    ],
)
def test_a_slip_in_an_occasion_is_said(
    complaints: Complain, old: str, new: str, complaint: str
) -> None:
    assert any(complaint in line for line in complaints(SMALL + OCCASIONS.replace(old, new)))


def test_holidays_reach_the_calendar(load_text: Load) -> None:
    assert load_text(
        SMALL + "holidays: [{country: DE, subdivision: BY}, {country: NO}]\n"
    ).calendar.holidays == (
        Holidays("DE", "BY"),
        Holidays("NO"),
    )


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        (
            "country: Germny",
            (
                "holidays[0].country is 'Germny'; use an ISO 3166 code like DE or US that the "
                "holidays library knows (did you mean DE?)"
            ),
        ),
        (
            "country: de",
            (
                "holidays[0].country is 'de'; use an ISO 3166 code like DE or US that the holidays "
                "library knows (did you mean DE?)"
            ),
        ),
        (
            "country: XQ",
            (
                "holidays[0].country is 'XQ'; use an ISO 3166 code like DE or US that the holidays "
                "library knows"
            ),
        ),
        (
            "country: AT, subdivision: X",
            "holidays[0].subdivision is 'X'; use one of 1, 2, 3, 4, 5, 6, 7, 8, 9",
        ),
        ("country: SG, subdivision: X", "holidays[0].subdivision is 'X'; SG has none"),
        (
            "country: AT, categories: [publik]",
            (
                "holidays[0].categories is 'publik'; use one of bank, protestant, public, school "
                "(did you mean public?)"
            ),
        ),
        (
            "land: DE",
            (
                "holidays[0].land is an unknown key; use one of country, subdivision, categories, "
                "observed"
            ),
        ),
    ],
)
def test_a_slip_in_holidays_is_said_with_its_line(
    complaints: Complain, written: str, complaint: str
) -> None:
    assert f"checklist.yaml:7: {complaint}" in complaints(SMALL + f"holidays: [{{{written}}}]\n")


def test_holidays_without_their_library_say_what_to_install(
    complaints: Complain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        sys.modules, "holidays", None
    )  # what the import of a package that is not there finds

    assert complaints(SMALL + "holidays: [{country: DE}]\n") == [
        ("checklist.yaml:7: holidays need an extra: pip install 'release-anomaly[holidays]'")
    ]


def test_a_kind_reaches_the_kpi_and_a_ratio_needs_a_denominator(
    load_text: Load, complaints: Complain
) -> None:
    assert load_text(SMALL + "    kind: counts\n").kpis[0].kind == "counts"
    assert complaints(SMALL + "    kind: count\n") == [
        (
            "checklist.yaml:7: kpis[0].kind is 'count'; use one of counts, rate, ratio, latency, "
            "share, gauge (did you mean counts?)"
        )
    ]
    assert any(
        "kpis[0].kind is 'ratio', but there is no denominator" in line
        for line in complaints(SMALL + "    kind: ratio\n")
    )
