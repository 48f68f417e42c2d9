"""Cron as the tests run it: the real one, with crontabs of its own."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support import servers


def test_cron_runs_its_jobs_in_its_bare_environment_on_a_fast_clock(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with servers.cron(tmp_path, f"@reboot env > {out}\n* * * * * echo fired >> {out}\n", speed=120):
        written = _text(out, until="fired")
    assert {"HOME=/root", "PATH=/usr/bin:/bin", "SHELL=/bin/sh"} <= set(written.split())
    assert "LD_PRELOAD" not in written


def _text(file: Path, *, until: str, seconds: float = 60) -> str:
    """What is in the file once `until` is."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        text = file.read_text() if file.exists() else ""
        if until in text:
            return text
        time.sleep(0.02)
    raise AssertionError(f"no {until!r} within {seconds} s")
