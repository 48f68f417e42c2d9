"""A first checklist for a service, as it was found: KPIs, each with the reason why, and the text of
the checklist."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from anomaly.model import Kpi, Windows
from anomaly.steps import DAY, NAMES, WEEK
from anomaly.timing.durations import duration_text
from anomaly.wording import plain

BREAKS = "\x7f\x85\u2028\u2029\ufeff"  # what YAML takes for the end of a line, or refuses
LONGEST_NAME = 60  # characters of a name in a comment
DEFAULTS = Kpi("-")
TEXTS = frozenset({"denominator", "unit"})  # keys whose values are anybody's words
MISSING = 0.02  # share of a history that may lack at its start
OTHERS = 20  # services that are named
SINKS = """\
# Who is told, besides the terminal: a page that follows the last look. Add your own: docs/sinks.md.
sinks:
  - {type: html, path: report.html}
  # - {type: slack, url: "${SLACK_WEBHOOK_URL}"}
"""


@dataclass(frozen=True, slots=True)
class ProposedKpi:
    """A KPI, and why it is one and is judged that way."""

    kpi: Kpi
    why: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """What to judge of a service: KPIs of some sources (their settings, by name), and over which
    windows.

    `remarks` are comments at the head of the checklist, `why_windows` and `why_zone` those beside
    these keys; `releases` are the settings of a source of releases, if there is one; `others` are
    services that were found, too.
    """

    service: str
    sources: Mapping[str, Mapping[str, Any]]
    kpis: Sequence[ProposedKpi]
    windows: Windows
    why_windows: str = ""
    timezone: str = "UTC"
    why_zone: str = "your users' time zone, like Europe/Berlin"
    remarks: Sequence[str] = field(default=())
    releases: Mapping[str, str] = field(default_factory=dict)
    others: Sequence[str] = field(default=())

    def checklist(self) -> str:
        """The text of the checklist."""
        return "".join(f"{line}\n" for line in self._lines()) + SINKS

    def _lines(self) -> Iterator[str]:
        yield "# A proposal; review it before you rely on it. Every key: docs/checklist.md."
        yield from (f"# {_comment(remark)}" for remark in self.remarks)
        yield f"service: {_quoted(self.service)}"
        yield "sources:"
        for name, settings in self.sources.items():
            yield f"  {name}: {_mapping(settings)}"
        if self.why_windows:
            yield f"# {_comment(self.why_windows)}"
        windows = self.windows
        yield (
            f"windows: {{history: {duration_text(windows.history)}, "
            f"warmup: {duration_text(windows.warmup)}, watch: {duration_text(windows.watch)}, "
            f"step: {NAMES.get(windows.step) or duration_text(windows.step)}}}"
        )
        yield f"timezone: {self.timezone}  # {_comment(self.why_zone)}"
        yield "false_alarms: 1%"
        yield "kpis:"
        for proposed in self.kpis:
            yield f"  # {_comment(proposed.why)}"
            kpi = proposed.kpi
            yield from _keys(kpi if len(self.sources) > 1 else replace(kpi, source=""))
        yield "  # Add what the service is for: orders, sign-ups, payments."
        if self.others:
            others = ", ".join(plain(each, LONGEST_NAME) for each in self.others[:OTHERS])
            yield f"# Other services, by traffic: {others}. For one of them: --service NAME"
        if self.releases:
            yield "releases:"
            yield f"  - {_mapping(self.releases)}"


def _keys(kpi: Kpi) -> Iterator[str]:
    """The keys of a KPI that are not the defaults, a line for each."""
    yield f"  - name: {_quoted(kpi.name)}"
    yield f"    query: {_quoted(kpi.query)}"
    for name in (
        *(
            "source",
            "denominator",
            "by",
            "unit",
            "kind",
            "direction",
            "tolerance",
            "floor",
            "min_volume",
        ),
        *("no_data", "empty", "critical", "severity", "usage", "dry_run"),
    ):
        value = getattr(kpi, name)
        if value == getattr(DEFAULTS, name) and name != "direction":
            continue
        if isinstance(value, bool | tuple):
            yield f"    {name}: {json.dumps(value, ensure_ascii=False)}"
        elif name == "tolerance":
            yield f"    tolerance: {100 * value:g}%"
        elif isinstance(value, int | float):
            yield f"    {name}: {value:g}"
        else:
            yield f"    {name}: {_quoted(str(value)) if name in TEXTS else value}"


def _mapping(settings: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{name}: {_quoted(each)}" for name, each in settings.items()) + "}"


def _comment(text: str) -> str:
    return plain(text, 400)


def _quoted(value: object) -> str:
    """A value in YAML: JSON is some."""
    return json.dumps(value, ensure_ascii=False).translate(
        {ord(each): f"\\u{ord(each):04x}" for each in BREAKS}
    )


def history_of(there: timedelta, most: timedelta) -> timedelta:
    """As much history as there is, up to `most`: in whole weeks if there are two, else in days."""
    length = min(there * (1 + MISSING), most)
    if length >= 2 * WEEK:
        return length // WEEK * WEEK
    return max(length // DAY * DAY, DAY)
