"""The commands of `anomaly`, put together. Here and in the modules of the commands nothing
numerical is imported at the top."""

from __future__ import annotations

from typing import Annotated

import typer

from anomaly.cli.backtest import backtest
from anomaly.cli.cases import cases
from anomaly.cli.check import check
from anomaly.cli.demo import demo
from anomaly.cli.doctor import doctor
from anomaly.cli.exit_codes import ExitCode
from anomaly.cli.explain import explain
from anomaly.cli.history import ack, history, prune, show
from anomaly.cli.install import app as install_app
from anomaly.cli.options import Logs, Verbose
from anomaly.cli.parity import parity
from anomaly.cli.releases import app as release_app
from anomaly.cli.rhythm import rhythm
from anomaly.cli.session import LogFormat, Session
from anomaly.cli.sinks import sinks
from anomaly.cli.start import init, schema
from anomaly.cli.tick import tick
from anomaly.cli.validate import validate
from anomaly.cli.watch import watch

EXIT_CODES = """\b
Exit codes:
  0  pass
  1  a KPI regressed, or has no data and may not
  2  the command line or the checklist is wrong
  3  undecided: too little data, or no answer yet
  4  a source failed, or anomaly itself did
  5  judged, but a sink could not be told
"""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(context: typer.Context, *, asked: bool) -> None:
    if asked:
        from anomaly import __version__

        session: Session = context.obj
        session.show(f"anomaly {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True, epilog=EXIT_CODES)
def anomaly(
    context: typer.Context,
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    _verbose: Verbose = False,
    _log_format: Logs = LogFormat.TEXT,
) -> ExitCode:
    """Did this release move a KPI that matters: which one, since when, by how much, and how sure
    are we?"""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
    return ExitCode.USAGE


for command in (
    demo,
    init,
    validate,
    doctor,
    check,
    watch,
    tick,
    rhythm,
    history,
    show,
    ack,
    prune,
    explain,
    backtest,
    parity,
    schema,
):
    app.command()(command)
app.command("test")(cases)
app.add_typer(sinks)
app.add_typer(release_app, name="release")
app.add_typer(install_app, name="install")
