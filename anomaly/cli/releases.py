"""`anomaly release`: record releases and list them."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anomaly.checklist.checklist import Checklist
from anomaly.checklist.settings import STANDARD_INPUT
from anomaly.cli.exit_codes import ExitCode
from anomaly.cli.options import Environment, OfChecklist, Output, Stages, StoreAt
from anomaly.cli.release import Words, past, release_of, right_now
from anomaly.cli.session import Session
from anomaly.cli.storing import history, named
from anomaly.errors import UsageError
from anomaly.model import Release
from anomaly.wording import plain

if TYPE_CHECKING:
    from anomaly.history.records import ReleaseRecord
    from anomaly.history.store import Store

LONGEST_NAME = 60  # characters of a version

app = typer.Typer(
    help="Record releases and list them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

At = Annotated[
    str, typer.Option("--at", metavar="T", help="Time: ISO-8601 with a zone, -2h, or now.")
]
Service = Annotated[
    str,
    typer.Option(metavar="NAME", help="Service of the release. Default: the checklist's service."),
]
VersionName = Annotated[
    str, typer.Option("--release", metavar="VERSION", help="Version of the release.")
]


@dataclass(frozen=True, slots=True)
class _Target:
    """The service and environment of the options."""

    checklist: Checklist | None
    service: str
    environment: str

    @classmethod
    def of(
        cls, path: Path | None, service: str, environment: str | None, session: Session
    ) -> _Target:
        checklist = named(path, environment, session)
        name = service or (checklist.service if checklist is not None else "")
        if not name:
            raise UsageError("no service; give --service, or --checklist FILE")
        return cls(
            checklist, name, checklist.environment if checklist is not None else environment or ""
        )


@app.command()
def start(
    context: typer.Context,
    *,
    release: VersionName,
    at: At = "now",
    stage: Stages = None,
    service: Service = "",
    environment: Environment = None,
    checklist_path: OfChecklist = None,
    store_at: StoreAt = None,
) -> ExitCode:
    """Record the start of a release or of a stage. tick watches it from now on.

    Repeating the command changes nothing, except that new stages are added.
    """
    session: Session = context.obj
    target = _Target.of(checklist_path, service, environment, session)
    new = _release(target, Words(at, None, release, None, stage or ()))
    from anomaly.releases.event import staged

    with history(store_at, target.checklist, session) as store:
        ids = [
            each.id
            for each in store.releases(service=target.service, environment=target.environment)
        ]
        record = store.track(
            staged(store, new), origin="command", checklist=str(checklist_path or ""), anew=True
        )
        news = "already recorded" if record.id in ids else "watched from now on"
        session.show(f"{news}: {_line(record)}")
    return ExitCode.PASS


@app.command()
def finish(
    context: typer.Context,
    *,
    release: VersionName = "",
    at: At = "now",
    service: Service = "",
    environment: Environment = None,
    checklist_path: OfChecklist = None,
    store_at: StoreAt = None,
) -> ExitCode:
    """Record that a release has reached all users. Default: the newest one."""
    session: Session = context.obj
    target = _Target.of(checklist_path, service, environment, session)
    end = past("--at", at, right_now())
    with history(store_at, target.checklist, session) as store:
        record = _recorded(store, target, release)
        if end < record.release.started_at:
            raise UsageError(
                f"--at {at} is before the release began at {record.release.started_at.isoformat()}"
            )
        store.change(record.id, finished_at=end)
        session.show(
            f"finished: {_line(replace(record, release=replace(record.release, finished_at=end)))}"
        )
    return ExitCode.PASS


@app.command()
def abort(
    context: typer.Context,
    *,
    release: VersionName = "",
    service: Service = "",
    environment: Environment = None,
    checklist_path: OfChecklist = None,
    store_at: StoreAt = None,
) -> ExitCode:
    """Record that a release was rolled back. Its watch ends. Default: the newest one."""
    session: Session = context.obj
    target = _Target.of(checklist_path, service, environment, session)
    from anomaly.history.records import State

    with history(store_at, target.checklist, session) as store:
        record = _recorded(store, target, release)
        store.change(record.id, state=State.ABORTED)
        session.show(f"aborted: {_line(record)}")
    return ExitCode.PASS


@app.command()
def add(
    context: typer.Context,
    *,
    release: VersionName = "",
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="T", help="Start: ISO-8601 with a zone, or -2d."),
    ] = None,
    finished_at: Annotated[
        str | None,
        typer.Option(metavar="T", help="When all users had it. Default: the start."),
    ] = None,
    stage: Stages = None,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="A JSON list of releases, as release list prints it; - is standard input.",
        ),
    ] = None,
    service: Service = "",
    environment: Environment = None,
    checklist_path: OfChecklist = None,
    store_at: StoreAt = None,
) -> ExitCode:
    """Record past releases. They are not watched.

    Baselines leave out the transitions of recorded releases.
    """
    session: Session = context.obj
    if listed is not None:
        if release or at or finished_at or stage:
            raise UsageError(
                "--from has the releases; leave out --release, --at, --finished-at and --stage"
            )
        checklist = named(checklist_path, environment, session)
        releases = _listed(
            listed,
            service or (checklist.service if checklist else ""),
            (checklist.environment if checklist else environment) or "",
        )
    else:
        if at is None:
            raise UsageError("--at is missing; give the start, or a list by --from")
        target = _Target.of(checklist_path, service, environment, session)
        checklist, releases = (
            target.checklist,
            [(_release(target, Words(at, finished_at, release, None, stage or ())), False)],
        )
    from anomaly.history.records import State

    with history(store_at, checklist, session) as store:
        ids = {each.id for each in store.releases()}
        for new, aborted in releases:
            record = store.track(new, origin="command", checklist=str(checklist_path or ""))
            if record.id not in ids:
                record = replace(record, state=State.ABORTED if aborted else State.DONE)
                store.change(record.id, state=record.state)
            session.show(
                f"{'already recorded' if record.id in ids else 'recorded'}: {_line(record)}"
            )
    return ExitCode.PASS


@app.command("list")
def list_releases(
    context: typer.Context,
    *,
    service: Annotated[str, typer.Option(metavar="NAME", help="Only this service.")] = "",
    environment: Environment = None,
    checklist_path: OfChecklist = None,
    store_at: StoreAt = None,
    output: Annotated[Output, typer.Option(help="Output format.")] = Output.TABLE,
) -> ExitCode:
    """List recorded releases, newest first."""
    session: Session = context.obj
    checklist = named(checklist_path, environment, session)
    service_name = service or (checklist.service if checklist is not None else "")
    place = checklist.environment if checklist is not None else environment
    with history(store_at, checklist, session) as store:
        records = store.releases(service=service_name or None, environment=place or None)[::-1]
    if output is Output.JSON:
        session.show(json.dumps([_data(each) for each in records], indent=2))
    else:
        session.show("\n".join(_line(each) for each in records) or "no releases recorded")
    return ExitCode.PASS


def _release(target: _Target, words: Words) -> Release:
    if not words.version.strip():
        raise UsageError("--release is empty; give a version")
    release = release_of(target.checklist or _nothing(), words, right_now())
    return replace(release, service=target.service, environment=target.environment)


def _listed(path: Path, service: str, environment: str) -> list[tuple[Release, bool]]:
    """The releases of a list, and whether each was aborted. `service` and `environment` are
    defaults."""
    from anomaly.releases.form import read

    try:
        entries = read(
            sys.stdin.read() if path == STANDARD_INPUT else path.read_text(encoding="utf-8")
        )
    except OSError as error:
        raise UsageError(f"--from {path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--from {path} is not text in UTF-8") from None
    except UsageError as error:
        raise UsageError(f"--from {path}: {error}") from None
    releases = []
    for each in entries:
        release = replace(
            each.release,
            service=each.release.service or service,
            environment=each.release.environment or environment,
        )
        if not release.service:
            raise UsageError(
                f"--from {path}: {release.version} has no service; add it there, or give --service"
            )
        past("--from", release.started_at.isoformat(), right_now())
        releases.append((release, each.aborted))
    return releases


def _nothing() -> Checklist:
    return Checklist(service="", sources={}, kpis=())


def _recorded(store: Store, target: _Target, version: str) -> ReleaseRecord:
    records = store.releases(service=target.service, environment=target.environment)
    matches = [each for each in records if not version or each.release.version == version]
    if not matches:
        where = (
            f"{target.service} in {target.environment}" if target.environment else target.service
        )
        versions = (
            ", ".join(
                dict.fromkeys(plain(each.release.version, LONGEST_NAME) for each in records[-5:])
            )
            or "none"
        )
        raise UsageError(
            f"no release {version} of {where} is recorded; recorded: {versions}".replace("  ", " ")
        )
    return matches[-1]


def _line(record: ReleaseRecord) -> str:
    """`3f2a91c0  shop 2.3.1 in production, began 2025-06-03 10:00Z, watched (command)`."""
    from anomaly.reporting.notice import release_words
    from anomaly.wording import clock, percent

    release = record.release
    parts = [f"began {clock(release.started_at, None)}Z"]
    if release.stages:
        parts.append(
            f"at {percent(release.stages[-1][1])} of users since "
            f"{clock(release.stages[-1][0], release.started_at.date())}Z"
        )
    elif release.finished > release.started_at:
        parts.append(f"finished {clock(release.finished, release.started_at.date())}Z")
    return (
        f"{record.id[:8]}  {release_words(release)}, {', '.join(parts)}, {record.state} "
        f"({record.origin})"
    )


def _data(record: ReleaseRecord) -> dict[str, Any]:
    from anomaly.reporting.data import release_data

    return {
        "id": record.id,
        "state": str(record.state),
        "origin": record.origin,
        **release_data(record.release),
    }
