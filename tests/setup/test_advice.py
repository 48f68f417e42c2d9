"""What validate warns of: valid, and yet probably not meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly.checklist.checklist import load
from anomaly.cli.ending import run
from anomaly.setup.advice import advice

HEAD = """\
service: shop
sources:
  prod: {type: prometheus, url: "http://127.0.0.1:9"}
kpis:
"""
FINE = "  - {name: orders, query: 'sum(increase(orders_total[$step]))'}\n"


def lines(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "checklist.yaml"
    path.write_text(text)
    return [each.removeprefix(f"{tmp_path}/") for each in advice(load(path))]


@pytest.mark.parametrize(
    ("kpi", "said"),
    [
        (
            "{name: x, query: requests_total}",
            "checklist.yaml:5: kpis[0].query reads the counter requests_total as it stands",
        ),
        (
            "{name: x, query: 'sum(increase(a_total[$step]))', denominator: b_total}",
            "kpis[0].denominator reads the counter b_total",
        ),
        ("{name: x, query: 'sum(rate(a_total[$__rate_interval]))'}", "has $__rate_interval, a var"),
        ("{name: x, query: 'sum(increase(a_total{i=~\"$i\"}[$step]))'}", "has $i, a variable of"),
        ("{name: x, query: 'sum(increase(a_total{i=~\"${i:regex}\"}[5m]))'}", "has ${i:regex}, a"),
        ("{name: x, query: 'sum(increase(a_total{i=\"[[i]]\"}[5m]))'}", "has [[i]], a variable of"),
        (
            "{name: x, query: 'sum by (pod) (increase(a_total[$step]))', by: [pod]}",
            "checklist.yaml:5: kpis[0].by has pod, which names what comes and goes",
        ),
    ],
)
def test_a_query_that_is_not_meant_so_is_said(tmp_path: Path, kpi: str, said: str) -> None:
    (line,) = lines(tmp_path, f"{HEAD}  - {kpi}\n")

    assert said in line


def test_what_is_meant_is_not_warned_of(tmp_path: Path) -> None:
    fine = (
        "  - {name: a, query: 'sum by (country) (increase(a_total{x=~\"a$|b\"}[${step}]))', "
        "by: [country]}\n"
        '  - {name: b, query: \'sum by (c) (label_replace(up, "c", "$1", "d", "(.*)"))\', '
        "by: [c]}\n"
    )

    assert lines(tmp_path, HEAD + fine + FINE) == []


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    text = (
        "service: shop\nsources:\n  data: {type: files, path: a.csv}\nkpis: [{name: a, query: a}]\n"
    )

    (line,) = lines(tmp_path, text)
    (tmp_path / "a.csv").write_text("time,a\n")

    assert line.startswith("checklist.yaml:3: sources.data.path is ")
    assert line.endswith("a.csv, which does not exist")
    assert lines(tmp_path, text) == []


@pytest.mark.parametrize(
    ("windows", "said"),
    [
        ("{watch: 15m, step: 5m}", "windows.watch is 3 steps long: only large changes are found"),
        ("{watch: 1d, step: 1d, history: 60d}", "windows.watch is 1 step long"),
    ],
)
def test_a_watch_of_few_steps_is_said(tmp_path: Path, windows: str, said: str) -> None:
    (line,) = lines(tmp_path, f"{HEAD}{FINE}windows: {windows}\n")

    assert said in line
    assert lines(tmp_path, f"{HEAD}{FINE}windows: {{watch: 20m, step: 5m}}\n") == []


@pytest.mark.parametrize(
    "job", ["releases: [{type: ci}]", "rhythm: {usual: 1h, peak: 5m, climb: 1h, fall: 6h}"]
)
def test_a_scheduled_job_that_tells_nobody_is_said(tmp_path: Path, job: str) -> None:
    (line,) = lines(tmp_path, f"{HEAD}{FINE}{job}\nsinks: [{{type: console}}]\n")

    assert "sinks has nobody who is told" in line
    assert lines(tmp_path, f"{HEAD}{FINE}{job}\nsinks: [{{type: html, path: a.html}}]\n") == []


def test_warnings_stand_under_the_answer_and_change_no_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "checklist.yaml"
    path.write_text(f"{HEAD}  - {{name: x, query: requests_total}}\n")

    assert run(["validate", str(path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("ok: ")
    assert said[1].startswith(f"warning: {path}:5: kpis[0].query reads the counter")
    assert run(["validate", str(path), "--until", "-1h"]) == 2
