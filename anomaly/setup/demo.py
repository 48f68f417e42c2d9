"""The releases of the sample data, judged as `check` judges them and compared with their known
answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from anomaly.checklist import strict_yaml
from anomaly.checklist.checklist import Checklist, load
from anomaly.errors import UsageError
from anomaly.model import Release, ReleaseVerdict, Verdict
from anomaly.reporting.report import Report

ANSWERS = "answers.yaml"
CHECKLIST = "checklist.yaml"
PLACES = tuple(  # installed; in the repository
    Path(__file__).parents[up] / "sample_data" for up in (1, 2)
)

Series = tuple[str, frozenset[tuple[str, str]]]  # a KPI and the labels of its segment


class Judge(Protocol):
    """What `anomaly.check_release` does."""

    def __call__(self, checklist: Checklist, release: Release, /, *, now: datetime) -> Report: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a release: its verdict, what must be found, and what may be found beside
    it."""

    verdict: ReleaseVerdict
    regressed: frozenset[Series]
    may_regress: frozenset[Series]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A release of the sample data (the name of its folder) with its known answer and the report on
    it."""

    name: str
    answer: Answer
    report: Report

    @property
    def found(self) -> frozenset[Series]:
        """What the report says regressed."""
        return frozenset(
            (finding.kpi, frozenset(finding.segment.items()))
            for finding in self.report.findings
            if finding.verdict is Verdict.REGRESSED
        )

    @property
    def ok(self) -> bool:
        """Whether the report gives the known answer: the verdict, all that must be found, and
        nothing that is untouched."""
        answer = self.answer
        return (
            self.report.verdict is answer.verdict
            and answer.regressed <= self.found <= answer.regressed | answer.may_regress
        )


def run(directory: Path | None = None, *, judge: Judge | None = None) -> tuple[Outcome, ...]:
    """Every release in `directory` (default: the sample data that comes with the package), in the
    order of its answers.

    The time is the one of the answers. Raises UsageError when `directory` holds no answers,
    ChecklistError and CollectError as `check_release` does.
    """
    directory = sample_data() if directory is None else directory
    judge = _check_release() if judge is None else judge
    answers = _answers(directory / ANSWERS)
    moments = {
        key: datetime.fromisoformat(answers[key]) for key in ("started_at", "finished_at", "now")
    }
    outcomes = []
    for name, entry in answers["releases"].items():
        checklist = load(directory / name / CHECKLIST)
        release = Release(
            started_at=moments["started_at"],
            finished_at=moments["finished_at"],
            service=checklist.service,
            version=entry["version"],
            environment=checklist.environment,
        )
        outcomes.append(
            Outcome(name, _answer(entry), judge(checklist, release, now=moments["now"]))
        )
    return tuple(outcomes)


def _check_release() -> Judge:
    from anomaly.pipeline import check_release

    return check_release


def sample_data() -> Path:
    """The folder of the sample data: inside the installed package, else in the repository."""
    for place in PLACES:
        if (place / ANSWERS).is_file():
            return place
    raise UsageError(f"the sample data is missing: no {ANSWERS} in {' or '.join(map(str, PLACES))}")


def _answers(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise UsageError(f"{path.parent}: no sample data; {ANSWERS} is missing")
    document = strict_yaml.parse(strict_yaml.read(path))
    strict_yaml.refuse(str(path), document.problems)
    answers: Mapping[str, Any] = document.data
    return answers


def _answer(entry: Mapping[str, Any]) -> Answer:
    return Answer(
        ReleaseVerdict(entry["verdict"]), _series(entry["regressed"]), _series(entry["may_regress"])
    )


def _series(listed: Iterable[Mapping[str, Any]]) -> frozenset[Series]:
    return frozenset((entry["kpi"], frozenset(entry["segment"].items())) for entry in listed)
