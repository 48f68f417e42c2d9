"""Several processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from multiprocessing.connection import Connection

from anomaly.engine.memory import keep_freed
from anomaly.engine.workers import ALONE, Team, Workers
from anomaly.errors import UsageError

AHEAD = 6  # tasks for each process, so that it does not wait while the next series are read
MOST = 1024  # processes; each takes 100 MB and more
JUDGING = "anomaly.partials.hearing"  # what they will load, while the first series are read


@contextmanager
def processes(jobs: int) -> Iterator[Workers]:
    """So many processes, this one alone if it is one; they end with the block, however that ends.

    Raises UsageError for fewer than one, for more than MOST, and where processes can't be started.
    """
    if isinstance(jobs, bool) or not isinstance(jobs, int) or not 1 <= jobs <= MOST:
        raise UsageError(f"jobs is {jobs!r:.40}; it must be a whole number from 1 on, up to {MOST}")
    keep_freed()
    if jobs == 1:
        yield ALONE
        return
    # started anew, not forked: a fork of a process with threads may hang
    context = multiprocessing.get_context("spawn")
    ear, mouth = context.Pipe(duplex=False)

    def start() -> Executor:
        executor = ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(ear,))
        try:
            executor.submit(os.getpid).result()
        except BrokenExecutor:
            raise UsageError(
                f"the {jobs} processes of jobs can't start; a script must ask for them inside of "
                'if __name__ == "__main__":'
            ) from None
        return executor

    with ear, mouth:
        team = Team(start, AHEAD * jobs, at_home=True)
        try:
            yield team
        except BaseException:
            mouth.close()  # now they end, whatever they do
            team.abandon()
            raise
        team.close()


def _begin(parent: Connection) -> None:
    """What a process does first. It ends with its parent, which alone hears of an interrupt."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    threading.Thread(target=import_module, args=(JUDGING,), daemon=True).start()


def _end_with(parent: Connection) -> None:
    try:
        parent.recv()
    except (EOFError, OSError):
        os._exit(1)
