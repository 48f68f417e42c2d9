"""Answers of sources that need not be asked for again: within one look or tick, and between those
where there is a file for them.

A collector that takes `answers` from outside uses them; one whose answer to a part may differ from
the part of its answer does not. What is known of a query is checked once in the life of `Answers`,
by asking again for its newest rows, and dropped where they differ.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from anomaly.collectors.answer_file import AnswerFile
from anomaly.collectors.stretch import Stretch
from anomaly.model import Window

T = TypeVar("T")
MOST_HELD = 1 << 28  # bytes in memory, of what several releases share


class Answers:
    """What is known of queries; thread-safe, a context manager.

    `path` is the file that outlives this object, None for none. `windows` are those that will be
    collected: where they overlap, all of them is asked for at once, and held. `now` says how old
    the file is.
    """

    def __init__(
        self, path: Path | None = None, windows: Sequence[Window] = (), *, now: datetime
    ) -> None:
        self._windows = _joined(windows) if len(windows) > 1 else []
        self._file = None if path is None else AnswerFile(path, now)
        self._stretches: dict[str, Stretch] = {}
        self._checked: set[str] = set()
        self._shared: dict[Hashable, Any] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = None
            self._stretches.clear()
            self._shared.clear()

    def reach(self, rows: range, step: timedelta) -> range:
        """The rows to ask for where `rows` are needed: as far as other windows need more. Rows are
        numbered by their ends."""
        step_s = int(step.total_seconds())
        for window in self._windows:
            first = -(-_seconds(window.start) // step_s) + 1
            stop = _seconds(window.end) // step_s + 1
            if first <= rows.stop and rows.start <= stop:
                rows = range(min(rows.start, first), max(rows.stop, stop))
        return rows

    def shared(self, key: Hashable, make: Callable[[], T]) -> T | None:
        """What a collector keeps under a key from one of several windows to the next; None where
        there is but one."""
        with self._lock:
            return self._shared.setdefault(key, make()) if self._windows else None

    def known(self, key: str, rows: range) -> tuple[Stretch | None, bool]:
        """What is known of a query about `rows`, maybe more or less; and whether it is checked."""
        with self._lock:
            stretch = self._stretches.get(key)
            if stretch is None and self._file is not None:
                stretch = self._file.read(key, rows)
            if stretch is None or stretch.rows.start > rows.stop or stretch.rows.stop < rows.start:
                return None, False
            return stretch, key in self._checked

    def keep(self, key: str, whole: Stretch, fresh: Sequence[range], *, anew: bool) -> None:
        """Keeps what is known of a query now, of which the rows `fresh` were asked for; `anew`
        replaces what was kept."""
        with self._lock:
            self._checked.add(key)
            if self._file is not None and (fresh or anew):
                self._file.write(key, whole, fresh, anew=anew)
            if self._windows:
                self._stretches.pop(key, None)
                if whole.size + sum(each.size for each in self._stretches.values()) <= MOST_HELD:
                    self._stretches[key] = whole

    def drop(self, key: str) -> None:
        """Forgets what was kept of a query."""
        with self._lock:
            self._stretches.pop(key, None)
            if self._file is not None:
                self._file.drop(key)


def key_of(*about: str) -> str:
    """The key of a query: a digest of what it depends on."""
    return hashlib.sha256("\0".join(about).encode("utf-8", "surrogatepass")).hexdigest()


def _joined(windows: Sequence[Window]) -> list[Window]:
    """The windows, those that overlap as one."""
    out: list[Window] = []
    for window in sorted(windows, key=lambda each: each.start):
        if out and window.start <= out[-1].end:
            out[-1] = Window(out[-1].start, max(out[-1].end, window.end))
        else:
            out.append(window)
    return out


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
