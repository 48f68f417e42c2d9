"""`anomaly init` and `anomaly schema`: what one needs to write a checklist."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from anomaly.cli.session import ExitCode, Session
from anomaly.errors import UsageError

TEMPLATE = Path(__file__).parent.parent / "templates" / "checklist.yaml"


def init(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="[PATH]", help="Where to; nothing is overwritten.", show_default=True)] = Path(
        "checklist.yaml"
    ),
) -> ExitCode:
    """Write a commented checklist to start from."""
    session: Session = context.obj
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.read_text(encoding="utf-8"))
    except FileExistsError:
        raise UsageError(f"{path} is already there; name another file") from None
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror}") from None
    session.show(f"wrote {path}; edit it, then run: anomaly validate --probe {path}")
    return ExitCode.PASS


def schema(context: typer.Context) -> ExitCode:
    """Print the JSON Schema of a checklist, for editors."""
    from anomaly.checklist import json_schema

    session: Session = context.obj
    session.show(json.dumps(json_schema(), indent=2))
    return ExitCode.PASS
