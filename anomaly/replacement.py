"""A file that is replaced whole: a reader sees the old content or the new, never a mix."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

ROOT = 0  # its user id
MOST_LINKS = 40  # to one file, as on Linux


def replace_file(path: Path, content: bytes, *, trial: bool = False) -> None:
    """Write beside `path`, then rename, which is atomic; the file keeps its mode. A `trial` leaves
    `path` unchanged.

    A link of this user or of root is followed to its file. Raises OSError, also for a link of
    somebody else, and for what is not a regular file.
    """
    target = _target(path)
    mode = None
    if target.exists():
        about = target.stat()
        if not stat.S_ISREG(about.st_mode):
            raise OSError(None, "not a regular file")
        mode = stat.S_IMODE(about.st_mode)
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("xb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if not trial:
            beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _target(path: Path) -> Path:
    """The file that a path leads to. Raises OSError for a link that somebody else put there."""
    for _ in range(MOST_LINKS):
        if not path.is_symlink():
            return path.parent.resolve() / path.name
        if path.lstat().st_uid not in {os.geteuid(), ROOT}:
            raise OSError(None, "is a link of another user")
        path = path.parent / path.readlink()
    raise OSError(None, "is a link to itself")
