"""The checklist: which KPIs are judged, from which sources, over which windows, and who is told."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anomaly.checklist import registry, strict_yaml, variables
from anomaly.checklist.registry import COLLECTORS, RELEASES, SINKS, Kind, Origin, Plugin
from anomaly.checklist.strict_yaml import Document, KeyPath, Problem, path_text, shown
from anomaly.errors import UsageError
from anomaly.model import (
    NO_ARM,
    NO_TRAFFIC,
    NOT_FOR_CONTROLS,
    Calendar,
    Correction,
    Holidays,
    Kpi,
    KpiKind,
    LeftOut,
    NotificationPolicy,
    Occasion,
    Silence,
    SpecialDay,
    Window,
    Windows,
    control_problem,
)
from anomaly.steps import of_calendar
from anomaly.timing import special_days
from anomaly.timing.durations import duration_text
from anomaly.timing.schedule import Schedule
from anomaly.wording import did_you_mean, nearest

if TYPE_CHECKING:
    from anomaly.checklist.form import ChecklistForm, KpiForm

__all__ = ["Checklist", "Plugin", "json_schema", "load"]


@dataclass(frozen=True, slots=True)
class Hook:
    """A sink that is told once, on one occasion. `name` is what the history knows it by: another
    one in a dry run, so that what was only tried is still to come."""

    name: str
    occasion: Occasion
    plugin: Plugin
    dry_run: bool = True


@dataclass(frozen=True, slots=True)
class Checklist:
    """A checklist for one environment, with its variables filled in. Its repr shows no settings and
    no secrets.

    `digest` identifies the content (sha256, hexadecimal): comments, order and values of variables
    do not change it. `store` is a URL or the path of a file, empty for the default; `retention` is
    how long it keeps a release, None for ever.
    """

    service: str
    sources: Mapping[str, Plugin]
    kpis: tuple[Kpi, ...]
    environment: str = ""
    sinks: tuple[Plugin, ...] = ()
    hooks: tuple[Hook, ...] = ()
    releases: tuple[Plugin, ...] = ()
    store: str = field(default="", repr=False)
    retention: timedelta | None = None
    heartbeat: str = field(default="", repr=False)
    report_url: str = ""
    notification_policy: NotificationPolicy = field(default_factory=NotificationPolicy)
    windows: Windows = field(default_factory=Windows)
    schedule: Schedule | None = None
    false_alarms: float = 0.01
    correction: Correction = Correction.HOLM
    calendar: Calendar = field(default_factory=Calendar)
    path: Path | None = None
    digest: str = ""
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    def __post_init__(self) -> None:
        step = of_calendar(self.windows.step, self.calendar.timezone)
        object.__setattr__(self, "windows", replace(self.windows, step=step))

    @property
    def receivers(self) -> tuple[tuple[str, Plugin], ...]:
        """The sinks except the terminal, under unique names: several of one type are numbered."""
        out: list[tuple[str, Plugin]] = []
        for plugin in self.sinks:
            if plugin.type != "console":
                before = sum(other.type == plugin.type for _, other in out)
                out.append((f"{plugin.type} {before + 1}" if before else plugin.type, plugin))
        return tuple(out)


def load(
    path: Path | str,
    *,
    environment: str | None = None,
    environ: Mapping[str, str] | None = os.environ,
    text: bytes | None = None,
) -> Checklist:
    """The checklist in the YAML file `path`, for `environment` (default: the one it names); with
    `text` in place of what the file holds.

    `${NAME}` in settings of sources and sinks comes from `environ`. With None the placeholders
    stay, unchecked, and no source or sink can be created. Raises ChecklistError with a line per
    problem.
    """
    path = Path(path)
    document = strict_yaml.parse(strict_yaml.read(path) if text is None else text)
    strict_yaml.refuse(str(path), document.problems)
    return _Loader(path, document, environ).checklist(environment)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a checklist file, for editors."""
    from anomaly.checklist import form as checklist_schema

    return checklist_schema.json_schema()


