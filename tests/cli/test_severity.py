"""A KPI that is a signal holds a release, and does not fail it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anomaly.cli.ending import run
from anomaly.cli.exit_codes import ExitCode
from tests.support.operation import RELEASED, Shop

SIGNAL = "{name: errors, query: errors, direction: up, tolerance: 5%, severity: signal}"
GUARDRAIL = SIGNAL.replace(", severity: signal", "")
CHECK = ["--released-at", RELEASED.isoformat(), "--until"]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checklist about a shop whose errors rose with the release."""
    shop = Shop(tmp_path, {"errors": (0.0, 12.0)})
    shop.at(12)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path / "checklist.yaml"


def check(path: Path, *kpis: str) -> int:
    text = path.read_text(encoding="utf-8")
    head = text.partition("kpis:\n")[0]
    path.write_text(head + "kpis:\n" + "".join(f"  - {each}\n" for each in kpis), encoding="utf-8")
    return run(["check", str(path), *CHECK, "2025-06-12T22:00Z"])


def test_a_signal_that_regressed_holds_the_release(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(path, SIGNAL) == ExitCode.HELD
    out = capsys.readouterr().out
    assert out.startswith("HOLD  errors +")
    assert "signal" in out


@pytest.mark.slow
def test_a_guardrail_fails_it_whatever_the_signals_say(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = GUARDRAIL.replace("name: errors", "name: errors again")
    assert check(path, SIGNAL, again) == ExitCode.REGRESSED
    assert capsys.readouterr().out.startswith("FAIL  errors again +")


@pytest.mark.slow
def test_json_tells_them_apart(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(path, SIGNAL)
    capsys.readouterr()
    run(["check", str(path), *CHECK, "2025-06-12T22:00Z", "--output", "json"])
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "hold"
    assert [each["severity"] for each in report["findings"]] == ["signal"]
