"""The files beside wheel and sdist: requirements, bill of materials, hashes."""

from __future__ import annotations

import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from distribution import artifacts
from distribution.errors import ReleaseError
from distribution.readiness import ROOT, project_version

NAME = re.compile(r"[A-Za-z0-9._-]+")
TIME = 1_780_000_000


def required_packages() -> set[str]:
    """What `pyproject.toml` names for those who run the tool, extras too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = chain(project["dependencies"], *project["optional-dependencies"].values())
    return {match[0] for line in lines if (match := NAME.match(line))}


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    return artifacts.materials(TIME)


def test_the_bill_of_materials_names_every_package_with_its_version(bill: dict[str, Any]) -> None:
    versions = {each["name"]: each["version"] for each in bill["components"]}
    assert {"numpy", "typer", "matplotlib"} <= required_packages() <= set(versions)
    assert all(versions.values())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert bill["metadata"]["component"]["version"] == project_version()


def test_the_bill_of_materials_names_no_tool_of_developers(bill: dict[str, Any]) -> None:
    assert not {"pytest", "ruff", "mypy"} & {each["name"] for each in bill["components"]}


@pytest.mark.slow
def test_the_bill_of_materials_is_the_same_for_the_same_commit(bill: dict[str, Any]) -> None:
    assert artifacts.materials(TIME) == bill
    assert artifacts.materials(TIME + 1)["serialNumber"] != bill["serialNumber"]
    assert bill["metadata"]["timestamp"] == "2026-05-28T20:26:40Z"


def test_every_requirement_is_locked_to_a_version_and_hashes(bill: dict[str, Any]) -> None:
    blocks = re.split(r"^(?=\S)", artifacts.requirements(), flags=re.MULTILINE)[1:]
    assert [block for block in blocks if "==" not in block or "--hash=sha256:" not in block] == []
    required = {block.partition("==")[0].partition("[")[0] for block in blocks}
    assert required == {each["name"] for each in bill["components"]}


def test_the_hashes_are_checked_by_sha256sum(tmp_path: Path) -> None:
    for name in ("b.whl", "a.tar.gz"):
        (tmp_path / name).write_text(name)
    listed = artifacts.hashes(tmp_path.iterdir())
    (tmp_path / artifacts.HASHES).write_text(listed)
    check = ["sha256sum", "--check", "--strict", artifacts.HASHES]

    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "a.tar.gz: OK\nb.whl: OK\n"

    (tmp_path / "b.whl").write_text("another")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def test_what_uv_complains_of_is_said() -> None:
    with pytest.raises(ReleaseError, match=r"uv chekc: .*chekc"):
        artifacts.uv("chekc")