MOST_PLUGINS = 100  # sources, or sinks
DRY_RUN = " (dry run)"  # ends the name of a hook
FILLED = ("store", "heartbeat", "report_url")  # keys in which variables are filled in, too
Place = tuple[
    KeyPath, Mapping[str, Any]
]  # a source or sink: its key path and what is written there


@dataclass(frozen=True, slots=True)
class _Loader:
    """Turns one document into a checklist; gathers what is wrong, to report it all at once."""

    path: Path
    document: Document
    environ: Mapping[str, str] | None

    def checklist(self, name: str | None) -> Checklist:
        from anomaly.checklist import form as checklist_schema

        data = self.data()
        form, problems = checklist_schema.validate(data)
        for path, text in problems:
            self.note(path, text)
        for path, raw in _all_places(data):
            for inside, text in variables.written_out(raw):
                self.note((*path, *inside), text)
        environment = self.environment(data, name)
        sources, sinks, releases = (
            _sources(data, environment),
            _listed(data, environment, "sinks"),
            _listed(data, environment, "releases"),
        )
        hooks = _hook_places(data, environment)
        self.check_counts({"sources": sources, "sinks": sinks, "on": hooks, "releases": releases})
        self.check_kpis(data, [str(path[-1]) for path, _ in sources])
        self.check_twice(sinks)
        self.check_twice(releases)
        self.check_hooks(hooks)
        source_plugins = {
            str(path[-1]): self.plugin(path, raw, COLLECTORS) for path, raw in sources
        }
        sink_plugins = tuple(self.plugin(path, raw, SINKS) for path, raw in sinks)
        hook_plugins = [self.plugin(path, raw, SINKS) for path, raw in hooks]
        asked_for = tuple(self.plugin(path, raw, RELEASES) for path, raw in releases)
        texts = self.filled(data)
        windows, schedule = self.windows(form), self.schedule(form)
        self.check_spans(form)
        self.check_retention(form, windows)
        self.check_holidays(form)
        self.refuse()
        # data that is no checklist has problems, and these were just refused
        assert form is not None  # noqa: S101
        return _checklist(
            form,
            environment=environment,
            sources=source_plugins,
            sinks=sink_plugins,
            hooks=_hooks(form, environment, hooks, hook_plugins),
            releases=asked_for,
            filled=texts,
            windows=windows,
            schedule=schedule,
            path=self.path,
        )

    def note(self, path: KeyPath, text: str) -> None:
        self.document.problems.append(
            Problem(self.document.line(path), f"{path_text(path)} {text}".strip())
        )

    def refuse(self) -> None:
        strict_yaml.refuse(str(self.path), self.document.problems)

    def data(self) -> dict[str, Any]:
        data = self.document.data
        if not isinstance(data, dict):
            state = "is empty" if data is None else f"is {shown(data)}"
            self.note(
                (),
                (
                    f"the checklist {state}; it must be a mapping with the keys service, sources "
                    "and "
                    "kpis"
                ),
            )
            self.refuse()
        return dict(data)

    def environment(self, data: Mapping[str, Any], name: str | None) -> str:
        """The environment that is meant, "" for none; notes one that the checklist does not
        know."""
        default, names = data.get("environment", ""), tuple(_mapping(data, "environments"))
        if not isinstance(default, str):
            return name or ""
        choice = name or default
        if names and not choice:
            self.note(
                ("environments",),
                (f"lists {', '.join(names)}; name one with --environment or the key environment"),
            )
        elif names and choice not in names:
            self.note(
                ("environment",),
                f"is {shown(choice)}; use one of {', '.join(names)}{did_you_mean(choice, names)}",
            )
        elif not names and default and choice != default:
            self.note(
                ("environment",),
                (
                    f"is {shown(default)}, but {shown(choice)} was asked for; list both under "
                    "environments"
                ),
            )
        elif not names and choice and not default:
            self.note(
                (),
                f"{shown(choice)} was asked for as environment, but the checklist names none; "
                "list it under environments, or ask without it",
            )
        return choice

    def windows(self, form: ChecklistForm | None) -> Windows:
        """The windows; notes those that do not fit together."""
        try:
            if form is None:
                return Windows()
            step = of_calendar(form.windows.step, form.timezone)
            return Windows(**{**dict(form.windows), "step": step})
        except UsageError as error:
            self.document.problems.append(Problem(self.document.line(("windows",)), str(error)))
            return Windows()

    def schedule(self, form: ChecklistForm | None) -> Schedule | None:
        """The schedule of looks; adds a problem for one that is not possible."""
        try:
            return Schedule(**dict(form.rhythm)) if form and form.rhythm else None
        except UsageError as error:
            self.document.problems.append(Problem(self.document.line(("rhythm",)), str(error)))
            return None

    def check_spans(self, form: ChecklistForm | None) -> None:
        """Notes spans that end before they start, and silences of nothing or of KPIs that are not
        there."""
        for index, span in enumerate(form.leave_out if form else ()):
            if span.end <= span.start:
                self.note(("leave_out", index, "end"), "is not after its start")
        names = [kpi.name for kpi in form.kpis] if form else []
        for index, silence in enumerate(form.silences if form else ()):
            if silence.start and silence.end and silence.end <= silence.start:
                self.note(("silences", index, "end"), "is not after its start")
            if not silence.model_fields_set - {"reason"}:
                self.note(
                    ("silences", index),
                    (
                        "would silence everything for ever; add a start, an end, "
                        "special_days, kpis or ids"
                    ),
                )
            for name in silence.kpis:
                if name not in names:
                    self.note(
                        ("silences", index, "kpis"),
                        f"names {shown(name)}, which is not a KPI{did_you_mean(name, names)}",
                    )

    def check_retention(self, form: ChecklistForm | None, windows: Windows) -> None:
        """Notes a retention that forgets what later baselines must leave out."""
        retention = form.retention if form else None
        least = windows.history + windows.watch
        if retention is not None and retention < least:
            self.note(
                ("retention",),
                f"is {duration_text(retention)}; it must be at least {duration_text(least)}, "
                "windows.history and windows.watch together: later baselines leave out the "
                "releases and incidents in them",
            )

    def check_holidays(self, form: ChecklistForm | None) -> None:
        """Notes holidays of a country, or of a kind, that the library does not know, and that it is
        not there."""
        if form is None or not form.holidays:
            return
        if not special_days.installed():
            self.note(("holidays",), f"need an extra: {special_days.HINT}")
            return
        countries = special_days.countries()
        for index, each in enumerate(form.holidays):
            if each.country not in countries.values():
                near = countries.get(nearest(each.country, tuple(countries)))
                hint = f" (did you mean {near}?)" if near else ""
                text = "use an ISO 3166 code like DE or US that the holidays library knows"
                self.note(("holidays", index, "country"), f"is {shown(each.country)}; {text}{hint}")
                continue
            for key, word, words in special_days.unknown(Holidays(**dict(each))):
                advice = f"use one of {', '.join(words)}" if words else f"{each.country} has none"
                self.note(
                    ("holidays", index, key),
                    f"is {shown(word)}; {advice}{did_you_mean(word, words)}",
                )

    def check_counts(self, places: Mapping[str, Sequence[Place]]) -> None:
        """Refuses more sources or sinks than can be checked in a moment."""
        for key, entries in places.items():
            if len(entries) > MOST_PLUGINS:
                self.note((key,), f"has {len(entries)} entries; at most {MOST_PLUGINS} are allowed")
                self.refuse()

    def check_kpis(self, data: Mapping[str, Any], sources: Sequence[str]) -> None:
        """Notes names given twice, sources that are not there, and totals of nothing or of what has
        one."""
        if not sources:
            self.note(("sources",), "is empty; the KPIs need at least one source")
        first: dict[str, int] = {}
        for index, kpi in _items(data, "kpis"):
            name, source = kpi.get("name"), kpi.get("source")
            if isinstance(name, str) and first.setdefault(name, index) != index:
                self.note(
                    ("kpis", index, "name"),
                    f"is {shown(name)}, as is kpis[{first[name]}].name; names must be unique",
                )
            if source is None and len(sources) > 1:
                self.note(("kpis", index, "source"), f"is missing; use one of {', '.join(sources)}")
            elif sources and isinstance(source, str) and source not in sources:
                self.note(
                    ("kpis", index, "source"),
                    (
                        f"is {shown(source)}; use one of "
                        f"{', '.join(sources)}{did_you_mean(source, sources)}"
                    ),
                )
            if kpi.get("kind") == KpiKind.RATIO and "denominator" not in kpi:
                self.note(
                    ("kpis", index, "kind"),
                    "is 'ratio', but there is no denominator; name one, or use share",
                )
            if "total" in kpi and "by" not in kpi:
                self.note(
                    ("kpis", index, "total"),
                    ("needs segments; list their labels under by, or remove it"),
                )
            elif "total" in kpi and "denominator" in kpi:
                self.note(
                    ("kpis", index, "total"),
                    "is not needed: a ratio's total follows from the counts of its segments; "
                    "remove it",
                )
        self.check_controls(data, first)

    def check_controls(self, data: Mapping[str, Any], indexes: Mapping[str, int]) -> None:
        """Notes controls of what is not a KPI to be judged, and what only such a KPI can have."""
        judged_names = [
            name for name, index in indexes.items() if not data["kpis"][index].get("control_for")
        ]
        for index, kpi in _items(data, "kpis"):
            targets = kpi.get("control_for")
            for name in (
                (each for each in targets if isinstance(each, str))
                if isinstance(targets, list)
                else ()
            ):
                if problem := control_problem(str(kpi.get("name")), name, indexes, judged_names):
                    near = "" if name in indexes else did_you_mean(name, judged_names)
                    self.note(
                        ("kpis", index, "control_for"),
                        f"names {shown(name)}, which {problem}{near}",
                    )
            if "split" in kpi and not targets:
                self.note(("kpis", index, "split"), NO_ARM)
            elif "split" in kpi and not kpi.get("denominator") and kpi.get("kind") != "counts":
                self.note(("kpis", index, "split"), NO_TRAFFIC)
            for key in NOT_FOR_CONTROLS if targets else ():
                if key in kpi:
                    self.note(("kpis", index, key), "has no meaning for a control; remove it")

    def filled(self, data: Mapping[str, Any]) -> variables.Filled:
        """The texts of `FILLED`, variables filled in; notes what is wrong with them."""
        texts = {key: data[key] for key in FILLED if isinstance(data.get(key), str)}
        filled = self.fill(texts)
        for inside, text in (*variables.written_out(texts), *filled.problems):
            self.note(inside, text)
        return filled

    def fill(self, settings: Mapping[str, Any]) -> variables.Filled:
        return (
            variables.Filled(dict(settings))
            if self.environ is None
            else variables.fill(settings, self.environ)
        )

    def check_twice(self, places: Sequence[Place]) -> None:
        """Notes entries of a list that are the same as one before."""
        for index, (path, raw) in enumerate(places):
            same = next((before for before, other in places[:index] if other == raw), None)
            if same:
                self.note(path, f"is the same as {path_text(same)}; leave one out")

    def check_hooks(self, places: Sequence[Place]) -> None:
        """Notes hooks of one occasion that are the same, a terminal among them, and what is to be
        undone but never done."""
        occasions = {str(path[-2]) for path, _ in places}
        for occasion in sorted(occasions):
            self.check_twice([place for place in places if place[0][-2] == occasion])
        for path, raw in places:
            if raw.get("type") == "console":
                self.note((*path, "type"), "is 'console', which nobody reads when a hook runs")
            if path[-2] == Occasion.RESOLVE and not occasions & {Occasion.FIRE, Occasion.HOLD}:
                self.note(path, "never runs: there is no hook for fire or hold")

    def plugin(self, path: KeyPath, raw: Mapping[str, Any], kind: Kind) -> Plugin:
        """The source or sink at `path`, variables filled in; notes what is wrong with it."""
        settings = {key: value for key, value in raw.items() if key != "type"}
        filled = self.fill(settings)
        for inside, text in filled.problems:
            self.note((*path, *inside), text)
        plugin = Plugin(
            type=str(raw.get("type", "")),
            settings=filled.settings,
            where=f"{self.path}:{self.document.line(path)}: {path_text(path)}",
            folder=self.path.parent,
            origins={
                key: Origin(f"{self.path}:{self.document.line((*path, key))}", value)
                for key, value in settings.items()
            },
            secrets=frozenset(filled.secrets),
        )
        if isinstance(raw.get("type"), str) and not filled.problems and self.environ is not None:
            for problem in registry.problems(plugin, kind):
                self.note((*path, problem.key), problem.text)
        return plugin


