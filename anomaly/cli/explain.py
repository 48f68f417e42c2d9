"""`anomaly explain`: explain the verdict on a KPI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from anomaly import wording
from anomaly.cli.exit_codes import ExitCode
from anomaly.cli.judging import check_names, gather
from anomaly.cli.options import (
    ChecklistPath,
    Environment,
    FinishedAt,
    From,
    Logs,
    NextRelease,
    ReleasedAt,
    Stages,
    Until,
    Verbose,
    Version,
)
from anomaly.cli.release import Words, opened
from anomaly.cli.session import LogFormat, Session
from anomaly.model import Finding, Verdict
from anomaly.reporting.foremost import foremost

MOST_SERIES = 40  # of a KPI
LONGEST_NAME = 60


def explain(
    context: typer.Context,
    checklist_path: ChecklistPath,
    kpis: Annotated[list[str], typer.Argument(metavar="KPI", help="Names of KPIs.")],
    *,
    released_at: ReleasedAt = None,
    finished_at: FinishedAt = None,
    stage: Stages = None,
    next_release: NextRelease = None,
    release: Version = "",
    environment: Environment = None,
    until: Until = None,
    saved_data: From = None,
    _verbose: Verbose = False,
    _log_format: Logs = LogFormat.TEXT,
) -> ExitCode:
    """Explain the verdict on a KPI.

    Shows the query, the windows, the baseline, the evidence and the steps after the release.
    All KPIs are judged, because they share the false-alarm budget; no sink is notified.
    """
    session: Session = context.obj
    checklist = opened(checklist_path, environment, session)
    check_names(checklist, kpis)
    case = gather(
        checklist,
        Words(released_at, finished_at, release, until, stage or (), next_release),
        session,
        saved_data=saved_data,
    )
    report = case.judge()

    from anomaly.cli.explanation import explanation
    from anomaly.panel import segment_text

    of_kpis = [[each for each in report.findings if each.kpi == name] for name in kpis]
    choices = [_chosen(findings) for findings in of_kpis]
    keys = {
        id(finding): (finding.kpi, segment_text(finding.segment))
        for findings in choices
        for finding in findings
    }
    answered = {
        keys[id(finding)]
        for findings in choices
        for finding in findings
        if finding.verdict is not Verdict.ERROR
    }
    left = case.correlograms(answered) if answered else {}
    texts = []
    for name, findings, choice in zip(kpis, of_kpis, choices, strict=True):
        texts += [explanation(each, report, left.get(keys[id(each)])) for each in choice]
        if rest := len(findings) - len(choice):
            texts.append(
                f"… and {rest:,} more of {wording.plain(name, LONGEST_NAME)}:\n"
                "  anomaly check --output json has them all"
            )
    session.show("\n\n".join(texts))
    return ExitCode.PASS


def _chosen(findings: Sequence[Finding]) -> Sequence[Finding]:
    """The findings about a KPI that are explained: all, or those of its many series that matter
    most."""
    return findings if len(findings) <= MOST_SERIES else foremost(findings, MOST_SERIES)
