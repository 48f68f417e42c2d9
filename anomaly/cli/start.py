"""`anomaly init` and `anomaly schema`: what one needs to write a checklist."""

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
            metavar="[PATH]", help="Where to; nothing is overwritten.", show_default=True
        ),
    ] = Path("checklist.yaml"),
    *,
    prometheus: Annotated[
        str, typer.Option(metavar="URL", help="Propose KPIs that this Prometheus holds.")
    ] = "",
    service: Annotated[
        str, typer.Option(metavar="NAME", help="Of this service. Default: the busiest one.")
    ] = "",
) -> ExitCode:
    """Write a commented checklist to start from."""
    session: Session = context.obj
    if service and not prometheus:
        raise UsageError("--service needs --prometheus URL, where to look for it")
    text, found = (_proposed(prometheus, service, session)) if prometheus else (None, "")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text or TEMPLATE.read_text(encoding="utf-8"))
    except FileExistsError:
        raise UsageError(f"{path} is already there; name another file") from None
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror}") from None
    session.show(f"{found}wrote {path}; edit it, then run: anomaly validate --probe {path}")
    return ExitCode.PASS


def _proposed(url: str, service: str, session: Session) -> tuple[str | None, str]:
    """The text of a checklist, None where nothing was found; and what to say of it. Raises
    UsageError, CollectError."""
    from anomaly.collectors.prometheus_access import Access
    from anomaly.redaction import url_secrets
    from anomaly.setup.proposal import checklist, proposed
    from anomaly.wording import plain

    session.keep_secret(url_secrets(url))
    token = os.environ.get("PROMETHEUS_TOKEN")
    access = Access(
        url=url,
        bearer_token=token,
        bearer_token_file=None,
        username=None,
        password=None,
        ca_file=None,
        headers={},
    )
    session.keep_secret(access.secrets)
    found = proposed(access, service)
    if found is None:
        return (
            None,
            f"{access.shown} counts no requests under a usual name, so this is the template\n",
        )
    return checklist(found), f"found {plain(found.service, 60)} by {plain(found.counter, 100)}\n"


def schema(context: typer.Context) -> ExitCode:
    """Print the JSON Schema of a checklist, for editors."""
    from anomaly.checklist.checklist import json_schema

    session: Session = context.obj
    session.show(json.dumps(json_schema(), indent=2))
    return ExitCode.PASS
