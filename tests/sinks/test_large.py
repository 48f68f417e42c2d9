"""A report of a thousand series: messages stay short, and what matters comes first."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from email.headerregistry import Address
from functools import cache
from pathlib import Path

import pytest

from anomaly.contracts import Action, Message, NotifyReason
from anomaly.model import Verdict
from anomaly.reporting.display import MOST_ROWS as MOST_NOTEBOOK_ROWS
from anomaly.reporting.display import report_html
from anomaly.reporting.notice import MOST_FACTS, notice
from anomaly.reporting.report import Report
from anomaly.sinks.console import MOST_ROWS, Style, render
from anomaly.sinks.email import letter
from anomaly.sinks.github_job import MOST_ANNOTATIONS, commands
from anomaly.sinks.json_file import JsonSink
from anomaly.sinks.jsonl import JsonlSink
from anomaly.sinks.junit import junit
from anomaly.sinks.markdown import LONGEST, markdown
from anomaly.sinks.slack import LONGEST_TEXT, blocks
from tests.sinks.messages import KEY, LINK
from tests.support import large, reports

pytestmark = pytest.mark.slow

SERIES = 1000
SENDER = Address("anomaly", "anomaly", "example.com")


@cache
def report() -> Report:
    return large.large(SERIES)


def message() -> Message:
    return Message(KEY, report(), Action.FIRE, id="m1", why=NotifyReason.FIRST, link=LINK)


def test_the_console_lists_what_moved_and_counts_what_is_ok_by_kpi() -> None:
    text = render(report(), width=160, style=Style.BARE)

    ok = [each for each in report().findings if each.verdict is Verdict.OK]
    left = len(ok) - len(large.KPIS)
    lines = text.splitlines()
    assert len(lines) < 4 * MOST_ROWS
    assert sum("regressed" in line for line in lines) == large.MOVED
    assert sum("✓ ok" in line and "(all)" in line for line in lines) == len(large.KPIS)
    counts = next(line for line in lines if f"… and {left} more: " in line)
    assert all(f"{kpi} {left // len(large.KPIS)}" in counts for kpi in large.KPIS)
    assert lines.index(counts) > max(i for i, line in enumerate(lines) if "inconclusive" in line)


def test_the_console_counts_by_kpi_what_it_does_not_list_of_the_undecided() -> None:
    early = replace(
        report(),
        findings=tuple(
            replace(each, verdict=Verdict.INCONCLUSIVE, reason="12 of 72 steps")
            for each in report().findings
        ),
    )

    text = render(early, width=160)

    assert f"… and {SERIES - MOST_ROWS} more: " in text
    assert len(text.splitlines()) < 4 * MOST_ROWS


def test_notes_of_every_series_are_cut() -> None:
    own = tuple(replace(each, notes=(f"note {n}",)) for n, each in enumerate(report().findings))

    text = render(replace(report(), findings=own))

    assert f"… and {SERIES - MOST_ROWS} more notes" in text


def test_markdown_is_as_short_as_github_wants_and_counts_what_is_ok() -> None:
    text = markdown(message())

    assert len(text) < LONGEST / 2
    assert "940 ok, with the" in text
    assert "… and 935 more: " in text
    assert "checkout errors (all)" in text


def test_messages_for_people_name_the_first_and_count_the_rest() -> None:
    summary = notice(message())
    assert f"and {large.MOVED - MOST_FACTS} more" in summary.facts
    texts = [
        block["text"]["text"] for block in blocks(message())["blocks"] if block["type"] == "section"
    ]
    assert all(len(text) <= LONGEST_TEXT for text in texts)
    assert len([*commands(message())]) == MOST_ANNOTATIONS
    bare = replace(message(), report=replace(report(), points=report().points.iloc[:0]))
    mail = letter(bare, SENDER, [SENDER], reports.RELEASED)
    assert len(mail.as_bytes()) < 20_000


def test_the_notebook_shows_a_short_table_and_says_how_much_is_left() -> None:
    html = report_html(report())

    assert html.count("<tr>") == MOST_NOTEBOOK_ROWS + 1
    assert f"… and {SERIES - MOST_NOTEBOOK_ROWS} more: " in html
    with pytest.raises(KeyError) as caught:
        report()["revenue", {"country": "XX"}]
    assert len(str(caught.value)) < 2000
    assert "180 more" in str(caught.value)


def test_json_has_all_of_them(tmp_path: Path) -> None:
    stream, lines = io.StringIO(), tmp_path / "looks.jsonl"
    JsonSink(stream=stream).send(message())
    JsonlSink(path=lines).send(message())

    whole = json.loads(stream.getvalue())
    assert len(whole["findings"]) == SERIES
    assert json.loads(lines.read_text()) == whole


def test_junit_tells_a_thousand_series_with_one_title_apart() -> None:
    same = tuple(
        replace(each, kpi="x" * 99, segment={"y": "z" * 99 + str(n)}, total=False)
        for n, each in enumerate(report().findings)
    )

    text = junit(Message(KEY, replace(report(), findings=same)))

    names = {part.split('"')[0] for part in text.split(' name="')[1:]}
    assert len([name for name in names if name.startswith("xxx")]) == SERIES
