"""`anomaly serve`: the gate and the pages over HTTP."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomaly.cli.exit_codes import ExitCode
from anomaly.cli.options import Logs, StoreAt, Verbose
from anomaly.cli.session import LogFormat, Session
from anomaly.cli.storing import place
from anomaly.errors import UsageError

if TYPE_CHECKING:
    from anomaly.checklist.checklist import Checklist
    from anomaly.serve.metrics import Metrics

log = logging.getLogger(__name__)


def serve(
    context: typer.Context,
    paths: Annotated[
        list[Path], typer.Argument(metavar="CHECKLIST", help="Checklist files (YAML).")
    ],
    *,
    environment: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Environment of the checklists to use; repeatable. Default: the one they name.",
        ),
    ] = None,
    listen: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="Where to listen."),
    ] = "127.0.0.1:8080",
    store_at: StoreAt = None,
    _verbose: Verbose = False,
    _log_format: Logs = LogFormat.TEXT,
) -> ExitCode:
    """Answer over HTTP whether a release may go on.

    Judges in the background, takes reports of releases, shows live pages, and has metrics. Who may
    ask is said by the environment (docs/serve.md).
    """
    session: Session = context.obj
    checklists = _opened(paths, environment or (), session)
    try:
        from anomaly.serve.app import Service, application, webhook_secrets
        from anomaly.serve.server import bound, is_loopback, parse_address
        from anomaly.serve.server import serve as answer
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed; pip install 'release-anomaly[serve]'"
        ) from None
    from anomaly.history.store import Store
    from anomaly.redaction import url_secrets
    from anomaly.serve.access import Access
    from anomaly.serve.judging import Judge
    from anomaly.serve.served import Served, names

    served = Served(tuple(checklists))
    access, signing = Access.of(os.environ), webhook_secrets(os.environ)
    where = _one_place(checklists, store_at, session)
    hidden = access.secrets | {each for secrets in signing.values() for each in secrets}
    hidden |= {secret for each in checklists for secret in each.secrets}
    session.keep_secret(hidden | (url_secrets(where) if "://" in where else frozenset()))
    host, port = parse_address(listen)
    if access.is_open and not is_loopback(host):
        raise UsageError(
            f"--listen {listen} is reached from elsewhere, and nothing says who may ask; set "
            "ANOMALY_READ_TOKEN (and ANOMALY_RELEASE_TOKEN, ANOMALY_ACK_TOKEN), or listen on "
            "127.0.0.1"
        )

    def judge(metrics: Metrics) -> Judge:
        def stepped(checklist: Checklist, code: int, seconds: float) -> None:
            if code in (ExitCode.USAGE, ExitCode.FAILED):
                log.error("the step for %s ended with exit code %d", names([checklist]), code)
            metrics.stepped(checklist, code, seconds, _now())

        return Judge(served, where, clock=_now, done=stepped)

    with Store(where) as store, bound(host, port) as listening:
        app = application(Service(store, served, access, signing, judge))
        port = listening.getsockname()[1]
        address = f"[{host}]" if ":" in host else host
        session.show(f"{names(checklists)}: http://{address}:{port}/")
        session.exit_code = ExitCode.PASS  # a signal is how it ends
        answer(app, listening)
    return ExitCode.PASS


def _opened(
    paths: list[Path], environments: list[str] | tuple[str, ...], session: Session
) -> list[Checklist]:
    """The checklists in each of the environments. Raises ChecklistError."""
    from anomaly.cli.release import opened

    if not environments:
        return [opened(path, None, session) for path in paths]
    return [opened(path, name, session) for path in paths for name in environments]


def _one_place(checklists: list[Checklist], store_at: str | None, session: Session) -> str:
    """The history of all the checklists. Raises UsageError, StoreError."""
    places = dict.fromkeys(place(store_at, each, session) for each in checklists)
    if len(places) > 1:
        raise UsageError(
            "the checklists name several histories under store; name one by --store, or serve "
            "each by itself"
        )
    return next(iter(places))


def _now() -> datetime:
    return datetime.now(UTC)
