"""The examples of the page about sources make checklists that load."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from anomaly.checklist.checklist import load
from tests.docs.test_docs import FENCE
from tests.support.places import ROOT

PAGE = (ROOT / "docs" / "collectors.md").read_text(encoding="utf-8")
SECTIONS = {
    text.split("`", 2)[1]: [
        yaml.safe_load(fence["body"]) for fence in FENCE.finditer(text) if fence["kind"] == "yaml"
    ]
    for text in re.split(r"^(?=## )", PAGE, flags=re.MULTILINE)
    if text.startswith("## `")
}


class Variables(dict[str, str]):
    """Every variable that an example names; a URL fits wherever one is read."""

    def __missing__(self, name: str) -> str:
        return f"https://{name.lower()}.example.com"

    def get(self, name: str, _default: object = None) -> str:
        return self[name]


@pytest.mark.parametrize("name", SECTIONS)
def test_the_examples_of_a_source_load_and_name_its_type(name: str, tmp_path: Path) -> None:
    sources: dict[str, Any] = {}
    kpis: list[dict[str, Any]] = []
    for block in SECTIONS[name]:
        sources |= block.get("sources", {})
        kpis += block.get("kpis", [])
    used = {kpi["source"] for kpi in kpis}
    kpis += [
        {"name": f"of {source}", "source": source, "query": "orders", "direction": "down"}
        for source in sources
        if source not in used
    ]
    path = tmp_path / "checklist.yaml"
    tree = {"service": "shop", "sources": sources, "kpis": kpis}
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    checklist = load(path, environ=Variables())
    assert name in {source.type for source in checklist.sources.values()}
