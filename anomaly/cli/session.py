"""What one run of the command line knows: what was asked of its logs, what to mask, and how it
would end now."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TextIO

from anomaly.cli.exit_codes import ExitCode, OutputError
from anomaly.redaction import Redactor
from anomaly.wording import plain

LONGEST_LINE = 2000  # characters of foreign text in a line on stderr

log = logging.getLogger("anomaly.cli")


class LogFormat(StrEnum):
    """How a log line is written."""

    TEXT = "text"
    JSON = "json"


class Session:
    """Mutable on purpose: here the commands leave what the end of the run, expected or not, has to
    know."""

    def __init__(self, *, verbose: bool) -> None:
        self.verbose = verbose
        self.quiet = False
        self.log_format = LogFormat.TEXT
        self.known = ExitCode.UNDECIDED
        self.redactor = Redactor(())

    def keep_secret(self, secrets: Iterable[str]) -> None:
        """From now on mask `secrets` in everything written to stderr."""
        self.redactor = Redactor(secrets)

    @contextmanager
    def stdout(self) -> Iterator[TextIO]:
        """Where the result goes. Raises OutputError if it can't be written there."""
        if sys.stdout is None:
            raise OutputError("standard output is closed")
        try:
            yield sys.stdout
            sys.stdout.flush()
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            raise OutputError(f"standard output can't be written: {error}") from error

    def show(self, text: str) -> None:
        """Write a part of the result. Raises OutputError."""
        with self.stdout() as stream:
            stream.write(f"{text}\n")

    def is_interactive(self) -> bool:
        """Whether somebody watches stderr and wants to see progress there."""
        return not self.quiet and sys.stderr is not None and sys.stderr.isatty()

    def wants(self, record: logging.LogRecord) -> bool:
        """Whether the record was asked for; what is secret in it is masked, and a traceback left
        out."""
        least = logging.DEBUG if self.verbose else logging.ERROR if self.quiet else logging.WARNING
        if record.levelno < least:
            return False
        if not self.verbose:
            record.exc_info = record.exc_text = None
        return self.redactor.filter(record)

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Send logs and warnings to stderr."""
        handler, root = StderrHandler(self), logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG if self.verbose else logging.WARNING)
        logging.captureWarnings(capture=True)
        try:
            yield
        finally:
            logging.captureWarnings(capture=False)
            root.setLevel(level)
            root.removeHandler(handler)


class StderrHandler(logging.Handler):
    """Writes what the session wants to stderr; that nobody reads it is no reason to fail."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.addFilter(session.wants)

    def emit(self, record: logging.LogRecord) -> None:
        if sys.stderr is None:
            return
        written = json_line if self._session.log_format is LogFormat.JSON else text_lines
        try:
            sys.stderr.write(f"{written(record)}\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            return


def text_lines(record: logging.LogRecord) -> str:
    """`warning: text`, harmless to a terminal, and the traceback under it where there was one."""
    message = f"{record.levelname.lower()}: {record.getMessage()}"
    return "\n".join(
        plain(line, LONGEST_LINE)
        for line in (message + "\n" + (record.exc_text or "")).splitlines()
    )


def json_line(record: logging.LogRecord) -> str:
    """One line of JSON: time, level, logger, message, and exception where there was one."""
    entry = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
    }
    return json.dumps(entry | ({"exception": record.exc_text} if record.exc_text else {}))