def _checklist(
    form: ChecklistForm,
    *,
    environment: str,
    sources: Mapping[str, Plugin],
    sinks: tuple[Plugin, ...],
    hooks: tuple[Hook, ...],
    releases: tuple[Plugin, ...],
    filled: variables.Filled,
    windows: Windows,
    schedule: Schedule | None,
    path: Path,
) -> Checklist:
    only_source = next(iter(sources)) if len(sources) == 1 else ""
    zone = form.timezone if "timezone" in form.model_fields_set else None
    sources = {name: replace(source, calendar_zone=zone) for name, source in sources.items()}
    checklist = Checklist(
        service=form.service,
        environment=environment,
        sources=sources,
        sinks=sinks,
        hooks=hooks,
        releases=releases,
        **filled.settings,
        retention=form.retention,
        notification_policy=NotificationPolicy(
            form.repeat, tuple(Silence(**dict(silence)) for silence in form.silences)
        ),
        windows=windows,
        schedule=schedule,
        kpis=tuple(_kpi(kpi, only_source) for kpi in form.kpis),
        false_alarms=form.false_alarms,
        correction=form.correction,
        calendar=Calendar(
            form.timezone,
            tuple(SpecialDay(day.date, day.name) for day in form.special_days),
            tuple(LeftOut(Window(span.start, span.end), span.reason) for span in form.leave_out),
            tuple(Holidays(**dict(each)) for each in form.holidays),
        ),
        path=path,
        secrets=frozenset(filled.secrets).union(
            *(
                plugin.secrets
                for plugin in (
                    *sources.values(),
                    *sinks,
                    *(hook.plugin for hook in hooks),
                    *releases,
                )
            )
        ),
    )
    return replace(checklist, digest=_digest(checklist))


