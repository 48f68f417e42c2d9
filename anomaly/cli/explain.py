"""`anomaly explain`: explain the verdict on a KPI."""

from __future__ import annotations

from typing import Annotated

import typer

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
from anomaly.model import Verdict


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

    chosen = [finding for name in kpis for finding in report.findings if finding.kpi == name]
    answered = {finding.kpi for finding in chosen if finding.verdict is not Verdict.ERROR}
    left = case.correlograms([*answered]) if answered else {}
    session.show(
        "\n\n".join(
            explanation(finding, report, left.get((finding.kpi, segment_text(finding.segment))))
            for finding in chosen
        )
    )
    return ExitCode.PASS
