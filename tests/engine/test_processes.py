"""Processes of this machine do tasks in order, survive what ends one of them, and end with the
caller."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from anomaly.engine.processes import processes
from anomaly.engine.workers import ALONE, LostWorkerError
from anomaly.errors import UsageError

pytestmark = pytest.mark.slow


def square(number: int) -> int:
    """The square; the process ends at 3, and 4 is an error."""
    if number == 3:
        os._exit(1)
    if number == 4:
        raise ValueError(number)
    return number * number


def linger(folder: str) -> None:
    """Say which process this is, and stay."""
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_task_that_ends_its_process_costs_no_other() -> None:
    with processes(2) as workers:
        outcomes = [*workers.outcomes(square, range(7))]

    assert [outcomes[i] for i in (0, 1, 2, 5, 6)] == [0, 1, 4, 25, 36]
    assert isinstance(outcomes[3], LostWorkerError)
    assert isinstance(outcomes[4], ValueError)


def test_one_process_gives_errors_as_outcomes_too() -> None:
    with processes(1) as workers:
        assert workers is ALONE
        assert [type(each) for each in workers.outcomes(square, [2, 4])] == [int, ValueError]


def test_an_interrupt_ends_the_processes_at_once(tmp_path: Path) -> None:
    def tasks() -> Iterator[str]:
        """Two that stay, and an interrupt once both are at work."""
        yield str(tmp_path)
        yield str(tmp_path)
        while len([*tmp_path.iterdir()]) < 2:
            time.sleep(0.01)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), processes(2) as workers:
        [*workers.outcomes(linger, tasks())]

    pids = [int(each.name) for each in tmp_path.iterdir()]
    while any(map(is_alive, pids)):  # the time-out of the test ends it
        time.sleep(0.01)
    assert len(pids) == 2


@pytest.mark.parametrize("jobs", [0, -1, 1025, 2**70])
def test_fewer_processes_than_one_or_too_many_are_refused(jobs: int) -> None:
    with pytest.raises(UsageError, match="a whole number from 1 on"), processes(jobs):
        pass
