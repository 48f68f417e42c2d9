"""Dashboards of Grafana: the queries of their panels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from anomaly.imports.documents import Part
from anomaly.imports.findings import NEITHER_WAY, THRESHOLD, Findings
from anomaly.imports.influxql import WITHIN
from anomaly.imports.panels import READERS, asked_by, kind_of
from anomaly.imports.queries import filled, options
from anomaly.imports.texts import STEP
from anomaly.model import Kpi

PLACEHOLDER = re.compile(
    r"\$(?P<bare>[A-Za-z_]\w*)|\$\{(?P<braced>\w+)[^}]*\}|\[\[(?P<old>\w+)[^\]]*\]\]"
)
STEPS = frozenset({"__rate_interval", "__interval", "__auto", "interval"})
PROMETHEUS = frozenset({"", "prometheus", "amazonprometheus", "azureprometheus"})
BACKSLASH = "\\"
ALL = frozenset({"$__all", "All"})
TEXTS = frozenset({"row", "text", "news", "dashlist", "alertlist", "annolist", "welcome"})
ANYTHING = {"graphite": "*", "elasticsearch": "*", "opensearch": "*"}  # else a pattern
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
    variables = _variables(dashboard)
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
            _target(target, panel, title, findings, variables, is_alone=len(targets) == 1)


def _target(
    target: Part,
    panel: Part,
    title: str,
    findings: Findings,
    variables: Mapping[str, _Variable],
    *,
    is_alone: bool,
) -> None:
    kind = _source_type(target) or _source_type(panel) or kind_of(target)
    texts = {name: text for name, each in variables.items() if (text := each.text(kind))}
    values = {"timeFilter": WITHIN, **texts, **findings.values}
    label = target.text("legendFormat") or target.text("alias")
    label = label if label and label != "__auto" and "{{" not in label else target.text("refId")
    name = title if is_alone or not label else f"{title}: {label}"
    name, _ = filled(name, PLACEHOLDER, lambda match: _value(match, values))
    if target.at("hide").data is True:
        findings.lose(target, f"query {name}", "it is hidden")
        return
    kpi = Kpi(name, unit=UNITS.get(panel.text("fieldConfig", "defaults", "unit"), ""))
    if kind in PROMETHEUS:
        expression = target.text("expr")
        if not expression:
            findings.lose(target, f"query {name}", "it has no expression in PromQL")
        elif query := _filled(expression, target, name, findings, values):
            findings.lose(target, f"direction of {name}", NEITHER_WAY)
            findings.add(target, replace(kpi, query=query), "panel")
        return
    if kind not in READERS:
        read = ", ".join(["prometheus", *READERS])
        findings.lose(target, f"query {name}", f"it is of {kind}, none of {read}")
        return
    languages = asked_by(kind, target)
    if isinstance(languages, str):
        findings.lose(target, f"query {name}", languages)
        return
    if kind == "cloudwatch":  # whose queries are JSON
        values = {key: json.dumps(value)[1:-1] for key, value in values.items()}
    for each in languages:
        whole = f"{name}: {each.what}" if each.what else name
        if query := _filled(each.text, target, whole, findings, values):
            count = len(findings.kpis)
            about = replace(kpi, name=whole, query=query)
            findings.add_other(target, about, "panel", *each.language)
            if len(findings.kpis) > count:
                findings.lose(target, f"direction of {whole}", NEITHER_WAY)


def _filled(
    text: str, target: Part, name: str, findings: Findings, values: Mapping[str, str]
) -> str:
    """The query with its placeholders filled in; empty, which is noted, if one has no value."""
    query, missing = filled(text, PLACEHOLDER, lambda match: _value(match, values))
    if not missing:
        return query
    names = [_variable(match) for match in map(PLACEHOLDER.fullmatch, missing) if match]
    hints = options([each for each in names if not each.startswith("__")])
    own = any(each.startswith("__") for each in names)
    why = f"{', '.join(missing)} has no value here"
    why += ", for it is of a dashboard on a screen" if own else ""
    findings.lose(target, f"query {name}", f"{why}{': ' if hints else ''}{hints}")
    return ""


def _panels(dashboard: Part) -> Iterator[Part]:
    """The panels, those in rows, too."""
    for panel in dashboard.each("panels"):
        yield panel
        yield from panel.each("panels")
    for row in dashboard.each("rows"):
        yield from row.each("panels")


@dataclass(frozen=True, slots=True)
class _Variable:
    """The values that a dashboard was saved with; `everything` is text that takes all values in,
    None where only some are chosen."""

    values: Sequence[str]
    everything: str | None

    def text(self, kind: str) -> str:
        """The values as Grafana writes them into queries of a kind; empty where they can't be."""
        if self.everything is not None:
            return self.everything or ANYTHING.get(kind, ".*")
        if len(self.values) < 2:  # noqa: PLR2004  one
            return "".join(self.values)
        if kind == "graphite":
            return f"{{{','.join(self.values)}}}"
        if kind in {"elasticsearch", "opensearch"}:
            quoted = (json.dumps(each, ensure_ascii=False) for each in self.values)
            return f"({' OR '.join(quoted)})"
        if kind in {"cloudwatch", "datadog", "wasilak-datadog"}:
            return ""
        escaped = map(re.escape, self.values)
        return f"({'|'.join(escaped)})" if kind == "influxdb" else _in_promql(escaped)


def _in_promql(patterns: Iterable[str]) -> str:
    """A choice of patterns within a text in quotes."""
    return f"({'|'.join(each.replace(BACKSLASH, 2 * BACKSLASH) for each in patterns)})"


def _variables(dashboard: Part) -> dict[str, _Variable]:
    variables = {}
    for each in dashboard.each("templating", "list"):
        kind, value = each.text("type"), each.at("current", "value").data
        if kind in {"adhoc", "datasource"}:
            continue
        if value is None and kind in {"constant", "textbox"}:
            value = each.text("query")
        values = [str(one) for one in (value if isinstance(value, list) else [value]) if one]
        everything = each.text("allValue") if set(values) & ALL else None
        variables[each.text("name")] = _Variable(
            [STEP] if kind == "interval" else values, everything
        )
    return variables


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
