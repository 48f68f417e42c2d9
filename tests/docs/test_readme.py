"""The README keeps its word: shown output is the tool's own, its five minutes and its pipeline run,
the tests it names exist.

Output under `<!-- output of: COMMAND -->` is made by the command at 80 columns.
`ANOMALY_GOLDEN=rewrite pytest -k golden` (`make golden`) writes it anew on every page.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import yaml

from anomaly.checklist.checklist import load
from tests.docs.test_docs import PAGES, blocks, environ, place
from tests.support.places import ROOT
from tests.support.servers import Samples, Server, prometheus

README = ROOT / "README.md"
OUTPUT = re.compile(
    r"(?P<head><!-- output of: (?P<command>[^\n]+) -->\n```text\n)(?P<shown>.*?)(?P<tail>```\n)",
    re.DOTALL,
)
NAMED_FILE = re.compile(
    r"`((?:anomaly|tests|benchmarks|docs|notebooks|sample_data)/(?:[\w./]*(?:/|\.\w+))?)`"
)  # a folder ends with /
RUN_MODULE = re.compile(r"`python -m ((?:anomaly|benchmarks|docs)\b[\w.]*\w)")
NAMED_CONSTANT = re.compile(r"`([A-Z][A-Z_]{3,})`")
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Shown:
    """Output that a page shows."""

    page: Path
    line: int
    command: str


def shown() -> Iterator[Shown]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in OUTPUT.finditer(text):
            yield Shown(page, text.count("\n", 0, match.start()) + 1, match["command"])


def run(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    line = ["/bin/bash", "-c", command]
    return subprocess.run(
        line,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=folder,
        env=environ() | {"COLUMNS": "80"} | variables,
    )


def block(mark: str, kind: str) -> str:
    """The body of the README's block of this kind that stands under the comment `mark`."""
    text = README.read_text(encoding="utf-8")
    found = re.search(rf"<!-- {re.escape(mark)} -->\n```{kind}\n(.*?)```", text, re.DOTALL)
    assert found, f"no block {mark}"
    return found[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "output", [pytest.param(each, id=f"{place(each.page)}:{each.line}") for each in shown()]
)
def test_golden_output_on_the_pages(output: Shown, tmp_path: Path) -> None:
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    done = run(output.command, tmp_path)
    assert not done.stderr
    text = output.page.read_text(encoding="utf-8")
    matches = [match for match in OUTPUT.finditer(text) if match["command"] == output.command]

    if os.environ.get("ANOMALY_GOLDEN") == "rewrite":
        for match in reversed(matches):
            text = text[: match.start("shown")] + done.stdout + text[match.end("shown") :]
        output.page.write_text(text, encoding="utf-8")
        return
    assert {match["shown"] for match in matches} == {done.stdout}


def test_the_files_that_are_named_exist() -> None:
    named = {
        name for page in PAGES for name in NAMED_FILE.findall(page.read_text(encoding="utf-8"))
    }

    assert "tests/whole/test_sample_promise.py" in named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_modules_that_are_run_exist() -> None:
    modules = {
        name for page in PAGES for name in RUN_MODULE.findall(page.read_text(encoding="utf-8"))
    }

    assert "benchmarks.killed" in modules
    assert [name for name in sorted(modules) if find_spec(name) is None] == []


@pytest.mark.slow
def test_the_constants_that_are_named_exist() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "anomaly").rglob("*.py"))
    pages = [ROOT / "docs" / f"{name}.md" for name in ("architecture", "method", "accuracy")]
    constants = {
        (page.stem, name)
        for page in pages
        for name in NAMED_CONSTANT.findall(page.read_text(encoding="utf-8"))
    }

    assert ("method", "PLACEBOS") in constants
    assert [
        (page, name)
        for page, name in sorted(constants)
        if not re.search(rf"^(?:\w+, )*{name}(?:, \w+)* =", code, re.MULTILINE)
    ] == []


