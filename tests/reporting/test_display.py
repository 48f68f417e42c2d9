"""A report in a notebook: it shows itself, and answers to names."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from anomaly.errors import UsageError
from anomaly.model import Finding
from anomaly.reporting.display import MOST_ROWS
from anomaly.reporting.report import Findings, Report
from tests.sinks.pictures import drawable
from tests.support import reports

TAGS = {"div", "p", "span", "b", "table", "thead", "tbody", "tr", "th", "td"}
GERMANY = {"country": "DE"}


class Page(HTMLParser):
    """What a browser would make of HTML: tags, attributes, text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.rows = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.rows += tag == "tr"

    def handle_data(self, data: str) -> None:
        self.text += data


def segmented() -> Report:
    total = replace(reports.REGRESSED, segment={}, total=True)
    return reports.report(
        reports.failing().verdict,
        total,
        reports.REGRESSED,
        replace(reports.REGRESSED, segment={"country": "FR"}),
    )


def test_a_report_shows_the_answer_and_a_row_for_each_finding() -> None:
    report = drawable()
    page = Page(report._repr_html_())
    assert "FAIL" in page.text
    assert "+212 % [180, 240]" in page.text
    assert "10:40" in page.text
    assert page.rows == 1 + len(report.findings)
    assert re.search("[▁▂▃▄▅▆▇█]{15,16}", page.text)


def test_a_shown_report_is_static_and_small() -> None:
    html = drawable(reports.messy())._repr_html_()
    page = Page(html)
    assert page.tags <= TAGS
    assert page.attributes <= {"style"}
    assert "url(" not in html
    assert len(html) < 10_000


@pytest.mark.parametrize(
    "text", [*reports.HOSTILE, "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>']
)
def test_no_text_of_a_stranger_becomes_markup(text: str) -> None:
    report = drawable(reports.hostile(text))
    for html in (report._repr_html_(), report.findings._repr_html_()):  # type: ignore[attr-defined]
        page = Page(html)
        assert page.tags <= TAGS
        assert page.attributes <= {"style"}


def test_a_report_of_many_series_shows_the_first_and_says_so() -> None:
    many = tuple(replace(reports.LATENCY, kpi=f"kpi {number}") for number in range(MOST_ROWS + 3))
    page = Page(replace(reports.passing(), findings=many)._repr_html_())
    assert page.rows == 1 + MOST_ROWS
    assert "3 more" in page.text


def test_what_python_prints_is_one_line() -> None:
    report = drawable()
    assert repr(report).startswith("<report: FAIL  checkout errors")
    assert repr(report.findings).startswith(f"<{len(report.findings)} findings: ")
    assert "\n" not in repr(report) + repr(report.findings)


def test_findings_are_a_tuple_that_makes_a_sortable_frame() -> None:
    report = reports.messy()
    assert isinstance(report.findings, tuple)
    assert report.findings == tuple(report.findings)
    assert isinstance(report.findings, Findings)
    frame = report.findings.to_frame().sort_values("effect", ascending=False)
    assert (
        frame["kpi"].iloc[0] == max(report.findings, key=lambda finding: finding.effect or -1).kpi
    )
    assert list(report.findings.to_frame()["kpi"]) == [finding.kpi for finding in report.findings]


def test_a_finding_is_found_by_its_name_and_labels() -> None:
    report = segmented()
    assert report["checkout errors"].total
    assert report["checkout errors", {}].total
    assert report["checkout errors", GERMANY].segment == GERMANY
    alone = reports.report(reports.failing().verdict, reports.REGRESSED)
    assert alone["checkout errors"].segment == GERMANY


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            "checkout error",
            "no KPI 'checkout error'; there are checkout errors (did you mean checkout errors?)",
        ),
        (
            ("checkout errors", {"country": "IT"}),
            "no segment {'country': 'IT'}; there are {}, {'country': 'DE'}, {'country': 'FR'}",
        ),
    ],
)
def test_a_name_that_is_not_there_is_a_key_error_that_says_which_are(asked: str, said: str) -> None:
    with pytest.raises(KeyError) as error:
        segmented()[asked]
    assert said in error.value.args[0]


def test_several_segments_without_a_total_are_told_apart_by_labels_only() -> None:
    parts = [replace(reports.REGRESSED, segment={"country": name}) for name in ("DE", "FR")]
    with pytest.raises(
        KeyError, match=r"several segments and no total; there are \{'country': 'DE'\}"
    ):
        reports.report(reports.failing().verdict, *parts)["checkout errors"]


@pytest.mark.slow
def test_a_plot_shows_itself_and_is_that_of_the_name() -> None:
    report = drawable()
    figure = report.plot("checkout errors", GERMANY)
    assert {text.get_text() for text in figure.texts} >= {"checkout errors (country=DE)"}
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    assert len(report.plot().axes) == len(report.findings)
    with pytest.raises(KeyError, match="no KPI 'x'"):
        report.plot("x")


def test_without_matplotlib_a_plot_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> Finding:
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")

    monkeypatch.setattr("anomaly.reporting.figures.overview", missing)
    with pytest.raises(UsageError, match=r"pip install 'release-anomaly\[plot\]'"):
        drawable().plot()
