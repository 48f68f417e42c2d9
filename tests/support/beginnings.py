"""`anomaly init` at servers that answer as they are told."""

from __future__ import annotations

from pathlib import Path

from anomaly.cli.ending import run
from tests.support.loopback import Loopback, Reply


def begin_where_it_is_refused(kind: str, reply: Reply) -> None:
    """Ask a source that gives only this answer for a proposal: it fails and writes nothing into
    the folder, which is empty."""
    with Loopback([reply]) as server:
        assert run(["init", "--source", f"{kind}={server.origin}"]) == 4
    assert list(Path.cwd().iterdir()) == []
