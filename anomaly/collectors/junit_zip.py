"""Test runs in a zip. It is unpacked in memory, a file at a time, up to a limit; the paths in it
name runs, never files on this machine."""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile

from anomaly.collectors.junit_runs import MOST_FILES, NAMED, is_xml, too_large
from anomaly.errors import CollectError
from anomaly.wording import plain

MOST_UNPACKED = 1 << 28  # bytes of a zip
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,  # a password is needed, or another method of compression
    LookupError,
    TypeError,
    ValueError,
)


class Archive:
    """The XML files in a zip. Raises CollectError for one that can't be read."""

    def __init__(self, content: bytes, where: str, max_bytes: int) -> None:
        self._where, self._max_bytes, self._left = where, max_bytes, MOST_UNPACKED
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
        except DAMAGE as error:
            raise self._damaged(error) from None
        self.members = sorted(
            (each for each in self._zip.infolist() if is_xml(_parts(each)[-1])),
            key=lambda each: each.filename,
        )
        if len(self.members) > MOST_FILES:
            raise CollectError(f"{where}: more than {MOST_FILES:,} files")

    def entries(self) -> Mapping[str, Sequence[zipfile.ZipInfo]]:
        """The files by the file or folder in which they lie, below the folders that all share; a
        folder whose name says when a run began is a run."""
        if not self.members:
            raise CollectError(
                f"{self._where}: the zip holds no .xml file; is it that of the test runs?"
            )
        folders = [_parts(each)[:-1] for each in self.members]
        both = zip(min(folders), max(folders), strict=False)
        shared = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], both)]
        depth = next((at for at, name in enumerate(shared) if NAMED.match(name)), len(shared))
        entries: dict[str, list[zipfile.ZipInfo]] = {}
        for each in self.members:
            entries.setdefault(_parts(each)[depth], []).append(each)
        return entries

    def read(self, members: Iterable[zipfile.ZipInfo]) -> Iterator[tuple[str, bytes]]:
        """What is in the files, each by how errors show it."""
        for member in members:
            file = f"{self._where}: {plain(member.filename, 100)}"
            try:
                with self._zip.open(member) as stream:
                    content = stream.read(self._max_bytes + 1)
            except DAMAGE as error:
                raise self._damaged(error) from None
            if len(content) > self._max_bytes:
                raise too_large(file, self._max_bytes)
            self._left -= len(content)
            if self._left < 0:
                raise CollectError(
                    f"{self._where}: more than {MOST_UNPACKED >> 20} MiB when unpacked; "
                    "keep no more than the XML of test runs in it"
                )
            yield file, content

    def _damaged(self, error: Exception) -> CollectError:
        return CollectError(
            f"unreadable: {self._where}: is no zip that can be unpacked ({type(error).__name__})"
        )


def _parts(member: zipfile.ZipInfo) -> list[str]:
    return member.filename.split("/")
