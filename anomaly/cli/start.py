"""`anomaly init` and `anomaly schema`: help with writing a checklist."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from anomaly.cli.exit_codes import ExitCode
from anomaly.cli.options import NewFile
from anomaly.cli.release import right_now
from anomaly.cli.session import Session
from anomaly.errors import UsageError

TEMPLATE = Path(__file__).parents[1] / "setup" / "checklist.yaml"


def init(
    context: typer.Context,
    path: NewFile = Path("checklist.yaml"),
    *,
    prometheus: Annotated[
        str, typer.Option(metavar="URL", help="Propose KPIs found in this Prometheus.")
    ] = "",
    service: Annotated[
        str, typer.Option(metavar="NAME", help="Service to look for. Default: the busiest one.")
    ] = "",
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Propose KPIs from the columns of this file."),
    ] = None,
    sql: Annotated[
        str,
        typer.Option("--sql", metavar="URL", help="Propose KPIs from a table of this database."),
    ] = "",
    table: Annotated[
        str, typer.Option(metavar="NAME", help="The table of the database of --sql.")
    ] = "",
    datadog: Annotated[
        str, typer.Option(metavar="URL", help="Propose KPIs from the traces in this Datadog.")
    ] = "",
    cloudwatch: Annotated[
        str, typer.Option(metavar="REGION", help="Propose KPIs found in CloudWatch.")
    ] = "",
) -> ExitCode:
    """Write a commented checklist to start from."""
    session: Session = context.obj
    if service and not (prometheus or datadog or cloudwatch):
        raise UsageError("--service needs --prometheus URL, --datadog URL or --cloudwatch REGION")
    if bool(sql) != bool(table):
        raise UsageError("--sql URL and --table NAME belong together")
    if sum(bool(each) for each in (prometheus, file, sql, datadog, cloudwatch)) > 1:
        raise UsageError("use one of --prometheus, --file, --sql, --datadog and --cloudwatch")
    text: str | None = None
    note, probe = "", f"anomaly validate --probe {path}"
    if prometheus:
        text, note = _from_prometheus(prometheus, service, session)
    elif datadog or cloudwatch:
        text, note = _from_list(datadog, cloudwatch, service, session)
    elif file is not None or sql:
        text, note, until = _from_table(file, sql, table, path, session)
        probe += f" --until {until}" if until else ""
    new_file(path, text or TEMPLATE.read_text(encoding="utf-8"))
    session.show(f"{note}wrote {path}; edit it, then run: {probe}")
    return ExitCode.PASS


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
    file: Path | None, url: str, table: str, path: Path, session: Session
) -> tuple[str, str, str]:
    """The text of a checklist, what is said of it, and the moment at which its data end, empty if
    that is now. Raises UsageError, CollectError."""
    from anomaly.redaction import url_secrets
    from anomaly.setup.table_proposal import from_database, from_file
    from anomaly.wording import plain

    if file is not None:
        proposal, ends = from_file(file, _beside(file, path))
    else:
        scheme, _, place = url.partition(":///")
        secrets = url_secrets(url)
        session.keep_secret(secrets)
        if scheme == "sqlite":
            database = Path(place)
            settings = {"type": "sql", "path": _beside(database, path)}
            proposal, ends = from_database(settings, table, path=database)
        else:
            settings = {"type": "sql", "url": "${DATABASE_URL}" if secrets else url}
            proposal, ends = from_database(settings, table, url=url)
    found = f"{len(proposal.kpis)} KPI{'s' if len(proposal.kpis) > 1 else ''}"
    said = [f"  {each.kpi.name}: {plain(each.why, 200)}\n" for each in proposal.kpis]
    said += [f"  {plain(each, 400)}\n" for each in proposal.remarks]
    is_old = ends < right_now() - 2 * proposal.windows.step - proposal.windows.lag
    until = f"{ends:%Y-%m-%dT%H:%MZ}" if is_old else ""
    return proposal.checklist(), f"found {found}\n{''.join(said)}", until


def _from_list(datadog: str, region: str, service: str, session: Session) -> tuple[str | None, str]:
    """The text of a checklist from the metrics that Datadog or CloudWatch lists, None if nothing
    was found, and what is said of it. Raises UsageError, CollectError."""
    from anomaly.checklist import registry
    from anomaly.redaction import url_secrets
    from anomaly.setup.listed_proposal import from_cloudwatch, from_datadog
    from anomaly.wording import plain

    if not re.fullmatch(r"[\w.:/-]*", service):
        raise UsageError("--service is no name of a service: letters, digits and _ . : / -")
    if datadog:
        keys = {"api_key": "DD_API_KEY", "application_key": "DD_APP_KEY"}
        if unset := [name for name in keys.values() if not os.environ.get(name)]:
            raise UsageError(f"set {' and '.join(unset)} to sign in to Datadog")
        session.keep_secret((*url_secrets(datadog), *map(os.environ.__getitem__, keys.values())))
        settings = {"type": "datadog", "url": datadog}
        values = settings | {name: os.environ[variable] for name, variable in keys.items()}
        if url_secrets(datadog):
            settings["url"] = "${DD_URL}"
        settings |= {name: f"${{{variable}}}" for name, variable in keys.items()}
    else:
        settings = values = {"type": "cloudwatch", "region": region}
    source: Any = registry.collector(
        registry.Plugin(values["type"], {k: v for k, v in values.items() if k != "type"})
    )
    found = (
        from_datadog(source, settings, service, now=right_now())
        if datadog
        else from_cloudwatch(source, settings, service)
    )
    what = "trace metrics" if datadog else "load balancers or functions"
    if found is None:
        whose = f" of {plain(service, 60)}" if service else ""
        return None, f"found no {what}{whose} that had data lately; using the template\n"
    said = [f"  {each.kpi.name}: {each.why}\n" for each in found.kpis]
    said += [f"  {each}\n" for each in found.remarks]
    return found.checklist(), f"found {len(found.kpis)} KPIs\n{''.join(said)}"


def _beside(file: Path, checklist: Path) -> str:
    """The path of a file as the checklist names it, from its own folder."""
    folder = checklist.parent.resolve()
    target = file.resolve()
    return str(target.relative_to(folder) if target.is_relative_to(folder) else target)


def _from_prometheus(url: str, service: str, session: Session) -> tuple[str | None, str]:
    """The text of a checklist, None if nothing was found, and what is said of it. Raises
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
    found = propose(access, settings, service)
    if found is None:
        return (
            None,
            f"{access.shown} has no request counter with a usual name; using the template\n",
        )
    said = "".join(f"  {line}\n" for line in found.said)
    return found.proposal.checklist(), f"found {plain(found.proposal.service, 60)}\n{said}"


def schema(context: typer.Context) -> ExitCode:
    """Print the JSON Schema of a checklist, for editors."""
    from anomaly.checklist.checklist import json_schema

    session: Session = context.obj
    session.show(json.dumps(json_schema(), indent=2))
    return ExitCode.PASS
