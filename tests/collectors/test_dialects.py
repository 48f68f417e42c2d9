"""Files as other programs export them are read as they are, and what was found out is said; where
two readings are possible, the error names the setting."""

from __future__ import annotations

import io
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import openpyxl
import pytest

from anomaly.checklist.registry import Plugin, collector
from anomaly.collectors.files import FilesCollector
from anomaly.collectors.steps import Resample
from anomaly.contracts import Collected
from anomaly.errors import ChecklistError, UsageError
from anomaly.model import Kpi, Window
from anomaly.panel import VALUE
from anomaly.steps import DAY, CalendarStep

ZONE = "Europe/Berlin"
BERLIN = ZoneInfo(ZONE)
DAYS = CalendarStep(DAY, ZONE)
WEEK = Window(datetime(2025, 6, 1, tzinfo=BERLIN), datetime(2025, 6, 5, tzinfo=BERLIN))
REVENUE = Kpi("revenue", query="Umsatz")
NAN = float("nan")
HOW: dict[str, Any] = {"time_column": "Datum", "timezone": ZONE}
EXPORT = """\
Datum;Umsatz;Besuche
01.06.2025;1.234,50;1.000
02.06.2025;980,00;900
03.06.2025;1.100;950
04.06.2025;12,25;1.020
Gesamt;3.326,75;3.870
"""


def read(content: str | bytes, folder: Path, *kpis: Kpi, **how: Any) -> Collected:
    """What a file holds of four days in June."""
    path = folder / "kpis.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return FilesCollector(path=path, **{**HOW, **how}).collect(kpis or [REVENUE], WEEK, DAYS)


def values(collected: Collected, kpi: str = "revenue", segment: str = "") -> list[float]:
    assert not collected.errors, collected.errors
    return [float(value) for value in collected.panel[(kpi, segment, VALUE)]]


def wrong(collected: Collected, kpi: str = "revenue") -> str:
    assert kpi in collected.errors
    return str(collected.errors[kpi])


def notes(collected: Collected, kpi: str = "revenue") -> list[str]:
    return [*collected.provenance[kpi].notes]


# What is found out


def test_an_export_of_a_bi_tool_is_read_as_it_is(tmp_path: Path) -> None:
    visits = Kpi("visits", query="Besuche")

    collected = read(EXPORT, tmp_path, REVENUE, visits)

    assert values(collected) == [1234.5, 980, 1100, 12.25]
    assert values(collected, "visits") == [1000, 900, 950, 1020]
    assert notes(collected) == [
        f"read as: ; separated, decimal comma, dates like 01.06.2025, {ZONE}",
        f"{tmp_path / 'kpis.csv'}:6: 'Gesamt' is a row of totals, left out",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (EXPORT.replace(";", "\t"), "tab separated"),
        (EXPORT.replace(";", "|"), "| separated"),
        ("sep=;\n" + EXPORT, "; separated, header in line 2"),
        ("Bericht: Umsatz, netto\nZeitraum;Juni\n\n" + EXPORT, "; separated, header in line 4"),
        (b"\xef\xbb\xbf" + EXPORT.encode(), "; separated"),
        (EXPORT.encode("utf-16"), "; separated, UTF-16"),
        (EXPORT.replace(",50;", ",50 €;").encode("cp1252"), "; separated, Windows-1252"),
        (EXPORT.replace("\n", "\r\n"), "; separated"),
        (EXPORT.replace(";", '";"').replace("\n", '"\n"')[:-1].join(['"', ""]), "; separated"),
        (EXPORT.replace("1.234,50", "1\u00a0234,50"), "; separated"),
        (EXPORT.replace("06.2025", "6.25"), "; separated"),
        (EXPORT.replace(".06.2025", ".06.2025 00:00"), "; separated"),
        (EXPORT.replace("Gesamt", "Summe"), "; separated"),
        (EXPORT.replace("Gesamt", "Grand Total"), "; separated"),
    ],
)
def test_the_form_of_a_text_file_is_found_out(
    tmp_path: Path, content: str | bytes, said: str
) -> None:
    collected = read(content, tmp_path)

    assert values(collected) == [1234.5, 980, 1100, 12.25]
    assert notes(collected)[0].startswith(f"read as: {said}, decimal comma, dates like ")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["12,5 %", "10 %", "0 %", "8,25%"], [0.125, 0.1, 0, 0.0825]),
        (["1.234,50 €", "980 €", "0", "-5,5 €"], [1234.5, 980, 0, -5.5]),
        (["$1,234.50", "$980", "($5)", "$0.5"], [1234.5, 980, -5, 0.5]),
        (["1'234.50", "980", "5.25", ""], [1234.5, 980, 5.25, NAN]),
        (["1.234", "0.5", "2.125", "n/a"], [1.234, 0.5, 2.125, NAN]),
    ],
)
def test_numbers_may_have_separators_and_one_unit(
    tmp_path: Path, cells: list[str], expected: list[float]
) -> None:
    rows = "".join(f"2025-06-0{day};{cell}\n" for day, cell in enumerate(cells, 1))

    collected = read("Datum;Umsatz\n" + rows, tmp_path)

    np.testing.assert_allclose(values(collected), expected)
    assert any("percent as shares of 1" in note for note in notes(collected)) == ("%" in cells[0])


