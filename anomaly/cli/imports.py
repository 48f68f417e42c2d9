"""`anomaly import`: a checklist from what another tool judges by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anomaly.cli.exit_codes import ExitCode
from anomaly.cli.options import NewFile
from anomaly.cli.session import Session
from anomaly.cli.start import new_file
from anomaly.errors import UsageError

if TYPE_CHECKING:
    from anomaly.imports.findings import Loss

MOST_PLACES = 20  # that are named for one reason


def import_(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="What to read.", show_default=False),
    ],
    path: NewFile = Path("checklist.yaml"),
    *,
    prometheus: Annotated[
        str,
        typer.Option(
            metavar="URL", help="The Prometheus to ask. Default: the one that FILE names."
        ),
    ] = "",
    service: Annotated[
        str, typer.Option(metavar="NAME", help="The service. Default: a name in FILE.")
    ] = "",
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="The value of a placeholder in a query."),
    ] = None,
) -> ExitCode:
    """Write a checklist from rules of other tools."""
    from anomaly.imports.reading import findings_of
    from anomaly.redaction import url_secrets
    from anomaly.wording import plain

    session: Session = context.obj
    session.keep_secret(url_secrets(prometheus) if prometheus else ())
    pairs = {}
    for pair in values or ():
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise UsageError(f"--set {plain(pair, 60)} is not NAME=VALUE")
        pairs[name] = value
    findings = findings_of(file, values=pairs, prometheus=prometheus, service=service)
    new_file(path, findings.proposal().checklist())
    count = len(findings.kpis)
    session.show(f"read {count} KPI{'s' if count > 1 else ''} from {file}")
    for each in findings.kpis:
        session.show(f"  {each.kpi.name}: {each.why}")
    for line in _lost(list(findings.losses)):
        session.show(line)
    texts = [text for each in findings.sources.values() for text in each.values()]
    variables = dict.fromkeys(text[2:-1] for text in texts if text.startswith("${"))
    hint = f"set {', '.join(variables)}, " if variables else ""
    session.show(f"wrote {path}; edit it, {hint}then run: anomaly validate --probe {path}")
    return ExitCode.PASS


def _lost(losses: Sequence[Loss]) -> Iterator[str]:
    """What could not be carried over, by the reason."""
    if losses:
        yield "not carried over:"
    for why in dict.fromkeys(each.why for each in losses):
        same = [each for each in losses if each.why == why]
        yield f"  {why}"
        for each in same[:MOST_PLACES]:
            yield f"    {each.where}: {each.what}"
        if len(same) > MOST_PLACES:
            yield f"    and {len(same) - MOST_PLACES:,} more"
