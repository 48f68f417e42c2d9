"""The report as one HTML page, a file that follows the last look."""

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
        text = text.replace(f"{{{name}}}", UNSAFE.sub("_", value).lstrip(".")[:100] or "_")
    return Path(text)
