"""The state of one run of the command line: log settings, secrets to mask, the exit code so far."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TextIO

from anomaly.cli.exit_codes import KEPT, MEANINGS, ExitCode, ExitCodes, OutputError
from anomaly.redaction import Redactor
from anomaly.wording import plain

LONGEST_LINE = 2000  # characters of foreign text in a line on stderr

log = logging.getLogger("anomaly.cli")


class LogFormat(StrEnum):
    """The format of a log line."""

    TEXT = "text"
    JSON = "json"


class Session:
    """Mutable on purpose: the commands record here what the end of the run needs, expected or
    not."""

    def __init__(self, *, verbose: bool) -> None:
        self.verbose = verbose
        self.quiet = False
        self.log_format = LogFormat.TEXT
        self.exit_code = ExitCode.UNDECIDED
        self.redactor = Redactor(())

    def keep_secret(self, secrets: Iterable[str]) -> None:
        """Mask `secrets` in everything written to stderr from now on."""
        self.redactor = Redactor(secrets)

    def code_for(self, codes: ExitCodes) -> ExitCode:
        """The exit code as the caller understands it. One that undoes a release at any code but 0
        must not undo what is undecided, or passed without everybody being told."""
        if codes is ExitCodes.ALL or self.exit_code not in KEPT:
            return self.exit_code
        meaning = MEANINGS[self.exit_code].partition(":")[0]
        log.warning("%s; exits with 0 by --exit-codes job: hold the release yourself", meaning)
        return ExitCode.PASS

    @contextmanager
    def stdout(self) -> Iterator[TextIO]:
        """The stream for the result. Raises OutputError if it can't be written."""
        if sys.stdout is None:
            raise OutputError("standard output is closed")
        try:
            yield sys.stdout
            sys.stdout.flush()
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            raise OutputError(f"can't write to standard output: {error}") from error

    def show(self, text: str) -> None:
        """Write a part of the result. Raises OutputError."""
        with self.stdout() as stream:
            stream.write(f"{text}\n")

    def is_interactive(self) -> bool:
        """Whether to show progress: stderr is a terminal and not quiet."""
        return not self.quiet and sys.stderr is not None and sys.stderr.isatty()

    def wants(self, record: logging.LogRecord) -> bool:
        """Whether to write the record; secrets in it are masked, and a traceback removed unless
        verbose."""
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
    """Writes records to stderr; a closed stderr is ignored."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.addFilter(session.wants)

    def emit(self, record: logging.LogRecord) -> None:
        if sys.stderr is None:
            return
        form = json_line if self._session.log_format is LogFormat.JSON else text_lines
        try:
            sys.stderr.write(f"{form(record)}\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            return


def text_lines(record: logging.LogRecord) -> str:
    """`warning: text`, safe for a terminal, with the traceback under it, if any."""
    message = f"{record.levelname.lower()}: {record.getMessage()}"
    return "\n".join(
        plain(line, LONGEST_LINE)
        for line in (message + "\n" + (record.exc_text or "")).splitlines()
    )


def json_line(record: logging.LogRecord) -> str:
    """One line of JSON: time, level, logger, message, and the exception, if any."""
    entry = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
    }
    return json.dumps(entry | ({"exception": record.exc_text} if record.exc_text else {}))
