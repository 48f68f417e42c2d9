"""What is loaded when: the command line answers at once, and `import anomaly` costs nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import pytest

import anomaly
from benchmarks import start_up

HEAVY = ("numpy", "pandas", "scipy", "statsmodels", "prometheus_api_client", "pyarrow")
UNUSED = {  # by `check` of a file without sinks, and dear to load
    "statsmodels",
    "prometheus_api_client",
    "requests",
    "urllib3",
    "sqlalchemy",
    "sqlite3",
    "jinja2",
    "tenacity",
    "asyncio",
    "scipy",
    "anomaly.history",
    "anomaly.notify",
    "matplotlib",
    "holidays",
    "anomaly.cli.watch",
    "anomaly.cli.backtest",
    "anomaly.notebook",
}
LIGHT_MODULES = (
    "anomaly",
    "anomaly.model",
    "anomaly.contracts",
    "anomaly.errors",
    "anomaly.checklist.registry",
    "anomaly.checklist.checklist",
    "anomaly.cli.app",
    "anomaly.history.store",
)
HELP: tuple[list[str], ...] = (
    [],
    ["--help"],
    ["--version"],
    ["check", "--help"],
    ["explain", "--help"],
    ["backtest", "--help"],
    ["parity", "--help"],
    ["chekc"],
)


def loaded_by(code: str, asked: Iterable[str] = HEAVY) -> set[str]:
    """Which of the modules `asked` about a fresh interpreter has loaded after `code`."""
    ask = f"{code}\nimport sys; sys.stderr.write('loaded ' + ' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, check=True, timeout=60
    )
    return set(asked) & set(done.stderr.rpartition("loaded ")[2].split())


@pytest.mark.slow
def test_importing_help_and_the_page_over_releases_load_nothing_numerical(tmp_path: Path) -> None:
    """All in one process: what one of them loads would be there at the end."""
    code = f"""
import {", ".join(LIGHT_MODULES)}
from datetime import UTC, datetime
from anomaly.cli.ending import run
from anomaly.history.store import Store
from anomaly.model import Release
for line in {HELP!r}: run(line)
with Store({str(tmp_path / "history.db")!r}) as store:
    store.track(Release(datetime(2025, 6, 3, tzinfo=UTC), service="shop"), origin="command")
assert run(["history", "--store", store.where, "--html", {str(tmp_path / "page.html")!r}]) == 0
"""
    assert loaded_by(code) == set()


@pytest.mark.slow
def test_a_verdict_loads_statsmodels_for_slow_steps_alone() -> None:
    code = """
import sys
import numpy as np, pandas as pd, anomaly

def judge(step):
    index = pd.date_range("2025-03-03", periods=120, freq=step, tz="UTC")
    anomaly.check(pd.Series(np.arange(120.0) ** 1.1, index), released_at=index[115])

judge("5min")
assert "statsmodels" not in sys.modules
judge("1D")"""

    assert "statsmodels" in loaded_by(code)


@pytest.mark.slow
def test_a_check_of_a_file_loads_nothing_that_it_does_not_use_and_hardly_ever_looks_for_garbage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    start_up.write(tmp_path)
    code = f"""
import gc, sys
from anomaly.__main__ import main
sys.argv = ["anomaly", *{start_up.LINE!r}]
assert main() == 0
times = sum(each["collections"] for each in gc.get_stats())
assert 0 < times < 100, times"""

    assert loaded_by(code, UNUSED) == set()


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
