"""Work side by side that nobody has to wait for."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from functools import partial

import pytest

from anomaly.collectors.lanes import Lanes


def test_results_and_errors_come_to_the_one_who_waits() -> None:
    def fail() -> None:
        raise KeyError("a")

    with Lanes(2, "test") as lanes:
        results = [lanes.submit(partial(divmod, number, 3)) for number in range(9)]
        assert results[8].result() == (2, 2)
        with pytest.raises(KeyError, match="a"):
            lanes.submit(fail).result()


def test_at_most_so_many_jobs_run_at_once_and_that_many_do() -> None:
    together, lock, running, most = threading.Barrier(3), threading.Lock(), [0], [0]

    def job() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        together.wait(10)
        with lock:
            running[0] -= 1

    with Lanes(3, "test") as lanes:
        for future in [lanes.submit(job) for _ in range(6)]:
            future.result()
    assert most == [3]


def test_after_the_end_no_job_begins_and_nobody_waits_in_vain() -> None:
    hold, begun = threading.Event(), threading.Event()

    def job() -> bool:
        begun.set()
        return hold.wait(10)

    with Lanes(1, "test") as lanes:
        first = lanes.submit(job)
        begun.wait(10)
        second = lanes.submit(job)
    hold.set()
    assert first.result()
    for each in (second, lanes.submit(job)):
        with pytest.raises(CancelledError):
            each.result(10)


def test_a_job_that_hangs_does_not_hold_the_end() -> None:
    hold = threading.Event()
    with Lanes(1, "test") as lanes:
        hanging = lanes.submit(hold.wait)
    assert not hanging.done()
    hold.set()
