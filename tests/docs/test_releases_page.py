"""docs/releases.md: its examples can be used as they stand, each key of a list is described."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from anomaly.checklist import registry
from anomaly.checklist.checklist import load
from anomaly.releases.form import KEYS, read
from tests.docs.test_docs import Block, blocks, place
from tests.support.places import ROOT

PAGE = ROOT / "docs" / "releases.md"
EXAMPLES = [block for block in blocks("yaml") if block.page == PAGE]
ENVIRON = {
    "PROMETHEUS_URL": "http://127.0.0.1:9090",
    **dict.fromkeys(
        (
            "DEPLOYS_TOKEN",
            "GITHUB_TOKEN",
            "GITLAB_TOKEN",
            "LAUNCHDARKLY_TOKEN",
            "UNLEASH_TOKEN",
            "ARGOCD_TOKEN",
        ),
        "for-the-test",
    ),
}


@pytest.mark.parametrize("block", EXAMPLES, ids=place)
def test_an_example_loads_and_its_source_can_be_made(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(block.body, encoding="utf-8")
    (asked,) = load(path, environ=ENVIRON).releases
    assert "for-the-test" not in repr(registry.release_source(asked))


def test_the_form_of_a_list_is_read_and_each_of_its_keys_is_described() -> None:
    (example,) = [block.body for block in blocks("json") if block.page == PAGE]
    before, aborted = read(example)
    assert (before.release.version, aborted.release.version, aborted.aborted) == (
        "2.3.0",
        "2.3.1",
        True,
    )
    described = re.findall(
        r"`(\w+)`",
        "".join(re.findall(r"^\| (`.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)),
    )
    assert set(KEYS) <= set(described)
