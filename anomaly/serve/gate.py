"""May the release go on? The answer, as data and as the status of HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from http import HTTPStatus
from typing import Annotated, NamedTuple

from pydantic import BaseModel, Field

from anomaly.checklist.checklist import Checklist
from anomaly.history.records import FindingRecord, ReleaseRecord, Standing, State
from anomaly.history.store import Store
from anomaly.model import KpiSeverity, ReleaseVerdict, Verdict
from anomaly.reporting.words import TOTAL, segment_words
from anomaly.serve.served import Served
from anomaly.timing.schedule import following
from anomaly.timing.spans import settled_at
from anomaly.wording import plain, stamp

MOST_FINDINGS = 20  # in an answer; the report has all
MOST_REMEMBERED = 256  # answers, and looks whose findings are remembered
LONGEST_NAME, LONGEST_REASON = 200, 800  # characters

MEANINGS: Mapping[HTTPStatus, str] = {
    HTTPStatus.OK: "the verdict is the one asked for by `ok`",
    HTTPStatus.CONFLICT: "the release passed, and `ok=fail` asked for a failure",
    HTTPStatus.PRECONDITION_FAILED: "the release failed, or was aborted",
    HTTPStatus.LOCKED: (
        "held: a KPI of `severity: signal` regressed; or undecided: the watch goes on, or ended "
        "without enough evidence"
    ),
    HTTPStatus.FAILED_DEPENDENCY: "a source that is required failed",
    HTTPStatus.NOT_FOUND: "no such service, or no such release of it",
}
REFUSED = {
    ReleaseVerdict.PASS: HTTPStatus.CONFLICT,
    ReleaseVerdict.FAIL: HTTPStatus.PRECONDITION_FAILED,
    ReleaseVerdict.HOLD: HTTPStatus.LOCKED,
    ReleaseVerdict.INCONCLUSIVE: HTTPStatus.LOCKED,
    ReleaseVerdict.ERROR: HTTPStatus.FAILED_DEPENDENCY,
}


class Ok(StrEnum):
    """The verdict for which the status is 200; `any` leaves the answer to the body."""

    PASS = "pass"  # noqa: S105  a verdict
    FAIL = "fail"
    ANY = "any"


class GateFinding(BaseModel):
    """One KPI at the last look."""

    kpi: str
    part: Annotated[str, Field(description="its segment, `total`, or empty")]
    verdict: Verdict
    fails: Annotated[
        bool, Field(description="whether it alone fails the release, or holds it, by its severity")
    ]
    severity: Annotated[
        KpiSeverity,
        Field(description="what a failure makes of the release: `guardrail` fails, `signal` holds"),
    ]
    effect: Annotated[float | None, Field(description="observed / expected - 1")]
    p_value: float | None
    since: Annotated[str | None, Field(description="the likeliest onset of the change")]


class GateRelease(BaseModel):
    """The release that was asked about."""

    id: str
    service: str
    environment: str
    version: str
    started_at: str
    state: State


class GateAnswer(BaseModel):
    """The verdict of a release, and when to ask again."""

    verdict: ReleaseVerdict
    final: Annotated[bool, Field(description="whether the watch is over: no look will follow")]
    reason: str
    release: GateRelease | None
    look: Annotated[int, Field(description="the number of looks so far")]
    looked_at: str | None
    counts: Annotated[dict[Verdict, int], Field(description="findings by verdict")]
    findings: Annotated[
        list[GateFinding], Field(description=f"at most {MOST_FINDINGS} that are not ok")
    ]
    next_look_at: Annotated[str | None, Field(description="when more may be known; null: never")]
    ask_again_s: Annotated[int | None, Field(description="the same as seconds from now")]
    report: Annotated[str | None, Field(description="path of the page of the release")]


class Question(NamedTuple):
    """What is asked about a release."""

    service: str
    environment: str | None
    version: str  # empty: the newest
    ok: Ok
    at: datetime  # to the second


class Answered(NamedTuple):
    """What is answered by HTTP."""

    body: str
    status: HTTPStatus
    retry_after_s: int | None


class Gate:
    """Answers from the history. What was answered is remembered until the history changes or a
    second has passed; the findings of a look longer, for they do not change."""

    def __init__(self, store: Store, served: Served) -> None:
        self._store = store
        self._served = served
        self._findings = lru_cache(maxsize=MOST_REMEMBERED)(self._worst)
        self._remembered = lru_cache(maxsize=MOST_REMEMBERED)(self._answered)

    def answer(self, question: Question) -> Answered:
        """The answer about a release. Raises UnknownService and StoreError."""
        changes = self._store.changes()
        if changes is None:
            return self._answered(question)
        return self._remembered(question, changes)

    def _answered(self, question: Question, _changes: int = 0) -> Answered:
        checklist = self._served.checklist(question.service, question.environment)
        answer, is_known = self._answer(checklist, question.version, question.at)
        code = status(answer, question.ok, is_known=is_known)
        retry_after = answer.ask_again_s if code == HTTPStatus.LOCKED else None
        return Answered(answer.model_dump_json(), code, retry_after)

    def _answer(self, checklist: Checklist, version: str, now: datetime) -> tuple[GateAnswer, bool]:
        """The answer, and whether the release is known."""
        standing = self._store.standing(checklist.service, checklist.environment, version)
        coming = coming_look(self._store, checklist, standing, now)
        again = None if coming is None else max(1, round((coming - now).total_seconds()))
        if standing is None:
            name = f"release {plain(version, LONGEST_NAME)}".rstrip()
            reason = f"no {name} of {checklist.service} is known yet; report it by POST /releases"
            verdict, final = ReleaseVerdict.INCONCLUSIVE, False
        else:
            verdict, final, reason = _verdict(standing)
        look = None if standing is None else standing.look
        counts, findings = ({}, []) if look is None else self._findings(look.id)
        gate_answer = GateAnswer(
            verdict=verdict,
            final=final,
            reason=plain(reason, LONGEST_REASON),
            release=None if standing is None else _release(standing.record),
            look=look.number if look else 0,
            looked_at=stamp(look.at) if look else None,
            counts=counts,
            findings=findings,
            next_look_at=None if coming is None else stamp(coming),
            ask_again_s=again,
            report=None if standing is None else f"/releases/{standing.record.id}",
        )
        return gate_answer, standing is not None

    def _worst(self, look: str) -> tuple[dict[Verdict, int], list[GateFinding]]:
        counts, findings = self._store.worst(look, MOST_FINDINGS)
        return counts, [_finding(each) for each in findings]


def status(answer: GateAnswer, ok: Ok, *, is_known: bool) -> HTTPStatus:
    """The status of HTTP, by the table on the page of the service."""
    if ok is Ok.ANY:
        return HTTPStatus.OK
    if not is_known:
        return HTTPStatus.NOT_FOUND
    return HTTPStatus.OK if answer.verdict.value == ok.value else REFUSED[answer.verdict]


def coming_look(
    store: Store, checklist: Checklist, standing: Standing | None, now: datetime
) -> datetime | None:
    """When the release is looked at next; None if it is not watched any more."""
    if standing is not None and standing.record.state is not State.WATCHED:
        return None
    settled = settled_at(checklist.windows, now)
    if standing is None or standing.look is None or checklist.schedule is None:
        return settled
    release = standing.record.release
    starts = store.starts(release.service, release.environment)
    return max(settled, following(checklist.schedule, starts, now))


def _verdict(standing: Standing) -> tuple[ReleaseVerdict, bool, str]:
    """The verdict, whether it is the last word, and the reason."""
    if standing.record.state is State.ABORTED:
        return ReleaseVerdict.FAIL, True, "the release was aborted"
    if standing.look is None:
        return ReleaseVerdict.INCONCLUSIVE, False, "the release was not judged yet"
    reason = standing.look.headline.partition("  ")[2] or standing.look.headline
    return standing.look.verdict, standing.look.final, reason


def _release(record: ReleaseRecord) -> GateRelease:
    return GateRelease(
        id=record.id,
        service=record.release.service,
        environment=record.release.environment,
        version=record.release.version,
        started_at=stamp(record.release.started_at),
        state=record.state,
    )


def _finding(finding: FindingRecord) -> GateFinding:
    part = TOTAL if finding.total else segment_words(finding.segment)
    return GateFinding(
        kpi=plain(finding.kpi, LONGEST_NAME),
        part=part,
        verdict=finding.verdict,
        fails=finding.fails,
        severity=finding.severity,
        effect=finding.effect,
        p_value=finding.p_value,
        since=None if finding.began is None else stamp(finding.began),
    )
