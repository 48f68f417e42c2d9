"""Alert rules of Prometheus: a file of rules, or the resource PrometheusRule."""

from __future__ import annotations

from anomaly.imports.documents import Part
from anomaly.imports.findings import THRESHOLD, Findings
from anomaly.imports.queries import alert
from anomaly.model import Kpi

URGENT = frozenset({"critical", "page", "emergency"})
LASTING = "how long a condition must hold; that is decided over the whole watch"


def is_file(document: Part) -> bool:
    """Whether a document is a file of rules."""
    return any(isinstance(each.at("rules").data, list) for each in document.each("groups"))


def read(rules: Part, findings: Findings) -> None:
    """The alerts among the rules as KPIs."""
    for group in rules.each("groups"):
        findings.name_service(group.text("name"))
        for rule in group.each("rules"):
            if name := rule.text("alert"):
                _alert(rule, name, group.text("name"), findings)
            else:
                findings.lose(
                    rule, f"record {rule.text('record')}", "a recording rule judges nothing"
                )


def _alert(rule: Part, name: str, group: str, findings: Findings) -> None:
    condition = alert(rule.text("expr"))
    if isinstance(condition, str):
        findings.lose(rule, f"alert {name}", condition)
        return
    findings.lose(rule.at("expr"), f"{condition.threshold} of {name}", THRESHOLD)
    if condition.rest:
        findings.lose(
            rule.at("expr"),
            f"{condition.rest} of {name}",
            "a further condition; min_volume says how little is too little to judge",
        )
    for key in ("for", "keep_firing_for"):
        if length := rule.text(key):
            findings.lose(rule.at(key), f"{key} {length} of {name}", LASTING)
    findings.add(
        rule,
        Kpi(
            name,
            query=condition.expression,
            direction=condition.direction,
            critical=rule.text("labels", "severity").casefold() in URGENT,
        ),
        f"alert of the group {group}",
    )
