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
import gc, json, os, sys, time
import encodings.idna, encodings.utf_8_sig
import pyarrow.pandas_compat, pydantic.dataclasses, scipy.special, threadpoolctl
import sqlalchemy.dialects.postgresql, sqlalchemy.dialects.sqlite
import typer._adapters, typer._click.decorators
import anomaly.checklist.form, anomaly.cli.check, anomaly.cli.releases, anomaly.cli.tick
import anomaly.cli.validate, anomaly.collectors.files, anomaly.engine.processes
import anomaly.history.store, anomaly.history.whole_numbers, anomaly.pipeline
import anomaly.releases.event, anomaly.reporting.long_frame, anomaly.reporting.pages.release
import anomaly.setup.doctor, anomaly.sinks.console, anomaly.sinks.files, anomaly.sinks.webhook
import anomaly.watch.tick
from anomaly.__main__ import main

gc.freeze()
for line in sys.stdin:
    gate, begin = os.pipe()
    children = []
    for asked in json.loads(line):
        child = os.fork()
        if not child:
            os.close(begin)
            os.chdir(asked["folder"])
            os.environ.clear()
            os.environ.update(asked["environ"])
            time.tzset()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for stream, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(asked[name], os.O_CREAT | os.O_WRONLY), stream)
            sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
            sys.argv = ["anomaly", *asked["words"]]
            os.read(gate, 1)  # until it is closed for all
            exec(asked["first"])
            sys.exit(main())
        children.append(child)
    os.close(gate)
    os.close(begin)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.stdout.write(f"{json.dumps(codes)}\\n")
    sys.stdout.flush()
"""


def anomaly(
    words: Sequence[str | Path],
    *,
    environ: Mapping[str, str],
    folder: Path | None = None,
    first: str = "",
) -> subprocess.CompletedProcess[str]:
    """What `python -m anomaly` of these words ends with, and what it says; the code `first` runs
    in its process before it begins."""
    (done,) = at_once(1, words, environ=environ, folder=folder, first=first)
    return done


def at_once(
    count: int,
    words: Sequence[str | Path],
    *,
    environ: Mapping[str, str],
    folder: Path | None = None,
    first: str = "",
) -> list[subprocess.CompletedProcess[str]]:
    """Likewise of so many processes that begin at one moment."""
    line = [str(word) for word in words]
    with TemporaryDirectory() as name:
        said = [(Path(name) / f"out-{each}", Path(name) / f"err-{each}") for each in range(count)]
        asked = [
            {
                "words": line,
                "environ": dict(environ),
                "folder": str(folder or Path.cwd()),
                "first": first,
                "out": str(out),
                "err": str(err),
            }
            for out, err in said
        ]
        server = _server()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        codes = json.loads(server.stdout.readline())
        return [
            subprocess.CompletedProcess(line, code, out.read_text("utf-8"), err.read_text("utf-8"))
            for code, (out, err) in zip(codes, said, strict=True)
        ]


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
