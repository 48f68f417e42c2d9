"""Releases from the tags of a git repository."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from anomaly.errors import CollectError, RetryableCollectError, UsageError
from anomaly.model import Release, Window
from anomaly.wording import plain

# the tagger's date; of a tag without one, the commit's
FORMAT = "%(creatordate:unix) %(refname:strip=2)"
LONGEST_SAID = 300  # characters
KEPT = (
    "GIT_CONFIG",
    "GIT_CEILING",
    "GIT_TRACE",
)  # the rest of GIT_… says which repository, and a hook sets it


class GitReleases:
    """Takes each tag of the repository at `path` that is like `tags` for a release of that version,
    at the moment of the tag.

    That is when it was tagged, if somebody noted that (`git tag -a`), else when its commit was
    made. Raises UsageError for a pattern or a time that can't be used.
    """

    outside: ClassVar[frozenset[str]] = frozenset({"environ"})

    def __init__(
        self,
        *,
        path: Path,
        tags: str = "v*",
        timeout: timedelta = timedelta(seconds=30),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        if not tags.strip() or "\0" in tags:
            raise UsageError("tags is empty; write a pattern like v*")
        if timeout <= timedelta(0):
            raise UsageError(f"timeout is {timeout}; it must be longer than zero")
        self._path, self._tags, self._timeout_s = path.expanduser(), tags, timeout.total_seconds()
        variables = os.environ if environ is None else environ
        self._environ = {
            name: value
            for name, value in variables.items()
            if not name.startswith("GIT_") or name.startswith(KEPT)
        }

    def __repr__(self) -> str:
        return f"GitReleases({self._path})"

    def discover(self, window: Window, /) -> Sequence[Release]:
        """The tags of the window by time, then by name. Raises CollectError."""
        tags = []
        for line in self._git(
            "for-each-ref", f"--format={FORMAT}", "--", f"refs/tags/{self._tags}"
        ).splitlines():
            seconds, _, name = line.partition(" ")
            if seconds:  # a tag of a file or a tree has no date
                tags.append((int(seconds), name))
        start, end = window.start.timestamp(), window.end.timestamp()
        return [
            Release(datetime.fromtimestamp(at, UTC), version=name)
            for at, name in sorted(tags)
            if start <= at < end
        ]

    def _git(self, *words: str) -> str:
        line = ["git", "--no-pager", "-C", str(self._path), *words]
        environ = {
            **self._environ,
            "LC_ALL": "C",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_LAZY_FETCH": "1",
        }
        try:
            # no shell; what the checklist gives can't be taken for an option
            outcome = subprocess.run(  # noqa: S603
                line,
                env=environ,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=self._timeout_s,
                check=False,
            )
        except FileNotFoundError:
            raise CollectError("git is not installed, or not on PATH") from None
        except OSError as error:
            raise CollectError(f"git can't be run: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise RetryableCollectError(
                f"{self._path}: git gave no answer within {self._timeout_s:g} s"
            ) from None
        if outcome.returncode:
            raise CollectError(
                f"{self._path}: {self._problem(outcome.stderr.decode('utf-8', 'replace'))}"
            )
        return outcome.stdout.decode("utf-8", "replace")

    def _problem(self, output: str) -> str:
        if "dubious ownership" in output:
            return (
                "belongs to another user, so git refuses to read it; as the user who runs anomaly: "
                f"git config --global --add safe.directory {self._path}"
            )
        if "not a git repository" in output:
            return "is not a git repository; give the folder that holds .git"
        return f"git says: {plain(' '.join(output.split()), LONGEST_SAID)}"
