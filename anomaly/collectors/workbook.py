"""A sheet of a workbook (.xlsx) as a table."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, BinaryIO, ClassVar

import pandas as pd

from anomaly.collectors.table_form import (
    COLUMNS_AT_MOST,
    HEADER_WITHIN,
    Chunk,
    TextForm,
    too_large,
)
from anomaly.errors import CollectError
from anomaly.wording import plain

NAMES_SHOWN = 12
MOST_CELLS = 20_000_000
WIDEST = 16_384  # columns that a sheet can have
PLACE = re.compile(rb"""\sr\s*=\s*["']([A-Za-z]*)([0-9]+)["']""")  # of a row or a cell
PANIC = "PanicException"  # what a reader in Rust raises where it crashes; it has no other name


class Sheet:
    """One sheet of an .xlsx file; the records are the rows below its header.

    It is the one that `form` names, else the only one that holds all of the names, else the only
    one.
    """

    delimiter: ClassVar[str] = ""

    def __init__(self, file: BinaryIO, name: str, max_bytes: int, form: TextForm) -> None:
        try:
            import python_calamine as calamine
        except ImportError as error:
            raise CollectError(
                f"{name}: is a workbook; to read it: pip install 'release-anomaly[xlsx]'"
            ) from error
        try:
            _check_parts(name, file, max_bytes)
            book = calamine.CalamineWorkbook.from_filelike(file)
            sheets = {
                each: book.get_sheet_by_name(each).to_python(skip_empty_area=False)
                for each in ([form.sheet] if form.sheet in book.sheet_names else book.sheet_names)
            }
        except (
            calamine.CalamineError,
            zipfile.BadZipFile,
            zlib.error,
            NotImplementedError,
            RuntimeError,
            EOFError,
            OSError,
            ValueError,
        ) as error:
            raise _unreadable(name, str(error)) from error
        except BaseException as error:
            if type(error).__name__ == PANIC:
                raise _unreadable(name, "it is damaged") from error
            raise
        title = _chosen(name, sheets, form)
        self.name = f"{name}: sheet {plain(title, 40)}"
        self.read_as = (f"sheet {plain(title, 40)}",) if len(book.sheet_names) > 1 else ()
        rows = sheets[title]
        self._above, _ = _header_of(rows, form)
        if not rows or not any(map(_text, rows[self._above])):
            raise CollectError(f"{self.name}: is empty; a row must name the columns")
        self.header = tuple(_text(cell).strip() for cell in rows[self._above])
        if len(self.header) > COLUMNS_AT_MOST:
            raise CollectError(
                f"{self.name}: {len(self.header):,} columns; at most {COLUMNS_AT_MOST:,} are read"
            )
        self._rows = rows[self._above + 1 :]

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """The columns with the values of their cells, whole numbers and dates as text."""
        yield Chunk(
            0,
            {
                column: pd.Series([_cell(row[at]) for row in self._rows], dtype=object)
                for column in columns
                for at in [self.header.index(column)]
            },
        )

    def place(self, record: int) -> str:
        """`file: sheet name, row n`."""
        return f"{self.name}, row {record + self._above + 2}"


def _unreadable(name: str, why: str) -> CollectError:
    return CollectError(f"{name}: is not a readable workbook: {plain(why, 200)}")


def _check_parts(name: str, file: BinaryIO, max_bytes: int) -> None:
    """Raises CollectError for a workbook that would fill the memory: its reader makes a cell for
    every place up to the last one of a sheet."""
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        if sum(each.file_size for each in parts) > max_bytes:
            raise too_large(name, max_bytes)
        for part in parts:
            places = PLACE.findall(archive.read(part))
            rows = max((int(row) for _, row in places), default=0)
            columns = max(map(_column_number, {column for column, _ in places}), default=0)
            if rows * columns > MOST_CELLS or columns > WIDEST:
                raise CollectError(
                    f"{name}: a sheet reaches to row {rows:,} and column {columns:,}; at most "
                    f"{MOST_CELLS:,} cells of {WIDEST:,} columns are read; delete what is beyond "
                    "the data"
                )
    file.seek(0)


def _column_number(letters: bytes) -> int:
    """The number of column `A`, `B`, … `AA` …, from 1."""
    number = 0
    for letter in letters.upper():
        number = 26 * number + letter - 64
    return number


def _chosen(name: str, sheets: dict[str, list[list[Any]]], form: TextForm) -> str:
    """The name of the sheet to read. Raises CollectError where that is not clear."""
    names = ", ".join(plain(each, 40) for each in [*sheets][:NAMES_SHOWN])
    if form.sheet is not None:
        if form.sheet not in sheets:
            raise CollectError(f"{name}: no sheet {form.sheet!r}; the sheets are {names}")
        return form.sheet
    if not sheets:
        raise CollectError(f"{name}: has no sheet")
    fits = {each: _header_of(rows, form)[1] for each, rows in sheets.items()}
    most = [each for each, count in fits.items() if count == max(fits.values())]
    if len(most) > 1:
        raise CollectError(f"{name}: set sheet to one of {names}")
    return most[0]


def _header_of(rows: Sequence[Sequence[Any]], form: TextForm) -> tuple[int, int]:
    """Which row is the header, and how well it does as one: the best, else the first that is not
    empty."""
    best = (0, 0)
    for number, row in enumerate(rows[:HEADER_WITHIN]):
        fit = form.fit([_text(cell).strip() for cell in row])
        if fit > best[1] or not any(map(_text, rows[best[0]])):
            best = (number, fit)
    return best


def _cell(cell: Any) -> Any:
    """A cell as it is read on: a number or text, whole numbers without decimals."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return int(cell)
    return _text(cell) if isinstance(cell, str | date) else cell


def _text(cell: Any) -> str:
    """A cell as text."""
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)