def _kpi(form: KpiForm, only_source: str) -> Kpi:
    values = {name: getattr(form, name) for name in form.model_fields_set}
    return Kpi(**{"source": only_source, **values})


def _digest(checklist: Checklist) -> str:
    """Sha256 of everything that can change an answer, when it is given or who is notified;
    variables as they are written."""

    def plugin(one: Plugin) -> list[Any]:
        return [one.type, {key: origin.written for key, origin in one.origins.items()}]

    content = {
        "service": checklist.service,
        "environment": checklist.environment,
        "sources": {name: plugin(source) for name, source in checklist.sources.items()},
        "sinks": [plugin(sink) for sink in checklist.sinks],
        "releases": [plugin(source) for source in checklist.releases],
        "notification_policy": asdict(checklist.notification_policy),
        "schedule": None if checklist.schedule is None else asdict(checklist.schedule),
        "windows": asdict(checklist.windows),
        "kpis": [asdict(kpi) for kpi in checklist.kpis],
        "false_alarms": checklist.false_alarms,
        "correction": checklist.correction,
        "calendar": asdict(checklist.calendar),
    }
    if checklist.hooks:
        content["on"] = [[hook.name, plugin(hook.plugin)] for hook in checklist.hooks]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _sources(data: Mapping[str, Any], environment: str) -> list[Place]:
    """The sources of an environment: those at the top, replaced and added to by its own."""
    own = _mapping(data, "environments").get(environment)
    return list(
        (_source_places(data, ()) | _source_places(own, ("environments", environment))).values()
    )


