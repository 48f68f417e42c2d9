"""`anomaly init` and `anomaly schema`: help with writing a checklist."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from anomaly.cli.exit_codes import ExitCode
from anomaly.cli.session import Session
from anomaly.errors import UsageError

TEMPLATE = Path(__file__).parents[1] / "setup" / "checklist.yaml"


def init(
    context: typer.Context,
    path: Annotated[
        Path,
        typer.Argument(
            metavar="[PATH]", help="File to write; it must not exist.", show_default=True
        ),
    ] = Path("checklist.yaml"),
    *,
    prometheus: Annotated[
        str, typer.Option(metavar="URL", help="Propose KPIs found in this Prometheus.")
    ] = "",
    service: Annotated[
        str, typer.Option(metavar="NAME", help="Service to look for. Default: the busiest one.")
    ] = "",
) -> ExitCode:
    """Write a commented checklist to start from."""
    session: Session = context.obj
    if service and not prometheus:
        raise UsageError("--service needs --prometheus URL")
    text, note = _from_prometheus(prometheus, service, session) if prometheus else (None, "")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text or TEMPLATE.read_text(encoding="utf-8"))
    except FileExistsError:
        raise UsageError(f"{path} already exists; give another file") from None
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror}") from None
    session.show(f"{note}wrote {path}; edit it, then run: anomaly validate --probe {path}")
    return ExitCode.PASS


def _from_prometheus(url: str, service: str, session: Session) -> tuple[str | None, str]:
    """The text of a checklist, None if nothing was found, and what is said of it. Raises
    UsageError, CollectError."""
    from anomaly.collectors.prometheus_access import Access
    from anomaly.redaction import url_secrets
    from anomaly.setup.prometheus_proposal import propose
    from anomaly.wording import plain

    secrets = url_secrets(url)
    session.keep_secret(secrets)
    token = os.environ.get("PROMETHEUS_TOKEN")
    access = Access(url=url, bearer_token=token)
    session.keep_secret(access.secrets)
    settings = {"type": "prometheus", "url": "${PROMETHEUS_URL}" if secrets else url}
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
