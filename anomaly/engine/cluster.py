"""The workers of a cluster that runs already: those of a scheduler of dask."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from anomaly.engine.workers import Team, Workers
from anomaly.errors import EngineError, UsageError

ADDRESS = re.compile(r"dask://([^/@?#]+:\d+)/?")
PATIENCE = "10s"  # until a scheduler answers
AHEAD = 2  # tasks for each thread of the cluster
LEAST_AHEAD = 64  # tasks, for a cluster may grow


@contextmanager
def cluster(url: str) -> Iterator[Workers]:
    """The workers of the scheduler at `dask://HOST:PORT`; they collect for themselves. What they
    still do is cancelled if the block ends early.

    Raises UsageError for another URL and without dask, EngineError where no scheduler answers.
    """
    address = ADDRESS.fullmatch(url)
    if address is None:
        raise UsageError(f"engine is {url!r}; use dask://HOST:PORT, such as dask://10.0.0.5:8786")
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        raise UsageError("engine dask:// needs dask: pip install 'release-anomaly[dask]'") from None
    try:
        client = Client(f"tcp://{address[1]}", timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise EngineError(f"{url}: no scheduler of dask answers: {error}") from error
    with client:
        threads = sum(client.nthreads().values())
        team = Team(
            lambda: client.get_executor(pure=False),
            max(AHEAD * threads, LEAST_AHEAD),
            at_home=False,
            lost=(KilledWorker,),
        )
        try:
            yield team
        except BaseException:
            team.abandon()
            raise
        team.close()