def _listed(data: Mapping[str, Any], environment: str, key: str) -> list[Place]:
    """The sinks, or sources of releases, of an environment: its own if it lists any (or none), else
    those at the top."""
    own = _mapping(data, "environments").get(environment)
    if isinstance(own, dict) and key in own:
        return _list_places(own, ("environments", environment), key)
    return _list_places(data, (), key)


def _hook_places(data: Mapping[str, Any], environment: str) -> list[Place]:
    """The hooks of an environment by occasion: its own if it has the key, else those at the top."""
    own = _mapping(data, "environments").get(environment)
    return (
        _hooks_in(own, ("environments", environment))
        if isinstance(own, dict) and "on" in own
        else _hooks_in(data, ())
    )


def _hooks_in(data: Any, path: KeyPath) -> list[Place]:
    hooks = _mapping(data, "on")
    return [place for each in Occasion for place in _list_places(hooks, (*path, "on"), each.value)]


def _hooks(
    form: ChecklistForm, environment: str, places: Sequence[Place], plugins: Sequence[Plugin]
) -> tuple[Hook, ...]:
    """The hooks with their names: several of one occasion are numbered."""
    own = form.environments.get(environment)
    chosen = own.on if own is not None and "on" in own.model_fields_set else form.on
    out = []
    for (path, _), plugin in zip(places, plugins, strict=True):
        occasion, index = Occasion(str(path[-2])), int(path[-1])
        name = f"on {occasion}" + (f" {index + 1}" if index else "")
        suffix = DRY_RUN if chosen.dry_run else ""
        out.append(Hook(name + suffix, occasion, plugin, chosen.dry_run))
    return tuple(out)


