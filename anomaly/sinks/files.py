"""A file with the last report, replaced atomically: a reader sees the old or the new text, never a
mix."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from anomaly.contracts import Action, Message, Receipt
from anomaly.errors import SinkError


def mirror(sink: str, path: Path, message: Message, text: str) -> Receipt:
    """Write the file; a trial only checks that it can be written. Raises SinkError."""
    trial = message.action is Action.TRIAL
    replace_file(path, text, trial=trial)
    return Receipt(sink, delivered=True, detail=f"{path} can be written" if trial else str(path))


def replace_file(path: Path, content: str | bytes, *, trial: bool = False) -> None:
    """Write beside `path`, then rename, which is atomic. A `trial` leaves `path` unchanged.

    Raises SinkError.
    """
    try:
        _replace(
            path.resolve(),
            content.encode("utf-8") if isinstance(content, str) else content,
            trial=trial,
        )
    except OSError as error:
        raise SinkError(f"{path}: {error.strerror or error}") from error


def _replace(path: Path, content: bytes, *, trial: bool) -> None:
    if path.exists() and not path.is_file():
        raise SinkError(f"{path} is not a regular file")
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if not trial:
            beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
