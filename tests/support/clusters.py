"""A real scheduler of dask and its workers, as processes on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.places import ROOT
from tests.support.servers import LOOPBACK, READY_WITHIN_S, Server, free_port

if TYPE_CHECKING:
    from distributed import Client

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
    """A scheduler at `url` (`dask://…`) that shows itself at `page`; all write their logs into
    `folder`."""

    url: str
    page: str
    folder: Path = field(repr=False)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client of the scheduler."""
        from distributed import Client

        with Client(self.url.replace("dask://", "tcp://"), set_as_default=False) as client:
            yield client

    def workers(self) -> list[int]:
        """The processes of the workers that are alive."""
        with self.client() as client:
            return [*client.run(os.getpid).values()]

    def tasks(self) -> int:
        """How many tasks the scheduler knows."""
        with self.client() as client:
            return int(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))

    def give_up_after(self, failures: int) -> None:
        """A task that ends more workers than so many is given up from now on."""
        with self.client() as client:
            client.run_on_scheduler(
                lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", failures)
            )


@contextmanager
def cluster(
    folder: Path,
    environ: Mapping[str, str] | None = None,
    *,
    workers: int = 2,
    preload: str = "",
) -> Iterator[Cluster]:
    """A scheduler with so many workers, one thread each, which have `environ` besides. `preload` is
    Python that they run first; they are started again when they end."""
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
            more={},
        )
        give_up = time.monotonic() + READY_WITHIN_S
        while not file.exists():
            if running[0].process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError((folder / "scheduler.log").read_text()[-2000:])
            time.sleep(0.05)
        (folder / "first.py").write_text(preload)
        for number in range(workers):
            start(
                f"worker {number}",
                "worker",
                *("--host", LOOPBACK, "--nthreads", "1", "--no-dashboard"),
                *("--local-directory", folder / f"of {number}"),
                *("--preload", folder / "first.py"),
                more=environ or {},
            )
        address = json.loads(file.read_text())["address"].removeprefix("tcp://")
        found = Cluster(f"dask://{address}", f"http://{LOOPBACK}:{page}", folder)
        with found.client() as client:
            client.wait_for_workers(workers, timeout=READY_WITHIN_S)
        yield found
    finally:
        for server in running:
            with suppress(ProcessLookupError):
                os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait()
