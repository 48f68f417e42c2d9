"""`anomaly release`: say what is released, and read what is known of it."""

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
    help="Say what is released, and read what is known of it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

At = Annotated[
    str, typer.Option("--at", metavar="T", help="When: ISO-8601 with a zone, -2h, or now.")
]
Service = Annotated[
    str, typer.Option(metavar="NAME", help="What is released. Default: the checklist's service.")
]
VersionName = Annotated[
    str, typer.Option("--release", metavar="VERSION", help="What it is called.")
]


@dataclass(frozen=True, slots=True)
class _Meant:
    """What the options say."""

    checklist: Checklist | None
    service: str
    environment: str

    @classmethod
    def of(
        cls, checklist: Path | None, service: str, environment: str | None, session: Session
    ) -> _Meant:
        asked = named(checklist, environment, session)
        meant = service or (asked.service if asked is not None else "")
        if not meant:
            raise UsageError("of which service? name it by --service, or by --checklist FILE")
        return cls(asked, meant, asked.environment if asked is not None else environment or "")


@app.command()
def start(
    context: typer.Context,
    *,
    release: VersionName,
    at: At = "now",
    stage: Stages = None,
    service: Service = "",
    environment: Environment = None,
    checklist: OfChecklist = None,
    store: StoreAt = None,
) -> ExitCode:
    """A release begins, or one of its stages: tick watches it from now on.

    Saying it again changes nothing, but for new stages.
    """
    session: Session = context.obj
    meant = _Meant.of(checklist, service, environment, session)
    made = _release(meant, Words(at, None, release, None, stage or ()))
    with history(store, meant.checklist, session) as kept:
        known = [
            each.id for each in kept.releases(service=meant.service, environment=meant.environment)
        ]
        tracked = kept.track(
            _staged(kept, made), origin="command", checklist=str(checklist or ""), anew=True
        )
        session.show(
            f"{'already known' if tracked.id in known else 'watched from now on'}: {_line(tracked)}"
        )
    return ExitCode.PASS


@app.command()
def finish(
    context: typer.Context,
    *,
    release: VersionName = "",
    at: At = "now",
    service: Service = "",
    environment: Environment = None,
    checklist: OfChecklist = None,
    store: StoreAt = None,
) -> ExitCode:
    """A release has reached all users. Default: the newest one."""
    session: Session = context.obj
    meant = _Meant.of(checklist, service, environment, session)
    end = past("--at", at, right_now())
    with history(store, meant.checklist, session) as kept:
        tracked = _known(kept, meant, release)
        if end < tracked.release.started_at:
            raise UsageError(
                f"--at {at} is before the release began at {tracked.release.started_at.isoformat()}"
            )
        kept.change(tracked.id, finished_at=end)
        session.show(
            "finished: "
            f"{_line(replace(tracked, release=replace(tracked.release, finished_at=end)))}"
        )
    return ExitCode.PASS


@app.command()
def abort(
    context: typer.Context,
    *,
    release: VersionName = "",
    service: Service = "",
    environment: Environment = None,
    checklist: OfChecklist = None,
    store: StoreAt = None,
) -> ExitCode:
    """A release was rolled back: its watch ends. Default: the newest one."""
    session: Session = context.obj
    meant = _Meant.of(checklist, service, environment, session)
    from anomaly.history.records import State

    with history(store, meant.checklist, session) as kept:
        tracked = _known(kept, meant, release)
        kept.change(tracked.id, state=State.ABORTED)
        session.show(f"aborted: {_line(tracked)}")
    return ExitCode.PASS


@app.command()
def add(
    context: typer.Context,
    *,
    release: VersionName = "",
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="T", help="When it began: ISO-8601 with a zone, or -2d."),
    ] = None,
    finished_at: Annotated[
        str | None,
        typer.Option(metavar="T", help="When it had reached all users. Default: at once."),
    ] = None,
    stage: Stages = None,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="All of this list in JSON, as release list prints it; - is standard input.",
        ),
    ] = None,
    service: Service = "",
    environment: Environment = None,
    checklist: OfChecklist = None,
    store: StoreAt = None,
) -> ExitCode:
    """Releases of the past, so that nothing is learned from their transitions; they are not
    watched."""
    session: Session = context.obj
    if listed is not None:
        if release or at or finished_at or stage:
            raise UsageError(
                "--from names the releases; leave out --release, --at, --finished-at and --stage"
            )
        asked = named(checklist, environment, session)
        found = _listed(
            listed,
            service or (asked.service if asked else ""),
            (asked.environment if asked else environment) or "",
        )
    else:
        if at is None:
            raise UsageError("--at is missing; say when it began, or name a list by --from")
        meant = _Meant.of(checklist, service, environment, session)
        asked, found = (
            meant.checklist,
            [(_release(meant, Words(at, finished_at, release, None, stage or ())), False)],
        )
    from anomaly.history.records import State

    with history(store, asked, session) as kept:
        known = {each.id for each in kept.releases()}
        for made, aborted in found:
            tracked = kept.track(made, origin="command", checklist=str(checklist or ""))
            if tracked.id not in known:
                tracked = replace(tracked, state=State.ABORTED if aborted else State.DONE)
                kept.change(tracked.id, state=tracked.state)
            session.show(f"{'already known' if tracked.id in known else 'known'}: {_line(tracked)}")
    return ExitCode.PASS


