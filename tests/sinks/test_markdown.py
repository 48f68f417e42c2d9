"""Markdown of a report: what it says, and that no text of a stranger becomes markup. Read by a
CommonMark parser with tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from anomaly import wording
from anomaly.contracts import Action, Message, NotifyReason
from anomaly.model import Changes, ReleaseVerdict, Verdict
from anomaly.reporting.notice import notice
from anomaly.reporting.words import ordered, title, versus_words
from anomaly.sinks.markdown import FINE_HEAD, HEAD, LONGEST, MOST_ROWS, escape, markdown
from tests.support import reports
from tests.support.goldens import assert_golden

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
NARROW = "\u200b"
LIVE = re.compile(
    r"@\w|#\d|GH-\d|://|www\.|:[\w+-]+:", re.IGNORECASE
)  # what GitHub turns into something else
OURS = re.compile(
    r"</?details>|<summary>(Details|[0-9]+ commits|"
    r"[0-9]+ ok, with the smallest detectable change \(80 % power\))</summary>"
)
MARKUP = (
    *(
        "@team",
        "fixes #123",
        "GH-12",
        "www.x.y",
        "https://x.y",
        ":smile:",
        "![i](j)",
        "[a](b)",
        "<b>",
        "<!-- x -->",
        "&copy;",
        "&#36;",
    ),
    *(
        "a|b",
        "a\\",
        "\\|",
        "`x`",
        "``` x",
        "$x$",
        "*a*",
        "_a_",
        "~~a~~",
        "# a",
        "- a",
        "+ a",
        "1. a",
        "1) a",
        "> a",
        "---",
        "    a",
    ),
)
MESSY = Message(
    "3f2a91c0",
    reports.messy(),
    Action.FIRE,
    why=NotifyReason.FIRST,
    look="3f2a91c0",
    link="https://ci.example/a(b)?x=1&copy=2",
)


def tokens(text: str) -> Iterator[Token]:
    for token in PARSER.parse(text):
        yield token
        yield from token.children or ()


def shown(inline: Token) -> str:
    """What a reader sees of a line."""
    return "".join(child.content for child in inline.children or ()).replace(NARROW, "")


def lines(text: str) -> list[str]:
    """What a reader sees, block by block; code is left out."""
    return [shown(token) for token in PARSER.parse(text) if token.type == "inline"]


def table(text: str) -> list[list[str]]:
    rows: list[list[str]] = []
    parsed = PARSER.parse(text)
    for token, following in pairwise(parsed):
        if token.type == "tr_open":
            rows.append([])
        if token.type in ("th_open", "td_open"):
            rows[-1].append(shown(following))
    return rows


def assert_only_our_markup(text: str) -> None:
    """No markup but ours, and nothing in the text that GitHub would bring to life."""
    found = [*tokens(text)]
    html = {
        line
        for token in found
        if token.type.startswith("html")
        for line in token.content.strip().splitlines()
    }
    assert all(map(OURS.fullmatch, html))
    assert not {
        "image",
        "em_open",
        "code_inline",
        "s_open",
        "link_open",
        "hr",
        "blockquote_open",
        "code_block",
        "ordered_list_open",
    } & {token.type for token in found}
    assert sum(token.type == "heading_open" for token in found) == 1
    for token in found:
        if token.type == "text":
            assert LIVE.search(token.content) is None, token.content


def test_golden_markdown() -> None:
    assert_golden("sinks/markdown.md", markdown(MESSY))


@pytest.mark.parametrize("name", ["failing", "messy", "passing", "early", "staged", "dead_source"])
def test_it_says_what_the_notice_says_and_has_a_row_for_each_finding(name: str) -> None:
    message = Message("k", getattr(reports, name)())
    text = markdown(message)
    said = notice(message)
    assert lines(text)[: 2 + len(said.facts)] == [
        *(wording.plain(line, 1000) for line in (said.title, *said.facts)),
        said.todo,
    ]
    rows = table(text)
    found = ordered(message.report.findings)
    fine = [title(finding) for finding in found if finding.verdict is Verdict.OK]
    others = [title(finding) for finding in found if finding.verdict is not Verdict.OK]
    assert [row[0] for row in rows if len(row) == len(HEAD)] == (["KPI", *others] if others else [])
    assert [row[0] for row in rows if len(row) == len(FINE_HEAD)] == (
        ["KPI", *fine] if fine else []
    )


def test_what_is_ok_is_folded_away_with_what_would_have_been_seen() -> None:
    found = [
        replace(reports.LATENCY, kpi=f"kpi {number}", detectable_effect=0.042)
        for number in range(MOST_ROWS + 2)
    ]
    text = markdown(Message("k", reports.report(ReleaseVerdict.PASS, *found)))
    head, _, folded = text.partition("<details>")
    assert "| kpi " not in head
    assert f"<summary>{MOST_ROWS + 2} ok, " in folded
    assert table(text)[1][2] == "4.2 %"
    assert "… and 2 more" in lines(text)


def test_the_report_is_linked_and_nothing_else() -> None:
    links = [token.attrs["href"] for token in tokens(markdown(MESSY)) if token.type == "link_open"]
    assert links == ["https://ci.example/a%28b%29?x=1&copy=2"]


def test_commits_are_listed_with_their_pages_and_the_rest_is_counted() -> None:
    text = markdown(Message("k", reports.staged()))
    assert "<summary>44 commits</summary>" in text
    assert "44 commits since 1.4.1" in lines(text)
    assert "4f1c2a9b Grace Hopper: Change number 44" in lines(text)
    links = [token.attrs["href"] for token in tokens(text) if token.type == "link_open"]
    assert links == [*(each.link for each in reports.CHANGES.commits), reports.CHANGES.link]
    lost = replace(reports.staged(), changes=Changes("1.4.1", problem="[x](https://evil) @all"))
    assert_only_our_markup(markdown(Message("k", lost)))


@pytest.mark.parametrize("link", ["javascript:alert(1)", "", "ftp://x", "//x"])
def test_only_http_links_are_links(link: str) -> None:
    assert_only_our_markup(markdown(replace(MESSY, link=link)))


def test_a_link_can_not_leave_its_place() -> None:
    text = markdown(replace(MESSY, link='https://x/) <img src=x> [a](b "c'))
    assert [token.attrs["href"] for token in tokens(text) if token.type == "link_open"] == [
        "https://x/%29%20%3Cimg%20src=x%3E%20%5Ba%5D%28b%20%22c"
    ]


def test_many_findings_are_cut_and_counted() -> None:
    many = [replace(reports.REGRESSED, kpi=f"kpi {number}") for number in range(MOST_ROWS + 7)]
    text = markdown(Message("k", reports.report(ReleaseVerdict.FAIL, *many), Action.FIRE))
    assert len(table(text)) == 1 + MOST_ROWS
    assert "… and 7 more" in lines(text)


def test_it_is_never_longer_than_github_takes() -> None:
    many = [
        replace(reports.REFUSED, kpi=f"{number}" + "|" * 60, reason="|" * 300)
        for number in range(MOST_ROWS)
    ]
    report = reports.report(ReleaseVerdict.ERROR, *many)
    text = markdown(Message("k", report))
    assert len(text) <= LONGEST
    assert 1 < len(table(text)) < 1 + MOST_ROWS


@pytest.mark.parametrize("text", [*reports.HOSTILE, *MARKUP])
def test_hostile_text_stays_text(text: str) -> None:
    assert_only_our_markup(markdown(Message("k", reports.hostile(text), Action.FIRE)))
    plain = wording.plain(text, 1000).strip()
    assert lines(f"- {escape(plain)}") == ([plain] if plain else [])


@pytest.mark.slow
@settings(max_examples=150)
@given(
    st.text(
        st.sampled_from("\\`*_[](){}#+-.!|~<>&;:@/$= \"'aw1GH39\n") | st.characters(), max_size=30
    )
)
def test_any_text_is_shown_as_it_is(text: str) -> None:
    plain = wording.plain(text, 1000).strip()
    assert lines(f"- {escape(plain)}") == ([plain] if plain else [])
    assert table(f"| a | b |\n|---|---|\n| {escape(plain)} | b |")[1] == [plain, "b"]


@pytest.mark.slow
@settings(max_examples=30)
@given(st.text(st.sampled_from("\\`*_[](){}#+-.!|~<>&;:@/$= \"'aw1GH39\n"), max_size=30))
def test_any_text_in_a_report_stays_text(text: str) -> None:
    assert_only_our_markup(markdown(Message("k", reports.hostile(text), Action.FIRE)))


def test_a_finding_that_fails_stands_out() -> None:
    text = markdown(MESSY)
    assert "| checkout errors (country=DE) | **regressed** |" in text
    assert "| payment timeouts | regressed (dry run) |" in text
    assert versus_words(reports.REGRESSED) in text
