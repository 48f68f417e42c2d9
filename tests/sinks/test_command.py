"""A command that is run: what it is told, and how its end is told."""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from anomaly.contracts import Action, Message
from anomaly.errors import RetryableSinkError, SinkError, UsageError
from anomaly.sinks.command import CommandSink
from tests.support import reports

MESSAGE = Message("k1", reports.failing(), Action.FIRE, id="k1-1", link="https://reports/1")


def test_it_has_the_release_in_its_environment_and_that_of_this_process() -> None:
    names = [
        "SERVICE",
        "ENVIRONMENT",
        "VERSION",
        "RELEASE",
        "VERDICT",
        "ACTION",
        "LINK",
        "IDEMPOTENCY_KEY",
    ]
    script = " ".join(f"$ANOMALY_{name}" for name in names)
    sink = CommandSink(
        run=("sh", "-c", f"echo {script} $MORE"), environ={**os.environ, "MORE": "m"}
    )

    receipt = sink.send(MESSAGE)

    release = MESSAGE.report.release
    told = f"{release.service} {release.environment} {release.version} k1 fail fire"
    assert receipt.detail == f"sh ended with 0: {told} https://reports/1 k1-1 m"


def test_its_words_are_no_shell_script() -> None:
    assert CommandSink(run=("echo", "$HOME; `id`")).send(MESSAGE).detail.endswith("$HOME; `id`")


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        (("no-such-command",), "no-such-command is not installed, or not on PATH"),
        (("/etc",), "/etc can't be run: Permission denied"),
        (("false",), "false ended with 1"),
        (("sh", "-c", "echo one; echo two >&2; exit 7"), "sh ended with 7: two"),
        (("sh", "-c", "kill -TERM $$"), "sh ended with signal 15"),
        (("sh", "-c", "printf '\\033[2J::error::x\\n'; exit 1"), r"\\x1b\[2J"),
    ],
)
def test_what_went_wrong_is_said_and_no_other_attempt_is_made(
    run: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(SinkError, match=problem) as refused:
        CommandSink(run=run).send(MESSAGE)
    assert not isinstance(refused.value, RetryableSinkError)


@pytest.mark.slow
def test_after_its_time_it_is_killed_with_what_it_started(tmp_path: Path) -> None:
    script = "sh -c 'sleep 2; touch late' & sleep 60"
    sink = CommandSink(run=("sh", "-c", script), timeout=timedelta(seconds=0.5))
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        with pytest.raises(SinkError, match="did not end within"):
            sink.send(MESSAGE)
    finally:
        os.chdir(before)
    time.sleep(3)
    assert not (tmp_path / "late").exists()


def test_what_it_leaves_running_is_not_waited_for() -> None:
    sink = CommandSink(run=("sh", "-c", "sleep 30 & echo $!"), timeout=timedelta(seconds=20))
    receipt = sink.send(MESSAGE)
    os.kill(int(receipt.detail.rpartition(" ")[2]), 9)


def test_output_without_end_and_a_report_that_is_not_read_do_no_harm() -> None:
    many = f'{sys.executable} -c \'print("x" * 10**7); print("last")\''
    assert CommandSink(run=("sh", "-c", many)).send(MESSAGE).detail == "sh ended with 0: last"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"run": ()}, "run is empty"),
        ({"run": ("",)}, "run is empty"),
        ({"run": ("a\0b",)}, "a NUL"),
        ({"run": ("a",), "timeout": timedelta(minutes=6)}, "at most 5m"),
        ({"run": ("a",), "timeout": timedelta(0)}, "more than 0"),
    ],
)
def test_a_wrong_setting_is_refused(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        CommandSink(**settings)  # type: ignore[arg-type]


def test_its_words_are_shown_only_as_a_plan() -> None:
    sink = CommandSink(run=("kubectl", "argo", "a b"))
    assert repr(sink) == "CommandSink(kubectl)"
    assert sink.plan(MESSAGE) == "run kubectl argo 'a b'"