@app.command("list")
def list_releases(
    context: typer.Context,
    *,
    service: Annotated[str, typer.Option(metavar="NAME", help="Only of this service.")] = "",
    environment: Environment = None,
    checklist: OfChecklist = None,
    store: StoreAt = None,
    output: Annotated[Output, typer.Option(help="json is for machines.")] = Output.TABLE,
) -> ExitCode:
    """The releases that are known, newest first."""
    session: Session = context.obj
    asked = named(checklist, environment, session)
    wanted = service or (asked.service if asked is not None else "")
    place = asked.environment if asked is not None else environment
    with history(store, asked, session) as kept:
        known = kept.releases(service=wanted or None, environment=place or None)[::-1]
    if output is Output.JSON:
        session.show(json.dumps([_data(each) for each in known], indent=2))
    else:
        session.show("\n".join(_line(each) for each in known) or "no releases are known")
    return ExitCode.PASS


def _release(meant: _Meant, words: Words) -> Release:
    if not words.version.strip():
        raise UsageError("--release is empty; say what is released")
    found = release_of(meant.checklist or _nothing(), words, right_now())
    return replace(found, service=meant.service, environment=meant.environment)


def _listed(path: Path, service: str, environment: str) -> list[tuple[Release, bool]]:
    """The releases of a list, and whether each was aborted. What it does not say of service and
    environment is as given."""
    from anomaly.releases.form import read

    try:
        written = read(
            sys.stdin.read() if path == STANDARD_INPUT else path.read_text(encoding="utf-8")
        )
    except OSError as error:
        raise UsageError(f"--from {path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--from {path} is not text in UTF-8") from None
    except UsageError as error:
        raise UsageError(f"--from {path}: {error}") from None
    found = []
    for each in written:
        release = replace(
            each.release,
            service=each.release.service or service,
            environment=each.release.environment or environment,
        )
        if not release.service:
            raise UsageError(
                f"--from {path}: of which service is {release.version}? write service there, or "
                "name it by --service"
            )
        past("--from", release.started_at.isoformat(), right_now())
        found.append((release, each.aborted))
    return found


def _nothing() -> Checklist:
    return Checklist(service="", sources={}, kpis=())


def _staged(kept: Store, made: Release) -> Release:
    """The release with the stages that are known of it before its new ones."""
    from anomaly.history.records import State

    newest = next(
        iter(kept.releases(service=made.service, environment=made.environment)[::-1]), None
    )
    if (
        newest is None
        or newest.state is State.ABORTED
        or newest.release.version != made.version
        or not made.stages
    ):
        return made
    known = newest.release
    new = [stage for stage in made.stages if not known.stages or stage[0] > known.stages[-1][0]]
    return replace(
        made, started_at=known.started_at, finished_at=None, stages=(*known.stages, *new)
    )


def _known(kept: Store, meant: _Meant, version: str) -> ReleaseRecord:
    known = kept.releases(service=meant.service, environment=meant.environment)
    found = [each for each in known if not version or each.release.version == version]
    if not found:
        where = f"{meant.service} in {meant.environment}" if meant.environment else meant.service
        has = (
            ", ".join(
                dict.fromkeys(plain(each.release.version, LONGEST_NAME) for each in known[-5:])
            )
            or "none"
        )
        raise UsageError(
            f"no release {version} of {where} is known; known are: {has}".replace("  ", " ")
        )
    return found[-1]


def _line(tracked: ReleaseRecord) -> str:
    """`3f2a91c0  shop 2.3.1 in production, began 2025-06-03 10:00Z, watched (command)`."""
    from anomaly.reporting.notice import release_words
    from anomaly.wording import clock, percent

    release = tracked.release
    parts = [f"began {clock(release.started_at, None)}Z"]
    if release.stages:
        parts.append(
            f"at {percent(release.stages[-1][1])} of users since "
            f"{clock(release.stages[-1][0], release.started_at.date())}Z"
        )
    elif release.finished > release.started_at:
        parts.append(f"finished {clock(release.finished, release.started_at.date())}Z")
    return (
        f"{tracked.id[:8]}  {release_words(release)}, {', '.join(parts)}, {tracked.state} "
        f"({tracked.origin})"
    )


def _data(tracked: ReleaseRecord) -> dict[str, Any]:
    from anomaly.reporting.data import release_data

    return {
        "id": tracked.id,
        "state": str(tracked.state),
        "origin": tracked.origin,
        **release_data(tracked.release),
    }
