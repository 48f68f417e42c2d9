"""Test runs in a folder of JUnit XML files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from anomaly.collectors.junit_runs import MOST_FILES, KeptRun, is_xml, too_large
from anomaly.errors import CollectError
from anomaly.wording import plain


def runs_in(folder: Path, max_bytes: int) -> Iterator[KeptRun]:
    """The runs in a folder: each file of it is a run, and so is each folder with all of its files.
    Raises CollectError for what can't be read."""
    try:
        entries = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    except OSError as error:
        raise CollectError(f"{folder} can't be read: {error.strerror}; give a folder") from None
    count = 0
    for entry in entries:
        files = (
            sorted(
                Path(place) / name
                for place, _, names in os.walk(entry)
                for name in names
                if is_xml(name)
            )
            if entry.is_dir()
            else [entry] * is_xml(entry.name)
        )
        count += len(files)
        if count > MOST_FILES:
            raise CollectError(
                f"{folder}: more than {MOST_FILES:,} files; keep the runs that a baseline needs"
            )
        if files:
            yield KeptRun(entry.name, _shown(entry), partial(_read, files, max_bytes))
    if not count:
        raise CollectError(f"{folder} holds no .xml file; is it the folder of the test runs?")


def _read(files: Sequence[Path], max_bytes: int) -> Iterator[tuple[str, bytes]]:
    for file in files:
        yield _shown(file), _content(file, max_bytes)


def _content(file: Path, max_bytes: int) -> bytes:
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise CollectError(f"{_shown(file)}: is no regular file")
        with file.open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except OSError as error:
        raise CollectError(f"{_shown(file)} can't be read: {error.strerror}") from None
    if len(content) > max_bytes:
        raise too_large(_shown(file), max_bytes)
    return content


def _shown(path: Path) -> str:
    """A path below the folder of the runs, for an error."""
    return plain(str(Path(*path.parts[-2:])), 100)
