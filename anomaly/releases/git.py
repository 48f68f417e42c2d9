"""Releases from the tags of a git repository."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from anomaly.errors import CollectError, RetryableCollectError, UsageError
from anomaly.model import Changes, Release, Window
from anomaly.releases.commits import MOST_COMMITS, commit, reference
from anomaly.wording import plain

# the tagger's date; of a tag without one, the commit's
FORMAT = "%(creatordate:unix) %(refname:strip=2)"
LONGEST_SAID = 300  # characters
COMMIT = re.compile(r"[0-9a-f]{7,64}")
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
        start, end = window.start.timestamp(), window.end.timestamp()
        return [
            Release(datetime.fromtimestamp(at, UTC), version=name)
            for at, name in self._all_tags()
            if start <= at < end
        ]

    def changes(self, release: Release, before: str, /) -> Changes | None:
        """The commits since the version before, which are tags or commits. Raises CollectError."""
        before = before or self._tag_before(release)
        if not before:
            return None
        old, new = self._commit(before), self._commit(release.version)
        is_shallow = self._git("rev-parse", "--is-shallow-repository").strip() == "true"
        if is_shallow and self._run("merge-base", "--is-ancestor", old, new).returncode:
            raise CollectError(
                f"{self._path} is a shallow clone, in which the commits are missing; fetch all of "
                "them (git fetch --unshallow, or fetch-depth: 0 of the checkout)"
            )
        removed, new_ones = self._git(
            "rev-list", "--left-right", "--count", f"{old}...{new}", "--"
        ).split()
        cells = self._git(
            "log",
            f"--max-count={MOST_COMMITS}",
            "--no-show-signature",
            "--encoding=UTF-8",
            "-z",
            "--format=%H%x00%aN%x00%s",
            f"{old}..{new}",
            "--",
        ).split("\0")
        commits = tuple(
            commit(*each) for each in zip(cells[::3], cells[1::3], cells[2::3], strict=False)
        )
        return Changes(before, int(new_ones), commits, int(removed))

    def _all_tags(self) -> list[tuple[int, str]]:
        """When each tag was made, in seconds since 1970, and its name, the oldest first."""
        tags = []
        for line in self._git(
            "for-each-ref", f"--format={FORMAT}", "--", f"refs/tags/{self._tags}"
        ).splitlines():
            seconds, _, name = line.partition(" ")
            if seconds:  # a tag of a file or a tree has no date
                tags.append((int(seconds), name))
        return sorted(tags)

    def _tag_before(self, release: Release) -> str:
        start = release.started_at.timestamp()
        names = [name for at, name in self._all_tags() if at < start and name != release.version]
        return names[-1] if names else ""

    def _commit(self, version: str) -> str:
        """The id of the commit of a version. Raises CollectError if there is none."""
        names = [f"refs/tags/{reference(version)}"]
        names += [version] if COMMIT.fullmatch(version) else []
        for name in names:
            commit = self._run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
            if not commit.returncode:
                return commit.stdout.decode("ascii", "replace").strip()
        raise CollectError(
            f"{self._path} has no tag or commit {version:.60}; fetch the tags and all commits"
        )

    def _git(self, *words: str) -> str:
        """What git answers. Raises CollectError."""
        outcome = self._run(*words)
        if outcome.returncode:
            raise CollectError(
                f"{self._path}: {self._problem(outcome.stderr.decode('utf-8', 'replace'))}"
            )
        return outcome.stdout.decode("utf-8", "replace")

    def _run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        line = ["git", "--no-pager", "-C", str(self._path), *words]
        environ = {
            **self._environ,
            "LC_ALL": "C",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_LAZY_FETCH": "1",
        }
        try:
            # no shell; what the checklist gives can't be taken for an option
            return subprocess.run(  # noqa: S603
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

    def _problem(self, output: str) -> str:
        if "dubious ownership" in output:
            return (
                "belongs to another user, so git refuses to read it; as the user who runs anomaly: "
                f"git config --global --add safe.directory {self._path}"
            )
        if "not a git repository" in output:
            return "is not a git repository; give the folder that holds .git"
        return f"git says: {plain(' '.join(output.split()), LONGEST_SAID)}"
