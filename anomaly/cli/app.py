"""The command line `anomaly` with all its commands. A command is imported when it is asked for,
and imports no numeric libraries at the top."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from anomaly.cli.command_table import CommandTable
from anomaly.cli.exit_codes import MEANINGS, ExitCode
from anomaly.cli.options import Logs, Verbose
from anomaly.cli.session import LogFormat, Session

WORDS = {
    "watch": "the time after a release in which it is judged",
    "look": "one judgement of a release, early until the watch is over",
    "onset": "when a change began",
    "tolerance": "the relative change that is accepted (floor: absolute)",
    "control": "a series that the release cannot have touched",
    "placebo release": "a past moment without a release, judged as if it had one",
}
_CODES = "\n".join(f"  {code}  {meaning}" for code, meaning in MEANINGS.items())
_WORDS = "\n".join(f"  {word:<15}  {meaning}" for word, meaning in WORDS.items())
EPILOG = f"""\b
Exit codes:
{_CODES}

\b
Words (all of them: docs/glossary.md):
{_WORDS}
"""

COMMANDS = {  # in the order of the help: where each lies
    "demo": "anomaly.cli.demo:demo",
    "init": "anomaly.cli.start:init",
    "import": "anomaly.cli.imports:import_",
    "validate": "anomaly.cli.validate:validate",
    "doctor": "anomaly.cli.doctor:doctor",
    "check": "anomaly.cli.check:check",
    "merge": "anomaly.cli.merge:merge",
    "watch": "anomaly.cli.watch:watch",
    "tick": "anomaly.cli.tick:tick",
    "serve": "anomaly.cli.serve:serve",
    "rhythm": "anomaly.cli.rhythm:rhythm",
    "history": "anomaly.cli.history:history",
    "show": "anomaly.cli.history:show",
    "ack": "anomaly.cli.history:ack",
    "prune": "anomaly.cli.history:prune",
    "explain": "anomaly.cli.explain:explain",
    "backtest": "anomaly.cli.backtest:backtest",
    "parity": "anomaly.cli.parity:parity",
    "schema": "anomaly.cli.start:schema",
    "test": "anomaly.cli.cases:cases",
    "sinks": "anomaly.cli.sinks:sinks",
    "release": "anomaly.cli.releases:app",
    "install": "anomaly.cli.install:app",
}


class Commands(TyperGroup):
    """The group of all commands, each built when it is asked for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings | {"commands": CommandTable(COMMANDS)})


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(context: typer.Context, *, is_requested: bool) -> None:
    if is_requested:
        from anomaly import __version__

        session: Session = context.obj
        session.show(f"anomaly {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True, epilog=EPILOG)
def anomaly(
    context: typer.Context,
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    _verbose: Verbose = False,
    _log_format: Logs = LogFormat.TEXT,
) -> ExitCode:
    """Did this release move a KPI that matters: which one, since when, by how much, and how sure
    are we?"""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
    return ExitCode.USAGE
