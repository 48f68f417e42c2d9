"""Golden files: what the output was when somebody last read it.

`ANOMALY_GOLDEN=rewrite pytest -k golden` (`make golden`) writes them anew; read the difference
before committing it.
"""

from __future__ import annotations

import os

from tests.support.places import ROOT

FOLDER = ROOT / "tests" / "golden"


def assert_golden(name: str, text: str) -> None:
    """`text` equals the golden file `name`, which is written first if that is asked for."""
    path = FOLDER / name
    if os.environ.get("ANOMALY_GOLDEN") == "rewrite":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
