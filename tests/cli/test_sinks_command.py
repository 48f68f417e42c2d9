"""`anomaly sinks test`: a trial message reaches every sink, says that it is one, and a sink that is
dead is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anomaly.checklist.checklist import load
from anomaly.cli.ending import run
from anomaly.cli.sinks import made_up
from anomaly.contracts import Action, Message
from anomaly.reporting.notice import notice
from tests.support.loopback import Loopback, answer
from tests.support.operation import RELEASED

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def checklist(folder: Path, sinks: str) -> Path:
    path = folder / "checklist.yaml"
    path.write_text(
        (
            f"service: shop\nsources: {{shop: {{type: files, path: shop.csv}}}}\nkpis: [{{name: "
            f"orders, query: orders}}]\nsinks: {sinks}\n"
        ),
        encoding="utf-8",
    )
    return path


def test_each_sink_is_told_and_answers_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with Loopback([answer(403, "no")]) as server:
        monkeypatch.setenv("HOOK", f"{server.origin}/hook-token-1234")
        path = checklist(
            tmp_path,
            '[{type: webhook, url: "${HOOK}"}, {type: jsonl, path: told.jsonl}, {type: console}]',
        )

        assert run(["sinks", "test", str(path)]) == 5

    out, _ = capsys.readouterr()
    assert out.splitlines() == [
        f"webhook not delivered: {server.origin} answered 403: no",
        f"jsonl delivered: {tmp_path / 'told.jsonl'}",
    ]
    sent, kept = (
        json.loads(server.requests[0].body),
        json.loads((tmp_path / "told.jsonl").read_text()),
    )
    assert (
        sent["message"]["action"],
        sent["release"]["version"],
        sent["verdict"],
        sent["findings"],
    ) == (
        "trial",
        "trial",
        "inconclusive",
        [],
    )
    assert "nothing was judged" in kept["made"]["trial"]
    assert sent["key"] == kept["key"]


def test_people_are_told_that_it_is_a_trial(tmp_path: Path) -> None:
    report = made_up(load(checklist(tmp_path, "[]")), RELEASED)
    said = notice(Message("k", report, Action.TRIAL))
    assert said.title == "TRIAL  shop trial"
    assert said.facts == ("This is a test message; nothing happened.",)


def test_only_those_that_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = checklist(
        tmp_path,
        (
            "[{type: json, path: /nonexistent/report.json}, {type: jsonl, path: a.jsonl}, {type: "
            "jsonl, path: b.jsonl}]"
        ),
    )
    assert run(["sinks", "test", str(path), "--only", "jsonl"]) == 0
    assert (
        capsys.readouterr().out
        == f"jsonl delivered: {tmp_path / 'a.jsonl'}\njsonl 2 delivered: {tmp_path / 'b.jsonl'}\n"
    )


@pytest.mark.parametrize(
    ("sinks", "words", "said"),
    [
        ("[]", (), "no sink except the terminal"),
        ("[{type: console}]", (), "no sink except the terminal"),
        (
            "[{type: jsonl, path: a.jsonl}]",
            ("--only", "json"),
            "--only json: the checklist has no such sink; use one of jsonl",
        ),
    ],
)
def test_nobody_to_tell_is_wrong_usage(
    sinks: str,
    words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["sinks", "test", str(checklist(tmp_path, sinks)), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "a.jsonl").exists()
