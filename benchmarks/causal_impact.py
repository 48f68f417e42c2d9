"""Effects beside controls against CausalImpact on identical data: prints both relative effects with
their 95 % intervals.

    python -m benchmarks.causal_impact [FILE.csv DATE ...]

CausalImpact (pycausalimpact 0.1.1, MIT) runs in an environment of its own that `uv` makes. The data
are the example of its documentation, made by its published recipe (x an AR(1) around 100, y = 1.2 x
+ noise, 5 added from point 70 of 100 on), a null, and the same with three controls of which two say
nothing; any CSV file whose first column is a date, whose second is the KPI and whose others are
controls can follow, with the date of the release.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import lfilter

import anomaly

POINTS, SINCE, ADDED, SEEDS = 100, 70, 5.0, 5
BURN_IN = 300
ROW = "{:<28}{:>9}{:>20}{:>9}{:>20}"
PEER = """
import json, sys, warnings
warnings.filterwarnings("ignore")
import pandas as pd
from causalimpact import CausalImpact
data, since = pd.read_csv(sys.stdin), int(sys.argv[1])
found = CausalImpact(data, [0, since - 1], [since, len(data) - 1]).summary_data["average"]
print(json.dumps([found[name] for name in ("rel_effect", "rel_effect_lower", "rel_effect_upper")]))
"""
IN_ITS_OWN = [
    str(Path(sys.executable).with_name("uv")),
    "run",
    "--quiet",
    "--no-project",
    "--python",
    "3.11",
    "--with",
    "pycausalimpact==0.1.1",
]
IN_ITS_OWN += [
    "--with",
    "pandas<2.1",
    "--with",
    "numpy<2",
    "--with",
    "statsmodels<0.15",
    "--with",
    "scipy<1.12",
    "python",
    "-c",
    PEER,
]


@dataclass(frozen=True, slots=True)
class Case:
    """A KPI, the first column, and its controls; the release lies before row `since`."""

    name: str
    data: pd.DataFrame
    since: int


def cases(arguments: list[str]) -> Iterator[Case]:
    for seed in range(SEEDS):
        yield Case(f"+5 of 120, seed {seed}", example(seed, ADDED, strangers=0), SINCE)
    yield Case("null", example(SEEDS, 0.0, strangers=0), SINCE)
    yield Case("+5 of 120, three controls", example(0, ADDED, strangers=2), SINCE)
    for file, date in zip(arguments[::2], arguments[1::2], strict=True):
        data = pd.read_csv(file, sep=None, engine="python", index_col=0, parse_dates=True)
        yield Case(file, data.tz_localize("UTC"), int((data.index < date).sum()))


def example(seed: int, added: float, strangers: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = 100 + lfilter([1.0], [1.0, 0.9], rng.normal(size=BURN_IN + POINTS))[BURN_IN:]
    y = 1.2 * x + rng.normal(size=POINTS)
    y[SINCE:] += added
    columns = {"y": y, "x": x} | {
        f"stranger {i}": 50 + rng.normal(size=POINTS) for i in range(strangers)
    }
    return pd.DataFrame(columns, pd.date_range("2025-01-01", periods=POINTS, freq="1D", tz="UTC"))


def ours(case: Case) -> tuple[float, float, float]:
    controls = [*case.data.columns[1:]]
    finding = anomaly.check(
        case.data, released_at=case.data.index[case.since], controls=controls
    ).findings[0]
    assert finding.effect is not None  # noqa: S101  the data are positive
    assert finding.effect_interval is not None  # noqa: S101
    return (finding.effect, *finding.effect_interval)


def theirs(case: Case) -> tuple[float, float, float]:
    out = StringIO()
    case.data.to_csv(out, index=False)
    # our own command
    done = subprocess.run(  # noqa: S603
        [*IN_ITS_OWN, str(case.since)],
        input=out.getvalue(),
        capture_output=True,
        text=True,
        check=True,
    )
    effect, low, high = json.loads(done.stdout)
    return effect, low, high


def percents(answer: tuple[float, float, float]) -> tuple[str, str]:
    effect, low, high = (100 * each for each in answer)
    return f"{effect:+.2f} %", f"[{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    print(ROW.format("", "anomaly", "", "CausalImpact", ""))
    for case in cases(sys.argv[1:]):
        print(ROW.format(case.name[-27:], *percents(ours(case)), *percents(theirs(case))))
