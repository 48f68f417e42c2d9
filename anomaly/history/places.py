"""Where a history is, and what may be lost beside it."""

from __future__ import annotations

import os
from pathlib import Path

IN_MEMORY = ":memory:"  # how a history is named that is nowhere else
ANSWERS, BASELINES = "answers.db", "baselines"  # a file, and a folder


def beside(history: str, name: str) -> Path | None:
    """The place for something with this name: beside the file of the history, such as
    `history.db.answers`; in `$XDG_CACHE_HOME/anomaly` if the history is a database; and nowhere if
    it is in memory."""
    if history == IN_MEMORY:
        return None
    if "://" not in history:
        path = Path(history)
        return path.with_name(f"{path.name}.{Path(name).stem}")
    cache = os.environ.get("XDG_CACHE_HOME", "")
    try:
        folder = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # there is no home folder
        return None
    return folder / "anomaly" / name
