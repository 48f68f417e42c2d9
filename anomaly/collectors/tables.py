"""Tables in files: CSV and Parquet, read in chunks, with the line of every record at hand for an
error.

A `Table` gives its columns in chunks as they stand in the file: text from CSV, typed values from
Parquet. What the cells mean is said in `cells`.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import pandas as pd

from anomaly.collectors import arrow
from anomaly.errors import CollectError
from anomaly.wording import plain

STDIN = "-"
CELLS_PER_CHUNK = 500_000
ROWS_PER_CHUNK = 100_000
ROWS_AT_MOST = 20_000_000
COLUMNS_AT_MOST = 10_000
BLOCK = 1 << 20
NEWLINE = b"\n"
SPOOL_IN_MEMORY = 1 << 25
# what pyarrow raises about damaged files, besides its own errors
DAMAGE = (OSError, ValueError, TypeError, LookupError, OverflowError, MemoryError)
PARQUET_MAGIC = b"PAR1"
COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive records of a table: the number of the first (from 0) and the asked columns,
    equally long."""

    first: int
    columns: dict[str, pd.Series]


class Table(Protocol):
    """A table whose columns are named by `header`; `place` names a record for people
    (`kpis.csv:17`)."""

    @property
    def name(self) -> str: ...

    @property
    def header(self) -> tuple[str, ...]: ...

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]: ...

    def place(self, record: int) -> str: ...


@contextmanager
def open_table(path: Path, stdin: BinaryIO | None, max_bytes: int) -> Iterator[Table]:
    """The table in a regular file, or in the standard input for `-`; its content says whether it is
    CSV or Parquet.

    Raises CollectError when it can't be read or is larger than `max_bytes` (Parquet: unpacked).
    """
    name = "standard input" if str(path) == STDIN else str(path)
    try:
        with (
            _spooled(stdin, name, max_bytes) if str(path) == STDIN else _regular(path, name) as file
        ):
            yield _table(file, name, max_bytes)
    except OSError as error:
        raise CollectError(f"{name}: {error.strerror or type(error).__name__}") from error


def _regular(path: Path, name: str) -> BinaryIO:
    descriptor = os.open(
        path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    )  # a pipe without a writer must not block
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CollectError(f"{name}: not a regular file")
    return os.fdopen(descriptor, "rb")


def _spooled(stdin: BinaryIO | None, name: str, max_bytes: int) -> BinaryIO:
    """A seekable copy of the standard input."""
    stream = sys.stdin.buffer if stdin is None else stdin
    if stream.isatty():
        raise CollectError(f"{name}: a terminal, not a file; write `… < kpis.csv`")
    # the caller's with closes it
    spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_IN_MEMORY)  # noqa: SIM115
    total = 0
    while block := stream.read(BLOCK):
        total += len(block)
        if total > max_bytes:
            spool.close()
            raise _too_large(name, max_bytes)
        spool.write(block)
    if not total:
        spool.close()
        raise CollectError(f"{name}: is empty; it can be read once, by one source")
    spool.seek(0)
    return spool  # type: ignore[return-value]  # it is a BinaryIO in all but the declaration


def _too_large(name: str, max_bytes: int) -> CollectError:
    return CollectError(
        f"{name}: larger than {max_bytes:,} bytes; cut it to the asked time or raise max_bytes"
    )


def _table(file: BinaryIO, name: str, max_bytes: int) -> Table:
    head = file.read(8)
    file.seek(0)
    for magic, kind in COMPRESSED.items():
        if head.startswith(magic):
            raise CollectError(f"{name}: is compressed ({kind}); unpack it first")
    if head.startswith(PARQUET_MAGIC):
        return ParquetTable(file, name, max_bytes)
    if head.startswith(UTF16_MARKS):
        raise CollectError(f"{name}:1: is UTF-16; save it as UTF-8")
    _check_text(file, name, max_bytes)
    return CsvTable(file, name)


