"""What GitHub is told: the commit status, the comment, the summary of the job, the annotations."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer

from anomaly.checklist import registry
from anomaly.contracts import Action, Message, NotifyReason
from anomaly.errors import RetryableSinkError, SinkError, UsageError
from anomaly.model import Release, ReleaseVerdict
from anomaly.reporting.report import Report
from anomaly.reporting.words import finding_line
from anomaly.sinks.github import GithubSink
from anomaly.sinks.github_job import commands, replace_section
from tests.support import reports
from tests.support.github import REPOSITORY, SHA, TOKEN, Github, said
from tests.support.goldens import assert_golden
from tests.support.places import ROOT

KEY = "3f2a91c0d4e5"
FIRST = Message(
    KEY,
    reports.messy(),
    Action.FIRE,
    why=NotifyReason.FIRST,
    look="3f2a91c0",
    link="https://ci.example/3f2a91c0",
)
RESOLVED = Message(
    KEY,
    reports.passing(),
    Action.RESOLVE,
    why=NotifyReason.RESOLVED,
    look="77aa00ff",
    link="https://ci.example/3f2a91c0",
)
NOW_S = 1_762_252_500.0
COMMAND = re.compile(
    r"::(?P<level>error|warning|notice) title=(?P<title>[^:,\r\n]*)::(?P<text>[^\r\n]*)"
)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def github() -> Github:
    return Github()


@pytest.fixture
def api(httpserver: HTTPServer, github: Github) -> str:
    return github.serve(httpserver)


def sink(api: str = "https://api.github.com", **changed: Any) -> GithubSink:
    """A sink that knows a commit and a pull request, and runs outside of GitHub Actions."""
    known: dict[str, Any] = {
        "token": TOKEN,
        "repository": REPOSITORY,
        "sha": SHA,
        "pull_request": 7,
        "api": api,
    }
    known |= {"environ": {}, "stream": io.StringIO(), "clock": lambda: NOW_S} | changed
    return GithubSink(**{name: value for name, value in known.items() if value is not None})


def told(report: Report, **changed: Any) -> Message:
    return Message(KEY, report, Action.of(report), **changed)


# --- the commit status --------------------------------------------------------------------------


def test_golden_status_and_comment(api: str, github: Github) -> None:
    sink(api).send(FIRST)
    assert_golden(
        "sinks/github.json",
        json.dumps({"statuses": github.statuses, "comments": github.comments}, indent=2) + "\n",
    )


@pytest.mark.parametrize(
    ("report", "state"),
    [
        (reports.passing(), "success"),
        (reports.failing(), "failure"),
        (replace(reports.failing(), final=False), "failure"),
        (reports.dead_source(), "error"),
        (reports.early(), "pending"),
        (replace(reports.early(), final=True), "error"),  # missing evidence is no success
        (replace(reports.dead_source(), final=False), "error"),
    ],
)
def test_the_state_is_the_verdict(api: str, github: Github, report: Report, state: str) -> None:
    sink(api, what=("status",)).send(told(report))
    assert [status["state"] for status in github.statuses] == [state]


def test_the_status_is_named_after_the_environment_unless_it_has_a_name(
    api: str, github: Github
) -> None:
    sink(api, what=("status",)).send(FIRST)
    sink(api, what=("status",), context="shop in production").send(FIRST)
    sink(api, what=("status",)).send(
        told(replace(reports.passing(), release=Release(reports.RELEASED)))
    )
    assert [status["context"] for status in github.statuses] == [
        "anomaly/production",
        "shop in production",
        "anomaly",
    ]


def test_the_status_links_the_report_if_there_is_one(api: str, github: Github) -> None:
    sink(api, what=("status",)).send(FIRST)
    sink(api, what=("status",)).send(replace(FIRST, link=""))
    assert [status.get("target_url") for status in github.statuses] == [FIRST.link, None]


def test_a_trial_leaves_the_status_that_counts_alone(api: str, github: Github) -> None:
    sink(api, what=("status",)).send(replace(FIRST, action=Action.TRIAL))
    assert [(status["context"], status["state"]) for status in github.statuses] == [
        ("anomaly/trial", "success")
    ]


# --- the comment --------------------------------------------------------------------------------


def test_a_pull_request_has_one_comment_that_later_looks_edit(api: str, github: Github) -> None:
    github.comment("looks good to me", {"login": "ann", "type": "User"}, "MEMBER")
    sink(api).send(FIRST)
    sink(api).send(RESOLVED)
    assert len(github.comments) == 2
    assert github.comments[0]["body"] == "looks good to me"
    assert github.comments[1]["body"].startswith(
        f"<!-- anomaly:{KEY} -->\n### RESOLVED  shop 1.4.2 in production\n"
    )


def test_another_release_has_a_comment_of_its_own(api: str, github: Github) -> None:
    sink(api).send(FIRST)
    sink(api).send(replace(FIRST, key="77"))
    assert len(github.comments) == 2


def test_our_comment_is_found_on_a_later_page(api: str, github: Github) -> None:
    for number in range(120):
        github.comment(f"comment {number}", {"login": "ann", "type": "User"}, "MEMBER")
    sink(api).send(FIRST)
    sink(api).send(RESOLVED)
    assert len(github.comments) == 121
    assert "RESOLVED" in github.comments[-1]["body"]


@pytest.mark.parametrize(
    ("body", "association"),
    [
        (f"<!-- anomaly:{KEY} -->\nPASS, really", "NONE"),
        (f"> <!-- anomaly:{KEY} -->\n> FAIL", "MEMBER"),
        ("", "MEMBER"),
    ],
)
def test_what_a_stranger_writes_or_a_colleague_quotes_is_not_our_comment(
    api: str, github: Github, body: str, association: str
) -> None:
    github.comment(body, {"login": "eve", "type": "User"}, association)
    sink(api).send(FIRST)
    assert [comment["body"] == body for comment in github.comments] == [True, False]


@pytest.mark.slow
@pytest.mark.parametrize("text", reports.HOSTILE)
def test_github_takes_hostile_text(api: str, github: Github, text: str) -> None:
    message = Message(text, reports.hostile(text), Action.FIRE, link=text)
    sink(api).send(message)
    sink(api).send(message)
    assert (len(github.statuses), len(github.comments)) == (2, 1)
    assert github.comments[0]["body"].count("<!--") == 1


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "message", "hint"),
    [
        (401, "Bad credentials", "the token is wrong or has expired"),
        (403, "Resource not accessible by integration", "statuses: write"),
        (404, "Not Found", "the token may not see it"),
        (422, "No commit found for SHA: aaaa", "No commit found"),
        (410, "This issue was deleted", "the pull request is gone"),
    ],
)
def test_a_refusal_says_what_to_change(
    api: str, github: Github, status: int, message: str, hint: str
) -> None:
    github.refusal = said(status, message)
    with pytest.raises(
        SinkError, match=f"status: http.* answered {status}.*{hint}.*; comment: "
    ) as caught:
        sink(api).send(FIRST)
    assert not isinstance(caught.value, RetryableSinkError)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("refusal", "wait_s"),
    [
        (said(429, "API rate limit exceeded", Retry_After="30"), 30),
        (said(403, "You have exceeded a secondary rate limit", Retry_After="42"), 42),
        (said(403, "You have exceeded a secondary rate limit. Please wait"), 60),
        (
            said(
                403,
                "API rate limit exceeded",
                X_RateLimit_Remaining="0",
                X_RateLimit_Reset=f"{NOW_S + 90:.0f}",
            ),
            90,
        ),
        (said(502, "Server Error"), None),
    ],
)
def test_a_rate_limit_is_waited_for(
    api: str, github: Github, refusal: Any, wait_s: float | None
) -> None:
    github.refusal = refusal
    with pytest.raises(RetryableSinkError) as caught:
        sink(api).send(FIRST)
    assert caught.value.retry_after_s == wait_s


def test_one_part_that_fails_does_not_hide_the_others(
    api: str, github: Github, tmp_path: Path
) -> None:
    stream, summary = io.StringIO(), tmp_path / "summary.md"
    environ = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_ACTIONS": "true"}
    github.refusal = said(404, "Not Found")
    with pytest.raises(SinkError, match=r"^status: .*; comment: .*"):
        sink(api, environ=environ, stream=stream).send(FIRST)
    assert "FAIL  shop 1.4.2" in summary.read_text()
    assert "::error" in stream.getvalue()


def test_an_answer_that_is_no_list_of_comments_is_an_error(
    api: str, httpserver: HTTPServer, github: Github
) -> None:
    for body in ("<html>", '{"id": 1}', '[{"body": "x"}]', "[1]"):
        github.refusal = type(said(200, ""))(body, 200)
        with pytest.raises(SinkError, match="not with a list of comments"):
            sink(api, what=("comment",)).send(FIRST)


# --- the job ------------------------------------------------------------------------------------


def test_in_a_job_everything_is_known_but_the_token(
    api: str, github: Github, tmp_path: Path
) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 7, "head": {"sha": SHA}}}))
    environ = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": api,
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_REF": "refs/pull/7/merge",
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_SHA": "b" * 40,  # a merge that nobody sees
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }
    receipt = GithubSink(token=TOKEN, environ=environ, stream=io.StringIO()).send(FIRST)
    assert receipt.detail == "status, comment, summary, annotations"
    assert f"POST /api/v3/repos/{REPOSITORY}/statuses/{SHA}" in github.asked
    assert f"POST /api/v3/repos/{REPOSITORY}/issues/7/comments" in github.asked


@pytest.mark.slow
def test_a_check_in_a_job_tells_github_what_it_prints(
    api: str, github: Github, tmp_path: Path
) -> None:
    sample = (ROOT / "sample_data" / "credential" / "checklist.yaml").read_text(encoding="utf-8")
    told = re.sub(r"path: (\w+\.csv)", rf"path: {ROOT}/sample_data/credential/\1", sample)
    told = told.replace("sinks: []", 'sinks:\n  - {type: github, token: "${GITHUB_TOKEN}"}')
    (tmp_path / "checklist.yaml").write_text(told, encoding="utf-8")
    job = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": api,
        "GITHUB_REF": "refs/pull/7/merge",
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_SHA": SHA,
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "GITHUB_TOKEN": TOKEN,
    }
    line = [
        sys.executable,
        "-m",
        "anomaly",
        "check",
        "checklist.yaml",
        "--released-at",
        "2025-06-03T09:00Z",
        "--finished-at",
        "2025-06-03T09:10Z",
    ]

    done = subprocess.run(
        line, capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, **job}
    )

    assert done.returncode == 1, done.stderr
    answer = done.stdout.splitlines()[0].removeprefix("FAIL  ").partition(";")[0]
    first = next(line for line in done.stdout.splitlines() if line.startswith("::error"))
    assert read(first)[2] == answer
    assert [status["state"] for status in github.statuses] == ["failure"]
    assert (
        github.comments[0]["body"]
        == (tmp_path / "summary.md").read_text(encoding="utf-8").partition("<!-- anomaly:/")[0]
    )
    assert TOKEN not in done.stdout + done.stderr + github.comments[0]["body"]


@pytest.mark.parametrize(
    ("environ", "possible"),
    [
        ({"GITHUB_SHA": SHA, "GITHUB_REPOSITORY": REPOSITORY}, "status"),
        ({"GITHUB_ACTIONS": "true"}, "annotations"),
        ({"GITHUB_STEP_SUMMARY": "summary.md", "GITHUB_REF": "refs/heads/main"}, "summary"),
    ],
)
def test_by_default_whatever_is_possible_is_told(environ: dict[str, str], possible: str) -> None:
    made = sink(environ=environ, repository=None, sha=None, pull_request=None)
    assert vars(made)["_what"] == (possible,)


def test_where_nothing_is_possible_it_says_so() -> None:
    with pytest.raises(SinkError, match="nothing to write to: this is not a job of GitHub Actions"):
        GithubSink(environ={}).send(FIRST)


def test_the_summary_keeps_what_others_wrote_and_replaces_our_section(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_bytes(b"# Deploy\n\xff\n")
    made = sink(environ={"GITHUB_STEP_SUMMARY": str(path)}, what=("summary",))
    made.send(FIRST)
    with path.open("ab") as file:
        file.write(b"# Afterwards\n")
    made.send(replace(FIRST, key="77"))
    made.send(RESOLVED)
    text = path.read_bytes()
    assert text.startswith(b"# Deploy\n\xff\n<!-- anomaly:3f2a91c0d4e5 -->\n### RESOLVED  shop")
    assert text.count(b"### ") == 2
    assert text.index(b"# Afterwards") < text.index(b"<!-- anomaly:77 -->")


def test_a_section_that_was_cut_is_replaced_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n<!-- anomaly:k -->\nhalf a sec")
    replace_section(path, "k", "whole\n")
    assert path.read_text() == "before\n<!-- anomaly:k -->\nwhole\n<!-- anomaly:/k -->\n"


def test_a_summary_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="Is a directory"):
        sink(environ={"GITHUB_STEP_SUMMARY": str(tmp_path)}, what=("summary",)).send(FIRST)


# --- annotations --------------------------------------------------------------------------------


def read(line: str) -> tuple[str, str, str]:
    """Level, title and text of a workflow command, as the runner reads it."""
    found = COMMAND.fullmatch(line)
    assert found is not None, line
    texts = (found["title"].replace("%3A", ":").replace("%2C", ","), found["text"])
    return found["level"], *(
        text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%") for text in texts
    )  # type: ignore[return-value]


def test_every_kpi_that_fails_is_an_error() -> None:
    lines = [read(line) for line in commands(FIRST)]
    assert lines[0] == (
        "error",
        "FAIL  shop 1.4.2 in production: checkout errors (country=DE)",
        finding_line(reports.REGRESSED, FIRST.report.release),
    )
    assert [level for level, _, _ in lines] == ["error"] * 3


def test_github_shows_ten_annotations_of_a_step() -> None:
    many = [replace(reports.REGRESSED, kpi=f"kpi {number}") for number in range(12)]
    assert len([*commands(told(reports.report(ReleaseVerdict.FAIL, *many)))]) == 10


@pytest.mark.parametrize(
    ("message", "level", "headline"),
    [
        (RESOLVED, "notice", "RESOLVED  shop 1.4.2 in production"),
        (told(reports.passing()), "notice", "PASS  shop 1.4.2 in production"),
        (told(reports.dead_source()), "warning", "ERROR  shop 1.4.2 in production"),
        (replace(FIRST, action=Action.TRIAL), "notice", "TRIAL  shop 1.4.2 in production"),
    ],
)
def test_anything_else_is_one_line_that_says_how_it_stands(
    message: Message, level: str, headline: str
) -> None:
    assert [read(line)[:2] for line in commands(message)] == [(level, headline)]


def test_a_look_without_news_and_a_second_attempt_are_not_annotated() -> None:
    stream = io.StringIO()
    made = sink(stream=stream, what=("annotations",))
    made.send(FIRST)
    printed = stream.getvalue()
    made.send(FIRST)
    made.send(replace(FIRST, why=NotifyReason.ALREADY_TOLD))
    made.send(
        replace(FIRST, report=reports.early(), action=Action.INFORM, why=NotifyReason.NOTHING_NEW)
    )
    assert stream.getvalue() == printed
    made.send(RESOLVED)
    assert stream.getvalue().startswith(printed + "::notice")


@pytest.mark.slow
@settings(max_examples=100)
@given(st.text(st.sampled_from("%:,\r\n=;[]25ADC0 ") | st.characters(), max_size=40))
def test_no_text_ends_a_command_or_begins_another(text: str) -> None:
    for action in (Action.FIRE, Action.INFORM):
        message = Message(KEY, reports.hostile(text), action)
        assert all(read(line)[2].strip() for line in commands(message))


def test_what_a_command_says_is_what_was_meant() -> None:
    finding = replace(reports.REGRESSED, kpi="50 %: a, b %0A")
    (line,) = commands(told(reports.report(ReleaseVerdict.FAIL, finding)))
    assert read(line)[1].endswith("50 %: a, b %0A (country=DE)")
    assert "%2525" not in line


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"repository": "shop"}, "repository is 'shop'; give owner/name"),
        ({"repository": "acme/.."}, "give owner/name"),
        ({"repository": "acme/shop/../../x"}, "give owner/name"),
        ({"sha": "main"}, "sha is 'main'; give all 40 digits"),
        ({"pull_request": 0}, "pull_request is '0'; give the number"),
        ({"pull_request": "7/../8"}, "give the number of a pull request"),
        ({"token": "a b"}, "token has a space"),
        ({"api": "ftp://x"}, "api starts with ftp; use http or https"),
        ({"api": "https://u@x/"}, "api must be only an address"),
        (
            {"what": ("state",)},
            r"what contains 'state'; use one of status, .* \(did you mean status\?\)",
        ),
        ({"what": ("status",), "token": None}, "what contains status, which needs token"),
        (
            {"what": ("comment",), "pull_request": None},
            "what contains comment, which needs pull_request",
        ),
        ({"what": ("summary",)}, "which needs the variable GITHUB_STEP_SUMMARY"),
    ],
)
def test_settings_that_can_not_be_used_are_refused(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        sink(**wrong)


def test_a_checklist_may_name_the_pull_request_as_a_number_or_by_a_variable() -> None:
    for number in (7, "7"):
        settings = {
            "token": TOKEN,
            "repository": REPOSITORY,
            "sha": SHA,
            "pull_request": number,
            "what": ["status", "comment"],
        }
        assert registry.problems(registry.Plugin("github", settings), registry.SINKS) == []
