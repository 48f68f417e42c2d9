"""Workers: who does the tasks of a look. The seam is `concurrent.futures.Executor`.

What a task answers does not depend on who did it: every worker computes with one thread, for the
sums of a linear algebra library differ in their last bits by how many threads share them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from functools import cache
from typing import Any, TypeVar

Progress = Callable[[int, int], None]  # how much of how much is done
Task = TypeVar("Task")
Result = TypeVar("Result")


class LostWorkerError(Exception):
    """The process that did a task ended before it answered, and so did the next one."""


class CrashError(Exception):
    """An error that nobody expected, by its kind, without its words: they may hold a secret."""


class Workers:
    """This process alone."""

    at_home = True  # whether they share this process's machine, and are sent what is collected here

    def outcomes(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[Result | Exception]:
        """What became of each task, in their order: what `function` returned, or the error that it
        raised. Tasks are taken when there is somebody to do them."""
        for task in tasks:
            outcome: Result | Exception
            try:
                outcome = in_one_thread(function, task)
            except Exception as error:  # noqa: BLE001  it is the outcome
                outcome = error
            yield outcome

    def answers(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[Result]:
        """What `function` returns for each task, in their order. Raises what it raises."""
        for outcome in self.outcomes(function, tasks):
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome


ALONE = Workers()


class Team(Workers):
    """Those of an executor that `start` starts, `ahead` tasks at a time. Errors that say that a
    worker is `lost` come from an engine that tried again already."""

    def __init__(
        self,
        start: Callable[[], Executor],
        ahead: int,
        *,
        at_home: bool,
        lost: Sequence[type[Exception]] = (),
    ) -> None:
        self.at_home = at_home
        self._lost: tuple[type[Exception], ...] = (BrokenExecutor, *lost)
        self._start = start
        self._ahead = ahead
        self._executor = start()

    def outcomes(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[Result | Exception]:
        pending: deque[tuple[Task, Future[Any]]] = deque()
        for task in tasks:
            pending.append((task, self._submitted(function, task)))
            if len(pending) >= self._ahead:
                first, answer = pending.popleft()
                yield self._outcome(function, first, answer)
        for task, future in pending:
            yield self._outcome(function, task, future)

    def _submitted(self, function: Callable[[Task], Result], task: Task) -> Future[Any]:
        try:
            return self._executor.submit(in_one_thread, function, task)
        except BrokenExecutor:
            self._executor = self._start()
            return self._executor.submit(in_one_thread, function, task)

    def _outcome(
        self, function: Callable[[Task], Result], task: Task, future: Future[Any]
    ) -> Result | Exception:
        """What became of a task. A worker that ends takes all tasks that are under way with it:
        each is done again alone, and one that ends the next worker, too, is lost."""
        try:
            try:
                result: Result = future.result()
            except BrokenExecutor:
                result = self._submitted(function, task).result()
        except self._lost:
            return LostWorkerError()
        except Exception as error:  # noqa: BLE001  it is the outcome
            return error
        return result

    def close(self) -> None:
        """End the workers once they are done."""
        self._executor.shutdown()

    def abandon(self) -> None:
        """Let go of what they still do."""
        if self.at_home:
            self._executor.shutdown(wait=False, cancel_futures=True)
        else:  # an engine cancels what nobody waits for
            self._executor.shutdown(wait=False)


@cache
def _threads() -> Any:
    """The threads of the libraries that are loaded."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def in_one_thread(function: Callable[[Task], Result], task: Task) -> Result:
    """What the function makes of the task, with linear algebra in one thread of this process."""
    with _threads().limit(limits=1, user_api="blas"):
        return function(task)
