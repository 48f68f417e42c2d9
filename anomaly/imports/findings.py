"""What was found in files of other tools, and what could not be carried over."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from anomaly.imports.documents import Part
from anomaly.imports.queries import Query, query_of
from anomaly.model import Kpi, Windows
from anomaly.redaction import url_secrets
from anomaly.setup.proposal import Proposal, ProposedKpi
from anomaly.wording import plain

MOST_KPIS = 500
LONGEST_NAME, LONGEST_TEXT, LONGEST_QUERY = 120, 200, 20_000  # characters
# what YAML can't hold
CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
SOURCE = "prod"
VARIABLE = "${PROMETHEUS_URL}"
THRESHOLD = (
    "a fixed threshold; a KPI is compared with its own history, tolerance and floor say which "
    "change is accepted"
)
PACE = (
    "how often and how long something is measured; windows says it for all KPIs, and a verdict "
    "is one of the whole watch"
)
NEITHER_WAY = "which way is worse is not said; either way is, until you set direction"
SPLIT = (
    "the query may give several series, which are an error unless by names the labels that tell "
    "them apart; put sum() around it, or set by"
)


@dataclass(frozen=True, slots=True)
class Loss:
    """Something that could not be carried over: where it stands, what it is, and why."""

    where: str
    what: str
    why: str


@dataclass(slots=True)
class Findings:
    """What is gathered while files are read. `values` are those of placeholders, `prometheus` the
    address that takes the place of all that files name."""

    values: Mapping[str, str] = field(default_factory=dict)
    prometheus: str = ""
    service: str = ""
    kpis: list[ProposedKpi] = field(default_factory=list)
    losses: dict[Loss, None] = field(default_factory=dict)  # in their order, each once
    sources: dict[str, dict[str, str]] = field(default_factory=dict)  # their settings, by name
    secrets: set[str] = field(default_factory=set)

    def lose(self, part: Part, what: str, why: str) -> None:
        """Notes what could not be carried over."""
        loss = Loss(part.where, plain(what, LONGEST_TEXT), plain(why, 2 * LONGEST_TEXT))
        self.losses[loss] = None

    def name_service(self, name: str) -> None:
        """Takes a name for the service, unless there is one."""
        self.service = self.service or _name(name)

    def source(self, part: Part, address: str = "") -> str:
        """The name of the Prometheus with this address."""
        url = self.prometheus or address
        secrets = url_secrets(url) if url else frozenset()
        self.secrets |= secrets
        if secrets:
            self.lose(part, "the address of the Prometheus", f"it holds a secret: set {VARIABLE}")
            url = VARIABLE
        elif not re.fullmatch(r"https?://[^\s?#${}]+", url):
            if url:
                self.lose(
                    part,
                    f"the address {url}",
                    f"it is no http address without placeholders: set {VARIABLE}",
                )
            url = VARIABLE
        return self._named({"type": "prometheus", "url": url})

    def add(self, part: Part, kpi: Kpi, why: str, *, address: str = "") -> None:
        """Adds a KPI, whose `query` is PromQL as the tool has it, unless it is there already."""
        if self._takes(part, kpi):
            self._add(part, kpi, query_of(kpi.query), self.source(part, address), why)

    def add_other(
        self,
        part: Part,
        kpi: Kpi,
        why: str,
        query_of: Callable[[str], Query | str],
        settings: dict[str, str],
    ) -> None:
        """Adds a KPI of a source with these settings, whose `query` is as the tool has it, unless
        it is there already, or `query_of` says why it can't be carried over."""
        if not self._takes(part, kpi):
            return
        query = query_of(kpi.query)
        if isinstance(query, str):
            self.lose(part, f"KPI {kpi.name}", query)
        elif CONTROL.search(f"{query.above}{query.below}"):
            self.lose(part, f"KPI {kpi.name}", "it holds control characters")
        elif not all(_name(each) == each for each in query.by or ()):
            self.lose(part, f"KPI {kpi.name}", "a label by which it is split is empty, or too long")
        else:
            self._add(part, kpi, query, self._named(settings), why)

    def _takes(self, part: Part, kpi: Kpi) -> bool:
        """Whether a KPI can be added; notes why not."""
        if not kpi.query or CONTROL.search(kpi.query):
            self.lose(part, f"KPI {kpi.name}", "its query is empty, or holds control characters")
            return False
        if len(kpi.query) > LONGEST_QUERY:
            self.lose(
                part, f"KPI {kpi.name}", f"its query has more than {LONGEST_QUERY:,} characters"
            )
            return False
        if len(self.kpis) >= MOST_KPIS:
            self.lose(part, f"KPI {kpi.name}", f"there are more than {MOST_KPIS}; split the file")
            return False
        return True

    def _add(self, part: Part, kpi: Kpi, query: Query, source: str, why: str) -> None:
        same = next(
            (
                each.kpi.name
                for each in self.kpis
                if (each.kpi.query, each.kpi.denominator, each.kpi.source)
                == (query.above, query.below, source)
            ),
            None,
        )
        if same is not None:
            self.lose(part, f"KPI {kpi.name}", f"its query is that of {same}")
            return
        if query.by is None:
            self.lose(part, f"one series for {kpi.name}", SPLIT)
        if query.note:
            self.lose(part, f"steps of {kpi.name}", query.note)
        complete = replace(
            kpi,
            name=self._unused(_name(kpi.name)),
            source=source,
            query=query.above,
            denominator=query.below,
            by=query.by or (),
        )
        self.kpis.append(ProposedKpi(complete, f"{plain(why, LONGEST_TEXT)}; {part.where}"))

    def proposal(self) -> Proposal:
        """The checklist for what was found."""
        return Proposal(
            service=self.service or "service",
            sources=self.sources,
            kpis=self.kpis,
            windows=Windows(),
            why_windows="a baseline of four weeks, then the watch after a release",
        )

    def _named(self, settings: dict[str, str]) -> str:
        """The name of the source with these settings."""
        for name, other in self.sources.items():
            if other == settings:
                return name
        name = f"{SOURCE}-{len(self.sources) + 1}" if self.sources else SOURCE
        self.sources[name] = settings
        return name

    def _unused(self, name: str) -> str:
        names = {each.kpi.name for each in self.kpis}
        number, unused = 1, name
        while unused in names:
            number += 1
            unused = f"{name} ({number})"
        return unused


def _name(text: str) -> str:
    """A name of one line, as a checklist takes it."""
    return plain(" ".join(text.replace("${", "$(").split()), LONGEST_NAME).strip() or "KPI"
