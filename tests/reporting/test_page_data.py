"""Packed data of a page: what was not packed here, or not whole, is refused with what is wrong."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest

from anomaly.errors import UsageError
from anomaly.reporting import archive
from anomaly.reporting.page_data import packed, unpacked
from tests.support import reports

MOST = 1 << 20


def pack(data: Any) -> dict[str, str]:
    text = json.dumps(data).encode()
    return {"packed": base64.b64encode(zlib.compress(text)).decode()}


def test_what_was_packed_comes_back_but_for_the_rows() -> None:
    data = archive.data_of(reports.messy())

    assert unpacked(packed(data, {"name": ["x"]}), MOST) == data


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"packed": 7}, "damaged"),
        ({"packed": "?"}, "damaged"),
        ({"packed": base64.b64encode(b"no zlib").decode()}, "damaged"),
        ({"packed": base64.b64encode(zlib.compress(b"x" * 99)[:-4]).decode()}, "cut off"),
        (pack("x" * MOST), "too large"),
        (pack([1]), "not those of a report"),
        (pack({"findings": {"kpi": [1], "segment": []}, "report": {}, "series": []}), "not those"),
        (pack({"findings": {"kpi": 1}, "report": {}, "series": []}), "not those"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, data: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        unpacked(data, MOST)
    file = tmp_path / "page.html"
    file.write_text(f"{archive.OPENING}{json.dumps(data)}{archive.CLOSING}", encoding="utf-8")
    with pytest.raises(UsageError, match="holds no report"):
        archive.read(file)
