from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
from rich.cells import cell_len

from anomaly.contracts import Message
from anomaly.errors import SinkError
from anomaly.model import ReleaseVerdict, Verdict
from anomaly.reporting.words import headline
from anomaly.sinks.console import MOST_ROWS, ConsoleSink, Style, render, show, style_of, width_of
from tests.support import reports
from tests.support.goldens import assert_golden

REPORTS = {
    name: getattr(reports, name)
    for name in ("failing", "messy", "passing", "early", "dead_source", "staged")
}
ESCAPE = "\x1b"


class Stream(io.TextIOWrapper):
    """A text stream that may be a terminal, in any encoding."""

    def __init__(self, *, terminal: bool = False, encoding: str = "utf-8") -> None:
        self.written = io.BytesIO()
        super().__init__(self.written, encoding=encoding, newline="\n")
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    @property
    def text(self) -> str:
        return self.written.getvalue().decode(self.encoding)


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("style", [Style.BARE, Style.LINED])
def test_golden_table(name: str, width: int, style: Style) -> None:
    assert_golden(
        f"console/{name}_{style}_{width}.txt", render(REPORTS[name](), width=width, style=style)
    )


def test_golden_colours() -> None:
    assert_golden(
        "console/messy_coloured_80.txt", render(reports.messy(), width=80, style=Style.COLOURED)
    )


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("style", list(Style))
def test_colours_only_repeat_what_words_say(name: str, style: Style) -> None:
    coloured = render(REPORTS[name](), width=100, style=Style.COLOURED)
    lined = render(REPORTS[name](), width=100, style=Style.LINED)
    assert [
        line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", coloured).splitlines()
    ] == lined.splitlines()


@pytest.mark.parametrize("name", REPORTS)
def test_the_first_bare_line_is_the_whole_headline(name: str) -> None:
    told = REPORTS[name]()
    assert render(told, width=72).splitlines()[0] == headline(told)


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("width", [72, 80, 99, 160])
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    lines = render(REPORTS[name](), width=width, style=Style.LINED).splitlines()
    assert max(cell_len(line) for line in lines) <= width


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("width", [72, 80])
def test_a_narrow_table_loses_no_character(name: str, width: int) -> None:
    def characters(columns: int) -> list[str]:
        return sorted(
            re.sub(r"[\s─]", "", render(REPORTS[name](), width=columns, style=Style.LINED))
        )

    assert characters(width) == characters(400)


def test_the_query_of_each_failing_kpi_stands_under_the_headline_once() -> None:
    other = replace(reports.REGRESSED, segment={"country": "FR"}, effect=0.4)
    lines = render(
        reports.report(ReleaseVerdict.FAIL, reports.REGRESSED, other, reports.LATENCY)
    ).splitlines()
    assert (
        lines[1] == f"      checkout errors = {reports.COUNTRY_ERRORS} / {reports.COUNTRY_REQUESTS}"
    )
    assert sum("increase(" in line for line in lines) == 1


def test_a_pass_says_per_kpi_what_would_have_been_seen() -> None:
    rows = {line.split("  ")[0]: line for line in render(reports.passing(), width=120).splitlines()}
    assert "3.2 %" in rows["p95 latency"]
    assert "9 %" in rows["revenue"]
    assert "0.04 per step" in rows["crashes"]


def test_what_could_not_be_judged_is_listed_with_its_reason() -> None:
    text = render(reports.messy(), width=160)
    for finding in (reports.GAPS, reports.REFUSED, reports.NEW_SEGMENT):
        assert finding.reason in text


def test_a_note_of_many_kpis_is_printed_once() -> None:
    noted = [
        replace(reports.LATENCY, kpi=f"kpi {n}", notes=(reports.SHORT_HISTORY,)) for n in range(4)
    ]
    text = render(reports.report(ReleaseVerdict.PASS, *noted), width=120)
    assert text.count(reports.SHORT_HISTORY) == 1
    assert f"kpi 0, kpi 1 and 2 more: {reports.SHORT_HISTORY}" in text


