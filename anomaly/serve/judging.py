"""Judging in the background: `anomaly tick` for each checklist, as a process of its own.

It is the same step as that of cron. A process of its own leaves the interpreter to those who ask,
gives all memory back, and can be ended at any time: the history is whole after each of its
transactions.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from anomaly.checklist.checklist import Checklist
from anomaly.serve.served import Served, names

LONGEST_PAUSE = timedelta(minutes=5)  # releases are found by sources, messages are sent again
SHORTEST_PAUSE_S = 1.0  # after a release was reported, others may be, too
PATIENCE_S = 2.0  # for a step to end when the service ends
NICENESS = 10  # those who ask go first

log = logging.getLogger(__name__)


class Judge:
    """Runs a step whenever one may be due, until it is cancelled. `done` is called after each with
    its checklist, exit code and seconds."""

    def __init__(
        self,
        served: Served,
        store: str,
        *,
        clock: Callable[[], datetime],
        done: Callable[[Checklist, int, float], None],
    ) -> None:
        self._served = served
        self._store = store
        self._clock = clock
        self._done = done
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Take a step soon: something happened to a release. To be called in the event loop."""
        self._news.set()

    async def run(self) -> None:
        """Steps without end."""
        while True:
            self._news.clear()
            for checklist in self._served.checklists:
                await self._step(checklist)
            await asyncio.sleep(SHORTEST_PAUSE_S)
            now = self._clock()
            pause = min(self._served.next_look(now) - now, LONGEST_PAUSE)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(SHORTEST_PAUSE_S, pause.total_seconds())):
                    await self._news.wait()

    async def _step(self, checklist: Checklist) -> None:
        began = time.monotonic()
        try:
            process = await asyncio.create_subprocess_exec(
                *command(checklist),
                env=os.environ | {"ANOMALY_STORE": self._store},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            log.error("no step for %s: %s", names([checklist]), error.strerror)  # noqa: TRY400  the text is enough
            return
        with suppress(OSError):  # it may have ended already
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            raise
        self._done(checklist, code, time.monotonic() - began)


def command(checklist: Checklist) -> Sequence[str]:
    """The command line of a step."""
    environment = ["--environment", checklist.environment] if checklist.environment else []
    return [sys.executable, "-m", "anomaly", "tick", str(checklist.path), *environment]


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a step: it keeps what it knows; one that hangs is killed."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(PATIENCE_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
