"""Which tool a document is of, and what is read of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from anomaly.errors import UsageError
from anomaly.imports import argo, flagger, grafana, kayenta, rules
from anomaly.imports.documents import Part, read
from anomaly.imports.findings import Findings

MOST_NAMED = 20  # losses in an error
READ = (
    "canary configurations of Kayenta, AnalysisTemplates of Argo Rollouts, MetricTemplates and "
    "Canaries of Flagger, rules of Prometheus, dashboards of Grafana"
)


def findings_of(
    path: Path, *, values: Mapping[str, str], prometheus: str = "", service: str = ""
) -> Findings:
    """What is in a file, and what could not be carried over. Raises UsageError if the file can't
    be read, or if there is no KPI in it."""
    findings = Findings(values=values, prometheus=prometheus)
    if service:
        findings.name_service(service)
    gather(read(path), findings)
    if not findings.kpis:
        raise UsageError(_nothing(path, findings))
    return findings


def gather(documents: Sequence[Part], findings: Findings) -> None:
    """Adds to the findings what is in these documents."""
    canaries = []
    for part in _objects(documents):
        if part.text("kind") in flagger.KINDS:
            canaries.append(part)
        else:
            _read(part, findings)
    flagger.read(canaries, findings)


def _read(part: Part, findings: Findings) -> None:
    kind = part.text("kind")
    dashboard = grafana.dashboard_of(part)
    if kind in argo.KINDS:
        argo.read(part, findings)
    elif kind == "PrometheusRule":
        rules.read(part.at("spec"), findings)
    elif rules.is_file(part):
        rules.read(part, findings)
    elif kayenta.is_one(part):
        kayenta.read(part, findings)
    elif dashboard is not None:
        grafana.read(dashboard, findings)
    elif part.data is not None:
        what = f"kind {kind}" if kind else "a document of no known kind"
        findings.lose(part, what, f"only these are read: {READ}")


def _objects(documents: Sequence[Part]) -> Iterator[Part]:
    """The documents, and in their place what is in a list of them."""
    for document in documents:
        if document.text("kind").endswith("List") and isinstance(document.at("items").data, list):
            yield from document.each("items")
        elif isinstance(document.data, list):
            yield from Part(document.file, {"": document.data}, (), document.lines).each("")
        else:
            yield document


def _nothing(path: Path, findings: Findings) -> str:
    lines = [
        f"  {each.where}: {each.what}: {each.why}" for each in list(findings.losses)[:MOST_NAMED]
    ]
    head = f"{path} has no KPI that can be carried over"
    return "\n".join([f"{head}:", *lines]) if lines else f"{head}; only these are read: {READ}"
