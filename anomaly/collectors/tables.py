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
import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import pandas as pd

from anomaly.collectors import arrow
from anomaly.collectors.table_form import (
    COLUMNS_AT_MOST,
    HEADER_WITHIN,
    Chunk,
    Table,
    TextForm,
    too_large,
)
from anomaly.collectors.workbook import Sheet
from anomaly.errors import CollectError
from anomaly.wording import plain

STDIN = "-"
CELLS_PER_CHUNK = 500_000
ROWS_PER_CHUNK = 400_000
ROWS_AT_MOST, TYPED_ROWS_AT_MOST = 20_000_000, 1_000_000_000
BLOCK = 1 << 20
NEWLINE = b"\n"
SPOOL_IN_MEMORY = 1 << 25
# what pyarrow raises about damaged files, besides its own errors
DAMAGE = (OSError, ValueError, TypeError, LookupError, OverflowError, MemoryError)
PARQUET_MAGIC = b"PAR1"
ZIP_MAGIC = b"PK\x03\x04"
COMPRESSED = {
    b"\x1f\x8b": "gzip",
    ZIP_MAGIC: "a zip archive, and no .xlsx file",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
FOREIGN = {  # what other files begin with
    b"ARROW1": "an Arrow (Feather) file; write Parquet, as frame.to_parquet() does",
    b"\xd0\xcf\x11\xe0": "an old Excel file (.xls); save it as .xlsx or CSV",
    b"SQLite f": "an SQLite database; read it with a source of type sql",
    b"\x80\x04\x95": "a pickle of Python; write Parquet, as frame.to_parquet() does",
    b"\x80\x05\x95": "a pickle of Python; write Parquet, as frame.to_parquet() does",
    b"%PDF": "a PDF; export the table as CSV",
    b"{": "JSON; write CSV, as pandas.read_json(…).to_csv(…) does",
    b"[{": "JSON; write CSV, as pandas.read_json(…).to_csv(…) does",
    b"<!": "a page of HTML, maybe to log in; save the file itself",
    b"<html": "a page of HTML, maybe to log in; save the file itself",
    b"<?xml": "XML; write CSV",
}
UTF8, WINDOWS = "utf-8", "cp1252"
ENCODINGS = {WINDOWS: "Windows-1252", "utf-16": "UTF-16"}
DELIMITERS = {
    ",": "comma separated",
    ";": "; separated",
    "\t": "tab separated",
    "|": "| separated",
}
SAID = re.compile(r"sep=(.)$")  # how spreadsheets say the delimiter in a first line of its own
LINE_END = "\n"
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@contextmanager
def open_table(
    path: Path, stdin: BinaryIO | None, max_bytes: int, form: TextForm
) -> Iterator[Table]:
    """The table in a regular file, or in the standard input for `-`; its content says whether it is
    CSV, Parquet or a workbook.

    Raises CollectError when it can't be read or is larger than `max_bytes` (Parquet and workbooks:
    unpacked).
    """
    name = "standard input" if str(path) == STDIN else str(path)
    try:
        with (
            _spooled(stdin, name, max_bytes) if str(path) == STDIN else _regular(path, name) as file
        ):
            yield _table(file, name, max_bytes, form)
    except OSError as error:
        raise CollectError(f"{name}: {error.strerror or type(error).__name__}") from error


def _regular(path: Path, name: str) -> BinaryIO:
    descriptor = os.open(
        path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    )  # a pipe without a writer must not block
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        is_folder = "; name a file in this folder" if stat.S_ISDIR(mode) else ""
        raise CollectError(f"{name}: not a regular file{is_folder}")
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
            raise too_large(name, max_bytes)
        spool.write(block)
    if not total:
        spool.close()
        raise CollectError(f"{name}: is empty; it can be read once, by one source")
    spool.seek(0)
    return spool  # type: ignore[return-value]  # it is a BinaryIO in all but the declaration


def _table(file: BinaryIO, name: str, max_bytes: int, form: TextForm) -> Table:
    head = file.read(8)
    file.seek(0)
    if head.startswith(ZIP_MAGIC) and _is_workbook(file):
        return Sheet(file, name, max_bytes, form)
    for magic, kind in COMPRESSED.items():
        if head.startswith(magic):
            raise CollectError(f"{name}: is compressed ({kind}); unpack it first")
    if head.startswith(PARQUET_MAGIC):
        return ParquetTable(file, name, max_bytes)
    for begin, kind in FOREIGN.items():
        if head.startswith(begin):
            raise CollectError(f"{name}: is {kind}")
    encoding = form.encoding
    if encoding is None and head.startswith(UTF16_MARKS):
        encoding = "utf-16"
    checked = _checked_encoding(file, name, max_bytes, encoding)
    return CsvTable(file, name, checked, is_given=form.encoding is not None, form=form)


def _is_workbook(file: BinaryIO) -> bool:
    """Whether a zip archive is an .xlsx file."""
    try:
        with zipfile.ZipFile(file) as archive:
            return any(name.startswith("xl/workbook") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
    finally:
        file.seek(0)


def _checked_encoding(file: BinaryIO, name: str, max_bytes: int, encoding: str | None) -> str:
    """The encoding of a text file: the given one, UTF-8, or Windows-1252 where nothing in it is
    UTF-8. Raises CollectError, with the line, unless all of it can be decoded, without NUL
    bytes."""
    bad = _undecodable(file, name, max_bytes, encoding or UTF8)
    if bad is None:
        return encoding or UTF8
    line, is_mixed, reason = bad
    if encoding is not None:
        raise CollectError(f"{name}:{line}: is not {encoding}; set encoding to another one")
    if is_mixed or _undecodable(file, name, max_bytes, WINDOWS) is not None:
        raise CollectError(
            f"{name}:{line}: is not UTF-8{reason}; save it as UTF-8, or set encoding, like "
            f"{WINDOWS}"
        )
    return WINDOWS


def _undecodable(
    file: BinaryIO, name: str, max_bytes: int, encoding: str
) -> tuple[int, bool, str] | None:
    """The first line that can't be decoded, whether there was any other character before it, and
    why; None if there is none. Raises CollectError for a NUL byte and a file that is too large."""
    decoder = codecs.getincrementaldecoder(encoding)()
    total = lines = 0
    is_mixed = False
    file.seek(0)
    while block := file.read(BLOCK):
        total += len(block)
        if total > max_bytes:
            raise too_large(name, max_bytes)
        try:
            text = decoder.decode(block)
        except UnicodeDecodeError as error:
            before = error.object[: error.start]
            return lines + before.count(NEWLINE) + 1, is_mixed or not before.isascii(), ""
        if (at := text.find("\0")) >= 0:
            raise CollectError(
                f"{name}:{lines + text.count(LINE_END, 0, at) + 1}: holds a NUL byte; it is not "
                "a CSV file"
            )
        is_mixed = is_mixed or not text.isascii()
        lines += text.count(LINE_END)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return lines + 1, is_mixed, "; it ends inside a character"
    file.seek(0)
    return None


class CsvTable:
    """A CSV file, whose columns one of its first lines names. `delimiter` is the sign between
    cells; `read_as` says what of its form is unusual."""

    def __init__(
        self, file: BinaryIO, name: str, encoding: str, *, is_given: bool, form: TextForm
    ) -> None:
        self.name = name
        self._file = file
        self._encoding = "utf-8-sig" if encoding == UTF8 else encoding
        self.delimiter, self._skipped, self.header = self._layout(form)
        self.read_as = tuple(self._unusual(encoding, is_given=is_given))

    def _unusual(self, encoding: str, *, is_given: bool) -> Iterator[str]:
        if self.delimiter != ",":
            yield DELIMITERS.get(self.delimiter, f"{self.delimiter} separated")
        if encoding != UTF8 and not is_given:
            yield ENCODINGS[encoding]
        if self._skipped:
            yield f"header in line {self._line_of(-1)}"

    def _layout(self, form: TextForm) -> tuple[str, int, tuple[str, ...]]:
        """The delimiter, how many records precede the header, and the header: the record with most
        of the names, else the first, split into most cells."""
        named = form.delimiter
        if named is None and (match := SAID.match(self._first_line())):
            named = match[1]
        best: tuple[int, bool, int] = (-1, False, 0)
        layout: tuple[str, int, tuple[str, ...]] | None = None
        for delimiter in [*DELIMITERS] if named is None else [named]:
            is_first = True
            for skipped, (line, cells) in enumerate(
                islice(self._records(delimiter), HEADER_WITHIN)
            ):
                names = tuple(cell.strip() for cell in cells)
                if not any(names) or SAID.match(delimiter.join(names)):
                    continue
                if len(names) > COLUMNS_AT_MOST:
                    raise CollectError(
                        f"{self.name}:{line}: {len(names):,} columns; at most "
                        f"{COLUMNS_AT_MOST:,} are read"
                    )
                worth = (form.fit(names), is_first, len(names))
                if worth > best:
                    best, layout = worth, (delimiter, skipped, names)
                is_first = False
        if layout is None:
            raise CollectError(f"{self.name}:1: is empty; the first line must name the columns")
        return layout

    def _first_line(self) -> str:
        self._file.seek(0)
        text = io.TextIOWrapper(self._file, self._encoding)
        try:
            return text.readline(BLOCK).strip().strip('"')
        finally:
            text.detach()

    def _records(self, delimiter: str) -> Iterator[tuple[int, list[str]]]:
        """The records as Python's reader splits them, with their lines."""
        self._file.seek(0)
        text = io.TextIOWrapper(self._file, self._encoding, newline="")
        try:
            reader = csv.reader(text, delimiter=delimiter)
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
                encoding=self._encoding,
                sep=self.delimiter,
                skiprows=self._skipped,
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
                            f"{beyond} columns of line {self._line_of(-1)}"
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
        if line and "Expected" in text:
            return (
                f"{self.name}:{line[1]}: more cells than the {len(self.header)} columns of line "
                f"{self._line_of(-1)}"
            )
        return f"{self.name}:{line[1] if line else 1}: {plain(text, 200)}"

    def place(self, record: int) -> str:
        """`file:line` of a record; records before it may span lines. Moves the file's position."""
        return f"{self.name}:{self._line_of(record)}"

    def _line_of(self, record: int) -> int:
        """The line at which a record begins; the header is the record -1."""
        for number, (line, _) in enumerate(self._records(self.delimiter)):
            if number == record + 1 + self._skipped:
                return line
        return record + 2 + self._skipped


class ParquetTable:
    """A Parquet file; its records are rows, counted from 1.

    Raises CollectError for a file that is damaged or has too many rows, and for one that unpacks to
    more than `max_bytes`, by its own word here, or as it is read.
    """

    delimiter: ClassVar[str] = ""
    read_as: ClassVar[tuple[str, ...]] = ()

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
        self._groups: Sequence[int] | None = None  # those to be read; None: all
        self._checked: set[str] = set()  # columns of which every group can be asked about
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
            self._about = about
        except self._damage as error:
            raise self._damaged(error) from None
        if unpacked > max_bytes:
            raise too_large(name, max_bytes)
        if about.num_rows > TYPED_ROWS_AT_MOST:
            raise CollectError(
                f"{name}: {about.num_rows:,} rows; at most {TYPED_ROWS_AT_MOST:,} are read"
            )

    def where(self, column: str, texts: Collection[str]) -> ParquetTable:
        """The table without groups of rows in which, by their statistics, the column holds none of
        these texts; the records keep their numbers."""
        at = self.header.index(column)
        self._check_groups(column)
        try:
            groups = [
                number
                for number in range(self._about.num_row_groups)
                if _may_hold(self._about.row_group(number), at, column, texts)
            ]
        except self._damage as error:
            raise self._damaged(error) from None
        out = copy(self)
        out._groups = None if len(groups) == self._about.num_row_groups else groups
        return out

    def _check_groups(self, column: str) -> None:
        """Read a row of each group once: what the file says of a damaged one ends the process where
        pyarrow is asked for it, and is an error where it reads. Raises CollectError."""
        if column in self._checked:
            return
        try:
            for number in range(self._about.num_row_groups):
                next(
                    self._file.iter_batches(
                        batch_size=1, row_groups=[number], columns=[column], use_threads=False
                    ),
                    None,
                )
        except self._damage as error:
            raise self._damaged(error) from None
        self._checked.add(column)

    def _batches(self, columns: Sequence[str]) -> Iterator[tuple[int, Any]]:
        """The number of the first record of each batch, and the batch."""
        first = 0
        for number in [None] if self._groups is None else range(self._about.num_row_groups):
            if self._groups is None or number in self._groups:
                begin = first
                for batch in self._file.iter_batches(
                    batch_size=ROWS_PER_CHUNK,
                    columns=list(columns),
                    use_threads=False,
                    row_groups=None if number is None else [number],
                ):
                    yield begin, batch
                    begin += batch.num_rows
            if number is not None:
                first += self._about.row_group(number).num_rows

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """The columns: moments as UTC or naive times, numbers as numbers, all else as text."""
        unpacked = 0
        try:
            for first, batch in self._batches(columns):
                batch.validate(full=True)
                at = [batch.schema.get_all_field_indices(column)[0] for column in columns]
                arrays = [batch.column(position) for position in at]
                unpacked += sum(arrow.size(array) for array in arrays)
                if unpacked > self._max_bytes:
                    raise too_large(self.name, self._max_bytes)
                yield Chunk(
                    first,
                    {
                        column: arrow.cells(array)
                        for column, array in zip(columns, arrays, strict=True)
                    },
                )
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


def _may_hold(group: Any, at: int, column: str, texts: Collection[str]) -> bool:
    """Whether a group of rows may hold one of these texts in a column, or nothing is known of
    that."""
    about = group.column(at)
    if about.path_in_schema != column or not about.is_stats_set or not about.statistics.has_min_max:
        return True
    least, most = about.statistics.min, about.statistics.max
    if not isinstance(least, str) or not isinstance(most, str):
        return True
    # white space around a text does not count; before it, it sorts first
    return least[:1].isspace() or any(least.strip() <= text <= most for text in texts)
