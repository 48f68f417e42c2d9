"""Did this release move a KPI that matters: which one, since when, by how much, and how sure are
we?

    report = anomaly.check(series, released_at=…)       # a pandas Series or DataFrame
    report = anomaly.check_release(checklist, release)  # the same as `anomaly check`
    report = anomaly.load("report.html")                # a saved report, by file or id
    result = anomaly.backtest(series, watch=…)          # how the settings did in the past
    result = anomaly.parity(staging, production)        # does one behave like the other?
    baseline = anomaly.fit(anomaly.collect(checklist, window))  # each step alone

Names are loaded when first used, so that `import anomaly` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anomaly.backtesting.result import Backtest, Label, PastRelease
    from anomaly.backtesting.run import backtest, backtest_checklist
    from anomaly.checklist.checklist import Checklist
    from anomaly.checklist.checklist import load as load_checklist
    from anomaly.equivalence.result import Parity
    from anomaly.equivalence.run import Environment, parity, parity_checklist
    from anomaly.errors import (
        AnomalyError,
        ChecklistError,
        CollectError,
        RetryableCollectError,
        RetryableSinkError,
        SinkError,
        UsageError,
    )
    from anomaly.history.loading import load
    from anomaly.model import (
        Direction,
        Finding,
        Kpi,
        KpiSeverity,
        NoData,
        Release,
        ReleaseVerdict,
        Verdict,
        Window,
        Windows,
    )
    from anomaly.notebook.check import check
    from anomaly.notebook.exploring import FittedBaseline, Replay, collect, fit
    from anomaly.pipeline import check_release
    from anomaly.reporting.report import Findings, Report
    from anomaly.setup.frame_proposal import propose
    from anomaly.setup.proposal import Proposal

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
    "KpiSeverity",
    "Label",
    "NoData",
    "Parity",
    "PastRelease",
    "Proposal",
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
    "propose",
]

HOMES = {
    "backtesting.result": ("Backtest", "Label", "PastRelease"),
    "backtesting.run": ("backtest", "backtest_checklist"),
    "checklist.checklist": ("Checklist",),
    "errors": (
        "AnomalyError",
        "ChecklistError",
        "CollectError",
        "RetryableCollectError",
        "RetryableSinkError",
        "SinkError",
        "UsageError",
    ),
    "notebook.exploring": ("FittedBaseline", "Replay", "collect", "fit"),
    "equivalence.result": ("Parity",),
    "equivalence.run": ("Environment", "parity", "parity_checklist"),
    "history.loading": ("load",),
    "model": (
        "Direction",
        "Finding",
        "Kpi",
        "KpiSeverity",
        "NoData",
        "Release",
        "ReleaseVerdict",
        "Verdict",
        "Window",
        "Windows",
    ),
    "reporting.report": ("Findings", "Report"),
    "pipeline": ("check_release",),
    "setup.frame_proposal": ("propose",),
    "setup.proposal": ("Proposal",),
    "notebook.check": ("check",),
}
WHERE = {name: (f"anomaly.{home}", name) for home, names in HOMES.items() for name in names}
WHERE["load_checklist"] = ("anomaly.checklist.checklist", "load")

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
