"""A real scheduler of dask and its workers, as processes on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.places import ROOT
from tests.support.servers import LOOPBACK, READY_WITHIN_S, Server, free_port

# run in each worker before its first task: judging the KPI `bad` ends the process
POISON = """
import os
from anomaly.panel import keys_of
from anomaly.partials import hearing

def deadly(batch, *rest, examine=hearing.examine):
    if any(name == "bad" for name, _, _ in keys_of(batch.panel)):
        os._exit(1)
    return examine(batch, *rest)

hearing.examine = deadly
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A scheduler at `url` (`dask://…`) that shows itself at `page`, and its workers, which write
    their logs into `folder`."""

    url: str
    page: str
    workers: Sequence[Server]
    folder: Path = field(repr=False)


@contextmanager
def cluster(
    folder: Path,
    environ: Mapping[str, str] | None = None,
    *,
    workers: int = 2,
    preload: str = "",
    failures: int = 3,
) -> Iterator[Cluster]:
    """A scheduler with so many workers, one thread each, which have `environ` besides. A task that
    ends more than so many workers is given up. `preload` is Python that they run first; such
    workers are started again when they end."""
    file, page = folder / "scheduler.json", free_port()
    running: list[Server] = []

    def start(name: str, *arguments: str | Path, more: Mapping[str, str]) -> Server:
        with (folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments, "--scheduler-file", file],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **more},
                start_new_session=True,  # ended at once, with all that it started
            )
        running.append(Server(name, "", process))
        return running[-1]

    try:
        start(
            "scheduler",
            "scheduler",
            *("--host", LOOPBACK, "--port", "0"),
            *("--dashboard-address", f"{LOOPBACK}:{page}"),
            more={"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(failures)},
        )
        give_up = time.monotonic() + READY_WITHIN_S
        while not file.exists():
            if running[0].process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError((folder / "scheduler.log").read_text()[-2000:])
            time.sleep(0.05)
        once: list[str | Path] = ["--no-nanny"]
        if preload:
            (folder / "first.py").write_text(preload)
            once = ["--preload", folder / "first.py"]
        started = [
            start(
                f"worker {number}",
                "worker",
                *("--host", LOOPBACK, "--nthreads", "1", "--no-dashboard"),
                *("--local-directory", folder / f"of {number}"),
                *once,
                more=environ or {},
            )
            for number in range(workers)
        ]
        address = json.loads(file.read_text())["address"].removeprefix("tcp://")
        yield Cluster(f"dask://{address}", f"http://{LOOPBACK}:{page}", started, folder)
    finally:
        for server in running:
            with suppress(ProcessLookupError):
                os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait()
