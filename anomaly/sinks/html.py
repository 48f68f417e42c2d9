"""The report as one HTML page, in a file that mirrors the last look."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from anomaly.contracts import Message, Receipt
from anomaly.model import Release
from anomaly.reporting.pages.release import page
from anomaly.reporting.report import Report
from anomaly.sinks.files import mirror, replace_file

SHORT = 8  # characters of a key
UNSAFE = re.compile(r"[^\w.-]", re.ASCII)


class HtmlSink:
    """Writes the page to `path`, in which `{service}`, `{version}`, `{environment}` and `{id}`
    stand for the release."""

    every_look: ClassVar[bool] = True
    dedupes: ClassVar[bool] = True

    def __init__(self, *, path: Path) -> None:
        self._path = path

    def send(self, message: Message, /) -> Receipt:
        return mirror(
            "html",
            named(self._path, message.report.release, message.key),
            message,
            page(message.report),
        )


def write(path: Path, report: Report, key: str, deliveries: Sequence[Receipt] = ()) -> Path:
    """Write the page with what became of the messages, and say where. Raises SinkError."""
    where = named(path, report.release, key)
    replace_file(where, page(report, deliveries=deliveries))
    return where


def named(path: Path, release: Release, key: str) -> Path:
    """The path of the page about a release; its names lead to no other folder."""
    names = {
        "service": release.service,
        "version": release.version,
        "environment": release.environment,
        "id": key[:SHORT],
    }
    text = str(path)
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", UNSAFE.sub("_", value).lstrip(".")[:100] or "_")
    return Path(text)
