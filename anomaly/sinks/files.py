"""A file with the last report, replaced atomically: a reader sees the old or the new text, never a
mix."""

from __future__ import annotations

from pathlib import Path

from anomaly import replacement
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
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        replacement.replace_file(path, data, trial=trial)
    except OSError as error:
        raise SinkError(f"{path}: {error.strerror or error}") from error
