"""docs/install.md names what exists: the extras, the wheel of this version. No page sends people to
a name on the index."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.docs.test_docs import PAGES, place
from tests.support.places import ROOT

PAGE = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
FROM_INDEX = re.compile(r"(?:pip|pipx|uv tool|uv pip) install '?release-anomaly(?!\[)")


def test_the_extras_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    table = PAGE.partition("## Extras")[2].partition("Name them")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(
        project["optional-dependencies"]
    )


def test_the_wheel_is_that_of_this_version() -> None:
    names = set(re.findall(r"release_anomaly-[\d.]+-py3-none-any\.whl", PAGE))
    assert names == {f"release_anomaly-{version('release-anomaly')}-py3-none-any.whl"}


@pytest.mark.parametrize("page", PAGES, ids=place)
def test_no_page_installs_a_name_from_the_index(page: Path) -> None:
    assert FROM_INDEX.search(page.read_text(encoding="utf-8")) is None
