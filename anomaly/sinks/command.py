"""A command of the user's, run with the report on its standard input."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, ClassVar

from anomaly import wording
from anomaly.contracts import Message, Receipt
from anomaly.errors import SinkError, UsageError
from anomaly.reporting.data import message_data
from anomaly.timing.durations import duration_text

LONGEST = timedelta(minutes=5)
LONGEST_SAID = 200  # characters
LONGEST_VALUE = 4096  # characters of a variable
LAST_BYTES = 1 << 16  # of the output, that are read


class CommandSink:
    """Runs a command, without a shell: its words are `run`. It reads the report as JSON on its
    standard input, and has the release in its environment, as `ANOMALY_VERSION` and others.

    It has done its work if it ends with 0 within `timeout`, and is killed then with all that it
    started. Raises UsageError for settings that can't be used.
    """

    outside: ClassVar[frozenset[str]] = frozenset({"environ"})

    def __init__(
        self,
        *,
        run: tuple[str, ...],
        timeout: timedelta = timedelta(minutes=1),
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        if not run or not run[0]:
            raise UsageError("run is empty; give the command and its words, like [kubectl, get]")
        if any("\0" in word for word in run):
            raise UsageError("run holds a NUL, which no command takes")
        if not timedelta(0) < timeout <= LONGEST:
            raise UsageError(f"timeout must be more than 0 and at most {duration_text(LONGEST)}")
        self._run = run
        self._timeout = timeout
        self._environ = environ

    def __repr__(self) -> str:
        return f"CommandSink({Path(self._run[0]).name})"

    def plan(self, _: Message, /) -> str:
        """What `send` would do."""
        return f"run {shlex.join(self._run)}"

    def send(self, message: Message, /) -> Receipt:
        # files, not pipes: what a command leaves running can't hold them open
        with TemporaryFile() as stdin, TemporaryFile() as stdout:
            stdin.write(json.dumps(message_data(message), allow_nan=False).encode("ascii"))
            stdin.seek(0)
            code = self._ended(self._started(message, stdin, stdout))
            line = _last_line(stdout)
        if code:
            ending = f"{code}" if code > 0 else f"signal {-code}"
            raise SinkError(f"{self._run[0]} ended with {ending}{line}")
        return Receipt("command", delivered=True, detail=f"{self._run[0]} ended with 0{line}")

    def _started(
        self, message: Message, stdin: IO[bytes], stdout: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        try:
            # no shell, and the words are those of the checklist
            return subprocess.Popen(  # noqa: S603
                self._run,
                env={**self._environ, **_about(message)},
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise SinkError(f"{self._run[0]} is not installed, or not on PATH") from None
        except OSError as error:
            raise SinkError(f"{self._run[0]} can't be run: {error.strerror}") from None

    def _ended(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return process.wait(self._timeout.total_seconds())
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # it, and all that it started
            process.wait()
            raise SinkError(
                f"{self._run[0]} did not end within {duration_text(self._timeout)} and was "
                "killed; it may have done a part of its work"
            ) from None


def _about(message: Message) -> dict[str, str]:
    """The release and the verdict, as variables of the environment."""
    release = message.report.release
    about = {
        "SERVICE": release.service,
        "ENVIRONMENT": release.environment,
        "VERSION": release.version,
        "RELEASE": message.key,
        "VERDICT": str(message.report.verdict),
        "ACTION": str(message.action),
        "LINK": message.link,
        "IDEMPOTENCY_KEY": message.id or message.key,
    }
    return {f"ANOMALY_{name}": _in_environment(value) for name, value in about.items()}


def _in_environment(text: str) -> str:
    """The text as an environment can hold it: without NULs and halves of characters, cut."""
    return text.replace("\0", "")[:LONGEST_VALUE].encode("utf-8", "replace").decode()


def _last_line(stdout: IO[bytes]) -> str:
    """The last line of the output that says something, after a colon."""
    stdout.seek(max(0, stdout.seek(0, os.SEEK_END) - LAST_BYTES))
    lines = stdout.read().decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {wording.plain(last, LONGEST_SAID)}" if last else ""
