"""The command `anomaly`: its exit code means what the documentation says, however the run ends."""

from __future__ import annotations

import gc
import os
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ITSELF_FAILED = 4
# Libraries make millions of objects that stay: looking through them all again and again costs a
# third of a short run. What a long run throws away is still found.
GARBAGE = (100_000, 20, 50)


class Pipe(FileIO):
    """Standard output whose reader may leave before the end, as `head` does: the rest is written to
    nobody. The run goes on, for its exit code and its messages matter."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def main() -> int:
    """Run the command line and return its exit code. Python's own 1 after a traceback would read as
    a regression."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout = TextIOWrapper(
            BufferedWriter(Pipe(sys.stdout.fileno(), "w", closefd=False)),
            encoding=sys.stdout.encoding,
            line_buffering=sys.stdout.line_buffering,
            write_through=sys.stdout.write_through,
        )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # what a locale can't write is a ? and no failure
    gc.set_threshold(*GARBAGE)
    try:
        from anomaly.cli.ending import run

        code = run(sys.argv[1:])
    except BaseException as error:  # noqa: BLE001  likewise
        code = ITSELF_FAILED
        if sys.stderr is not None:
            sys.stderr.write(f"error: anomaly could not start: {type(error).__name__}: {error}\n")
    _let_go(sys.stdout)
    _let_go(sys.stderr)
    gc.freeze()  # the process ends: the interpreter need not look for what refers to itself
    return code


def _let_go(stream: TextIO | None) -> None:
    """Flush `stream`; where nobody reads it, point it nowhere, so that the interpreter does not
    fail on it at exit."""
    if stream is None:
        return
    try:
        stream.flush()
    except (OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
