from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from anomaly.checklist.checklist import json_schema, load
from anomaly.errors import ChecklistError
from anomaly.model import Holidays
from tests.checklist.conftest import Load
from tests.checklist.test_checklist import FULL, SMALL
from tests.support.goldens import assert_golden
from tests.support.places import ROOT

TEMPLATE = ROOT / "anomaly" / "setup" / "checklist.yaml"
TEMPLATE_ENVIRON = {"PROMETHEUS_URL": "http://127.0.0.1:9090"}
OTHERS = {
    "STAGING_PROMETHEUS_URL": "http://127.0.0.1",
    "HOOK_URL": "http://127.0.0.1/hook",
    "HOOK_SECRET": "for the test",
}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def changed(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    tree: dict[str, Any] = deepcopy(yaml.safe_load(FULL))
    inside: Any = tree
    for part in path[:-1]:
        inside = inside[part]
    inside[path[-1]] = value
    return tree


def test_the_golden_schema_in_the_docs_is_current() -> None:
    assert_golden("../../docs/checklist.schema.json", json.dumps(json_schema(), indent=2) + "\n")


@pytest.mark.parametrize(
    "text", [SMALL, FULL, TEMPLATE.read_text(encoding="utf-8")], ids=["small", "full", "template"]
)
def test_a_good_checklist_is_valid(validator: Draft202012Validator, text: str) -> None:
    validator.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "sample_data").glob("*/checklist.yaml")),
    ids=lambda path: path.parent.name,
)
def test_the_sample_checklists_are_valid(validator: Draft202012Validator, path: Path) -> None:
    validator.validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert load(path, environ={}).kpis


def test_the_template_loads_with_the_variables_it_names() -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    checklist = load(TEMPLATE, environ=TEMPLATE_ENVIRON)
    assert {kpi.source for kpi in checklist.kpis} == {"prod"}
    assert all(name in text.partition("service:")[0] for name in TEMPLATE_ENVIRON)


def test_the_occasions_that_the_template_shows_load_once_they_are_no_comments(
    load_text: Load,
) -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    before, shown, after = text.partition("# holidays:\n")
    examples, _, rest = after.partition("\n\n")
    uncommented = "\n".join(line.removeprefix("# ") for line in (shown + examples).splitlines())

    calendar = load_text(f"{before}{uncommented}\n\n{rest}", environ=TEMPLATE_ENVIRON).calendar

    assert calendar.holidays == (Holidays("DE", "BY"),)
    assert [day.name for day in calendar.special_days] == ["Black Friday"]
    assert [span.reason for span in calendar.leave_out] == ["incident 4711"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("servize",), "shop"),
        (("service",), ""),
        (("service",), 5),
        (("kpis",), []),
        (("kpis", 0, "direction"), "upp"),
        (("kpis", 0, "tolerance"), -1),
        (("kpis", 0, "tolerance"), 5),
        (("kpis", 0, "tolerance"), "5 percent"),
        (("kpis", 0, "by"), []),
        (("kpis", 0, "by"), "country"),
        (("kpis", 0, "total"), "sum(x)"),  # of a ratio
        (("kpis", 1, "total"), "sum(x)"),  # without segments
        (("kpis", 0, "critical"), "yes"),
        (("kpis", 0, "queryy"), "x"),
        (("kpis", 0, "per"), "1 second"),
        (("windows", "history"), 28),
        (("windows", "history"), ""),
        (("windows", "lg"), "5m"),
        (("false_alarms",), 0),
        (("false_alarms",), 1),
        (("correction",), "none"),
        (("sources", "data"), {"path": "x"}),
        (("sources", "data"), {"type": "files"}),
        (("sources", "data"), {"type": "files", "path": "x", "pth": "y"}),
        (("sources", "data"), {"type": "prometheus"}),
        (("sinks", 0), {"type": "jsonl"}),
        (("sinks", 0), {"type": "webhook", "url": "http://h", "timeout": 5}),
        (("sinks", 0), "console"),
        (("environments",), {"a": {"kpis": []}}),
    ],
)
def test_the_schema_and_the_loader_refuse_the_same(
    validator: Draft202012Validator, load_text: Load, path: tuple[str, ...], value: object
) -> None:
    tree = changed(path, value)
    assert not validator.is_valid(tree)
    with pytest.raises(ChecklistError, match=r"checklist\.yaml:"):
        load_text(yaml.safe_dump(tree, sort_keys=False))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("kpis", 0, "tolerance"), 0.05),
        (("kpis", 0, "tolerance"), "250%"),
        (("kpis", 0, "usage"), "sum(x)"),
        (("kpis", 0, "per"), "1m30s"),
        (("false_alarms",), "0.5%"),
        (("environments",), {"production": {"sinks": []}}),
        (
            ("sinks", 0),
            {"type": "webhook", "url": "http://h", "timeout": "5s", "headers": {"X-Tenant": "a"}},
        ),
    ],
)
def test_the_schema_and_the_loader_accept_the_same(
    validator: Draft202012Validator, load_text: Load, path: tuple[str, ...], value: object
) -> None:
    tree = changed(path, value)
    validator.validate(tree)
    load_text(yaml.safe_dump(tree, sort_keys=False))


def test_a_type_of_a_plug_in_is_left_open(validator: Draft202012Validator) -> None:
    validator.validate(changed(("sinks", 0), {"type": "somebody-elses", "colour": "green"}))


def yaml_blocks() -> list[str]:
    text = (ROOT / "docs" / "checklist.md").read_text(encoding="utf-8")
    return [block.partition("```")[0] for block in text.split("```yaml\n")[1:]]


@pytest.mark.parametrize("text", yaml_blocks())
def test_the_examples_of_the_reference_load(load_text: Load, text: str) -> None:
    assert load_text(text, environ={**TEMPLATE_ENVIRON, **OTHERS}).service == "shop"


def test_the_reference_names_every_key() -> None:
    text = (ROOT / "docs" / "checklist.md").read_text(encoding="utf-8")
    definitions = json_schema()[
        "$defs"
    ]  # the settings of sources and sinks have pages of their own
    keys = [
        *json_schema()["properties"],
        *definitions["KpiForm"]["properties"],
        *definitions["WindowsForm"]["properties"],
    ]
    assert [key for key in keys if f"`{key}`" not in text] == []
