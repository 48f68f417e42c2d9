"""The recipes on the pages: each is read, what it asks is asked, and what it makes of the answers
is what its page promises."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
import yaml

from anomaly.cli.start import _place
from anomaly.history.store import Store
from anomaly.model import ReleaseVerdict
from anomaly.setup.source_proposal import PLACES
from tests.serve.test_command import served, shop  # noqa: F401  a fixture
from tests.support import kubernetes
from tests.support.asgi import Answer
from tests.support.places import ROOT
from tests.support.service import NOW, READ, RELEASE, Ask, looked

pytestmark = pytest.mark.slow

RECIPE = re.compile(r"<!-- recipe: (\S+) -->\n\n```\w+\n(.*?)```", re.DOTALL)
PAGES = (ROOT / "docs" / "serve.md", *(ROOT / "docs" / "gates").glob("*.md"))
RECIPES = {
    name: text for page in PAGES for name, text in RECIPE.findall(page.read_text(encoding="utf-8"))
}
VERSION = "2.3.1"
FILLED = {
    "{{args.service}}": "shop",
    "{{args.version}}": VERSION,
    "{{args.token}}": READ,
    "${{ vars.version }}": VERSION,
    "${{ secret('anomaly').releaseToken }}": RELEASE,
    "${{ secret('anomaly').readToken }}": READ,
    "${trigger['tag']}": VERSION,
    "READ_TOKEN": READ,
    "RELEASE_TOKEN": RELEASE,
    "$anomaly-release-token": RELEASE,
    "{{.app.metadata.name}}": "shop",
    "{{.app.status.sync.revision}}": VERSION,
    "{{.app.status.operationState.finishedAt}}": "2025-11-04T10:30:00Z",
}
ANSWERS = {  # what may be known, and what a careful gate makes of it
    (ReleaseVerdict.PASS, True): "go on",
    (ReleaseVerdict.FAIL, False): "stop",
    (ReleaseVerdict.FAIL, True): "stop",
    (ReleaseVerdict.INCONCLUSIVE, False): "not yet",
    (ReleaseVerdict.INCONCLUSIVE, True): "a person",
    (ReleaseVerdict.HOLD, False): "a person",
    (ReleaseVerdict.HOLD, True): "a person",
    (ReleaseVerdict.ERROR, False): "a person",
}


def filled(value: Any) -> Any:
    """The recipe with its placeholders filled in."""
    if isinstance(value, dict):
        return {key: filled(each) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each) for each in value]
    if isinstance(value, str):
        for placeholder, text in sorted(FILLED.items(), key=lambda pair: -len(pair[0])):
            value = value.replace(placeholder, text)
    return value


def recipe(name: str) -> Any:
    return filled(yaml.safe_load(RECIPES[name]))


def sent(asked: Ask, method: str, url: str, body: Any = b"", **headers: str) -> Answer:
    """Ask what a recipe asks; a user in the address becomes basic authentication, as in Go."""
    parts = urlsplit(url)
    if parts.username is not None:
        pair = f"{parts.username}:{parts.password}".encode()
        headers |= {"authorization": f"Basic {b64encode(pair).decode()}"}
    query = f"?{parts.query}" if parts.query else ""
    return asked(method, parts.path + query, body, **headers)


def holds(expression: str, **names: Any) -> bool:
    """An expression of expr-lang, as far as the recipes use it."""
    text = expression.replace("&&", " and ").replace("||", " or ")
    text = re.sub(r"!(?!=)", " not ", text)
    named = {
        name: json.loads(json.dumps(value), object_hook=_point) for name, value in names.items()
    }
    return bool(eval(text, {"__builtins__": {}}, named))  # noqa: S307  of our own pages


def _point(values: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(**values)


def known(store: Store, verdict: ReleaseVerdict, *, final: bool) -> None:
    looked(store, verdict, final=final, version=VERSION)


def test_every_recipe_is_tried_here() -> None:
    assert set(RECIPES) == {
        "argo_background.yaml",
        "argo_serve.yaml",
        "argo_wait.yaml",
        "argocd-notifications-cm.yaml",
        "flagger.yaml",
        "github_ask.sh",
        "github_workflow.yaml",
        "gitlab_include.yaml",
        "kargo.yaml",
        "spinnaker_ask.json",
        "spinnaker_tell.json",
    }


def test_the_pod_of_the_gate_is_one_that_kubernetes_takes() -> None:
    claim, service, deployment = yaml.safe_load_all(RECIPES["argo_serve.yaml"])
    for kind, content in (
        ("PodTemplateSpec", deployment["spec"]["template"]),
        ("PersistentVolumeClaim", claim),
    ):
        assert kubernetes.refusal(content, f"core.v1.{kind}") == ""
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    labels = pod["metadata"]["labels"]
    assert labels == deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    assert {each["name"] for each in container["volumeMounts"]} == {
        each["name"] for each in pod["spec"]["volumes"]
    }
    web = recipe("argo_wait.yaml")["spec"]["metrics"][0]["provider"]["web"]["url"]
    (port,) = service["spec"]["ports"]
    assert urlsplit(web).netloc == f"{service['metadata']['name']}.monitoring.svc:{port['port']}"
    asked = {
        each["name"]: each for each in yaml.safe_load(RECIPES["argo_wait.yaml"])["spec"]["args"]
    }
    read = next(each for each in container["env"] if each["name"] == "ANOMALY_READ_TOKEN")
    assert read["valueFrom"] == asked["token"]["valueFrom"]


def test_the_pod_of_the_gate_runs_its_command_line(loopback: None, shop: Path) -> None:
    *_, deployment = yaml.safe_load_all(RECIPES["argo_serve.yaml"])
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    places = {
        "/etc/anomaly": str(shop.parent),
        "/var/lib/anomaly/history.db": str(shop.parent / "kept.db"),
        "0.0.0.0:8080": "127.0.0.1:0",
    }
    words = [_placed(word, places) for word in container["args"]]
    tokens = {each["name"]: f"{each['name']}-0123" for each in container["env"]}
    with served(shop, *words, **tokens) as (_, address):
        answer = requests.get(
            f"{address}/gate?service=shop&ok=any",
            headers={"authorization": f"Bearer {tokens['ANOMALY_READ_TOKEN']}"},
            timeout=60,
        )
    assert (answer.status_code, answer.json()["verdict"]) == (200, "inconclusive")
    assert (shop.parent / "kept.db").exists()


def _placed(word: str, places: Mapping[str, str]) -> str:
    for there, here in places.items():
        word = word.replace(there, here)
    return word


@pytest.mark.parametrize("page", ["argo_rollouts", "github", "gitlab"])
def test_a_page_leads_from_what_is_used_to_a_first_checklist(page: str) -> None:
    text = (ROOT / "docs" / "gates" / f"{page}.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\w+) \| `anomaly init --source (\S+?)`", text, re.MULTILINE))
    assert [place.partition("=")[0] for place in rows.values()] == [
        "prometheus",
        "datadog",
        "cloudwatch",
    ]
    assert all(_place(place) for place in rows.values())
    signed_in = {*PLACES["datadog"].ways[0].values(), "PROMETHEUS_TOKEN"}
    assert all(f"`{name}`" in text for name in signed_in)


@pytest.mark.parametrize(("verdict", "final"), ANSWERS)
@pytest.mark.parametrize("name", ["argo_background.yaml", "argo_wait.yaml"])
def test_argo_rollouts_tells_a_failure_from_what_is_open(
    name: str, verdict: ReleaseVerdict, final: bool, locked: Ask, store: Store
) -> None:
    known(store, verdict, final=final)
    (metric,) = recipe(name)["spec"]["metrics"]
    web = metric["provider"]["web"]
    headers = {each["key"].lower(): each["value"] for each in web["headers"]}
    answer = sent(locked, "GET", web["url"], **headers)
    assert 200 <= answer.status < 300  # anything else is an error to the web metric
    assert web["jsonPath"] == "{$}"
    succeeds = holds(metric["successCondition"], result=answer.json)
    fails = holds(metric["failureCondition"], result=answer.json)
    waits = name == "argo_wait.yaml"
    assert {
        (True, False): "go on",
        (False, True): "stop",
        (False, False): "inconclusive",
    }[succeeds, fails] == {
        "go on": "go on",
        "stop": "stop",
        "not yet": "inconclusive" if waits else "go on",
        "a person": "inconclusive",
    }[ANSWERS[verdict, final]]


def test_argo_rollouts_waits_for_a_release_that_was_not_told_yet(locked: Ask) -> None:
    (metric,) = recipe("argo_background.yaml")["spec"]["metrics"]
    web = metric["provider"]["web"]
    answer = sent(locked, "GET", web["url"], authorization=f"Bearer {READ}")
    assert answer.status == 200
    assert not holds(metric["failureCondition"], result=answer.json)


@pytest.mark.parametrize(("verdict", "final"), ANSWERS)
def test_flagger_promotes_rolls_back_or_waits(
    verdict: ReleaseVerdict, final: bool, locked: Ask, store: Store
) -> None:
    known(store, verdict, final=final)
    hooks = {
        each["type"]: each["url"] for each in recipe("flagger.yaml")["spec"]["analysis"]["webhooks"]
    }
    payload = {
        "name": "shop",
        "namespace": "production",
        "phase": "Progressing",
        "checksum": "5c6b7",
    }
    body = json.dumps(payload).encode()
    goes_on, goes_back = (
        sent(locked, "POST", hooks[kind], body, content_type="application/json").status <= 202
        for kind in ("confirm-promotion", "rollback")
    )
    does = {(True, False): "go on", (False, True): "stop", (False, False): "wait"}
    assert does[goes_on, goes_back] == {"go on": "go on", "stop": "stop"}.get(
        ANSWERS[verdict, final], "wait"
    )


def test_flagger_tells_of_its_canary(locked: Ask, store: Store) -> None:
    hooks = {
        each["type"]: each["url"] for each in recipe("flagger.yaml")["spec"]["analysis"]["webhooks"]
    }
    stamp = str(int(NOW.timestamp() * 1000))
    payload = {"name": "shop", "namespace": "test", "phase": "Progressing", "checksum": "5c6b7d8f9"}
    body = json.dumps(payload | {"metadata": {"timestamp": stamp}}).encode()
    assert sent(locked, "POST", hooks["event"], body).status == 201
    assert store.releases()[0].release.environment == "production"


@pytest.mark.parametrize(("verdict", "final"), ANSWERS)
def test_kargo_goes_on_stops_or_asks_again(
    verdict: ReleaseVerdict, final: bool, locked: Ask, store: Store
) -> None:
    known(store, verdict, final=final)
    _, gate = recipe("kargo.yaml")["spec"]["steps"]
    config = gate["config"]
    query = "&".join(f"{each['name']}={quote(each['value'])}" for each in config["queryParams"])
    headers = {each["name"].lower(): each["value"] for each in config["headers"]}
    answer = sent(locked, "GET", f"{config['url']}?{query}", **headers)
    response = {"status": int(answer.status), "body": answer.json}
    succeeds = holds(config["successExpression"], response=response)
    fails = holds(config["failureExpression"], response=response)
    assert {(True, False): "go on", (False, True): "stop", (False, False): "not yet"}[
        succeeds, fails
    ] == {
        "a person": "stop" if final else "not yet",
    }.get(ANSWERS[verdict, final], ANSWERS[verdict, final])


def test_kargo_tells_of_the_release(locked: Ask, store: Store) -> None:
    tell, _ = recipe("kargo.yaml")["spec"]["steps"]
    config = tell["config"]
    body = re.sub(r"^\$\{\{ quote\((.*)\) \}\}\s*$", r"\1", config["body"], flags=re.DOTALL)
    body = body.replace("vars.version", f'"{VERSION}"')
    headers = {each["name"].lower().replace("-", "_"): each["value"] for each in config["headers"]}
    answer = sent(locked, config["method"], config["url"], body.encode(), **headers)
    assert holds(config["successExpression"], response={"status": int(answer.status)})
    assert store.releases()[0].release.version == VERSION


@pytest.mark.parametrize(("verdict", "final"), ANSWERS)
def test_spinnaker_succeeds_fails_or_asks_again(
    verdict: ReleaseVerdict, final: bool, locked: Ask, store: Store
) -> None:
    known(store, verdict, final=final)
    stage = recipe("spinnaker_ask.json")
    headers = {name.lower(): value for name, value in stage["customHeaders"].items()}
    first, then = (sent(locked, method, stage["url"], **headers) for method in ("POST", "GET"))
    assert (first.status, then.status) == (200, 200)  # else the stage fails
    assert stage["statusJsonPath"] == "$.verdict"
    status = then.json["verdict"]
    does = "go on" if status in stage["successStatuses"].split(",") else "not yet"
    does = "stop" if status in stage["terminalStatuses"].split(",") else does
    undecided = "stop" if verdict is ReleaseVerdict.ERROR else "not yet"
    assert does == {"a person": undecided}.get(ANSWERS[verdict, final], ANSWERS[verdict, final])


def test_spinnaker_and_argo_cd_tell_of_the_release(locked: Ask, store: Store) -> None:
    stage = recipe("spinnaker_tell.json")
    headers = {
        name.lower().replace("-", "_"): value for name, value in stage["customHeaders"].items()
    }
    assert sent(locked, stage["method"], stage["url"], stage["payload"], **headers).status == 201
    data = recipe("argocd-notifications-cm.yaml")["data"]
    hook = yaml.safe_load(data["service.webhook.anomaly"])
    template = yaml.safe_load(data["template.anomaly-finished"])["webhook"]["anomaly"]
    headers = {each["name"].lower().replace("-", "_"): each["value"] for each in hook["headers"]}
    body = template["body"].replace(VERSION, "2.3.0").encode()
    told = sent(locked, template["method"], hook["url"], body, **headers)
    assert (told.status, told.json["finished_at"]) == (201, "2025-11-04T10:30:00Z")
    (trigger,) = yaml.safe_load(data["trigger.on-deployed"])
    assert [f"template.{each}" in data for each in trigger["send"]] == [True]


# --- GitHub, GitLab, Jenkins: their schemas, and their shell ------------------------------------


def valid(kind: str, path: Path) -> None:
    """check-jsonschema has the schemas that GitHub and GitLab publish."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", kind, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_action_and_the_pipelines_are_valid(tmp_path: Path) -> None:
    valid("vendor.github-actions", ROOT / "action.yml")
    workflow = tmp_path / "deploy.yml"
    workflow.write_text(RECIPES["github_workflow.yaml"], encoding="utf-8")
    valid("vendor.github-workflows", workflow)
    spec, job = (ROOT / "templates" / "anomaly.yml").read_text(encoding="utf-8").split("---\n")
    pipeline = tmp_path / "component.yml"
    pipeline.write_text(job, encoding="utf-8")
    valid("vendor.gitlab-ci", pipeline)
    including = tmp_path / "including.yml"
    including.write_text(RECIPES["gitlab_include.yaml"], encoding="utf-8")
    valid("vendor.gitlab-ci", including)
    given = yaml.safe_load(RECIPES["gitlab_include.yaml"])["include"][0]["inputs"]
    inputs = yaml.safe_load(spec)["spec"]["inputs"]
    needed = {name for name, each in inputs.items() if "default" not in each}
    assert needed <= set(given) <= set(inputs)
    assert set(re.findall(r"inputs\.(\w+)", job)) == set(inputs)


