"""A job of GitHub Actions: its variables, its summary, and the workflow commands on standard
output."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from anomaly.contracts import Action, Message
from anomaly.errors import SinkError
from anomaly.reporting.notice import Severity, notice
from anomaly.reporting.words import failures, finding_line, title

PULL_REQUEST = re.compile(r"refs/pull/([1-9][0-9]{0,9})/")
LONGEST_KEY = 65  # characters
MOST_ANNOTATIONS = 10  # GitHub shows no more per step
LEVELS = {
    Severity.CRITICAL: "error",
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.INFO: "notice",
}


@dataclass(frozen=True, slots=True)
class Job:
    """The variables of a job; empty or None if they are not set."""

    runs: bool = False
    repository: str = ""
    sha: str = ""
    pull_request: str = ""
    api: str = ""
    summary: Path | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Job:
        """The running job. For a pull request `sha` is its newest commit, because GITHUB_SHA
        is then an invisible merge."""
        number = PULL_REQUEST.match(environ.get("GITHUB_REF", ""))
        return cls(
            runs=environ.get("GITHUB_ACTIONS") == "true",
            repository=environ.get("GITHUB_REPOSITORY", ""),
            sha=_head(environ.get("GITHUB_EVENT_PATH", "")) or environ.get("GITHUB_SHA", ""),
            pull_request=number[1] if number else "",
            api=environ.get("GITHUB_API_URL", ""),
            summary=Path(environ["GITHUB_STEP_SUMMARY"])
            if environ.get("GITHUB_STEP_SUMMARY")
            else None,
        )


def _head(event: str) -> str:
    """The newest commit of the event's pull request; empty for any other event."""
    try:
        sha = json.loads(Path(event).read_bytes())["pull_request"]["head"]["sha"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ""
    return sha if isinstance(sha, str) else ""


def marker(key: str) -> str:
    """The invisible mark of our texts: `<!-- anomaly:4f1c… -->`."""
    return f"<!-- anomaly:{re.sub(r'[^A-Za-z0-9/]', '_', key[:LONGEST_KEY])} -->"


def replace_section(path: Path, key: str, text: str) -> None:
    """Replace the section of that key in the summary, or append it. Raises SinkError."""
    begin, end = marker(key), f"{marker(f'/{key}')}\n"
    try:
        former = path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else ""
        before, _, rest = former.partition(begin)
        after = rest.partition(end)[2]
        path.write_bytes(f"{before}{begin}\n{text}{end}{after}".encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise SinkError(f"{path}: {error.strerror or error}") from error


def commands(message: Message) -> Iterator[str]:
    """Annotations as workflow commands: an error for each failing KPI, else one line with the
    state."""
    report, summary = message.report, notice(message)
    failing = failures(report)
    if message.action is Action.FIRE and failing:
        for finding in failing[:MOST_ANNOTATIONS]:
            yield _command(
                "error", f"{summary.title}: {title(finding)}", finding_line(finding, report.release)
            )
    else:
        yield _command(LEVELS[summary.severity], summary.title, "\n".join(summary.body))


def _command(name: str, headline: str, text: str) -> str:
    """A workflow command, escaped like the toolkit of GitHub Actions."""
    return (
        f"::{name} "
        f"title={_escaped(headline).replace(':', '%3A').replace(',', '%2C')}::{_escaped(text)}"
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
