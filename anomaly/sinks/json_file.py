"""The report as one JSON document, in a file or on standard output."""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path
from typing import ClassVar, TextIO

from anomaly.contracts import Message, Receipt
from anomaly.errors import SinkError
from anomaly.report import to_dict

STANDARD_OUTPUT = Path("-")


class JsonSink:
    """Writes the report to `path`; to standard output without one, or if it is `-`.

    The file is replaced as a whole: a reader sees the former report or this one, never half of it.
    """

    outside: ClassVar[frozenset[str]] = frozenset({"stream"})

    every_look: ClassVar[bool] = True
    dedupes: ClassVar[bool] = True

    def __init__(self, *, path: Path | None = None, stream: TextIO | None = None) -> None:
        self._path = None if path == STANDARD_OUTPUT else path
        self._stream = stream

    def send(self, message: Message, /) -> Receipt:
        text = json.dumps(to_dict(message.report, key=message.key), indent=2, allow_nan=False) + "\n"
        try:
            if self._path is None:
                stream = self._stream or sys.stdout
                stream.write(text)
                stream.flush()
                return Receipt("json", delivered=True, detail="standard output")
            _replace(self._path.resolve(), text)
        except OSError as error:
            raise SinkError(f"{self._path or 'standard output'}: {error.strerror or error}") from error
        return Receipt("json", delivered=True, detail=str(self._path))


def _replace(path: Path, text: str) -> None:
    """Writes beside `path`, then renames: on the same file system the change is atomic."""
    if path.exists() and not path.is_file():
        raise SinkError(f"{path} is not a regular file")
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