def _source_places(data: Any, path: KeyPath) -> dict[str, Place]:
    return {
        name: ((*path, "sources", name), raw)
        for name, raw in _mapping(data, "sources").items()
        if isinstance(raw, dict)
    }


def _list_places(data: Any, path: KeyPath, key: str) -> list[Place]:
    return [((*path, key, index), raw) for index, raw in _items(data, key)]


def _all_places(data: Mapping[str, Any]) -> Iterator[Place]:
    """Every source, sink and source of releases of the file, whatever the environment."""
    own: list[tuple[KeyPath, Any]] = [
        (("environments", name), inside) for name, inside in _mapping(data, "environments").items()
    ]
    for path, part in [((), data), *own]:
        yield from _source_places(part, path).values()
        yield from _list_places(part, path, "sinks")
        yield from _hooks_in(part, path)
        yield from _list_places(part, path, "releases")


def _mapping(data: Any, key: str) -> Mapping[str, Any]:
    """The mapping under `key`, empty if there is none: whether it should be there is the form's to
    say."""
    value = data.get(key) if isinstance(data, dict) else None
    return value if isinstance(value, dict) else {}


def _items(data: Any, key: str) -> list[tuple[int, Mapping[str, Any]]]:
    """The mappings in the list under `key`, with their index."""
    value = data.get(key) if isinstance(data, dict) else None
    return (
        [(index, item) for index, item in enumerate(value) if isinstance(item, dict)]
        if isinstance(value, list)
        else []
    )
