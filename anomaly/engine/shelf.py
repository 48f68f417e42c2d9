"""What was dear to compute, for later: arrays in memory, or in the files of a folder for processes
to come.

Files may be lost at any time. Whatever is wrong with them, damage, a full disk, or a folder that
can't be written, is as if nothing was kept. Several processes may share a shelf: files are replaced
whole.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from anomaly.engine.room import Held, made_room

LOG = logging.getLogger(__name__)

MOST_HELD = 1 << 28  # bytes in memory
UNUSED = timedelta(days=2).total_seconds()  # after which a file is dropped


@dataclass(frozen=True, slots=True)
class Memory:
    """Arrays by name, of a key each, in the memory of this process: what was put there first, up to
    `MOST_HELD`."""

    held: dict[str, Mapping[str, np.ndarray]] = field(default_factory=dict)

    def taken(self, key: str) -> Mapping[str, np.ndarray] | None:
        """What was put there; None where there is nothing."""
        return self.held.get(key)

    def put(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keeps arrays, where there is room."""
        every = [*self.held.values(), arrays]
        if sum(each.nbytes for some in every for each in some.values()) <= MOST_HELD:
            self.held[key] = arrays


@dataclass(frozen=True, slots=True)
class Shelf:
    """Arrays by name, in the file of a key in the `folder`; `now` is when it is used. No method
    raises. A key is a word of letters and digits that says all that its arrays depend on."""

    folder: Path
    now: datetime

    def taken(self, key: str) -> dict[str, np.ndarray] | None:
        """What was put there; None where there is nothing, or not that."""
        path = self.folder / key
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
            at = self.now.timestamp()
            os.utime(path, (at, at))
        except FileNotFoundError:
            return None
        except Exception as error:  # noqa: BLE001  odd bytes raise anything
            LOG.info("%s: %s", path, error)
            return None
        return found

    def put(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keeps arrays of numbers, where there is room."""
        try:
            self._put(key, arrays)
        except OSError as error:
            LOG.info("nothing is kept in %s: %s", self.folder, error)

    def _put(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        size = sum(each.nbytes for each in arrays.values())
        if not self._has_room(size):
            return
        number, name = tempfile.mkstemp(prefix=".", dir=self.folder)  # for its user alone
        path, at = Path(name), self.now.timestamp()
        try:
            with os.fdopen(number, "wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
            os.utime(path, (at, at))
            path.replace(self.folder / key)
        finally:
            path.unlink(missing_ok=True)

    def _has_room(self, size: int) -> bool:
        """Whether so much more may be kept, after what is not used has made room."""
        held = []
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):  # another process dropped it, or gave it its name
                about = path.lstat()
                held.append(Held(path.name, about.st_mtime, about.st_size))
        return made_room(
            held,
            size,
            lambda name: (self.folder / name).unlink(missing_ok=True),
            folder=self.folder,
            taken=sum(each.size for each in held),
            now=self.now.timestamp(),
            unused=UNUSED,
        )
