"""What one check of a small CSV costs, beside `import pandas`: python -m benchmarks.start_up"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.ratios import Ratio, cpu_of, in_turns

ROUNDS = 15
HOURS = 29 * 24
CHECKLIST = """\
service: shop
sources: {files: {type: files, path: data.csv}}
windows: {history: 28d, watch: 1d, step: 1h}
kpis:
  - {name: orders, query: orders, direction: down}
  - {name: latency, query: latency, direction: up}
"""
LINE = ["check", "checklist.yaml", "--released-at", "2025-06-03T00:00Z"]
PANDAS = "import pandas"
RUN = ["-c", "import sys; from anomaly.__main__ import main; sys.exit(main())", *LINE]


def write(folder: Path) -> None:
    """A checklist of two KPIs, and their quiet series of 29 days by the hour."""
    index = pd.date_range("2025-05-06", periods=HOURS, freq="1h")
    rng = np.random.default_rng(1)
    day = 1 + 0.3 * np.sin(np.arange(HOURS) * 2 * np.pi / 24)
    frame = pd.DataFrame(
        {
            "time": index.strftime("%Y-%m-%dT%H:%MZ"),
            "orders": rng.poisson(500 * day),
            "latency": rng.normal(200, 5, HOURS).round(2),
        }
    )
    frame.to_csv(folder / "data.csv", index=False)
    (folder / "checklist.yaml").write_text(CHECKLIST, encoding="utf-8")


def measured(rounds: int = ROUNDS) -> Ratio:
    """The check and `import pandas`, each in a fresh process."""

    with tempfile.TemporaryDirectory() as name:
        write(Path(name))
        check, pandas = (
            partial(cpu_of, [sys.executable, *line], Path(name)) for line in (RUN, ["-c", PANDAS])
        )
        in_turns(check, pandas, 1)  # compiles what is not yet
        return in_turns(check, pandas, rounds)


if __name__ == "__main__":
    ratio = measured()
    low, high = ratio.spread
    print(f"check of a small CSV: {ratio.value:.2f} [{low:.2f}, {high:.2f}] × `{PANDAS}`")
