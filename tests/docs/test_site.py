"""The documentation site: it is whole, asks no other host for anything, and what is generated
misses nothing of the code."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

import anomaly
from anomaly.checklist.form import json_schema
from anomaly.reporting.data import to_dict
from docs.builder import (
    checklist_reference,
    command_reference,
    floors,
    gallery,
    markdown,
    marks,
    pictures,
    python_reference,
    report_schema,
    screenshots,
)
from docs.builder.check import problems
from docs.builder.errors import SiteError
from docs.builder.nav import misplaced, nav_pages, read_nav, repository_pages
from docs.builder.site import build
from tests.docs.test_docs import commands_and_options
from tests.obvious.kinds import GROUPS, KINDS, named
from tests.reporting.test_report import REPORTS
from tests.support.places import ROOT

pytestmark = pytest.mark.timeout(300)
CELL = re.compile(r"^\| `(?P<first>[^`]+)`", re.MULTILINE)
LARGEST_PAGE = 2_000_000  # characters
SVG = "http://www.w3.org/2000/svg"  # a name, not a place


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    build(folder)
    return folder


def section(page: str, heading: str) -> str:
    found = page.partition(f"\n{heading}\n")[2]
    assert found, f"no {heading}"
    return re.split(r"^#{2,3} ", found, maxsplit=1, flags=re.MULTILINE)[0]


# --- the site as a whole ------------------------------------------------------------------------


@pytest.mark.slow
def test_the_site_has_every_page_and_no_link_leads_nowhere(site: Path) -> None:
    pages = {path.parent.relative_to(site) for path in site.rglob("index.html")}
    assert {
        Path(),
        Path("tutorial"),
        Path("sinks/slack"),
        Path("reference/commands"),
        Path("project/readme"),
    } <= pages
    assert len(pages) == len([*nav_pages(read_nav())])
    assert problems(site) == []


def test_a_page_without_a_line_in_the_nav_and_a_line_without_a_page_are_named() -> None:
    nav: list[Any] = [{"Home": "index.md"}, {"How-to": [{"Below": [{"Gone": "gone.md"}]}]}]
    assert misplaced({"index.md", "new.md"}, nav) == [
        "new.md: has no line in the nav of docs/zensical.toml",
        "docs/zensical.toml: the nav names gone.md, which is no page",
    ]


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        ('<a href="../gone/">', "../gone/ leads nowhere"),
        ('<a href="#gone">', "#gone has no such anchor"),
        ('<a href="other/#gone">', "other/#gone has no such anchor"),
        ('<img src="gone.svg">', "gone.svg leads nowhere"),
        (
            '<script src="https://cdn.example.com/a.js">',
            "https://cdn.example.com/a.js is loaded from elsewhere",
        ),
        (
            '<link href="//fonts.example.com/a.css" rel="stylesheet">',
            "//fonts.example.com/a.css is loaded from elsewhere",
        ),
    ],
)
def test_what_leads_nowhere_or_is_loaded_from_elsewhere_is_found(
    planted: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.html").write_text('<h1 id="here">Other</h1>')
    fine = '<a href="other/#here"> <a href="https://example.com/">'
    (tmp_path / "index.html").write_text(f"{fine}{planted}")
    assert problems(tmp_path) == [f"index.html: {told}"]


def test_a_font_that_a_style_would_load_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text(
        "@import url(https://fonts.example.com/a.css); b {background: "
        "url(data:image/svg+xml;utf8,<svg/>)}"
    )
    assert problems(tmp_path) == ["a.css: https://fonts.example.com/a.css is loaded from elsewhere"]


@pytest.mark.slow
def test_the_words_of_a_page_can_be_searched_for(site: Path) -> None:
    index = (site / "search.json").read_text(encoding="utf-8")
    assert "min_volume" in index
    assert "--released-at" in index


# --- the generated reference --------------------------------------------------------------------


@pytest.mark.slow
def test_every_command_has_its_section_with_every_option() -> None:
    page = command_reference.page()
    endings = {name: options for name, options in commands_and_options().items() if name}
    groups = {name for name in endings if any(other.startswith(f"{name} ") for other in endings)}
    for name, options in endings.items():
        if name in groups:
            continue
        shown = set(re.findall(r"`(-[^` ]+)", section(page, f"## `anomaly {name}`")))
        assert options - {"--help", "-h"} <= shown, name


def test_a_default_and_a_variable_of_the_environment_stand_beside_the_option() -> None:
    watch = section(command_reference.page(), "## `anomaly watch`")
    assert (
        "| `--released-at T` | Start of the release: ISO-8601 with a zone, a date, -2h, or now. | "
        "default: now |"
    ) in watch
    assert re.search(
        r"^\| `--store WHERE` \| .+ \| env var: ANOMALY_STORE \|$", watch, re.MULTILINE
    )


def keys_of(form: dict[str, Any]) -> set[str]:
    return {key for key, value in form.get("properties", {}).items() if isinstance(value, dict)}


def test_every_key_of_a_checklist_and_every_setting_is_in_the_reference() -> None:
    schema, page = json_schema(), checklist_reference.page()
    assert set(CELL.findall(section(page, "## The file"))) == keys_of(schema)
    places = {
        "KpiForm": "kpis[]",
        "WindowsForm": "windows",
        "SinkForm": "sinks[]",
        "SourceForm": "sources.NAME",
        "ReleasesForm": "releases[]",
    }
    for name, form in schema["$defs"].items():
        if "properties" not in form:
            continue
        path = places.get(name)
        headings = (
            [f"## `{path}`"] if path else re.findall(r"^## `[\w.\[\]]+`$", page, re.MULTILINE)
        )
        assert any(
            set(CELL.findall(section(page, heading))) == keys_of(form) for heading in headings
        ), name
        for each in form.get("allOf", ()):
            kind = each["if"]["properties"]["type"]["const"]
            settings = section(page, f"## `{path}` of type `{kind}`")
            assert set(CELL.findall(settings)) == keys_of(each["then"])


@pytest.mark.slow
def test_every_public_name_of_python_is_in_the_reference_with_what_it_is() -> None:
    page = python_reference.page(ROOT)
    for name in anomaly.__all__:
        if name != "__version__":
            assert len(section(page, f"### `{name}`")) > len("text"), name
    assert "    placebos: int = 50," in section(page, "### `backtest`")
    assert "```pycon\n>>> " in page


@pytest.mark.slow
@pytest.mark.parametrize("name", REPORTS)
def test_the_schema_of_the_report_holds_for_every_kind_of_report(name: str) -> None:
    schema = report_schema.schema((ROOT / "docs" / "json.md").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(to_dict(REPORTS[name]()), schema)


@pytest.mark.slow
@pytest.mark.parametrize(
    "broken", [{"verdict": 7}, {"findings": [{"kpi": "orders"}]}, {"release": {"service": None}}]
)
def test_the_schema_of_the_report_refuses_what_is_none(broken: dict[str, Any]) -> None:
    schema = report_schema.schema((ROOT / "docs" / "json.md").read_text(encoding="utf-8"))
    data = json.loads(json.dumps(to_dict(REPORTS["failing"]()))) | broken
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema)


def test_a_word_of_the_page_of_the_json_that_says_no_type_is_told_with_its_key() -> None:
    with pytest.raises(
        SiteError, match=r"docs/json\.md: verdict is 'colour'; use one of text, number"
    ):
        report_schema.schema("| `verdict` | colour | of the release |\n")


# --- what is made of a page ---------------------------------------------------------------------


def test_links_of_the_repository_lead_to_the_same_page_of_the_site() -> None:
    text = (
        "[a](docs/ci.md#gitlab-ci) [b](https://example.com/x.md) [c](#here) "
        "[d](sample_data/healthy)\n```text\n[e](docs/ci.md)\n```\n"
    )
    places = {"README.md": "project/readme.md", "docs/ci.md": "ci.md"}
    assert markdown.turned(text, "README.md", places) == (
        "[a](../ci.md#gitlab-ci) [b](https://example.com/x.md) [c](#here) "
        "d\n```text\n[e](docs/ci.md)\n```\n"
    )


def test_what_belongs_to_an_item_is_indented_as_the_generator_wants_it() -> None:
    text = "Do:\n1. this\n\n   ```text\n   a\n     b\n   ```\n\n2. that,\n   and more\n\nAfter.\n"
    assert markdown.for_python_markdown(text) == (
        "Do:\n\n1. this\n\n    ```text\n    a\n      b\n    ```\n\n2. that,\n    and "
        "more\n\nAfter.\n"
    )


def test_a_block_of_code_stays_as_it_is() -> None:
    text = "```text\n- a\n  - b\n1. c\n```\n"
    assert markdown.for_python_markdown(text) == text


def test_a_notebook_is_shown_as_text_and_code_without_outputs() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# A release\n", "judged"]},
        {
            "cell_type": "code",
            "source": ["report = 1\n", "report"],
            "outputs": [{"data": {"text/plain": "<b>1</b>"}}],
        },
        {"cell_type": "code", "source": [], "outputs": []},
    ]
    assert (
        markdown.of_notebook({"cells": cells})
        == "# A release\njudged\n\n```python\nreport = 1\nreport\n```\n"
    )


def test_words_for_the_site_alone_are_seen_there(tmp_path: Path) -> None:
    filled = marks.Marks(tmp_path / "images", ROOT).filled_in(
        "Before.\n\n<!-- site: See [it](it.md). -->\n\n<!-- a note -->\n", "page.md"
    )
    assert filled == "Before.\n\nSee [it](it.md).\n\n<!-- a note -->\n"


def test_a_mark_in_a_block_of_code_or_within_a_line_is_text(tmp_path: Path) -> None:
    text = "```text\n<!-- site: a -->\n```\n\n<!-- site: b --> and so on\n\nc -->\n"
    assert marks.Marks(tmp_path / "images", ROOT).filled_in(text, "page.md") == text


def test_a_picture_that_nobody_draws_is_told_with_its_page(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"^page\.md: no picture sunset; use one of floors, "):
        marks.Marks(tmp_path / "images", ROOT).filled_in("<!-- picture: sunset -->\n", "page.md")


@pytest.mark.slow
def test_a_screenshot_shows_what_a_terminal_would_and_loads_nothing(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "sample_data" / "healthy", tmp_path / "healthy")
    command = (
        "anomaly check healthy/checklist.yaml --released-at 2025-06-03T09:00Z --only engagement"
    )
    printed = screenshots.printed(command, tmp_path)
    svg = screenshots.terminal(command, tmp_path, unique="t")
    assert printed.startswith("\x1b[")  # colours, for it is a terminal
    assert "engagement" in svg
    assert "http" not in svg.replace(SVG, "")
    assert svg == screenshots.terminal(command, tmp_path, unique="t")


@pytest.mark.slow
def test_a_screenshot_of_a_command_that_failed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"gone\.yaml --released-at now` ended with 2"):
        screenshots.terminal("anomaly check gone.yaml --released-at now", tmp_path, unique="t")


@pytest.mark.slow
def test_a_picture_is_the_same_whenever_it_is_drawn_and_has_both_colours(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        pictures.draw("residuals", tmp_path / folder, ROOT)
    first, second = (sorted((tmp_path / folder).iterdir()) for folder in ("first", "second"))
    assert [path.name for path in first] == ["residuals-dark.svg", "residuals-light.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_every_picture_that_is_drawn_is_on_a_page() -> None:
    pages = "".join((ROOT / source).read_text(encoding="utf-8") for source, _ in repository_pages())
    assert [name for name in pictures.PICTURES if f"<!-- picture: {name} -->" not in pages] == []


def test_every_group_of_the_gallery_is_on_its_page() -> None:
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert [group for group in GROUPS if f"<!-- gallery: {group} -->" not in page] == []


def test_a_group_that_the_gallery_does_not_have_is_told_with_its_page(tmp_path: Path) -> None:
    with pytest.raises(
        SiteError, match=r"^page\.md: no group of sunsets in the gallery; use one of "
    ):
        marks.Marks(tmp_path / "images", ROOT).filled_in(
            "<!-- gallery: of sunsets -->\n", "page.md"
        )


@pytest.mark.slow
def test_every_obvious_release_is_a_picture_with_an_answer(site: Path) -> None:
    page = (site / "gallery" / "index.html").read_text(encoding="utf-8")
    assert page.count('<div class="kind">') == page.count('<path class="release"') / 2 == len(KINDS)
    assert page.count("✓ right") + page.count("✗ not yet") == len(KINDS)
    assert len(page) < LARGEST_PAGE


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("white noise, doubled", {"observed", "observed many", "expected", "band"}),
        ("a query that never matched", set()),  # nothing to draw
    ],
)
def test_a_picture_is_whole_and_shows_what_there_is(name: str, lines: set[str]) -> None:
    case = named(name).case(0)
    svg = ElementTree.fromstring(gallery.picture(case, case.report(), "a & b"))  # noqa: S314  ours
    drawn = {path.get("class") for path in svg.iter("path") if path.get("d")}
    assert svg.get("aria-label") == "a & b"
    assert drawn == lines | {"frame", "release"}


def test_the_map_shows_every_room_of_the_package_and_how_large_it_is() -> None:
    rooms = {room.name: room.modules for floor in floors.floors(ROOT) for room in floor}
    package = ROOT / "anomaly"
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    flat = {path.stem for path in package.glob("*.py")} - {"__init__"}
    assert rooms.keys() == folders | flat
    assert rooms["sinks"] == len([*(package / "sinks").glob("[a-z]*.py")])
