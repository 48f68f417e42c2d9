"""Parts of a check: `anomaly check --shard K/N --partial FILE`, and `anomaly merge`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from anomaly.cli.check import answered, sinks_of
from anomaly.cli.exit_codes import ExitCode
from anomaly.cli.forms import Forms, Markdown, Pictures, Points
from anomaly.cli.latest import changes
from anomaly.cli.options import ChecklistPath, Environment, Logs, Output, ReportTo, Verbose
from anomaly.cli.release import opened
from anomaly.cli.session import LogFormat, Session


def merge(
    context: typer.Context,
    checklist_path: ChecklistPath,
    parts: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="The parts, written by check --shard --partial."),
    ],
    *,
    environment: Environment = None,
    output: Annotated[
        Output, typer.Option(help="Output format; json also keeps stderr quiet.")
    ] = Output.TABLE,
    report: ReportTo = None,
    pictures: Pictures = None,
    markdown: Markdown = None,
    points: Points = None,
    _verbose: Verbose = False,
    _log_format: Logs = LogFormat.TEXT,
) -> ExitCode:
    """Decide by the parts of a check, and notify the sinks.

    The answer and the exit code are those of one check.
    """
    session: Session = context.obj
    session.quiet = output is Output.JSON
    checklist = opened(checklist_path, environment, session)
    forms = Forms(pictures, markdown, points)
    sinks = sinks_of(checklist)
    from importlib.metadata import version

    from anomaly.model import select_kpis
    from anomaly.partials import partial_file
    from anomaly.pipeline import concluded, inquiry_about

    read = [(path, partial_file.load(path, version("release-anomaly"))) for path in parts]
    partials = partial_file.together(read, checklist.digest)
    first = read[0][1]
    kpis = select_kpis(checklist.kpis, first.only)
    result = concluded(
        checklist,
        inquiry_about(checklist, first.release, first.spans, kpis),
        partials,
        now=max(part.now for _, part in read),
    )
    result = replace(result, changes=changes(checklist, result.release, session))
    return answered(result, sinks, session, output, report, forms)
