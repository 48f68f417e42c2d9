"""`python -m anomaly` as a process of its own, forked from one that has loaded what most of them
load."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.places import ROOT

FORKING = """
import json, os, sys, time
import anomaly.cli.check, anomaly.cli.tick, anomaly.history.store, anomaly.pipeline
import anomaly.reporting.pages.release, scipy.special
from anomaly.__main__ import main

for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if not child:
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environ"])
        time.tzset()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for stream, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(asked[name], os.O_CREAT | os.O_WRONLY), stream)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
        sys.argv = ["anomaly", *asked["words"]]
        sys.exit(main())
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.stdout.write(f"{code}\\n")
    sys.stdout.flush()
"""


def anomaly(
    words: Sequence[str | Path], *, environ: Mapping[str, str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """What `python -m anomaly` of these words ends with, and what it says."""
    with TemporaryDirectory() as name:
        out, err = Path(name) / "out", Path(name) / "err"
        line = [str(word) for word in words]
        asked = {
            "words": line,
            "environ": dict(environ),
            "folder": str(folder or Path.cwd()),
            "out": str(out),
            "err": str(err),
        }
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(
            line, code, out.read_text("utf-8"), err.read_text("utf-8")
        )


@cache
def _server() -> subprocess.Popen[str]:
    """The process that forks; it ends with its input, that is with the tests."""
    process = subprocess.Popen(
        [sys.executable, "-c", FORKING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    atexit.register(process.communicate)
    return process
