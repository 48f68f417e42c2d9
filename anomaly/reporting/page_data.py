"""The data of a large report in its page: compressed, the findings as columns, the values of points
with six digits. Browsers and `anomaly show` unpack it."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from typing import Any

from anomaly.errors import UsageError

PACKED = "packed"  # the one key of packed data
DIGITS = 6  # of the values of points; a page shows three
EXACT = ("kpi", "segment", "time", "flagged")


def packed(data: Mapping[str, Any], rows: Mapping[str, Any]) -> dict[str, str]:
    """The data of a report, see `archive.data_of`, with `rows` beside it for the script."""
    report = {name: value for name, value in data["report"].items() if name != "findings"}
    findings = data["report"]["findings"]
    whole = {
        "report": report,
        "findings": {name: [each[name] for each in findings] for name in findings[0]},
        "series": [_rounded(each) for each in data["series"]],
        "rows": rows,
    }
    text = json.dumps(whole, allow_nan=False, separators=(",", ":"))
    return {PACKED: base64.b64encode(zlib.compress(text.encode("ascii"), 9)).decode("ascii")}


def _rounded(series: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _rounded(value)
        if isinstance(value, Mapping)
        else value
        if name in EXACT or value is None
        else [None if each is None else float(f"{each:.{DIGITS}g}") for each in value]
        for name, value in series.items()
    }


def unpacked(data: Mapping[str, Any], most_bytes: int) -> dict[str, Any]:
    """What `packed` packed, without the rows, and with the findings as `docs/json.md` has them.

    Raises UsageError for anything else, and for more than `most_bytes`.
    """
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(base64.b64decode(data[PACKED], validate=True), most_bytes)
    except (TypeError, ValueError, binascii.Error, zlib.error):
        raise UsageError("its packed data are damaged") from None
    if not unpacking.eof:
        raise UsageError("its packed data are cut off or too large")
    try:
        whole = json.loads(text)
        columns = whole["findings"]
        rows = zip(*columns.values(), strict=True)
        findings = [dict(zip(columns, row, strict=True)) for row in rows]
        return {
            "report": {**whole["report"], "findings": findings},
            "series": whole["series"],
        }
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise UsageError("its packed data are not those of a report") from None