def test_the_workflow_gives_the_action_what_it_takes() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    steps = yaml.safe_load(RECIPES["github_workflow.yaml"])["jobs"]["deploy"]["steps"]
    given = next(each["with"] for each in steps if "anomaly@" in each.get("uses", ""))
    assert set(given) <= set(action["inputs"])
    page = (ROOT / "docs" / "gates" / "github.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)) == {
        *action["inputs"],
        *action["outputs"],
    }


CODES = {0: "pass", 1: "fail", 3: "inconclusive", 4: "error", 5: "pass"}
STUB = """#!/bin/sh
printf '%s\\n' "$*" > "$0.words"
printf '%s' '{report}'
exit {code}
"""


def action_run(folder: Path, code: int, **inputs: str) -> tuple[int, dict[str, str], str, str]:
    """Run the step that judges as GitHub does: exit code, outputs, what it printed, and how anomaly
    was called."""
    stub = folder / "anomaly" / "bin" / "anomaly"
    stub.parent.mkdir(parents=True, exist_ok=True)
    verdict = CODES.get(code, "")
    report = {"verdict": verdict, "headline": f"{verdict.upper()}  errors"} if verdict else ""
    stub.write_text(STUB.format(report=report and json.dumps(report), code=code))
    stub.chmod(0o755)
    output = folder / "output"
    output.write_text("")
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    step = next(each for each in action["runs"]["steps"] if each.get("id") == "judge")
    given = {name: each.get("default", "") for name, each in action["inputs"].items()} | inputs
    env = {
        name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: given[match[1]], value)
        for name, value in step["env"].items()
    }
    env |= {"RUNNER_TEMP": str(folder), "GITHUB_OUTPUT": str(output), "PATH": os.environ["PATH"]}
    done = subprocess.run(  # the shell that GitHub runs
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    words = (folder / "anomaly" / "bin" / "anomaly.words").read_text()
    lines = output.read_text().splitlines()
    return done.returncode, dict(each.split("=", 1) for each in lines), done.stdout, words


@pytest.mark.parametrize(
    ("code", "undecided", "ends"),
    [
        (0, "warn", 0),
        (1, "warn", 1),
        (3, "warn", 0),
        (3, "fail", 3),
        (4, "warn", 4),
        (5, "warn", 0),
    ],
)
def test_the_action_says_the_verdict_and_fails_only_where_it_should(
    code: int, undecided: str, ends: int, tmp_path: Path
) -> None:
    inputs = {"checklist": "check list.yaml", "release": "$(id)", "undecided": undecided}
    ended, outputs, said, words = action_run(tmp_path, code, **inputs)
    assert ended == ends
    assert outputs["verdict"] == CODES[code]
    assert outputs["exit-code"] == str(code)
    assert ("::warning::" in said) is (code in (3, 5))
    assert words.startswith("check check list.yaml --output json --report ")
    assert "--release $(id)\n" in words  # as text
    assert "--released-at" not in words


def test_the_action_says_when_nothing_was_judged(tmp_path: Path) -> None:
    ended, outputs, said, _ = action_run(tmp_path, 2, checklist="none.yaml")
    assert (ended, outputs["verdict"]) == (2, "")
    assert said == "nothing was judged\n"


def shell_of_jenkins() -> str:
    page = (ROOT / "docs" / "gates" / "jenkins.md").read_text(encoding="utf-8")
    match = re.search(r"script: '''\n(.*?)'''", page, re.DOTALL)
    assert match is not None
    return match[1]


@pytest.mark.slow
def test_the_shell_that_asks_the_gate_waits_and_tells_the_verdict(
    address: str, store: Store, tmp_path: Path
) -> None:
    """One after the other, on one service: the release is undecided, then failed, then passed."""
    record = looked(store, ReleaseVerdict.INCONCLUSIVE, final=False, version=VERSION)
    env = {
        "PATH": os.environ["PATH"],
        "ANOMALY_URL": address,
        "VERSION": VERSION,
        "ANOMALY_READ_TOKEN": READ,
        "PAUSE": "0.1",
    }
    scripts = {"github": RECIPES["github_ask.sh"], "jenkins": shell_of_jenkins()}
    waiting = subprocess.Popen(
        ["sh", "-c", scripts["github"]], env=env, cwd=tmp_path, stdout=subprocess.PIPE
    )
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(1)
    look = 1
    codes: dict[str, dict[str, int]] = {"github": {}, "jenkins": {}}
    for verdict in (ReleaseVerdict.FAIL, ReleaseVerdict.ERROR, ReleaseVerdict.PASS):
        from tests.support import reports

        report = replace(reports.failing(), release=record.release, verdict=verdict, final=True)
        store.record(record.id, report, [], at=NOW, after=look)
        look += 1
        if verdict is ReleaseVerdict.FAIL:
            assert waiting.wait(30) != 0
            assert json.loads(waiting.communicate()[0])["verdict"] == "fail"
        for name, script in scripts.items():
            done = subprocess.run(["sh", "-c", script], env=env, cwd=tmp_path, check=False)
            codes[name][str(verdict)] = done.returncode
    assert codes == {
        "github": {"fail": 1, "error": 1, "pass": 0},
        "jenkins": {"fail": 1, "error": 3, "pass": 0},
    }
