"""What is loaded when: the command line answers at once, and `import anomaly` costs nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import anomaly

HEAVY = ("numpy", "pandas", "scipy", "statsmodels", "prometheus_api_client", "pyarrow")
LIGHT_MODULES = (
    "anomaly",
    "anomaly.model",
    "anomaly.contracts",
    "anomaly.errors",
    "anomaly.checklist.registry",
    "anomaly.checklist.checklist",
    "anomaly.cli.app",
)


def loaded_by(code: str) -> set[str]:
    """The heavy libraries that a fresh interpreter has loaded after `code`."""
    ask = f"{code}\nimport sys; sys.stderr.write('loaded ' + ' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, check=True, timeout=60
    )
    return set(HEAVY) & set(done.stderr.rpartition("loaded ")[2].split())


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_importing_loads_nothing_numerical(module: str) -> None:
    assert loaded_by(f"import {module}") == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        [],
        ["--help"],
        ["--version"],
        ["check", "--help"],
        ["explain", "--help"],
        ["backtest", "--help"],
        ["parity", "--help"],
        ["chekc"],
    ],
)
def test_help_loads_nothing_numerical(line: list[str]) -> None:
    assert loaded_by(f"from anomaly.cli.ending import run; run({line!r})") == set()


@pytest.mark.slow
@pytest.mark.parametrize(("step", "loaded"), [("5min", False), ("1D", True)])
def test_a_verdict_loads_statsmodels_for_slow_steps_alone(step: str, *, loaded: bool) -> None:
    code = f"""
import numpy as np, pandas as pd, anomaly
index = pd.date_range("2025-03-03", periods=120, freq="{step}", tz="UTC")
anomaly.check(pd.Series(np.arange(120.0) ** 1.1, index), released_at=index[115])"""

    assert ("statsmodels" in loaded_by(code)) is loaded


def test_the_probe_of_loaded_modules_can_fail() -> None:
    assert loaded_by("import numpy") == {"numpy"}


@pytest.mark.parametrize("name", anomaly.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(anomaly, name) is not None


def test_public_names_are_listed_and_others_refused() -> None:
    assert {
        "check",
        "check_release",
        "load_checklist",
        "Release",
        "Verdict",
        "AnomalyError",
    } <= set(dir(anomaly))
    with pytest.raises(AttributeError, match="no attribute 'chekc'"):
        _ = anomaly.chekc  # type: ignore[attr-defined]


def test_the_version_is_the_one_that_is_installed() -> None:
    assert anomaly.__version__ == version("release-anomaly")
