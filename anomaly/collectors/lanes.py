"""Work done side by side, by threads that nothing has to wait for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
Job = tuple[Callable[[], Any], "Future[Any]"]


class Lanes:
    """Up to `count` jobs at once, begun in the order in which they are submitted; a context manager
    that lets no further one begin after its end.

    The threads are daemons, unlike those of `concurrent.futures`: one that hangs holds neither the
    caller nor the end of the process.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count, self._name, self._threads, self._is_over = count, name, 0, False
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """The result to be, or the exception; a job that has not begun can be cancelled."""
        future: Future[T] = Future()
        with self._lock:
            is_new = not self._is_over and self._threads < self._count
            self._threads += is_new
            if self._is_over:
                future.cancel()
            else:
                self._jobs.put((job, future))
        if is_new:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._is_over = True
            for _ in range(self._threads):
                self._jobs.put(None)

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, future = item
            if self._is_over:
                future.cancel()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(job())
            except BaseException as error:  # noqa: BLE001  the one who waits for the result gets it
                future.set_exception(error)
            del job, future, item  # or the last result stays as long as the thread