def test_a_long_section_is_cut_and_says_so() -> None:
    many = [replace(reports.LATENCY, kpi=f"kpi {n:03}") for n in range(MOST_ROWS + 7)]
    text = render(reports.report(ReleaseVerdict.PASS, *many))
    assert text.count("✓ ok") == MOST_ROWS
    assert "… and 7 more" in text


def test_missing_data_that_fails_the_release_bears_the_sign_of_a_failure() -> None:
    assert "✗ no data" in render(reports.report(ReleaseVerdict.FAIL, reports.GAPS))


@pytest.mark.slow
@pytest.mark.parametrize("verdict", list(ReleaseVerdict))
@pytest.mark.parametrize("of_finding", list(Verdict))
def test_every_verdict_can_be_shown(verdict: ReleaseVerdict, of_finding: Verdict) -> None:
    told = reports.report(verdict, replace(reports.RAMP, verdict=of_finding))
    assert of_finding.replace("_", " ") in render(told)


@pytest.mark.parametrize("text", reports.HOSTILE)
@pytest.mark.parametrize("style", list(Style))
def test_hostile_text_is_escaped_and_cut(text: str, style: Style) -> None:
    shown = render(reports.hostile(text), width=80, style=style)
    without_own = re.sub(r"\x1b\[[0-9;]*m", "", shown) if style is Style.COLOURED else shown
    assert all(character.isprintable() for character in without_own.replace("\n", ""))
    assert len(shown) < 20_000
    assert not re.search(r"(?m)^\s*::[a-z-]+.*::|##vso\[", shown)
    if "[bold red]" in text:
        assert "[bold red]x[/]" in without_own


@pytest.mark.parametrize(
    ("terminal", "environ", "style"),
    [
        (False, {}, Style.BARE),
        (True, {}, Style.COLOURED),
        (True, {"NO_COLOR": "1"}, Style.LINED),
        (True, {"NO_COLOR": ""}, Style.COLOURED),
        (True, {"TERM": "dumb"}, Style.BARE),
        (False, {"FORCE_COLOR": "1"}, Style.BARE),
    ],
)
def test_lines_and_colours_are_for_terminals(
    terminal: bool,
    environ: Mapping[str, str],
    style: Style,
) -> None:
    assert style_of(Stream(terminal=terminal), environ) is style


@pytest.mark.parametrize(
    ("columns", "width"), [("90", 90), ("5", 72), ("9" * 5000, 160), ("wide", 100), ("", 100)]
)
def test_the_width_follows_columns_within_what_can_be_read(columns: str, width: int) -> None:
    assert width_of(Stream(), {"COLUMNS": columns}) == width


def test_no_escape_reaches_a_file() -> None:
    stream = Stream()
    ConsoleSink(stream=stream, environ={}).send(Message("k", reports.messy()))
    assert ESCAPE not in stream.text


def test_no_color_is_honoured_on_a_terminal() -> None:
    stream = Stream(terminal=True)
    show(reports.messy(), stream, environ={"NO_COLOR": "1", "COLUMNS": "80"})
    assert ESCAPE not in stream.text
    assert "─" in stream.text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_encoding_without_signs_gets_plain_ones(encoding: str) -> None:
    stream = Stream(terminal=True, encoding=encoding)
    show(
        replace(reports.failing(), findings=(replace(reports.REGRESSED, kpi="注文"),)),
        stream,
        environ={},
    )
    assert "x regressed" in stream.text
    assert "??" in stream.text


def test_a_closed_output_is_a_sink_that_could_not_be_told() -> None:
    stream = io.StringIO()
    stream.close()
    with pytest.raises(SinkError, match="standard output"):
        ConsoleSink(stream=stream, environ={}).send(Message("k", reports.passing()))
