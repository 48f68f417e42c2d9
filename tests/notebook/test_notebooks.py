"""The notebooks: read as documents, stored without outputs, and run from top to bottom as they are
read."""

from __future__ import annotations

import base64
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.places import ROOT

BOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
LEAST_PIXELS = 300
RUN = """
import sys
import nbformat
from nbclient import NotebookClient

source, target, folder = sys.argv[1:]
book = nbformat.read(source, as_version=4)
resources = {"metadata": {"path": folder}}
NotebookClient(book, timeout=100, kernel_name="python3", resources=resources).execute()
nbformat.write(book, target)
"""
SHOWN = {  # pictures that are made, and what people must have been told
    "01_first_release": (3, "FAIL.*request errors \\(country=FR\\).*PASS.*7 KPIs in 15 series"),
    "02_why_this_verdict": (3, "326 placebo releases.*inconclusive.*regressed"),
    "03_tune_your_checklist": (2, "0 of 8 placebo releases failed.*too noisy for its tolerance"),
    "04_segments_and_controls": (
        4,
        "there are .*'FR'.*compared with controls: controls FR, US moved",
    ),
}


def cells(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def outputs(book: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for cell in book:
        yield from cell.get("outputs", ())


def run(path: Path, folder: Path) -> list[dict[str, Any]]:
    """The cells with their outputs, run in a copy of the repository that holds the sample data
    alone, without a home."""
    (folder / "sample_data").symlink_to(ROOT / "sample_data")
    (folder / "notebooks").mkdir()
    own = {
        name: str(folder / name.lower())
        for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR")
    }
    environ = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": "/nonexistent",
        "MPLCONFIGDIR": str(folder / "matplotlib"),
        "LC_ALL": "C.UTF-8",
        **own,
    }
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            RUN,
            str(path),
            str(folder / "done.ipynb"),
            str(folder / "notebooks"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=115,
        cwd=folder,
        env=environ,
    )
    assert done.returncode == 0, done.stderr
    return cells(folder / "done.ipynb")


def text(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    return (
        "".join(output.get("text", ""))
        + "".join(data.get("text/plain", ""))
        + "".join(data.get("text/html", ""))
    )


def size(png: str) -> tuple[int, int]:
    """Width and height of a picture in base64."""
    content = base64.b64decode(png)
    assert content.startswith(b"\x89PNG")
    return struct.unpack(">II", content[16:24])


def test_the_notebooks_are_those_that_are_known() -> None:
    assert {path.stem for path in BOOKS} == set(SHOWN)


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    book = cells(path)
    assert not [*outputs(book)]
    assert {cell["execution_count"] for cell in book if cell["cell_type"] == "code"} == {None}


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_readable_as_a_document_and_uses_public_names_alone(path: Path) -> None:
    book = cells(path)
    assert "".join(book[0]["source"]).startswith("# ")
    prose = sum(
        len("".join(cell["source"]).split()) for cell in book if cell["cell_type"] == "markdown"
    )
    assert prose > 200
    code = "\n".join("".join(cell["source"]) for cell in book if cell["cell_type"] == "code")
    assert not re.search(r"from anomaly|import anomaly\.|\._", code)
    assert "../sample_data" in code


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_the_links_of_a_notebook_lead_somewhere(path: Path) -> None:
    prose = "\n".join(
        "".join(cell["source"]) for cell in cells(path) if cell["cell_type"] == "markdown"
    )
    targets = re.findall(r"\]\(([^)#\s]+)", prose)
    assert targets
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom_and_shows_what_it_promises(
    path: Path, tmp_path: Path, loopback: None
) -> None:
    pictures, told = SHOWN[path.stem]
    book = run(path, tmp_path)
    made = [*outputs(book)]
    assert not [output for output in made if output.get("name") == "stderr"]
    drawn = [
        output["data"]["image/png"] for output in made if "image/png" in output.get("data", {})
    ]
    assert len(drawn) == pictures
    assert all(min(size(png)) >= LEAST_PIXELS for png in drawn)
    assert re.search(told, "\n".join(map(text, made)), re.DOTALL)
