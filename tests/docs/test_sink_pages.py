"""The examples on the pages of the sinks can be used as they stand."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from anomaly.checklist import registry
from anomaly.checklist.registry import SINKS, Plugin
from anomaly.sinks.exposition import OF_KPI, OF_RELEASE
from tests.docs.test_docs import Block, blocks, place
from tests.support.places import ROOT
from tests.support.servers import need

ON_PAGES = [block for block in blocks("yaml") if block.page.parent.name == "sinks"]
EXAMPLES = [block for block in ON_PAGES if "\nsinks:\n" in f"\n{block.body}"]
FOR_PROMETHEUS = [
    block
    for block in ON_PAGES
    if block.page.stem in ("textfile", "pushgateway") and block not in EXAMPLES
]
METRIC = re.compile(r"anomaly_\w+")


def written(block: Block) -> Any:
    return yaml.safe_load(block.body)


def promtool(folder: Path, kind: str, content: Any) -> str:
    path = folder / "file.yaml"
    path.write_text(yaml.safe_dump(content))
    done = subprocess.run(
        [need("promtool"), "check", kind, "--lint=all", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("block", EXAMPLES, ids=place)
def test_the_settings_of_an_example_are_those_of_the_sink(block: Block) -> None:
    for sink in written(block)["sinks"]:
        assert registry.problems(Plugin(sink.pop("type"), sink), SINKS) == []


@pytest.mark.parametrize("block", FOR_PROMETHEUS, ids=place)
def test_what_is_for_prometheus_is_taken_by_it(block: Block, tmp_path: Path) -> None:
    kind = "rules" if "groups" in written(block) else "config"
    assert promtool(tmp_path, kind, written(block)) == ""


def test_the_panel_for_grafana_draws_metrics_that_exist() -> None:
    (panel,) = [
        json.loads(block.body) for block in blocks("json") if block.page.name == "textfile.md"
    ]
    assert panel["type"] == "timeseries"
    drawn = {
        target["legendFormat"]: METRIC.findall(target["expr"])[0] for target in panel["targets"]
    }
    assert set(drawn.values()) <= set(OF_KPI)
    (band,) = [
        override
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"]["options"] == "upper"
    ]
    assert {"id": "custom.fillBelowTo", "value": "lower"} in band["properties"]
    assert {"upper", "lower"} <= set(drawn)


def test_every_metric_is_on_the_page_and_no_other() -> None:
    page = (ROOT / "docs" / "sinks" / "textfile.md").read_text(encoding="utf-8")
    assert set(METRIC.findall(page)) == set(OF_RELEASE | OF_KPI)
