"""The exit codes of the command line. Each number is a promise of the documentation."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from anomaly.errors import (
    AnomalyError,
    CollectError,
    EngineError,
    SinkError,
    StoreError,
    UsageError,
)
from anomaly.model import ALARMS, ReleaseVerdict, Verdict

if TYPE_CHECKING:
    from anomaly.backtesting.result import Backtest
    from anomaly.checklist.checklist import Checklist
    from anomaly.equivalence.result import Parity
    from anomaly.equivalence.run import Environment
    from anomaly.reporting.message import Receipt
    from anomaly.reporting.report import Report
    from anomaly.watch.look import LookResult
    from anomaly.watch.tick import TickResult


class ExitCode(IntEnum):
    """The outcome of a run as a number."""

    PASS = 0
    REGRESSED = 1
    USAGE = 2
    UNDECIDED = 3
    FAILED = 4
    NOT_TOLD = 5
    HELD = 6


MEANINGS = {  # in these words in the help, the README and the documentation
    ExitCode.PASS: "pass",
    ExitCode.REGRESSED: "fail: a KPI regressed, or has no data under `no_data: fail`",
    ExitCode.USAGE: "the command line, the checklist or another input file is wrong",
    ExitCode.UNDECIDED: "undecided: missing evidence is never a pass",
    ExitCode.FAILED: "a required source failed, or anomaly itself did",
    ExitCode.NOT_TOLD: "pass, but a notification or report could not be delivered",
    ExitCode.HELD: "hold: a KPI of `severity: signal` regressed, and no guardrail did",
}


class ExitCodes(StrEnum):
    """Which exit codes a caller can tell apart: all, or none but 0 from the others."""

    ALL = "all"
    JOB = "job"


# what a caller should not undo a release for, though it is no clean pass
KEPT = frozenset({ExitCode.HELD, ExitCode.UNDECIDED, ExitCode.NOT_TOLD})


class OutputError(AnomalyError):
    """The result could not be written."""


# If several apply, the first counts.
WORST_FIRST = (
    ExitCode.USAGE,
    ExitCode.REGRESSED,
    ExitCode.FAILED,
    ExitCode.HELD,
    ExitCode.UNDECIDED,
    ExitCode.NOT_TOLD,
    ExitCode.PASS,
)
OF_VERDICT = {
    ReleaseVerdict.PASS: ExitCode.PASS,
    ReleaseVerdict.FAIL: ExitCode.REGRESSED,
    ReleaseVerdict.HOLD: ExitCode.HELD,
    ReleaseVerdict.INCONCLUSIVE: ExitCode.UNDECIDED,
    ReleaseVerdict.ERROR: ExitCode.FAILED,
}
OF_ERROR = {
    UsageError: ExitCode.USAGE,
    OutputError: ExitCode.FAILED,
    CollectError: ExitCode.FAILED,
    StoreError: ExitCode.FAILED,
    EngineError: ExitCode.FAILED,
    SinkError: ExitCode.NOT_TOLD,
}


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """The most important code; PASS without any."""
    return min(codes, key=WORST_FIRST.index, default=ExitCode.PASS)


def of_error(error: BaseException) -> ExitCode | None:
    """The code of an expected error, None for any other."""
    return next((code for kind, code in OF_ERROR.items() if isinstance(error, kind)), None)


def of_report(report: Report, receipts: Iterable[Receipt] = ()) -> ExitCode:
    """The code of one judged release; a failed delivery changes only a pass."""
    return worst([OF_VERDICT[report.verdict], *_undelivered(receipts)])


def of_tick(result: TickResult, *, is_saved: bool) -> ExitCode:
    """The worst of the looks; a look that is only early does not count."""
    codes = [
        OF_VERDICT[each.report.verdict]
        for each in result.looks
        if each.report.final or _is_trouble(each)
    ]
    if result.problems or not is_saved:
        codes.append(ExitCode.FAILED)
    return worst([*codes, *_undelivered(result.receipts)])


def of_backtest(checklist: Checklist, failed: Collection[str], result: Backtest) -> ExitCode:
    """FAILED if a critical KPI is among the `failed`; UNDECIDED if nothing could be judged."""
    if any(kpi.critical and kpi.name in failed for kpi in checklist.kpis):
        return ExitCode.FAILED
    return ExitCode.PASS if result.answered else ExitCode.UNDECIDED


def of_parity(result: Parity, sides: Iterable[Environment]) -> ExitCode:
    """With a release the worse of its two reports; without one PASS if alike, FAILED if a required
    source failed, else UNDECIDED."""
    if result.reports is not None:
        return worst(of_report(report) for report in result.reports)
    for side in sides:
        unread = [kpi for kpi in side.checklist.kpis if kpi.name in side.collected.errors]
        if any(kpi.critical for kpi in unread) or len(unread) == len(side.checklist.kpis):
            return ExitCode.FAILED
    return ExitCode.PASS if result.verdict == "alike" else ExitCode.UNDECIDED


def _undelivered(receipts: Iterable[Receipt]) -> list[ExitCode]:
    return [ExitCode.NOT_TOLD for receipt in receipts if not receipt.delivered]


def _is_trouble(result: LookResult) -> bool:
    """Whether an early look has failures or missing data."""
    missing = any(
        finding.is_open and finding.verdict in (Verdict.ERROR, Verdict.NO_DATA)
        for finding in result.report.findings
    )
    return result.report.verdict in ALARMS or missing
