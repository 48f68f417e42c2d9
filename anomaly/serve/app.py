"""The application: what is answered at which address. It keeps nothing but the history."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Any, Protocol

from anyio import to_thread
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from anomaly import wording
from anomaly.checklist.registry import DISTRIBUTION
from anomaly.errors import StoreError, UsageError
from anomaly.history.records import Look, ReleaseRecord, State
from anomaly.history.store import Store
from anomaly.releases.event import Kind, ReleaseEvent, keep
from anomaly.releases.payload import NotAboutARelease
from anomaly.serve import gate as gating
from anomaly.serve import pages
from anomaly.serve.access import Access, Refusal, Scope, secrets
from anomaly.serve.bounds import Bounds
from anomaly.serve.judging import Judge
from anomaly.serve.metrics import Counted, Metrics
from anomaly.serve.served import Served, UnknownService
from anomaly.serve.webhooks import flagger, github, gitlab, launchdarkly, unleash

THREADS = 8  # for requests; each may hold a connection to the history
SKEW = timedelta(minutes=5)  # by which the clock of a sender may be ahead
LONGEST_NAME, LONGEST_NOTE = 200, 1000  # characters
CONTENT = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus' text format
REFUSALS: Mapping[int | str, str] = {
    400: "the body can't be read",
    401: "no token, or one that is not known",
    403: "the token has another scope",
    413: "the request is too large",
    422: "the request is wrong",
    429: "too many requests",
    503: "too many requests at a time, or the history can't be used",
}
BROWSER, JSON = "text/html", "application/json"

log = logging.getLogger(__name__)


def _text(value: str) -> str:
    if any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in value):
        raise ValueError("it must be text: no NUL, no half characters")
    return value


Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(_text)]
NameOrNone = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_text)]


class Sender(StrEnum):
    """Who sends webhooks."""

    GITHUB = "github"
    GITLAB = "gitlab"
    LAUNCHDARKLY = "launchdarkly"
    UNLEASH = "unleash"
    FLAGGER = "flagger"


class _IsGenuine(Protocol):
    def __call__(
        self, headers: Mapping[str, str], body: bytes, secrets: tuple[str, ...], /
    ) -> bool: ...


SIGNED: Mapping[Sender, _IsGenuine] = {
    Sender.GITHUB: github.is_genuine,
    Sender.GITLAB: gitlab.is_genuine,
    Sender.LAUNCHDARKLY: launchdarkly.is_genuine,
}
TOLD: Mapping[Sender, Callable[[Mapping[str, str], Any], ReleaseEvent]] = {
    Sender.GITHUB: github.told,
    Sender.GITLAB: gitlab.told,
    Sender.LAUNCHDARKLY: launchdarkly.told,
    Sender.UNLEASH: unleash.told,
    Sender.FLAGGER: flagger.told,
}


class Strict(BaseModel):
    """What is sent to the service; a key that means nothing is refused."""

    model_config = ConfigDict(extra="forbid")


class EventBody(Strict):
    """What happened to a release."""

    event: Kind
    service: Name
    environment: Annotated[
        NameOrNone | None,
        Field(description="may be left out where the service has only one"),
    ] = None
    version: Name
    at: Annotated[AwareDatetime | None, Field(description="with a zone; default: now")] = None
    share: Annotated[
        float | None, Field(gt=0, le=1, description="share of users from a stage on")
    ] = None


class AckBody(Strict):
    """Feedback on a release or finding."""

    id: Annotated[str, Field(pattern="^[0-9a-f]{4,32}$", description="or a unique prefix of it")]
    incident: Annotated[bool, Field(description="false: it was a false alarm")] = True
    note: Annotated[str, Field(max_length=LONGEST_NOTE), AfterValidator(_text)] = ""


class Kept(BaseModel):
    """A release in the history."""

    id: str
    new: Annotated[bool, Field(description="whether it was unknown before")]
    state: State
    service: str
    environment: str
    version: str
    started_at: str
    finished_at: str
    stages: list[tuple[str, float]]


class Ignored(BaseModel):
    """A webhook from which nothing follows, and why."""

    ignored: str


class AckKept(BaseModel):
    """An acknowledgement in the history."""

    target: str
    incident: bool
    note: str


class Problem(BaseModel):
    """What is wrong, and what to change."""

    error: str


@dataclass(frozen=True, slots=True)
class Service:
    """What the application works with."""

    store: Store
    served: Served
    access: Access
    webhook_secrets: Mapping[Sender, tuple[str, ...]] = field(default_factory=dict, repr=False)
    judge: Callable[[Metrics], Judge] | None = None
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


def _described(meaning: str) -> dict[str, Any]:
    """A refusal in the description: JSON, also where the answer is a page."""
    return {"description": meaning, "content": {JSON: {"schema": Problem.model_json_schema()}}}


def webhook_secrets(environ: Mapping[str, str]) -> dict[Sender, tuple[str, ...]]:
    """The secrets of the senders that sign. Raises UsageError."""
    return {each: secrets(f"ANOMALY_{each.upper()}_SECRET", environ) for each in SIGNED}


def application(service: Service) -> FastAPI:
    """The application of a service."""
    metrics = Metrics(service.store, service.served)
    judge = service.judge(metrics) if service.judge is not None else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = THREADS
        work = None if judge is None else asyncio.create_task(judge.run())
        yield
        if work is not None:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work

    app = FastAPI(
        title="anomaly",
        version=version(DISTRIBUTION),
        summary="Did this release move a KPI that matters?",
        docs_url=None,  # it would load scripts from elsewhere
        redoc_url=None,
        openapi_url=None,  # served below, to those who may read
        lifespan=lifespan,
        middleware=[
            Middleware(Bounds, loopback_only=service.access.is_open),
            Middleware(Counted, metrics=metrics),
        ],
        responses={status: _described(meaning) for status, meaning in REFUSALS.items()},
    )
    _add_errors(app)
    _add_reading(app, service, metrics)
    _add_telling(app, service, judge)
    return app


def _add_errors(app: FastAPI) -> None:
    """Every refusal in one form."""

    @app.exception_handler(UnknownService)
    def _unknown(_: Request, error: UnknownService) -> JSONResponse:
        return _problem(HTTPStatus.NOT_FOUND, str(error))

    @app.exception_handler(UsageError)
    def _usage(_: Request, error: UsageError) -> JSONResponse:
        return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))

    @app.exception_handler(StoreError)
    def _store(_: Request, error: StoreError) -> JSONResponse:
        log.error("%s", error)
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "the history can't be used now")

    @app.exception_handler(RequestValidationError)
    def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, _refused_value(error.errors()[0]))

    @app.exception_handler(HTTPException)
    def _refused(_: Request, error: HTTPException) -> JSONResponse:
        answer = _problem(HTTPStatus(error.status_code), str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    def _failed(_: Request, error: Exception) -> JSONResponse:
        log.exception("a request failed", exc_info=error)
        return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "anomaly itself failed")


def _refused_value(problem: Mapping[str, Any]) -> str:
    """What is wrong with a parameter or a key of the body, and what to send."""
    where = ".".join(str(each) for each in problem["loc"])
    expected = str(problem.get("ctx", {}).get("expected", "")).replace("'", "")
    complaints = {
        "missing": "is missing",
        "extra_forbidden": "is an unknown key",
        "enum": f"must be {expected}",
        "literal_error": f"must be {expected}",
        "timezone_aware": "has no time zone; write it like 2025-06-03T10:00:00Z",
        "model_attributes_type": "is no JSON object; is Content-Type: application/json sent?",
    }.get(problem["type"])
    return f"{where}: {problem['msg']}" if complaints is None else f"{where} {complaints}"


def _add_reading(app: FastAPI, service: Service, metrics: Metrics) -> None:
    """What changes nothing."""
    reader = [Depends(_allowed(service.access, Scope.READ))]
    keeper = gating.Gate(service.store, service.served)

    async def gate(
        service_name: Annotated[Name, Query(alias="service")],
        environment: Annotated[NameOrNone | None, Query()] = None,
        release: Annotated[
            NameOrNone, Query(description="version of the release; default: the newest")
        ] = "",
        ok: Annotated[
            gating.Ok, Query(description="the verdict for which the status is 200")
        ] = gating.Ok.PASS,
    ) -> Response:
        """May the release go on?"""
        at = service.clock().replace(microsecond=0)
        question = gating.Question(service_name, environment, release, ok, at)
        if service.store.is_near:  # a thread would cost more than the answer
            answer = keeper.answer(question)
        else:
            answer = await to_thread.run_sync(keeper.answer, question)
        again = answer.retry_after_s
        return Response(  # made here: FastAPI would check the answer once more
            answer.body,
            answer.status,
            media_type=JSON,
            headers=None if again is None else {"retry-after": str(again)},
        )

    for method in ("GET", "POST"):  # Flagger posts
        app.add_api_route(
            "/gate",
            gate,
            methods=[method],
            response_model=gating.GateAnswer,
            operation_id=f"{method.lower()}_gate",
            dependencies=reader,
            responses={
                int(status): {
                    "model": gating.GateAnswer | Problem
                    if status == HTTPStatus.NOT_FOUND
                    else gating.GateAnswer,
                    "description": meaning,
                }
                for status, meaning in gating.MEANINGS.items()
            },
        )

    @app.get("/metrics", dependencies=reader, response_class=PlainTextResponse)
    def read_metrics() -> Response:
        """The service and the newest releases in Prometheus' text format."""
        return Response(metrics.text(), media_type=CONTENT)

    @app.get("/openapi.json", dependencies=reader)
    def description() -> dict[str, Any]:
        """This description."""
        return app.openapi()

    @app.get("/", dependencies=reader, response_class=HTMLResponse)
    def overview(live: bool = True) -> HTMLResponse:  # noqa: FBT001, FBT002  a query
        """The page of all releases."""
        text, pause = pages.overview(service.store, service.served, service.clock(), live=live)
        return _page(text, pause)

    @app.get(
        "/releases/{release}",
        dependencies=reader,
        response_class=HTMLResponse,
        responses={404: _described("no such release")},
    )
    def release_page(
        release: Annotated[str, InPath(pattern="^[0-9a-f]{4,32}$")],
        live: bool = True,  # noqa: FBT001, FBT002  a query
    ) -> HTMLResponse:
        """The page of a release."""
        try:
            text, pause = pages.release(
                service.store, service.served, release, service.clock(), live=live
            )
        except UsageError as error:
            raise HTTPException(HTTPStatus.NOT_FOUND, str(error)) from None
        return _page(text, pause)


