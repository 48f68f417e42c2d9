"""The report as a `.prom` file for the textfile collector of node_exporter."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from anomaly.contracts import Message, Receipt
from anomaly.errors import UsageError
from anomaly.sinks.exposition import exposition
from anomaly.sinks.files import mirror


class TextfileSink:
    """Writes the report as metrics to `path`, a `.prom` file in the folder of node_exporter's
    textfile collector.

    The file is replaced atomically. Raises UsageError if the collector would not read `path`.
    """

    every_look: ClassVar[bool] = True
    dedupes: ClassVar[bool] = True

    def __init__(self, *, path: Path) -> None:
        if path.suffix != ".prom":
            raise UsageError(
                f"path is {path.name}; node_exporter reads only names that end in .prom"
            )
        self._path = path

    def send(self, message: Message, /) -> Receipt:
        return mirror("textfile", self._path, message, exposition(message.report))
