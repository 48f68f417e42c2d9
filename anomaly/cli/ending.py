"""All ways in which a run can end, and the exit code of each."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import Any

import typer
from typer.main import get_command

from anomaly.cli.exit_codes import ExitCode, of_error
from anomaly.cli.session import Session, log

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE_S = 3.0  # after a signal, even if a thread still waits


class Stopped(BaseException):
    """A signal ends the run. Not an Exception, so that no stage takes it for a failure of its
    own."""


def run(argv: Sequence[str]) -> int:
    """Run one command; returns its exit code, whatever happens."""
    # read from the raw line, to hold even for a line with errors
    session = Session(verbose=not {"-v", "--verbose"}.isdisjoint(argv))
    with session.logging():
        try:
            with _listening(session):
                return _command(argv, session)
        except BaseException as error:  # noqa: BLE001  a traceback would exit with 1, which means a regression
            return _report(error, session)


def _command(argv: Sequence[str], session: Session) -> int:
    code = _program()(args=list(argv), prog_name="anomaly", standalone_mode=False, obj=session)
    if sys.stdout is not None:
        sys.stdout.flush()
    return ExitCode(code or ExitCode.PASS)


@cache
def _program() -> Callable[..., int | None]:
    """All commands. They are built once: a process may run many."""
    from anomaly.cli.app import app  # a failing import is reported like any other error

    return get_command(app)


def _report(error: BaseException, session: Session) -> ExitCode:
    """Log why the run ended; returns its exit code."""
    # typer ends this way if standard output is closed
    if isinstance(error, SystemExit) and isinstance(error.__context__, OSError):
        error = error.__context__
    if isinstance(error, Stopped):
        log.error("stopped by %s", error)
        return session.exit_code
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        log.error(
            "%s\ntry: %s --help",
            _refused(error),
            context.command_path if context else "anomaly",
        )
        return ExitCode.USAGE
    code = of_error(error)
    if code is not None:
        log.error("%s", error, exc_info=error)
        return code
    hint = "" if session.verbose else "; -v shows the traceback"
    cause = f"{type(error).__name__}: {error}".removesuffix(": ")
    log.error("anomaly itself failed: %s%s", cause, hint, exc_info=error)
    return ExitCode.FAILED


def _refused(error: typer.TyperException) -> str:
    """What is wrong with the command line. Of a value that is no choice and no number, the library
    tells it in the words of a programmer."""
    cause: Any = error.__cause__  # a ValidationError, which would be dear to import
    if not isinstance(error, typer.BadParameter) or error.param is None or cause is None:
        return error.format_message()
    (first, *_) = cause.errors()
    choices = first["msg"].rstrip(".").partition(" is not one of ")[2].replace("'", "")
    hints = {
        "value_error": f"use one of {choices}",
        "int_parsing": "it must be a whole number",
        "greater_than_equal": f"it must be at least {first.get('ctx', {}).get('ge')}",
    }
    if first["type"] not in hints or not (choices or first["type"] != "value_error"):
        return error.format_message()
    return f"{error.param.opts[-1]} is {first['input']!r}; {hints[first['type']]}"


@contextmanager
def _listening(session: Session) -> Iterator[None]:
    """Turn signals into Stopped; if the run does not end in time, end the process with the code
    known so far."""

    # the signature is the interpreter's
    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        timer = threading.Timer(PATIENCE_S, os._exit, (session.exit_code,))
        timer.daemon = True
        timer.start()
        raise Stopped(signal.Signals(number).name)

    # an ignored signal stays ignored, as under nohup
    active = [each for each in ENDING if signal.getsignal(each) is not signal.SIG_IGN]
    before = {each: signal.signal(each, stop) for each in active}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
