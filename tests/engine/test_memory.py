"""What a process frees it keeps for its next arrays."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from anomaly.engine import memory

FAULTS = """\
import resource
import numpy as np
from anomaly.engine.memory import keep_freed

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        arrays = [np.ones(1 << 20) for _ in range(12)]
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

{call}
faults()
print(faults())
"""


def faults(call: str) -> int:
    """The pages that arrays which come and go took from the system, in a process of its own."""
    program = [sys.executable, "-c", FAULTS.format(call=call)]
    return int(subprocess.run(program, capture_output=True, check=True, text=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library is told")
def test_arrays_that_come_and_go_take_no_new_pages() -> None:
    assert faults("keep_freed()") < 0.1 * faults("")


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_another_library_is_left_as_it_is(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def library(name: None) -> object:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", library)
    memory.keep_freed()