def _add_telling(app: FastAPI, service: Service, judge: Judge | None) -> None:
    """What the history keeps."""

    def kept(event: ReleaseEvent, origin: str, request: Request, response: Response) -> Kept:
        record, is_new = keep(event, service.store, origin=origin)
        if judge is not None:
            request.app.state.loop.call_soon_threadsafe(judge.wake)
        response.status_code = HTTPStatus.CREATED if is_new else HTTPStatus.OK
        return _kept(record, is_new=is_new)

    @app.post(
        "/releases",
        dependencies=[Depends(_allowed(service.access, Scope.RELEASE))],
        responses={
            201: {"model": Kept, "description": "the release was unknown"},
            404: _described("no such service"),
        },
    )
    def report_release(body: EventBody, request: Request, response: Response) -> Kept:
        """Tell what happened to a release. Telling it again changes nothing."""
        checklist = service.served.checklist(body.service, body.environment)
        if (body.share is not None) is not (body.event is Kind.STAGE):
            raise UsageError("a stage has a share, such as 0.05; no other event has one")
        at = _moment(body.at, service.clock())
        event = ReleaseEvent(
            body.event, checklist.service, checklist.environment, body.version, at, body.share
        )
        return kept(event, "http", request, response)

    @app.post(
        "/releases/{sender}",
        responses={
            201: {"model": Kept, "description": "the release was unknown"},
            404: _described("no such sender"),
        },
    )
    def webhook(
        sender: Sender,
        request: Request,
        response: Response,
        body: Annotated[bytes, Depends(_raw)],
        service_name: Annotated[
            NameOrNone, Query(alias="service", description="default: the sender's name for it")
        ] = "",
        environment: Annotated[
            NameOrNone | None, Query(description="default: the sender's name for it")
        ] = None,
    ) -> Kept | Ignored:
        """Take a webhook of this sender. Its signature, or token, is checked."""
        _check_sender(sender, service, request, body)
        payload = _json(body)
        now = service.clock()
        try:
            release_event = TOLD[sender](request.headers, payload)
            checklist = service.served.checklist(
                service_name or release_event.service,
                release_event.environment if environment is None else environment,
            )
            event = replace(
                release_event,
                service=checklist.service,
                environment=checklist.environment,
                at=_moment(release_event.at, now),
            )
            _check_name(release_event.version)
            return kept(event, str(sender), request, response)
        except (NotAboutARelease, UnknownService) as error:
            return Ignored(ignored=wording.plain(str(error), LONGEST_NOTE))

    @app.post(
        "/ack",
        dependencies=[Depends(_allowed(service.access, Scope.ACK))],
        responses={404: _described("no such release or finding")},
    )
    def acknowledge(body: AckBody) -> AckKept:
        """Acknowledge a failure: notify again only if it gets worse."""
        try:
            record = service.store.find(body.id)
        except UsageError as error:
            raise HTTPException(HTTPStatus.NOT_FOUND, str(error)) from None
        if isinstance(record, Look):
            raise UsageError(
                f"{body.id} is a look; acknowledge its release {record.release_id[:8]}, or one of "
                "its findings"
            )
        ack = service.store.acknowledge(
            record, incident=body.incident, note=body.note, at=service.clock()
        )
        return AckKept(target=ack.target, incident=ack.incident, note=ack.note)


