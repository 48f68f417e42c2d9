"""The examples of docs/ci.md: YAML that CI systems can read, commands and options that exist, sinks
that can be made."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from anomaly.checklist import checklist
from anomaly.cli.app import app
from anomaly.cli.exit_codes import ExitCode
from tests.docs.test_docs import Block, blocks, place

YAML = [block for block in blocks("yaml") if block.page.name == "ci.md"]
SHELL = [block for block in blocks("sh") if block.page.name == "ci.md"]
CHECKLIST = YAML[0]
SCRIPTS = frozenset({"run", "script"})  # what GitHub and GitLab call them
EXPRESSION = re.compile(r"\$\{\{ [a-z_.]+[A-Z_]* \}\}")


def scripts(content: Any) -> Iterator[str]:
    """The lines of shell in a pipeline."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key in SCRIPTS:
                yield from [value] if isinstance(value, str) else value
            else:
                yield from scripts(value)
    elif isinstance(content, list):
        for value in content:
            yield from scripts(value)


def of_anomaly(shell: str) -> Iterator[list[str]]:
    for line in shell.splitlines():
        if line.startswith("anomaly "):
            yield shlex.split(line.partition(" || ")[0])[1:]


def parameters_of(words: list[str]) -> Sequence[Any]:
    """The parameters of the command that is called."""
    command: Any = typer.main.get_group(app)
    for word in words:
        if hasattr(command, "commands"):
            command = command.commands[word]
    return list(command.params)


LINES = [line for block in YAML for line in scripts(yaml.safe_load(block.body))] + [
    block.body for block in SHELL
]
CALLS = [words for line in LINES for words in of_anomaly(line)]


def test_the_examples_call_what_they_are_about() -> None:
    assert {words[0] for words in CALLS} == {"validate", "watch", "check", "merge", "release"}


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_every_option_of_an_example_exists_and_every_one_that_is_needed_is_given(
    words: list[str],
) -> None:
    options = [
        parameter for parameter in parameters_of(words) if parameter.param_type_name == "option"
    ]
    given = {word for word in words if word.startswith("--")}
    assert given <= {name for option in options for name in option.opts}
    assert all(given & set(option.opts) for option in options if option.required)


@pytest.mark.parametrize("block", YAML[1:], ids=place)
def test_a_pipeline_has_jobs_with_scripts(block: Block) -> None:
    pipeline = yaml.safe_load(block.body)
    assert isinstance(pipeline, dict)
    assert any(of_anomaly(line) for line in scripts(pipeline))
    if "jobs" in pipeline:
        for job in pipeline["jobs"].values():
            assert all(EXPRESSION.fullmatch(value) for value in job.get("env", {}).values())
            assert all(
                set(step) <= {"name", "if", "uses", "with", "run", "env"}
                and ("run" in step) != ("uses" in step)
                for step in job["steps"]
            )
        assert pipeline["permissions"]["statuses"] == "write"


def test_what_gitlab_lets_pass_are_our_exit_codes_but_no_regression() -> None:
    (allowed,) = [
        job["allow_failure"]["exit_codes"]
        for job in yaml.safe_load(YAML[2].body).values()
        if "allow_failure" in job
    ]
    assert [ExitCode(code).name for code in allowed] == ["UNDECIDED", "NOT_TOLD"]


def test_what_is_kept_is_what_the_sinks_of_the_checklist_write() -> None:
    written = {sink["path"] for sink in yaml.safe_load(CHECKLIST.body)["sinks"]}
    verify = yaml.safe_load(YAML[2].body)["verify"]
    assert set(verify["artifacts"]["paths"]) == written
    assert verify["artifacts"]["reports"]["junit"] in written


def test_the_checklist_can_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_URL", "http://127.0.0.1:9090")
    monkeypatch.setenv("GITHUB_TOKEN", "ghs_0123456789abcdefghij")
    path = tmp_path / "checklist.yaml"
    path.write_text(
        CHECKLIST.body + '  - {type: github, token: "${GITHUB_TOKEN}"}\n', encoding="utf-8"
    )
    assert [sink.type for sink in checklist.load(path).sinks] == ["junit", "json", "github"]


@pytest.mark.parametrize("block", SHELL, ids=place)
def test_the_shell_can_be_read(block: Block) -> None:
    assert subprocess.run(["sh", "-n"], input=block.body, text=True, check=False).returncode == 0