def test_a_file_in_the_usual_form_is_read_without_a_word(tmp_path: Path) -> None:
    content = "Datum,Umsatz\n2025-06-01,1.234\n2025-06-02,2\n2025-06-03,3\n2025-06-04,4\n"

    collected = read(content, tmp_path)

    assert values(collected) == [1.234, 2, 3, 4]
    assert notes(collected) == []


@pytest.mark.parametrize("first", ["2025-06-01", "20250601", "06/01/2025", "2025/06/01"])
def test_dates_that_can_be_read_in_one_way_are_read(tmp_path: Path, first: str) -> None:
    later = "06/30/2025,1\n" if first[2] == "/" else ""

    collected = read(f"Datum,Umsatz\n{first},7\n{later}", tmp_path)

    assert values(collected)[0] == 7


def test_months_and_local_times_with_the_hour_that_is_there_twice_are_read(tmp_path: Path) -> None:
    hours = ["26.10.2025 01:00", "26.10.2025 02:00", "26.10.2025 02:00", "26.10.2025 03:00"]
    path = tmp_path / "night.csv"
    path.write_text("Datum;Umsatz\n" + "".join(f"{at};{n}\n" for n, at in enumerate(hours)))
    start = datetime(2025, 10, 25, 23, tzinfo=UTC)

    collected = FilesCollector(path=path, **HOW).collect(
        [REVENUE], Window(start, start + timedelta(hours=4)), timedelta(hours=1)
    )

    assert values(collected) == [0, 1, 2, 3]


# KPIs in rows


PIVOT = """\
Kennzahl;01.06.2025;02.06.2025;03.06.2025;04.06.2025;Gesamt
Umsatz;1.234,50;980,00;1.100;12,25;3.326,75
Besuche;10;;30;40;80
"""


def test_kpis_in_rows_are_found_out(tmp_path: Path) -> None:
    visits = Kpi("visits", query="Besuche")

    collected = read(PIVOT, tmp_path, REVENUE, visits)

    assert values(collected) == [1234.5, 980, 1100, 12.25]
    np.testing.assert_equal(values(collected, "visits"), [10, NAN, 30, 40])
    assert "; separated, KPIs in rows, decimal comma" in notes(collected)[0]


