"""Every output tells a change in the same order: effect with its interval, p-value, onset; and a
percentage has a space before its sign."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from anomaly.contracts import Action
from anomaly.reporting.data import to_dict
from anomaly.reporting.display import report_html
from anomaly.reporting.notice import notice
from anomaly.reporting.pages.release import page
from anomaly.reporting.words import headline
from anomaly.sinks.apprise import AppriseSink
from anomaly.sinks.console import Style, render
from anomaly.sinks.email import page as mail_page
from anomaly.sinks.github_job import commands
from anomaly.sinks.junit import junit
from anomaly.sinks.markdown import markdown
from anomaly.sinks.slack import blocks
from tests.sinks.messages import MESSAGES
from tests.support import reports
from tests.support.places import ROOT

FIRE = MESSAGES["fire"]
EFFECT, P, ONSET = "+212 % [180, 240]", "0.0001", "10:40"
COLUMN_NAMES = ("effect", "p", "since")
UNSPACED = re.compile(r"\d%")


def outputs() -> dict[str, str]:
    """A failing release in each form that people read."""
    assert FIRE.action is Action.FIRE
    summary = notice(FIRE)
    return {
        "headline": headline(FIRE.report),
        "json": json.dumps(to_dict(FIRE.report)["headline"]),
        "console": render(FIRE.report, width=120, style=Style.BARE),
        "notice": "\n".join(summary.lines),
        "mail": mail_page(summary, ""),
        "slack": json.dumps(blocks(FIRE), ensure_ascii=False),
        "markdown": markdown(FIRE).replace("\\[", "[").replace("\\]", "]"),
        "junit": junit(FIRE),
        "annotations": "\n".join(commands(FIRE)).replace("%25", "%"),
        "page": re.sub(r"<[^>]+>", "", page(FIRE.report).partition("<body>")[2]),
        "notebook": re.sub(r"<[^>]+>", " ", report_html(reports.messy())),
    }


OUTPUTS = outputs()


def changes(text: str) -> Iterator[str]:
    """The text from each mention of the effect to the end of its line."""
    for found in re.finditer(re.escape(EFFECT), text):
        yield text[found.start() :].partition("\n")[0]


@pytest.mark.parametrize("form", OUTPUTS)
def test_the_effect_comes_first_then_the_p_value_then_the_onset(form: str) -> None:
    whole = [line for line in changes(OUTPUTS[form]) if P in line and ONSET in line]
    assert whole, OUTPUTS[form]
    assert [line for line in whole if line.index(P) > line.index(ONSET)] == []


@pytest.mark.parametrize("form", ["console", "markdown", "notebook"])
def test_the_columns_have_the_same_order(form: str) -> None:
    head = re.findall(r"[A-Za-z]+", re.split(r"KPI\W+verdict", OUTPUTS[form])[1])[:10]
    assert sorted(COLUMN_NAMES, key=head.index) == list(COLUMN_NAMES)


@pytest.mark.parametrize("form", OUTPUTS)
def test_a_percentage_has_a_space_before_its_sign(form: str) -> None:
    text = re.sub(r'style="[^"]*"|width="\d+%"', "", OUTPUTS[form])
    assert UNSPACED.findall(text) == []


def test_the_help_and_the_golden_outputs_have_that_space_too() -> None:
    texts = {
        path.name: path.read_text(encoding="utf-8").replace("T10:00Z=5%", "")
        for folder in ("help", "console", "operation", "backtest", "parity")
        for path in (ROOT / "tests" / "golden" / folder).glob("*.txt")
    }
    assert texts
    assert {
        name: UNSPACED.findall(text) for name, text in texts.items() if UNSPACED.search(text)
    } == {}


def test_apprise_sends_the_words_of_the_notice() -> None:
    assert AppriseSink.send.__globals__["notice"] is notice
