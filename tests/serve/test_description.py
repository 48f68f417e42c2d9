"""The OpenAPI description: what it says is so, and no request of a fuzzer breaks the service."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from anomaly.history.store import Store
from anomaly.model import ReleaseVerdict
from tests.support.service import Ask, looked

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance"
)


@pytest.mark.slow
def test_a_fuzzer_finds_no_5xx_and_nothing_that_is_not_described(
    address: str, store: Store, tmp_path: Path
) -> None:
    looked(store, ReleaseVerdict.FAIL, final=False)
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json"]
    command += ["--seed", "1", "--max-examples", "15", "--checks", CHECKS, "--no-color"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout
    assert "Tested: 8" in done.stdout


def test_every_address_is_described_with_what_it_needs(asked: Ask) -> None:
    paths = asked("GET", "/openapi.json").json["paths"]
    assert set(paths) == {
        "/",
        "/ack",
        "/gate",
        "/metrics",
        "/openapi.json",
        "/releases",
        "/releases/{release}",
        "/releases/{sender}",
    }
    assert set(paths["/gate"]) == {"get", "post"}
    finding = asked("GET", "/openapi.json").json["components"]["schemas"]["GateFinding"]
    assert "severity" in finding["required"]
    assert set(paths["/gate"]["get"]["responses"]) >= {"200", "404", "409", "412", "423", "424"}