def test_kpis_in_rows_may_have_segments_and_an_error_names_the_line(tmp_path: Path) -> None:
    lines = PIVOT.replace(";Gesamt", "").replace(";3.326,75", "").replace(";80", "").splitlines()
    with_land = [
        f"Land;{lines[0]}",
        f"DE;{lines[1]}",
        f"FR;{lines[2].replace('Besuche', 'Umsatz')}",
    ]
    by_country = Kpi("revenue", query="Umsatz", by=("Land",))

    collected = read("\n".join(with_land), tmp_path, by_country)
    unclear = read("\n".join(with_land), tmp_path)
    broken = read("\n".join(with_land).replace(";30;", ";x;"), tmp_path, by_country)

    np.testing.assert_equal(values(collected, segment="Land=FR"), [10, NAN, 30, 40])
    assert "set kpi_column to the column of their names, one of Land, Kennzahl" in wrong(unclear)
    assert (
        wrong(broken)
        == f"{tmp_path / 'kpis.csv'}:3: 'x' is not a number; leave it empty if nothing was measured"
    )


# What is not clear


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "Datum,Umsatz\n03/06/2025,1\n04/06/2025,2\n",
            (
                ":2: '03/06/2025' is 3 June 2025 or 6 March 2025; set date_format to "
                '"%d/%m/%Y" or "%m/%d/%Y"'
            ),
        ),
        (
            "Datum;Umsatz\n2025-06-03;1.234\n",
            ':2: \'1.234\' is 1.234 (decimal: ".") or 1234 (decimal: ","); set decimal',
        ),
        (
            "Datum;Umsatz\n2025-06-03;1,234\n",
            ':2: \'1,234\' is 1234 (decimal: ".") or 1.234 (decimal: ","); set decimal',
        ),
        (
            "Datum;Umsatz\n03/06/2025;5\n04/06/2025;1.234\n",
            'set date_format to "%d/%m/%Y" or "%m/%d/%Y"; PATH:3: \'1.234\' is 1.234',
        ),
        (
            "Datum;Umsatz\n2025-06-02;1,5\n2025-06-03;1.5\n",
            ":2: '1,5' and '1.5' at PATH:3 have different decimal signs; set decimal",
        ),
        (
            "Datum;Umsatz\n25/06/2025;1\n06/25/2025;1\n",
            ":2: '25/06/2025' and '06/25/2025' at PATH:3 have day and month in different orders",
        ),
        (
            "Datum;Umsatz\n2025-06-03;5 €\n2025-06-04;$7\n",
            ":3: '$7' is in another unit than '5 €'; write one unit into the column",
        ),
        (
            "Datum;Umsatz\n2025-06-03;5 %\n2025-06-04;7\n",
            ":3: '7' is in another unit than '5 %'; write one unit into the column",
        ),
        (
            "Tag;Umsatz\n2025-06-03;5\n",
            "the columns are Tag, Umsatz (read as: ; separated); set time_column to the one with",
        ),
        (
            "Datum,metric,value\n2025-06-03,Umsatz,5\n",
            "column 'metric' holds it in its rows: set layout: long, kpi_column: metric",
        ),
        (
            "Datum,kpi,value\n2025-06-03,Umsatz,5\n",
            "column 'kpi' holds it in its rows: set layout: long",
        ),
        ("Datum;Umsatz\n3. Juni 2025;5\n", ":2: '3. Juni 2025' is not a time; write 2025-06-03"),
        ("Datum;Umsatz\n2025-06-03;5 Stk\n", ":2: '5 Stk' is not a number"),
        (b"Datum;Ums\x8dtze\n", ":1: is not UTF-8; save it as UTF-8, or set encoding, like cp1252"),
    ],
)
def test_what_can_be_read_in_two_ways_is_an_error_that_names_the_setting(
    tmp_path: Path, content: str | bytes, said: str
) -> None:
    text = wrong(read(content, tmp_path))

    path = str(tmp_path / "kpis.csv")
    assert text.startswith(path)
    assert said.replace("PATH", path) in text


