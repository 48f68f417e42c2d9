"""The report as one line of JSON, appended to a file."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import ClassVar

from anomaly.contracts import Message, Receipt
from anomaly.errors import SinkError
from anomaly.reporting.data import to_dict


class JsonlSink:
    """Appends a line per message to `path`; safe for several processes at once.

    A repeated message is appended again under the same `key`: the last line of a key counts.
    """

    every_look: ClassVar[bool] = True

    def __init__(self, *, path: Path) -> None:
        self._path = path

    def send(self, message: Message, /) -> Receipt:
        line = (
            json.dumps(to_dict(message.report, key=message.key), allow_nan=False).encode("ascii")
            + b"\n"
        )
        try:
            _append(self._path, line)
        except OSError as error:
            raise SinkError(f"{self._path}: {error.strerror or error}") from error
        return Receipt("jsonl", delivered=True, detail=str(self._path))


def _append(path: Path, line: bytes) -> None:
    """Appends the whole line or nothing; first ends an unfinished line of another writer."""
    with path.open("a+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released with the file
        end = file.seek(0, os.SEEK_END)
        if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
            line = b"\n" + line
        try:
            _write(file.fileno(), line)
        except OSError:
            os.ftruncate(file.fileno(), end)
            raise


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
