"""`anomaly install`: files that run `anomaly tick`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from anomaly.checklist import strict_yaml, variables
from anomaly.cli.exit_codes import ExitCode
from anomaly.cli.options import ChecklistPath, Environment
from anomaly.cli.release import opened
from anomaly.cli.session import Session, log
from anomaly.errors import UsageError
from anomaly.redaction import is_url
from anomaly.replacement import replace_file
from anomaly.setup import install as files
from anomaly.setup.install import Job
from anomaly.timing.durations import parse_duration

app = typer.Typer(
    help="Print files that run tick under cron, systemd or Kubernetes.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Every = Annotated[
    str, typer.Option(metavar="DURATION", help="Interval; it must divide an hour or a day evenly.")
]


@app.command()
def cron(
    context: typer.Context,
    checklist_path: ChecklistPath,
    *,
    environment: Environment = None,
    every: Every = "5m",
    user: Annotated[
        str,
        typer.Option(metavar="NAME", help="Print a file for /etc/cron.d that runs as this user."),
    ] = "",
) -> ExitCode:
    """Print a crontab line."""
    session: Session = context.obj
    session.show(files.cron(_job(checklist_path, environment, every, session), user))
    return ExitCode.PASS


@app.command()
def systemd(
    context: typer.Context,
    checklist_path: ChecklistPath,
    *,
    environment: Environment = None,
    every: Every = "5m",
    user: Annotated[
        str, typer.Option(metavar="NAME", help="User who runs it and owns the history.")
    ] = "anomaly",
    into: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write the files to this folder, such as /etc/systemd/system."
        ),
    ] = None,
) -> ExitCode:
    """Print a service and its timer, or write them to a folder."""
    session: Session = context.obj
    units = files.systemd(_job(checklist_path, environment, every, session), user)
    if into is None:
        session.show(
            "\n\n".join(f"# /etc/systemd/system/{name}\n{text}" for name, text in units.items())
        )
        return ExitCode.PASS
    for name, text in units.items():
        try:
            replace_file(into / name, f"{text}\n".encode())
        except OSError as error:
            raise UsageError(f"--into {into}: {error.strerror or error}") from None
        session.show(f"wrote {into / name}")
    session.show(f"now: systemctl daemon-reload && systemctl enable --now {list(units)[-1]}")
    return ExitCode.PASS


@app.command()
def kubernetes(
    context: typer.Context,
    checklist_path: ChecklistPath,
    *,
    image: Annotated[
        str, typer.Option(metavar="IMAGE", help="Container image with anomaly installed.")
    ],
    environment: Environment = None,
    every: Every = "5m",
) -> ExitCode:
    """Print a CronJob with everything it needs, as YAML."""
    session: Session = context.obj
    session.show(files.kubernetes(_job(checklist_path, environment, every, session), image))
    return ExitCode.PASS


def _job(path: Path, environment: str | None, every: str, session: Session) -> Job:
    """The job to run. The checklist is read, and checked if all its variables are set here."""
    content = strict_yaml.read(path)
    document = strict_yaml.parse(content)
    strict_yaml.refuse(str(path), document.problems)
    data: Mapping[str, Any] = document.data if isinstance(document.data, Mapping) else {}
    names = tuple(
        sorted({name for text in _texts(data) for name in variables.VARIABLE.findall(text)})
    )
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        log.warning(
            "not checked, because %s is not set here; check it later: anomaly validate %s",
            ", ".join(missing),
            path,
        )
    else:
        opened(path, environment, session)
    if not _has_sinks(data, environment):
        log.warning(
            "%s lists no sinks, so nobody is told of a failing release: it is one line on standard "
            "error, which cron mails to MAILTO and others only log; list a sink under sinks",
            path,
        )
    # resolve() would follow links, which may change later
    absolute = Path(os.path.abspath(path))  # noqa: PTH100
    try:
        period = parse_duration(every)
    except UsageError as error:
        raise UsageError(f"--every: {error}") from None
    store = data.get("store", "")
    return Job(
        checklist=absolute,
        text=content.decode(),
        service=str(data.get("service", "")),
        program=_program(),
        environment=environment or "",
        every=period,
        variables=names,
        store=str(store),
        writes=tuple(
            sorted({(absolute.parent / each).parent for each in _paths(data, environment)})
        ),
    )


def _has_sinks(data: Mapping[str, Any], environment: str | None) -> bool:
    return any(
        isinstance(each, Mapping) and each.get("type") != "console"
        for each in _sinks(data, environment)
    )


def _sinks(data: Mapping[str, Any], environment: str | None) -> list[Any]:
    """The sinks of an environment: its own, or those at the top."""
    of_environment = _mapping(
        _mapping(data, "environments"), environment or str(data.get("environment", ""))
    )
    sinks = of_environment.get("sinks", data.get("sinks"))
    return sinks if isinstance(sinks, list) else []


def _program() -> tuple[str, ...]:
    """The command of this installation, without PATH."""
    script = Path(sys.executable).parent / "anomaly"
    return (str(script),) if script.is_file() else (sys.executable, "-m", "anomaly")


def _paths(data: Mapping[str, Any], environment: str | None) -> Iterator[str]:
    """The files in the checklist that the history and the sinks write to."""
    paths = [
        data.get("store"),
        *(sink.get("path") for sink in _sinks(data, environment) if isinstance(sink, Mapping)),
    ]
    return (
        each
        for each in paths
        if isinstance(each, str) and not is_url(each) and not variables.VARIABLE.search(each)
    )


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value
