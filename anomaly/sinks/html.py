"""The report as one HTML page, a file that follows the last look."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from anomaly.contracts import Message, Receipt
from anomaly.model import Release
from anomaly.reporting.pages.release import page
from anomaly.reporting.report import Report
from anomaly.sinks.files import mirror, replace_file

SHORT, LONGEST_PART = 8, 100  # characters of a key or a digest, and of a name
UNSAFE = re.compile(r"[^\w.-]", re.ASCII)


class HtmlSink:
    """Writes the page to `path`, where `{service}`, `{version}`, `{environment}` and `{id}` stand
    for the release."""

    every_look: ClassVar[bool] = True
    dedupes: ClassVar[bool] = True

    def __init__(self, *, path: Path) -> None:
        self._path = path

    def send(self, message: Message, /) -> Receipt:
        return mirror(
            "html",
            path_of(self._path, message.report.release, message.key),
            message,
            page(message.report),
        )


def write(path: Path, report: Report, key: str, deliveries: Sequence[Receipt] = ()) -> Path:
    """Write the page with the deliveries; returns its path. Raises SinkError."""
    target = path_of(path, report.release, key)
    replace_file(target, page(report, deliveries=deliveries))
    return target


def path_of(path: Path, release: Release, key: str) -> Path:
    """The path of the page about a release; its names can't lead to another folder."""
    names = {
        "service": release.service,
        "version": release.version,
        "environment": release.environment,
        "id": key[:SHORT],
    }
    text = str(path)
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", _file_name(value))
    return Path(text)


def _file_name(text: str) -> str:
    """A part of a file's name; where letters are lost, a digest tells the names apart."""
    name = UNSAFE.sub("_", text).lstrip(".")[:LONGEST_PART]
    if not text.isascii():
        name += f"-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:SHORT]}"
    return name or "_"
