"""Did this release move a KPI that matters: which one, since when, by how much, and how sure are we?

    report = anomaly.check(series, released_at=…)                 # a pandas Series or DataFrame
    report = anomaly.check_release(checklist, release)            # what `anomaly check` does
    report = anomaly.load("report.html")                         # one that was kept, by its file or id
    result = anomaly.backtest(series, watch=…)                    # what the past says of the settings
    result = anomaly.parity(staging, production)                  # whether the one can stand for the other
    baseline = anomaly.fit(anomaly.collect(checklist, window))    # each step alone

Names are loaded when first used, so that `import anomaly` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anomaly.backtesting.result import Backtest, Label, PastRelease
    from anomaly.backtesting.run import backtest, backtest_checklist
    from anomaly.checklist import Checklist
    from anomaly.checklist import load as load_checklist
    from anomaly.errors import (
        AnomalyError,
        ChecklistError,
        CollectError,
        RetryableCollectError,
        RetryableSinkError,
        SinkError,
        UsageError,
    )
    from anomaly.exploring import FittedBaseline, Replay, collect, fit
    from anomaly.likeness.result import Parity
    from anomaly.likeness.run import Environment, parity, parity_checklist
    from anomaly.loading import load
    from anomaly.model import Direction, Finding, Findings, Kpi, NoData, Release, ReleaseVerdict, Report, Verdict, Window, Windows
    from anomaly.pipeline import check, check_release

    __version__: str

__all__ = [
    "AnomalyError",
    "Backtest",
    "Checklist",
    "ChecklistError",
    "CollectError",
    "Direction",
    "Environment",
    "Finding",
    "Findings",
    "FittedBaseline",
    "Kpi",
    "Label",
    "NoData",
    "Parity",
    "PastRelease",
    "Release",
    "ReleaseVerdict",
    "Replay",
    "Report",
    "RetryableCollectError",
    "RetryableSinkError",
    "SinkError",
    "UsageError",
    "Verdict",
    "Window",
    "Windows",
    "__version__",
    "backtest",
    "backtest_checklist",
    "check",
    "check_release",
    "collect",
    "fit",
    "load",
    "load_checklist",
    "parity",
    "parity_checklist",
]

HOMES = {
    "backtesting.result": ("Backtest", "Label", "PastRelease"),
    "backtesting.run": ("backtest", "backtest_checklist"),
    "checklist": ("Checklist",),
    "errors": ("AnomalyError", "ChecklistError", "CollectError", "RetryableCollectError", "RetryableSinkError", "SinkError", "UsageError"),
    "exploring": ("FittedBaseline", "Replay", "collect", "fit"),
    "likeness.result": ("Parity",),
    "likeness.run": ("Environment", "parity", "parity_checklist"),
    "loading": ("load",),
    "model": ("Direction", "Finding", "Findings", "Kpi", "NoData", "Release", "ReleaseVerdict", "Report", "Verdict", "Window", "Windows"),
    "pipeline": ("check", "check_release"),
}
WHERE = {name: (f"anomaly.{home}", name) for home, names in HOMES.items() for name in names}
WHERE["load_checklist"] = ("anomaly.checklist", "load")

if not TYPE_CHECKING:  # a type checker must not take a misspelt name for Any

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            value: Any = import_module("importlib.metadata").version("release-anomaly")
        elif name in WHERE:
            module, attribute = WHERE[name]
            value = getattr(import_module(module), attribute)
        else:
            raise AttributeError(f"module 'anomaly' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
