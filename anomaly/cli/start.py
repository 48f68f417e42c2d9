"""`anomaly init` and `anomaly schema`: help with writing a checklist."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anomaly.cli.exit_codes import ExitCode
from anomaly.cli.options import NewFile
from anomaly.cli.release import right_now
from anomaly.cli.session import Session
from anomaly.errors import UsageError

if TYPE_CHECKING:
    from anomaly.setup.proposal import Proposal

WHERE = {  # what says where a source of each kind is
    **dict.fromkeys(("prometheus", "loki", "influxdb", "graphite", "elasticsearch"), "URL"),
    **{"datadog": "URL", "cloudwatch": "REGION", "newrelic": "ACCOUNT"},
    **{"files": "FILE", "sql": "URL", "junit": "FOLDER"},
}
WITH_TABLE = ("sql", "influxdb", "elasticsearch")  # whose parts have names
TABLES = frozenset({"files", "sql", "junit"})  # whose data may have ended long ago
PLACES_SHOWN = ", ".join(f"{kind}={where}" for kind, where in WHERE.items())
TEMPLATE = Path(__file__).parents[1] / "setup" / "checklist.yaml"


def init(
    context: typer.Context,
    path: NewFile = Path("checklist.yaml"),
    *,
    source: Annotated[
        str,
        typer.Option(metavar="TYPE=WHERE", help=f"Propose KPIs found there: {PLACES_SHOWN}."),
    ] = "",
    service: Annotated[
        str, typer.Option(metavar="NAME", help="Service to look for. Default: the busiest one.")
    ] = "",
    table: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Table (sql), database (influxdb) or index (elasticsearch)."
        ),
    ] = "",
    prometheus: Annotated[
        str, typer.Option(metavar="URL", help="The same as --source prometheus=URL.")
    ] = "",
    file: Annotated[
        str, typer.Option("--file", metavar="FILE", help="The same as --source files=FILE.")
    ] = "",
    sql: Annotated[
        str, typer.Option("--sql", metavar="URL", help="The same as --source sql=URL.")
    ] = "",
    datadog: Annotated[str, typer.Option(hidden=True)] = "",
    cloudwatch: Annotated[str, typer.Option(hidden=True)] = "",
) -> ExitCode:
    """Write a commented checklist to start from."""
    session: Session = context.obj
    places = {"prometheus": prometheus, "files": file, "sql": sql, "datadog": datadog}
    places |= {"cloudwatch": cloudwatch}
    sources = [*((kind, where) for kind, where in places.items() if where)]
    sources += [_place(source)] if source else []
    if len(sources) > 1:
        raise UsageError("use one of --source, --prometheus, --file and --sql")
    kind, where = sources[0] if sources else ("", "")
    if service and kind in {"", *TABLES}:
        raise UsageError("--service needs a source that knows services, such as --prometheus URL")
    if kind == "sql" and not table:
        raise UsageError("--sql URL and --table NAME belong together")
    if table and kind not in WITH_TABLE:
        raise UsageError(f"--table NAME belongs to a source of type {', '.join(WITH_TABLE)}")
    text: str | None = None
    note, probe = "", f"anomaly validate --probe {path}"
    if kind in TABLES:
        text, note, until = _from_table(kind, where, table, path, session)
        probe += f" --until {until}" if until else ""
    elif kind == "prometheus":
        text, note = _from_prometheus(where, service, session)
    elif kind:
        text, note = _from_source(kind, where, table, service, session)
    new_file(path, text or TEMPLATE.read_text(encoding="utf-8"))
    session.show(f"{note}wrote {path}; edit it, then run: {probe}")
    return ExitCode.PASS


def _place(text: str) -> tuple[str, str]:
    """The kind of a source and where it is. Raises UsageError."""
    kind, _, where = text.partition("=")
    if kind not in WHERE or not where:
        raise UsageError(f"--source is not as it must be; use one of {PLACES_SHOWN}")
    return kind, where


def new_file(path: Path, text: str) -> None:
    """Writes a file that must not exist. Raises UsageError."""
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UsageError(f"{path} already exists; give another file") from None
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror}") from None


def _from_table(
    kind: str, where: str, table: str, path: Path, session: Session
) -> tuple[str, str, str]:
    """The text of a checklist, the message about it, and the moment at which its data end, empty if
    that is now. Raises UsageError, CollectError."""
    from anomaly.redaction import url_secrets
    from anomaly.setup.table_proposal import from_database, from_file

    if kind == "files":
        proposal, ends = from_file(Path(where), _beside(Path(where), path))
    elif kind == "junit":
        from anomaly.setup.junit_proposal import from_runs

        proposal, ends = from_runs(Path(where), _beside(Path(where), path))
    else:
        scheme, _, place = where.partition(":///")
        secrets = url_secrets(where)
        session.keep_secret(secrets)
        if scheme == "sqlite":
            database = Path(place)
            settings = {"type": "sql", "path": _beside(database, path)}
            proposal, ends = from_database(settings, table, path=database)
        else:
            settings = {"type": "sql", "url": "${DATABASE_URL}" if secrets else where}
            proposal, ends = from_database(settings, table, url=where)
    is_old = ends < right_now() - 2 * proposal.windows.step - proposal.windows.lag
    until = f"{ends:%Y-%m-%dT%H:%MZ}" if is_old else ""
    return proposal.checklist(), _said(proposal), until


def _from_source(
    kind: str, where: str, within: str, service: str, session: Session
) -> tuple[str | None, str]:
    """The text of a checklist from what a source holds, None if nothing was found, and the
    message about it. Raises UsageError, CollectError."""
    from anomaly.setup.source_proposal import PLACES, Ask, propose

    ask = Ask(kind, where, within, service, os.environ, session.keep_secret)
    proposal = propose(ask, now=right_now())
    if proposal is None:
        whose = f" of {service}" if service else ""
        return None, (
            f"found no {PLACES[kind].looked_for}{whose} that had data lately; using the template: "
            f"replace its source and queries (docs/collectors.md, {kind})\n"
        )
    return proposal.checklist(), _said(proposal)


def _said(proposal: Proposal) -> str:
    """What was found, a line for each KPI and remark."""
    from anomaly.wording import plain

    kpis = [f"  {each.kpi.name}: {plain(each.why, 200)}\n" for each in proposal.kpis]
    remarks = [f"  {plain(each, 400)}\n" for each in proposal.remarks]
    count = f"{len(kpis)} KPI{'s' if len(kpis) > 1 else ''}"
    return f"found {count}\n{''.join([*kpis, *remarks])}"


def _beside(file: Path, checklist: Path) -> str:
    """The path of a file as the checklist names it, from its own folder."""
    folder = checklist.parent.resolve()
    target = file.resolve()
    return str(target.relative_to(folder) if target.is_relative_to(folder) else target)


def _from_prometheus(url: str, service: str, session: Session) -> tuple[str | None, str]:
    """The text of a checklist, None if nothing was found, and the message about it. Raises
    UsageError, CollectError."""
    from anomaly.collectors.prometheus_access import Access, managed_settings
    from anomaly.redaction import url_secrets
    from anomaly.setup.prometheus_proposal import propose
    from anomaly.wording import plain

    secrets = url_secrets(url)
    session.keep_secret(secrets)
    token = os.environ.get("PROMETHEUS_TOKEN")
    managed = {} if token else {name: str(value) for name, value in managed_settings(url).items()}
    filled: Any = {name: os.path.expandvars(value) for name, value in managed.items()}
    if unset := re.findall(r"\$\{(\w+)\}", " ".join(filled.values())):
        raise UsageError(f"set {', '.join(unset)} to sign in there, or PROMETHEUS_TOKEN")
    access = Access(url=url, bearer_token=token, **filled)
    session.keep_secret(access.secrets)
    settings = {"type": "prometheus", "url": "${PROMETHEUS_URL}" if secrets else url}
    settings |= managed
    if token:
        settings["bearer_token"] = "${PROMETHEUS_TOKEN}"  # noqa: S105  a variable's name
    of_service = propose(access, settings, service)
    if of_service is None:
        return (
            None,
            f"{access.where} has no request counter with a usual name; using the template\n",
        )
    lines = "".join(f"  {line}\n" for line in of_service.notes)
    proposal = of_service.proposal
    return proposal.checklist(), f"found {plain(proposal.service, 60)}\n{lines}"


def schema(context: typer.Context) -> ExitCode:
    """Print the JSON Schema of a checklist, for editors."""
    from anomaly.checklist.checklist import json_schema

    session: Session = context.obj
    session.show(json.dumps(json_schema(), indent=2))
    return ExitCode.PASS
