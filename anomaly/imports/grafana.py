"""Dashboards of Grafana: the queries of their panels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from anomaly.imports.documents import Part
from anomaly.imports.findings import NEITHER_WAY, THRESHOLD, Findings
from anomaly.imports.queries import filled, options
from anomaly.model import Kpi

PLACEHOLDER = re.compile(
    r"\$(?P<bare>[A-Za-z_]\w*)|\$\{(?P<braced>\w+)[^}]*\}|\[\[(?P<old>\w+)[^\]]*\]\]"
)
STEPS = frozenset({"__rate_interval", "__interval", "interval"})
STEP = "$step"
ALL = frozenset({"$__all", "All"})
TEXTS = frozenset({"row", "text", "news", "dashlist", "alertlist", "annolist", "welcome"})
UNITS = {
    **{"s": "s", "ms": "ms", "µs": "µs", "ns": "ns", "percent": "%", "bytes": "bytes"},
    **{"decbytes": "bytes", "reqps": "requests/s", "ops": "operations/s", "Bps": "bytes/s"},
    **{"rps": "reads/s", "wps": "writes/s", "cps": "counts/s", "iops": "operations/s"},
}


def dashboard_of(document: Part) -> Part | None:
    """The dashboard of a document: the document, or the part of an answer of the API; None if
    there is none."""
    for part in (document, document.at("dashboard"), document.at("spec")):
        lists = (part.at("panels").data, part.at("rows").data)
        if any(isinstance(each, list) for each in lists) and (
            part.at("schemaVersion").data is not None or part.text("title")
        ):
            return part
    return None


def read(dashboard: Part, findings: Findings) -> None:
    """The queries of the panels as KPIs."""
    findings.name_service(dashboard.text("title"))
    values = {**_variables(dashboard), **findings.values}
    for panel in _panels(dashboard):
        title = panel.text("title") or "panel"
        if panel.mapping("libraryPanel"):
            findings.lose(panel, f"panel {title}", "a library panel, which is kept elsewhere")
            continue
        if panel.text("type") in TEXTS:
            continue
        targets = list(panel.each("targets"))
        if not targets:
            findings.lose(panel, f"panel {title}", "it has no query")
        if _has_thresholds(panel):
            findings.lose(panel, f"thresholds of {title}", THRESHOLD)
        for target in targets:
            _target(target, panel, title, findings, values, is_alone=len(targets) == 1)


def _target(
    target: Part,
    panel: Part,
    title: str,
    findings: Findings,
    values: Mapping[str, str],
    *,
    is_alone: bool,
) -> None:
    label = target.text("legendFormat")
    label = label if label and label != "__auto" and "{{" not in label else target.text("refId")
    name = title if is_alone or not label else f"{title}: {label}"
    name, _ = filled(name, PLACEHOLDER, lambda match: _value(match, values))
    if target.at("hide").data is True:
        findings.lose(target, f"query {name}", "it is hidden")
        return
    kind = _source_type(target) or _source_type(panel)
    expression = target.text("expr")
    if kind not in {"", "prometheus"} or not expression:
        what = kind if kind not in {"", "prometheus"} else "a query without an expression"
        findings.lose(target, f"query {name}", f"it is of {what}, not of prometheus")
        return
    query, missing = filled(expression, PLACEHOLDER, lambda match: _value(match, values))
    if missing:
        names = [_variable(match) for match in map(PLACEHOLDER.fullmatch, missing) if match]
        hints = options([each for each in names if not each.startswith("__")])
        own = any(each.startswith("__") for each in names)
        why = f"{', '.join(missing)} has no value here"
        why += ", for it is of a dashboard on a screen" if own else ""
        findings.lose(target, f"query {name}", f"{why}{': ' if hints else ''}{hints}")
        return
    findings.lose(target, f"direction of {name}", NEITHER_WAY)
    unit = panel.text("fieldConfig", "defaults", "unit")
    findings.add(target, Kpi(name, query=query, unit=UNITS.get(unit, "")), "panel")


def _panels(dashboard: Part) -> Iterator[Part]:
    """The panels, those in rows, too."""
    for panel in dashboard.each("panels"):
        yield panel
        yield from panel.each("panels")
    for row in dashboard.each("rows"):
        yield from row.each("panels")


def _variables(dashboard: Part) -> dict[str, str]:
    """The values that the dashboard was saved with."""
    found = {}
    for each in dashboard.each("templating", "list"):
        kind, value = each.text("type"), each.at("current", "value").data
        if kind in {"adhoc", "datasource"}:
            continue
        if value is None and kind in {"constant", "textbox"}:
            value = each.text("query")
        text = STEP if kind == "interval" else _text(value, each.text("allValue"))
        if text:
            found[each.text("name")] = text
    return found


def _text(value: Any, everything: str) -> str:
    """A value as Grafana writes it into PromQL; all values are a pattern for anything."""
    values = [str(each) for each in (value if isinstance(value, list) else [value]) if each]
    if not values:
        return ""
    if set(values) & ALL:
        return everything or ".*"
    if len(values) == 1:
        return values[0]
    escaped = [re.escape(each).replace("\\", "\\\\") for each in values]
    return f"({'|'.join(escaped)})"


def _value(match: re.Match[str], values: Mapping[str, str]) -> str | None:
    name = _variable(match)
    if name in values:
        return values[name]
    return STEP if name in STEPS else None


def _variable(match: re.Match[str]) -> str:
    return match["bare"] or match["braced"] or match["old"]


def _source_type(part: Part) -> str:
    """The type of the data source that a panel or query names; empty if it names none."""
    if part.text("datasource", "uid") == "-- Mixed --" or part.text("datasource") == "-- Mixed --":
        return ""
    return part.text("datasource", "type").removeprefix("grafana-").removesuffix("-datasource")


def _has_thresholds(panel: Part) -> bool:
    steps = list(panel.each("fieldConfig", "defaults", "thresholds", "steps"))
    return len(steps) > 1 and panel.text(
        "fieldConfig", "defaults", "custom", "thresholdsStyle", "mode"
    ) not in {"", "off"}