@pytest.mark.parametrize(
    ("content", "how", "expected"),
    [
        ("Datum,Umsatz\n03/06/2025,7\n", {"date_format": "%d/%m/%Y"}, [NAN, NAN, 7, NAN]),
        ("Datum,Umsatz\n06/03/2025,7\n", {"date_format": "%m/%d/%Y"}, [NAN, NAN, 7, NAN]),
        ("Datum;Umsatz\n2025-06-01;1.234\n", {"decimal": ","}, [1234, NAN, NAN, NAN]),
        ("Datum;Umsatz\n2025-06-01;1.234\n", {"decimal": "."}, [1.234, NAN, NAN, NAN]),
        ("Datum:Umsatz\n2025-06-01:7\n", {"delimiter": ":"}, [7, NAN, NAN, NAN]),
        (
            "Datum;Выручка\n2025-06-01;7\n".encode("cp1251"),
            {"encoding": "cp1251", "query": "Выручка"},
            [7, NAN, NAN, NAN],
        ),
    ],
)
def test_a_setting_says_how_it_is_meant(
    tmp_path: Path, content: str | bytes, how: dict[str, Any], expected: list[float]
) -> None:
    kpi = Kpi("revenue", query=how.pop("query", "Umsatz"))

    np.testing.assert_equal(values(read(content, tmp_path, kpi, **how)), expected)


def test_a_kpi_that_is_not_clear_hides_no_other(tmp_path: Path) -> None:
    content = 'Datum,Umsatz,Besuche\n2025-06-01,"1,234",5\n'

    collected = read(content, tmp_path, REVENUE, Kpi("visits", query="Besuche"))

    assert [*collected.errors] == ["revenue"]
    assert collected.panel[("visits", "", VALUE)].iloc[0] == 5


def test_a_setting_that_cannot_be_meant_is_refused() -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"delimiter": ";;"}, "delimiter is ';;'; give one sign"),
        ({"encoding": "utf-7777"}, "encoding is 'utf-7777'; use one that Python knows"),
        ({"encoding": "base64"}, "encoding is 'base64'; use one that Python knows"),
        ({"date_format": "TT.MM.JJJJ"}, "date_format is 'TT.MM.JJJJ'; write it with %Y"),
    ]
    for how, said in refused:
        with pytest.raises(UsageError, match=said):
            FilesCollector(path=Path("x"), **how)
    with pytest.raises(ChecklistError, match=r"use one of \., ,"):
        collector(Plugin("files", {"path": "x", "decimal": "comma"}))


# The time zone of the checklist


def test_times_without_a_zone_are_in_that_of_the_checklist(tmp_path: Path) -> None:
    path = tmp_path / "kpis.csv"
    path.write_text("time,orders\n2025-06-01,7\n")

    made = collector(Plugin("files", {"path": str(path)}, calendar_zone=ZONE))
    collected = made.collect([Kpi("orders", query="orders")], WEEK, DAYS)

    assert values(collected, "orders")[0] == 7
    assert notes(collected, "orders")[0] == f"read as: {ZONE}"


# Sheets


