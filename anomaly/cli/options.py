"""The options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from anomaly.cli.session import LogFormat, Session


class Output(StrEnum):
    """How the answer is written."""

    TABLE = "table"
    JSON = "json"


def _log_format(context: typer.Context, value: LogFormat) -> LogFormat:
    session: Session = context.obj
    if value is not LogFormat.TEXT:
        session.log_format = value
    return value


ChecklistPath = Annotated[
    Path, typer.Argument(metavar="CHECKLIST", help="The checklist, a YAML file.")
]
ReleasedAt = Annotated[
    str,
    typer.Option(metavar="T", help="When the release began: ISO-8601 with a zone, -2h, or now."),
]
FinishedAt = Annotated[
    str | None,
    typer.Option(
        metavar="T", help="When it had reached all users. Default: the last stage, or at once."
    ),
]
Stages = Annotated[
    list[str] | None,
    typer.Option(
        "--stage",
        metavar="T=SHARE",
        help=(
            "When a share of users got it, such as 2025-06-03T10:00Z=5%; repeat it for each stage."
        ),
    ),
]
NextRelease = Annotated[
    str | None,
    typer.Option(
        metavar="T[=VERSION]",
        help="When the next release of the service begins, and its version: it ends the watch.",
    ),
]
Version = Annotated[
    str,
    typer.Option(
        "--release",
        metavar="VERSION",
        help="What was released; shown, and part of the report's identity.",
    ),
]
Environment = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Use the sources of this environment of the checklist."),
]
Until = Annotated[
    str | None, typer.Option(metavar="T", help="End the watch here: the look is final.")
]
From = Annotated[
    Path | None,
    typer.Option(
        "--from", metavar="FILE", help="Judge the data that --save kept; no source is asked."
    ),
]
Verbose = Annotated[
    bool,
    typer.Option("-v", "--verbose", help="Say more on stderr; with a traceback if anomaly fails."),
]
Logs = Annotated[
    LogFormat,
    typer.Option(
        "--log-format",
        callback=_log_format,
        is_eager=True,
        help="How log lines on stderr are written.",
    ),
]
ReportTo = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help=(
            "Write the report as one HTML page; {version}, {id} in the name stand for the release."
        ),
    ),
]
StoreAt = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="WHERE",
        envvar="ANOMALY_STORE",
        help="The history: a file, or a postgresql:// URL. Default: the checklist's store.",
    ),
]
OfChecklist = Annotated[
    Path | None,
    typer.Option(
        "--checklist",
        metavar="FILE",
        help="The history that this checklist names, and its service.",
    ),
]
