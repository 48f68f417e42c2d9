"""The image that `Containerfile` describes: pinned, without secrets, run as no one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from distribution import artifacts
from distribution.readiness import ROOT

TEXT = (ROOT / "Containerfile").read_text(encoding="utf-8")
PINNED = re.compile(r"python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}( AS \w+)?")
HADOLINT = str(Path(sys.executable).parent / "hadolint")
HEALTHY = ROOT / "sample_data" / "healthy" / "checklist.yaml"


def instructions(keyword: str) -> list[str]:
    """What follows `keyword` in each instruction of that name, from first to last."""
    lines = [line for line in TEXT.splitlines() if not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", "").splitlines()
    return [line.removeprefix(keyword).strip() for line in whole if line.startswith(f"{keyword} ")]


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    """The pod that `anomaly install kubernetes` describes."""
    command = [sys.executable, "-m", "anomaly", "install", "kubernetes", str(HEALTHY)]
    command += ["--image", "registry.example/anomaly:1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    objects = {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}
    found: dict[str, Any] = objects["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


def test_every_stage_begins_with_a_pinned_image() -> None:
    stages = instructions("FROM")
    assert len(stages) == 2
    assert [stage for stage in stages if not PINNED.fullmatch(stage)] == []


def test_nothing_is_installed_unchecked() -> None:
    run, *others = instructions("RUN")
    assert instructions("ADD") == []
    assert [other for other in others if not other.startswith("install --directory")] == []
    assert run.startswith("sha256sum --check --strict")
    assert "--require-hashes" in run
    assert "--no-index --no-deps ./*.whl" in run


def test_no_secret_can_be_passed_in() -> None:
    names = re.findall(r"(\w+)=", " ".join(instructions("ENV")))
    assert instructions("ARG") == []
    assert set(names) == {"PATH", "HOME", "PYTHONDONTWRITEBYTECODE"}


@pytest.mark.slow
def test_it_runs_as_the_no_one_that_the_manifests_name(pod: dict[str, Any]) -> None:
    (user,) = instructions("USER")
    context = pod["securityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert int(user.partition(":")[0]) > 0


@pytest.mark.slow
def test_its_user_may_write_a_history_where_the_manifests_keep_it(pod: dict[str, Any]) -> None:
    (mount,) = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "history"]
    user, group = instructions("USER")[0].split(":")
    made = f"install --directory --owner {user} --group {group} --mode 0700 {mount['mountPath']}"
    assert instructions("RUN")[-1] == made


@pytest.mark.slow
def test_the_manifests_start_it_as_it_starts_itself(pod: dict[str, Any]) -> None:
    (entrypoint,) = instructions("ENTRYPOINT")
    (program,) = json.loads(entrypoint)  # a list: no shell stands between
    (container,) = pod["containers"]
    values = {each["name"]: each.get("value") for each in container["env"]}
    assert container["command"][0] == program == "anomaly"
    assert f"HOME={values['HOME']}" in instructions("ENV")[0].split()


def test_only_the_files_of_a_release_reach_the_build() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {word for word in instructions("COPY")[0].split() if word != "./"}
    assert "*" in ignored
    assert allowed == copied
    assert {f"dist/{artifacts.REQUIREMENTS}", f"dist/{artifacts.HASHES}"} < copied


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("FROM python:latest", "DL3007"),
        ("USER root", "DL3002"),
        ("RUN pip install requests", "DL3013"),
        ("ENTRYPOINT anomaly", "DL3025"),
    ],
)
def test_the_linter_refuses_what_is_unsafe(line: str, rule: str) -> None:
    command = [HADOLINT, "-"]
    unsafe = f"{TEXT}{line}\n"
    done = subprocess.run(command, input=unsafe, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert rule in done.stdout