def workbook(path: Path, **sheets: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


ROWS: list[list[Any]] = [
    ["Datum", "Umsatz", "Land"],
    [datetime(2025, 6, 1), 1234.5, "DE"],  # noqa: DTZ001  as a sheet holds it
    [datetime(2025, 6, 2), 980, "DE"],  # noqa: DTZ001
    ["03.06.2025", "1.100,25", "DE"],
    [None, None, None],
    ["Gesamt", 3314.75, None],
]


def sheet(path: Path, *kpis: Kpi, **how: Any) -> Collected:
    return FilesCollector(path=path, **{**HOW, **how}).collect(kpis or [REVENUE], WEEK, DAYS)


def test_a_sheet_is_read_like_csv(tmp_path: Path) -> None:
    collected = sheet(workbook(tmp_path / "b.xlsx", Umsatz=ROWS))

    np.testing.assert_equal(values(collected), [1234.5, 980, 1100.25, NAN])
    assert notes(collected)[0] == f"read as: decimal comma, dates like 03.06.2025, {ZONE}"
    assert "sheet Umsatz, row 6: 'Gesamt' is a row of totals, left out" in notes(collected)[1]


def test_the_sheet_with_the_columns_is_taken_and_said(tmp_path: Path) -> None:
    title: list[list[Any]] = [["Bericht"], [], *ROWS]
    path = workbook(tmp_path / "b.xlsx", Deckblatt=[["Juni"]], Daten=title)

    collected = sheet(path)

    assert values(collected)[:3] == [1234.5, 980, 1100.25]
    assert notes(collected)[0].startswith("read as: sheet Daten, ")
    assert "row 8: 'Gesamt'" in notes(collected)[1]


def test_sheets_that_could_both_be_meant_need_a_setting(tmp_path: Path) -> None:
    path = workbook(tmp_path / "b.xlsx", Mai=ROWS, Juni=ROWS)

    assert wrong(sheet(path)) == f"{path}: set sheet to one of Mai, Juni"
    assert wrong(sheet(path, sheet="Juli")) == f"{path}: no sheet 'Juli'; the sheets are Mai, Juni"
    assert values(sheet(path, sheet="Juni"))[0] == 1234.5


def test_a_cell_of_a_sheet_that_is_no_number_is_an_error_with_its_row(tmp_path: Path) -> None:
    path = workbook(tmp_path / "b.xlsx", Umsatz=[*ROWS[:2], [*ROWS[2][:1], "x", "DE"]])

    assert wrong(sheet(path)).startswith(f"{path}: sheet Umsatz, row 3: 'x' is not a number")


def test_months_in_the_header_of_a_sheet_are_kpis_in_rows(tmp_path: Path) -> None:
    days = [row[0] for row in ROWS[1:3]]
    path = workbook(tmp_path / "b.xlsx", Umsatz=[["", *days], ["Umsatz", 7, 8]])

    assert values(sheet(path))[:2] == [7, 8]


@pytest.mark.parametrize("damage", [slice(0, 4), slice(-60, -10)])
def test_a_damaged_workbook_is_an_error(tmp_path: Path, damage: slice) -> None:
    path = workbook(tmp_path / "b.xlsx", Umsatz=ROWS)
    data = bytearray(path.read_bytes())
    data[damage] = b"\xff" * len(data[damage])
    path.write_bytes(data)

    assert wrong(sheet(path)).startswith(str(path))


@pytest.mark.slow
def test_a_workbook_that_unpacks_to_more_than_the_cap_is_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "b.xlsx", Umsatz=[ROWS[0], *([ROWS[1]] * 5000)])

    assert path.stat().st_size < 200_000
    assert "larger than 200,000 bytes" in wrong(sheet(path, max_bytes=200_000))


@pytest.mark.parametrize("place", ["XFD1048576", "A99999999999", "ZZZZZZ2"])
def test_a_workbook_with_a_cell_far_away_is_refused(tmp_path: Path, place: str) -> None:
    path = workbook(tmp_path / "b.xlsx", Umsatz=ROWS)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data.replace(b'r="C3"', f'r="{place}"'.encode()))

    text = wrong(sheet(path))
    assert "a sheet reaches to row" in text
    assert "delete what is beyond the data" in text


def test_without_its_library_a_workbook_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "python_calamine", None)

    text = wrong(sheet(workbook(tmp_path / "b.xlsx", Umsatz=ROWS)))

    assert "pip install 'release-anomaly[xlsx]'" in text


def test_a_workbook_may_come_by_the_standard_input(tmp_path: Path) -> None:
    data = workbook(tmp_path / "b.xlsx", Umsatz=ROWS).read_bytes()

    assert values(sheet(Path("-"), stdin=io.BytesIO(data)))[0] == 1234.5


# Events


def test_orders_with_decimal_commas_add_up(tmp_path: Path) -> None:
    content = "Datum;Umsatz\n" + "01.06.2025 09:00;1,50\n" * 3 + "04.06.2025 22:00;2,5\n"

    collected = read(content, tmp_path, resample=Resample.SUM)

    assert values(collected)[0] == 4.5
