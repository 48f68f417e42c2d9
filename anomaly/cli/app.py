"""The command line `anomaly` with all its commands. No command imports numeric libraries at the
top."""

from __future__ import annotations

from typing import Annotated

import typer

from anomaly.cli.backtest import backtest
from anomaly.cli.cases import cases
from anomaly.cli.check import check
from anomaly.cli.demo import demo
from anomaly.cli.doctor import doctor
from anomaly.cli.exit_codes import MEANINGS, ExitCode
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

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(context: typer.Context, *, wanted: bool) -> None:
    if wanted:
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