async def _raw(request: Request) -> bytes:
    """The body as it was sent, which is what was signed."""
    return await request.body()


def _allowed(access: Access, scope: Scope) -> Callable[[Request], Awaitable[None]]:
    """The check that a request may do what is in the scope."""

    async def check(request: Request) -> None:
        _check_token(access, scope, request)

    return check


def _check_token(access: Access, scope: Scope, request: Request, *, basic: bool = False) -> None:
    """Raises HTTPException unless the request has a token for the scope; to read, or with `basic`,
    it may be the password of basic authentication."""
    basic |= scope is Scope.READ
    refusal = access.refusal(request.headers.get("authorization"), scope, basic=basic)
    if refusal is None:
        return
    if refusal is Refusal.OTHER_SCOPE:
        raise HTTPException(HTTPStatus.FORBIDDEN, f"the token does not allow {scope}; use another")
    asks = BROWSER in request.headers.get("accept", "")
    raise HTTPException(
        HTTPStatus.UNAUTHORIZED,
        f"{refusal}; send a token that allows {scope}: Authorization: Bearer TOKEN",
        headers={"www-authenticate": 'Basic realm="anomaly"' if asks else "Bearer"},
    )


def _check_sender(sender: Sender, service: Service, request: Request, body: bytes) -> None:
    """Raises HTTPException unless the request is the sender's own."""
    is_genuine = SIGNED.get(sender)
    if is_genuine is None:
        is_flagger = sender is Sender.FLAGGER  # it can set no header, but a user in its address
        _check_token(service.access, Scope.RELEASE, request, basic=is_flagger)
        return
    secrets = service.webhook_secrets.get(sender, ())
    if not secrets:
        raise HTTPException(
            HTTPStatus.FORBIDDEN,
            f"webhooks of {sender} need a secret here and there; set "
            f"ANOMALY_{sender.upper()}_SECRET",
        )
    if not is_genuine(request.headers, body, secrets):
        raise HTTPException(HTTPStatus.UNAUTHORIZED, "the signature does not fit the request")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the body is not JSON: {error}") from None


def _moment(at: datetime | None, now: datetime) -> datetime:
    """When it happened. Raises UsageError for the future."""
    if at is None:
        return now
    if at > now + SKEW:
        raise UsageError(f"at is {at.isoformat()}, in the future; now is {now.isoformat()}")
    return min(at, now)


def _check_name(version: str) -> None:
    if len(version) > LONGEST_NAME:
        raise UsageError(f"the version has {len(version)} characters; at most {LONGEST_NAME}")


def _kept(record: ReleaseRecord, *, is_new: bool) -> Kept:
    release = record.release
    return Kept(
        id=record.id,
        new=is_new,
        state=record.state,
        service=release.service,
        environment=release.environment,
        version=release.version,
        started_at=wording.stamp(release.started_at),
        finished_at=wording.stamp(release.finished),
        stages=[(wording.stamp(at), share) for at, share in release.stages],
    )


def _page(text: str, pause: int | None) -> HTMLResponse:
    return HTMLResponse(text, headers={} if pause is None else {"refresh": str(pause)})


def _problem(status: HTTPStatus, text: str) -> JSONResponse:
    return JSONResponse({"error": text}, status_code=status)