def _check_text(file: BinaryIO, name: str, max_bytes: int) -> None:
    """Raises CollectError, with the line, unless the file is UTF-8 without NUL bytes and small
    enough."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    total = lines = 0
    while block := file.read(BLOCK):
        total += len(block)
        if total > max_bytes:
            raise _too_large(name, max_bytes)
        if (at := block.find(b"\0")) >= 0:
            raise CollectError(
                f"{name}:{lines + block.count(NEWLINE, 0, at) + 1}: holds a NUL byte; it is not "
                "a CSV file"
            )
        try:
            decoder.decode(block)
        except UnicodeDecodeError as error:
            line = lines + error.object.count(NEWLINE, 0, error.start) + 1
            raise CollectError(f"{name}:{line}: is not UTF-8; save it as UTF-8") from error
        lines += block.count(NEWLINE)
    if decoder.getstate()[0]:
        raise CollectError(f"{name}:{lines + 1}: is not UTF-8; it ends inside a character")
    file.seek(0)


class CsvTable:
    """A CSV file: commas, the first line names the columns, UTF-8 with or without a mark at its
    start."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self._file = file
        self.header = self._read_header()

    def _read_header(self) -> tuple[str, ...]:
        for cells in self._records():
            if not any(cell.strip() for cell in cells):
                break
            if len(cells) > COLUMNS_AT_MOST:
                raise CollectError(
                    f"{self.name}:1: {len(cells):,} columns; at most {COLUMNS_AT_MOST:,} are read"
                )
            return tuple(cell.strip() for cell in cells)
        raise CollectError(f"{self.name}:1: is empty; the first line must name the columns")

    def _records(self) -> Iterator[list[str]]:
        """The records from the start as Python's reader splits them."""
        for _, cells in self._lines_and_records():
            yield cells

    def _lines_and_records(self) -> Iterator[tuple[int, list[str]]]:
        self._file.seek(0)
        text = io.TextIOWrapper(self._file, "utf-8-sig", newline="")
        try:
            reader = csv.reader(text)
            line = 1
            for cells in reader:
                yield line, cells
                line = reader.line_num + 1
        except csv.Error as error:
            raise CollectError(f"{self.name}:{reader.line_num}: {error}") from error
        finally:
            text.detach()

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """The columns as text, stripped of nothing; raises CollectError for a record with more
        cells than the header."""
        positions = {column: self.header.index(column) for column in columns}
        beyond = len(self.header)
        self._file.seek(0)
        try:
            with pd.read_csv(  # left open it would take the file with it when it is forgotten
                self._file,
                encoding="utf-8-sig",
                header=None,
                names=range(beyond + 1),
                index_col=False,
                dtype=str,
                na_filter=False,
                skip_blank_lines=False,
                compression=None,
                chunksize=max(1, CELLS_PER_CHUNK // (beyond + 1)),
            ) as reader:
                first = -1  # the header is read as a record before the first
                for frame in reader:
                    if first + len(frame) > ROWS_AT_MOST:
                        raise CollectError(f"{self.name}: more than {ROWS_AT_MOST:,} rows")
                    too_long = (frame[beyond] != "").to_numpy()
                    if too_long.any():
                        raise CollectError(
                            f"{self.place(first + int(too_long.argmax()))}: more cells than the "
                            f"{beyond} columns of line 1"
                        )
                    body = frame.iloc[1:] if first < 0 else frame
                    yield Chunk(
                        max(0, first), {column: body[at] for column, at in positions.items()}
                    )
                    first += len(frame)
        except pd.errors.ParserError as error:
            raise CollectError(self._parser_text(str(error))) from error

    def _parser_text(self, text: str) -> str:
        if match := re.search(r"starting at row (\d+)", text):
            return f"{self.name}:{int(match[1]) + 1}: a quotation mark is never closed"
        line = re.search(r"in line (\d+)", text)
        return f"{self.name}:{line[1] if line else 1}: {plain(text, 200)}"

    def place(self, record: int) -> str:
        """`file:line` of a record; records before it may span lines. Moves the file's position."""
        for number, (line, _) in enumerate(self._lines_and_records()):
            if number == record + 1:
                return f"{self.name}:{line}"
        return f"{self.name}:{record + 2}"


class ParquetTable:
    """A Parquet file; its records are rows, counted from 1.

    Raises CollectError for a file that is damaged or has too many rows, and for one that unpacks to
    more than `max_bytes`, by its own word here, or as it is read.
    """

    def __init__(self, file: BinaryIO, name: str, max_bytes: int) -> None:
        try:
            import pyarrow as pa  # type: ignore[import-untyped]
            import pyarrow.parquet as pq  # type: ignore[import-untyped]
        except ImportError as error:
            raise CollectError(
                f"{name}: is a Parquet file; to read it: pip install 'release-anomaly[parquet]'"
            ) from error
        self.name = name
        self._max_bytes = max_bytes
        self._damage = (pa.ArrowException, *DAMAGE)
        try:
            about = pq.read_metadata(file)
            file.seek(0)
            schema = pq.read_schema(file)
            file.seek(0)
            # a text that many rows share is kept once
            self._file = pq.ParquetFile(
                file,
                read_dictionary=[each.name for each in schema if arrow.is_text(each.type)],
            )
            unpacked = sum(
                about.row_group(number).total_byte_size for number in range(about.num_row_groups)
            )
            self.header = tuple(schema.names)
        except self._damage as error:
            raise self._damaged(error) from None
        if unpacked > max_bytes:
            raise _too_large(name, max_bytes)
        if about.num_rows > ROWS_AT_MOST:
            raise CollectError(
                f"{name}: {about.num_rows:,} rows; at most {ROWS_AT_MOST:,} are read"
            )

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """The columns: moments as UTC or naive times, numbers as numbers, all else as text."""
        first = unpacked = 0
        try:
            for batch in self._file.iter_batches(
                batch_size=ROWS_PER_CHUNK, columns=list(columns), use_threads=False
            ):
                batch.validate(full=True)
                at = [batch.schema.get_all_field_indices(column)[0] for column in columns]
                arrays = [batch.column(position) for position in at]
                unpacked += sum(arrow.size(array) for array in arrays)
                if unpacked > self._max_bytes:
                    raise _too_large(self.name, self._max_bytes)
                yield Chunk(
                    first,
                    {
                        column: arrow.cells(array)
                        for column, array in zip(columns, arrays, strict=True)
                    },
                )
                first += batch.num_rows
        except self._damage as error:
            raise self._damaged(error) from None

    def place(self, record: int) -> str:
        """`file:row n`."""
        return f"{self.name}:row {record + 1}"

    def _damaged(self, error: BaseException) -> CollectError:
        text = plain(" ".join(str(error).split()), 200) or type(error).__name__
        return CollectError(
            f"{self.name}: is not a readable Parquet file, or damaged: {text}; write it anew"
        )
