"""The way of a page: read, its marks filled in, its links turned, staged, built by Zensical,
checked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from docs.builder import (
    checklist_reference,
    command_reference,
    home,
    markdown,
    marks,
    python_reference,
    report_schema,
)
from docs.builder.check import problems
from docs.builder.errors import SiteError
from docs.builder.nav import CONFIG, misplaced, read_nav, repository_pages

ROOT = Path(__file__).parents[2]
STYLE = ROOT / "docs" / "style"
FILES = {
    "LICENSE": "project/LICENSE.txt",
    "docs/checklist.schema.json": "checklist.schema.json",
    "docs/grafana_dashboard.json": "grafana_dashboard.json",
}
COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # the generator writes it whoever reads
PICTURES = ("*.png", "*.svg")


def build(folder: Path) -> int:
    """Make the site in `folder`, in place of what is there; how many pages it has. Raises
    SiteError."""
    with tempfile.TemporaryDirectory() as work:
        stage = Path(work)
        pages = staged(stage / "pages")
        if wrong := misplaced(pages, read_nav()):
            raise SiteError("\n".join(wrong))
        shutil.copy(CONFIG, stage / "zensical.toml")
        _zensical(stage)
        if wrong := problems(stage / "site"):
            raise SiteError("\n".join(wrong))
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(stage / "site", folder)
    return len(pages)


def staged(folder: Path) -> set[str]:
    """Write all that the generator reads into `folder`; the pages, by their path in it."""
    places = dict(repository_pages())
    drawn = marks.Marks(folder / "images", ROOT)
    for source, place in places.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        if source.endswith(".ipynb"):
            text = markdown.of_notebook(json.loads(text))
        turned = markdown.turned(text, source, places | FILES | dict(pictures()))
        _write(folder / place, drawn.filled_in(markdown.for_python_markdown(turned), place))
    generated = {
        "reference/commands.md": command_reference.page(),
        "reference/checklist.md": checklist_reference.page(),
        "reference/python.md": python_reference.page(ROOT),
        "reference/report.md": report_schema.page(
            (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
        ),
        "index.md": home.page((ROOT / "README.md").read_text(encoding="utf-8"), read_nav()),
    }
    for place, text in generated.items():
        _write(folder / place, drawn.filled_in(text, place))
    schema = report_schema.schema((ROOT / "docs" / "json.md").read_text(encoding="utf-8"))
    _write(
        folder / "reference" / "report.schema.json",
        json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
    )
    for source, place in [*FILES.items(), *pictures()]:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, folder / place)
    shutil.copytree(STYLE, folder / "style")
    return {*places.values(), *generated}


def pictures() -> list[tuple[str, str]]:
    """The pictures that are kept in the repository, and their places on the site."""
    found = [path for form in PICTURES for path in sorted((ROOT / "docs").rglob(form))]
    return [
        (str(path.relative_to(ROOT)), str(path.relative_to(ROOT / "docs")))
        for path in found
        if STYLE not in path.parents
    ]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _zensical(stage: Path) -> None:
    command = [
        str(Path(sys.executable).parent / "zensical"),
        "build",
        "--strict",
        "--config-file",
        str(stage / "zensical.toml"),
    ]
    done = subprocess.run(command, cwd=stage, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SiteError(COLOUR.sub("", done.stdout + done.stderr.partition("Traceback")[0]))
