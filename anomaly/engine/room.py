"""How much of a disk may be taken by what is kept for later and may be lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

MOST_BYTES = 1 << 29
SHARE_OF_DISK = 4  # of what is free without what is kept, that takes a quarter at most
IN_USE = timedelta(hours=1).total_seconds()  # within which nothing else takes its place


class Held(NamedTuple):
    """Something that is kept: when it was last used, in seconds, and its size in bytes."""

    key: str
    used: float
    size: int


def made_room(
    held: Iterable[Held],
    size: int,
    drop: Callable[[str], None],
    *,
    folder: Path,
    taken: int,
    now: float,
    unused: float,
) -> bool:
    """Whether `size` more bytes may be kept in the folder, after what was `unused` for so many
    seconds, and what was used least lately, was dropped for it. So many bytes are `taken` there.
    Raises OSError."""
    held = sorted(held, key=lambda each: each.used)
    most = min(MOST_BYTES, (shutil.disk_usage(folder).free + taken) // SHARE_OF_DISK)
    total = sum(each.size for each in held)
    for each in held:
        age = now - each.used
        if age > unused or (total + size > most and age > IN_USE):
            drop(each.key)
            total -= each.size
    return total + size <= most