def history(now: datetime) -> Samples:
    """Two weeks of counters by the minute: 1 % of requests fail, since two hours 4 %."""
    rng = np.random.default_rng(7)
    minutes = 14 * 24 * 60
    begin = now - minutes * MINUTE
    released = minutes - 120
    requests = rng.poisson(300 * (1 + 0.3 * np.sin(np.arange(minutes) * 2 * np.pi / 1440)))
    errors = rng.binomial(requests, np.where(np.arange(minutes) < released, 0.01, 0.04))
    stamps = [begin.timestamp() + 60 * minute for minute in range(minutes)]
    return {
        "my_requests_total": list(
            zip(stamps, requests.cumsum().astype(float).tolist(), strict=True)
        ),
        "my_errors_total": list(zip(stamps, errors.cumsum().astype(float).tolist(), strict=True)),
    }


@pytest.fixture
def server(loopback: None, tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "server").mkdir()
    with prometheus(tmp_path / "server", history(datetime.now(UTC))) as running:
        yield running


def edited(text: str, diff: str) -> str:
    """`text` with the lines of `diff` taken out and put in."""
    at = 0
    for line in diff.splitlines():
        sign, body = line[0], line[1:] + "\n"
        if sign == "-":
            assert body in text, f"anomaly init writes no line {body!r}"
            at = text.index(body)
            text = text[:at] + text[at + len(body) :]
        else:
            text = text[:at] + body + text[at:]
            at += len(body)
    return text


def with_first_kpi_alone(text: str) -> str:
    kpis, after = text.split("\n# Who is notified", 1)
    return f"{'  - name: '.join(kpis.split('  - name: ')[:2])}\n# Who is notified{after}"


@pytest.mark.slow
def test_the_five_minutes_lead_to_a_judged_release(server: Server, tmp_path: Path) -> None:
    assert run("anomaly init", tmp_path).returncode == 0
    checklist = tmp_path / "checklist.yaml"
    text = edited(checklist.read_text(encoding="utf-8"), block("five minutes: edit", "diff"))
    checklist.write_text(with_first_kpi_alone(text), encoding="utf-8")

    commands = block("five minutes: run", "sh").splitlines()
    validate, check = (run(command, tmp_path, PROMETHEUS_URL=server.url) for command in commands)

    assert validate.returncode == 0, validate.stdout + validate.stderr
    assert check.returncode == 1, check.stdout + check.stderr
    assert check.stdout.startswith("FAIL  checkout errors +")


@pytest.mark.parametrize(("status", "job"), [(0, 0), (1, 1), (2, 2), (3, 0), (4, 4), (5, 0)])
def test_the_pipeline_acts_on_every_exit_code(status: int, job: int, tmp_path: Path) -> None:
    (step,) = yaml.safe_load(block("pipeline", "yaml"))
    for name, script in {"anomaly": f'echo "$@" > asked\nexit {status}', "sleep": "exit 0"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    done = run(
        f"set -e\n{step['run']}",
        tmp_path,
        PATH=f"{tmp_path}:{os.environ['PATH']}",
        GITHUB_SHA="4f2a",
    )

    assert done.returncode == job, done.stderr
    assert re.fullmatch(
        r"check checklist\.yaml --released-at 20\S+Z --release 4f2a --until now\n",
        (tmp_path / "asked").read_text(),
    )


@pytest.mark.parametrize(
    "example",
    [
        each.body
        for each in blocks("yaml")
        if each.page.parent.name == "sinks" and "sinks" in yaml.safe_load(each.body)
    ],
)
def test_the_examples_of_sinks_load(example: str, tmp_path: Path) -> None:
    path = tmp_path / "checklist.yaml"
    path.write_text(
        "service: shop\nsources: {shop: {type: files, path: shop.csv}}\n"
        f"{example}kpis: [{{name: orders, query: orders}}]\n",
        encoding="utf-8",
    )

    checklist = load(
        path, environ=dict.fromkeys(re.findall(r"\$\{(\w+)\}", example), "https://example.com/hook")
    )

    assert len(checklist.sinks) == len(yaml.safe_load(example).get("sinks", ()))
