"""A job of GitHub Actions: what it knows of itself, its summary, and the commands that its runner
takes from standard output."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from anomaly.contracts import Action, Message
from anomaly.errors import SinkError
from anomaly.reporting.notice import Severity, notice
from anomaly.reporting.words import finding_line, ordered, title

PULL_REQUEST = re.compile(r"refs/pull/([1-9][0-9]{0,9})/")
LONGEST_KEY = 65  # characters
MOST_ANNOTATIONS = 10  # that GitHub shows of a step
LEVELS = {
    Severity.CRITICAL: "error",
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.INFO: "notice",
}


@dataclass(frozen=True, slots=True)
class Job:
    """What the variables of a job say; empty or None where they say nothing."""

    runs: bool = False
    repository: str = ""
    sha: str = ""
    pull_request: str = ""
    api: str = ""
    summary: Path | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Job:
        """The job that runs. One for a pull request has its newest commit: GITHUB_SHA is then a
        merge that nobody sees."""
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
    """The newest commit of the pull request that an event is about; nothing of any other event."""
    try:
        sha = json.loads(Path(event).read_bytes())["pull_request"]["head"]["sha"]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return sha if isinstance(sha, str) else ""


def marker(key: str) -> str:
    """What marks a text as ours, unseen by people: `<!-- anomaly:4f1c… -->`."""
    return f"<!-- anomaly:{re.sub(r'[^A-Za-z0-9/]', '_', key[:LONGEST_KEY])} -->"


def replace_section(path: Path, key: str, text: str) -> None:
    """Put `text` where a former one of that key stands in the summary, else at its end. Raises
    SinkError."""
    begin, end = marker(key), f"{marker(f'/{key}')}\n"
    try:
        former = path.read_bytes().decode("utf-8", "surrogateescape") if path.exists() else ""
        before, _, rest = former.partition(begin)
        after = rest.partition(end)[2]
        path.write_bytes(f"{before}{begin}\n{text}{end}{after}".encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise SinkError(f"{path}: {error.strerror or error}") from error


def commands(message: Message) -> Iterator[str]:
    """Annotations as workflow commands: an error for each KPI that fails, else one line that says
    how it stands."""
    report, said = message.report, notice(message)
    failing = [finding for finding in ordered(report.findings) if finding.fails]
    if message.action is Action.FIRE and failing:
        for finding in failing[:MOST_ANNOTATIONS]:
            yield _command(
                "error", f"{said.title}: {title(finding)}", finding_line(finding, report.release)
            )
    else:
        yield _command(LEVELS[said.severity], said.title, "\n".join(said.facts))


def _command(name: str, headline: str, text: str) -> str:
    """Escaped as the toolkit of GitHub Actions does it."""
    return (
        f"::{name} "
        f"title={_escaped(headline).replace(':', '%3A').replace(',', '%2C')}::{_escaped(text)}"
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
