"""The report as one JSON document, in a file or on standard output."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import ClassVar, TextIO

from anomaly.contracts import Message, Receipt
from anomaly.errors import SinkError
from anomaly.reporting.data import to_dict
from anomaly.sinks.files import replace_file

STANDARD_OUTPUT = Path("-")


class JsonSink:
    """Writes the report to `path`; to standard output without one, or if it is `-`.

    The file is replaced atomically.
    """

    outside: ClassVar[frozenset[str]] = frozenset({"stream"})

    every_look: ClassVar[bool] = True
    dedupes: ClassVar[bool] = True

    def __init__(self, *, path: Path | None = None, stream: TextIO | None = None) -> None:
        self._path = None if path == STANDARD_OUTPUT else path
        self._stream = stream

    def send(self, message: Message, /) -> Receipt:
        text = (
            json.dumps(to_dict(message.report, key=message.key), indent=2, allow_nan=False) + "\n"
        )
        if self._path is not None:
            replace_file(self._path, text)
            return Receipt("json", delivered=True, detail=str(self._path))
        try:
            stream = self._stream or sys.stdout
            stream.write(text)
            stream.flush()
        except OSError as error:
            raise SinkError(f"standard output: {error.strerror or error}") from error
        return Receipt("json", delivered=True, detail="standard output")
