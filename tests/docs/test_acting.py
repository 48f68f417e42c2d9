"""The hooks of the page: each is run, by programs and a server that note what they are asked."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from anomaly.checklist.checklist import load
from anomaly.contracts import Action, Message
from anomaly.watch.look import Receiver, receivers_of
from tests.support import reports
from tests.support.loopback import Loopback, answer
from tests.support.places import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1"])]

CHECKLIST = """\
service: shop
sources: {data: {type: files, path: shop.csv}}
kpis: [{name: orders, query: orders}]
"""
PAGE = (ROOT / "docs" / "acting.md").read_text(encoding="utf-8")
ROLLOUT, FLAG, DEPLOYMENT = re.findall(r"```yaml\n(on:.*?)```", PAGE, re.DOTALL)
RELEASE = replace(
    reports.failing().release, version="v2 'x'; touch pwned", environment="production"
)
MESSAGE = Message(
    "k1", replace(reports.failing(), release=RELEASE), Action.FIRE, link="https://reports/1"
)


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`kubectl` and `gh`, which note their words; `gh` knows one deployment."""
    for name in ("kubectl", "gh"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\nprintf \'<%s>\' "$0" "$@" >> {tmp_path}/asked\necho 71\n')
        program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.chdir(tmp_path)


def hooks(text: str) -> dict[str, Receiver]:
    checklist = load(
        "checklist.yaml", text=(CHECKLIST + text).encode(), environ={"LAUNCHDARKLY_TOKEN": "api-1"}
    )
    return {each.name: each for each in receivers_of(checklist)}


def asked(folder: Path) -> list[str]:
    text = (folder / "asked").read_text(encoding="utf-8").replace(f"{folder}/", "")
    return re.findall(r"<(.*?)>", text, re.DOTALL)


def test_a_rollout_is_aborted_or_promoted(tmp_path: Path) -> None:
    named = hooks(ROLLOUT)
    assert set(named) == {"on fire", "on pass"}
    named["on fire"].sink.send(MESSAGE)
    named["on pass"].sink.send(MESSAGE)
    words = "argo rollouts abort shop -n production"
    promoted = "argo rollouts promote shop --full -n production"
    assert asked(tmp_path) == ["kubectl", *words.split(), "kubectl", *promoted.split()]


def test_a_flag_is_switched_off() -> None:
    with Loopback([answer(200)]) as server:
        text = FLAG.replace("https://app.launchdarkly.com", server.origin)
        hooks(text)["on fire"].sink.send(MESSAGE)
    (request,) = server.requests
    assert request.line.startswith("PATCH /api/v2/flags/shop/v2%20%27x%27%3B%20touch%20pwned HTTP")
    assert request.headers["authorization"] == "api-1"
    assert request.headers["content-type"].endswith("domain-model=launchdarkly.semanticpatch")
    assert json.loads(request.body) == {
        "environmentKey": "production",
        "comment": "https://reports/1",
        "instructions": [{"kind": "turnFlagOff"}],
    }


def test_a_deployment_is_marked_as_failed(tmp_path: Path) -> None:
    hooks(DEPLOYMENT)["on fire"].sink.send(MESSAGE)
    first, second = "".join(f" {each}" for each in asked(tmp_path)).split(" gh ")[1:]
    assert first == (
        "api repos/acme/shop/deployments?ref=v2 'x'; touch pwned&environment=production "
        "--jq .[0].id"
    )
    assert second == (
        "api repos/acme/shop/deployments/71/statuses -f state=failure -f log_url=https://reports/1"
    )
    assert not (tmp_path / "pwned").exists()
